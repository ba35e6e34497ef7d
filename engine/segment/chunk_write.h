/* chunk_write.h - the columns' chunks as blocks (docs/format/segment.md, "Chunks"). */
#ifndef SEGMENT_CHUNK_WRITE_H
#define SEGMENT_CHUNK_WRITE_H

#include "segment/directory.h"
#include "segment/output.h"

/* Working memory of the chunk and run writers: three chunks of values. */
struct chunk_scratch {
  struct ints_scratch ints;
  struct buffer trial;
  int64_t values[CHUNK_ROWS], tokens[CHUNK_ROWS], rest[CHUNK_ROWS];
};

/* Writes all chunks of a slot, filling in their zones and places. The span of services must be there. */
int chunk_write_slot(struct output *o, const struct rows *rows, int slot, struct directory *d,
                     struct chunk_scratch *scratch, tally_error *error);

#endif
