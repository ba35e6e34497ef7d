/* A store under many threads: readers see one snapshot, batches whole, counts that never fall; first while
 * rows come and are flushed, then while every job runs too (jobs.c). Clean under ThreadSanitizer.
 *
 *   store_threads [--seconds N]      how long the jobs run */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tally.h>
#include <unistd.h>

#include "threads/threads.h"

_Atomic uint64_t passed;

void check(bool ok, const char *what, const char *detail) {
  if (ok) {
    atomic_fetch_add(&passed, 1);
    return;
  }
  printf("FAILED: %s: %s\n%" PRIu64 " passed, 1 failed\n", what, detail, atomic_load(&passed));
  exit(1);
}

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
      check(tally_batch_add(b, &event, &e) == 0, "an event is added", e.text);
    }
    const void *bytes;
    size_t size;
    check(tally_batch_finish(b, &bytes, &size, &e) == 0, "a batch is finished", e.text);
    tally_append_options o = {
        .producer = producer, .epoch = 1, .sequence = s, .durability = s % 8 ? TALLY_OS : TALLY_DISK};
    for (int repeat = 0; repeat < 2; repeat++) {
      tally_receipt receipt;
      check(tally_append(w->shared->store, bytes, size, &o, &receipt, &e) == 0, "a batch is appended",
            e.text);
      check(receipt.duplicate == (repeat == 1), "a repeat is a duplicate", producer);
    }
    atomic_fetch_add(&w->shared->acknowledged, ROWS);
    if (s % 40 == 0) check(tally_flush(w->shared->store, &e) == 0, "a flush", e.text);
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

/* False: it asks at once (TALLY_AT_ONCE), and that cannot be. */
static bool try_query(struct shared *s, bool by_user, unsigned at_once, uint64_t *total) {
  tally_query q;
  tally_query_init(&q);
  q.aggregates = "count,sum:cost";
  q.group_by = by_user ? "user_id" : NULL;
  q.flags = at_once | (by_user ? 0 : TALLY_NO_ROLLUPS);
  tally_cursor *c;
  tally_error e;
  int result = tally_query_open(s->store, &q, &c, &e);
  if (at_once && result == TALLY_BUSY) return false;
  check(result == 0, "a query", result ? e.text : "");
  *total = 0;
  size_t column = by_user ? 1 : 0;
  while ((result = tally_cursor_next(c, &e)) == TALLY_ROW) {
    uint64_t n = number(tally_cursor_cell(c, column));
    check(n % ROWS == 0, "no batch is seen by half", by_user ? "by user" : "all");
    tally_text sum = tally_cursor_cell(c, column + 1);
    check(!n || (sum.size == 6 && memcmp(sum.data, "0.0000", 6) == 0), "costs add up to zero",
          by_user ? "by user" : "all");
    *total += n;
  }
  tally_cursor_close(c);
  if (at_once && result == TALLY_BUSY) return false;
  check(result == 0, "a query ends well", e.text);
  return true;
}

/* Asks at once, and if that cannot be, again. */
static uint64_t query_once(struct shared *s, bool by_user) {
  uint64_t total;
  if (!try_query(s, by_user, TALLY_AT_ONCE, &total)) (void)try_query(s, by_user, 0, &total);
  return total;
}

static void *read_rows(void *arg) {
  struct shared *s = arg;
  uint64_t before = 0;
  for (unsigned i = 0; atomic_load(&s->writers_left) || i < 3; i++) {
    uint64_t least = atomic_load(&s->acknowledged), n = query_once(s, i % 2);
    check(n >= least, "what was acknowledged before the query is seen", "");
    check(n >= before, "counts never fall", "");
    before = n;
  }
  return NULL;
}

/* Flushes as often as it can: its own thread and the store's work on memtables side by side. */
static void *flush_often(void *arg) {
  struct shared *s = arg;
  tally_error e;
  while (atomic_load(&s->writers_left)) check(tally_flush(s->store, &e) == 0, "a flush ends well", e.text);
  return NULL;
}

void clean_up(const char *path) {
  char command[300];
  (void)snprintf(command, sizeof command, "rm -rf '%s'", path);
  if (system(command) != 0) printf("%s is left\n", path);
}

static void ingest_and_flush(void) {
  char path[] = "/tmp/tally-threads-XXXXXX";
  check(mkdtemp(path) != NULL, "a temporary directory", path);
  tally_error e;
  tally_options o;
  tally_options_init(&o);
  o.create = true;
  o.memory = 192u << 20; /* from here on two memtables are flushed at once */
  struct shared s = {0};
  check(tally_open(path, &o, &s.store, &e) == 0, "a store opens", e.text);
  atomic_init(&s.writers_left, WRITERS);
  pthread_t thread[WRITERS + READERS + 1];
  struct writer writer[WRITERS];
  for (int i = 0; i < WRITERS; i++) {
    writer[i] = (struct writer){&s, i};
    check(pthread_create(&thread[i], NULL, write_batches, &writer[i]) == 0, "a thread", "writer");
  }
  for (int i = 0; i < READERS; i++)
    check(pthread_create(&thread[WRITERS + i], NULL, read_rows, &s) == 0, "a thread", "reader");
  check(pthread_create(&thread[WRITERS + READERS], NULL, flush_often, &s) == 0, "a thread", "flusher");
  for (int i = 0; i < WRITERS + READERS + 1; i++)
    check(pthread_join(thread[i], NULL) == 0, "a thread ends", "");
  check(query_once(&s, true) == (uint64_t)WRITERS * BATCHES * ROWS, "every row is in once", "");
  check(tally_close(s.store, &e) == 0, "the store closes", e.text);
  clean_up(path);
}

int main(int count, char **words) {
  unsigned seconds = 12;
  for (int i = 1; i + 1 < count; i++)
    if (strcmp(words[i], "--seconds") == 0) seconds = (unsigned)strtoul(words[i + 1], NULL, 10);
  ingest_and_flush();
  run_jobs(seconds);
  printf("%" PRIu64 " passed, 0 failed\n", atomic_load(&passed));
  return 0;
}
