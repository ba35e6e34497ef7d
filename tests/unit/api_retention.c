/* Retention under a clock of the test's: what is archived, thinned and gone, when, and when not. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/inside.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "db/inside.h"
#include "maintain/policy.h"
#include "support/allocations.h"
#include "support/temporary.h"

#define T0 INT64_C(1719792000000000) /* 2024-07-01: the store's clock begins here */
#define EVENTS 6000

static uint64_t state;
static void seed(void) {
  const char *text = getenv("TALLY_SEED");
  state = text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL);
  printf("TALLY_SEED=%llu\n", (unsigned long long)state);
}
static uint64_t below(uint64_t n) {
  uint64_t high = (state = state * 6364136223846793005u + 1442695040888963407u) >> 32;
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (high << 32 | state >> 32) % n;
}

static int64_t now, monotonic;
static int64_t clock_now(const struct os *os) { return (void)os, now; }
static int64_t clock_monotonic(const struct os *os) { return (void)os, monotonic; }
static void pass(int64_t us) { now += us, monotonic += us; }

struct event {
  int64_t timestamp, cost;
  int service, tokens; /* tokens -1: NULL */
};
static struct event event[EVENTS];
static int users; /* how many there are; all are ann but where a test says more */
static const char *user_of(const struct event *one) {
  static const char *const names[] = {"ann", "zz_bob", "zz_cyd"};
  return names[one->cost % users];
}
static const char *const services[] = {"chat", "embed", "batch"};

static struct fixture {
  struct temporary directory;
  struct os os;
  tally_store store;
  uint64_t sequence;
} f;

static void open_store(void) {
  tally_error e;
  tally_options o = {.create = true, .manual = true, .memory = 64u << 20};
  cr_assert_eq(db_open(&f.os, f.directory.path, &o, &f.store.db, &e), 0, "%s", e.text);
}
static void close_store(void) {
  tally_error e;
  cr_assert_eq(db_close(f.store.db, &e), 0, "%s", e.text);
}
static void begin(void) {
  seed();
  now = T0, monotonic = 1000;
  users = 1;
  f = (struct fixture){.directory = temporary_make(), .os = *os_posix()};
  f.os.now = clock_now;
  f.os.monotonic = clock_monotonic;
  open_store();
}
static void end(void) {
  close_store();
  temporary_remove(&f.directory);
}

static int append(const struct event *events, int count, tally_error *e) {
  tally_batch *b = tally_batch_new();
  for (int i = 0; i < count; i++) {
    const char *s = services[events[i].service], *user = user_of(&events[i]);
    tally_event t = {.timestamp = events[i].timestamp,
                     .service_name = {s, strlen(s)},
                     .user_id = {user, strlen(user)},
                     .cost = events[i].cost,
                     .tokens_used = events[i].tokens,
                     .duration_ms = 5,
                     .present = 1u << TALLY_COL_COST | 1u << TALLY_COL_DURATION_MS};
    if (events[i].tokens >= 0) t.present |= 1u << TALLY_COL_TOKENS_USED;
    cr_assert_eq(tally_batch_add(b, &t, e), 0, "%s", e->text);
  }
  const void *bytes;
  size_t size;
  tally_receipt receipt;
  cr_assert_eq(tally_batch_finish(b, &bytes, &size, e), 0);
  int result = tally_append(&f.store, bytes, size, NULL, &receipt, e);
  tally_batch_free(b);
  return result;
}

/* Events of the 400 days before T0, in any order, in several segments. */
static void fill(void) {
  tally_error e;
  for (int i = 0; i < EVENTS; i++)
    event[i] = (struct event){T0 - 1 - (int64_t)below(UINT64_C(400) * 86400 * 1000000),
                              (int64_t)below(1000000), (int)below(3), below(4) ? (int)below(500) : -1};
  for (int i = 0; i < EVENTS; i += 1000) {
    cr_assert_eq(append(event + i, 1000, &e), 0, "%s", e.text);
    cr_assert_eq(tally_flush(&f.store, &e), 0);
  }
}

static void set(const char *service, const char *archive, const char *thin, const char *drop) {
  tally_error e;
  struct ages a;
  const char *text[] = {archive, thin, drop};
  for (int s = 0; s < STAGES; s++) cr_assert_eq(age_parse(text[s], &a.age[s], &e), 0, "%s", e.text);
  cr_assert_eq(db_retention_set(f.store.db, service, &a, &e), 0, "%s", e.text);
}

/* Rows by stage that apply (or a dry run) tells of. */
struct told {
  uint64_t rows[STAGES];
};
static int tell(void *arg, const struct retention_report *r) {
  struct told *t = arg;
  for (int s = 0; s < STAGES; s++)
    if (strcmp(r->what, stage_name[s]) == 0) t->rows[s] += r->rows;
  return 0;
}
static int apply(bool dry, struct told *t, tally_error *e) {
  *t = (struct told){{0}};
  return db_retention_apply(f.store.db, dry, tell, t, e);
}

/* count, sum of tokens, count of tokens, sum of cost of a service from a day of 2023/24 on, as printed. */
static void ask(const char *service, const char *from, char out[200], bool exact) {
  tally_error e;
  char where[60];
  const char *w = where;
  (void)snprintf(where, sizeof where, "service_name = %s", service);
  tally_query q;
  tally_query_init(&q);
  q.where = &w, q.where_count = 1, q.from = from;
  q.aggregates = "count,sum:tokens_used,count:tokens_used,sum:cost";
  tally_cursor *c;
  out[0] = '\0';
  int result = tally_query_open(&f.store, &q, &c, &e);
  cr_assert_eq(result, 0, "%s", e.text);
  cr_assert_eq(tally_cursor_next(c, &e), TALLY_ROW, "%s", e.text);
  for (size_t i = 0; i < 4; i++) {
    tally_text t = tally_cursor_cell(c, i);
    (void)snprintf(out + strlen(out), 200 - strlen(out), "%.*s ", t.data ? (int)t.size : 2,
                   t.data ? t.data : "\\N");
  }
  tally_cursor_close(c);
  (void)exact;
}

/* The same of the model: events at or after `from`. */
static void expect(int service, int64_t from, char out[200]) {
  int64_t n = 0, tokens = 0, with = 0, cost = 0;
  for (int i = 0; i < EVENTS; i++) {
    if (event[i].service != service || event[i].timestamp < from) continue;
    n++;
    cost += event[i].cost;
    if (event[i].tokens >= 0) with++, tokens += event[i].tokens;
  }
  char fraction[16];
  (void)snprintf(fraction, sizeof fraction, "%09lld", (long long)(cost % 1000000000));
  size_t digits = 9;
  while (digits > 4 && fraction[digits - 1] == '0') digits--;
  char sum[24] = "\\N"; /* the sum of nothing but NULL */
  if (with) (void)snprintf(sum, sizeof sum, "%lld", (long long)tokens);
  if (n)
    (void)snprintf(out, 200, "%lld %s %lld %lld.%.*s ", (long long)n, sum, (long long)with,
                   (long long)(cost / 1000000000), (int)digits, fraction);
  else
    (void)snprintf(out, 200, "0 \\N 0 \\N ");
}

static int64_t days_ago(int days) { return now - now % DAY_US - (int64_t)days * DAY_US; }

static void same_as_model(const int drop_days[3]) {
  char got[200], want[200];
  for (int s = 0; s < 3; s++) {
    expect(s, drop_days[s] ? days_ago(drop_days[s]) : INT64_MIN, want);
    ask(services[s], NULL, got, true);
    cr_assert_str_eq(got, want, "%s: %s, expected %s", services[s], got, want);
  }
}

Test(retention, each_service_keeps_what_its_ages_say_and_sums_of_thinned_days_are_those_of_their_rows) {
  begin();
  tally_error e;
  struct told dry, done;
  fill();
  set(NULL, "30d", "90d", "300d");
  set("batch", "never", "10d", "20d");
  set("embed", "never", "never", "never");
  cr_assert_eq(apply(true, &dry, &e), 0, "%s", e.text);
  same_as_model((int[]){0, 0, 0}); /* a dry run does nothing */
  cr_assert_eq(apply(false, &done, &e), 0, "%s", e.text);
  for (int s = STAGE_THIN; s < STAGES; s++)
    cr_assert_eq(dry.rows[s], done.rows[s], "%s: a dry run tells %llu, %llu were done", stage_name[s],
                 (unsigned long long)dry.rows[s], (unsigned long long)done.rows[s]);
  same_as_model((int[]){300, 0, 20});
  cr_assert_eq(apply(false, &done, &e), 0);
  cr_assert_eq(done.rows[STAGE_THIN] + done.rows[STAGE_DROP] + done.rows[STAGE_ARCHIVE], 0, "all is done");
  close_store();
  open_store();
  same_as_model((int[]){300, 0, 20});
  for (int day = 0; day < 40; day += 1 + (int)below(9)) { /* each day a little more */
    pass((1 + (int64_t)below(9)) * DAY_US / 2);
    cr_assert_eq(apply(false, &done, &e), 0, "%s", e.text);
    same_as_model((int[]){300, 0, 20});
  }
  end();
}

static uint64_t events_before(const int drop_days[3]) {
  uint64_t n = 0;
  for (int i = 0; i < EVENTS; i++) {
    int days = drop_days[event[i].service];
    n += days && event[i].timestamp < days_ago(days);
  }
  return n;
}

Test(retention, a_thinned_month_loses_of_each_service_what_is_due_once_a_day_and_no_more, .timeout = 30) {
  begin();
  tally_error e;
  struct told dry, done;
  const int days[] = {50, 0, 45};
  fill();
  set(NULL, "never", "10d", "50d");
  set("batch", "never", "10d", "45d");
  set("embed", "never", "10d", "never");
  cr_assert_eq(apply(false, &done, &e), 0, "%s", e.text);
  uint64_t gone = events_before(days);
  cr_assert_eq(done.rows[STAGE_DROP], gone);
  for (int day = 0; day < 30; day++) {
    pass(DAY_US);
    cr_assert_eq(apply(true, &dry, &e), 0, "%s", e.text);
    cr_assert_eq(apply(false, &done, &e), 0, "%s", e.text);
    uint64_t due = events_before(days) - gone;
    gone += due;
    cr_assert_eq(done.rows[STAGE_DROP], due);
    cr_assert_eq(dry.rows[STAGE_DROP], due);
    cr_assert_eq(dry.rows[STAGE_THIN], done.rows[STAGE_THIN]);
    same_as_model(days);
    uint64_t merges = f.store.db->merges;
    cr_assert_eq(apply(false, &done, &e), 0, "%s", e.text);
    cr_assert_eq(f.store.db->merges, merges, "nothing is written twice");
  }
  end();
}

Test(retention, late_events_are_taken_where_rows_are_kept_and_refused_as_too_late_where_not) {
  begin();
  tally_error e;
  struct told done;
  fill();
  set(NULL, "never", "60d", "200d");
  cr_assert_eq(apply(false, &done, &e), 0, "%s", e.text);
  struct event late[2] = {{days_ago(199), 7, 0, 3}, {days_ago(201), 7, 0, 3}};
  cr_assert_eq(append(late, 2, &e), TALLY_TOO_LATE);
  cr_assert_eq(e.row, 1);
  cr_assert_eq(e.column, TALLY_COL_TIMESTAMP);
  cr_assert_eq(append(late, 1, &e), 0, "%s", e.text);
  event[0] = event[0].timestamp >= days_ago(200)
                 ? event[0]
                 : late[0]; /* the model takes it in place of an expired one */
  if (event[0].timestamp != late[0].timestamp || event[0].cost != late[0].cost)
    for (int i = 0; i < EVENTS; i++)
      if (event[i].timestamp < days_ago(200)) {
        event[i] = late[0];
        break;
      }
  same_as_model((int[]){200, 200, 200});
  cr_assert_eq(tally_flush(&f.store, &e), 0); /* what is in memory waits until it is a segment */
  cr_assert_eq(apply(false, &done, &e), 0, "%s", e.text);
  cr_assert_eq(done.rows[STAGE_THIN], 1, "a late row of a thinned day is thinned in its turn");
  same_as_model((int[]){200, 200, 200});
  end();
}

Test(retention,
     a_clock_that_jumps_or_a_store_that_was_away_drops_nothing_until_it_is_confirmed_or_a_day_has_passed) {
  begin();
  tally_error e;
  struct told done;
  fill();
  set(NULL, "never", "100d", "350d");
  cr_assert_eq(apply(false, &done, &e), 0, "%s", e.text);
  now += 200 * DAY_US; /* the monotonic clock knows nothing of it */
  cr_assert_eq(apply(false, &done, &e), TALLY_BUSY);
  bool worked = true;
  for (int i = 0; i < 20 && worked; i++) cr_assert_eq(tally_step(&f.store, &worked, &e), 0, "%s", e.text);
  now -= 200 * DAY_US;
  same_as_model((int[]){350, 350, 350});
  cr_assert_eq(apply(false, &done, &e), TALLY_BUSY, "a jump back is one too");
  cr_assert_eq(db_retention_confirm(f.store.db, &e), 0);
  cr_assert_eq(apply(false, &done, &e), 0, "%s", e.text);
  same_as_model((int[]){350, 350, 350});

  close_store();
  pass(3 * DAY_US); /* a stop of more than a day */
  open_store();
  cr_assert_eq(apply(false, &done, &e), TALLY_BUSY);
  pass(DAY_US - 1000000);
  cr_assert_eq(apply(false, &done, &e), TALLY_BUSY);
  pass(2000000);
  cr_assert_eq(apply(false, &done, &e), 0, "after 24 hours of uptime the clock is trusted");
  same_as_model((int[]){350, 350, 350});
  close_store();
  pass(DAY_US / 2); /* a short stop is none */
  open_store();
  cr_assert_eq(apply(false, &done, &e), 0, "%s", e.text);
  end();
}

/* ---- erasure */

/* The cells of the first row, each with a space behind it. */
static void first_row(tally_cursor *c, size_t cells, char *out, size_t size) {
  tally_error e;
  size_t at = 0;
  out[0] = '\0';
  if (tally_cursor_next(c, &e) == TALLY_ROW)
    for (size_t i = 0; i < cells; i++) {
      tally_text t = tally_cursor_cell(c, i);
      at += (size_t)snprintf(out + at, size - at, "%.*s ", t.data ? (int)t.size : 2, t.data ? t.data : "\\N");
    }
  tally_cursor_close(c);
}

static int job(const char *const *words, size_t count, char *out, size_t size, tally_error *e) {
  tally_cursor *c;
  int result = tally_job_open(&f.store, words, count, &c, e);
  if (!result) first_row(c, 1, out, size);
  return result;
}

/* The number of events of a user, their costs and users, where `where` holds. */
static void sums_of(const char *where, char out[200]) {
  tally_error e;
  tally_query q;
  tally_query_init(&q);
  q.where = &where, q.where_count = where != NULL;
  q.aggregates = "count,sum:cost,distinct:user_id";
  tally_cursor *c;
  cr_assert_eq(tally_query_open(&f.store, &q, &c, &e), 0, "%s", e.text);
  first_row(c, 3, out, 200);
}

static void expect_sums(const char *where, uint64_t count, uint64_t cost, int distinct) {
  char got[200], want[200], fraction[16];
  sums_of(where, got);
  (void)snprintf(fraction, sizeof fraction, "%09llu", (unsigned long long)(cost % 1000000000));
  size_t digits = 9;
  while (digits > 4 && fraction[digits - 1] == '0') digits--;
  (void)snprintf(want, sizeof want, "%llu %llu.%.*s %d ", (unsigned long long)count,
                 (unsigned long long)(cost / 1000000000), (int)digits, fraction, distinct);
  if (count == 0) (void)snprintf(want, sizeof want, "0 \\N 0 ");
  cr_assert_str_eq(got, want, "%s: %s, expected %s", where ? where : "all", got, want);
}

static void no_bytes_of(const char *user) {
  tally_error e;
  char out[4000];
  cr_assert_eq(job((const char *const[]){"erase-check", user}, 2, out, sizeof out, &e), 0, "%s", e.text);
  cr_assert_str_eq(out, "", "%s is in %s", user, out);
}

Test(retention, who_is_erased_leaves_thinned_days_to_null_and_every_total_stays) {
  begin();
  tally_error e;
  struct told done;
  char out[4000], want[100];
  users = 3;
  fill();
  set(NULL, "never", "60d", "never");
  cr_assert_eq(apply(false, &done, &e), 0, "%s", e.text);
  uint64_t thinned[3] = {0}, thinned_cost[3] = {0}, rows[3] = {0}, cost[3] = {0};
  for (int i = 0; i < EVENTS; i++) {
    bool old = event[i].timestamp < days_ago(60);
    int64_t u = event[i].cost % 3;
    (old ? thinned : rows)[u]++;
    (old ? thinned_cost : cost)[u] += (uint64_t)event[i].cost;
  }

  uint64_t merges = f.store.db->merges;
  const char *const early[] = {"erase", "--to", "2024-01-01", "zz_bob"};
  cr_assert_eq(job(early, 4, out, sizeof out, &e), TALLY_NO_RAW_ROWS);
  const char *const early_pseudonym[] = {"pseudonymize", "--from", "2024-01-01", "zz_bob"};
  cr_assert_eq(job(early_pseudonym, 4, out, sizeof out, &e), TALLY_NO_RAW_ROWS);
  cr_assert_eq(f.store.db->merges, merges, "a range that is refused changes nothing");
  expect_sums("user_id = zz_bob", thinned[1] + rows[1], thinned_cost[1] + cost[1], 1);
  const char *const late[] = {"erase", "--from", "2024-06-01", "zz_bob"};
  cr_assert_eq(job(late, 4, out, sizeof out, &e), 0, "%s", e.text);
  for (int i = 0; i < EVENTS; i++)
    if (event[i].cost % 3 == 1 && event[i].timestamp >= INT64_C(1717200000000000))
      rows[1]--, cost[1] -= (uint64_t)event[i].cost;
  expect_sums("user_id = zz_bob", thinned[1] + rows[1], thinned_cost[1] + cost[1], 1);

  cr_assert_eq(job((const char *const[]){"erase", "zz_bob"}, 2, out, sizeof out, &e), 0, "%s", e.text);
  (void)snprintf(want, sizeof want, "\"rows_erased\":%llu,\"rows_moved_to_null\":%llu,",
                 (unsigned long long)rows[1], (unsigned long long)thinned[1]);
  cr_assert(strstr(out, want) != NULL, "%s, expected %s", out, want);
  no_bytes_of("zz_bob");
  expect_sums("user_id = zz_bob", 0, 0, 0);
  expect_sums("user_id is null", thinned[1], thinned_cost[1], 0);
  uint64_t all = thinned[0] + thinned[1] + thinned[2] + rows[0] + rows[2],
           all_cost = thinned_cost[0] + thinned_cost[1] + thinned_cost[2] + cost[0] + cost[2];
  expect_sums(NULL, all, all_cost, 2);

  cr_assert_eq(job((const char *const[]){"pseudonymize", "zz_cyd"}, 2, out, sizeof out, &e), 0, "%s", e.text);
  (void)snprintf(want, sizeof want, "\"rows_pseudonymized\":%llu,",
                 (unsigned long long)(rows[2] + thinned[2]));
  cr_assert(strstr(out, want) != NULL, "%s, expected %s", out, want);
  no_bytes_of("zz_cyd");
  close_store();
  open_store();
  expect_sums("user_id = zz_cyd", 0, 0, 0);
  expect_sums("user_id is null", thinned[1], thinned_cost[1], 0);
  expect_sums("user_id = ann", thinned[0] + rows[0], thinned_cost[0] + cost[0], 1);
  expect_sums(NULL, all, all_cost, 2);
  end();
}

Test(retention, an_event_of_the_future_makes_nothing_expire) {
  begin();
  tally_error e;
  struct told done;
  fill();
  set(NULL, "never", "never", "401d");
  struct event future = {now + DAY_US - 1, 1, 0, 1};
  cr_assert_eq(append(&future, 1, &e), 0, "%s", e.text);
  cr_assert_eq(apply(false, &done, &e), 0, "%s", e.text);
  cr_assert_eq(done.rows[STAGE_DROP], 0);
  end();
}

Test(retention, what_thinned_days_cannot_tell_is_refused_and_archived_ones_tell_all) {
  begin();
  tally_error e;
  struct told done;
  fill();
  set(NULL, "10d", "50d", "never");
  cr_assert_eq(apply(false, &done, &e), 0, "%s", e.text);
  cr_assert_gt(done.rows[STAGE_ARCHIVE], 0);
  char command[300];
  (void)snprintf(command, sizeof command, "ls %s/archive/2024-0*/*.seg >/dev/null", f.directory.path);
  cr_assert_eq(system(command), 0, "files are in the archive");
  tally_cursor *c;
  tally_scan scan;
  tally_scan_init(&scan);
  scan.from = "2024-01-01", scan.to = "2024-02-01";
  int result = tally_scan_open(&f.store, &scan, &c, &e);
  if (!result) {
    result = tally_cursor_next(c, &e);
    tally_cursor_close(c);
  }
  cr_assert_eq(result, TALLY_NO_RAW_ROWS);
  scan.from = "2024-05-15", scan.to = NULL; /* from here on rows are there, some in the archive */
  cr_assert_eq(tally_scan_open(&f.store, &scan, &c, &e), 0);
  int rows = 0, wanted = 0;
  while ((result = tally_cursor_next(c, &e)) == TALLY_ROW) rows++;
  cr_assert_eq(result, 0, "%s", e.text);
  tally_cursor_close(c);
  for (int i = 0; i < EVENTS; i++) wanted += event[i].timestamp >= INT64_C(1715731200000000);
  cr_assert_eq(rows, wanted);
  same_as_model((int[]){0, 0, 0});
  end();
}

Test(retention, ages_are_whole_days_that_rise_and_a_damaged_policy_is_refused) {
  begin();
  tally_error e;
  int64_t age;
  static const char *const bad[] = {"",    "30",           "d",    "-1d", "0d", "1.5d",
                                    "30h", "99999999999y", "30d ", "ever"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    cr_assert_eq(age_parse(bad[i], &age, &e), TALLY_USAGE, "%s", bad[i]);
  cr_assert_eq(age_parse("2w", &age, &e), 0);
  cr_assert_eq(age, 14 * DAY_US);
  struct ages falling = {{90 * DAY_US, 30 * DAY_US, 0}};
  cr_assert_eq(db_retention_set(f.store.db, NULL, &falling, &e), TALLY_USAGE);
  cr_assert_eq(db_retention_set(f.store.db, "nobody", NULL, &e), TALLY_NOT_FOUND);
  set("chat", "never", "never", "30d");
  close_store();
  char path[300];
  (void)snprintf(path, sizeof path, "%s/RETENTION", f.directory.path);
  struct policy p;
  cr_assert_eq(policy_load(&f.os, f.directory.path, &p, &e), 0);
  cr_assert_eq(policy_ages(&p, "chat", 4)->age[STAGE_DROP], 30 * DAY_US);
  cr_assert_eq(policy_ages(&p, "chats", 5)->age[STAGE_DROP], 0);
  policy_free(&p);
  int result = TALLY_NO_MEMORY;
  for (int most = 0; result; most++) { /* a lack of memory is no damage */
    cr_assert_eq(result, TALLY_NO_MEMORY, "with %d allocations", most - 1);
    allocations_stop_after(most);
    result = policy_load(&f.os, f.directory.path, &p, &e);
    allocations_again();
  }
  policy_free(&p);
  FILE *file = fopen(path, "r+b");
  fseek(file, 0, SEEK_END);
  for (long at = ftell(file) - 1; at >= 0; at--) {
    int byte = (fseek(file, at, SEEK_SET), fgetc(file));
    fseek(file, at, SEEK_SET), fputc(byte ^ 16, file), fflush(file);
    cr_assert_eq(policy_load(&f.os, f.directory.path, &p, &e), TALLY_CORRUPT, "byte %ld", at);
    fseek(file, at, SEEK_SET), fputc(byte, file), fflush(file);
  }
  fclose(file);
  open_store();
  end();
}
