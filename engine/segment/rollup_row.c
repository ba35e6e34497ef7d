/* rollup_row.c - see rollup_row.h. Hot path.
 *
 * With AVX-512 eight rows are turned so that each is one vector, laid out as a cell is: its number of rows
 * and all of its sums are one addition, and two comparisons say whether it widens a bound. Few rows do, so
 * the branch is foreseen. */
#include "segment/rollup_row.h"

#include <stddef.h>

#include "base/bitmap.h"
#include "base/cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

struct measured measured_from(const struct rows *rows, uint32_t first) {
  struct measured v = {.cost = rows->cost + first};
  for (int m = 0; m < INT_COLUMNS; m++) v.number[m] = rows->number[m] + first;
  for (int m = 0; m < MEASURES; m++) v.valid[m] = rows->valid[m] + first / 64;
  return v;
}

static inline int64_t measured_value(const struct measured *v, int m, uint32_t i) {
  return m < INT_COLUMNS ? v->number[m][i] : v->cost[i];
}

static inline void add_sums(struct rollup_cell *c, const struct measured *v, uint32_t i) {
  c->rows++;
  for (int m = 0; m < MEASURES; m++) c->sum[m] += measured_value(v, m, i);
}

static inline void widen_bounds(struct rollup_bounds *b, int m, int64_t v) {
  b->min[m] = v < b->min[m] ? v : b->min[m];
  b->max[m] = v > b->max[m] ? v : b->max[m];
}

static inline void add_bounds(struct rollup_bounds *b, const struct measured *v, uint32_t i) {
  unsigned wider = 0;
  for (int m = 0; m < MEASURES; m++) {
    int64_t x = measured_value(v, m, i);
    wider |= (unsigned)(x < b->min[m]) | (unsigned)(x > b->max[m]);
  }
  if (__builtin_expect(wider, 0))
    for (int m = 0; m < MEASURES; m++) widen_bounds(b, m, measured_value(v, m, i));
}

void rollup_rows_portable(struct rollup_cell *cell, struct rollup_bounds *days, const uint32_t *at,
                          const struct measured *measured, uint32_t count) {
  const struct measured v = *measured;
  for (uint32_t i = 0; i < count; i++) add_sums(&cell[at[i]], &v, i);
  for (uint32_t i = 0; i < count; i++) add_bounds(&days[cell[at[i]].day], &v, i);
}

#if defined(__x86_64__)

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl")))
#define LANES 8u
#define HEAD 2u /* lanes of a cell in front of its sums: the second one has the number of rows below */
#define SUMS ((__mmask8)(((1u << MEASURES) - 1) << HEAD))
_Static_assert(MEASURES == LANES - HEAD && sizeof(struct rollup_cell) == LANES * sizeof(int64_t) &&
                   offsetof(struct rollup_cell, rows) == sizeof(int64_t) &&
                   offsetof(struct rollup_cell, sum) == HEAD * sizeof(int64_t),
               "a row is added to a cell as one vector");

AVX512 static inline __m512i load_numbers(const int32_t *v) {
  return _mm512_cvtepi32_epi64(_mm256_loadu_si256((const __m256i *)(const void *)v));
}

/* Eight rows, each as what is added to its cell: 0, 1 row, its values. */
AVX512 static inline void turn(const struct measured *v, uint32_t i, __m512i row[LANES]) {
  const __m512i column[LANES] = {
      _mm512_setzero_si512(),         _mm512_set1_epi64(1),
      load_numbers(v->number[0] + i), load_numbers(v->number[1] + i),
      load_numbers(v->number[2] + i), load_numbers(v->number[3] + i),
      load_numbers(v->number[4] + i), _mm512_loadu_si512(v->cost + i),
  };
  __m512i pair[LANES], four[LANES];
  for (unsigned k = 0; k < LANES; k += 2) { /* lanes 2j and 2j + 1 of two columns: rows 2j, and rows 2j + 1 */
    pair[k] = _mm512_unpacklo_epi64(column[k], column[k + 1]);
    pair[k + 1] = _mm512_unpackhi_epi64(column[k], column[k + 1]);
  }
  for (unsigned k = 0; k < LANES; k += 4) /* quarters of two pairs */
    for (unsigned odd = 0; odd < 2; odd++) {
      four[k + odd] = _mm512_shuffle_i64x2(pair[k + odd], pair[k + 2 + odd], 0x88);
      four[k + 2 + odd] = _mm512_shuffle_i64x2(pair[k + odd], pair[k + 2 + odd], 0xDD);
    }
  for (unsigned odd = 0; odd < 2; odd++) {
    row[0 + odd] = _mm512_shuffle_i64x2(four[odd], four[4 + odd], 0x88);
    row[4 + odd] = _mm512_shuffle_i64x2(four[odd], four[4 + odd], 0xDD);
    row[2 + odd] = _mm512_shuffle_i64x2(four[2 + odd], four[6 + odd], 0x88);
    row[6 + odd] = _mm512_shuffle_i64x2(four[2 + odd], four[6 + odd], 0xDD);
  }
}

AVX512 static inline void add_row(struct rollup_cell *c, struct rollup_bounds *days, __m512i row) {
  const __m512i sums = _mm512_add_epi64(_mm512_loadu_si512(c), row);
  struct rollup_bounds *b = &days[c->day];
  int64_t *min = b->min, *max = b->max;
  _mm512_storeu_si512(c, sums);
  row = _mm512_maskz_compress_epi64(SUMS, row);
  const __m512i least = _mm512_maskz_loadu_epi64(SUMS >> HEAD, min),
                most = _mm512_maskz_loadu_epi64(SUMS >> HEAD, max);
  const __mmask8 below = _mm512_cmplt_epi64_mask(row, least), above = _mm512_cmpgt_epi64_mask(row, most);
  if (__builtin_expect(below | above, 0)) {
    _mm512_mask_storeu_epi64(min, below, row);
    _mm512_mask_storeu_epi64(max, above, row);
  }
}

AVX512 void rollup_rows_avx512(struct rollup_cell *cell, struct rollup_bounds *days, const uint32_t *at,
                               const struct measured *measured, uint32_t count) {
  const struct measured v = *measured;
  uint32_t i = 0;
  for (; i + LANES <= count; i += LANES) {
    __m512i row[LANES];
    turn(&v, i, row);
    for (unsigned k = 0; k < LANES; k++) add_row(&cell[at[i + k]], days, row[k]);
  }
  for (; i < count; i++) {
    add_sums(&cell[at[i]], &v, i);
    add_bounds(&days[cell[at[i]].day], &v, i);
  }
}

#endif

rollup_rows_fn *rollup_rows_best(void) {
#if defined(__x86_64__)
  if (cpu_has_avx512()) return rollup_rows_avx512;
#endif
  return rollup_rows_portable;
}

/* Of rows that have NULLs, one measure after the other. */
static void add_some(struct rollup_cells *c, struct rollup_bounds *days, const uint32_t *at,
                     const struct measured *v, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) add_sums(&c->cell[at[i]], v, i);
  for (int m = 0; m < MEASURES; m++)
    for (uint32_t i = 0; i < count; i++)
      if (bitmap_get(v->valid[m], i))
        widen_bounds(&days[c->cell[at[i]].day], m, measured_value(v, m, i));
      else
        c->nulls[at[i]][m]++;
}

static bool all_there(const struct measured *v, uint32_t count) {
  for (int m = 0; m < MEASURES; m++)
    if (bitmap_count(v->valid[m], count) != count) return false;
  return true;
}

void rollup_rows_add(struct rollup_cells *cells, struct rollup_bounds *days, const uint32_t *at,
                     const struct measured *measured, uint32_t count) {
  if (all_there(measured, count))
    rollup_rows_best()(cells->cell, days, at, measured, count);
  else
    add_some(cells, days, at, measured, count);
}
