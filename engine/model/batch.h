/* batch.h - the bytes of a batch (docs/format/batch.md): reading them without trust, and making them.
 *
 * Reading is two checks: batch_open (staying in bounds) and batch_check (being meaningful); bytes from
 * outside need both, in that order. After them every accessor is in bounds by construction. */
#ifndef MODEL_BATCH_H
#define MODEL_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "encoding/ints.h"
#include "model/schema.h"

#define BATCH_MAGIC 0x31424C54u /* "TLB1" */
#define BATCH_VERSION 1
enum batch_packed { PACKED_VALUES = 1, PACKED_DICTIONARY = 2 }; /* bits of a descriptor */
#define BATCH_METADATA_RAW (8u << 20) /* the most metadata bytes of one batch, uncompressed */

/* One column of an opened batch. The value of row i is base + the unsigned little-endian integer of
 * `width` bytes at values + i * width (wrapping 64-bit addition); width 0: every row is base. A row
 * whose validity bit is clear is NULL. In a text column the value is an index of the dictionary; in
 * metadata it is the length of the row's text. */
struct batch_column {
  int64_t base;
  const uint8_t *values;
  const uint8_t *valid; /* bit i % 8 of byte i / 8; NULL: no row is NULL */
  uint8_t width;        /* 0..8 */
  bool absent;          /* every row is NULL; the rest is empty */
  uint32_t entries;     /* text: dictionary entries */
  const uint8_t *sizes; /* text: entries x u16, bytes of each */
  const char *texts;    /* text: the entries' bytes, one after the other */
  size_t texts_size;
};

struct batch {
  const uint8_t *bytes;
  size_t size;
  uint32_t rows; /* 1..TALLY_BATCH_ROWS */
  struct batch_column column[COLUMNS];
  const char *metadata; /* the rows' metadata one after the other, uncompressed */
  size_t metadata_size;
};

/* What a batch's packed columns, dictionaries and metadata are unpacked into; reused from batch to batch.
 * Zero it before its first use. */
struct batch_scratch {
  struct buffer values, metadata, offsets, texts[DOMAINS];
  struct ints_scratch ints;
};
void batch_scratch_free(struct batch_scratch *scratch);

/* Opens a batch: every count, width and size is checked against the bytes that are there before anything is
 * allocated, and what is packed is unpacked. *batch borrows bytes and scratch (the caller's).
 * TALLY_INVALID_BATCH, TALLY_NO_MEMORY. */
int batch_open(const void *bytes, size_t size, struct batch_scratch *scratch, struct batch *batch,
               tally_error *error);
/* Checks the meaning: dictionary indexes, text limits and UTF-8, int32 and cost ranges, timestamps
 * from 0 to TIME_MAX and at most `latest`, metadata lengths and JSON; TALLY_INVALID_ROW with row
 * and column for the first row (lowest row, then column) that breaks a limit, else 0. What no row can be
 * blamed for (a bad dictionary entry that no row uses, metadata behind the last row's) is
 * TALLY_INVALID_BATCH. */
int batch_check(const struct batch *batch, int64_t latest, tally_error *error);

static inline bool batch_valid(const struct batch_column *c, uint32_t row) {
  return !c->absent && (!c->valid || (c->valid[row / 8] >> (row % 8) & 1));
}
/* Values [first, first+count) of a column that is not absent, into out (NULL rows give anything). */
void batch_values(const struct batch_column *c, uint32_t first, uint32_t count, int64_t *out);
/* Fast: true only if every value of a present column, those of NULL rows included, is in [low, high].
 * False asks for a closer look: batch_first_outside. */
bool batch_within(const struct batch_column *c, uint32_t rows, int64_t low, int64_t high);
/* The first row that is not NULL and whose value is not in [low, high]; `rows` if there is none. */
uint32_t batch_first_outside(const struct batch_column *c, uint32_t rows, int64_t low, int64_t high);

#endif
