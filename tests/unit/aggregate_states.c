/* aggregate_states.c - law 1 and 2 of the aggregate room: any split of the rows, merged in any order, gives
 * the answer of a naive computation; sums are exact or an error; NULL is skipped. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aggregate/aggregate.h"
#include "base/bitmap.h"
#include "base/hash.h"
#include "base/mem.h"

#define ROWS 3000
#define GROUPS 37
#define ALL (NEED_ROWS | NEED_NULLS | NEED_SUM | NEED_RANGE | NEED_VALUES | NEED_DISTINCT | NEED_ERRORS)

static uint64_t state;
static uint64_t next_random(void) { return hash_mix(state += 0x9E3779B97F4A7C15u); }
static uint64_t below(uint64_t n) { return next_random() % n; }

static void seed_random(void) {
  const char *text = getenv("TALLY_SEED");
  state = text ? strtoull(text, NULL, 0) : 20240201;
  fprintf(stderr, "TALLY_SEED=%" PRIu64 "\n", state);
}

struct table {
  uint32_t rows;
  uint32_t group[ROWS];
  int64_t value[ROWS];
  uint64_t valid[ROWS / 64 + 1];
};

/* Values from few to all different, small to the ends of int64; NULLs or none; groups in stretches or not. */
static void fill_table(struct table *t, uint32_t ids) {
  uint64_t kind = ids ? 0 : below(4), nulls = below(2), stay = (const uint64_t[]){1, 8, 300}[below(3)];
  t->rows = (uint32_t)(1 + below(ROWS));
  memset(t->valid, 0, sizeof t->valid);
  for (uint32_t i = 0; i < t->rows; i++) {
    t->group[i] = i && below(stay) ? t->group[i - 1] : (uint32_t)below(GROUPS);
    t->value[i] = kind == 0   ? (int64_t)below(ids ? ids + 1 : 5)
                  : kind == 1 ? (int64_t)below(1000) - 300
                  : kind == 2 ? (int64_t)next_random()
                              : (below(2) ? INT64_MAX : INT64_MIN);
    if (!nulls || below(4)) bitmap_set(t->valid, i);
  }
}

static int compare_values(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return x < y ? -1 : x > y;
}

static uint64_t naive_rank(uint32_t percent, uint64_t n) {
  uint64_t rank = 1;
  while ((uint128)rank * 100000000u < (uint128)percent * n) rank++;
  return rank;
}

static struct number naive(const struct table *t, uint32_t group, enum aggregate_function f,
                           uint32_t percent) {
  static int64_t sorted[ROWS];
  uint64_t n = 0, errors = 0, distinct = 0;
  int128 sum = 0;
  for (uint32_t i = 0; i < t->rows; i++) {
    if (t->group[i] != group || !bitmap_get(t->valid, i)) continue;
    sorted[n++] = t->value[i];
    sum += t->value[i];
    errors += t->value[i] >= 400;
  }
  qsort(sorted, n, sizeof *sorted, compare_values);
  for (uint64_t i = 0; i < n; i++) distinct += i == 0 || sorted[i] != sorted[i - 1];
  switch (f) {
  case AGGREGATE_COUNT:
    return (struct number){false, (int128)n};
  case AGGREGATE_SUM:
    return (struct number){n == 0, sum};
  case AGGREGATE_MIN:
    return (struct number){n == 0, n ? sorted[0] : 0};
  case AGGREGATE_MAX:
    return (struct number){n == 0, n ? sorted[n - 1] : 0};
  case AGGREGATE_PERCENTILE:
    return (struct number){n == 0, n ? sorted[naive_rank(percent, n) - 1] : 0};
  case AGGREGATE_DISTINCT:
    return (struct number){false, (int128)distinct};
  case AGGREGATE_ERRORS:
    return (struct number){false, (int128)errors};
  default:
    return (struct number){true, 0};
  }
}

static void check_group(const struct table *t, const struct accumulator *a, uint32_t group,
                        uint32_t in_table) {
  static const enum aggregate_function functions[] = {
      AGGREGATE_COUNT,  AGGREGATE_SUM,      AGGREGATE_MIN,       AGGREGATE_MAX,
      AGGREGATE_ERRORS, AGGREGATE_DISTINCT, AGGREGATE_PERCENTILE};
  static const uint32_t percents[] = {1, 50000000, 95000000, 99999999, 100000000};
  tally_error error;
  size_t count = sizeof functions / sizeof *functions;
  if (!(a->needs & NEED_VALUES)) count--; /* no percentiles */
  if (!(a->needs & NEED_DISTINCT)) count--;
  for (size_t f = 0; f < count; f++)
    for (size_t q = 0; q < (functions[f] == AGGREGATE_PERCENTILE ? 5 : 1); q++) {
      struct aggregate aggregate = {functions[f], SCALE_INTEGER, percents[q]};
      struct number got, expected = naive(t, in_table, functions[f], percents[q]);
      cr_assert_eq(aggregate_result(&aggregate, a, group, a->rows[group], &got, &error), 0);
      cr_assert_eq(got.null, expected.null, "function %d, group %u", (int)functions[f], in_table);
      cr_assert(got.null || got.value == expected.value, "function %d, group %u", (int)functions[f],
                in_table);
    }
}

/* Codes for the groups of rows, in another order than theirs and with gaps, some of them beyond the rows'. */
static const struct near_groups *make_near(const uint32_t *groups, uint32_t n) {
  static struct near_groups near;
  static uint8_t code[ROWS];
  uint32_t multiplier = 1 + 2 * (uint32_t)below(3), most = 0;
  for (uint32_t c = 0; c < NEAR_GROUPS; c++) near.group[c] = groups[0];
  for (uint32_t i = 0; i < n; i++) {
    uint32_t c = (GROUPS - 1 - groups[i]) * multiplier;
    code[i] = (uint8_t)c;
    near.group[c] = groups[i];
    if (c > most) most = c;
  }
  near.code = code;
  near.count = below(2) ? most + 1 : NEAR_GROUPS;
  near_groups_count(&near, n);
  return &near;
}

static const struct stretches *make_stretches(const uint32_t *groups, uint32_t n) {
  static struct stretches stretches;
  static uint8_t ends[ROWS];
  static uint32_t first[STRETCHES_MOST + 1], group[STRETCHES_MOST];
  stretches = (struct stretches){0, ends, first, group};
  for (uint32_t i = 0; i < n; i++) {
    ends[i] = i + 1 == n || groups[i + 1] != groups[i];
    if (!ends[i]) continue;
    if (stretches.count == STRETCHES_MOST) return NULL;
    group[stretches.count++] = groups[i];
    first[stretches.count] = i + 1;
  }
  return &stretches;
}

/* Their bounds, or wider ones. */
static void find_bounds(struct input *in) {
  in->least = INT64_MAX;
  in->greatest = INT64_MIN;
  for (uint32_t i = 0; i < in->rows; i++) {
    if (in->valid && !bitmap_get(in->valid, i)) continue;
    if (in->values[i] < in->least) in->least = in->values[i];
    if (in->values[i] > in->greatest) in->greatest = in->values[i];
  }
  if (below(2) || in->least > in->greatest) return;
  in->least = in->least > INT64_MIN + 1000 ? in->least - (int64_t)below(1000) : INT64_MIN;
  in->greatest = in->greatest < INT64_MAX - 1000 ? in->greatest + (int64_t)below(1000) : INT64_MAX;
}

/* Adds rows [from, to) in vectors of odd lengths, group g as number[g]. */
static void add_rows(struct accumulator *a, const struct table *t, uint32_t from, uint32_t to,
                     const uint32_t *number) {
  tally_error error;
  static uint32_t groups[ROWS];
  static uint64_t valid[ROWS / 64 + 1];
  while (from < to) {
    uint32_t n = (uint32_t)(1 + below(to - from)), same = 1;
    memset(valid, 0, sizeof valid);
    uint32_t all = 1;
    for (uint32_t i = 0; i < n; i++) {
      groups[i] = number[t->group[from + i]];
      same &= groups[i] == groups[0];
      if (bitmap_get(t->valid, from + i))
        bitmap_set(valid, i);
      else
        all = 0;
    }
    struct input in = {.rows = n, .one = groups[0], .values = t->value + from, .valid = all ? NULL : valid};
    if (!same) in.groups = groups;
    if (!same && below(2)) in.near = make_near(groups, n);
    if (!same && !(a->needs & (NEED_VALUES | NEED_DISTINCT)) && below(2))
      in.stretches = make_stretches(groups, n);
    if (in.near && !(a->needs & NEED_VALUES) && below(2)) in.groups = NULL;
    find_bounds(&in);
    cr_assert_eq(accumulator_add(a, &in, &error), 0);
    from += n;
  }
}

static void shuffle(uint32_t *number) {
  for (uint32_t i = 0; i < GROUPS; i++) number[i] = i;
  for (uint32_t i = GROUPS; i-- > 1;) {
    uint32_t j = (uint32_t)below(i + 1), x = number[i];
    number[i] = number[j];
    number[j] = x;
  }
}

/* One table, cut into three accumulators with group numbers of their own, merged as (a+b)+c or a+(b+c). */
static void check_split(uint32_t ids, struct budget *budget) {
  static const uint32_t without[] = {0, NEED_VALUES, NEED_VALUES | NEED_DISTINCT};
  const uint32_t needs = ALL & ~without[below(3)];
  static struct table t;
  tally_error error;
  struct accumulator a[3];
  uint32_t number[3][GROUPS], map[3][GROUPS]; /* map[k][g]: number of group g of a[k] in its target */
  fill_table(&t, ids);
  uint32_t cut[4] = {0, (uint32_t)below(t.rows + 1), 0, t.rows};
  cut[2] = cut[1] + (uint32_t)below(t.rows - cut[1] + 1);
  uint32_t first = (uint32_t)below(2); /* which pair goes first */
  for (int k = 0; k < 3; k++) {
    shuffle(number[k]);
    accumulator_init(&a[k], needs, ids, budget);
    cr_assert_eq(accumulator_grow(&a[k], GROUPS, &error), 0);
    add_rows(&a[k], &t, cut[k], cut[k + 1], number[k]);
  }
  int order[2][2] = {{(int)first, (int)first + 1}, {0, first ? 1 : 2}}; /* target, source */
  for (int m = 0; m < 2; m++) {
    int to = order[m][0], from = order[m][1];
    for (uint32_t g = 0; g < GROUPS; g++) map[from][number[from][g]] = number[to][g];
    cr_assert_eq(accumulator_merge(&a[to], &a[from], map[from], NULL, &error), 0);
  }
  cr_assert_eq(accumulator_seal(&a[0], &error), 0);
  for (uint32_t g = 0; g < GROUPS; g++) check_group(&t, &a[0], number[0][g], g);
  for (int k = 0; k < 3; k++) accumulator_free(&a[k]);
}

Test(aggregate, any_split_merged_in_any_order_gives_the_naive_answer) {
  seed_random();
  struct budget budget;
  budget_init(&budget, 64u << 20, NULL);
  for (int round = 0; round < 300; round++) {
    check_split(0, &budget);
    check_split(9, &budget);
  }
  struct budget tight; /* so small that the bitmaps of distinct turn into bags */
  budget_init(&tight, 8u << 20, NULL);
  for (int round = 0; round < 20; round++) check_split(600000, &tight);
  cr_assert_eq(budget_used(&budget), 0);
  cr_assert_eq(budget_used(&tight), 0);
}

Test(aggregate, merging_checks_sums_and_single_rows_cannot_overflow) {
  tally_error error;
  struct budget budget;
  budget_init(&budget, 1u << 20, NULL);
  struct accumulator a, b;
  uint32_t map[1] = {0};
  accumulator_init(&a, NEED_SUM, 0, &budget);
  accumulator_init(&b, NEED_SUM, 0, &budget);
  cr_assert_eq(accumulator_grow(&a, 1, &error), 0);
  cr_assert_eq(accumulator_grow(&b, 1, &error), 0);
  a.sum[0] = INT128_MAX - 5;
  b.sum[0] = 5;
  cr_assert_eq(accumulator_merge(&a, &b, map, NULL, &error), 0);
  cr_assert(a.sum[0] == INT128_MAX);
  b.sum[0] = 1;
  cr_assert_eq(accumulator_merge(&a, &b, map, NULL, &error), TALLY_OVERFLOW);
  struct aggregate avg = {AGGREGATE_AVG, SCALE_INTEGER, 0};
  struct number n;
  cr_assert_eq(aggregate_result(&avg, &a, 0, 3, &n, &error), TALLY_OVERFLOW);
  accumulator_free(&a);
  accumulator_free(&b);
}

static void check_print(enum aggregate_function f, enum aggregate_scale scale, int128 sum, uint64_t count,
                        const char *expected) {
  tally_error error;
  char text[AGGREGATE_PUT_MOST + 1];
  uint64_t errors = (uint64_t)sum;
  struct accumulator a = {.sum = &sum, .errors = &errors};
  struct aggregate aggregate = {f, scale, 0};
  struct number n;
  cr_assert_eq(aggregate_result(&aggregate, &a, 0, count, &n, &error), 0);
  if (!n.null) *aggregate_put(&aggregate, n.value, text) = '\0';
  cr_assert_str_eq(n.null ? "NULL" : text, expected);
}

Test(aggregate, values_print_as_the_contract_says) {
  check_print(AGGREGATE_AVG, SCALE_INTEGER, 1, 3, "0.333333");
  check_print(AGGREGATE_AVG, SCALE_INTEGER, -2, 3, "-0.666667");
  check_print(AGGREGATE_AVG, SCALE_INTEGER, 1, 2000000, "0.000000"); /* 0.0000005 to even */
  check_print(AGGREGATE_AVG, SCALE_INTEGER, 3, 2000000, "0.000002"); /* 0.0000015 to even */
  check_print(AGGREGATE_AVG, SCALE_INTEGER, -3, 2000000, "-0.000002");
  check_print(AGGREGATE_AVG, SCALE_INTEGER, -1, 2000001, "0.000000");
  check_print(AGGREGATE_AVG, SCALE_INTEGER, 10, 5, "2.000000");
  check_print(AGGREGATE_AVG, SCALE_INTEGER, 10, 0, "NULL");
  check_print(AGGREGATE_AVG, SCALE_COST, 25, 10, "0.000000002");
  check_print(AGGREGATE_AVG, SCALE_COST, 35, 10, "0.000000004");
  check_print(AGGREGATE_AVG, SCALE_COST, 1000000000, 3, "0.333333333");
  check_print(AGGREGATE_AVG, SCALE_METADATA, 1500, 1, "0.000002"); /* 0.0000015 to even */
  check_print(AGGREGATE_AVG, SCALE_METADATA, 2000000000, 3, "0.666667");
  check_print(AGGREGATE_SUM, SCALE_COST, 12400000, 1, "0.0124");
  check_print(AGGREGATE_SUM, SCALE_COST, 150, 1, "0.00000015");
  check_print(AGGREGATE_SUM, SCALE_METADATA, 3000000000, 1, "3");
  check_print(AGGREGATE_SUM, SCALE_INTEGER, -7, 1, "-7");
  check_print(AGGREGATE_SUM, SCALE_INTEGER, 0, 0, "NULL");
  check_print(AGGREGATE_COUNT, SCALE_COST, 9, 0, "0");
  check_print(AGGREGATE_ERROR_RATE, SCALE_INTEGER, 2, 3, "0.666667");
  check_print(AGGREGATE_ERROR_RATE, SCALE_INTEGER, 0, 0, "NULL");
  check_print(AGGREGATE_ERRORS, SCALE_INTEGER, 2, 0, "2");
}
