/* rollup_row.h - rows added to the cells of rollups: their number, their sums, and the bounds of their days.
 */
#ifndef SEGMENT_ROLLUP_ROW_H
#define SEGMENT_ROLLUP_ROW_H

#include "segment/rollup_sum.h"

/* The measured columns of rows, from the first of a chunk on. NULLs have the value 0. */
struct measured {
  const int32_t *number[INT_COLUMNS];
  const int64_t *cost;
  const uint64_t *valid[MEASURES]; /* chunks begin at a word */
};
struct measured measured_from(const struct rows *rows, uint32_t first);

/* Adds row i to cell at[i], and its values that are not NULL to the bounds of that cell's day. */
void rollup_rows_add(struct rollup_cells *cells, struct rollup_bounds *days, const uint32_t *at,
                     const struct measured *measured, uint32_t count);

/* The same of rows that have all values. The implementations give equal results. rollup_rows_best: the
 * fastest that this processor has. */
typedef void rollup_rows_fn(struct rollup_cell *cell, struct rollup_bounds *days, const uint32_t *at,
                            const struct measured *measured, uint32_t count);
rollup_rows_fn rollup_rows_portable;
#if defined(__x86_64__)
rollup_rows_fn rollup_rows_avx512; /* only where cpu_has_avx512() */
#endif
rollup_rows_fn *rollup_rows_best(void);

#endif
