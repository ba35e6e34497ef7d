/* Backup and restore: everything acknowledged, whole at every moment, only what is new, nothing damaged. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "db/db.h"
#include "maintain/restore.h"
#include "os/thread.h"
#include "support/temporary.h"

#define BATCH 50 /* rows of a batch */

/* ------------------------------------------------------------------ a disk that fails at its n-th call */

static _Atomic int calls;
static int fail_at = -1; /* this call and all after it fail: the process has died; -1: none */
static bool no_links, no_segments, logs_stay;

static int dead(void) {
  int call = atomic_fetch_add(&calls, 1);
  return fail_at >= 0 && call >= fail_at ? EIO : 0;
}

static int d_open(const struct os *os, const char *path, enum os_open how, struct os_file **file) {
  int code = how == OS_READ ? 0 : dead();
  if (no_segments && how == OS_CREATE && strstr(path, ".seg")) code = ENOSPC;
  return code ? code : os_posix()->open(os, path, how, file);
}
static int d_write(const struct os *os, struct os_file *f, const void *from, size_t size, uint64_t at) {
  int code = dead();
  if (code && size > 1) (void)os_posix()->write(os, f, from, size / 2, at); /* torn */
  return code ? code : os_posix()->write(os, f, from, size, at);
}
static int d_sync(const struct os *os, struct os_file *f) {
  (void)os, (void)f;
  return dead();
}
static int d_truncate(const struct os *os, struct os_file *f, uint64_t size) {
  int code = dead();
  return code ? code : os_posix()->truncate(os, f, size);
}
static int d_rename(const struct os *os, const char *from, const char *to) {
  int code = dead();
  return code ? code : os_posix()->rename(os, from, to);
}
static int d_unlink(const struct os *os, const char *path) {
  int code = logs_stay && strstr(path, ".wal") ? EIO : dead();
  return code ? code : os_posix()->unlink(os, path);
}
static int d_link(const struct os *os, const char *from, const char *to) {
  int code = dead();
  return code ? code : no_links ? EXDEV : os_posix()->link(os, from, to);
}
static int d_mkdir(const struct os *os, const char *path) {
  int code = dead();
  return code ? code : os_posix()->mkdir(os, path);
}
static int d_rmdir(const struct os *os, const char *path) {
  int code = dead();
  return code ? code : os_posix()->rmdir(os, path);
}
static int d_sync_directory(const struct os *os, const char *path) {
  (void)os, (void)path;
  return dead();
}

/* Syncs are counted and not done: these tests kill processes, not machines. */
static struct os disk(void) {
  struct os os = *os_posix();
  os.open = d_open;
  os.write = d_write;
  os.sync = d_sync;
  os.truncate = d_truncate;
  os.rename = d_rename;
  os.unlink = d_unlink;
  os.link = d_link;
  os.mkdir = d_mkdir;
  os.rmdir = d_rmdir;
  os.sync_directory = d_sync_directory;
  return os;
}

/* ------------------------------------------------------------------ fixture */

struct fixture {
  struct temporary directory; /* holds store, backup and restored */
  char store[300], backup[300], restored[300];
  struct os os;
  struct db *db;
  const char *producer;
  uint64_t sequence; /* of the producer */
};

static void open_at(struct fixture *f, const char *path) {
  tally_error e;
  tally_options o = {.create = true, .manual = true, .memory = 64u << 20};
  cr_assert_eq(db_open(&f->os, path, &o, &f->db, &e), 0, "%s", e.text);
}

static void close_db(struct fixture *f) {
  tally_error e;
  cr_assert_eq(db_close(f->db, &e), 0, "%s", e.text);
}

static void begin(struct fixture *f) {
  *f = (struct fixture){.directory = temporary_make(), .os = disk(), .producer = "p"};
  fail_at = -1;
  no_links = no_segments = logs_stay = false;
  (void)snprintf(f->store, sizeof f->store, "%s/store", f->directory.path);
  (void)snprintf(f->backup, sizeof f->backup, "%s/backup", f->directory.path);
  (void)snprintf(f->restored, sizeof f->restored, "%s/restored", f->directory.path);
  open_at(f, f->store);
}

static void end(struct fixture *f) {
  close_db(f);
  temporary_remove(&f->directory);
}

static int try_append(struct fixture *f, uint64_t sequence, bool *duplicate, tally_error *e) {
  tally_batch *b = tally_batch_new();
  for (int i = 0; i < BATCH; i++) {
    char user[16];
    int n = snprintf(user, sizeof user, "u%llu", (unsigned long long)(sequence % 7));
    tally_event event = {.timestamp = INT64_C(1704067200000000) + (int64_t)(sequence % 100) * 40000000000 + i,
                         .user_id = {user, (size_t)n},
                         .service_name = {"chat", 4},
                         .metadata = {"{\"a\":1}", 7}};
    cr_assert_eq(tally_batch_add(b, &event, e), 0, "%s", e->text);
  }
  tally_append_item item = {.options = {.producer = f->producer, .epoch = 1, .sequence = sequence}};
  cr_assert_eq(tally_batch_finish(b, &item.bytes, &item.size, e), 0, "%s", e->text);
  db_append(f->db, &item, 1);
  tally_batch_free(b);
  if (duplicate) *duplicate = item.receipt.duplicate;
  if (item.result) *e = item.error;
  return item.result;
}

static void append(struct fixture *f, int batches) {
  tally_error e;
  for (; batches > 0; batches--) cr_assert_eq(try_append(f, ++f->sequence, NULL, &e), 0, "%s", e.text);
}

static void flush(struct fixture *f) {
  tally_error e;
  cr_assert_eq(db_flush(f->db, &e), 0, "%s", e.text);
}

static uint64_t rows(struct fixture *f) {
  struct db_snapshot *s;
  tally_error e;
  cr_assert_eq(db_snapshot_take(f->db, &s, &e), 0);
  const struct snapshot *v = db_snapshot_view(s);
  uint64_t n = 0;
  for (size_t i = 0; i < v->segment_count; i++) {
    cr_assert(!segment_quarantined(v->segments[i]));
    n += v->segments[i]->info.rows;
  }
  for (size_t i = 0; i < v->memtable_count; i++) n += v->memtables[i].rows;
  db_snapshot_release(s);
  return n;
}

static struct backup_report backup(struct fixture *f) {
  struct backup_report report;
  tally_error e;
  cr_assert_eq(db_backup(f->db, f->backup, 0, NULL, &report, &e), 0, "%s", e.text);
  return report;
}

static int refused(struct fixture *f, const char *directory, tally_error *e) {
  struct backup_report report;
  return db_backup(f->db, directory, 0, NULL, &report, e);
}

static int restore_to(struct fixture *f, const char *from, const char *path, tally_error *e) {
  struct budget budget;
  budget_init(&budget, 64u << 20, NULL);
  struct copier to = {.os = &f->os, .store = path, .budget = &budget};
  cr_assert_eq(cache_new(1u << 20, &budget, &to.cache, e), 0);
  int result = restore(&to, from, e);
  cache_free(to.cache);
  cr_assert_eq(budget_used(&budget), 0);
  return result;
}

static void run(const char *format, const char *a, const char *b) {
  char command[900];
  (void)snprintf(command, sizeof command, format, a, b);
  cr_assert_eq(system(command), 0, "%s", command);
}

static bool exists(const char *path) {
  struct stat s;
  return stat(path, &s) == 0;
}

static void no_fault(void *arg, const char *file, uint64_t offset, const char *problem) {
  (void)arg;
  cr_assert_fail("%s at %llu: %s", file, (unsigned long long)offset, problem);
}

/* Opens the store at `path` in the place of f's and checks it: returns the batches that are in it, whose
 * producer goes on where they end. */
static uint64_t batches_at(struct fixture *f, const char *path) {
  struct fixture g = *f;
  tally_error e;
  tally_mark mark;
  bool duplicate;
  struct db_verify *v;
  open_at(&g, path);
  int result;
  cr_assert_eq(db_verify_begin(g.db, 0, NULL, &v, &e), 0);
  while ((result = db_verify_next(v, no_fault, NULL, &e)) == TALLY_ROW) continue;
  cr_assert_eq(result, 0, "%s", e.text);
  db_verify_end(v);
  uint64_t n = rows(&g);
  cr_assert_eq(n % BATCH, 0, "a batch is whole");
  cr_assert_eq(db_mark(g.db, "p", 0, &mark, &e), 0);
  cr_assert_eq(mark.sequence, n / BATCH, "marks and rows belong together");
  if (mark.sequence) {
    cr_assert_eq(try_append(&g, mark.sequence, &duplicate, &e), 0, "%s", e.text);
    cr_assert(duplicate);
  }
  cr_assert_eq(try_append(&g, mark.sequence + 1, &duplicate, &e), 0, "%s", e.text);
  cr_assert(!duplicate);
  cr_assert_eq(rows(&g), n + BATCH);
  close_db(&g);
  return n / BATCH;
}

/* Restores the backup, checks what came of it, and removes it. */
static uint64_t batches_restored(struct fixture *f) {
  tally_error e;
  cr_assert_eq(restore_to(f, f->backup, f->restored, &e), 0, "%s", e.text);
  uint64_t n = batches_at(f, f->restored);
  run("rm -r %s%s", f->restored, "");
  return n;
}

/* ------------------------------------------------------------------ what is in it */

Test(backup, has_segments_and_log_and_the_producer_goes_on_after_a_restore) {
  for (int links = 0; links < 2; links++) {
    struct fixture f;
    begin(&f);
    no_links = !links;
    append(&f, 3);
    flush(&f);
    append(&f, 2);
    struct backup_report r = backup(&f);
    cr_assert_eq(r.events, 5 * BATCH);
    cr_assert_eq(r.linked, links ? 1 : 0, "three batches are of one month");
    cr_assert_eq(r.copied, links ? 3 : 4, "manifest, catalog, log");
    cr_assert_eq(batches_restored(&f), 5);
    append(&f, 1); /* the store goes on */
    cr_assert_eq(batches_restored(&f), 5, "and the backup does not");
    cr_assert_eq(batches_at(&f, f.backup), 5, "it opens as a store by itself");
    cr_assert_eq(rows(&f), 6 * BATCH, "and the store does not care");
    end(&f);
  }
}

Test(backup, of_an_empty_store_is_one) {
  struct fixture f;
  begin(&f);
  cr_assert_eq(backup(&f).events, 0);
  cr_assert_eq(batches_restored(&f), 0);
  end(&f);
}

static _Atomic uint64_t acknowledged;
static _Atomic bool stop_appending;

static tally_error append_error;

static void *keep_appending(void *arg) {
  struct fixture *f = arg;
  while (!atomic_load(&stop_appending)) {
    if (try_append(f, f->sequence + 1, NULL, &append_error)) return f;
    atomic_store(&acknowledged, ++f->sequence);
    os_sleep(100);
  }
  return NULL;
}

Test(backup, while_ingest_goes_on_has_everything_acknowledged_before_it_began) {
  struct fixture f;
  begin(&f);
  close_db(&f);
  tally_error e;
  tally_options o = {.memory = 64u << 20};
  cr_assert_eq(db_open(&f.os, f.store, &o, &f.db, &e), 0); /* with threads of its own */
  struct os_thread thread;
  atomic_store(&acknowledged, 0);
  append_error = (tally_error){0};
  atomic_store(&stop_appending, false);
  cr_assert_eq(os_thread_start(&thread, keep_appending, &f), 0);
  for (int i = 0; i < 12; i++) {
    for (int k = 0; k < 10000 && atomic_load(&acknowledged) < (uint64_t)i * 40; k++) os_sleep(1000);
    cr_assert_eq(append_error.code, 0, "%s", append_error.text);
    uint64_t before = atomic_load(&acknowledged);
    if (i % 3 == 0) flush(&f);
    struct backup_report r = backup(&f);
    uint64_t after = atomic_load(&acknowledged);
    uint64_t n = batches_restored(&f);
    cr_assert(n >= before && n <= after + 1, "%llu of %llu to %llu", (unsigned long long)n,
              (unsigned long long)before, (unsigned long long)after);
    cr_assert_eq(r.events, n * BATCH);
  }
  atomic_store(&stop_appending, true);
  os_thread_join(&thread);
  end(&f);
}

/* ------------------------------------------------------------------ again */

Test(backup, a_second_one_takes_only_what_is_new_and_drops_what_is_gone) {
  struct fixture f;
  begin(&f);
  append(&f, 1);
  flush(&f);
  struct backup_report r = backup(&f);
  cr_assert_eq(r.linked, 1);
  append(&f, 1);
  flush(&f);
  append(&f, 1);
  r = backup(&f);
  cr_assert_eq(r.kept, 1, "the catalog has a text more");
  cr_assert_eq(r.linked, 1);
  cr_assert_geq(r.removed, 2, "the manifest before, and the log that is in a segment now");
  cr_assert_eq(batches_restored(&f), 3);
  uint64_t bytes = r.bytes;
  r = backup(&f);
  cr_assert_eq(r.kept, 3);
  cr_assert_eq(r.linked, 0);
  cr_assert_leq(r.bytes, bytes + 200, "log and manifest alone");
  cr_assert_eq(batches_restored(&f), 3);
  run("test $(ls %s | grep -c 'MANIFEST\\|BACKUP') = 2%s", f.backup, "");
  end(&f);
}

/* From a state with four batches, which is backed up, to one with eight: at each step of the second backup
 * the process dies. What is there then has all of the old state, and the next backup succeeds. Returns the
 * steps. */
static int die_at_every_step(struct fixture *f, void (*go_on)(struct fixture *f), bool opened_too) {
  char old[320], sound[320];
  (void)snprintf(old, sizeof old, "%s/old", f->directory.path);
  (void)snprintf(sound, sizeof sound, "%s/sound", f->directory.path);
  (void)backup(f);
  run("cp -r %s %s", f->backup, old);
  go_on(f);
  struct backup_report r;
  tally_error e;
  int result = 1, steps = 0;
  bool was_old = false, was_new = false;
  for (; result && steps < 400; steps++) {
    run("rm -rf %s%s", f->backup, "");
    run("cp -r %s %s", old, f->backup);
    calls = 0;
    fail_at = steps;
    result = db_backup(f->db, f->backup, 0, NULL, &r, &e);
    fail_at = -1;
    run("rm -rf %s%s", sound, "");
    run("cp -r %s %s", f->backup, sound);
    uint64_t n = batches_restored(f);
    cr_assert(n >= 4 && n <= 8, "step %d: %llu batches", steps, (unsigned long long)n);
    was_old = was_old || n == 4;
    was_new = was_new || (n == 8 && result);
    if (opened_too && steps % 3 == 0)
      cr_assert_eq(batches_at(f, sound), n, "step %d: it opens as a store too", steps);
    cr_assert_eq(db_backup(f->db, f->backup, 0, NULL, &r, &e), 0, "after step %d: %s", steps, e.text);
    cr_assert_eq(batches_restored(f), 8);
  }
  cr_assert_eq(result, 0, "%s", e.text);
  cr_assert(was_old && was_new);
  return steps;
}

static void flush_between(struct fixture *f) {
  append(f, 2);
  flush(f);
  append(f, 2);
}

/* The log goes on in another file, and its rows find no room in segments. */
static void rotate_between(struct fixture *f) {
  tally_error e;
  append(f, 2);
  no_segments = true;
  cr_assert_eq(db_flush(f->db, &e), TALLY_NO_SPACE);
  append(f, 2);
}

Test(backup, that_dies_at_any_step_leaves_the_old_or_the_new_one_and_the_next_one_succeeds) {
  for (int links = 0; links < 2; links++) {
    struct fixture f;
    struct backup_report r;
    tally_error e;
    begin(&f);
    no_links = !links;
    append(&f, 2);
    flush(&f);
    append(&f, 2);
    int steps = die_at_every_step(&f, flush_between, true);
    cr_assert_gt(steps, 25);
    for (int step = 0; step < steps; step += 3) { /* and a first one */
      run("rm -rf %s%s", f.backup, "");
      calls = 0;
      fail_at = step;
      (void)db_backup(f.db, f.backup, 0, NULL, &r, &e);
      fail_at = -1;
      if (restore_to(&f, f.backup, f.restored, &e) == 0) {
        cr_assert_eq(batches_at(&f, f.restored), 8);
        run("rm -r %s%s", f.restored, "");
      }
      cr_assert_eq(db_backup(f.db, f.backup, 0, NULL, &r, &e), 0, "after step %d: %s", step, e.text);
      cr_assert_eq(batches_restored(&f), 8);
    }
    end(&f);
  }
}

Test(backup, that_dies_while_the_log_has_several_files_leaves_a_whole_one) {
  struct fixture f;
  begin(&f);
  append(&f, 4);
  no_segments = false;
  (void)die_at_every_step(&f, rotate_between, false);
  no_segments = false;
  end(&f);
}

/* A power cut takes three batches of p from the store but not from its backup, and batches of q get their
 * places in the log: four, in two files. */
static void lose_and_go_on(struct fixture *f) {
  char before[320];
  tally_error e;
  (void)snprintf(before, sizeof before, "%s/before", f->directory.path);
  append(f, 1);
  close_db(f);
  run("cp -r %s %s", f->store, before);
  open_at(f, f->store);
  append(f, 3);
  (void)backup(f);
  close_db(f);
  run("rm -r %s%s", f->store, "");
  run("mv %s %s", before, f->store);
  for (int i = 0; i < 2; i++) { /* twice: the log file has another number than the backup's */
    open_at(f, f->store);
    if (!i) close_db(f);
  }
  f->producer = "q";
  f->sequence = 0;
  append(f, 2);
  no_segments = true;
  cr_assert_eq(db_flush(f->db, &e), TALLY_NO_SPACE);
  no_segments = false;
  append(f, 2);
}

/* What the store at `path` has: all that was lost, or all that came; nothing mixed. */
static bool has_lost(struct fixture *f, const char *path, int step) {
  struct fixture g = *f;
  tally_error e;
  tally_mark p, q;
  open_at(&g, path);
  cr_assert_eq(db_mark(g.db, "p", 0, &p, &e), 0, "%s", e.text);
  cr_assert_eq(db_mark(g.db, "q", 0, &q, &e), 0, "%s", e.text);
  bool lost = p.sequence == 4 && q.sequence == 0, came = p.sequence == 1 && q.sequence == 4;
  cr_assert(lost || came, "step %d: p has %llu, q %llu", step, (unsigned long long)p.sequence,
            (unsigned long long)q.sequence);
  cr_assert_eq(rows(&g), (p.sequence + q.sequence) * BATCH, "step %d", step);
  close_db(&g);
  return lost;
}

Test(backup, renewed_where_a_log_of_batches_lost_since_cannot_be_removed_has_those_that_came_instead) {
  struct fixture f;
  tally_error e;
  begin(&f);
  lose_and_go_on(&f);
  logs_stay = true;
  (void)backup(&f);
  logs_stay = false;
  cr_assert_eq(restore_to(&f, f.backup, f.restored, &e), 0, "%s", e.text);
  cr_assert(!has_lost(&f, f.restored, 0));
  cr_assert(!has_lost(&f, f.backup, 0), "it opens as a store too");
  end(&f);
}

Test(backup, renewed_after_batches_were_lost_has_at_any_step_those_or_what_came_instead_and_nothing_mixed) {
  struct fixture f;
  struct backup_report r;
  tally_error e;
  char old[320];
  begin(&f);
  lose_and_go_on(&f);
  (void)snprintf(old, sizeof old, "%s/old", f.directory.path);
  run("mv %s %s", f.backup, old);
  int result = 1, steps = 0;
  bool was_old = false, was_new = false;
  for (; result && steps < 400; steps++) {
    run("rm -rf %s %s", f.backup, f.restored);
    run("cp -r %s %s", old, f.backup);
    calls = 0;
    fail_at = steps;
    result = db_backup(f.db, f.backup, 0, NULL, &r, &e);
    fail_at = -1;
    cr_assert_eq(restore_to(&f, f.backup, f.restored, &e), 0, "step %d: %s", steps, e.text);
    bool lost = has_lost(&f, f.restored, steps);
    was_old = was_old || lost;
    was_new = was_new || (result && !lost);
    cr_assert_eq(has_lost(&f, f.backup, steps), lost, "step %d: it opens as a store too", steps);
  }
  cr_assert_eq(result, 0, "%s", e.text);
  cr_assert(was_old && was_new && steps > 20);
  end(&f);
}

Test(backup, that_failed_for_want_of_space_the_first_time_leaves_nothing_that_hinders_the_next) {
  struct fixture f;
  begin(&f);
  tally_error e;
  struct backup_report report;
  bool duplicate;
  cr_assert_eq(try_append(&f, 1, &duplicate, &e), 0, "%s", e.text);
  cr_assert_eq(db_flush(f.db, &e), 0, "%s", e.text);
  no_links = no_segments = true;
  cr_assert_eq(db_backup(f.db, f.backup, 0, NULL, &report, &e), TALLY_NO_SPACE);
  no_links = no_segments = false;
  cr_assert_eq(db_backup(f.db, f.backup, 0, NULL, &report, &e), 0, "%s", e.text);
  cr_assert_eq(report.events, BATCH);
  end(&f);
}

Test(backup, does_not_go_where_something_else_is) {
  struct fixture f, other;
  tally_error e;
  char path[400];
  begin(&f);
  append(&f, 1);
  cr_assert_eq(refused(&f, f.store, &e), TALLY_LOCKED, "into itself");
  (void)snprintf(path, sizeof path, "%s/segments/backup", f.store);
  cr_assert_eq(refused(&f, path, &e), TALLY_USAGE, "%s", e.text);
  cr_assert_not_null(strstr(e.text, "inside a store"), "%s", e.text);
  cr_assert(!exists(path));
  (void)snprintf(path, sizeof path, "%s/link", f.directory.path);
  run("ln -s %s/segments %s", f.store, path);
  cr_assert_eq(refused(&f, path, &e), TALLY_USAGE, "%s", e.text);
  cr_assert_not_null(strstr(e.text, "inside a store"), "%s", e.text);
  (void)snprintf(path, sizeof path, "%s/mine", f.directory.path);
  run("mkdir %s && touch %s/notes", path, path);
  cr_assert_eq(refused(&f, path, &e), TALLY_USAGE, "%s", e.text);
  begin(&other);
  append(&other, 3);
  flush(&other);
  close_db(&other);
  cr_assert_eq(refused(&f, other.store, &e), TALLY_USAGE, "another store, closed: %s", e.text);
  open_at(&other, other.store);
  cr_assert_eq(rows(&other), 3 * BATCH, "which is as it was");
  (void)backup(&other);
  flush(&f);
  cr_assert_eq(refused(&f, other.backup, &e), TALLY_USAGE, "another store's backup: %s", e.text);
  cr_assert_eq(batches_restored(&other), 3);
  (void)backup(&f);
  struct fixture g = f; /* rows that are only in the log of a backup that was opened */
  open_at(&g, f.backup);
  append(&g, 1);
  (void)snprintf(path, sizeof path, "%s/killed", f.directory.path);
  run("cp -r %s %s", f.backup, path);
  close_db(&g);
  cr_assert_eq(refused(&f, path, &e), TALLY_USAGE, "opened as a store since, and killed: %s", e.text);
  g = f;
  open_at(&g, path);
  cr_assert_eq(rows(&g), 2 * BATCH, "what came into it is still there");
  close_db(&g);
  run("rm -r %s%s", f.backup, "");
  (void)backup(&f);
  (void)batches_at(&f, f.backup); /* a row more in it */
  cr_assert_eq(refused(&f, f.backup, &e), TALLY_USAGE, "opened as a store since: %s", e.text);
  cr_assert_eq(batches_restored(&f), 2, "it is a store, and can be restored as one");
  end(&other);
  end(&f);
}

Test(backup, a_damaged_segment_is_not_backed_up) {
  struct fixture f;
  tally_error e;
  begin(&f);
  append(&f, 2);
  flush(&f);
  char command[900];
  (void)snprintf(command, sizeof command,
                 "f=$(ls %s/segments/*/*.seg) && printf X | dd of=$f bs=1 seek=100 conv=notrunc status=none",
                 f.store);
  cr_assert_eq(system(command), 0);
  cr_assert_eq(refused(&f, f.backup, &e), TALLY_CORRUPT, "%s", e.text);
  cr_assert_not_null(strstr(e.text, ".seg"), "%s", e.text);
  cr_assert_eq(restore_to(&f, f.backup, f.restored, &e), TALLY_NOT_FOUND, "there is none");
  end(&f);
}

/* ------------------------------------------------------------------ restore */

Test(restore, refuses_every_flipped_byte_and_every_cut_of_every_file_and_leaves_nothing) {
  struct fixture f;
  tally_error e;
  begin(&f);
  append(&f, 2);
  flush(&f);
  append(&f, 1);
  (void)backup(&f);
  char command[400], path[400];
  size_t files = 0, tried = 0;
  (void)snprintf(command, sizeof command, "find %s -type f ! -name LOCK", f.backup);
  FILE *list = popen(command, "r");
  cr_assert_not_null(list);
  while (fgets(path, sizeof path, list)) {
    size_t size;
    path[strcspn(path, "\n")] = '\0';
    uint8_t *bytes = file_load(path, &size);
    cr_assert_eq(remove(path), 0); /* the store's file is the same one */
    for (size_t at = 0; at < size; at += at < 128 || at + 128 > size ? 1 : 5) {
      bytes[at] ^= 0x10;
      file_store(path, bytes, size);
      bytes[at] ^= 0x10;
      int result = restore_to(&f, f.backup, f.restored, &e);
      cr_assert(result == TALLY_CORRUPT || result == TALLY_VERSION, "%s: byte %zu of %zu: %d", path, at, size,
                result);
      cr_assert(!exists(f.restored), "nothing is left");
      tried++;
    }
    for (size_t cut = 0; cut < size; cut += 1 + cut / 4) {
      file_store(path, bytes, cut);
      cr_assert_lt(restore_to(&f, f.backup, f.restored, &e), 0, "%s cut to %zu", path, cut);
      cr_assert(!exists(f.restored));
    }
    if (!strstr(path, "BACKUP-")) {
      cr_assert_eq(remove(path), 0);
      cr_assert_lt(restore_to(&f, f.backup, f.restored, &e), 0, "without %s", path);
      cr_assert(!exists(f.restored));
    }
    file_store(path, bytes, size);
    free(bytes);
    files++;
  }
  (void)pclose(list);
  cr_assert_eq(files, 5, "manifest, mark, catalog, a segment and the log");
  cr_assert_gt(tried, 1000);
  cr_assert_eq(batches_restored(&f), 3);
  end(&f);
}

Test(restore, that_dies_at_any_step_leaves_no_store_and_can_be_begun_again) {
  struct fixture f, g;
  tally_error e;
  begin(&f);
  append(&f, 2);
  flush(&f);
  append(&f, 1);
  (void)backup(&f);
  int result = 1, steps = 0;
  for (; result && steps < 200; steps++) {
    calls = 0;
    fail_at = steps;
    result = restore_to(&f, f.backup, f.restored, &e);
    fail_at = -1;
    if (!result) break;
    g = f;
    tally_options o = {.create = true, .memory = 64u << 20};
    if (exists(f.restored) && db_open(&f.os, f.restored, &o, &g.db, &e) == 0) {
      /* Either nothing was begun in it, or everything is there: the manifest's name was the last step. */
      uint64_t n = rows(&g);
      close_db(&g);
      cr_assert(n == 0 || n == 3 * BATCH, "step %d: %llu rows", steps, (unsigned long long)n);
      run("rm -r %s%s", f.restored, "");
      continue;
    }
    cr_assert_eq(batches_restored(&f), 3, "after step %d", steps);
  }
  cr_assert_eq(result, 0, "%s", e.text);
  cr_assert_gt(steps, 15);
  cr_assert_eq(restore_to(&f, f.backup, f.restored, &e), TALLY_USAGE, "not empty");
  cr_assert_eq(batches_at(&f, f.restored), 3);
  cr_assert_eq(restore_to(&f, f.backup, f.store, &e), TALLY_LOCKED, "%s", e.text);
  cr_assert_eq(restore_to(&f, f.directory.path, f.restored, &e), TALLY_NOT_FOUND);
  end(&f);
}
