/* accumulate.c - the loops over vectors of accumulator.h. Hot path: each need has a loop for rows of one
 * group, which the compiler turns into vector code, and one for rows of many groups. */
#include <string.h>

#include "aggregate/accumulator.h"
#include "base/array.h"
#include "base/bitmap.h"
#include "base/kernel.h"

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

/* Rows whose stretch is known. */
#define EACH_OF_STRETCHES(stretches, stretch, row, statement)                                                \
  do {                                                                                                       \
    for (uint32_t stretch = 0; stretch < (stretches)->count; stretch++)                                      \
      for (uint32_t row = (stretches)->first[stretch]; row < (stretches)->first[stretch + 1]; row++)         \
        statement;                                                                                           \
  } while (0)

#define LANES 8u /* tables by code that are added up in turn */

void near_groups_count(struct near_groups *near, uint32_t rows) {
  uint32_t table[LANES][NEAR_GROUPS], i = 0;
  const uint8_t *code = near->code;
  for (uint32_t lane = 0; lane < LANES; lane++) memset(table[lane], 0, near->count * sizeof **table);
  for (; i + LANES <= rows; i += LANES)
    for (uint32_t lane = 0; lane < LANES; lane++) table[lane][code[i + lane]]++;
  for (; i < rows; i++) table[0][code[i]]++;
  memcpy(near->rows, table[0], near->count * sizeof *near->rows);
  for (uint32_t lane = 1; lane < LANES; lane++)
    for (uint32_t c = 0; c < near->count; c++) near->rows[c] += table[lane][c];
}

/* The sums of values over the rows up to the end of each stretch: the sum of a stretch is the difference to
 * the one before it. No branch depends on where stretches end. */
static void sum_to_ends(const struct stretches *stretches, const int64_t *values, uint32_t rows,
                        uint64_t sum[STRETCHES_MOST + 1]) {
  uint64_t s = 0;
  const uint8_t *ends = stretches->ends;
  for (uint32_t i = 0, at = 0; i < rows; at += ends[i++]) {
    s += (uint64_t)values[i];
    sum[at] = s;
  }
}

static void add_rows(uint64_t *restrict rows, const struct input *in) {
  const uint32_t *groups = in->groups;
  const struct near_groups *near = in->near;
  const struct stretches *stretches = in->stretches;
  if (stretches)
    for (uint32_t j = 0; j < stretches->count; j++)
      rows[stretches->group[j]] += stretches->first[j + 1] - stretches->first[j];
  else if (near)
    for (uint32_t c = 0; c < near->count; c++) rows[near->group[c]] += near->rows[c];
  else if (groups)
    EACH_ROW(in->rows, i, rows[groups[i]]++);
  else
    rows[in->one] += in->rows;
}

static void add_nulls(uint64_t *restrict nulls, const struct input *in) {
  const uint32_t *groups = in->groups;
  const uint64_t *valid = in->valid;
  const struct stretches *stretches = in->stretches;
  if (stretches)
    EACH_OF_STRETCHES(stretches, j, i, nulls[stretches->group[j]] += !bitmap_get(valid, i));
  else if (in->near)
    for (uint32_t i = 0; i < in->rows; i++)
      nulls[in->near->group[in->near->code[i]]] += !bitmap_get(valid, i);
  else if (groups)
    EACH_ROW(in->rows, i, nulls[groups[i]] += !bitmap_get(valid, i));
  else
    nulls[in->one] += in->rows - bitmap_count(valid, in->rows);
}

/* A sum of up to 2^31 values by their halves, so that no addition overflows. The upper half is that of v +
 * 2^63: so it needs no shift that keeps a sign, which vectors lack. */
struct halves {
  uint64_t high, low, count;
};

static int128 halves_sum(const struct halves *h) {
  return (int128)h->high * ((int128)1 << 32) + (int128)h->low - (int128)h->count * ((int128)1 << 63);
}

KERNEL static struct halves sum_all(const int64_t *values, uint32_t rows) {
  uint64_t high = 0, low = 0;
  for (uint32_t i = 0; i < rows; i++) {
    uint64_t v = (uint64_t)values[i] ^ (UINT64_C(1) << 63);
    high += v >> 32;
    low += v & UINT32_MAX;
  }
  return (struct halves){high, low, rows};
}

/* Words of the map in which all are NULL are passed over. */
KERNEL static struct halves sum_valid(const int64_t *values, const uint64_t *valid, uint32_t rows) {
  uint64_t high = 0, low = 0, count = 0;
  for (uint32_t first = 0; first < rows; first += 64) {
    uint32_t n = rows - first < 64 ? rows - first : 64;
    uint64_t word = valid[first / 64];
    if (word == 0) continue;
    count += n;
    for (uint32_t i = 0; i < n; i++) {
      uint64_t v = ((uint64_t)values[first + i] & (0 - (word >> i & 1))) ^ (UINT64_C(1) << 63);
      high += v >> 32;
      low += v & UINT32_MAX;
    }
  }
  return (struct halves){high, low, count};
}

/* Are values so small that 2^16 of them, more than a vector has, add up within 63 bits? */
#define SMALL ((int64_t)1 << 46)
#define SMALL_ROWS (1u << 16)
static bool all_small(const struct input *in) {
  return in->least > -SMALL && in->greatest < SMALL && in->rows <= SMALL_ROWS;
}

static int128 sum_one(const struct input *in) {
  if (!in->valid && all_small(in)) return (int64_t)array_sum(in->values, in->rows);
  struct halves h = in->valid ? sum_valid(in->values, in->valid, in->rows) : sum_all(in->values, in->rows);
  return halves_sum(&h);
}

/* Of small values, none of them NULL. */
static void add_sum_near(int128 *restrict sum, const struct input *in) {
  uint64_t table[LANES][NEAR_GROUPS];
  uint32_t i = 0;
  const uint8_t *code = in->near->code;
  const int64_t *values = in->values;
  for (uint32_t lane = 0; lane < LANES; lane++) memset(table[lane], 0, in->near->count * sizeof **table);
  for (; i + LANES <= in->rows; i += LANES)
    for (uint32_t lane = 0; lane < LANES; lane++) table[lane][code[i + lane]] += (uint64_t)values[i + lane];
  for (; i < in->rows; i++) table[0][code[i]] += (uint64_t)values[i];
  for (uint32_t lane = 1; lane < LANES; lane++)
    for (uint32_t c = 0; c < in->near->count; c++) table[0][c] += table[lane][c];
  for (uint32_t c = 0; c < in->near->count; c++) sum[in->near->group[c]] += (int64_t)table[0][c];
}

static int64_t value_or_0(const struct input *in, uint32_t i) {
  return in->valid ? in->values[i] & keep(in->valid, i) : in->values[i];
}

/* Of small values, none of them NULL. */
static void add_sum_of_stretches(int128 *restrict sum, const struct input *in) {
  const struct stretches *stretches = in->stretches;
  const uint32_t *first = stretches->first;
  if (in->rows / LONG_STRETCH_ROWS >= stretches->count) {
    for (uint32_t j = 0; j < stretches->count; j++)
      sum[stretches->group[j]] += (int64_t)array_sum(in->values + first[j], first[j + 1] - first[j]);
    return;
  }
  uint64_t to_end[STRETCHES_MOST + 1], before = 0;
  sum_to_ends(stretches, in->values, in->rows, to_end);
  for (uint32_t j = 0; j < stretches->count; j++) {
    sum[stretches->group[j]] += (int64_t)(to_end[j] - before);
    before = to_end[j];
  }
}

static void add_sum(int128 *restrict sum, const struct input *in) {
  const uint32_t *groups = in->groups;
  const int64_t *values = in->values;
  const uint64_t *valid = in->valid;
  const struct stretches *stretches = in->stretches;
  if (stretches && !valid && all_small(in))
    add_sum_of_stretches(sum, in);
  else if (stretches)
    EACH_OF_STRETCHES(stretches, j, i, sum[stretches->group[j]] += value_or_0(in, i));
  else if (in->near && !valid && all_small(in))
    add_sum_near(sum, in);
  else if (in->near)
    for (uint32_t i = 0; i < in->rows; i++) sum[in->near->group[in->near->code[i]]] += value_or_0(in, i);
  else if (!groups)
    sum[in->one] += sum_one(in);
  else if (!valid)
    EACH_ROW(in->rows, i, sum[groups[i]] += values[i]);
  else
    EACH_ROW(in->rows, i, sum[groups[i]] += values[i] & keep(valid, i));
}

struct range {
  int64_t least, greatest;
};

KERNEL static struct range range_all(const int64_t *values, uint32_t rows, struct range r) {
  int64_t least = r.least, greatest = r.greatest;
  for (uint32_t i = 0; i < rows; i++) {
    least = values[i] < least ? values[i] : least;
    greatest = values[i] > greatest ? values[i] : greatest;
  }
  return (struct range){least, greatest};
}

/* NULLs count as what is the least, or greatest, already. */
KERNEL static struct range range_valid(const int64_t *values, const uint64_t *valid, uint32_t rows,
                                       struct range r) {
  int64_t least = r.least, greatest = r.greatest;
  for (uint32_t first = 0; first < rows; first += 64) {
    uint32_t n = rows - first < 64 ? rows - first : 64;
    uint64_t word = valid[first / 64];
    for (uint32_t i = 0; i < n; i++) {
      int64_t there = -(int64_t)(word >> i & 1), v = values[first + i];
      int64_t low = (v & there) | (least & ~there), high = (v & there) | (greatest & ~there);
      least = low < least ? low : least;
      greatest = high > greatest ? high : greatest;
    }
  }
  return (struct range){least, greatest};
}

static void add_range_near(int64_t *restrict least, int64_t *restrict greatest, const struct input *in) {
  struct range table[NEAR_GROUPS];
  const uint8_t *code = in->near->code;
  for (uint32_t c = 0; c < in->near->count; c++) table[c] = (struct range){INT64_MAX, INT64_MIN};
  for (uint32_t i = 0; i < in->rows; i++) {
    if (in->valid && !bitmap_get(in->valid, i)) continue;
    struct range *r = &table[code[i]];
    if (in->values[i] < r->least) r->least = in->values[i];
    if (in->values[i] > r->greatest) r->greatest = in->values[i];
  }
  for (uint32_t c = 0; c < in->near->count; c++) {
    uint32_t g = in->near->group[c];
    if (table[c].least < least[g]) least[g] = table[c].least;
    if (table[c].greatest > greatest[g]) greatest[g] = table[c].greatest;
  }
}

static void add_range_of_stretches(int64_t *restrict least, int64_t *restrict greatest,
                                   const struct input *in) {
  const struct stretches *stretches = in->stretches;
  for (uint32_t j = 0; j < stretches->count; j++) {
    const uint32_t g = stretches->group[j];
    struct range r = {least[g], greatest[g]};
    for (uint32_t i = stretches->first[j]; i < stretches->first[j + 1]; i++) {
      if (in->valid && !bitmap_get(in->valid, i)) continue;
      if (in->values[i] < r.least) r.least = in->values[i];
      if (in->values[i] > r.greatest) r.greatest = in->values[i];
    }
    least[g] = r.least;
    greatest[g] = r.greatest;
  }
}

static void add_range(int64_t *restrict least, int64_t *restrict greatest, const struct input *in) {
  const uint32_t *groups = in->groups;
  const int64_t *values = in->values;
  if (in->stretches) {
    add_range_of_stretches(least, greatest, in);
    return;
  }
  if (in->near) {
    add_range_near(least, greatest, in);
    return;
  }
  if (!groups) {
    struct range r = {least[in->one], greatest[in->one]};
    r = in->valid ? range_valid(values, in->valid, in->rows, r) : range_all(values, in->rows, r);
    least[in->one] = r.least;
    greatest[in->one] = r.greatest;
    return;
  }
  for (uint32_t i = 0; i < in->rows; i++) {
    if (in->valid && !bitmap_get(in->valid, i)) continue;
    uint32_t g = groups[i];
    if (values[i] < least[g]) least[g] = values[i];
    if (values[i] > greatest[g]) greatest[g] = values[i];
  }
}

/* How many values that are there are an error's. */
KERNEL static uint64_t count_errors_valid(const int64_t *values, const uint64_t *valid, uint32_t rows) {
  uint64_t n = 0;
  for (uint32_t first = 0; first < rows; first += 64) {
    uint32_t count = rows - first < 64 ? rows - first : 64;
    uint64_t word = valid[first / 64];
    for (uint32_t i = 0; i < count; i++) n += (values[first + i] >= ERROR_STATUS) & (word >> i & 1);
  }
  return n;
}

static uint64_t is_error(const struct input *in, const int64_t *values, uint32_t i) {
  return (values[i] >= ERROR_STATUS) & (!in->valid || bitmap_get(in->valid, i));
}

static void add_errors(uint64_t *restrict errors, const struct input *in) {
  const uint32_t *groups = in->groups;
  const struct stretches *stretches = in->stretches;
  if (in->greatest < ERROR_STATUS) return;
  if (stretches)
    EACH_OF_STRETCHES(stretches, j, i, errors[stretches->group[j]] += is_error(in, in->values, i));
  else if (in->near)
    for (uint32_t i = 0; i < in->rows; i++)
      errors[in->near->group[in->near->code[i]]] += is_error(in, in->values, i);
  else if (groups)
    for (uint32_t i = 0; i < in->rows; i++) errors[groups[i]] += is_error(in, in->values, i);
  else if (in->valid)
    errors[in->one] += count_errors_valid(in->values, in->valid, in->rows);
  else
    errors[in->one] += in->rows - array_count_below(in->values, in->rows, ERROR_STATUS);
}

int accumulator_add(struct accumulator *a, const struct input *in, tally_error *error) {
  int rc = 0;
  if (a->needs & NEED_ROWS) add_rows(a->rows, in);
  if (a->needs & NEED_NULLS && in->valid) {
    rc = accumulator_need_nulls(a, error);
    if (rc) return rc;
    add_nulls(a->nulls, in);
  }
  if (a->needs & NEED_SUM) add_sum(a->sum, in);
  if (a->needs & NEED_RANGE) add_range(a->least, a->greatest, in);
  if (a->needs & NEED_ERRORS) add_errors(a->errors, in);
  if (a->needs & NEED_VALUES)
    rc = bag_add(&a->values, in->groups, in->one, in->values, in->valid, in->rows, error);
  if (rc || !(a->needs & NEED_DISTINCT)) return rc;
  if (in->near && !in->groups)
    return distinct_add_codes(&a->distinct, in->near->code, in->near->group, in->values, in->valid, in->rows,
                              error);
  return distinct_add(&a->distinct, in->groups, in->one, in->values, in->valid, in->rows, error);
}

int accumulator_add_up(struct accumulator *a, uint32_t group, const struct added_up *of, tally_error *error) {
  if (a->needs & NEED_ROWS) a->rows[group] += of->rows;
  if (a->needs & NEED_NULLS && of->nulls) {
    int rc = accumulator_need_nulls(a, error);
    if (rc) return rc;
    a->nulls[group] += of->nulls;
  }
  if (a->needs & NEED_SUM) a->sum[group] += of->sum;
  if (a->needs & NEED_ERRORS) a->errors[group] += of->errors;
  if (a->needs & NEED_RANGE && of->nulls < of->rows) {
    if (of->least < a->least[group]) a->least[group] = of->least;
    if (of->greatest > a->greatest[group]) a->greatest[group] = of->greatest;
  }
  return 0;
}
