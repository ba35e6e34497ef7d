/* row_sums.h - what a set of rows adds up to, whatever their order: the proof that a rewrite lost nothing,
 * doubled nothing and changed nothing. */
#ifndef MAINTAIN_ROW_SUMS_H
#define MAINTAIN_ROW_SUMS_H

#include "base/int128.h"
#include "model/rows.h"

struct row_sums {
  uint64_t rows;
  int128 number[INT_COLUMNS], cost; /* NULL counts as 0; cannot overflow: 2^64 rows of 64 bits */
  uint64_t hash;                    /* sum modulo 2^64 of a hash of each row, metadata and NULLs included */
};

/* Adds rows [first, rows->count). */
void row_sums_add(struct row_sums *sums, const struct rows *rows, uint32_t first);
bool row_sums_equal(const struct row_sums *a, const struct row_sums *b);

#endif
