/* rollup_write.h - rollups and sets of users as blocks (docs/format/segment.md, "Rollups", "Sets of
 * users"). */
#ifndef SEGMENT_ROLLUP_WRITE_H
#define SEGMENT_ROLLUP_WRITE_H

#include "segment/chunk_write.h"
#include "segment/rollup_sum.h"
#include "segment/user_sets.h"

/* What a segment has beside its rows and runs. */
struct rollups {
  struct rollup_sum sum;
  struct user_sets users;
};

/* Puts the counts into a directory that is to be allocated. */
void rollup_count(const struct rollups *r, struct directory *d);
/* Writes the blocks, filling in their places. */
int rollup_write(struct output *o, const struct rollups *r, struct directory *d,
                 struct chunk_scratch *scratch, tally_error *error);

#endif
