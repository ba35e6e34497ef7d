/* batch_builder.h - a batch under construction, between batch_builder.c (adding rows) and batch_pack.c
 * (writing the bytes).
 *
 * Rows are kept as columns of one allocation. NULL is a clear bit in the row's mask; the value in its
 * place is then without meaning. Texts are numbers of the column's dictionary, metadata is its length. */
#ifndef MODEL_BATCH_BUILDER_H
#define MODEL_BATCH_BUILDER_H

#include <stdint.h>

#include "base/bytes.h"
#include "encoding/ints.h"
#include "model/batch_dictionary.h"
#include "model/json_shape.h"
#include "model/schema.h"

#define ALL_COLUMNS ((1u << COLUMNS) - 1)

struct tally_batch {
  uint32_t rows, capacity;
  void *memory;             /* all of the arrays below */
  int64_t *wide[COLUMNS];   /* timestamp, cost */
  int32_t *narrow[COLUMNS]; /* all others */
  uint16_t *mask;           /* bit c: the row has a value in column c */
  uint32_t in_all,
      in_any; /* the masks' conjunction and disjunction: columns without NULL, and with a value */
  struct dictionary dictionary[DOMAINS];
  dictionary_find_fn *find;
  dictionary_expect_fn *expect;
  uint64_t entries, texts;    /* of all dictionaries: how many, and their bytes */
  uint32_t unready;           /* bit d: dictionary d may have no room for one more entry */
  struct buffer metadata;     /* the rows' texts, one after the other */
  struct buffer out;          /* what tally_batch_finish lent */
  struct buffer work, packed; /* batch_pack.c: a column's values widened; one part, packed */
  struct ints_scratch scratch;
  struct json_shapes shapes; /* of the metadata */
};

#define BATCH_HEADER_BYTES 16u
#define BATCH_DESCRIPTOR_BYTES 24u
/* The bytes of each column's values at their widest: int64 or, for differences of int32, four; an index of
 * at most 65,536 entries two; a size of at most 1 MiB three. */
enum { BATCH_WIDEST_ROW = 2 * 8 + 5 * 4 + DOMAINS * 2 + 3 };

/* The most bytes that this many rows can take: every value at its greatest width, metadata raw. */
static inline uint64_t batch_bound(uint64_t rows, uint64_t entries, uint64_t texts, uint64_t metadata) {
  return BATCH_HEADER_BYTES + COLUMNS * BATCH_DESCRIPTOR_BYTES + COLUMNS * ((rows + 7) / 8) +
         rows * BATCH_WIDEST_ROW + entries * 2 + texts + metadata;
}
/* Asks the processor for what an event with this user id needs first, a while before the event is added. */
static inline void batch_expect_user(const struct tally_batch *b, tally_text user) {
  b->expect(&b->dictionary[column_domain(TALLY_COL_USER_ID)], user);
}
/* Writes the batch's bytes into b->out; false without memory. rows > 0. */
bool batch_pack(struct tally_batch *b);

#endif
