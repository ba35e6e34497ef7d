/* base_array.c - the loops of array.h give what one value after the other gives. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/hash.h"

#define MOST 300u

static uint64_t state;
static uint64_t next_random(void) { return hash_mix(state += 0x9E3779B97F4A7C15u); }

/* Near each other, anything, or at the ends. */
static int64_t some_value(uint64_t kind) {
  uint64_t r = next_random();
  return kind == 0   ? (int64_t)(r % 9) - 4
         : kind == 1 ? (int64_t)r
         : r % 2     ? INT64_MAX - (int64_t)(r % 3)
                     : INT64_MIN;
}

#define UNTOUCHED INT64_C(0x5A5A5A5A5A5A5A5A)

/* The loops over numbers of four bytes. */
static void check_widths(const uint32_t *v, uint32_t n) {
  const int32_t *numbers = (const int32_t *)v;
  int64_t to[MOST + 1];
  struct bounds b = {INT32_MAX, INT32_MIN};
  to[n] = UNTOUCHED;
  array_widen(numbers, n, to);
  for (uint32_t i = 0; i < n; i++) {
    cr_assert_eq(to[i], numbers[i]);
    if (numbers[i] < b.min) b.min = numbers[i];
    if (numbers[i] > b.max) b.max = numbers[i];
  }
  array_widen_ids(v, n, to);
  for (uint32_t i = 0; i < n; i++) cr_assert_eq(to[i], v[i]);
  cr_assert_eq(to[n], UNTOUCHED);
  if (!n) return;
  struct bounds got = array_bounds_narrow(numbers, n);
  cr_assert(got.min == b.min && got.max == b.max);
}

static void check(const int64_t *v, uint32_t n, struct bounds within) {
  uint64_t sum = 0;
  struct bounds b = {INT64_MAX, INT64_MIN};
  bool rises = true, falls = false, inside = true;
  uint32_t below = 0;
  uint32_t narrow[MOST];
  int64_t to[MOST];
  to[n ? n - 1 : 0] = UNTOUCHED;
  for (uint32_t i = 0; i < n; i++) {
    sum += (uint64_t)v[i];
    below += v[i] < within.max;
    if (v[i] < b.min) b.min = v[i];
    if (v[i] > b.max) b.max = v[i];
    if (i && v[i] <= v[i - 1]) rises = false;
    if (i && v[i] < v[i - 1]) falls = true;
    if (v[i] < within.min || v[i] > within.max) inside = false;
  }
  cr_assert_eq(array_sum(v, n), sum);
  struct bounds got = array_bounds(v, n);
  cr_assert(got.min == b.min && got.max == b.max);
  cr_assert_eq(array_count_below(v, n, within.max), below);
  cr_assert_eq(array_rises(v, n), rises);
  cr_assert_eq(array_falls(v, n), falls);
  cr_assert_eq(array_within(v, n, within), inside, "%" PRId64 " to %" PRId64, within.min, within.max);
  cr_assert(n == 0 || array_within(v, n, b));
  array_narrow(v, n, narrow);
  for (uint32_t i = 0; i < n; i++) cr_assert_eq(narrow[i], (uint32_t)v[i]);
  check_widths(narrow, n);
  array_differences(v, n, to);
  for (uint32_t i = 1; i < n; i++) cr_assert_eq(to[i - 1], (int64_t)((uint64_t)v[i] - (uint64_t)v[i - 1]));
  cr_assert_eq(to[n ? n - 1 : 0], UNTOUCHED);
}

Test(array, loops_give_what_one_value_after_the_other_gives) {
  const char *text = getenv("TALLY_SEED");
  state = text ? strtoull(text, NULL, 0) : 20261130;
  fprintf(stderr, "TALLY_SEED=%" PRIu64 "\n", state);
  static int64_t v[MOST];
  for (int round = 0; round < 20000; round++) {
    uint32_t n = (uint32_t)(next_random() % (round % 2 ? 20 : MOST));
    uint64_t kind = next_random() % 4; /* 3: in order, but for one perhaps */
    for (uint32_t i = 0; i < n; i++) v[i] = kind < 3 ? some_value(kind) : (int64_t)i * 3 - 40;
    if (kind == 3 && n && next_random() % 2) v[next_random() % n] += (int64_t)(next_random() % 9) - 4;
    struct bounds within = {some_value(next_random() % 3), some_value(next_random() % 3)}; /* or none */
    check(v, n, within);
  }
}
