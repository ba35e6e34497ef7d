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
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (state >> 33) % n;
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
  cr_assert_arr_eq(a->data, b.data, a->size, "%s", what);
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
  cr_assert_eq(tally_verify_open(store, &c, &e), 0);
  cr_assert_eq(tally_cursor_next(c, &e), TALLY_OK, "verify finds nothing");
  tally_cursor_close(c);
  cr_assert_eq(tally_close(store, &e), 0);
  buffer_free(&before);
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
