/* accumulate.c - the loops over vectors of accumulator.h. Hot path: each need has a loop for rows of one
 * group, which the compiler turns into vector code, and one for rows of many groups. */
#include "aggregate/accumulator.h"
#include "base/bitmap.h"

/* All bits where the value is there, none where it is NULL. */
static inline int64_t keep(const uint64_t *valid, uint32_t i) { return -(int64_t)bitmap_get(valid, i); }

static void add_count(uint64_t *count, const struct input *in) {
  if (!in->groups) {
    count[in->one] += in->valid ? bitmap_count(in->valid, in->rows) : in->rows;
  } else if (!in->valid) {
    for (uint32_t i = 0; i < in->rows; i++) count[in->groups[i]]++;
  } else {
    for (uint32_t i = 0; i < in->rows; i++) count[in->groups[i]] += bitmap_get(in->valid, i);
  }
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

static void add_sum(int128 *sum, const struct input *in) {
  if (!in->groups) {
    sum[in->one] += sum_of(in->values, in->valid, in->rows);
  } else if (!in->valid) {
    for (uint32_t i = 0; i < in->rows; i++) sum[in->groups[i]] += in->values[i];
  } else {
    for (uint32_t i = 0; i < in->rows; i++) sum[in->groups[i]] += in->values[i] & keep(in->valid, i);
  }
}

static void add_range(int64_t *least, int64_t *greatest, const struct input *in) {
  for (uint32_t i = 0; i < in->rows; i++) {
    if (in->valid && !bitmap_get(in->valid, i)) continue;
    uint32_t g = in->groups ? in->groups[i] : in->one;
    int64_t v = in->values[i];
    if (v < least[g]) least[g] = v;
    if (v > greatest[g]) greatest[g] = v;
  }
}

static void add_errors(uint64_t *errors, const struct input *in) {
  uint64_t n = 0;
  for (uint32_t i = 0; i < in->rows; i++) {
    uint64_t is = (in->values[i] >= ERROR_STATUS) & (!in->valid || bitmap_get(in->valid, i));
    if (in->groups) errors[in->groups[i]] += is;
    n += is;
  }
  if (!in->groups) errors[in->one] += n;
}

int accumulator_add(struct accumulator *a, const struct input *in, tally_error *error) {
  if (a->needs & NEED_COUNT) add_count(a->count, in);
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
