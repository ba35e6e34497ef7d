/* A store under many threads: readers see one snapshot, batches whole, counts that never fall; clean under
 * ThreadSanitizer. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <tally.h>

#include "support/temporary.h"

#define WRITERS 3
#define READERS 3
#define BATCHES 120u
#define ROWS 500u

struct shared {
  tally_store *store;
  _Atomic uint32_t writers_left;
  _Atomic uint64_t acknowledged; /* rows */
};

struct writer {
  struct shared *shared;
  int number;
};

/* Each batch's costs add up to zero and its rows to ROWS: a half batch would show. */
static void *write_batches(void *arg) {
  struct writer *w = arg;
  char producer[32], user[32];
  (void)snprintf(producer, sizeof producer, "writer-%d", w->number);
  (void)snprintf(user, sizeof user, "user-%d", w->number);
  tally_batch *b = tally_batch_new();
  tally_error e;
  for (uint32_t s = 1; s <= BATCHES; s++) {
    tally_batch_reset(b);
    for (uint32_t i = 0; i < ROWS; i++) {
      tally_event event = {.timestamp = (int64_t)(s * 7919u + i) * 60000000, .user_id = {user, strlen(user)}};
      event.cost = i % 2 ? 1000000000 : -1000000000;
      event.present = 1u << TALLY_COL_COST;
      cr_assert_eq(tally_batch_add(b, &event, &e), 0);
    }
    const void *bytes;
    size_t size;
    cr_assert_eq(tally_batch_finish(b, &bytes, &size, &e), 0);
    tally_append_options o = {
        .producer = producer, .epoch = 1, .sequence = s, .durability = s % 8 ? TALLY_OS : TALLY_DISK};
    for (int repeat = 0; repeat < 2; repeat++) {
      tally_receipt receipt;
      cr_assert_eq(tally_append(w->shared->store, bytes, size, &o, &receipt, &e), 0, "%s", e.text);
      cr_assert_eq(receipt.duplicate, repeat == 1);
    }
    atomic_fetch_add(&w->shared->acknowledged, ROWS);
    if (s % 40 == 0) cr_assert_eq(tally_flush(w->shared->store, &e), 0, "%s", e.text);
  }
  tally_batch_free(b);
  atomic_fetch_sub(&w->shared->writers_left, 1);
  return NULL;
}

static uint64_t number(tally_text t) {
  char text[32];
  (void)snprintf(text, sizeof text, "%.*s", (int)t.size, t.data);
  return strtoull(text, NULL, 10);
}

static uint64_t query_once(struct shared *s, bool by_user) {
  tally_query q;
  tally_query_init(&q);
  q.aggregates = "count,sum:cost";
  q.group_by = by_user ? "user_id" : NULL;
  q.flags = by_user ? 0 : TALLY_NO_ROLLUPS;
  tally_cursor *c;
  tally_error e;
  cr_assert_eq(tally_query_open(s->store, &q, &c, &e), 0, "%s", e.text);
  uint64_t total = 0;
  int result;
  size_t column = by_user ? 1 : 0;
  while ((result = tally_cursor_next(c, &e)) == TALLY_ROW) {
    uint64_t n = number(tally_cursor_cell(c, column));
    cr_assert_eq(n % ROWS, 0, "a batch was seen by half: %llu rows", (unsigned long long)n);
    tally_text sum = tally_cursor_cell(c, column + 1);
    if (n)
      cr_assert(sum.size == 6 && memcmp(sum.data, "0.0000", 6) == 0, "sum %.*s", (int)sum.size, sum.data);
    total += n;
  }
  cr_assert_eq(result, 0, "%s", e.text);
  tally_cursor_close(c);
  return total;
}

static void *read_rows(void *arg) {
  struct shared *s = arg;
  uint64_t before = 0;
  for (unsigned i = 0; atomic_load(&s->writers_left) || i < 3; i++) {
    uint64_t least = atomic_load(&s->acknowledged), n = query_once(s, i % 2);
    cr_assert_geq(n, least, "what was acknowledged before the query is seen");
    cr_assert_geq(n, before);
    before = n;
  }
  return NULL;
}

Test(api, threads_share_a_store_and_each_query_sees_whole_batches_of_one_snapshot, .timeout = 120) {
  struct temporary t = temporary_make();
  tally_error e;
  tally_options o;
  tally_options_init(&o);
  o.create = true;
  o.memory = 64u << 20;
  struct shared s = {0};
  cr_assert_eq(tally_open(t.path, &o, &s.store, &e), 0, "%s", e.text);
  atomic_init(&s.writers_left, WRITERS);
  pthread_t thread[WRITERS + READERS];
  struct writer writer[WRITERS];
  for (int i = 0; i < WRITERS; i++) {
    writer[i] = (struct writer){&s, i};
    cr_assert_eq(pthread_create(&thread[i], NULL, write_batches, &writer[i]), 0);
  }
  for (int i = 0; i < READERS; i++)
    cr_assert_eq(pthread_create(&thread[WRITERS + i], NULL, read_rows, &s), 0);
  for (int i = 0; i < WRITERS + READERS; i++) cr_assert_eq(pthread_join(thread[i], NULL), 0);
  cr_assert_eq(query_once(&s, true), (uint64_t)WRITERS * BATCHES * ROWS);
  cr_assert_eq(tally_close(s.store, &e), 0, "%s", e.text);
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
