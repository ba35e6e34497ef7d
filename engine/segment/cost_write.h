/* cost_write.h - the values of a cost chunk: as they are, or as differences from tokens times a price. */
#ifndef SEGMENT_COST_WRITE_H
#define SEGMENT_COST_WRITE_H

#include "segment/chunk_write.h"

/* Parts of a priced chunk, one a service: more are not tried. */
#define COST_PARTS 16u

/* Appends the model byte and what follows it for rows [first, first + count), of which `nulls` have no cost;
 * scratch->values holds the others' costs. */
void cost_write(struct buffer *out, const struct rows *rows, uint32_t first, uint32_t count, uint32_t nulls,
                const struct directory *d, struct chunk_scratch *scratch);

#endif
