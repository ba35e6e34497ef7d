/* Cursors of <tally.h>: how they end. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <tally.h>

#include "support/temporary.h"

static uint64_t figure(tally_store *store, const char *name) {
  tally_cursor *c;
  tally_error e;
  uint64_t value = UINT64_MAX;
  cr_assert_eq(tally_stats_open(store, &c, &e), 0);
  while (tally_cursor_next(c, &e) == TALLY_ROW)
    if (strcmp(tally_cursor_cell(c, 0).data, name) == 0)
      value = strtoull(tally_cursor_cell(c, 1).data, NULL, 10);
  tally_cursor_close(c);
  return value;
}

static uint32_t random_below(uint64_t *state, uint32_t n) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(*state >> 33) % n;
}

/* A few rows of many texts, some with long metadata, within so many seconds. */
static void append_some(tally_store *store, uint64_t *random, uint32_t rows, uint32_t seconds) {
  static char note[3000];
  tally_batch *b = tally_batch_new();
  tally_error e;
  tally_receipt receipt;
  const void *bytes;
  size_t size;
  for (uint32_t i = 0; i < rows; i++) {
    char user[16];
    int n = snprintf(user, sizeof user, "u%u", random_below(random, 300));
    size_t length = 10 + random_below(random, random_below(random, 8) ? 40 : sizeof note - 10);
    memset(note, 'a' + (int)random_below(random, 20), length);
    memcpy(note, "{\"n\":\"", 6);
    memcpy(note + length - 2, "\"}", 2);
    tally_event event = {.timestamp = random_below(random, seconds) * INT64_C(1000000),
                         .user_id = {user, (size_t)n},
                         .metadata = {note, length},
                         .tokens_used = (int32_t)random_below(random, 1000)};
    event.present = 1u << TALLY_COL_TOKENS_USED;
    cr_assert_eq(tally_batch_add(b, &event, &e), 0, "%s", e.text);
  }
  cr_assert_eq(tally_batch_finish(b, &bytes, &size, &e), 0);
  cr_assert_eq(tally_append(store, bytes, size, NULL, &receipt, &e), 0, "%s", e.text);
  tally_batch_free(b);
}

/* Rows of both cursors are the same; the second one rests now and then. */
static void compare_with_rests(tally_store *store, const tally_scan *scan, uint64_t *random, uint32_t each) {
  tally_cursor *plain, *resting;
  tally_error e;
  cr_assert_eq(tally_scan_open(store, scan, &plain, &e), 0, "%s", e.text);
  cr_assert_eq(tally_scan_open(store, scan, &resting, &e), 0, "%s", e.text);
  int result = TALLY_ROW;
  for (uint64_t row = 0; result == TALLY_ROW; row++) {
    for (uint32_t rests = random_below(random, each) ? 0 : 1 + random_below(random, 2); rests; rests--)
      tally_cursor_rest(resting);
    result = tally_cursor_next(plain, &e);
    cr_assert_eq(tally_cursor_next(resting, &e), result, "row %d: %s", (int)row, e.text);
    for (size_t c = 0; result == TALLY_ROW && c < tally_cursor_columns(plain); c++) {
      tally_text a = tally_cursor_cell(plain, c), b = tally_cursor_cell(resting, c);
      cr_assert(a.size == b.size && !a.data == !b.data && (!a.size || memcmp(a.data, b.data, a.size) == 0),
                "row %d, column %d", (int)row, (int)c);
    }
  }
  tally_cursor_rest(resting);
  cr_assert_eq(tally_cursor_next(resting, &e), result, "it stays ended");
  tally_cursor_close(plain);
  tally_cursor_close(resting);
}

static bool same_text(tally_text a, tally_text b) {
  return a.size == b.size && !a.data == !b.data && (!a.size || memcmp(a.data, b.data, a.size) == 0);
}

/* Moves both: `many` by some rows, and it rests now and then; `single` by as many, one by one. Closes both at
 * the end. */
static void compare_many(tally_cursor *single, tally_cursor *many, uint64_t *random, uint32_t most_rows) {
  const size_t columns = tally_cursor_columns(single);
  tally_error e;
  int result = TALLY_ROW;
  while (result == TALLY_ROW) {
    const tally_text *cells = NULL;
    size_t rows = 99, most = random_below(random, most_rows);
    if (random_below(random, 3) == 0) tally_cursor_rest(many);
    result = tally_cursor_rows(many, most, &cells, &rows, &e);
    cr_assert_geq(result, 0, "%s", e.text);
    cr_assert(result == TALLY_ROW ? rows >= 1 && rows <= (most ? most : 1) : rows == 0);
    for (size_t i = 0, bytes = 0; i + columns < rows * columns; i++) {
      bytes += 4 + cells[i].size; /* as in a frame */
      cr_assert_lt(bytes, 16384, "so that a frame of them does not become much longer than others");
    }
    for (size_t row = 0; row < rows; row++) {
      cr_assert_eq(tally_cursor_next(single, &e), TALLY_ROW, "%s", e.text);
      for (size_t c = 0; c < columns; c++)
        cr_assert(same_text(tally_cursor_cell(single, c), cells[row * columns + c]), "row %zu, column %zu",
                  row, c);
    }
    for (size_t c = 0; rows && c < columns; c++)
      cr_assert(same_text(tally_cursor_cell(many, c), cells[(rows - 1) * columns + c]),
                "a cell of the last row");
  }
  cr_assert_eq(tally_cursor_next(single, &e), TALLY_OK, "%s", e.text);
  tally_cursor_close(single);
  tally_cursor_close(many);
}

Test(api, rows_are_the_same_one_by_one_and_many_at_a_time) {
  struct temporary t = temporary_make();
  tally_error e;
  tally_store *store;
  uint64_t random = 11;
  tally_cursor *a, *b;
  tally_options o;
  tally_options_init(&o);
  o.create = true;
  cr_assert_eq(tally_open(t.path, &o, &store, &e), 0, "%s", e.text);
  append_some(store, &random, 3000, 86400);
  const char *const groups[] = {"user_id", "user_id,metadata.n", "tokens_used", NULL};
  for (size_t i = 0; i < 4; i++) {
    tally_query query;
    tally_query_init(&query);
    query.group_by = groups[i];
    query.aggregates = "count,sum:tokens_used,avg:cost,p50:duration_ms,max:timestamp";
    query.from = "1970-01-01";
    query.to = "1970-01-02";
    query.bucket = i ? "1h" : NULL;
    query.flags = i == 2 ? TALLY_FILL : 0;
    for (uint32_t most = 1; most <= 200; most += 33) {
      cr_assert_eq(tally_query_open(store, &query, &a, &e), 0, "%s", e.text);
      cr_assert_eq(tally_query_open(store, &query, &b, &e), 0, "%s", e.text);
      compare_many(a, b, &random, most);
    }
  }
  char wide[8000] = "count";
  for (int i = 1; i < 500; i++) sprintf(wide + strlen(wide), ",p%d.%d:cost", i / 10 + 1, i % 10);
  tally_query query;
  tally_query_init(&query);
  query.group_by = "user_id";
  query.aggregates = wide;
  cr_assert_eq(tally_query_open(store, &query, &a, &e), 0, "%s", e.text);
  cr_assert_eq(tally_query_open(store, &query, &b, &e), 0, "%s", e.text);
  compare_many(a, b, &random, 200);
  tally_scan scan;
  tally_scan_init(&scan);
  scan.limit = 500;
  cr_assert_eq(tally_scan_open(store, &scan, &a, &e), 0, "%s", e.text);
  cr_assert_eq(tally_scan_open(store, &scan, &b, &e), 0, "%s", e.text);
  compare_many(a, b, &random, 20);
  cr_assert_eq(tally_stats_open(store, &a, &e), 0, "%s", e.text);
  cr_assert_eq(tally_stats_open(store, &b, &e), 0, "%s", e.text);
  compare_many(a, b, &random, 20);
  cr_assert_eq(tally_close(store, &e), 0, "%s", e.text);
  temporary_remove(&t);
}

Test(api, a_cursor_that_rests_between_rows_gives_the_same_rows_and_holds_hardly_any_memory) {
  struct temporary t = temporary_make();
  tally_error e;
  tally_options o;
  uint64_t random = 20240101;
  tally_options_init(&o);
  o.create = true;
  o.memory = 128u << 20;
  tally_store *store;
  cr_assert_eq(tally_open(t.path, &o, &store, &e), 0);
  for (int i = 0; i < 6; i++) {
    append_some(store, &random, 9000, 5000000);
    if (i % 2 == 0) cr_assert_eq(tally_flush(store, &e), 0);
  }
  tally_scan scan;
  tally_scan_init(&scan);
  const char *where[] = {"tokens_used < 700"};
  scan.where = where;
  static const uint32_t order[] = {0, TALLY_ORDER_DESC, TALLY_ORDER_NONE};
  for (unsigned i = 0; i < 12; i++) {
    scan.flags = order[i % 3];
    scan.where_count = i / 3 % 2;
    scan.limit = i < 6 ? TALLY_NO_LIMIT : 1 + random_below(&random, 20000);
    compare_with_rests(store, &scan, &random, i < 3 ? 10000 : 3000);
  }
  scan.limit = TALLY_NO_LIMIT;
  for (unsigned i = 0; i < 3; i++) {
    tally_cursor *c;
    scan.flags = order[i];
    cr_assert_eq(tally_scan_open(store, &scan, &c, &e), 0);
    for (int k = 0; k < 5; k++) cr_assert_eq(tally_cursor_next(c, &e), TALLY_ROW);
    cr_assert_gt(figure(store, "memory_queries"), 200000);
    tally_cursor_rest(c);
    cr_assert_lt(figure(store, "memory_queries"), 50000);
    cr_assert_eq(tally_cursor_next(c, &e), TALLY_ROW);
    tally_cursor_close(c);
  }
  cr_assert_eq(figure(store, "memory_queries"), 0);
  cr_assert_eq(tally_close(store, &e), 0);
  temporary_remove(&t);
}

/* The rows of `limited` are the first ones of `whole`. */
static void compare_first(tally_store *store, const tally_scan *whole, uint64_t limit) {
  tally_cursor *all, *some;
  tally_error e;
  tally_scan scan = *whole;
  scan.limit = limit;
  cr_assert_eq(tally_scan_open(store, whole, &all, &e), 0, "%s", e.text);
  cr_assert_eq(tally_scan_open(store, &scan, &some, &e), 0, "%s", e.text);
  for (uint64_t row = 0; row <= limit; row++) {
    int wanted = row < limit ? tally_cursor_next(all, &e) : TALLY_OK;
    cr_assert_eq(tally_cursor_next(some, &e), wanted, "limit %d, row %d: %s", (int)limit, (int)row, e.text);
    if (wanted != TALLY_ROW) break;
    for (size_t c = 0; c < tally_cursor_columns(all); c++) {
      tally_text a = tally_cursor_cell(all, c), b = tally_cursor_cell(some, c);
      cr_assert(a.size == b.size && !a.data == !b.data && (!a.size || memcmp(a.data, b.data, a.size) == 0),
                "limit %d, row %d, column %d", (int)limit, (int)row, (int)c);
    }
  }
  tally_cursor_close(all);
  tally_cursor_close(some);
}

Test(api, the_latest_and_the_first_events_are_those_of_the_whole_answer_in_segments_and_in_memory) {
  struct temporary t = temporary_make();
  tally_error e;
  tally_options o;
  uint64_t random = 20240102;
  tally_options_init(&o);
  o.create = true;
  tally_store *store;
  cr_assert_eq(tally_open(t.path, &o, &store, &e), 0);
  for (int i = 0; i < 5; i++) {
    append_some(store, &random, 9000, i % 2 ? 5000000 : 900); /* with many events of one second */
    if (i % 2 == 0 && i < 4) cr_assert_eq(tally_flush(store, &e), 0);
  }
  tally_scan scan;
  tally_scan_init(&scan);
  scan.limit = TALLY_NO_LIMIT;
  static const char *const wheres[] = {"user_id = u7", "user_id ^= u1", "tokens_used < 500",
                                       "user_id in (u7, u29, u250)"}; /* far apart in a chunk */
  for (unsigned i = 0; i < 10; i++) {
    scan.flags = i % 2 ? TALLY_ORDER_DESC : 0;
    scan.where = &wheres[i / 2 % 4];
    scan.where_count = i < 8;
    static const uint64_t limits[] = {1, 2, 10, 100, 777, 4096, 9999};
    for (size_t k = 0; k < sizeof limits / sizeof *limits; k++) compare_first(store, &scan, limits[k]);
  }
  cr_assert_eq(tally_close(store, &e), 0);
  temporary_remove(&t);
}

Test(api, a_cursor_that_is_cancelled_or_late_ends_with_its_code_and_stays_ended) {
  struct temporary t = temporary_make();
  tally_error e;
  tally_options o;
  tally_options_init(&o);
  o.create = true;
  tally_store *store;
  cr_assert_eq(tally_open(t.path, &o, &store, &e), 0);
  tally_cursor *c;
  tally_query q;
  tally_query_init(&q);
  cr_assert_eq(tally_query_open(store, &q, &c, &e), 0);
  tally_cursor_cancel(c);
  cr_assert_eq(tally_cursor_next(c, &e), TALLY_CANCELLED);
  cr_assert_eq(tally_cursor_next(c, &e), TALLY_CANCELLED);
  tally_cursor_close(c);
  q.where_count = 1;
  const char *where[] = {"no_such_column = 1"};
  q.where = where;
  cr_assert_eq(tally_query_open(store, &q, &c, &e), TALLY_USAGE);
  cr_assert_null(c);
  cr_assert_not_null(strstr(e.text, "no_such_column"), "%s", e.text);
  cr_assert_eq(tally_close(store, &e), 0);
  temporary_remove(&t);
}
