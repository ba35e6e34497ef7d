/* open.c - opening and closing a store; see db.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/status.h"
#include "db/inside.h"

#define MEMORY_DEFAULT (256ull << 20)
#define MEMORY_LEAST (64ull << 20)
#define WORK_LEAST (32ull << 20) /* flushes and merges of rows with long metadata fit */
#define MINUTE_US INT64_C(60000000)

/* ------------------------------------------------------------------ memory */

/* How the budget is shared: memtables first (active, sealed ones, a sorted copy for the flush of each, and a
 * spare for what queries hold), the rest is the cache's, the catalog's and the queries', with limits that add
 * up to more than there is: the cache gives way. Memtables, texts, marks and queries leave room for
 * one flush and for directories of segments, so that rows can always leave memory, and what was written can
 * be opened. */
#define FLUSH_ROW (20u + 52u) /* order and keys; what is summed up of a run of one row */

static uint64_t flush_least(const struct db *db) {
  return (uint64_t)db->memtable_rows * FLUSH_ROW + db->memtable_metadata + (5u << 20);
}

static void share_memory(struct db *db) {
  uint64_t memory = db->options.memory;
  db->memtable_rows = memory >= 192ull << 20 ? 1u << 18 : memory >= 112ull << 20 ? 1u << 17 : 1u << 16;
  uint64_t metadata = memory / 20;
  db->memtable_metadata = metadata < (9u << 20)    ? (9u << 20)
                          : metadata > (16u << 20) ? (16u << 20)
                                                   : (size_t)metadata;
  db->sealed_most = memory >= 192ull << 20 ? SEALED_MOST : 1;
  uint64_t one = memtable_bytes(db->memtable_rows, db->memtable_metadata);
  budget_init(&db->total, memory, NULL);
  uint64_t work = memory / 4 > WORK_LEAST ? memory / 4 : WORK_LEAST, directories = memory / 16;
  budget_init(&db->firm, memory - flush_least(db) - directories, &db->total);
  budget_init(&db->memtable_budget, one * (2 * db->sealed_most + 2), &db->firm);
  uint64_t texts = db->firm.limit - 2 * one; /* the active memtable and a sorted copy stand beside them */
  budget_init(&db->text_budget, texts < memory / 3 ? texts : memory / 3, &db->firm);
  budget_init(&db->query_budget, memory / 2, &db->firm);
  budget_init(&db->work_budget, work, &db->total); /* merges end by themselves */
  budget_init(&db->directory_budget, memory / 3, &db->total);
  budget_init(&db->flush_budget, work, &db->total);
  budget_init(&db->cache_budget, memory / 2, &db->total);
}

static bool reclaim_cache(void *arg, uint64_t bytes) {
  return cache_shrink(((struct db *)arg)->cache, bytes);
}

/* For what counts as firm: the cache cannot help where that is full. */
static bool reclaim_for_firm(void *arg, uint64_t bytes) {
  struct db *db = arg;
  return budget_used(&db->firm) + bytes <= db->firm.limit && reclaim_cache(arg, bytes);
}

static bool has_room(struct db *db, uint64_t bytes) {
  return budget_used(&db->firm) + bytes <= db->firm.limit &&
         budget_used(&db->total) + bytes <= db->total.limit;
}

/* Under lock, or while nobody else has the store. */
static void drop_spares(struct db *db) {
  for (struct memtable *next, *m = db->spares; m; m = next) {
    next = m->next;
    memtable_unref(m);
  }
  db->spares = NULL;
}

/* The cache, then memtables that nobody uses now; ingest asks for them again. */
static bool reclaim_unused(void *arg, uint64_t bytes) {
  struct db *db = arg;
  bool gave = reclaim_for_firm(arg, bytes);
  os_lock(&db->lock);
  if (!has_room(db, bytes)) {
    gave |= db->spares != NULL;
    drop_spares(db);
    for (; db->sorted_free && db->sorted_made > 1; db->sorted_made--, gave = true) /* one scratch stays */
      memtable_unref(db->sorted[--db->sorted_free]);
  }
  os_unlock(&db->lock);
  return gave;
}

/* For queries: the same, and then what flushes and merges will give back, waited for. */
static bool reclaim_for_query(void *arg, uint64_t bytes) {
  struct db *db = arg;
  if (!os_may_wait()) return false; /* to give large blocks back takes long, too */
  for (int tries = 0; !has_room(db, bytes); tries++) {
    os_lock(&db->lock);
    bool firm = budget_used(&db->firm) + bytes > db->firm.limit;
    bool comes = scratch_memory_comes(db, firm); /* asked first: what came after it is not waited for */
    if (comes && tries) (void)os_wait_for(&db->changed, &db->lock, GRACE_TRY_US);
    os_unlock(&db->lock);
    if (reclaim_unused(arg, bytes)) return true;
    if (!comes || tries == 10 * GRACE_TRIES) return has_room(db, bytes);
  }
  return true;
}

/* For work on files and flushes: what is unused, and then what old snapshots keep. */
static bool reclaim_for_work(void *arg, uint64_t bytes) {
  return reclaim_unused(arg, bytes) || snapshots_give_memtable(arg);
}

static int make_memory(struct db *db, tally_error *error) {
  share_memory(db);
  int result = cache_new(db->cache_budget.limit, &db->cache_budget, &db->cache, error);
  if (result) return result;
  struct budget *asks[] = {&db->memtable_budget, &db->text_budget,      &db->query_budget,
                           &db->work_budget,     &db->directory_budget, &db->flush_budget};
  for (size_t i = 0; i < sizeof asks / sizeof *asks; i++) {
    asks[i]->reclaim = asks[i]->parent == &db->firm ? reclaim_for_firm : reclaim_cache;
    asks[i]->reclaim_arg = db;
  }
  db->query_budget.reclaim = reclaim_for_query;
  db->text_budget.reclaim = reclaim_unused;
  db->work_budget.reclaim = db->flush_budget.reclaim = reclaim_for_work;
  for (; db->sorted_free < db->sealed_most; db->sorted_free++, db->sorted_made++) {
    struct memtable *m = memtable_new(db->memtable_rows, db->memtable_metadata, &db->memtable_budget);
    if (!m) return fail_memory(error, "memtables");
    db->sorted[db->sorted_free] = m;
  }
  return producers_new(&db->text_budget, &db->producers, error);
}

/* ------------------------------------------------------------------ open */

static int set_options(struct db *db, const tally_options *options, tally_error *error) {
  if (options) db->options = *options;
  tally_options *o = &db->options;
  if (!o->memory) o->memory = MEMORY_DEFAULT;
  if (!o->max_future) o->max_future = DAY_US;
  if (!o->flush_age) o->flush_age = 15 * MINUTE_US;
  if (!o->query_timeout) o->query_timeout = 300000;
  if (o->memory < MEMORY_LEAST)
    return fail(error, TALLY_USAGE, "memory of %" PRIu64 " bytes is too little: give at least 64MiB",
                o->memory);
  if (o->max_future < 0 || o->flush_age < 0)
    return fail(error, TALLY_USAGE, "max_future and flush_age count forward: give positive values");
  return 0;
}

static int take_lock(struct db *db, tally_error *error) {
  char *path = mem_path(db->path, "LOCK");
  if (!path) return fail_memory(error, "a store");
  int64_t owner = 0;
  int number = db->os->lock(db->os, path, &db->lock_file, &owner), result = 0;
  if (number == EWOULDBLOCK)
    result = fail(error, TALLY_LOCKED,
                  "the store %s is in use by process %" PRId64
                  ": ask its server (--server), or end that process first",
                  db->path, owner);
  else if (number)
    result = os_fail(error, number, "lock", path);
  mem_free(path);
  return result;
}

static int make_directory(struct db *db, const char *name, bool may_exist, tally_error *error) {
  char *path = name ? mem_path(db->path, name) : mem_strndup(db->path, strlen(db->path));
  if (!path) return fail_memory(error, "a store");
  int number = db->os->mkdir(db->os, path), result = 0;
  if (number && !(number == EEXIST && may_exist)) result = os_fail(error, number, "make the directory", path);
  mem_free(path);
  return result;
}

static int no_store(const struct db *db, const char *why, tally_error *error) {
  return fail(error, TALLY_NOT_FOUND,
              "there is no store in %s: %scheck the path; `tally ingest --db %s` makes one", db->path, why,
              db->path);
}

/* The names of the store's folders, and of its own directory, reach the disk before there is a manifest. Who
 * may not read the directory above did not make this one. */
static int sync_folders(struct db *db, tally_error *error) {
  char *parent = mem_parent(db->path);
  if (!parent) return fail_memory(error, "a store");
  int number = db->os->sync_directory(db->os, db->path), result = 0;
  if (number) result = os_fail(error, number, "sync the directory", db->path);
  if (!result) number = db->os->sync_directory(db->os, parent);
  if (!result && number && number != EACCES) result = os_fail(error, number, "sync the directory", parent);
  mem_free(parent);
  return result;
}

/* The directory holds a manifest, or becomes a store. */
static int open_manifest(struct db *db, tally_error *error) {
  bool other;
  int exists = manifest_exists(db->os, db->path, &other, error);
  if (exists < 0) return exists;
  if (exists) return manifest_open(db->os, db->path, db->producers, &db->manifest, error);
  if (!db->options.create || db->options.read_only) return no_store(db, "", error);
  /* A crash may have come between making the folders and the manifest: they are empty then. */
  int result = make_directory(db, "wal", true, error);
  if (!result) result = make_directory(db, "segments", true, error);
  if (!result) result = sync_folders(db, error);
  if (!result) result = manifest_create(db->os, db->path, &db->manifest, error);
  db->made = result == 0;
  return result;
}

/* A directory with files of somebody else's does not become a store. */
static int see_stranger(void *arg, const char *name) {
  (void)arg;
  return strcmp(name, "LOCK") == 0 || strcmp(name, "wal") == 0 || strcmp(name, "segments") == 0 ||
                 strcmp(name, "archive") == 0 || strcmp(name, "lost+found") == 0 ||
                 strcmp(name, "catalog") == 0 || strncmp(name, "MANIFEST-", 9) == 0
             ? 0
             : ENOTEMPTY;
}

static int prepare_directory(struct db *db, tally_error *error) {
  int result = 0;
  if (db->options.create && !db->options.read_only) result = make_directory(db, NULL, true, error);
  if (result) return result;
  bool other;
  int exists = manifest_exists(db->os, db->path, &other, error);
  if (exists == TALLY_NOT_FOUND) return no_store(db, "there is no such directory: ", error);
  if (exists < 0) return exists;
  if (exists) return 0;
  if (!db->options.create) return no_store(db, "", error);
  if (db->os->list(db->os, db->path, see_stranger, NULL) == ENOTEMPTY)
    return fail(error, TALLY_USAGE, "%s holds other files and no store: choose an empty or a new directory",
                db->path);
  return 0;
}

static int start(struct db *db, tally_error *error) {
  if (db->options.read_only) {
    db->read_only = TALLY_READ_ONLY;
    (void)snprintf(db->read_only_text, sizeof db->read_only_text,
                   "it was opened read-only: open it for writing");
    return 0;
  }
  int result = db->active ? 0 : writer_new_active(db, error);
  if (result || db->options.manual) return result;
  for (; db->flushers < db->sealed_most; db->flushers++) {
    int number = os_thread_start(&db->flusher[db->flushers], flusher_run, db);
    if (number) return os_fail(error, number, "start a thread for", db->path);
  }
  int number = os_thread_start(&db->maintainer, maintainer_run, db);
  if (number) return os_fail(error, number, "start a thread for", db->path);
  db->has_maintainer = true;
  return 0;
}

void db_interrupt(struct db *db) { atomic_store(&db->stop_maintenance, true); }
const atomic_bool *db_interrupted(const struct db *db) { return &db->stop_maintenance; }
int db_go_on(struct db *db, tally_error *error) {
  return atomic_load(&db->stop_maintenance)
             ? fail(error, TALLY_CANCELLED, "the store is about to close: start it again when it is open")
             : 0;
}

/* Under lock, for others ask how many there are. */
static bool one_flusher_less(struct db *db) {
  os_lock(&db->lock);
  bool one = db->flushers > 0;
  db->flushers -= one;
  os_unlock(&db->lock);
  return one;
}

static void stop_threads(struct db *db) {
  db_interrupt(db);
  os_lock(&db->lock);
  db->closing = true;
  os_wake(&db->changed);
  os_unlock(&db->lock);
  while (one_flusher_less(db)) os_thread_join(&db->flusher[db->flushers]);
  if (db->has_maintainer) os_thread_join(&db->maintainer);
  db->has_maintainer = false;
}

static void free_all(struct db *db) {
  stop_threads(db);
  while (db->sealed) {
    struct sealed *s = db->sealed;
    db->sealed = s->next;
    memtable_unref(s->memtable);
    buffer_free(&s->marks);
    mem_free(s);
  }
  memtable_unref(db->active);
  drop_spares(db);
  while (db->sorted_free) memtable_unref(db->sorted[--db->sorted_free]);
  version_unref(db, db->version);
  wal_files_drop(db, 0);
  while (db->old_wals) {
    struct old_wal *old = db->old_wals;
    db->old_wals = old->next;
    mem_free(old);
  }
  wal_close(db->wal);
  manifest_close(db->manifest);
  producers_free(db->producers);
  catalog_close(db->catalog);
  if (db->cache) cache_free(db->cache);
  if (db->lock_file) db->os->close(db->os, db->lock_file);
  batch_scratch_free(&db->batch_scratch);
  for (int d = 0; d < DOMAINS; d++) buffer_free(&db->id_scratch[d]);
  os_condition_destroy(&db->changed);
  os_condition_destroy(&db->queue_changed);
  os_mutex_destroy(&db->lock);
  os_mutex_destroy(&db->queue_lock);
  os_mutex_destroy(&db->maintaining);
  os_mutex_destroy(&db->retention.lock);
  policy_free(&db->retention.policy);
  os_mutex_destroy(&db->publishing);
  os_mutex_destroy(&db->manifest_lock);
  mem_free(db->month);
  mem_free(db->tried);
  mem_free(db->path);
  mem_free(db);
}

int db_open(const struct os *os, const char *path, const tally_options *options, struct db **out,
            tally_error *error) {
  struct db *db = mem_zalloc(1, sizeof *db);
  if (!db) return fail_memory(error, "a store");
  db->os = os;
  db->opened = os->monotonic(os);
  db->queue_end = &db->queue;
  db->sealed_end = &db->sealed;
  os_mutex_init(&db->lock);
  os_mutex_init(&db->queue_lock);
  os_mutex_init(&db->maintaining);
  os_mutex_init(&db->retention.lock);
  os_mutex_init(&db->publishing);
  os_mutex_init(&db->manifest_lock);
  os_condition_init(&db->changed);
  os_condition_init(&db->queue_changed);
  db->path = mem_strndup(path, strlen(path));
  int result = db->path ? set_options(db, options, error) : fail_memory(error, "a store");
  if (!result) result = prepare_directory(db, error);
  if (!result) result = take_lock(db, error);
  if (!result) result = make_memory(db, error);
  if (!result) result = open_manifest(db, error);
  if (!result) result = retention_open(db, error);
  if (!result) result = recover(db, error);
  if (!result) result = start(db, error);
  if (result) {
    free_all(db);
    return result;
  }
  *out = db;
  return 0;
}

/* ------------------------------------------------------------------ close */

static int flush_all(struct db *db, tally_error *error) {
  int result = writer_seal(db, error);
  return result ? result : flush_until(db, UINT64_MAX, error);
}

/* The seal: the WAL is synced, and the manifest promises it. With everything in segments the WAL gives way to
 * an empty file, whose first sequence bears witness: a manifest that has lost edits does not reach up to it.
 */
static int seal_store(struct db *db, tally_error *error) {
  bool flushed = flush_all(db, error) == 0; /* where that fails, the rows are in the WAL */
  int result = db_writable(db, error);
  if (!result && db->wal->durable < db->wal->written) result = writer_sync(db, error);
  flushed = flushed && !result && db->manifest->state.covered == db->wal->written;
  if (flushed && db->wal->written >= db->wal->header.first) flushed = writer_rotate(db, error) == 0;
  if (!result) result = db_writable(db, error);
  if (result) return result;
  struct edit edit = {.state = db->manifest->state};
  edit.state.durable = db->wal->durable;
  edit.state.next_wal = db->wal->header.number + 1;
  result = manifest_commit(db->manifest, &edit, error);
  if (!result && manifest_wants_checkpoint(db->manifest)) {
    struct buffer marks = {0};
    producers_write(db->producers, true, &marks);
    if (!marks.failed) result = manifest_checkpoint(db->manifest, &marks, error);
    buffer_free(&marks);
  }
  if (!result && flushed) wal_files_drop(db, db->wal->written);
  return result;
}

int db_close(struct db *db, tally_error *error) {
  stop_threads(db);
  tally_error ignored;
  int result = db_writable(db, &ignored) ? 0 : seal_store(db, error);
  if (!result && !db_writable(db, &ignored)) result = retention_note_clock(db, error);
  free_all(db);
  return result;
}

/* ------------------------------------------------------------------ small calls */

const struct os *db_os(const struct db *db) { return db->os; }
struct budget *db_query_budget(struct db *db) {
  return &db->query_budget;
}
const tally_options *db_options(const struct db *db) { return &db->options; }

int db_mark(struct db *db, const char *producer, uint64_t epoch, tally_mark *mark, tally_error *error) {
  if (!producer || !*producer) return fail(error, TALLY_USAGE, "a mark is a producer's: give its name");
  writer_enter(db); /* not between a batch's acceptance and its commit */
  *mark = producers_mark(db->producers, (tally_text){producer, strlen(producer)}, epoch);
  writer_leave(db);
  return 0;
}

int db_sync(struct db *db, tally_error *error) {
  writer_enter(db);
  int result = db_writable(db, error);
  if (!result && db->wal->durable < db->wal->written) result = writer_sync(db, error);
  writer_leave(db);
  return result;
}

int db_flush(struct db *db, tally_error *error) {
  bool worked;
  int result = flush_next(db, &worked, error); /* what failed before is tried now, not in a second */
  if (result) return result;
  writer_enter(db);
  result = db_writable(db, error);
  if (!result) result = writer_seal(db, error);
  if (!result && !db->active) result = writer_new_active(db, error);
  /* so that its space can go, and what is left of batches that were refused */
  if (!result && (db->wal->written >= db->wal->header.first || db->wal->cut))
    result = writer_rotate(db, error);
  uint64_t last = db->wal ? db->wal->written : 0;
  writer_leave(db);
  if (!result) result = flush_until(db, last, error);
  if (result) return result;
  os_lock(&db->manifest_lock);
  uint64_t covered = db->manifest->state.covered;
  os_unlock(&db->manifest_lock);
  wal_files_drop(db, covered);
  return 0;
}

int db_step(struct db *db, bool *worked, tally_error *error) {
  if (!db->options.manual)
    return fail(error, TALLY_USAGE, "tally_step is for stores opened with options.manual");
  *worked = false;
  os_lock(&db->lock);
  bool old = writer_due(db) && !db->sealed;
  os_unlock(&db->lock);
  if (old) {
    writer_enter(db);
    int result = writer_seal(db, error);
    writer_leave(db);
    if (result) return result;
  }
  struct rewrite_report report;
  int result = flush_next(db, worked, error);
  if (!result && !*worked) result = compact_next(db, NULL, worked, &report, error);
  return result || *worked ? result : retention_in_background(db, worked, error);
}
