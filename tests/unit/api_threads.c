/* Answers from runs that two threads share by service, and from rows whose parts they share by pieces, are
 * those of the rows read one service after the other, which one thread does. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <tally.h>

#include "support/temporary.h"

#define SERVICES 7u
#define USERS 40000u
#define ROWS 300000u /* enough for two threads, also where each run has one row */
#define DAY INT64_C(86400000000)

/* Row i: nearly every one is a run of its own; some have no tokens, no service or no user. */
static tally_event event_of(uint32_t i, char user[16], char service[16]) {
  uint32_t mixed = i * 2654435761u;
  tally_event e = {.timestamp = (int64_t)(i % 5) * DAY + mixed % 1000003,
                   .cost = (int64_t)(mixed % 1000) * 1000000 - 5000000,
                   .tokens_used = (int32_t)(mixed >> 12),
                   .duration_ms = (int32_t)(mixed >> 8) % 700,
                   .status_code = mixed % 50 ? 200 : 503};
  if (i % 101) e.user_id = (tally_text){user, (size_t)snprintf(user, 16, "u%u", i / SERVICES % USERS)};
  if (i % 103) e.service_name = (tally_text){service, (size_t)snprintf(service, 16, "s%u", i % SERVICES)};
  e.present = 1u << TALLY_COL_COST | 1u << TALLY_COL_DURATION_MS | 1u << TALLY_COL_STATUS_CODE;
  if (i % 9) e.present |= 1u << TALLY_COL_TOKENS_USED;
  return e;
}

static void append_all(tally_store *store) {
  tally_batch *b = tally_batch_new();
  tally_error e;
  tally_receipt receipt;
  const void *bytes;
  size_t size;
  for (uint32_t i = 0; i < ROWS; i++) {
    char user[16], service[16];
    tally_event event = event_of(i, user, service);
    cr_assert_eq(tally_batch_add(b, &event, &e), 0, "%s", e.text);
    if (tally_batch_rows(b) < 20000 && i + 1 < ROWS) continue;
    cr_assert_eq(tally_batch_finish(b, &bytes, &size, &e), 0);
    cr_assert_eq(tally_append(store, bytes, size, NULL, &receipt, &e), 0, "%s", e.text);
    tally_batch_reset(b);
  }
  tally_batch_free(b);
}

/* Rows and a sum of their hashes, which depends on no order. */
struct answer {
  uint64_t rows, hash;
};

static void add_answer(tally_store *store, const tally_query *query, struct answer *a) {
  tally_cursor *c;
  tally_error e;
  int result;
  cr_assert_eq(tally_query_open(store, query, &c, &e), 0, "%s", e.text);
  while ((result = tally_cursor_next(c, &e)) == TALLY_ROW) {
    uint64_t hash = 1469598103934665603u; /* FNV-1a */
    for (size_t k = 0; k < tally_cursor_columns(c); k++) {
      tally_text cell = tally_cursor_cell(c, k);
      hash = (hash ^ (cell.data ? 1 : 2)) * 1099511628211u;
      for (size_t i = 0; i < cell.size; i++) hash = (hash ^ (uint8_t)cell.data[i]) * 1099511628211u;
    }
    a->rows++;
    a->hash += hash;
  }
  cr_assert_eq(result, TALLY_OK, "%s", e.text);
  tally_cursor_close(c);
}

static struct answer whole_answer(tally_store *store, tally_query query) {
  struct answer a = {0, 0};
  add_answer(store, &query, &a);
  return a;
}

/* From rows alone, a service at a time: so few that one thread reads them. */
static struct answer answer_by_service(tally_store *store, tally_query query) {
  struct answer a = {0, 0};
  query.flags |= TALLY_NO_ROLLUPS;
  query.where_count = 1;
  for (uint32_t s = 0; s <= SERVICES; s++) {
    char text[40];
    snprintf(text, sizeof text, s < SERVICES ? "service_name = s%u" : "service_name is null", s);
    const char *where[] = {text};
    query.where = where;
    add_answer(store, &query, &a);
  }
  return a;
}

Test(api, two_threads_that_share_runs_or_pieces_of_parts_give_the_answer_of_one) {
  static const tally_query queries[] = {
      {.group_by = "service_name,user_id",
       .aggregates = "count,sum:tokens_used,count:tokens_used,sum:cost,errors"},
      {.group_by = "user_id,service_name", .aggregates = "sum:cost", .flags = TALLY_NO_ROLLUPS},
      {.group_by = "service_name,endpoint",
       .bucket = "1d",
       .aggregates = "p50:duration_ms,p95:duration_ms,sum:cost"},
      {.group_by = "service_name,status_code",
       .aggregates = "p99:tokens_used,distinct:user_id,min:cost,count"},
  };
  struct temporary t = temporary_make();
  tally_error e;
  tally_options o;
  tally_options_init(&o);
  o.create = true;
  o.memory = 512u << 20;
  tally_store *store;
  cr_assert_eq(tally_open(t.path, &o, &store, &e), 0);
  append_all(store);
  for (unsigned flushed = 0; flushed < 2; flushed++) {
    for (size_t q = 0; q < sizeof queries / sizeof *queries; q++) {
      tally_query query = queries[q];
      query.limit = TALLY_NO_LIMIT;
      query.from = NULL;
      struct answer got = whole_answer(store, query), want = answer_by_service(store, query);
      cr_assert_gt(got.rows, 7);
      cr_assert(got.rows == want.rows && got.hash == want.hash, "query %zu, flushed %u: %llu rows, not %llu",
                q, flushed, (unsigned long long)got.rows, (unsigned long long)want.rows);
    }
    cr_assert_eq(tally_flush(store, &e), 0);
  }
  cr_assert_eq(tally_close(store, &e), 0);
  temporary_remove(&t);
}
