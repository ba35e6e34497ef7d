/* aggregate_sets.c - law 2 and 3 of the aggregate room: bags hold every value once a row whatever their
 * size, their memory follows the distinct values, and nothing grows without its budget. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aggregate/bag.h"
#include "aggregate/distinct.h"
#include "aggregate/intern.h"
#include "base/hash.h"
#include "base/mem.h"
#include "support/allocations.h"

static int compare_values(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return x < y ? -1 : x > y;
}

/* Is the bag's only group the multiset of `values`? Sorts them. */
static void check_bag(struct bag *bag, int64_t *values, size_t n) {
  tally_error error;
  cr_assert_eq(bag_seal(bag, &error), 0);
  qsort(values, n, sizeof *values, compare_values);
  const struct bag_entry *entry;
  size_t entries = bag_group(bag, 7, &entry), at = 0;
  for (size_t e = 0; e < entries; e++)
    for (uint32_t c = 0; c < entry[e].count; c++) cr_assert(at < n && values[at++] == entry[e].value);
  cr_assert_eq(at, n);
  cr_assert_eq(bag_group(bag, 6, &entry), 0);
  cr_assert_eq(bag_group(bag, 8, &entry), 0);
}

Test(sets, a_bag_is_the_multiset_of_what_was_added_at_any_size) {
  tally_error error;
  struct budget budget;
  budget_init(&budget, 64u << 20, NULL);
  static const size_t sizes[] = {0, 1, 23, 24, 1000, 20000, 65536, 65537, 300000};
  int64_t *values = mem_alloc(300000 * sizeof *values);
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
    for (int spread = 0; spread < 3; spread++) {
      struct bag bag;
      bag_init(&bag, &budget);
      for (size_t i = 0; i < sizes[s]; i++) {
        uint64_t r = hash_mix(i + s * 1000003);
        values[i] = spread == 0 ? (int64_t)(r % 3) - 1 : spread == 1 ? (int64_t)(r % 70000) : (int64_t)r;
      }
      for (size_t i = 0; i < sizes[s]; i += 3000) {
        uint32_t n = (uint32_t)(sizes[s] - i < 3000 ? sizes[s] - i : 3000);
        cr_assert_eq(bag_add(&bag, NULL, 7, values + i, NULL, n, &error), 0);
      }
      check_bag(&bag, values, sizes[s]);
      bag_free(&bag);
    }
  mem_free(values);
  cr_assert_eq(budget_used(&budget), 0);
}

Test(sets, memory_follows_distinct_values_and_the_budget_ends_it) {
  tally_error error;
  struct budget budget;
  budget_init(&budget, 6u << 20, NULL);
  struct bag bag;
  bag_init(&bag, &budget);
  for (int64_t i = 0; i < 2000000; i++) /* few values fit at any number of rows */
    cr_assert_eq(bag_add_one(&bag, (uint32_t)(i % 5), i % 1000, &error), 0);
  bag_free(&bag);
  int rc = 0;
  for (int64_t i = 0; i < 2000000 && !rc; i++) rc = bag_add_one(&bag, 0, i, &error);
  cr_assert_eq(rc, TALLY_MEMORY_LIMIT);
  cr_assert(strstr(error.text, "does not fit"));
  bag_free(&bag);
  cr_assert_eq(budget_used(&budget), 0);
}

/* Distinct values in no order, some of them twice. */
static void add_mixed(struct bag *bag, uint32_t from, uint32_t to) {
  tally_error error;
  for (uint32_t i = from; i < to; i++)
    for (int twice = 0; twice <= (i % 16 == 0); twice++)
      cr_assert_eq(bag_add_one(bag, 0, (int64_t)hash_mix(i), &error), 0, "%u", i);
}

Test(sets, a_bag_takes_forty_bytes_a_pair_alone_and_merged_from_two) {
  const uint32_t n = 1000000;
  tally_error error;
  struct budget budget;
  budget_init(&budget, (uint64_t)n * BAG_PAIR + 2 * BAG_PENDING * sizeof(struct bag_entry), NULL);
  const struct bag_entry *entry;
  for (uint32_t cut = n / 2; cut <= n; cut += n / 4) {
    struct bag a, b;
    bag_init(&a, &budget);
    bag_init(&b, &budget);
    add_mixed(&a, 0, cut);
    add_mixed(&b, cut, n);
    static const uint32_t map[1] = {0};
    cr_assert_eq(bag_merge(&a, &b, map, NULL, &error), 0);
    cr_assert_eq(bag_seal(&a, &error), 0);
    cr_assert_eq(bag_group(&a, 0, &entry), n);
    bag_free(&a);
    bag_free(&b);
  }
  cr_assert_eq(budget_used(&budget), 0);
}

Test(sets, equal_texts_have_equal_numbers) {
  tally_error error;
  struct budget budget;
  budget_init(&budget, 16u << 20, NULL);
  struct intern intern;
  intern_init(&intern, &budget);
  uint32_t first, id;
  cr_assert_eq(intern_add(&intern, "", 0, &first, &error), 0);
  cr_assert_eq(first, 1);
  for (int round = 0; round < 2; round++)
    for (uint32_t i = 0; i < 50000; i++) {
      char text[32];
      int n = snprintf(text, sizeof text, "%u%s", i, i % 7 ? "" : "\xC3\xA9\xC3\xA9");
      cr_assert_eq(intern_add(&intern, text, (size_t)n, &id, &error), 0);
      cr_assert_eq(id, i + 2);
      tally_text back = intern_text(&intern, id);
      cr_assert(back.size == (size_t)n && memcmp(back.data, text, back.size) == 0);
    }
  cr_assert_eq(intern_text(&intern, 1).size, 0);
  intern_free(&intern);
  cr_assert_eq(budget_used(&budget), 0);
}

Test(sets, every_failed_allocation_is_an_error_and_gives_its_promise_back) {
  for (int allowed = 0; allowed < 60; allowed++) {
    tally_error error;
    struct budget budget;
    budget_init(&budget, 64u << 20, NULL);
    struct bag bag;
    struct distinct distinct;
    struct intern intern;
    bag_init(&bag, &budget);
    distinct_init(&distinct, 1000, &budget);
    intern_init(&intern, &budget);
    allocations_stop_after(allowed);
    int rc = 0;
    for (int64_t i = 0; i < 70000 && !rc; i++) rc = bag_add_one(&bag, (uint32_t)i, i, &error);
    for (uint32_t g = 1; g < 5000 && !rc; g += 1000) rc = distinct_grow(&distinct, g, &error);
    for (uint32_t i = 0, id; i < 3000 && !rc; i++)
      rc = intern_add(&intern, (char *)&i, sizeof i, &id, &error);
    if (!rc) rc = bag_seal(&bag, &error);
    allocations_again();
    cr_assert(rc == TALLY_NO_MEMORY || allocations_left >= 0);
    bag_free(&bag);
    distinct_free(&distinct);
    intern_free(&intern);
    cr_assert_eq(budget_used(&budget), 0);
  }
}
