/* accumulate.c - the loops over vectors of accumulator.h. Hot path: each need has a loop for rows of one
 * group, which the compiler turns into vector code, and one for rows of many groups. */
#include <string.h>

#include "aggregate/accumulator.h"
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

/* A vector's groups often lie near each other, as its rows are of few services and days. Then they are added
 * up in a small table first: its sums are short, equal groups that follow each other fall into different
 * lanes, and the table stays in the cache. */
#define NEAR 256u /* groups from the first to the last one */
#define LANES 4u

static bool groups_near(const struct input *in) { return in->groups && in->groups_span <= NEAR; }

static void add_rows_near(uint64_t *restrict rows, const struct input *in) {
  uint32_t table[LANES][NEAR], i = 0;
  const uint32_t *groups = in->groups, first = in->groups_first;
  for (uint32_t lane = 0; lane < LANES; lane++) memset(table[lane], 0, in->groups_span * sizeof **table);
  for (; i + LANES <= in->rows; i += LANES)
    for (uint32_t lane = 0; lane < LANES; lane++) table[lane][groups[i + lane] - first]++;
  for (; i < in->rows; i++) table[0][groups[i] - first]++;
  for (uint32_t g = 0; g < in->groups_span; g++)
    rows[first + g] += (uint64_t)table[0][g] + table[1][g] + table[2][g] + table[3][g];
}

static void add_rows(uint64_t *restrict rows, const struct input *in) {
  const uint32_t *groups = in->groups;
  if (!groups)
    rows[in->one] += in->rows;
  else if (groups_near(in))
    add_rows_near(rows, in);
  else
    EACH_ROW(in->rows, i, rows[groups[i]]++);
}

static void add_nulls(uint64_t *restrict nulls, const struct input *in) {
  const uint32_t *groups = in->groups;
  const uint64_t *valid = in->valid;
  if (!groups)
    nulls[in->one] += in->rows - bitmap_count(valid, in->rows);
  else
    EACH_ROW(in->rows, i, nulls[groups[i]] += !bitmap_get(valid, i));
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

static int128 sum_of(const int64_t *values, const uint64_t *valid, uint32_t rows) {
  struct halves h = valid ? sum_valid(values, valid, rows) : sum_all(values, rows);
  return halves_sum(&h);
}

/* Are the values so small that 2^16 of them, more than a vector has, add up within 63 bits? */
#define SMALL_BITS 46u
KERNEL static bool all_small(const int64_t *values, uint32_t rows) {
  uint64_t beyond = 0;
  for (uint32_t i = 0; i < rows; i++) beyond |= (uint64_t)values[i] + (UINT64_C(1) << SMALL_BITS);
  return beyond >> (SMALL_BITS + 1) == 0;
}

static void add_sum_near(int128 *restrict sum, const struct input *in) {
  int64_t table[LANES][NEAR];
  uint32_t i = 0;
  const uint32_t *groups = in->groups, first = in->groups_first;
  const int64_t *values = in->values;
  for (uint32_t lane = 0; lane < LANES; lane++) memset(table[lane], 0, in->groups_span * sizeof **table);
  for (; i + LANES <= in->rows; i += LANES)
    for (uint32_t lane = 0; lane < LANES; lane++) table[lane][groups[i + lane] - first] += values[i + lane];
  for (; i < in->rows; i++) table[0][groups[i] - first] += values[i];
  for (uint32_t g = 0; g < in->groups_span; g++)
    sum[first + g] += table[0][g] + table[1][g] + table[2][g] + table[3][g];
}

static void add_sum(int128 *restrict sum, const struct input *in) {
  const uint32_t *groups = in->groups;
  const int64_t *values = in->values;
  const uint64_t *valid = in->valid;
  if (!groups)
    sum[in->one] += sum_of(values, valid, in->rows);
  else if (!valid && groups_near(in) && in->rows <= 1u << 16 && all_small(values, in->rows))
    add_sum_near(sum, in);
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

static void add_range(int64_t *restrict least, int64_t *restrict greatest, const struct input *in) {
  const uint32_t *groups = in->groups;
  const int64_t *values = in->values;
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

/* How many values are an error's. */
KERNEL static uint64_t count_errors_all(const int64_t *values, uint32_t rows) {
  uint64_t n = 0;
  for (uint32_t i = 0; i < rows; i++) n += values[i] >= ERROR_STATUS;
  return n;
}

/* The same of those that are there. */
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
  const int64_t *values = in->values;
  if (groups)
    for (uint32_t i = 0; i < in->rows; i++) errors[groups[i]] += is_error(in, values, i);
  else if (in->valid)
    errors[in->one] += count_errors_valid(values, in->valid, in->rows);
  else
    errors[in->one] += count_errors_all(values, in->rows);
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
  if (!rc && (a->needs & NEED_DISTINCT))
    rc = distinct_add(&a->distinct, in->groups, in->one, in->values, in->valid, in->rows, error);
  return rc;
}
