/* writer.c - the writer's role: one thread at a time appends, seals and rotates. */
#include "base/mem.h"
#include "base/status.h"
#include "db/inside.h"

void writer_enter(struct db *db) {
  os_lock(&db->queue_lock);
  while (db->writing) os_wait(&db->queue_changed, &db->queue_lock);
  db->writing = true;
  os_unlock(&db->queue_lock);
}

void writer_leave(struct db *db) {
  os_lock(&db->queue_lock);
  db->writing = false;
  os_wake(&db->queue_changed);
  os_unlock(&db->queue_lock);
}

void db_stop_writes(struct db *db, const tally_error *error) {
  os_lock(&db->lock);
  if (!db->read_only) {
    db->read_only = error->code;
    memcpy(db->read_only_text, error->text, sizeof db->read_only_text);
  }
  os_wake(&db->changed);
  os_unlock(&db->lock);
}

int db_writable(struct db *db, tally_error *error) {
  os_lock(&db->lock);
  int result = 0;
  if (db->read_only)
    result = fail(error, TALLY_READ_ONLY, "the store takes no writes: %s", db->read_only_text);
  os_unlock(&db->lock);
  return result;
}

/* Under lock: a memtable, if need be by ending old snapshots that hold one. */
static struct memtable *make_memtable(struct db *db, bool expire) {
  struct memtable *spare = db->spares;
  if (spare) {
    db->spares = spare->next;
    memtable_reset(spare);
    return spare;
  }
  for (;;) {
    struct memtable *m = memtable_new(db->memtable_rows, db->memtable_metadata, &db->memtable_budget);
    if (m || !expire || !snapshot_expire_oldest(db)) return m;
  }
}

/* Under lock: does anybody hold memory who will give it back? */
static bool memory_may_come(const struct db *db) {
  return db->snapshots || db->flushing || (db->sealed && db->flushers) || atomic_load(&db->rewriting.total);
}

/* A new active memtable. Where no flusher can come the caller flushes for it, also what failed before. */
int writer_new_active(struct db *db, tally_error *error) {
  struct memtable *m = NULL;
  os_lock(&db->lock);
  /* A flush that ends gives its memtable back, and queries at work theirs within a vector's time. A flush
   * of another's that failed does not matter where there is room. */
  for (int tries = 0; tries < 10 * GRACE_TRIES; tries++) {
    m = make_memtable(db, tries >= GRACE_TRIES);
    if (m) break;
    if (flush_needs_writer(db)) {
      bool worked;
      os_unlock(&db->lock);
      int result = flush_next(db, &worked, error);
      if (result) return result;
      os_lock(&db->lock);
    } else {
      if (db->flush_failed || !memory_may_come(db)) break;
      (void)os_wait_for(&db->changed, &db->lock, GRACE_TRY_US);
    }
  }
  db->active = m;
  int failed = db->flush_failed;
  if (!m && failed) *error = db->flush_error;
  os_unlock(&db->lock);
  if (m) return 0;
  return failed ? failed
                : fail(error, TALLY_MEMORY_LIMIT,
                       "no memory for new rows: end some queries, free some memory or raise --memory");
}

/* Waits until another memtable may be sealed; where no flusher can come the caller flushes. */
static int wait_for_flush(struct db *db, tally_error *error) {
  for (;;) {
    os_lock(&db->lock);
    /* A failure counts when nobody is trying again. */
    while (db->sealed_count >= db->sealed_most && !flush_needs_writer(db) &&
           !(db->flush_failed && flush_waits(db)) && !db->read_only)
      (void)os_wait_for(&db->changed, &db->lock, 1000000);
    bool room = db->sealed_count < db->sealed_most, mine = !room && flush_needs_writer(db);
    int failed = room || mine ? 0 : db->flush_failed; /* of the thread that would make room */
    if (failed) *error = db->flush_error;
    os_unlock(&db->lock);
    if (failed) return failed;
    if (room) return 0;
    bool worked;
    int result = db_writable(db, error);
    if (!result && mine) result = flush_next(db, &worked, error);
    if (result) return result;
  }
}

int writer_seal(struct db *db, tally_error *error) {
  if (!db->active || db->active->rows.count == 0) return 0;
  int result = wait_for_flush(db, error);
  if (result) return result;
  struct sealed *sealed = mem_zalloc(1, sizeof *sealed);
  if (!sealed) return fail_memory(error, "a flush");
  producers_write(db->producers, false, &sealed->marks);
  if (sealed->marks.failed) { /* the marks are not dirty any more: only a whole state is right now */
    buffer_clear(&sealed->marks);
    producers_write(db->producers, true, &sealed->marks);
    if (sealed->marks.failed) {
      buffer_free(&sealed->marks);
      mem_free(sealed);
      result = fail_memory(error, "the producers' marks");
      db_stop_writes(db, error);
      return result;
    }
  }
  os_lock(&db->lock);
  sealed->memtable = db->active;
  db->active = NULL;
  *db->sealed_end = sealed;
  db->sealed_end = &sealed->next;
  db->sealed_count++;
  os_wake(&db->changed);
  os_unlock(&db->lock);
  return 0;
}

bool writer_due(struct db *db) {
  return db->active && db->active->first_sequence &&
         db->os->monotonic(db->os) - db->active->born >= db->options.flush_age;
}

int writer_room(struct db *db, const struct batch *batch, tally_error *error) {
  if (db->active && memtable_fits(db->active, batch)) return 0;
  int result = writer_seal(db, error);
  if (!result && db->wal->size > 64u << 20) result = writer_rotate(db, error);
  if (!result && !db->active) result = writer_new_active(db, error);
  return result;
}

int writer_sync(struct db *db, tally_error *error) {
  int result = wal_sync(db->wal, error);
  if (result) {
    db_stop_writes(db, error);
    return result;
  }
  os_lock(&db->lock);
  db->wal_durable = db->wal->durable;
  os_unlock(&db->lock);
  return 0;
}

int writer_rotate(struct db *db, tally_error *error) {
  struct old_wal *old = mem_zalloc(1, sizeof *old);
  if (!old) return fail_memory(error, "a WAL file");
  int result = db->wal->durable < db->wal->written ? writer_sync(db, error) : 0;
  struct wal *wal = NULL;
  if (!result) result = wal_create(db->os, db->path, db->wal->header.number + 1, db->wal->next, &wal, error);
  if (!result && (result = wal_publish(wal, db->path, error)) != 0) wal_close(wal);
  if (result) {
    mem_free(old);
    if (result == TALLY_IO) db_stop_writes(db, error);
    return result;
  }
  *old = (struct old_wal){db->wal->header.number, db->wal->written, NULL};
  wal_close(db->wal);
  db->wal = wal;
  os_lock(&db->lock);
  old->next = db->old_wals;
  db->old_wals = old;
  db->wal_number = wal->header.number;
  db->wal_size = wal->size;
  os_unlock(&db->lock);
  return 0;
}

/* Removes the WAL files whose records are all in segments. */
void wal_files_drop(struct db *db, uint64_t covered) {
  for (;;) {
    os_lock(&db->lock);
    struct old_wal **at = &db->old_wals;
    while (*at && (*at)->last > covered) at = &(*at)->next;
    struct old_wal *old = *at;
    if (old) *at = old->next;
    os_unlock(&db->lock);
    if (!old) return;
    char *path = wal_path(db->path, old->number, ".wal");
    if (path)
      (void)db->os->unlink(db->os, path); /* one that stays is skipped by the next open and removed then */
    mem_free(path);
    mem_free(old);
  }
}
