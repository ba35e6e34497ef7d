/* accumulate.c - the loops over vectors of accumulator.h. Hot path: each need has a loop for rows of one
 * group, which the compiler turns into vector code, and one for rows of many groups. */
#include "aggregate/accumulator.h"
#include "base/bitmap.h"

/* All bits where the value is there, none where it is NULL. */
static inline int64_t keep(const uint64_t *valid, uint32_t i) { return -(int64_t)bitmap_get(valid, i); }

/* Rows of one group often follow one another, and each addition to it would wait for the one before. So loops
 * over groups go through the vector in STREAMS places at once. */
#define STREAMS 4

#define EACH_ROW(rows, row, statement)                                                                       \
  do {                                                                                                       \
    uint32_t part_ = (rows) / STREAMS;                                                                       \
    for (uint32_t at_ = 0; at_ < part_; at_++)                                                               \
      for (uint32_t stream_ = 0; stream_ < STREAMS; stream_++) {                                             \
        uint32_t row = at_ + stream_ * part_;                                                                \
        statement;                                                                                           \
      }                                                                                                      \
    for (uint32_t row = part_ * STREAMS; row < (rows); row++) statement;                                     \
  } while (0)

static void add_rows(uint64_t *restrict rows, const struct input *in) {
  const uint32_t *groups = in->groups;
  if (!groups)
    rows[in->one] += in->rows;
  else
    EACH_ROW(in->rows, i, rows[groups[i]]++);
}

static void add_nulls(uint64_t *restrict nulls, const struct input *in) {
  const uint32_t *groups = in->groups;
  const uint64_t *valid = in->valid;
  if (!valid) return;
  if (!groups)
    nulls[in->one] += in->rows - bitmap_count(valid, in->rows);
  else
    EACH_ROW(in->rows, i, nulls[groups[i]] += !bitmap_get(valid, i));
}

/* The sum of up to 2^31 values: halves are summed on their own, so that no addition overflows. */
static int128 sum_of(const int64_t *values, const uint64_t *valid, uint32_t rows) {
  int64_t high = 0;
  uint64_t low = 0;
  for (uint32_t i = 0; i < rows; i++) {
    int64_t v = valid ? values[i] & keep(valid, i) : values[i];
    high += v >> 32;
    low += (uint64_t)v & UINT32_MAX;
  }
  return (int128)high * ((int128)1 << 32) + (int128)low;
}

static void add_sum(int128 *restrict sum, const struct input *in) {
  const uint32_t *groups = in->groups;
  const int64_t *values = in->values;
  const uint64_t *valid = in->valid;
  if (!groups)
    sum[in->one] += sum_of(values, valid, in->rows);
  else if (!valid)
    EACH_ROW(in->rows, i, sum[groups[i]] += values[i]);
  else
    EACH_ROW(in->rows, i, sum[groups[i]] += values[i] & keep(valid, i));
}

static void add_range(int64_t *restrict least, int64_t *restrict greatest, const struct input *in) {
  const uint32_t *groups = in->groups;
  const int64_t *values = in->values;
  for (uint32_t i = 0; i < in->rows; i++) {
    if (in->valid && !bitmap_get(in->valid, i)) continue;
    uint32_t g = groups ? groups[i] : in->one;
    if (values[i] < least[g]) least[g] = values[i];
    if (values[i] > greatest[g]) greatest[g] = values[i];
  }
}

static uint64_t is_error(const struct input *in, const int64_t *values, uint32_t i) {
  return (values[i] >= ERROR_STATUS) & (!in->valid || bitmap_get(in->valid, i));
}

static void add_errors(uint64_t *restrict errors, const struct input *in) {
  const uint32_t *groups = in->groups;
  const int64_t *values = in->values;
  uint64_t n = 0;
  if (groups) {
    for (uint32_t i = 0; i < in->rows; i++) errors[groups[i]] += is_error(in, values, i);
    return;
  }
  for (uint32_t i = 0; i < in->rows; i++) n += is_error(in, values, i);
  errors[in->one] += n;
}

int accumulator_add(struct accumulator *a, const struct input *in, tally_error *error) {
  if (a->needs & NEED_ROWS) add_rows(a->rows, in);
  if (a->needs & NEED_NULLS) add_nulls(a->nulls, in);
  if (a->needs & NEED_SUM) add_sum(a->sum, in);
  if (a->needs & NEED_RANGE) add_range(a->least, a->greatest, in);
  if (a->needs & NEED_ERRORS) add_errors(a->errors, in);
  int rc = 0;
  if (a->needs & NEED_VALUES)
    rc = bag_add(&a->values, in->groups, in->one, in->values, in->valid, in->rows, error);
  if (!rc && (a->needs & NEED_DISTINCT))
    rc = distinct_add(&a->distinct, in->groups, in->one, in->values, in->valid, in->rows, error);
  return rc;
}
