/* Jobs through <tally.h>: what they do to answers (nothing), to files, and beside open cursors. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "support/temporary.h"
#include "tally.h"

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

static tally_store *open_store(const char *path) {
  tally_error e;
  tally_options o;
  tally_options_init(&o);
  o.create = o.manual = true;
  o.memory = 64u << 20;
  tally_store *store;
  cr_assert_eq(tally_open(path, &o, &store, &e), 0, "%s", e.text);
  return store;
}

/* Events of January to March 2024, in any order; some NULL, some metadata. */
static void append(tally_store *store, unsigned rows) {
  tally_error e;
  tally_batch *b = tally_batch_new();
  for (unsigned i = 0; i < rows; i++) {
    char user[20], metadata[60];
    (void)snprintf(user, sizeof user, "user_%u", (unsigned)below(50));
    (void)snprintf(metadata, sizeof metadata, "{\"req\":\"%08x\"}", (unsigned)below(1u << 31));
    tally_event event = {.timestamp = INT64_C(1704067200000000) + (int64_t)below(UINT64_C(7862400) * 1000000),
                         .cost = (int64_t)below(1000000) * 100000,
                         .tokens_used = (int32_t)below(5000),
                         .status_code = below(10) ? 200 : 429};
    if (below(20)) event.user_id = (tally_text){user, strlen(user)};
    event.service_name = below(2) ? (tally_text){"chat", 4} : (tally_text){"embed", 5};
    if (below(3) == 0) event.metadata = (tally_text){metadata, strlen(metadata)};
    event.present = 1u << TALLY_COL_COST | 1u << TALLY_COL_STATUS_CODE;
    if (below(3)) event.present |= 1u << TALLY_COL_TOKENS_USED;
    cr_assert_eq(tally_batch_add(b, &event, &e), 0, "%s", e.text);
  }
  const void *bytes;
  size_t size;
  tally_receipt receipt;
  tally_append_options o = {.durability = TALLY_OS};
  cr_assert_eq(tally_batch_finish(b, &bytes, &size, &e), 0);
  cr_assert_eq(tally_append(store, bytes, size, &o, &receipt, &e), 0, "%s", e.text);
  tally_batch_free(b);
}

static void pull(tally_cursor *c, struct buffer *out) {
  tally_error e;
  int result;
  while ((result = tally_cursor_next(c, &e)) == TALLY_ROW)
    for (size_t i = 0; i < tally_cursor_columns(c); i++) {
      tally_text t = tally_cursor_cell(c, i);
      buffer_append(out, t.data ? t.data : "\\N", t.data ? t.size : 2);
      buffer_append(out, "\t", 1);
    }
  cr_assert_eq(result, 0, "%s", e.text);
  tally_cursor_close(c);
}

static tally_cursor *all_events(tally_store *store) {
  tally_error e;
  tally_scan scan;
  tally_scan_init(&scan);
  tally_cursor *c;
  cr_assert_eq(tally_scan_open(store, &scan, &c, &e), 0, "%s", e.text);
  return c;
}

static struct buffer events(tally_store *store) {
  struct buffer out = {0};
  pull(all_events(store), &out);
  return out;
}

static void same(struct buffer *a, struct buffer b, const char *what) {
  cr_assert_eq(a->size, b.size, "%s: %zu bytes of events, then %zu", what, a->size, b.size);
  if (a->size) cr_assert_arr_eq(a->data, b.data, a->size, "%s", what);
  buffer_free(&b);
}

static unsigned figure(tally_store *store, const char *name) {
  tally_error e;
  tally_cursor *c;
  unsigned value = 0;
  cr_assert_eq(tally_stats_open(store, &c, &e), 0);
  while (tally_cursor_next(c, &e) == TALLY_ROW)
    if (strcmp(tally_cursor_cell(c, 0).data, name) == 0)
      value = (unsigned)strtoul(tally_cursor_cell(c, 1).data, NULL, 10);
  tally_cursor_close(c);
  return value;
}

static unsigned segment_files(const char *path) {
  char command[300], line[20] = "";
  (void)snprintf(command, sizeof command, "find %s/segments -name '*.seg' | wc -l", path);
  FILE *f = popen(command, "r");
  cr_assert_not_null(fgets(line, sizeof line, f));
  pclose(f);
  return (unsigned)atoi(line);
}

static size_t compact(tally_store *store) {
  tally_error e;
  const char *words[] = {"compact"};
  tally_cursor *c;
  struct buffer out = {0};
  cr_assert_eq(tally_job_open(store, words, 1, &c, &e), 0, "%s", e.text);
  cr_assert_eq(tally_cursor_columns(c), 6);
  pull(c, &out);
  size_t size = out.size;
  buffer_free(&out);
  return size;
}

Test(job, compaction_changes_no_answer_leaves_few_segments_and_no_other_files) {
  seed();
  tally_error e;
  struct temporary t = temporary_make();
  tally_store *store = open_store(t.path);
  for (int i = 0; i < 30; i++) {
    append(store, 300 + (unsigned)below(3000));
    cr_assert_eq(tally_flush(store, &e), 0);
    bool worked = below(2);
    while (worked) cr_assert_eq(tally_step(store, &worked, &e), 0, "%s", e.text);
  }
  struct buffer before = events(store);
  tally_cursor *old = all_events(store);
  cr_assert_gt(compact(store), 0);
  same(&before, events(store), "after compaction");
  cr_assert_leq(figure(store, "segments"), 6, "at most a big one and a small one a month");
  cr_assert_eq(segment_files(t.path), figure(store, "segments"));
  cr_assert_eq(compact(store), 0, "a second compaction has nothing to do");
  struct buffer out = {0};
  pull(old, &out);
  same(&before, out, "a cursor from before it");
  cr_assert_eq(tally_close(store, &e), 0, "%s", e.text);
  store = open_store(t.path);
  same(&before, events(store), "after reopening");
  cr_assert_eq(segment_files(t.path), figure(store, "segments"));
  tally_cursor *c;
  cr_assert_eq(tally_verify_open(store, 0, &c, &e), 0);
  cr_assert_eq(tally_cursor_next(c, &e), TALLY_OK, "verify finds nothing");
  tally_cursor_close(c);
  cr_assert_eq(tally_close(store, &e), 0);
  buffer_free(&before);
  temporary_remove(&t);
}

Test(job, a_compaction_tells_of_each_merge_as_it_ends_and_one_that_is_cancelled_merges_no_more) {
  tally_error e;
  struct temporary t = temporary_make();
  tally_store *store = open_store(t.path);
  for (int i = 0; i < 2; i++) { /* of several months each */
    append(store, 3000);
    cr_assert_eq(tally_flush(store, &e), 0);
  }
  unsigned segments = figure(store, "segments");
  const char *words[] = {"compact"};
  tally_cursor *c;
  cr_assert_geq(segments, 4);
  cr_assert_eq(tally_job_open(store, words, 1, &c, &e), 0, "%s", e.text);
  cr_assert_eq(tally_cursor_next(c, &e), TALLY_ROW);
  cr_assert_eq(figure(store, "merges"), 1, "the next is not begun");
  cr_assert_eq(figure(store, "segments"), segments - 1);
  cr_assert_eq(tally_cursor_next(c, &e), TALLY_ROW);
  cr_assert_eq(figure(store, "merges"), 2);
  tally_cursor_cancel(c);
  cr_assert_eq(tally_cursor_next(c, &e), TALLY_CANCELLED);
  tally_cursor_close(c);
  cr_assert_eq(figure(store, "merges"), 2);
  (void)compact(store);
  cr_assert_gt(figure(store, "merges"), 2, "what it left");
  cr_assert_eq(tally_close(store, &e), 0);
  temporary_remove(&t);
}

Test(job, months_larger_than_a_segment_are_cut_into_slices_of_time) {
  seed();
  tally_error e;
  struct temporary t = temporary_make();
  tally_store *store = open_store(t.path); /* 64 MiB: segments of 65,536 rows */
  for (int i = 0; i < 12; i++) append(store, 50000);
  cr_assert_eq(tally_flush(store, &e), 0);
  struct buffer before = events(store);
  compact(store);
  same(&before, events(store), "after compaction");
  cr_assert(figure(store, "segments") >= 10 && figure(store, "segments") <= 14, "%u segments",
            figure(store, "segments"));
  cr_assert_eq(compact(store), 0);
  cr_assert_eq(tally_close(store, &e), 0);
  buffer_free(&before);
  temporary_remove(&t);
}

/* ------------------------------------------------------------------ erase */

static struct buffer query(tally_store *store, const char *where, const char *aggregates) {
  tally_error e;
  tally_query q;
  tally_query_init(&q);
  q.where = &where;
  q.where_count = where ? 1 : 0;
  q.aggregates = aggregates;
  q.flags = below(2) ? TALLY_NO_ROLLUPS : 0;
  tally_cursor *c;
  struct buffer out = {0};
  cr_assert_eq(tally_query_open(store, &q, &c, &e), 0, "%s", e.text);
  pull(c, &out);
  return out;
}

#define SUMS "count,sum:tokens_used,count:tokens_used,sum:cost,errors,distinct:user_id,count:metadata"

static int job(tally_store *store, const char *const *words, size_t count, struct buffer *out,
               tally_error *e) {
  tally_cursor *c;
  int result = tally_job_open(store, words, count, &c, e);
  if (!result) pull(c, out);
  return result;
}

static size_t places_with(tally_store *store, const char *text) {
  tally_error e;
  const char *words[] = {"erase-check", text};
  struct buffer out = {0};
  cr_assert_eq(job(store, words, 2, &out, &e), 0, "%s", e.text);
  size_t size = out.size;
  buffer_free(&out);
  return size;
}

static void append_one(tally_store *store, const char *user, const char *metadata, uint64_t sequence,
                       bool expect_duplicate) {
  tally_error e;
  tally_batch *b = tally_batch_new();
  tally_event event = {.timestamp = INT64_C(1706000000000000),
                       .user_id = {user, strlen(user)},
                       .metadata = {metadata, strlen(metadata)},
                       .cost = 5,
                       .present = 1u << TALLY_COL_COST};
  cr_assert_eq(tally_batch_add(b, &event, &e), 0, "%s", e.text);
  const void *bytes;
  size_t size;
  tally_receipt receipt;
  tally_append_options o = {.producer = "one", .epoch = 1, .sequence = sequence};
  cr_assert_eq(tally_batch_finish(b, &bytes, &size, &e), 0);
  cr_assert_eq(tally_append(store, bytes, size, &o, &receipt, &e), 0, "%s", e.text);
  cr_assert_eq(receipt.duplicate, expect_duplicate);
  tally_batch_free(b);
}

Test(job, erasing_a_user_leaves_no_byte_of_it_and_every_total_of_the_others) {
  seed();
  tally_error e;
  struct temporary t = temporary_make();
  tally_store *store = open_store(t.path);
  append_one(store, "zz_the_one_zz", "{\"secret\":\"qq_secret_qq\"}", 1, false);
  for (int i = 0; i < 6; i++) {
    append(store, 4000);
    if (below(2)) cr_assert_eq(tally_flush(store, &e), 0);
    if (i == 3) append_one(store, "zz_the_one_zz", "{}", 2, false);
  }
  struct buffer others = query(store, "user_id != zz_the_one_zz", SUMS),
                nobody = query(store, "user_id is null", SUMS);
  cr_assert_gt(places_with(store, "zz_the_one_zz"), 0);
  cr_assert_gt(places_with(store, "qq_secret_qq"), 0);
  const char *words[] = {"erase", "zz_the_one_zz"};
  struct buffer receipt = {0};
  cr_assert_eq(job(store, words, 2, &receipt, &e), 0, "%s", e.text);
  write8(&receipt, 0);
  cr_assert(strstr((char *)receipt.data, "\"rows_erased\":2,"), "%s", (char *)receipt.data);
  cr_assert_eq(places_with(store, "zz_the_one_zz"), 0);
  cr_assert_eq(places_with(store, "qq_secret_qq"), 0);
  same(&others, query(store, "user_id != zz_the_one_zz", SUMS), "the others");
  same(&nobody, query(store, "user_id is null", SUMS), "rows without a user");
  cr_assert_eq(job(store, words, 2, &receipt, &e), TALLY_NOT_FOUND, "an unknown user is an error");
  append_one(store, "zz_the_one_zz", "{}", 2, true);
  cr_assert_eq(tally_close(store, &e), 0);
  char command[300];
  (void)snprintf(command, sizeof command, "grep -rqE 'zz_the_one_zz|qq_secret_qq' %s", t.path);
  cr_assert_neq(system(command), 0, "no byte is left in the closed store either");
  store = open_store(t.path);
  same(&others, query(store, "user_id != zz_the_one_zz", SUMS), "the others after reopening");
  append_one(store, "zz_the_one_zz", "{}", 3, false);
  struct buffer one = query(store, "user_id = zz_the_one_zz", "count");
  cr_assert_arr_eq(one.data, "1\t", 2, "who comes again is somebody new");
  cr_assert_eq(tally_close(store, &e), 0);
  store = open_store(t.path);
  buffer_free(&one);
  one = query(store, "user_id = zz_the_one_zz", "count");
  cr_assert_arr_eq(one.data, "1\t", 2);
  cr_assert_eq(tally_close(store, &e), 0);
  buffer_free(&others), buffer_free(&nobody), buffer_free(&one), buffer_free(&receipt);
  temporary_remove(&t);
}

Test(job, erasing_a_range_of_a_user_keeps_the_rest_and_a_pseudonym_keeps_every_total) {
  seed();
  tally_error e;
  struct temporary t = temporary_make();
  tally_store *store = open_store(t.path);
  for (int i = 0; i < 4; i++) {
    append(store, 5000);
    if (below(2)) cr_assert_eq(tally_flush(store, &e), 0);
  }
  struct buffer later = {0}, others = query(store, "user_id != user_7", SUMS);
  const char *where[] = {"user_id = user_7"};
  tally_scan scan;
  tally_scan_init(&scan);
  scan.where = where, scan.where_count = 1, scan.from = "2024-02-10";
  tally_cursor *c;
  cr_assert_eq(tally_scan_open(store, &scan, &c, &e), 0);
  pull(c, &later);
  const char *words[] = {"erase", "--to", "2024-02-10", "user_7"};
  struct buffer receipt = {0}, out = {0};
  cr_assert_eq(job(store, words, 4, &receipt, &e), 0, "%s", e.text);
  scan.from = NULL;
  cr_assert_eq(tally_scan_open(store, &scan, &c, &e), 0);
  pull(c, &out);
  same(&later, out, "the user's rows from the limit on are all that is left");
  same(&others, query(store, "user_id != user_7", SUMS), "the others");

  struct buffer sums = query(store, NULL, "count,sum:tokens_used,sum:cost,errors,distinct:user_id"),
                with = query(store, "user_id = user_8", "count:metadata,count");
  const char *again[] = {"pseudonymize", "user_8"};
  buffer_clear(&receipt);
  cr_assert_eq(job(store, again, 2, &receipt, &e), 0, "%s", e.text);
  write8(&receipt, 0);
  cr_assert_not(strstr((char *)receipt.data, "anon_"), "the pseudonym does not stand beside the id");
  same(&sums, query(store, NULL, "count,sum:tokens_used,sum:cost,errors,distinct:user_id"), "totals");
  struct buffer now = query(store, "user_id ^= anon_", "count:metadata,count"),
                none = query(store, "user_id = user_8", "count");
  cr_assert_arr_eq(now.data, "0\t", 2, "metadata is dropped");
  cr_assert_str_eq(strchr((write8(&now, 0), (char *)now.data), '\t'),
                   strchr((write8(&with, 0), (char *)with.data), '\t'), "rows");
  cr_assert_arr_eq(none.data, "0\t", 2);
  cr_assert_eq(places_with(store, "user_8"), 0);
  cr_assert_eq(tally_close(store, &e), 0);
  buffer_free(&later), buffer_free(&others), buffer_free(&receipt), buffer_free(&sums), buffer_free(&with);
  buffer_free(&now), buffer_free(&none);
  temporary_remove(&t);
}

Test(job, a_cursor_that_holds_erased_rows_ends_when_its_time_is_over_and_the_receipt_waits_for_it) {
  seed();
  tally_error e;
  struct temporary t = temporary_make();
  tally_options o;
  tally_options_init(&o);
  o.create = true;
  o.query_timeout = 1500;
  tally_store *store;
  cr_assert_eq(tally_open(t.path, &o, &store, &e), 0);
  for (int i = 0; i < 3; i++) append(store, 20000);
  cr_assert_eq(tally_flush(store, &e), 0);
  tally_cursor *old = all_events(store);
  cr_assert_eq(tally_cursor_next(old, &e), TALLY_ROW);
  const char *words[] = {"erase", "user_3"};
  struct buffer receipt = {0};
  time_t began = time(NULL);
  cr_assert_eq(job(store, words, 2, &receipt, &e), 0, "%s", e.text);
  cr_assert_geq(time(NULL) - began, 1, "it waited");
  int result;
  while ((result = tally_cursor_next(old, &e)) == TALLY_ROW) {
  }
  cr_assert(result == TALLY_SNAPSHOT_EXPIRED || result == TALLY_DEADLINE, "%s", e.text);
  tally_cursor_close(old);
  struct buffer none = query(store, "user_id = user_3", "count");
  cr_assert_arr_eq(none.data, "0\t", 2);
  buffer_free(&none);
  cr_assert_eq(tally_close(store, &e), 0);
  buffer_free(&receipt);
  temporary_remove(&t);
}

Test(job, an_interrupted_store_begins_no_job_and_still_appends_answers_and_closes) {
  struct temporary d = temporary_make();
  tally_error e;
  tally_store *store = open_store(d.path);
  append(store, 100);
  tally_interrupt(store);
  tally_cursor *c;
  const char *words[] = {"compact"};
  cr_assert_eq(tally_job_open(store, words, 1, &c, &e), TALLY_CANCELLED);
  append(store, 100);
  cr_assert_eq(tally_flush(store, &e), 0, "%s", e.text);
  struct buffer all = events(store);
  cr_assert(all.size);
  buffer_free(&all);
  cr_assert_eq(tally_close(store, &e), 0, "%s", e.text);
  store = open_store(d.path);
  cr_assert_eq(tally_job_open(store, words, 1, &c, &e), 0, "an opened store does jobs again: %s", e.text);
  tally_cursor_close(c);
  cr_assert_eq(tally_close(store, &e), 0, "%s", e.text);
  temporary_remove(&d);
}

Test(job, what_is_no_job_is_refused_by_name) {
  tally_error e;
  struct temporary t = temporary_make();
  tally_store *store = open_store(t.path);
  const char *words[] = {"compakt", "now"};
  tally_cursor *c;
  cr_assert_eq(tally_job_open(store, words, 1, &c, &e), TALLY_USAGE);
  cr_assert(strstr(e.text, "compakt"));
  words[0] = "compact";
  cr_assert_eq(tally_job_open(store, words, 2, &c, &e), TALLY_USAGE);
  cr_assert(strstr(e.text, "now"));
  cr_assert_eq(tally_job_open(store, words, 0, &c, &e), TALLY_USAGE);
  cr_assert_eq(tally_close(store, &e), 0);
  temporary_remove(&t);
}
