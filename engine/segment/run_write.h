/* run_write.h - the runs and their sums as blocks (docs/format/segment.md, "Run blocks", "Sum blocks"). */
#ifndef SEGMENT_RUN_WRITE_H
#define SEGMENT_RUN_WRITE_H

#include "segment/chunk_write.h"
#include "segment/summary.h"

/* Writes the run blocks, then the sum blocks if sums fit, filling in the directory's pieces. The zones must
 * be there: they tell which counts are stored. */
int run_write(struct output *o, const struct summary *s, struct directory *d, struct chunk_scratch *scratch,
              tally_error *error);

#endif
