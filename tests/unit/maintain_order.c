/* The order of a segment's rows, against a slow sort that is certainly right. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "maintain/order.h"
#include "unit/model_random.h"

#define MOST 20000u

static struct rows rows;
static int64_t timestamp[MOST];
static uint32_t user[MOST], service[MOST];
static uint32_t order[MOST], expected[MOST];
static uint64_t scratch[2][MOST];

static void begin(void) {
  random_start();
  rows.timestamp = timestamp;
  rows.text[column_domain(TALLY_COL_USER_ID)] = user;
  rows.text[column_domain(TALLY_COL_SERVICE_NAME)] = service;
}

static int by_place(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  int32_t m = month_of(timestamp[x]), n = month_of(timestamp[y]);
  if (m != n) return m < n ? -1 : 1;
  if (service[x] != service[y]) return service[x] < service[y] ? -1 : 1;
  if (user[x] != user[y]) return user[x] < user[y] ? -1 : 1;
  if (timestamp[x] != timestamp[y]) return timestamp[x] < timestamp[y] ? -1 : 1;
  return x < y ? -1 : x > y; /* of equal rows the one that came first */
}

static void check(const char *what) {
  for (uint32_t i = 0; i < rows.count; i++) expected[i] = i;
  qsort(expected, rows.count, sizeof *expected, by_place);
  order_rows(&rows, order, &(struct order_scratch){{scratch[0], scratch[1]}});
  for (uint32_t i = 0; i < rows.count; i++)
    cr_assert_eq(order[i], expected[i], "%s, %u rows: place %u has row %u, not %u", what, rows.count, i,
                 order[i], expected[i]);
}

/* Times in steps of `step`, of which one in `late_in` (0: none) lies up to `back` before its place. */
static void fill(uint32_t count, uint64_t step, uint64_t late_in, uint64_t back) {
  int64_t t = INT64_C(1704067200000000) + (int64_t)random_below(UINT64_C(40) * 86400 * 1000000);
  rows.count = count;
  for (uint32_t i = 0; i < count; i++) {
    t += (int64_t)random_below(step + 1);
    timestamp[i] = late_in && random_below(late_in) == 0 ? t - (int64_t)random_below(back + 1) : t;
    user[i] = (uint32_t)(random_below(1 + random_below(300)));
    service[i] = (uint32_t)random_below(4);
  }
}

Test(order, rows_in_order_of_time_with_few_that_are_late_are_sorted_stably) {
  begin();
  for (uint32_t round = 0; round < 60; round++) {
    fill(1 + (uint32_t)random_below(MOST - 1), random_below(50), 10 + random_below(200), random_below(5000));
    check("few late");
  }
}

Test(order, rows_in_any_order_of_time_are_sorted_stably) {
  begin();
  for (uint32_t round = 0; round < 30; round++) {
    fill(1 + (uint32_t)random_below(MOST - 1), random_below(1000), 1 + random_below(8),
         random_below(1u << 30));
    check("many late");
  }
}

Test(order, few_rows_and_rows_of_many_months_are_sorted) {
  begin();
  for (uint32_t count = 1; count < 40; count++) {
    fill(count, 3, 3, 4);
    check("few rows");
  }
  fill(MOST, UINT64_C(3600) * 1000000, 50, UINT64_C(86400) * 40 * 1000000);
  check("many months");
  for (uint32_t days = 1; days < 240; days += 7) { /* up to nine months */
    fill(MOST / 8, days * UINT64_C(86400) * 1000000 / (MOST / 8) * 2, 3 * (days % 4),
         UINT64_C(86400) * 1000000);
    check("some months");
  }
}
