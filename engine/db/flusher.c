/* flusher.c - sealed memtables become segments: written and synced by as many threads as memtables may be
 * sealed, published in the order of their rows; then their WAL is dropped. */
#include "base/mem.h"
#include "base/status.h"
#include "db/inside.h"
#include "maintain/flush.h"

/* Under lock: the oldest sealed memtable that nobody works on. */
static struct sealed *unclaimed(const struct db *db) {
  struct sealed *s = db->sealed;
  while (s && s->claimed) s = s->next;
  return s;
}

bool flush_waits(const struct db *db) { return unclaimed(db) != NULL; }

bool flush_needs_writer(const struct db *db) { return flush_waits(db) && (!db->flushers || db->entering); }

/* The writer may be waiting for a flush meanwhile: it is told. */
static void enter(struct db *db) {
  os_lock(&db->lock);
  db->entering++;
  os_wake(&db->changed);
  os_unlock(&db->lock);
  writer_enter(db);
  os_lock(&db->lock);
  db->entering--;
  os_unlock(&db->lock);
}

static struct sealed *claim(struct db *db) {
  os_lock(&db->lock);
  struct sealed *s = unclaimed(db);
  if (s) {
    s->claimed = true;
    db->flushing++;
  }
  os_unlock(&db->lock);
  return s;
}

static int write_segments(struct db *db, const struct memtable *memtable, struct segment_info **info,
                          uint32_t *count, tally_error *error) {
  int result, tries = 0;
  do {
    struct memtable *sorted = scratch_take(db);
    result = flush_memtable(db->os, db->path, memtable, sorted, &db->next_segment, &db->flush_budget, info,
                            count, error);
    scratch_give(db, sorted);
  } while (result == TALLY_MEMORY_LIMIT && scratch_wait(db, FLUSH_WAITS, &tries));
  return result;
}

/* Waits until the memtables before this one are published; false where one of them failed. */
static bool my_turn(struct db *db, const struct sealed *sealed) {
  os_lock(&db->lock);
  while (db->sealed != sealed && unclaimed(db) != db->sealed) os_wait(&db->changed, &db->lock);
  bool mine = db->sealed == sealed;
  os_unlock(&db->lock);
  return mine;
}

/* *done: its rows are in segments. It gives up without a failure of its own where one before it failed. */
static int flush_one(struct db *db, struct sealed *sealed, bool *done, tally_error *error) {
  struct segment_info *info = NULL;
  uint32_t count = 0;
  int result = write_segments(db, sealed->memtable, &info, &count, error);
  if (result) return result;
  if (my_turn(db, sealed)) {
    os_lock(&db->publishing);
    result =
        publish_version(db, &(struct change){.sealed = sealed, .added = info, .added_count = count}, error);
    os_unlock(&db->publishing);
    *done = result == 0;
  } else {
    for (uint32_t i = 0; i < count; i++) segment_remove(db->os, db->path, &info[i]);
  }
  mem_free(info);
  return result;
}

/* Keeps the memtable for the next rows, if no reader has it: its pages are faulted in. Under lock. */
static void recycle(struct db *db, struct memtable *m) {
  if (atomic_load(&m->references) == 1) {
    m->next = db->spares;
    db->spares = m;
  } else {
    memtable_unref(m);
  }
}

int flush_next(struct db *db, bool *worked, tally_error *error) {
  *worked = false;
  struct sealed *sealed = claim(db);
  if (!sealed) return 0;
  uint64_t covered = sealed->memtable->last_sequence;
  int result = db_writable(db, error);
  if (!result) result = flush_one(db, sealed, worked, error);
  os_lock(&db->lock);
  sealed->claimed = false;
  db->flushing--;
  if (result) {
    db->flush_failed = result;
    db->flush_error = *error;
  } else if (*worked) {
    db->flush_failed = 0;
    db->flushes++;
    recycle(db, sealed->memtable);
  }
  os_wake(&db->changed);
  os_unlock(&db->lock);
  if (!*worked) return result;
  buffer_free(&sealed->marks);
  mem_free(sealed);
  wal_files_drop(db, covered);
  return 0;
}

int flush_until(struct db *db, uint64_t sequence, tally_error *error) {
  for (;;) {
    bool worked;
    int result = flush_next(db, &worked, error);
    if (result) return result;
    os_lock(&db->lock);
    /* What others work on is waited for; what they fail at is tried again here. */
    while (db->sealed && db->sealed->memtable->first_sequence <= sequence && !unclaimed(db))
      os_wait(&db->changed, &db->lock);
    bool left = db->sealed && db->sealed->memtable->first_sequence <= sequence;
    os_unlock(&db->lock);
    if (!left) return 0;
  }
}

/* Rotates the manifest where its edits have outgrown it. Marks in a checkpoint are of a synced WAL (law 4 of
 * manifest/). */
static void checkpoint(struct db *db) {
  tally_error error;
  struct buffer marks = {0};
  os_lock(&db->manifest_lock);
  bool due = manifest_wants_checkpoint(db->manifest);
  os_unlock(&db->manifest_lock);
  if (!due) return;
  enter(db);
  if (!db_writable(db, &error) && (db->wal->durable == db->wal->written || !writer_sync(db, &error))) {
    producers_write(db->producers, true, &marks);
    os_lock(&db->manifest_lock);
    if (!marks.failed) {
      db->manifest->state.durable = db->wal->durable;
      if (manifest_checkpoint(db->manifest, &marks, &error) == TALLY_IO) db_stop_writes(db, &error);
    }
    os_unlock(&db->manifest_lock);
  }
  writer_leave(db);
  buffer_free(&marks);
}

static void seal_old(struct db *db) {
  tally_error ignored; /* it is tried again in a second */
  enter(db);
  os_lock(&db->lock);
  bool due = writer_due(db) && !db->sealed;
  os_unlock(&db->lock);
  if (due) (void)writer_seal(db, &ignored);
  writer_leave(db);
}

void *flusher_run(void *arg) {
  struct db *db = arg;
  tally_error error;
  os_thread_stand_back(OS_AFTER_CALLERS);
  for (;;) {
    os_lock(&db->lock);
    if (!db->closing && (!unclaimed(db) || db->flush_failed))
      (void)os_wait_for(&db->changed, &db->lock, 1000000);
    bool closing = db->closing, old = writer_due(db) && !db->sealed;
    os_unlock(&db->lock);
    if (closing) return NULL;
    if (old) seal_old(db);
    bool worked;
    (void)flush_next(db, &worked, &error); /* a failure is kept in flush_error and tried again in a second */
    if (worked) checkpoint(db);
  }
}
