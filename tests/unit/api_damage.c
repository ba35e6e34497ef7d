/* Damage: a segment that is damaged or missing is refused by name, left out on request, and takes no other
 * request with it; the check names every damaged file. */
#include <criterion/criterion.h>
#include <glob.h>
#include <string.h>
#include <tally.h>
#include <time.h>

#include "support/temporary.h"

#define JANUARY INT64_C(1704067200)
#define FEBRUARY INT64_C(1706745600)
#define ROWS 5000

struct fixture {
  struct temporary t;
  tally_store *store;
  char january[700], february[700]; /* the segments' files */
};

static void open_store(struct fixture *f) {
  tally_options o;
  tally_error e;
  tally_options_init(&o);
  o.create = true;
  o.manual = true;
  o.memory = 64u << 20;
  cr_assert_eq(tally_open(f->t.path, &o, &f->store, &e), 0, "%s", e.text);
}

static void close_store(struct fixture *f) {
  tally_error e;
  cr_assert_eq(tally_close(f->store, &e), 0, "%s", e.text);
}

static void add(struct fixture *f, int64_t start, const char *user) {
  tally_batch *b = tally_batch_new();
  tally_error e;
  for (int i = 0; i < ROWS; i++) {
    tally_event event = {.timestamp = (start + i * 7) * 1000000,
                         .user_id = {user, strlen(user)},
                         .service_name = {"chat", 4},
                         .tokens_used = i % 977,
                         .present = 1u << TALLY_COL_TOKENS_USED};
    cr_assert_eq(tally_batch_add(b, &event, &e), 0, "%s", e.text);
  }
  const void *bytes;
  size_t size;
  cr_assert_eq(tally_batch_finish(b, &bytes, &size, &e), 0, "%s", e.text);
  cr_assert_eq(tally_append(f->store, bytes, size, NULL, NULL, &e), 0, "%s", e.text);
  tally_batch_free(b);
}

static void find(const struct fixture *f, const char *pattern, char path[700]) {
  char whole[700];
  glob_t found;
  (void)snprintf(whole, sizeof whole, "%s/%s", f->t.path, pattern);
  cr_assert_eq(glob(whole, 0, NULL, &found), 0, "%s", whole);
  (void)snprintf(path, 700, "%s", found.gl_pathv[0]);
  globfree(&found);
}

/* A store with a segment for January (user ann) and one for February (user bob). */
static void begin(struct fixture *f) {
  tally_error e;
  f->t = temporary_make();
  open_store(f);
  add(f, JANUARY, "ann");
  add(f, FEBRUARY, "bob");
  cr_assert_eq(tally_flush(f->store, &e), 0, "%s", e.text);
  find(f, "segments/2024-01/*.seg", f->january);
  find(f, "segments/2024-02/*.seg", f->february);
}

/* Damages every block of rows; the directory stays whole. Returns the sound bytes. */
static uint8_t *damage(const char *path, size_t *size) {
  uint8_t *sound = file_load(path, size), *bytes = file_load(path, size);
  for (size_t i = 20; i < *size / 2; i += 8) bytes[i] ^= 1;
  FILE *file = fopen(path, "r+b"); /* in place: the store has it open */
  cr_assert_eq(fwrite(bytes, 1, *size, file), *size);
  (void)fclose(file);
  free(bytes);
  return sound;
}

static void mend(const char *path, uint8_t *sound, size_t size) {
  FILE *file = fopen(path, "r+b");
  if (!file) file = fopen(path, "wb");
  cr_assert_eq(fwrite(sound, 1, size, file), size);
  (void)fclose(file);
  free(sound);
}

/* The count, or a code. */
static int64_t count(struct fixture *f, const char *from, const char *where, uint32_t flags,
                     uint64_t *left_out, tally_error *e) {
  tally_query q;
  tally_cursor *c;
  tally_query_init(&q);
  q.from = from;
  q.where = &where;
  q.where_count = where != NULL;
  q.flags = flags;
  q.aggregates = "count,sum:tokens_used";
  int result = tally_query_open(f->store, &q, &c, e);
  if (result) return result;
  result = tally_cursor_next(c, e);
  int64_t n = result;
  if (result == TALLY_ROW) {
    char digits[24];
    tally_text cell = tally_cursor_cell(c, 0);
    (void)snprintf(digits, sizeof digits, "%.*s", (int)cell.size, cell.data);
    n = strtoll(digits, NULL, 10);
  }
  if (left_out) tally_cursor_left_out(c, left_out, NULL);
  tally_cursor_close(c);
  return n;
}

static int64_t events(struct fixture *f, uint32_t flags, uint64_t *left_out, tally_error *e) {
  tally_scan s;
  tally_cursor *c;
  tally_scan_init(&s);
  s.flags = flags;
  int64_t n = 0;
  uint64_t rows = 0;
  int result = tally_scan_open(f->store, &s, &c, e);
  while (!result && (result = tally_cursor_next(c, e)) == TALLY_ROW) n++, result = 0;
  tally_cursor_left_out(c, left_out, &rows);
  cr_assert_eq(rows, *left_out * ROWS);
  tally_cursor_close(c);
  return result ? result : n;
}

static uint64_t quarantined(struct fixture *f) {
  tally_cursor *c;
  tally_error e;
  uint64_t n = UINT64_MAX;
  cr_assert_eq(tally_stats_open(f->store, &c, &e), 0);
  while (tally_cursor_next(c, &e) == TALLY_ROW)
    if (strcmp(tally_cursor_cell(c, 0).data, "segments_quarantined") == 0)
      n = strtoull(tally_cursor_cell(c, 1).data, NULL, 10);
  tally_cursor_close(c);
  return n;
}

/* Faults that the check finds; the first one's file. */
static int check(struct fixture *f, char file[700]) {
  tally_cursor *c;
  tally_error e;
  int n = 0, result;
  *file = '\0';
  cr_assert_eq(tally_verify_open(f->store, 0, &c, &e), 0);
  while ((result = tally_cursor_next(c, &e)) == TALLY_ROW)
    if (n++ == 0) (void)snprintf(file, 700, "%s/%s", f->t.path, tally_cursor_cell(c, 0).data);
  cr_assert_eq(result, 0, "%s", e.text);
  tally_cursor_close(c);
  return n;
}

/* January is quarantined. */
static void refused_by_name(struct fixture *f) {
  tally_error e;
  uint64_t left_out;
  cr_assert_eq(count(f, NULL, NULL, 0, NULL, &e), TALLY_CORRUPT, "also where the index would do");
  cr_assert(strstr(e.text, strstr(f->january, "segments/")), "%s", e.text);
  cr_assert_eq(events(f, 0, &left_out, &e), TALLY_CORRUPT);
  cr_assert_eq(events(f, TALLY_ORDER_NONE, &left_out, &e), TALLY_CORRUPT);
  cr_assert_eq(count(f, "2024-02-01", NULL, TALLY_NO_ROLLUPS, &left_out, &e), ROWS, "others go on");
  cr_assert_eq(left_out, 0);
  cr_assert_eq(count(f, NULL, NULL, TALLY_PARTIAL, &left_out, &e), ROWS);
  cr_assert_eq(left_out, 1, "and it is said");
  cr_assert_eq(count(f, "2024-02-01", NULL, TALLY_PARTIAL, &left_out, &e), ROWS);
  cr_assert_eq(left_out, 0, "nothing of this answer is missing");
  cr_assert_eq(events(f, TALLY_PARTIAL, &left_out, &e), ROWS);
  cr_assert_eq(left_out, 1);
  cr_assert_eq(quarantined(f), 1);
}

static void whole(struct fixture *f) {
  tally_error e;
  uint64_t left_out;
  cr_assert_eq(quarantined(f), 0);
  cr_assert_eq(count(f, NULL, NULL, TALLY_NO_ROLLUPS, NULL, &e), 2 * ROWS, "%s", e.text);
  cr_assert_eq(count(f, NULL, "user_id = ann", TALLY_PARTIAL, &left_out, &e), ROWS);
  cr_assert_eq(left_out, 0);
  cr_assert_eq(events(f, 0, &left_out, &e), 2 * ROWS);
}

Test(api, a_damaged_segment_is_refused_by_name_left_out_on_request_and_takes_no_other_request_with_it) {
  struct fixture f;
  tally_error e;
  size_t size;
  char file[700];
  uint64_t left_out;
  begin(&f);
  whole(&f);
  close_store(&f); /* and with it what the cache holds */
  open_store(&f);
  uint8_t *sound = damage(f.january, &size);
  cr_assert_eq(quarantined(&f), 0, "nobody has looked");
  cr_assert_eq(count(&f, NULL, NULL, TALLY_NO_ROLLUPS, NULL, &e), TALLY_CORRUPT);
  refused_by_name(&f);
  cr_assert_eq(count(&f, NULL, "user_id = bob", 0, NULL, &e), TALLY_CORRUPT, "bob may be in it");
  cr_assert_eq(count(&f, NULL, "service_name = other", 0, NULL, &e), 0, "but no other service is");
  cr_assert_gt(check(&f, file), 0);
  cr_assert_str_eq(file, f.january);
  close_store(&f);
  open_store(&f);
  cr_assert_eq(count(&f, NULL, NULL, TALLY_PARTIAL | TALLY_NO_ROLLUPS, &left_out, &e), ROWS,
               "a partial answer is begun again when damage is met: %s", e.text);
  cr_assert_eq(left_out, 1);
  close_store(&f);
  open_store(&f);
  cr_assert_eq(events(&f, TALLY_PARTIAL, &left_out, &e), ROWS, "%s", e.text);
  cr_assert_eq(left_out, 1);
  close_store(&f);
  open_store(&f);
  cr_assert_gt(check(&f, file), 0, "a check finds it too");
  refused_by_name(&f);
  mend(f.january, sound, size);
  cr_assert_eq(count(&f, NULL, NULL, 0, NULL, &e), TALLY_CORRUPT, "until a check has seen it whole");
  cr_assert_eq(check(&f, file), 0, "%s", file);
  whole(&f);
  close_store(&f);
  temporary_remove(&f.t);
}

Test(api, a_segment_file_that_is_missing_cut_or_another_one_does_not_refuse_the_store) {
  for (int kind = 0; kind < 3; kind++) {
    struct fixture f;
    size_t size, other_size;
    char file[700];
    begin(&f);
    close_store(&f);
    uint8_t *sound = file_load(f.january, &size), *other = file_load(f.february, &other_size);
    cr_assert_eq(remove(f.january), 0);
    if (kind == 1) file_store(f.january, sound, size - 1);
    if (kind == 2) file_store(f.january, other, other_size);
    free(other);
    open_store(&f);
    refused_by_name(&f);
    cr_assert_gt(check(&f, file), 0);
    cr_assert_str_eq(file, f.january);
    close_store(&f);
    open_store(&f);
    refused_by_name(&f);
    (void)remove(f.january);
    mend(f.january, sound, size);
    cr_assert_eq(check(&f, file), 0, "%s", file);
    whole(&f);
    close_store(&f);
    open_store(&f);
    whole(&f);
    close_store(&f);
    temporary_remove(&f.t);
  }
}

Test(api, the_check_names_damage_of_wal_catalog_and_manifest_while_the_store_is_open) {
  struct fixture f;
  begin(&f);
  add(&f, FEBRUARY + 9, "carl"); /* in the WAL */
  static const char *const files[] = {"wal/*.wal", "catalog", "MANIFEST-*"};
  for (int i = 0; i < 3; i++) {
    char path[700], file[700];
    size_t size, end;
    find(&f, files[i], path);
    uint8_t *sound = file_load(path, &size), *bytes = file_load(path, &size);
    for (end = size; end > 0 && sound[end - 1] == 0;) end--; /* space that the WAL has not used */
    cr_assert_eq(check(&f, file), 0, "%s", file);
    const size_t at[] = {0, 40, end / 2, end - 1};
    for (size_t k = 0; k < sizeof at / sizeof *at; k++) {
      bytes[at[k]] ^= 1;
      FILE *out = fopen(path, "r+b");
      cr_assert_eq(fwrite(bytes, 1, size, out), size);
      (void)fclose(out);
      bytes[at[k]] ^= 1;
      cr_assert_eq(check(&f, file), 1, "%s: byte %zu of %zu", path, at[k], end);
      cr_assert_str_eq(file, path);
    }
    free(bytes);
    mend(path, sound, size);
  }
  close_store(&f);
  temporary_remove(&f.t);
}

Test(api, a_check_can_be_cancelled_and_keeps_to_its_rate) {
  struct fixture f;
  tally_cursor *c;
  tally_error e;
  begin(&f);
  cr_assert_eq(tally_verify_open(f.store, 0, &c, &e), 0);
  tally_cursor_cancel(c);
  cr_assert_eq(tally_cursor_next(c, &e), TALLY_CANCELLED);
  tally_cursor_close(c);
  struct timespec from, to;
  size_t size, other;
  free(file_load(f.january, &size));
  free(file_load(f.february, &other));
  size += other;
  (void)clock_gettime(CLOCK_MONOTONIC, &from);
  cr_assert_eq(tally_verify_open(f.store, size * 2, &c, &e), 0); /* half a second for the segments */
  cr_assert_eq(tally_cursor_next(c, &e), TALLY_OK, "%s", e.text);
  tally_cursor_close(c);
  (void)clock_gettime(CLOCK_MONOTONIC, &to);
  double took = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
  cr_assert_gt(took, 0.4);
  cr_assert_lt(took, 5);
  close_store(&f);
  temporary_remove(&f.t);
}

Test(api, nobody_is_erased_while_rows_may_be_in_a_quarantined_segment) {
  struct fixture f;
  tally_error e;
  size_t size;
  char file[700];
  tally_cursor *c;
  static const char *const words[] = {"erase", "ann"}, *const look[] = {"erase-check", "ann"};
  for (int missing = 0; missing < 2; missing++) {
    begin(&f);
    close_store(&f);
    uint8_t *sound = missing ? file_load(f.january, &size) : damage(f.january, &size);
    if (missing) cr_assert_eq(remove(f.january), 0);
    open_store(&f);
    if (!missing) cr_assert_eq(count(&f, NULL, NULL, TALLY_NO_ROLLUPS, NULL, &e), TALLY_CORRUPT);
    cr_assert_eq(tally_job_open(f.store, words, 2, &c, &e), TALLY_CORRUPT);
    cr_assert(strstr(e.text, strstr(f.january, "segments/")), "%s", e.text);
    if (missing) {
      cr_assert_eq(tally_job_open(f.store, look, 2, &c, &e), TALLY_CORRUPT,
                   "nothing tells that it is not there");
      cr_assert(strstr(e.text, strstr(f.january, "segments/")), "%s", e.text);
    }
    mend(f.january, sound, size);
    cr_assert_eq(check(&f, file), 0, "%s", file);
    cr_assert_eq(tally_job_open(f.store, words, 2, &c, &e), 0, "%s", e.text);
    tally_cursor_close(c);
    cr_assert_eq(count(&f, NULL, NULL, 0, NULL, &e), ROWS);
    close_store(&f);
    temporary_remove(&f.t);
  }
}

Test(api, compaction_leaves_a_quarantined_segment_alone_and_merges_the_others) {
  struct fixture f;
  tally_error e;
  size_t size;
  char file[700];
  uint64_t left_out;
  tally_cursor *c;
  static const char *const words[] = {"compact"};
  begin(&f);
  for (int i = 1; i <= 2; i++) { /* three of February, the first of them damaged */
    add(&f, FEBRUARY + i, "carl");
    cr_assert_eq(tally_flush(f.store, &e), 0, "%s", e.text);
  }
  close_store(&f);
  open_store(&f);
  uint8_t *sound = damage(f.february, &size);
  cr_assert_eq(count(&f, NULL, NULL, TALLY_NO_ROLLUPS, NULL, &e), TALLY_CORRUPT);
  cr_assert_eq(tally_job_open(f.store, words, 1, &c, &e), 0, "%s", e.text);
  cr_assert_eq(tally_cursor_next(c, &e), TALLY_ROW, "the others are merged");
  tally_cursor_close(c);
  cr_assert_eq(quarantined(&f), 1);
  cr_assert_eq(count(&f, NULL, NULL, TALLY_PARTIAL, &left_out, &e), 3 * ROWS, "%s", e.text);
  cr_assert_eq(left_out, 1);
  mend(f.february, sound, size);
  cr_assert_eq(check(&f, file), 0, "%s", file);
  cr_assert_eq(count(&f, NULL, NULL, TALLY_NO_ROLLUPS, NULL, &e), 4 * ROWS);
  close_store(&f);
  temporary_remove(&f.t);
}
