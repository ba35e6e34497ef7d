/* publish.c - the one place where a new version comes to be: files that are written and synced enter the
 * manifest by one edit, and then every later snapshot sees them, and what they replace no more, in one step.
 */
#include "base/mem.h"
#include "base/status.h"
#include "db/inside.h"

static bool is_removed(const struct change *change, const struct segment *s) {
  for (uint32_t i = 0; i < change->removed_count; i++)
    if (change->removed[i] == s->info.id) return true;
  return false;
}

/* The version that the newest rows of what is added came with. */
static uint64_t arrival(const struct db *db, const struct change *change) {
  uint64_t newest = change->sealed ? db->versions + 1 : 0;
  for (size_t i = 0; i < db->version->count; i++) {
    const struct segment *s = db->version->segment[i];
    if (s->arrived > newest && is_removed(change, s)) newest = s->arrived;
  }
  return newest;
}

/* The version after the change: the current one's segments that stay, and `added`, whose references it takes
 * over. The caller has `publishing`, so nobody else makes one. */
static struct version *follow(struct db *db, const struct change *change, struct segment **added) {
  struct version *old = db->version, *v = version_new(old->count + change->added_count);
  if (!v) return NULL;
  for (size_t i = 0; i < old->count; i++)
    if (!is_removed(change, old->segment[i])) segment_ref(v->segment[v->count++] = old->segment[i]);
  uint64_t arrived = arrival(db, change);
  for (uint32_t i = 0; i < change->added_count; i++) {
    added[i]->arrived = arrived;
    v->segment[v->count++] = added[i];
  }
  return v;
}

static int commit_edit(struct db *db, const struct change *change, tally_error *error) {
  const struct sealed *sealed = change->sealed;
  struct edit edit = {.added = change->added,
                      .added_count = change->added_count,
                      .removed = change->removed,
                      .removed_count = change->removed_count,
                      .marks = sealed ? sealed->marks.data : NULL,
                      .marks_size = sealed ? (uint32_t)sealed->marks.size : 0};
  uint32_t texts[DOMAINS];
  int result = catalog_persist(db->catalog, texts, error);
  if (result) return result;
  os_lock(&db->manifest_lock);
  edit.state = db->manifest->state;
  memcpy(edit.state.texts, texts, sizeof texts);
  if (sealed) edit.state.covered = sealed->memtable->last_sequence;
  edit.state.next_segment = atomic_load(&db->next_segment);
  os_lock(&db->lock);
  if (db->wal_durable > edit.state.durable) edit.state.durable = db->wal_durable;
  edit.state.next_wal = db->wal_number + 1;
  os_unlock(&db->lock);
  if (edit.state.covered > edit.state.durable) edit.state.durable = edit.state.covered;
  result = manifest_commit(db->manifest, &edit, error);
  os_unlock(&db->manifest_lock);
  return result;
}

int publish_texts(struct db *db, tally_error *error) {
  int result = commit_edit(db, &(struct change){0}, error);
  if (result == TALLY_IO) db_stop_writes(db, error);
  return result;
}

static void install(struct db *db, const struct change *change, struct version *version) {
  struct sealed *sealed = change->sealed;
  os_lock(&db->lock);
  struct version *old = db->version;
  db->version = version;
  db->versions++;
  if (sealed) {
    db->sealed = sealed->next;
    if (!db->sealed) db->sealed_end = &db->sealed;
    db->sealed_count--;
    for (uint32_t i = 0; i < change->added_count; i++) {
      month_flushed(db, change->added[i].month);
      db->flushed_bytes += change->added[i].size;
    }
  }
  os_wake(&db->changed);
  os_unlock(&db->lock);
  version_unref(db, old);
}

static int open_segments(struct db *db, const struct change *change, struct segment **segment,
                         tally_error *error) {
  for (uint32_t i = 0; i < change->added_count; i++) {
    int result = segment_open(db->os, db->path, &change->added[i], db->cache, &db->directory_budget,
                              &segment[i], error);
    if (!result) continue;
    while (i-- > 0) segment_unref(segment[i]);
    return result;
  }
  return 0;
}

int publish_version(struct db *db, const struct change *change, tally_error *error) {
  bool uncertain = false; /* the edit may or may not be on the disk: its files stay */
  struct version *version = NULL;
  struct segment **segment = mem_zalloc(change->added_count + 1u, sizeof(struct segment *));
  int result = segment ? open_segments(db, change, segment, error) : fail_memory(error, "a flush");
  if (!result && !(version = follow(db, change, segment))) {
    for (uint32_t i = 0; i < change->added_count; i++) segment_unref(segment[i]);
    result = fail_memory(error, "a flush");
  }
  if (!result && (result = commit_edit(db, change, error)) != 0) {
    version_unref(db, version);
    uncertain = result == TALLY_IO;
    if (uncertain) db_stop_writes(db, error);
  }
  if (!result)
    install(db, change, version);
  else if (!uncertain)
    for (uint32_t i = 0; i < change->added_count; i++) segment_remove(db->os, db->path, &change->added[i]);
  mem_free((void *)segment);
  return result;
}

int publish_whole(struct db *db, const struct segment *quarantined, struct segment *whole,
                  tally_error *error) {
  os_lock(&db->publishing);
  const struct version *old = db->version;
  struct version *v = version_new(old->count);
  bool there = false;
  for (size_t i = 0; v && i < old->count; i++) {
    bool replaced = old->segment[i] == quarantined;
    there = there || replaced;
    if (replaced) whole->arrived = old->segment[i]->arrived;
    segment_ref(v->segment[v->count++] = replaced ? whole : old->segment[i]);
  }
  if (there)
    install(db, &(struct change){0}, v);
  else
    version_unref(db, v);
  os_unlock(&db->publishing);
  segment_unref(whole);
  return v ? 0 : fail_memory(error, "a version");
}
