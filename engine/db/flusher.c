/* flusher.c - sealed memtables become segments: written, synced, published by one manifest edit; then their
 * WAL is dropped. */
#include "base/mem.h"
#include "base/status.h"
#include "db/inside.h"
#include "maintain/flush.h"

/* A new version: the current one and `added`. The caller has `flushing`, so nobody else makes one. */
static struct version *extend(struct db *db, struct segment **added, uint32_t count) {
  struct version *old = db->version, *v = version_new(old->count + count);
  if (!v) return NULL;
  for (size_t i = 0; i < old->count; i++) segment_ref(v->segment[v->count++] = old->segment[i]);
  for (uint32_t i = 0; i < count; i++) v->segment[v->count++] = added[i];
  return v;
}

static int commit_edit(struct db *db, const struct sealed *sealed, const struct segment_info *info,
                       uint32_t count, tally_error *error) {
  struct edit edit = {.added = info,
                      .added_count = count,
                      .marks = sealed->marks.data,
                      .marks_size = (uint32_t)sealed->marks.size};
  uint32_t texts[DOMAINS];
  int result = catalog_persist(db->catalog, texts, error);
  if (result) return result;
  os_lock(&db->manifest_lock);
  edit.state = db->manifest->state;
  memcpy(edit.state.texts, texts, sizeof texts);
  edit.state.covered = sealed->memtable->last_sequence;
  edit.state.next_segment += count;
  os_lock(&db->lock);
  if (db->wal_durable > edit.state.durable) edit.state.durable = db->wal_durable;
  edit.state.next_wal = db->wal_number + 1;
  os_unlock(&db->lock);
  if (edit.state.covered > edit.state.durable) edit.state.durable = edit.state.covered;
  result = manifest_commit(db->manifest, &edit, error);
  os_unlock(&db->manifest_lock);
  return result;
}

/* Swaps the memtable for its segments, in one step for every later snapshot. */
static void install(struct db *db, struct sealed *sealed, struct version *version) {
  os_lock(&db->lock);
  struct version *old = db->version;
  db->version = version;
  db->sealed = sealed->next;
  if (!db->sealed) db->sealed_end = &db->sealed;
  db->sealed_count--;
  db->flushes++;
  db->flush_failed = 0;
  struct memtable *m = sealed->memtable;
  if (!db->spare && atomic_load(&m->references) == 1)
    db->spare = m;
  else
    memtable_unref(m);
  os_wake(&db->changed);
  os_unlock(&db->lock);
  version_unref(db, old);
  buffer_free(&sealed->marks);
  mem_free(sealed);
}

static int open_segments(struct db *db, const struct segment_info *info, uint32_t count,
                         struct segment **segment, tally_error *error) {
  for (uint32_t i = 0; i < count; i++) {
    int result = segment_open(db->os, db->path, &info[i], db->cache, &db->catalog_budget, &segment[i], error);
    if (!result) continue;
    while (i-- > 0) segment_unref(segment[i]);
    return result;
  }
  return 0;
}

static int flush_one(struct db *db, struct sealed *sealed, tally_error *error) {
  struct segment_info *info = NULL;
  uint32_t count = 0;
  bool uncertain = false; /* the edit may or may not be on the disk: its files stay */
  int result = flush_memtable(db->os, db->path, sealed->memtable, db->sorted,
                              db->manifest->state.next_segment, &db->work_budget, &info, &count, error);
  if (result) return result;
  struct segment **segment = mem_zalloc(count, sizeof(struct segment *));
  struct version *version = NULL;
  if (!segment)
    result = fail_memory(error, "a flush");
  else
    result = open_segments(db, info, count, segment, error);
  if (!result && !(version = extend(db, segment, count))) {
    for (uint32_t i = 0; i < count; i++) segment_unref(segment[i]);
    result = fail_memory(error, "a flush");
  }
  if (!result && (result = commit_edit(db, sealed, info, count, error)) != 0) {
    version_unref(db, version);
    uncertain = result == TALLY_IO;
    if (uncertain) db_stop_writes(db, error);
  }
  if (!result)
    install(db, sealed, version);
  else if (!uncertain)
    for (uint32_t i = 0; i < count; i++) segment_remove(db->os, db->path, &info[i]);
  mem_free((void *)segment);
  mem_free(info);
  return result;
}

int flush_next(struct db *db, bool *worked, tally_error *error) {
  *worked = false;
  os_lock(&db->flushing);
  os_lock(&db->lock);
  struct sealed *sealed = db->sealed;
  os_unlock(&db->lock);
  int result = sealed ? db_writable(db, error) : 0;
  if (sealed && !result) {
    uint64_t covered = sealed->memtable->last_sequence;
    result = flush_one(db, sealed, error);
    os_lock(&db->lock);
    db->flush_failed = result;
    if (result) db->flush_error = *error;
    os_wake(&db->changed);
    os_unlock(&db->lock);
    if (!result) {
      *worked = true;
      wal_files_drop(db, covered);
    }
  }
  os_unlock(&db->flushing);
  return result;
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
  writer_enter(db);
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

void *flusher_run(void *arg) {
  struct db *db = arg;
  tally_error error;
  for (;;) {
    os_lock(&db->lock);
    if (!db->closing && (!db->sealed || db->flush_failed))
      (void)os_wait_for(&db->changed, &db->lock, 1000000);
    bool closing = db->closing, old = writer_due(db), sealed = db->sealed != NULL;
    os_unlock(&db->lock);
    if (closing) return NULL;
    if (old && !sealed) {
      writer_enter(db);
      (void)writer_seal(db, &error);
      writer_leave(db);
    }
    bool worked;
    (void)flush_next(db, &worked, &error); /* a failure is kept in flush_error and tried again in a second */
    if (worked) checkpoint(db);
  }
}
