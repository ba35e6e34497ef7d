/* query_events.c - events: their order with every column and NULL, its exact reverse, limits, and the same
 * answer in little memory. */
#include "base/hash.h"
#include "query_fixture.h"

static uint64_t state;
static uint64_t below(uint64_t n) { return hash_mix(state += 0x9E3779B97F4A7C15u) % n; }
static void seed_random(void) {
  const char *text = getenv("TALLY_SEED");
  state = text ? strtoull(text, NULL, 0) : 11;
  fprintf(stderr, "TALLY_SEED=%" PRIu64 "\n", state);
}

static char *events(struct fixture *f, tally_scan scan) { return fixture_events(f, &scan); }

Test(events, rows_are_printed_and_ordered_by_every_column) {
  struct fixture f;
  fixture_open(&f, 4u << 20);
  fixture_add(&f, 0, "2024-02-01T10:00:00Z|b|s|e|GET|1|2|3|4|5|0.00000015|{}");
  fixture_add(&f, 0, "2024-02-01T10:00:00Z||s|e|GET|1|2|3|4|5|1|{}");
  fixture_add(&f, 1, "2024-02-01T10:00:00Z|\"\"|||GET|||-2147483648||||");
  fixture_add(&f, 1, "2024-02-01T09:59:59.999999Z|a|s|e|GET|1|2|3|4|5|-12|{\"a\": \"|\"}");
  fixture_add(&f, 2, "2024-02-01T10:00:00Z|b|s|e|GET|1|2|3|4|5||{}");
  fixture_add(&f, 2, "2024-02-01T10:00:00Z|b|s|e|GET|1|2|3|4|5|-1|{}");
  static const char header[] =
      "timestamp|user_id|service_name|endpoint|method|request_size|response_size|duration_ms|"
      "status_code|tokens_used|cost|metadata\n";
  static const char *const rows[] = {
      "2024-02-01T09:59:59.999999Z|a|s|e|GET|1|2|3|4|5|-12.0000|{\"a\": \"|\"}\n",
      "2024-02-01T10:00:00.000000Z||\\N|\\N|GET|\\N|\\N|-2147483648|\\N|\\N|\\N|\\N\n",
      "2024-02-01T10:00:00.000000Z|b|s|e|GET|1|2|3|4|5|-1.0000|{}\n",
      "2024-02-01T10:00:00.000000Z|b|s|e|GET|1|2|3|4|5|0.00000015|{}\n",
      "2024-02-01T10:00:00.000000Z|b|s|e|GET|1|2|3|4|5|\\N|{}\n",
      "2024-02-01T10:00:00.000000Z|\\N|s|e|GET|1|2|3|4|5|1.0000|{}\n"};
  char ascending[2048], descending[2048];
  strcpy(ascending, header);
  strcpy(descending, header);
  for (int i = 0; i < 6; i++) strcat(ascending, rows[i]);
  for (int i = 6; i-- > 0;) strcat(descending, rows[i]);
  char *got = events(&f, (tally_scan){.limit = TALLY_NO_LIMIT});
  cr_expect_str_eq(got, ascending, "%s", got);
  free(got);
  got = events(&f, (tally_scan){.limit = TALLY_NO_LIMIT, .flags = TALLY_ORDER_DESC});
  cr_expect_str_eq(got, descending, "%s", got);
  free(got);
  got = events(&f, (tally_scan){.limit = 2, .columns = " cost,user_id , cost", .flags = TALLY_ORDER_DESC});
  cr_expect_str_eq(got, "cost|user_id|cost\n1.0000|\\N|1.0000\n\\N|b|\\N\n", "%s", got);
  free(got);
  got =
      events(&f, (tally_scan){.limit = TALLY_NO_LIMIT, .columns = "timestamp", .to = "2024-02-01T10:00:00Z"});
  cr_expect_str_eq(got, "timestamp\n2024-02-01T09:59:59.999999Z\n", "%s", got);
  free(got);
  got = events(&f, (tally_scan){.limit = TALLY_NO_LIMIT, .columns = "user", .to = "2024-02-01"});
  cr_expect(strstr(got, "usage: --columns 'user': there is no column user (did you mean user_id?)"), "%s",
            got);
  free(got);
  got = events(&f, (tally_scan){.limit = TALLY_NO_LIMIT, .columns = "metadata.a"});
  cr_expect(strstr(got, "usage: --columns 'metadata.a': events are shown by whole columns"), "%s", got);
  free(got);
  got = events(&f, (tally_scan){.limit = 0, .columns = "cost"});
  cr_expect_str_eq(got, "cost\n");
  free(got);
  got = events(&f, (tally_scan){.limit = 5, .columns = "cost", .from = "2025-01-01", .to = "2024-01-01"});
  cr_expect_str_eq(got, "cost\n");
  free(got);
  fixture_close(&f);
}

/* ------------------------------------------------------------------ against a naive order */

#define MOST 12000

static int compare_cell(const char *a, size_t a_size, const char *b, size_t b_size, int column) {
  bool a_null = a_size == 2 && memcmp(a, "\\N", 2) == 0, b_null = b_size == 2 && memcmp(b, "\\N", 2) == 0;
  if (a_null || b_null) return a_null - b_null;
  if (column_kind(column) == KIND_INT || column_kind(column) == KIND_COST)
    return decimal_compare(a, a_size, b, b_size);
  int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
  return order ? order : (a_size > b_size) - (a_size < b_size);
}

static int compare_lines(const void *x, const void *y) {
  const char *a = *(char *const *)x, *b = *(char *const *)y;
  for (int c = 0; c < COLUMNS; c++) {
    size_t n = strcspn(a, "|"), m = strcspn(b, "|");
    int order = compare_cell(a, n, b, m, c);
    if (order) return order;
    a += n + (a[n] != 0);
    b += m + (b[m] != 0);
  }
  return 0;
}

/* Cuts an answer into its lines, without the header. */
static size_t lines_of(char *text, char **lines) {
  size_t n = 0;
  strtok(text, "\n");
  for (char *line; (line = strtok(NULL, "\n"));) lines[n++] = line;
  return n;
}

static void add_random(struct fixture *f, int rows) {
  static const char *const texts[] = {"", "\"\"", "a", "b", "ab"};
  static const char *const documents[] = {"", "{}", "{\"a\":1}", "{\"a\":[1,2,3,4,5,6,7,8,9,10]}"};
  uint64_t instants = below(2) ? 4 : 100000;
  for (int i = 0; i < rows; i++) {
    char line[256];
    snprintf(line, sizeof line, "2024-02-01T00:%02d:%02d.%06dZ|%s|%s||GET|%d|||200|%s|%s|%s",
             (int)below(instants) % 60, (int)below(2), (int)below(instants), texts[below(5)], texts[below(5)],
             (int)below(3) - 1, below(2) ? "" : "7", below(3) ? "-0.5" : "", documents[below(4)]);
    fixture_add(f, (int)below(4), line);
  }
}

static void check_prefix(struct fixture *f, tally_scan scan, char **expected, size_t n, bool reverse) {
  static char *got[MOST];
  char *text = events(f, scan);
  size_t count = lines_of(text, got), wanted = scan.limit < n ? (size_t)scan.limit : n;
  cr_assert_eq(count, wanted, "%zu rows, not %zu: %s", count, wanted, count ? got[count - 1] : text);
  for (size_t i = 0; i < count; i++)
    cr_assert_str_eq(got[i], expected[reverse ? n - 1 - i : i], "row %zu", i);
  free(text);
}

static void check_orders(uint64_t share) {
  static char *expected[MOST];
  struct fixture f;
  fixture_open(&f, 4u << 20);
  add_random(&f, 1 + (int)below(MOST - 1));
  char *text = events(&f, (tally_scan){.limit = TALLY_NO_LIMIT, .flags = TALLY_ORDER_NONE});
  size_t n = lines_of(text, expected);
  qsort(expected, n, sizeof *expected, compare_lines);
  budget_init(&f.share, share, NULL);
  uint64_t limits[] = {TALLY_NO_LIMIT, 1, 1 + below(n), n};
  for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
    check_prefix(&f, (tally_scan){.limit = limits[i]}, expected, n, false);
    check_prefix(&f, (tally_scan){.limit = limits[i], .flags = TALLY_ORDER_DESC}, expected, n, true);
  }
  free(text);
  fixture_close(&f);
}

Test(events, order_is_that_of_a_naive_sort_in_much_and_in_little_memory) {
  seed_random();
  for (int i = 0; i < 6; i++) {
    check_orders(4u << 20);
    check_orders(UINT64_C(1000) << 10); /* a scanner's buffers, and some 2,600 rows */
  }
}

/* The next row, after a rest now and then; where memory is refused it says so, holds hardly any, and is given
 * more. */
static int next_in_need(struct fixture *f, struct result *result, uint64_t enough, int *refusals) {
  tally_error error;
  if (below(100) == 0) result_rest(result);
  f->share.limit = below(4) ? enough : budget_used(&f->share) + below(3000);
  int code = result_next(result, 9, &error);
  while (code == TALLY_MEMORY_LIMIT) {
    ++*refusals;
    cr_assert(!result_ended(result));
    cr_assert_lt(budget_used(&f->share), 100000, "%" PRIu64 " bytes at rest", budget_used(&f->share));
    f->share.limit = below(3) ? enough : budget_used(&f->share) + below(enough);
    code = result_next(result, 9, &error);
  }
  cr_assert_geq(code, 0, "%s", error.text);
  return code;
}

Test(events, a_scan_that_is_refused_memory_on_its_way_goes_on_where_it_stopped) {
  static const uint32_t flags[] = {0, TALLY_ORDER_DESC, TALLY_ORDER_NONE};
  static char *expected[MOST];
  seed_random();
  for (int i = 0; i < 9; i++) {
    struct fixture f;
    fixture_open(&f, 4u << 20);
    add_random(&f, 1 + (int)below(MOST - 1));
    tally_scan scan = {.limit = i < 6 ? TALLY_NO_LIMIT : 1 + below(MOST), .flags = flags[i % 3]};
    char *text = events(&f, scan);
    size_t n = lines_of(text, expected), row = 0;
    int refusals = 0;
    struct result *result = NULL;
    struct buffer line = {0};
    tally_error error;
    cr_assert_eq(events_open(&scan, &f.environment, &result, &error), TALLY_OK);
    for (; next_in_need(&f, result, UINT64_C(1000) << 10, &refusals) == TALLY_ROW; row++) {
      cr_assert_lt(row, n);
      buffer_clear(&line);
      fixture_row(&line, result_cells(result), result_columns(result));
      cr_assert(line.size == strlen(expected[row]) + 1 && !memcmp(line.data, expected[row], line.size - 1),
                "row %zu", row);
    }
    cr_assert_eq(row, n);
    cr_assert(n < 2000 || refusals > 0);
    result_free(result);
    buffer_free(&line);
    free(text);
    fixture_close(&f);
  }
}

/* So that a long answer begins soon: what is collected before it does is a part of it. */
Test(events, the_first_rows_of_many_come_from_a_small_window) {
  struct fixture f;
  fixture_open(&f, 4u << 20);
  for (int i = 0; i < MOST; i++) {
    char line[96];
    snprintf(line, sizeof line, "2024-02-01T00:%02d:%02d.%06dZ|a|b|c|GET|1|2|3|4|5|6|{}", i / 60 % 60, i % 60,
             i);
    fixture_add(&f, i % 4, line);
  }
  tally_error error;
  struct result *result = NULL;
  tally_scan scan = {.limit = TALLY_NO_LIMIT};
  cr_assert_eq(events_open(&scan, &f.environment, &result, &error), TALLY_OK);
  uint64_t first = 0, most = 0;
  int rows = 0;
  for (; result_next(result, 9, &error) == TALLY_ROW; rows++) {
    uint64_t used = budget_used(&f.share);
    if (rows == 0) first = used;
    if (used > most) most = used;
  }
  result_free(result);
  cr_expect_eq(rows, MOST);
  cr_expect_gt(most, first + MOST / 2 * 32, "%" PRIu64 " bytes at the first row, %" PRIu64 " later", first,
               most);
  fixture_close(&f);
}

Test(events, an_instant_that_does_not_fit_is_an_error) {
  struct fixture f;
  fixture_open(&f, UINT64_C(1000) << 10);
  for (int i = 0; i < 6000; i++) fixture_add(&f, i / 3000, "2024-02-01T00:00:00Z|a|b|c|GET|1|2|3|4|5|6|{}");
  char *got = events(&f, (tally_scan){.limit = TALLY_NO_LIMIT});
  cr_expect(strstr(got, "memory-limit: the set of events of a single instant of this query does not fit"),
            "%s", got);
  free(got);
  fixture_close(&f);
}
