/* jobs.c - compaction, retention, erasure, pseudonyms, backup and verification by threads, while others
 * append and query.
 *
 * Each batch has BATCH_ROWS rows of one hour and one user, whose costs add up to zero. So in any snapshot
 * each user's rows, and those of any range of whole hours, are a multiple of BATCH_ROWS with a sum of zero,
 * thinned or not; those of the writers, whom nobody erases, never fall. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tally.h>
#include <time.h>
#include <unistd.h>

#include "threads/threads.h"

#define BATCH_ROWS 200u
#define DAYS 40u
#define HOUR_US INT64_C(3600000000)

struct all {
  tally_store *store;
  char path[64];
  _Atomic bool over;
  _Atomic uint64_t acknowledged; /* rows of writers */
  _Atomic uint32_t runs[6];      /* of jobs, by the order below */
  _Atomic uint32_t expired, refused;
};
enum { COMPACT, RETENTION, ERASE, PSEUDONYMIZE, BACKUP, VERIFY };
static const char *const names[] = {"compact", "retention", "erase", "pseudonymize", "backup", "verify"};

struct one {
  struct all *all;
  unsigned number;
  uint64_t random;
};

static uint64_t draw(struct one *t) {
  t->random = t->random * 6364136223846793005u + 1442695040888963407u;
  return t->random >> 33;
}

static int64_t this_hour(void) { return (int64_t)time(NULL) * 1000000 / HOUR_US * HOUR_US; }

/* ------------------------------------------------------------------ rows */

static void append(struct one *t, const char *user, unsigned hours_ago, tally_batch *b) {
  tally_error e;
  int64_t hour = this_hour() - (int64_t)hours_ago * HOUR_US;
  tally_batch_reset(b);
  for (unsigned i = 0; i < BATCH_ROWS; i++) {
    char metadata[64];
    int n = snprintf(metadata, sizeof metadata, "{\"of\":\"%s\",\"i\":%u}", user, i);
    tally_event event = {.timestamp = hour + (int64_t)i * 1000000,
                         .user_id = {user, strlen(user)},
                         .service_name = {i % 2 ? "odd" : "even", i % 2 ? 3 : 4},
                         .metadata = {metadata, (size_t)n},
                         .cost = i % 4 < 2 ? 1000000000 : -1000000000,
                         .present = 1u << TALLY_COL_COST};
    check(tally_batch_add(b, &event, &e) == 0, "an event is added", e.text);
  }
  const void *bytes;
  size_t size;
  tally_append_options o = {.durability = draw(t) % 4 ? TALLY_OS : TALLY_DISK};
  check(tally_batch_finish(b, &bytes, &size, &e) == 0, "a batch is finished", e.text);
  int result = tally_append(t->all->store, bytes, size, &o, NULL, &e);
  check(result == 0, "a batch is appended", result ? e.text : "");
}

static void *write_rows(void *arg) {
  struct one *t = arg;
  char user[32];
  tally_batch *b = tally_batch_new();
  (void)snprintf(user, sizeof user, "writer-%u", t->number);
  while (!atomic_load(&t->all->over)) {
    append(t, user, (unsigned)(draw(t) % (DAYS * 24)), b);
    atomic_fetch_add(&t->all->acknowledged, BATCH_ROWS);
    (void)usleep(1000);
  }
  tally_batch_free(b);
  return NULL;
}

/* ------------------------------------------------------------------ queries */

static uint64_t number(tally_text t) {
  char text[32];
  (void)snprintf(text, sizeof text, "%.*s", (int)t.size, t.data);
  return strtoull(text, NULL, 10);
}

static void check_sums(tally_text count, tally_text sum, const char *of) {
  uint64_t n = number(count);
  char text[80];
  (void)snprintf(text, sizeof text, "%s: %llu rows", of, (unsigned long long)n);
  check(n % BATCH_ROWS == 0, "no batch is seen by half", text);
  check(!n || (sum.size == 6 && memcmp(sum.data, "0.0000", 6) == 0), "costs add up to zero", text);
}

/* By user, through the rollups where there are no rows any more. Gives the rows of the writers. */
static uint64_t ask_users(struct all *a) {
  tally_query q;
  tally_cursor *c;
  tally_error e;
  tally_query_init(&q);
  q.aggregates = "count,sum:cost";
  q.group_by = "user_id";
  int result = tally_query_open(a->store, &q, &c, &e);
  uint64_t writers = 0;
  check(result == 0, "a query", result ? e.text : "");
  while ((result = tally_cursor_next(c, &e)) == TALLY_ROW) {
    tally_text user = tally_cursor_cell(c, 0), count = tally_cursor_cell(c, 1);
    char name[64];
    (void)snprintf(name, sizeof name, "%.*s", (int)user.size, user.data ? user.data : "");
    check_sums(count, tally_cursor_cell(c, 2), name);
    if (strncmp(name, "writer", 6) == 0) writers += number(count);
  }
  check(result == 0, "a query ends well", result ? e.text : "");
  tally_cursor_close(c);
  return writers;
}

/* All together, from rows alone or as it comes. */
static void ask_all(struct all *a, bool rows) {
  tally_query q;
  tally_cursor *c;
  tally_error e;
  tally_query_init(&q);
  q.aggregates = "count,sum:cost";
  q.flags = rows ? TALLY_NO_ROLLUPS : 0;
  int result = tally_query_open(a->store, &q, &c, &e);
  if (!result) {
    result = tally_cursor_next(c, &e);
    if (result == TALLY_ROW) check_sums(tally_cursor_cell(c, 0), tally_cursor_cell(c, 1), "all");
    tally_cursor_close(c);
  }
  if (rows && result == TALLY_NO_RAW_ROWS) atomic_fetch_add(&a->refused, 1);
  check(result == TALLY_ROW || (rows && result == TALLY_NO_RAW_ROWS), "a query of all",
        result < 0 ? e.text : "");
}

/* The rows of the last days, slowly: whatever happens to their files meanwhile. */
static void scan_slowly(struct one *t) {
  char from[40];
  time_t begin = (time_t)(this_hour() / 1000000) - 5 * 86400;
  struct tm tm;
  tally_scan scan;
  tally_cursor *c;
  tally_error e;
  (void)strftime(from, sizeof from, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&begin, &tm));
  tally_scan_init(&scan);
  scan.from = from;
  scan.flags = draw(t) % 2 ? TALLY_ORDER_NONE : 0;
  int result = tally_scan_open(t->all->store, &scan, &c, &e);
  check(result == 0, "a scan", result ? e.text : "");
  uint64_t rows = 0;
  int64_t sum = 0;
  while ((result = tally_cursor_next(c, &e)) == TALLY_ROW) {
    sum += tally_cursor_cell(c, TALLY_COL_COST).data[0] == '-' ? -1 : 1;
    if (++rows % 2000 == 0) (void)usleep(2000);
  }
  tally_cursor_close(c);
  if (result == TALLY_SNAPSHOT_EXPIRED) {
    atomic_fetch_add(&t->all->expired, 1);
    return;
  }
  check(result == 0, "a scan ends well", result ? e.text : "");
  check(rows % BATCH_ROWS == 0 && sum == 0, "a scan sees one snapshot", "");
}

static void *read_rows(void *arg) {
  struct one *t = arg;
  uint64_t before = 0;
  while (!atomic_load(&t->all->over)) {
    uint64_t least = atomic_load(&t->all->acknowledged), n = ask_users(t->all);
    check(n >= least && n >= before, "what was acknowledged is seen, and counts never fall", "");
    before = n;
    ask_all(t->all, t->number == 0);
    scan_slowly(t);
  }
  return NULL;
}

/* ------------------------------------------------------------------ jobs */

static void run(struct all *a, int job, const char *const *words, size_t count) {
  tally_cursor *c;
  tally_error e;
  int result = tally_job_open(a->store, words, count, &c, &e);
  check(result == 0, words[0], result ? e.text : "");
  while ((result = tally_cursor_next(c, &e)) == TALLY_ROW) {
  }
  check(result == 0, words[0], result ? e.text : "");
  tally_cursor_close(c);
  atomic_fetch_add(&a->runs[job], 1);
}

static void *compact_often(void *arg) {
  struct one *t = arg;
  tally_error e;
  for (bool first = true; first || !atomic_load(&t->all->over); first = false) {
    check(tally_flush(t->all->store, &e) == 0, "a flush", "");
    run(t->all, COMPACT, (const char *const[]){"compact"}, 1);
    (void)usleep(50000);
  }
  return NULL;
}

static void *retain_often(void *arg) {
  struct one *t = arg;
  for (bool first = true; first || !atomic_load(&t->all->over); first = false) {
    run(t->all, RETENTION, (const char *const[]){"retention-apply"}, 1);
    (void)usleep(100000);
  }
  return NULL;
}

/* Users come with one batch and go, or get a pseudonym. */
static void *erase_often(void *arg) {
  struct one *t = arg;
  tally_batch *b = tally_batch_new();
  for (unsigned i = 0; i < 2 || !atomic_load(&t->all->over); i++) { /* one of each, however slow */
    char user[32];
    (void)snprintf(user, sizeof user, "guest-%u-%u", t->number, i);
    append(t, user, (unsigned)(draw(t) % 48), b);
    int job = i % 2 ? ERASE : PSEUDONYMIZE;
    run(t->all, job, (const char *const[]){names[job], user}, 2);
  }
  tally_batch_free(b);
  return NULL;
}

static void *copy_often(void *arg) {
  struct one *t = arg;
  char place[100];
  for (unsigned i = 0; !i || !atomic_load(&t->all->over); i++) {
    tally_cursor *c;
    tally_error e;
    (void)snprintf(place, sizeof place, "%s-backup-%u", t->all->path, i);
    run(t->all, BACKUP, (const char *const[]){"backup", place}, 2);
    clean_up(place);
    check(tally_verify_open(t->all->store, 0, &c, &e) == 0, "verify", "");
    int result = tally_cursor_next(c, &e);
    check(result == 0, "verify finds nothing", result < 0 ? e.text : "a fault");
    tally_cursor_close(c);
    atomic_fetch_add(&t->all->runs[VERIFY], 1);
  }
  return NULL;
}

/* ------------------------------------------------------------------ all */

void run_jobs(unsigned seconds) {
  static void *(*const parts[])(void *) = {write_rows,    write_rows,   read_rows,   read_rows,
                                           compact_often, retain_often, erase_often, copy_often};
  enum { PARTS = sizeof parts / sizeof *parts };
  struct all a = {.path = "/tmp/tally-jobs-XXXXXX"};
  struct one one[PARTS];
  pthread_t thread[PARTS];
  tally_options o;
  tally_error e;
  check(mkdtemp(a.path) != NULL, "a temporary directory", a.path);
  tally_options_init(&o);
  o.create = true;
  int result = tally_open(a.path, &o, &a.store, &e);
  check(result == 0, "a store opens", result ? e.text : "");
  run(&a, RETENTION,
      (const char *const[]){"retention", "set", "--archive", "10d", "--thin", "20d", "--drop", "400d"}, 8);
  for (unsigned i = 0; i < PARTS; i++) {
    one[i] = (struct one){&a, i % 2, i + 1};
    check(pthread_create(&thread[i], NULL, parts[i], &one[i]) == 0, "a thread", "");
  }
  (void)sleep(seconds);
  atomic_store(&a.over, true);
  for (unsigned i = 0; i < PARTS; i++) check(pthread_join(thread[i], NULL) == 0, "a thread ends", "");
  uint64_t found = ask_users(&a), right = atomic_load(&a.acknowledged);
  char text[80];
  (void)snprintf(text, sizeof text, "%llu rows, not %llu", (unsigned long long)found,
                 (unsigned long long)right);
  check(found == right, "every row is in once", text);
  check(tally_close(a.store, &e) == 0, "the store closes", "");
  for (int job = 0; job <= VERIFY; job++) {
    printf("%u times %s\n", atomic_load(&a.runs[job]), names[job]);
    check(atomic_load(&a.runs[job]) > 0, "each job has run", names[job]);
  }
  printf("%llu rows, %u scans expired, %u queries refused for thinned rows\n",
         (unsigned long long)atomic_load(&a.acknowledged), atomic_load(&a.expired), atomic_load(&a.refused));
  clean_up(a.path);
}
