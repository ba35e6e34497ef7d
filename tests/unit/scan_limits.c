/* scan_limits.c - a scan that cannot be right fails: without memory, over its budget, on damage, on
 * predicates that mean nothing; and threads that share a scan get what one gets. */
#include "scan_fixture.h"

#include "base/mem.h"
#include "os/thread.h"

static const uint32_t ids[DOMAINS] = {5000, 4, 30, 3};

static void make_parts(struct fixture *f) {
  uint64_t s = 77;
  fixture_begin(f, ids);
  for (int i = 0; i < 3; i++) {
    struct sample_shape shape = {
        6000, ids[0], ids[1], ids[2], ids[3], 3, false, JANUARY_START, JANUARY_START + DAY_US};
    struct rows rows;
    if (i < 2)
      sample_make(&s, &shape, &rows);
    else
      sample_arrivals(&s, &shape, &rows);
    if (i < 2)
      fixture_segment(f, rows, JANUARY);
    else
      fixture_memtable(f, rows, rows.count);
  }
}

static const struct json_key region[] = {{"region", 6}};
static const struct literal user_head = {"user_1", 6, false, 0}, eu = {"eu", 2, false, 0};
static const struct predicate wheres[] = {
    {{TALLY_COL_USER_ID, NULL, 0}, OP_PREFIX, &user_head, 1},
    {{TALLY_COL_METADATA, region, 1}, OP_EQ, &eu, 1},
};

/* Runs a whole scan of the parts from `first` on, in steps of `step`; the number of rows, or a code. */
static int64_t count_rows(const struct scan *scan, size_t first, size_t step, tally_error *error) {
  struct scanner *scanner = NULL;
  int result = scanner_new(scan, &scanner, error);
  int64_t rows = 0;
  for (size_t part = first; !result && part < scan_parts(scan); part += step) {
    const struct vector *v;
    result = scanner_part(scanner, part, INT64_MIN, INT64_MAX, error);
    while (!result && (result = scanner_next(scanner, &v, error)) == TALLY_ROW) {
      rows += v->rows;
      result = 0;
    }
  }
  scanner_free(scanner);
  return result ? result : rows;
}

static int64_t scan_all(const struct fixture *f, struct budget *budget, size_t where, tally_error *error) {
  struct scan_request q = {INT64_MIN, INT64_MAX, wheres, where, (1u << COLUMNS) - 1, NULL};
  struct scan *scan = NULL;
  int result = scan_new(&f->snapshot, &q, budget, &scan, error);
  int64_t rows = result ? result : count_rows(scan, 0, 1, error);
  scan_free(scan);
  return rows;
}

static size_t allocations, allocation_fails;
static int allow(size_t size) {
  (void)size;
  return allocations++ != allocation_fails;
}

Test(scan, fails_without_memory_and_gives_all_of_it_back, .timeout = 120) {
  struct fixture f;
  make_parts(&f);
  struct budget budget;
  tally_error error = {0};
  budget_init(&budget, 1u << 26, NULL);
  int64_t want = scan_all(&f, &budget, 2, &error), got = -1;
  cr_assert_gt(want, 0, "%s", error.text);
  for (size_t n = 0; got < 0 && n < 5000; n += 1 + n / 20) {
    allocations = 0;
    allocation_fails = n;
    mem_test_hook = allow;
    got = scan_all(&f, &budget, 2, &error);
    mem_test_hook = NULL;
    cr_assert(got == want || got == TALLY_NO_MEMORY, "allocation %zu: %s", n, error.text);
    if (got == want && allocations > n) got = -1; /* a cache that did without */
    cr_assert_eq(budget_used(&budget), 0, "allocation %zu", n);
    cache_shrink(f.cache, UINT64_MAX);
  }
  cr_assert_eq(got, want);
  for (uint64_t limit = 0; limit < 1u << 21; limit += 5000) {
    budget_init(&budget, limit, NULL);
    got = scan_all(&f, &budget, 2, &error);
    cr_assert(got == want || got == TALLY_MEMORY_LIMIT, "%lld: %s", (long long)got, error.text);
    cr_assert_eq(budget_used(&budget), 0);
  }
  cr_assert_eq(got, want, "%s", error.text);
  fixture_end(&f);
}

Test(scan, says_that_a_segment_is_damaged) {
  struct fixture f;
  make_parts(&f);
  struct budget budget;
  tally_error error = {0};
  budget_init(&budget, 1u << 26, NULL);
  cache_shrink(f.cache, UINT64_MAX);
  char name[64], path[400];
  segment_name(&f.segments[1]->info, name);
  snprintf(path, sizeof path, "%s/%s", f.path, name);
  FILE *file = fopen(path, "r+b");
  cr_assert(file);
  fseek(file, 5000, SEEK_SET);
  int byte = fgetc(file);
  fseek(file, 5000, SEEK_SET);
  fputc(byte ^ 1, file);
  fclose(file);
  cr_assert_eq(scan_all(&f, &budget, 0, &error), TALLY_CORRUPT);
  cr_assert(strstr(error.text, name), "%s", error.text);
  /* Ids that the snapshot's catalog has not given out would be indexes beyond its arrays. */
  f.snapshot.ids[2]--;
  cr_assert_eq(scan_all(&f, &budget, 0, &error), TALLY_CORRUPT);
  cr_assert(strstr(error.text, "scan-segment-ids"), "%s", error.text);
  cr_assert_eq(budget_used(&budget), 0);
  fixture_end(&f);
}

Test(scan, refuses_predicates_that_mean_nothing) {
  struct fixture f;
  make_parts(&f);
  struct budget budget;
  budget_init(&budget, 1u << 26, NULL);
  static const struct literal word = {"many", 4, false, 0};
  static const struct predicate bad[] = {
      {{TALLY_COL_METADATA, NULL, 0}, OP_EQ, &word, 1},
      {{TALLY_COL_TOKENS_USED, NULL, 0}, OP_EQ, &word, 1},
      {{TALLY_COL_COST, NULL, 0}, OP_PREFIX, &word, 1},
  };
  for (size_t i = 0; i < 3; i++) {
    struct scan_request q = {INT64_MIN, INT64_MAX, &bad[i], 1, 0, NULL};
    struct scan *scan;
    tally_error error = {0};
    cr_assert_eq(scan_new(&f.snapshot, &q, &budget, &scan, &error), TALLY_USAGE);
    cr_assert_gt(strlen(error.text), 20);
    cr_assert_eq(budget_used(&budget), 0);
  }
  fixture_end(&f);
}

struct worker {
  const struct scan *scan;
  size_t first;
  int64_t rows;
  struct os_thread thread;
};

static void *work(void *arg) {
  struct worker *w = arg;
  tally_error error = {0};
  w->rows = count_rows(w->scan, w->first, 1, &error);
  return NULL;
}

Test(scan, threads_that_share_a_scan_get_what_one_gets) {
  struct fixture f;
  make_parts(&f);
  struct budget budget;
  tally_error error = {0};
  budget_init(&budget, 1u << 26, NULL);
  struct scan_request q = {INT64_MIN, INT64_MAX, wheres, 1, (1u << COLUMNS) - 1, NULL};
  int64_t want = scan_all(&f, &budget, 1, &error);
  cache_shrink(f.cache, UINT64_MAX);
  struct scan *scan;
  cr_assert_eq(scan_new(&f.snapshot, &q, &budget, &scan, &error), 0);
  struct worker w[3];
  for (int i = 0; i < 3; i++) {
    w[i] = (struct worker){.scan = scan, .first = 0};
    cr_assert_eq(os_thread_start(&w[i].thread, work, &w[i]), 0);
  }
  for (int i = 0; i < 3; i++) {
    os_thread_join(&w[i].thread);
    cr_assert_eq(w[i].rows, want);
  }
  scan_free(scan);
  cr_assert_eq(budget_used(&budget), 0);
  fixture_end(&f);
}
