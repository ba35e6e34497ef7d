/* chunk_write.h - the columns' chunks as blocks (docs/format/segment.md, "Chunks"). */
#ifndef SEGMENT_CHUNK_WRITE_H
#define SEGMENT_CHUNK_WRITE_H

#include "base/bitmap.h"
#include "segment/directory.h"
#include "segment/output.h"
#include "segment/price.h"
#include "segment/summary.h"

/* Working memory of the chunk and run writers: a few chunks of values. */
struct chunk_scratch {
  struct ints_scratch ints;
  struct buffer trial;
  int64_t values[CHUNK_ROWS], tokens[CHUNK_ROWS], rest[CHUNK_ROWS];
  uint64_t at[CHUNK_ROWS + 1];
  struct ints_memory column, priced, plain; /* of the slot at work; its costs both ways */
  struct {
    struct ints_memory users, rows, tokens, errors, nonnull[RUN_COUNTS];
  } runs;
  struct ints_memory rollup[3 + 4 * MEASURES], users; /* of a level's columns; of the sets */
  struct price price; /* the last one found: the next costs often follow it too */
};

/* Keeps the values whose bit is set, in order; gives their number. */
static inline uint32_t chunk_compact(int64_t *v, const uint64_t *valid, uint32_t count) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < count; i++) {
    v[n] = v[i];
    n += bitmap_get(valid, i);
  }
  return n;
}

/* Writes all chunks of a slot, filling in their zones and places. The span of services must be there. */
int chunk_write_slot(struct output *o, const struct rows *rows, int slot, struct directory *d,
                     struct chunk_scratch *scratch, tally_error *error);

#endif
