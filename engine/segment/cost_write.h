/* cost_write.h - costs as they are, or as differences from tokens times a price: of the rows of a chunk, or
 * of the sums on runs (docs/format/segment.md, "Costs"). */
#ifndef SEGMENT_COST_WRITE_H
#define SEGMENT_COST_WRITE_H

#include "segment/chunk_write.h"

/* Parts of priced costs, one a service: more are not tried. */
#define COST_PARTS 16u

struct costs {
  uint32_t count;        /* at most CHUNK_ROWS */
  const int64_t *tokens; /* 0 for NULL, as in cost */
  const int64_t *cost;
  const uint32_t *row;   /* of runs: their first rows, count + 1 of them; NULL: each entry is one row */
  const uint64_t *valid; /* entries that have a cost; NULL: all */
  uint32_t nulls;
  uint32_t parts; /* 0: do not try prices */
  uint32_t part[COST_PARTS];
};

/* Fills c->part for rows (or, with `runs`, runs) [first, first + c->count) from the spans. */
void cost_find_parts(struct costs *c, const struct directory *d, bool runs, uint32_t first);
/* Appends the model byte and what follows it. Uses scratch->rest and scratch->trial. */
void cost_write(struct buffer *out, const struct costs *c, struct chunk_scratch *scratch);

#endif
