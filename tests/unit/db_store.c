/* The laws of db/: exactly once, all or nothing, visible at acknowledgement, recovered after any end,
 * read-only after a failed sync. */
#include <criterion/criterion.h>
#include <errno.h>
#include <glob.h>
#include <pthread.h>
#include <string.h>

#include "base/bytes.h"
#include "base/status.h"
#include "db/inside.h"
#include "maintain/compact_choose.h"
#include "os/thread.h"
#include "support/temporary.h"

struct fixture {
  struct temporary directory;
  struct os os;
  struct db *db;
};

static tally_options options(bool manual) {
  tally_options o = {.create = true, .manual = manual, .memory = 64u << 20};
  return o;
}

static void reopen(struct fixture *f, bool manual) {
  tally_error e;
  tally_options o = options(manual);
  cr_assert_eq(db_open(&f->os, f->directory.path, &o, &f->db, &e), 0, "%s", e.text);
}

/* The store keeps a pointer to f->os: a fixture does not move. */
static void begin(struct fixture *f, bool manual) {
  *f = (struct fixture){.directory = temporary_make(), .os = *os_posix()};
  reopen(f, manual);
}

static void close_db(struct fixture *f) {
  tally_error e;
  cr_assert_eq(db_close(f->db, &e), 0, "%s", e.text);
}

static void end(struct fixture *f) {
  close_db(f);
  temporary_remove(&f->directory);
}

/* Merges all there is to merge; `merged` (or NULL) is told of each merge, and ends it by another value than
 * 0. */
static int settle(struct db *db, int (*merged)(void *arg, const struct rewrite_report *report), void *arg,
                  tally_error *error) {
  struct db_compaction c = db_compact_begin(db);
  struct rewrite_report report;
  int result;
  while ((result = db_compact_next(&c, &report, error)) == TALLY_ROW)
    if (merged && merged(arg, &report)) return fail(error, TALLY_CANCELLED, "the test had enough");
  return result;
}

/* A batch of `rows` events, one a second from `start` seconds, all of one user. */
static void make(tally_batch *b, int64_t start, uint32_t rows, const void **bytes, size_t *size) {
  tally_error e;
  tally_batch_reset(b);
  for (uint32_t i = 0; i < rows; i++) {
    tally_event event = {
        .timestamp = (start + i) * 1000000, .user_id = {"ann", 3}, .service_name = {"chat", 4}};
    event.cost = 10000000;
    event.present = 1u << TALLY_COL_COST;
    cr_assert_eq(tally_batch_add(b, &event, &e), 0, "%s", e.text);
  }
  cr_assert_eq(tally_batch_finish(b, bytes, size, &e), 0, "%s", e.text);
}

static int append(struct fixture *f, const char *producer, uint64_t epoch, uint64_t sequence, int64_t start,
                  uint32_t rows, tally_durability durability, bool *duplicate, tally_error *e) {
  tally_batch *b = tally_batch_new();
  tally_append_item item = {
      .options = {.producer = producer, .epoch = epoch, .sequence = sequence, .durability = durability}};
  make(b, start, rows, &item.bytes, &item.size);
  db_append(f->db, &item, 1);
  tally_batch_free(b);
  if (duplicate) *duplicate = item.receipt.duplicate;
  if (item.result) *e = item.error;
  return item.result;
}

static uint64_t rows(struct fixture *f) {
  struct db_snapshot *s;
  tally_error e;
  cr_assert_eq(db_snapshot_take(f->db, &s, &e), 0);
  const struct snapshot *v = db_snapshot_view(s);
  uint64_t n = 0;
  for (size_t i = 0; i < v->segment_count; i++) n += v->segments[i]->info.rows;
  for (size_t i = 0; i < v->memtable_count; i++) n += v->memtables[i].rows;
  db_snapshot_release(s);
  return n;
}

/* What kill -9 leaves: the files as they are, while the store is still open. */
static struct fixture crash(struct fixture *f) {
  struct fixture copy = {.directory = temporary_make(), .os = *os_posix()};
  char command[1000];
  (void)snprintf(command, sizeof command, "cp -r %s/. %s/ && rm -f %s/LOCK", f->directory.path,
                 copy.directory.path, copy.directory.path);
  cr_assert_eq(system(command), 0);
  return copy;
}

/* Appends the builder's rows with the item's options and frees the builder. */
static int finish_and_append(struct fixture *f, tally_batch *b, tally_append_item *item, tally_error *e) {
  cr_assert_eq(tally_batch_finish(b, &item->bytes, &item->size, e), 0, "%s", e->text);
  db_append(f->db, item, 1);
  tally_batch_free(b);
  if (item->result) *e = item->error;
  return item->result;
}

Test(db, a_repeat_counts_once_in_memory_after_a_flush_after_a_crash_and_after_a_clean_close) {
  struct fixture f;
  begin(&f, false);
  tally_error e;
  bool duplicate;
  for (uint64_t s = 1; s <= 5; s++)
    cr_assert_eq(append(&f, "p", 1, s, (int64_t)s * 100, 10, TALLY_DISK, NULL, &e), 0, "%s", e.text);
  cr_assert_eq(append(&f, "p", 1, 3, 300, 10, TALLY_DISK, &duplicate, &e), 0);
  cr_assert(duplicate);
  cr_assert_eq(append(&f, "p", 1, 7, 300, 10, TALLY_DISK, NULL, &e), TALLY_GAP);
  cr_assert_eq(e.sequence, 6);
  cr_assert_eq(rows(&f), 50);
  struct fixture g = crash(&f);
  reopen(&g, false);
  cr_assert_eq(rows(&g), 50, "all of the WAL is replayed");
  cr_assert_eq(append(&g, "p", 1, 5, 500, 10, TALLY_DISK, &duplicate, &e), 0);
  cr_assert(duplicate);
  cr_assert_eq(append(&g, "p", 1, 6, 600, 10, TALLY_DISK, &duplicate, &e), 0);
  cr_assert(!duplicate);
  end(&g);
  cr_assert_eq(db_flush(f.db, &e), 0, "%s", e.text);
  cr_assert_eq(rows(&f), 50);
  cr_assert_eq(append(&f, "p", 1, 5, 500, 10, TALLY_OS, &duplicate, &e), 0);
  cr_assert(duplicate);
  cr_assert_eq(append(&f, "p", 1, 6, 600, 10, TALLY_OS, NULL, &e), 0);
  g = crash(&f);
  reopen(&g, true);
  cr_assert_eq(rows(&g), 60, "segments and WAL together");
  end(&g);
  close_db(&f);
  reopen(&f, false);
  cr_assert_eq(rows(&f), 60);
  cr_assert_eq(append(&f, "p", 1, 6, 600, 10, TALLY_DISK, &duplicate, &e), 0);
  cr_assert(duplicate, "marks survive a clean close");
  tally_mark mark;
  cr_assert_eq(db_mark(f.db, "p", 0, &mark, &e), 0);
  cr_assert(mark.epoch == 1 && mark.sequence == 6);
  end(&f);
}

Test(db, a_store_that_was_closed_opens_again_any_number_of_times_with_the_same_rows) {
  struct fixture f;
  begin(&f, false);
  tally_error e;
  for (int i = 0; i < 30; i++) {
    if (i % 3 == 0)
      cr_assert_eq(append(&f, NULL, 0, 0, i * 3000000, 100, TALLY_DISK, NULL, &e), 0, "%s", e.text);
    cr_assert_eq(rows(&f), (uint64_t)(i / 3 + 1) * 100);
    close_db(&f);
    reopen(&f, i % 2);
  }
  end(&f);
}

Test(db, a_group_has_a_result_for_each_batch_and_refusals_use_no_sequence) {
  struct fixture f;
  begin(&f, false);
  tally_batch *b[4];
  tally_append_item item[6] = {0};
  uint64_t sequence[6] = {1, 2, 2, 3, 5, 3};
  for (int i = 0; i < 4; i++) b[i] = tally_batch_new();
  for (int i = 0; i < 6; i++) {
    if (i < 4)
      make(b[i], i * 100, 10, &item[i].bytes, &item[i].size);
    else
      item[i].bytes = item[0].bytes, item[i].size = item[0].size;
    item[i].options = (tally_append_options){.producer = "p", .epoch = 1, .sequence = sequence[i]};
  }
  item[3].bytes = "not a batch, but long enough to be looked at as if it were one";
  item[3].size = 40;
  db_append(f.db, item, 6);
  int expected[6] = {0, 0, 0, TALLY_INVALID_BATCH, TALLY_GAP, 0};
  for (int i = 0; i < 6; i++) cr_assert_eq(item[i].result, expected[i], "item %d: %s", i, item[i].error.text);
  cr_assert(item[2].receipt.duplicate && !item[5].receipt.duplicate);
  cr_assert_eq(rows(&f), 30);
  for (int i = 0; i < 4; i++) tally_batch_free(b[i]);
  end(&f);
}

Test(db, an_event_of_the_future_refuses_its_batch_with_row_and_column) {
  struct fixture f;
  begin(&f, false);
  tally_error e;
  int64_t now = f.os.now(&f.os) / 1000000;
  cr_assert_eq(append(&f, "p", 1, 1, now + 86400 - 20, 10, TALLY_DISK, NULL, &e), 0);
  cr_assert_eq(append(&f, "p", 1, 2, now + 86400 - 4, 20, TALLY_DISK, NULL, &e), TALLY_INVALID_ROW);
  cr_assert(e.row >= 4 && e.row <= 8 && e.column == TALLY_COL_TIMESTAMP, "row %d", (int)e.row);
  cr_assert_eq(append(&f, "p", 1, 2, 5, 20, TALLY_DISK, NULL, &e), 0, "the sequence was not used");
  cr_assert_eq(rows(&f), 30);
  end(&f);
}

static bool syncs_fail;
static int maybe_sync(const struct os *os, struct os_file *file) {
  return syncs_fail ? EIO : os_posix()->sync(os, file);
}

Test(db, after_a_failed_sync_nothing_is_acknowledged_and_the_next_open_has_what_was) {
  struct fixture f;
  begin(&f, true);
  close_db(&f);
  f.os.sync = maybe_sync;
  reopen(&f, true);
  tally_error e;
  cr_assert_eq(append(&f, "p", 1, 1, 0, 10, TALLY_DISK, NULL, &e), 0);
  syncs_fail = true;
  cr_assert_eq(append(&f, "p", 1, 2, 0, 10, TALLY_DISK, NULL, &e), TALLY_IO);
  syncs_fail = false;
  cr_assert_eq(append(&f, "p", 1, 2, 0, 10, TALLY_DISK, NULL, &e), TALLY_READ_ONLY);
  cr_assert_eq(append(&f, "p", 1, 2, 0, 10, TALLY_OS, NULL, &e), TALLY_READ_ONLY);
  cr_assert_eq(rows(&f), 10, "what was not acknowledged is not seen, and reads go on");
  (void)db_close(f.db, &e);
  reopen(&f, true);
  uint64_t n = rows(&f);
  cr_assert(n == 10 || n == 20, "the unacknowledged batch is whole or absent");
  bool duplicate;
  cr_assert_eq(append(&f, "p", 1, 2, 0, 10, TALLY_DISK, &duplicate, &e), 0);
  cr_assert_eq(duplicate, n == 20);
  cr_assert_eq(rows(&f), 20);
  end(&f);
}

static bool disk_full;
static int maybe_allocate(const struct os *os, struct os_file *file, uint64_t from, uint64_t size) {
  return disk_full ? ENOSPC : os_posix()->allocate(os, file, from, size);
}
static int maybe_write(const struct os *os, struct os_file *file, const void *from, size_t size,
                       uint64_t offset) {
  return disk_full ? ENOSPC : os_posix()->write(os, file, from, size, offset);
}

Test(db, a_full_disk_refuses_and_when_space_returns_the_same_batch_goes_in) {
  struct fixture f;
  begin(&f, true);
  close_db(&f);
  f.os.allocate = maybe_allocate;
  f.os.write = maybe_write;
  reopen(&f, true);
  tally_error e;
  uint64_t s = 1;
  cr_assert_eq(append(&f, "p", 1, s++, 0, 10, TALLY_DISK, NULL, &e), 0);
  disk_full = true;
  for (int i = 0; i < 3; i++)
    cr_assert_eq(append(&f, "p", 1, s, 0, 10, TALLY_DISK, NULL, &e), TALLY_NO_SPACE);
  cr_assert_eq(db_flush(f.db, &e), TALLY_NO_SPACE);
  cr_assert_eq(rows(&f), 10);
  disk_full = false;
  cr_assert_eq(append(&f, "p", 1, s++, 0, 10, TALLY_DISK, NULL, &e), 0, "%s", e.text);
  cr_assert_eq(db_flush(f.db, &e), 0, "%s", e.text);
  cr_assert_eq(rows(&f), 20);
  end(&f);
}

static int late_write(const struct os *os, struct os_file *file, const void *from, size_t size,
                      uint64_t offset) {
  int code = os_posix()->write(os, file, from, size, offset);
  return disk_full ? ENOSPC : code;
}
static int forgotten_truncate(const struct os *os, struct os_file *file, uint64_t size) {
  (void)os, (void)file, (void)size;
  return 0;
}

/* Found by R19: the log was empty otherwise, and the flush kept it. */
Test(db, a_batch_that_was_refused_for_want_of_space_does_not_outlive_a_flush) {
  struct fixture f;
  begin(&f, true);
  close_db(&f);
  f.os.write = late_write;
  f.os.truncate = forgotten_truncate; /* which a power cut undoes */
  reopen(&f, true);
  tally_error e;
  disk_full = true;
  cr_assert_eq(append(&f, NULL, 0, 0, 0, 10, TALLY_DISK, NULL, &e), TALLY_NO_SPACE);
  disk_full = false;
  cr_assert_eq(db_flush(f.db, &e), 0, "%s", e.text);
  struct fixture g = crash(&f);
  reopen(&g, true);
  cr_assert_eq(rows(&g), 0);
  end(&g);
  end(&f);
}

Test(db, only_one_opens_a_store_and_the_other_is_told_who_has_it) {
  struct fixture f;
  begin(&f, false);
  struct db *second;
  tally_error e;
  tally_options o = options(false);
  cr_assert_eq(db_open(&f.os, f.directory.path, &o, &second, &e), TALLY_LOCKED);
  char pid[32];
  (void)snprintf(pid, sizeof pid, "process %d", (int)getpid());
  cr_assert_not_null(strstr(e.text, pid), "%s", e.text);
  end(&f);
}

Test(db, a_directory_with_other_files_does_not_become_a_store_and_a_missing_one_is_not_made_unasked) {
  struct temporary t = temporary_make();
  char path[400];
  (void)snprintf(path, sizeof path, "%s/notes.txt", t.path);
  file_store(path, "hello", 5);
  struct db *db;
  tally_error e;
  tally_options o = options(false);
  cr_assert_eq(db_open(os_posix(), t.path, &o, &db, &e), TALLY_USAGE);
  o.create = false;
  cr_assert_eq(db_open(os_posix(), t.path, &o, &db, &e), TALLY_NOT_FOUND);
  (void)snprintf(path, sizeof path, "%s/absent", t.path);
  cr_assert_eq(db_open(os_posix(), path, &o, &db, &e), TALLY_NOT_FOUND);
  cr_assert_neq(access(path, F_OK), 0);
  temporary_remove(&t);
}

/* The one WAL file of a store. */
static void wal_of(const struct fixture *f, char path[700]) {
  char command[600];
  (void)snprintf(command, sizeof command, "ls %s/wal/*.wal", f->directory.path);
  FILE *p = popen(command, "r");
  cr_assert_not_null(p);
  cr_assert_not_null(fgets(path, 700, p));
  path[strcspn(path, "\n")] = '\0';
  (void)pclose(p);
}

Test(db, a_torn_tail_is_set_aside_and_reported_while_damage_below_a_durable_mark_is_never_skipped) {
  struct fixture f;
  begin(&f, true);
  tally_error e;
  for (uint64_t s = 1; s <= 3; s++) cr_assert_eq(append(&f, "p", 1, s, 0, 10, TALLY_OS, NULL, &e), 0);
  struct fixture g = crash(&f);
  char path[700];
  wal_of(&g, path);
  size_t size;
  uint8_t *bytes = file_load(path, &size);
  size_t last = size;
  while (last > 0 && bytes[last - 1] == 0) last--;
  bytes[last - 1] ^= 1; /* the last record's checksum: never synced, so a torn tail */
  file_store(path, bytes, size);
  reopen(&g, true);
  cr_assert_eq(rows(&g), 20);
  bool duplicate;
  cr_assert_eq(append(&g, "p", 1, 3, 0, 10, TALLY_DISK, &duplicate, &e), 0);
  cr_assert(!duplicate, "its mark went with its rows");
  end(&g);
  free(bytes);
  cr_assert_eq(db_sync(f.db, &e), 0);
  cr_assert_eq(append(&f, "p", 1, 4, 0, 10, TALLY_OS, NULL, &e), 0); /* says that 1 to 3 are durable */
  g = crash(&f);
  wal_of(&g, path);
  bytes = file_load(path, &size);
  bytes[200] ^= 1; /* in the first record */
  file_store(path, bytes, size);
  tally_options o = options(true);
  cr_assert_eq(db_open(&g.os, g.directory.path, &o, &g.db, &e), TALLY_CORRUPT);
  temporary_remove(&g.directory);
  free(bytes);
  end(&f);
}

Test(db, rows_beyond_the_memtables_are_flushed_by_themselves_and_counted_once) {
  for (int manual = 0; manual < 2; manual++) {
    struct fixture f;
    begin(&f, manual);
    tally_error e;
    uint64_t total = 0;
    for (int i = 0; i < 12; i++) {
      cr_assert_eq(append(&f, NULL, 0, 0, i * 2000000, 40000, TALLY_OS, NULL, &e), 0, "%s", e.text);
      total += 40000;
      cr_assert_eq(rows(&f), total);
    }
    struct fixture g = crash(&f);
    if (manual) { /* no flusher moves files while they are copied */
      reopen(&g, true);
      cr_assert_eq(rows(&g), total);
      end(&g);
    } else
      temporary_remove(&g.directory);
    cr_assert_eq(db_flush(f.db, &e), 0, "%s", e.text);
    cr_assert_eq(rows(&f), total);
    end(&f);
  }
}

Test(db, a_query_gets_the_memory_of_memtables_that_nobody_uses_and_ingest_goes_on_with_less) {
  struct fixture f = {.directory = temporary_make(), .os = *os_posix()};
  tally_error e;
  tally_options o = {.create = true, .memory = 192u << 20};
  cr_assert_eq(db_open(&f.os, f.directory.path, &o, &f.db, &e), 0, "%s", e.text);
  uint64_t total = 0;
  for (int turn = 0; turn < 3; turn++) {
    for (int i = 0; i < 12; i++, total += 50000)
      cr_assert_eq(append(&f, NULL, 0, 0, (int64_t)total, 50000, TALLY_OS, NULL, &e), 0, "%s", e.text);
    cr_assert_eq(db_flush(f.db, &e), 0, "%s", e.text);
    /* An active memtable and one scratch are 55 MiB or so; the share of queries is half of all. */
    cr_assert(budget_take(db_query_budget(f.db), 96u << 20), "turn %d", turn);
    for (int i = 0; i < 12; i++, total += 50000) /* with a scratch and a spare less, also while it is taken */
      cr_assert_eq(append(&f, NULL, 0, 0, (int64_t)total, 50000, TALLY_OS, NULL, &e), 0, "%s", e.text);
    cr_assert_eq(db_flush(f.db, &e), 0, "%s", e.text);
    budget_give(db_query_budget(f.db), 96u << 20);
    cr_assert_eq(rows(&f), total);
  }
  end(&f);
}

/* The first write of every file takes a second. */
static int write_slowly(const struct os *os, struct os_file *file, const void *from, size_t size,
                        uint64_t offset) {
  if (offset == 0) os_sleep(1000000);
  return os_posix()->write(os, file, from, size, offset);
}

Test(db, a_query_waits_for_the_memory_of_flushes_instead_of_being_refused) {
  struct fixture f = {.directory = temporary_make(), .os = *os_posix()};
  tally_error e;
  f.os.write = write_slowly;
  tally_options o = {.create = true, .memory = 192u << 20};
  cr_assert_eq(db_open(&f.os, f.directory.path, &o, &f.db, &e), 0, "%s", e.text);
  uint64_t total = 0;
  for (int i = 0; i < 14; i++, total += 50000)
    cr_assert_eq(append(&f, NULL, 0, 0, (int64_t)total, 50000, TALLY_OS, NULL, &e), 0, "%s", e.text);
  cr_assert(budget_left(db_query_budget(f.db)->parent) < 96u << 20, "no memtable is being flushed");
  cr_assert(budget_take(db_query_budget(f.db), 96u << 20));
  budget_give(db_query_budget(f.db), 96u << 20);
  cr_assert_eq(rows(&f), total);
  end(&f);
}

static uint64_t held;

static void *give_later(void *arg) {
  os_sleep(700000);
  budget_give(arg, held);
  return NULL;
}

Test(db, a_flush_waits_for_the_memory_of_a_query_and_the_append_behind_it_is_not_refused) {
  struct fixture f = {.directory = temporary_make(), .os = *os_posix()};
  tally_error e;
  tally_options o = {.create = true, .memory = 256u << 20};
  cr_assert_eq(db_open(&f.os, f.directory.path, &o, &f.db, &e), 0, "%s", e.text);
  struct db_snapshot *s; /* the query's */
  cr_assert_eq(db_snapshot_take(f.db, &s, &e), 0);
  struct budget *all = db_query_budget(f.db)->parent->parent;
  held = budget_left(all) - (40u << 20); /* an active memtable has a place, a flush beside it none */
  cr_assert(budget_take(all, held));
  struct os_thread thread;
  cr_assert_eq(os_thread_start(&thread, give_later, all), 0);
  uint64_t total = 0;
  for (int i = 0; i < 24; i++, total += 50000)
    cr_assert_eq(append(&f, NULL, 0, 0, (int64_t)total, 50000, TALLY_OS, NULL, &e), 0, "%s", e.text);
  os_thread_join(&thread);
  db_snapshot_release(s);
  cr_assert_eq(db_flush(f.db, &e), 0, "%s", e.text);
  cr_assert_eq(rows(&f), total);
  end(&f);
}

/* Batches of 16,384 rows, each with one of 100,000 users, so that there are as many runs as rows. */
static int append_users(struct fixture *f, uint32_t number, tally_error *e) {
  enum { ROWS = 16384 };
  tally_batch *b = tally_batch_new();
  tally_append_item item = {.options = {.durability = TALLY_OS}};
  for (uint32_t i = 0; i < ROWS; i++) {
    char user[16];
    size_t n = (size_t)snprintf(user, sizeof user, "u%u", (number * ROWS + i) * 7919u % 100000);
    tally_event event = {.timestamp = (number + i * INT64_C(1000)) * 1000, .user_id = {user, n}};
    cr_assert_eq(tally_batch_add(b, &event, e), 0, "%s", e->text);
  }
  return finish_and_append(f, b, &item, e);
}

static struct {
  struct db *db; /* NULL: nothing is watched */
  pthread_t merging;
  uint64_t flushes; /* when a flush waited at the end of a step, else UINT64_MAX */
  uint32_t steps, overtaken;
} watch;

static bool flush_waits_for_scratch(uint64_t *flushes) {
  os_lock(&watch.db->lock);
  bool waits = watch.db->scratch_waits > 0;
  *flushes = watch.db->flushes;
  os_unlock(&watch.db->lock);
  return waits;
}

/* Every step of a merge takes its time; does a flush that waited at its end still wait in the next? */
static int write_watched(const struct os *os, struct os_file *file, const void *from, size_t size,
                         uint64_t offset) {
  if (offset == 0 && watch.db && pthread_equal(pthread_self(), watch.merging)) {
    uint64_t flushes;
    watch.steps++;
    watch.overtaken += flush_waits_for_scratch(&flushes) && flushes == watch.flushes;
    os_sleep(100000);
    watch.flushes = flush_waits_for_scratch(&flushes) ? flushes : UINT64_MAX;
  }
  return os_posix()->write(os, file, from, size, offset);
}

static void *compact_all(void *arg) {
  tally_error e;
  watch.merging = pthread_self();
  cr_assert_eq(settle(arg, NULL, NULL, &e), 0, "%s", e.text);
  return NULL;
}

/* A store with one scratch, about the largest, and as many segments that overlap. */
static uint32_t begin_segments(struct fixture *f, uint32_t segments) {
  *f = (struct fixture){.directory = temporary_make(), .os = *os_posix()};
  tally_error e;
  f->os.write = write_watched;
  tally_options o = {.create = true, .memory = 112u << 20};
  cr_assert_eq(db_open(&f->os, f->directory.path, &o, &f->db, &e), 0, "%s", e.text);
  uint32_t batches = 0;
  for (; batches < segments * 8; batches++) cr_assert_eq(append_users(f, batches, &e), 0, "%s", e.text);
  cr_assert_eq(db_flush(f->db, &e), 0, "%s", e.text);
  return batches;
}

/* Appends while all is merged; the longest append, in microseconds. */
static int64_t append_beside_a_merge(struct fixture *f, uint32_t *batches, uint32_t more) {
  tally_error e;
  struct os_thread thread;
  cr_assert_eq(os_thread_start(&thread, compact_all, f->db), 0);
  int64_t longest = 0;
  for (uint32_t end = *batches + more; *batches < end; ++*batches) {
    int64_t before = f->os.monotonic(&f->os);
    cr_assert_eq(append_users(f, *batches, &e), 0, "%s", e.text);
    int64_t took = f->os.monotonic(&f->os) - before;
    if (took > longest) longest = took;
  }
  os_thread_join(&thread);
  return longest;
}

/* Found by R17: the merge had its rows in memory while it waited for the flush's scratch, the flush waited
 * for that memory, and so did everything else, ten seconds each time. */
Test(db, a_flush_and_a_merge_do_not_wait_for_the_memory_of_each_other) {
  struct fixture f;
  uint32_t batches = begin_segments(&f, 6);
  tally_error e;
  struct db_snapshot *s; /* of a query at work, which has what is left but for an active memtable */
  cr_assert_eq(db_snapshot_take(f.db, &s, &e), 0);
  uint64_t query = 0, memtable = 18u << 20;
  while (budget_take(db_query_budget(f.db), 1u << 20)) query += 1u << 20;
  budget_give(db_query_budget(f.db), memtable);
  query -= memtable;
  struct budget *all =
      db_query_budget(f.db)->parent->parent; /* what a flush needs is left, and little more */
  uint64_t others = budget_left(all) - memtable - (18u << 20);
  cr_assert(budget_take(all, others));
  int64_t longest = append_beside_a_merge(&f, &batches, 48);
  cr_assert_lt(longest, 9000000, "an append took %d ms", (int)(longest / 1000));
  budget_give(all, others);
  budget_give(db_query_budget(f.db), query);
  db_snapshot_release(s);
  cr_assert_eq(rows(&f), batches * 16384u);
  end(&f);
}

Test(db, a_flush_waits_for_one_step_of_a_merge_at_most) {
  struct fixture f;
  uint32_t batches = begin_segments(&f, 10);
  watch.db = f.db;
  (void)append_beside_a_merge(&f, &batches, 80);
  cr_assert_geq(watch.steps, 10u);
  cr_assert_eq(watch.overtaken, 0u, "%u of %u steps began before a flush that waited", watch.overtaken,
               watch.steps);
  watch.db = NULL;
  cr_assert_eq(rows(&f), batches * 16384u);
  end(&f);
}

static int merges;

static int count_merge(void *arg, const struct rewrite_report *report) {
  (void)arg;
  (void)report;
  return ++merges > 100; /* it does not end */
}

static int append_instant(struct fixture *f, uint32_t rows, tally_error *e) {
  tally_batch *b = tally_batch_new();
  tally_append_item item = {.options = {.durability = TALLY_OS}};
  for (uint32_t i = 0; i < rows; i++) {
    tally_event event = {.timestamp = i ? 1000000 + i % 1000 : INT64_C(2000000000000), .user_id = {"ann", 3}};
    cr_assert_eq(tally_batch_add(b, &event, e), 0, "%s", e->text);
  }
  return finish_and_append(f, b, &item, e);
}

/* Six rows of 500,000 hexadecimal digits each, which no encoding makes much smaller than half. */
static int append_long(struct fixture *f, uint64_t sequence, tally_error *e) {
  static char text[500000];
  static uint64_t random = 1;
  tally_batch *b = tally_batch_new();
  tally_append_item item = {
      .options = {.producer = "long", .epoch = 1, .sequence = sequence, .durability = TALLY_OS}};
  for (uint32_t i = 0; i < 6; i++) {
    memcpy(text, "{\"x\":\"", 6);
    for (size_t k = 6; k < sizeof text - 2; k++) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      text[k] = "0123456789abcdef"[random >> 60];
    }
    memcpy(text + sizeof text - 2, "\"}", 2);
    tally_event event = {.timestamp = (int64_t)sequence * 1000000 + i, .metadata = {text, sizeof text}};
    cr_assert_eq(tally_batch_add(b, &event, e), 0, "%s", e->text);
  }
  return finish_and_append(f, b, &item, e);
}

Test(db, memtables_full_of_metadata_are_flushed_recovered_and_merged_with_the_least_memory) {
  struct fixture f;
  begin(&f, false);
  tally_error e;
  for (uint64_t s = 1; s <= 20; s++) cr_assert_eq(append_long(&f, s, &e), 0, "batch %d: %s", (int)s, e.text);
  struct fixture g = crash(&f);
  reopen(&g, false);
  cr_assert_eq(rows(&g), 120, "the WAL is replayed");
  cr_assert_eq(settle(g.db, NULL, NULL, &e), 0, "%s", e.text);
  cr_assert_eq(rows(&g), 120);
  end(&g);
  cr_assert_eq(db_flush(f.db, &e), 0, "%s", e.text);
  cr_assert_eq(rows(&f), 120);
  end(&f);
}

static size_t segment_files(const struct fixture *f) {
  char pattern[600];
  glob_t found;
  (void)snprintf(pattern, sizeof pattern, "%s/segments/*/*.seg", f->directory.path);
  if (glob(pattern, 0, NULL, &found)) return 0;
  size_t n = found.gl_pathc;
  globfree(&found);
  return n;
}

Test(db, files_that_a_lost_edit_named_stay_where_segments_are_missing) {
  struct fixture f;
  begin(&f, true);
  tally_error e;
  for (uint64_t s = 1; s <= 2; s++) {
    cr_assert_eq(append(&f, "p", 1, s, (int64_t)s * 100, 10, TALLY_DISK, NULL, &e), 0, "%s", e.text);
    cr_assert_eq(db_flush(f.db, &e), 0, "%s", e.text);
  }
  struct fixture before = crash(&f);
  cr_assert_eq(settle(f.db, NULL, NULL, &e), 0, "%s", e.text);
  struct fixture g = crash(&f);
  cr_assert_eq(segment_files(&g), 1, "the two are merged");
  char command[1500];
  (void)snprintf(command, sizeof command, "rm %s/MANIFEST-* && cp %s/MANIFEST-* %s/", g.directory.path,
                 before.directory.path, g.directory.path);
  cr_assert_eq(system(command), 0);
  reopen(&g, true);
  cr_assert_eq(segment_files(&g), 1, "the merged one may be all that is left of the rows");
  cr_assert_eq(append(&g, "p", 1, 3, 300, 10, TALLY_DISK, NULL, &e), 0, "%s", e.text);
  cr_assert_eq(db_flush(g.db, &e), 0, "%s", e.text);
  cr_assert_eq(segment_files(&g), 2, "a new segment has another name");
  end(&g);
  temporary_remove(&before.directory);
  end(&f);
}

static struct {
  struct db *db;
  uint32_t files; /* to be begun before it is interrupted */
} interruption;

static int write_until(const struct os *os, struct os_file *file, const void *from, size_t size,
                       uint64_t offset) {
  if (offset == 0 && interruption.db && --interruption.files == 0) db_interrupt(interruption.db);
  return os_posix()->write(os, file, from, size, offset);
}

/* Retention, which made two such rewrites, went through a list that was not there. */
Test(db, a_rewrite_that_ends_half_way_gives_no_files_and_leaves_none) {
  struct fixture f = {.directory = temporary_make(), .os = *os_posix()};
  tally_error e;
  tally_options o = {.create = true, .manual = true, .memory = 256u << 20};
  cr_assert_eq(db_open(&f.os, f.directory.path, &o, &f.db, &e), 0, "%s", e.text);
  for (uint64_t s = 1; s <= 12; s++) cr_assert_eq(append_long(&f, s, &e), 0, "batch %d: %s", (int)s, e.text);
  cr_assert_eq(db_flush(f.db, &e), 0, "%s", e.text);
  size_t files = segment_files(&f);
  interruption.db = f.db;
  interruption.files = 2;
  f.os.write = write_until;
  struct rewrite_rules rules = {0};
  struct rewrite_report report;
  struct segment_info *made = NULL;
  os_lock(&f.db->maintaining);
  struct version *v = version_take(f.db);
  cr_assert_geq(v->count, 2);
  int result = rewrite_files(f.db, v->segment, 2, &rules, &report, &made, &e);
  cr_assert_eq(result, TALLY_CANCELLED, "%s", e.text);
  version_unref(f.db, v);
  os_unlock(&f.db->maintaining);
  cr_assert_eq(interruption.files, 0, "it was cut into several");
  cr_assert(report.outputs == 0 && !made);
  cr_assert_eq(segment_files(&f), files);
  interruption.db = NULL;
  end(&f);
}

static pthread_t writing;

/* The log takes its time, so that the flusher is done and looks around while the writer has its role. */
static int write_log_slowly(const struct os *os, struct os_file *file, const void *from, size_t size,
                            uint64_t offset) {
  if (pthread_equal(pthread_self(), writing)) os_sleep(10000);
  return os_posix()->write(os, file, from, size, offset);
}

static _Atomic bool waking;

static void *wake_often(void *arg) {
  struct db *db = arg;
  while (waking) {
    os_lock(&db->lock);
    os_wake(&db->changed);
    os_unlock(&db->lock);
    os_sleep(10);
  }
  return NULL;
}

/* The writer has its role for a whole group, in which memtables are filled; a memtable is old at once, so
 * that the flusher asks for the role, too. */
Test(db, the_writer_flushes_itself_where_the_flusher_waits_for_its_role, .timeout = 60) {
  enum { TURNS = 8, BATCHES = 6, ROWS = 40000 };
  struct fixture f = {.directory = temporary_make(), .os = *os_posix()};
  writing = pthread_self();
  f.os.write = write_log_slowly;
  tally_error e;
  tally_options o = {.create = true, .memory = 64u << 20, .flush_age = 1};
  cr_assert_eq(db_open(&f.os, f.directory.path, &o, &f.db, &e), 0, "%s", e.text);
  waking = true;
  struct os_thread thread;
  cr_assert_eq(os_thread_start(&thread, wake_often, f.db), 0);
  for (int turn = 0; turn < TURNS; turn++) {
    tally_batch *batch[BATCHES];
    tally_append_item item[BATCHES];
    memset(item, 0, sizeof item);
    for (int i = 0; i < BATCHES; i++) {
      batch[i] = tally_batch_new();
      make(batch[i], (turn * BATCHES + i) * ROWS, ROWS, &item[i].bytes, &item[i].size);
      item[i].options.durability = TALLY_OS;
    }
    db_append(f.db, item, BATCHES);
    for (int i = 0; i < BATCHES; i++) {
      cr_assert_eq(item[i].result, 0, "%s", item[i].error.text);
      tally_batch_free(batch[i]);
    }
  }
  waking = false;
  os_thread_join(&thread);
  cr_assert_eq(rows(&f), (uint64_t)TURNS * BATCHES * ROWS);
  end(&f);
}

static struct fixture *arrivals;

static int append_meanwhile(void *arg, const struct rewrite_report *report) {
  tally_error e;
  for (int i = 0; i < 2; i++) {
    cr_assert_eq(append(arrivals, NULL, 0, 0, 50, 1000, TALLY_OS, NULL, &e), 0, "%s", e.text);
    cr_assert_eq(db_flush(arrivals->db, &e), 0, "%s", e.text);
  }
  return count_merge(arg, report);
}

Test(db, a_compaction_ends_though_rows_come_in_all_the_time) {
  struct fixture f;
  begin(&f, true);
  arrivals = &f;
  tally_error e;
  merges = 0;
  (void)append_meanwhile(NULL, NULL);
  cr_assert_eq(settle(f.db, append_meanwhile, NULL, &e), 0, "%s", e.text);
  cr_assert_eq(merges, 2, "the two that were there; %d merges", merges - 1);
  cr_assert_eq(segment_files(&f), 3, "the merged one, and the two that came in");
  cr_assert_eq(rows(&f), 4000);
  end(&f);
}

static uint64_t merges_done(struct db *db) {
  os_lock(&db->lock);
  uint64_t done = db->merges;
  os_unlock(&db->lock);
  return done;
}

/* As many small segments as the background merges at once; then time for it. */
static int append_much_meanwhile(void *arg, const struct rewrite_report *report) {
  (void)arg;
  (void)report;
  tally_error e;
  uint64_t before = merges_done(arrivals->db);
  job_begin(arrivals->db); /* as in the next step, however long this takes */
  for (unsigned i = 0; i < COMPACT_SMALL; i++) {
    cr_assert_eq(append(arrivals, NULL, 0, 0, 50, 1000, TALLY_OS, NULL, &e), 0, "%s", e.text);
    cr_assert_eq(db_flush(arrivals->db, &e), 0, "%s", e.text);
  }
  os_sleep(300000);
  cr_assert_eq(merges_done(arrivals->db), before, "the background goes behind a job that somebody waits for");
  job_end(arrivals->db);
  return 0;
}

Test(db, the_background_merges_nothing_while_a_job_does_and_goes_on_after_it, .timeout = 60) {
  struct fixture f;
  begin(&f, false);
  arrivals = &f;
  tally_error e;
  for (int i = 0; i < 2; i++) {
    cr_assert_eq(append(&f, NULL, 0, 0, 50, 1000, TALLY_OS, NULL, &e), 0, "%s", e.text);
    cr_assert_eq(db_flush(f.db, &e), 0, "%s", e.text);
  }
  cr_assert_eq(settle(f.db, append_much_meanwhile, NULL, &e), 0, "%s", e.text);
  uint64_t mine = merges_done(f.db);
  cr_assert_gt(mine, 0);
  while (merges_done(f.db) == mine) os_sleep(10000);
  end(&f);
}

static int interrupt(void *arg, const struct rewrite_report *report) {
  (void)report;
  db_interrupt(arg);
  return 0;
}

Test(db, an_interrupted_compaction_ends_and_appends_flushes_and_queries_go_on) {
  struct fixture f;
  begin(&f, true);
  tally_error e;
  for (int i = 0; i < 4; i++) { /* two months with two segments each */
    cr_assert_eq(append(&f, NULL, 0, 0, i / 2 * 40 * 86400, 1000, TALLY_OS, NULL, &e), 0, "%s", e.text);
    cr_assert_eq(db_flush(f.db, &e), 0, "%s", e.text);
  }
  cr_assert_eq(settle(f.db, interrupt, f.db, &e), TALLY_CANCELLED, "%s", e.text);
  cr_assert_eq(segment_files(&f), 3, "one month is merged");
  cr_assert_eq(append(&f, NULL, 0, 0, 0, 1000, TALLY_OS, NULL, &e), 0, "%s", e.text);
  cr_assert_eq(db_flush(f.db, &e), 0, "%s", e.text);
  cr_assert_eq(rows(&f), 5000);
  end(&f);
}

/* `rows` events, each with a text of its own from `first` on: of users (0), services (1) or methods (2). */
static int append_texts(struct fixture *f, int of, uint32_t first, uint32_t rows, tally_error *e) {
  tally_batch *b = tally_batch_new();
  tally_append_item item = {.options = {.durability = TALLY_OS}};
  for (uint32_t i = first; i < first + rows; i++) {
    char text[200];
    size_t n = (size_t)snprintf(text, sizeof text, of == 0 ? "%0150u" : of == 1 ? "%090u" : "%u", i);
    tally_event event = {.timestamp = i * INT64_C(1000000)};
    *(of == 0 ? &event.user_id : of == 1 ? &event.service_name : &event.method) = (tally_text){text, n};
    cr_assert_eq(tally_batch_add(b, &event, e), 0, "%s", e->text);
  }
  return finish_and_append(f, b, &item, e);
}

Test(db, a_store_that_is_full_of_texts_takes_known_ones_flushes_and_opens) {
  struct fixture f;
  begin(&f, false);
  tally_error e;
  uint64_t total = 0;
  for (int of = 0; of < 3; of++) {
    uint32_t in = 0;
    int result = 0;
    for (uint32_t rows = 4096; rows; rows /= 2) /* up to the last byte */
      for (; (result = append_texts(&f, of, in, rows, &e)) == 0; in += rows) total += rows;
    cr_assert_eq(result, TALLY_MEMORY_LIMIT, "%s", e.text);
  }
  for (int turn = 0; turn < 60; turn++, total += 1000) {
    cr_assert_eq(append_texts(&f, 0, 1000, 1000, &e), 0, "%s", e.text);
    cr_assert_eq(db_flush(f.db, &e), 0, "%s", e.text);
  }
  struct fixture g = crash(&f);
  reopen(&g, false);
  cr_assert_eq(rows(&g), total);
  cr_assert_eq(append_texts(&g, 0, 1000, 1000, &e), 0, "%s", e.text);
  end(&g);
  end(&f);
}

/* Nearly all events are of one millisecond of a month: no cut in time parts them. */
Test(db, settling_ends_where_more_events_than_a_segment_holds_are_of_one_moment) {
  struct fixture f;
  begin(&f, true);
  tally_error e;
  for (int i = 0; i < 40; i++) cr_assert_eq(append_instant(&f, 10000, &e), 0, "%s", e.text);
  cr_assert_eq(db_flush(f.db, &e), 0, "%s", e.text);
  merges = 0;
  cr_assert_eq(settle(f.db, count_merge, NULL, &e), 0, "%s", e.text);
  cr_assert_lt(merges, 20);
  cr_assert_eq(rows(&f), 400000);
  bool worked = true;
  for (int steps = 0; worked; steps++) {
    cr_assert_lt(steps, 20, "the background ends too");
    cr_assert_eq(db_step(f.db, &worked, &e), 0, "%s", e.text);
  }
  end(&f);
}

/* `rows` events of one user and one moment, with metadata of so many bytes or none. */
static void append_pile(struct fixture *f, int64_t at, uint32_t rows, int metadata) {
  tally_error e;
  char text[1000];
  (void)snprintf(text, sizeof text, "{\"x\":\"%0*d\"}", metadata, 0);
  while (rows) {
    tally_batch *b = tally_batch_new();
    tally_append_item item = {.options = {.durability = TALLY_OS}};
    uint32_t n = rows < 2500 ? rows : 2500;
    for (uint32_t i = 0; i < n; i++) {
      tally_event event = {.timestamp = at, .user_id = {"ann", 3}};
      if (metadata) event.metadata = (tally_text){text, strlen(text)};
      cr_assert_eq(tally_batch_add(b, &event, &e), 0, "%s", e.text);
    }
    cr_assert_eq(finish_and_append(f, b, &item, &e), 0, "%s", e.text);
    rows -= n;
  }
  cr_assert_eq(db_flush(f->db, &e), 0, "%s", e.text);
}

static void settles_soon(struct fixture *f, const char *what) {
  tally_error e;
  uint64_t had = rows(f);
  merges = 0;
  cr_assert_eq(settle(f->db, count_merge, NULL, &e), 0, "%s: %s", what, e.text);
  cr_assert_lt(merges, 30, "%s", what);
  bool worked = true;
  for (int steps = 0; worked; steps++) {
    cr_assert_lt(steps, 30, "%s: the background ends too", what);
    cr_assert_eq(db_step(f->db, &worked, &e), 0, "%s", e.text);
  }
  cr_assert_eq(rows(f), had);
}

Test(db, settling_ends_where_a_merge_joins_what_the_next_one_parts) {
  struct fixture f;
  begin(&f, true);
  int64_t second = 1000000;
  append_pile(&f, 100 * second, 90000, 0); /* more than a segment, of one moment */
  append_pile(&f, 99 * second, 100, 0);
  append_pile(&f, 101 * second, 100, 0);
  append_pile(&f, 5000 * second, 100, 0);
  settles_soon(&f, "a pile and a few beside it");
  for (int i = 0; i < 15; i++) /* light ones, five heavy ones, light ones */
    append_pile(&f, (40 * 86400 + i * 1000) * second, 5000, i / 5 == 1 ? 900 : 0);
  settles_soon(&f, "rows of uneven weight");
  for (int i = 0; i < 15; i++)
    append_pile(&f, (80 * 86400 + i % 5 * 1000) * second, 5000, i / 5 == 1 ? 900 : 0);
  settles_soon(&f, "rows of uneven weight over the same time");
  end(&f);
}

/* Holds the first segment file back until the second one is synced, or refuses it once. */
static struct os_mutex gate;
static struct os_condition gate_changed;
static struct os_file *first_segment;
static unsigned segments_begun, segments_synced;
static bool refuse_first, refused;

static int gate_open(const struct os *os, const char *path, enum os_open how, struct os_file **file) {
  int code = os_posix()->open(os, path, how, file);
  if (code || how != OS_CREATE || !strstr(path, ".seg")) return code;
  os_lock(&gate);
  if (++segments_begun == 1) first_segment = *file;
  os_unlock(&gate);
  return 0;
}

static int gate_write(const struct os *os, struct os_file *file, const void *from, size_t size,
                      uint64_t offset) {
  os_lock(&gate);
  bool first = file == first_segment && !refused;
  for (int i = 0; first && segments_synced == 0 && i < 100; i++)
    (void)os_wait_for(&gate_changed, &gate, 100000);
  bool refuse = first && refuse_first;
  if (refuse) refused = true;
  os_unlock(&gate);
  return refuse ? ENOSPC : os_posix()->write(os, file, from, size, offset);
}

static int gate_sync(const struct os *os, struct os_file *file) {
  int code = os_posix()->sync(os, file);
  os_lock(&gate);
  if (segments_begun > 1 && file != first_segment) segments_synced++;
  os_wake(&gate_changed);
  os_unlock(&gate);
  return code;
}

Test(db, two_flushes_at_once_publish_in_the_order_of_their_rows_also_where_the_first_one_fails) {
  os_mutex_init(&gate);
  os_condition_init(&gate_changed);
  for (int fails = 0; fails < 2; fails++) {
    struct fixture f = {.directory = temporary_make(), .os = *os_posix()};
    f.os.open = gate_open;
    f.os.write = gate_write;
    f.os.sync = gate_sync;
    segments_begun = segments_synced = 0;
    first_segment = NULL;
    refuse_first = fails;
    refused = false;
    tally_error e;
    tally_options o = {.create = true, .memory = 256u << 20};
    cr_assert_eq(db_open(&f.os, f.directory.path, &o, &f.db, &e), 0, "%s", e.text);
    uint64_t total = 0;
    for (uint64_t i = 0; i < 14; i++, total += 50000) /* two memtables of 262,144 rows, and some */
      cr_assert_eq(append(&f, "p", 1, i + 1, (int64_t)(i * 50000), 50000, TALLY_OS, NULL, &e), 0, "%s",
                   e.text);
    for (int i = 0; i < 100 && (segments_synced == 0 || (fails && !refused)); i++) {
      cr_assert_eq(rows(&f), total, "each row once, whatever is done");
      os_lock(&gate);
      (void)os_wait_for(&gate_changed, &gate, 100000);
      os_unlock(&gate);
    }
    cr_assert_gt(segments_synced, 0, "the second flush did not wait for the first");
    int result = db_flush(f.db, &e);
    if (result) result = db_flush(f.db, &e); /* the refusal was its own */
    cr_assert_eq(result, 0, "%s", e.text);
    cr_assert_eq(rows(&f), total);
    struct db_snapshot *s;
    cr_assert_eq(db_snapshot_take(f.db, &s, &e), 0);
    const struct snapshot *v = db_snapshot_view(s);
    cr_assert_geq(v->segment_count, 3);
    for (size_t i = 1; i < v->segment_count; i++)
      cr_assert_lt(v->segments[i - 1]->info.min_timestamp, v->segments[i]->info.min_timestamp,
                   "segments follow each other as their rows came");
    db_snapshot_release(s);
    close_db(&f);
    f.os = *os_posix();
    cr_assert_eq(db_open(&f.os, f.directory.path, &o, &f.db, &e), 0, "%s", e.text);
    cr_assert_eq(rows(&f), total);
    end(&f);
  }
}
