/* inside.h - what segment/'s readers share: the open file, its directory, and pinning of blocks. */
#ifndef SEGMENT_INSIDE_H
#define SEGMENT_INSIDE_H

#include <stdatomic.h>

#include "encoding/ints.h"
#include "segment/directory.h"

struct segment_inside {
  const struct os *os;
  struct os_file *file; /* NULL: it could not be opened */
  struct cache *cache;
  struct budget *budget;
  char *path; /* for messages */
  _Atomic uint32_t references;
  atomic_bool quarantined; /* damage was found: see segment_quarantined */
  struct directory directory;
};

/* A block of the file, verified and pinned. */
struct block {
  struct cache_block *pinned;
  const uint8_t *payload;
  size_t size; /* of the payload */
  uint64_t offset;
};

/* Pins block `index` of the directory, which must be there. */
int block_pin(struct segment *s, uint32_t index, struct block *b, tally_error *error);
void block_release(struct block *b);
/* Was part `part` (0 to 31) of the block found sound since its bytes came in? */
static inline bool block_is_sound(const struct block *b, unsigned part) {
  return atomic_load_explicit(&b->pinned->sound, memory_order_relaxed) >> part & 1;
}
static inline void block_set_sound(const struct block *b, unsigned part) {
  atomic_fetch_or_explicit(&b->pinned->sound, UINT32_C(1) << part, memory_order_relaxed);
}
/* Verifies the trailer of a whole block (payload and trailer, `size` bytes at `offset` of the file). */
int block_verify(const char *path, uint64_t segment, uint64_t offset, const uint8_t *bytes, size_t size,
                 tally_error *error);
/* Reads `size` bytes at `offset`, or fails: an end of the file before that is damage. */
int block_read(const struct os *os, struct os_file *file, const char *path, uint64_t offset, void *to,
               size_t size, tally_error *error);
/* The block's bytes passed their checksum but do not mean anything. */
int block_damage(const struct segment *s, const struct block *b, const char *check, tally_error *error);

/* The sequence of a column's values in a chunk's block: of costs what is behind the prices, if there are any.
 */
struct sequence {
  struct ints ints;
  bool priced;
  struct reader prices;
};
/* chunk_sum.c: pins the block of a column's chunk and opens what is in it; false if there is none, or it was
 * not found sound yet, or it cannot be had: then values tell. Release the block after a true. */
bool sequence_pin_sound(struct segment *s, int column, uint32_t chunk, struct block *b, struct sequence *q);

/* Decodes rows of user_id or service_name from the runs; see segment_values. */
int run_values(struct segment *s, int column, uint32_t row, uint32_t count, int64_t *values,
               tally_error *error);
/* Rows of each of the runs [first, first + count). */
int run_lengths(struct segment *s, uint32_t first, uint32_t count, uint32_t *rows, tally_error *error);

#endif
