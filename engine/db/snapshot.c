/* snapshot.c - what queries see: versions, and memtables up to their visible rows. */
#include "base/mem.h"
#include "base/status.h"
#include "db/inside.h"

struct version *version_new(size_t count) {
  struct version *v = mem_zalloc(1, sizeof *v);
  if (v && count) v->segment = mem_zalloc(count, sizeof(struct segment *));
  if (v && count && !v->segment) {
    mem_free(v);
    return NULL;
  }
  if (v) v->references = 1;
  return v;
}

void version_unref(struct db *db, struct version *v) {
  if (!v) return;
  os_lock(&db->lock);
  bool last = --v->references == 0;
  os_unlock(&db->lock);
  if (!last) return;
  for (size_t i = 0; i < v->count; i++) segment_unref(v->segment[i]);
  mem_free((void *)v->segment);
  mem_free(v);
}

static void see_memtable(struct db_snapshot *s, struct memtable *m) {
  uint32_t rows = m ? atomic_load(&m->visible) : 0;
  if (!rows) return;
  memtable_ref(m);
  s->memtable[s->view.memtable_count++] = (struct snapshot_rows){m, rows, m->visible_min, m->visible_max};
}

int db_snapshot_take(struct db *db, struct db_snapshot **snapshot, tally_error *error) {
  struct db_snapshot *s = mem_zalloc(1, sizeof *s);
  if (!s) return fail_memory(error, "a snapshot");
  s->db = db;
  atomic_init(&s->stop, false);
  s->view.catalog = db->catalog;
  s->view.memtables = s->memtable;
  os_lock(&db->lock);
  s->version = db->version;
  s->version->references++;
  s->view.segments = s->version->segment;
  s->view.segment_count = s->version->count;
  for (struct sealed *m = db->sealed; m; m = m->next) see_memtable(s, m->memtable);
  see_memtable(s, db->active);
  for (int d = 0; d < DOMAINS; d++) s->view.ids[d] = catalog_count(db->catalog, d);
  s->next = db->snapshots;
  if (s->next) s->next->previous = s;
  db->snapshots = s;
  os_unlock(&db->lock);
  *snapshot = s;
  return 0;
}

/* Under lock. */
static void give_memtables(struct db_snapshot *s) {
  for (size_t i = 0; i < s->view.memtable_count; i++) memtable_unref(s->memtable[i].memtable);
  if (s->view.memtable_count) os_wake(&s->db->changed);
  s->view.memtable_count = 0;
}

bool snapshot_expire_oldest(struct db *db) {
  struct db_snapshot *oldest = NULL;
  for (struct db_snapshot *s = db->snapshots; s; s = s->next)
    if (s->view.memtable_count && !s->expired) oldest = s;
  if (!oldest) return false;
  oldest->expired = true;
  atomic_store(&oldest->stop, true);
  if (oldest->pinned) return false; /* its thread gives them back when it unpins */
  give_memtables(oldest);
  return true;
}

int db_snapshot_pin(struct db_snapshot *s, tally_error *error) {
  os_lock(&s->db->lock);
  bool expired = s->expired;
  if (!expired) s->pinned = true;
  os_unlock(&s->db->lock);
  return expired ? fail(error, TALLY_SNAPSHOT_EXPIRED,
                        "the query's snapshot held memory that ingest needs, and was given up: run the query "
                        "again, read its rows faster, "
                        "or raise --memory")
                 : 0;
}

void db_snapshot_unpin(struct db_snapshot *s) {
  os_lock(&s->db->lock);
  s->pinned = false;
  if (s->expired) give_memtables(s);
  os_unlock(&s->db->lock);
}

bool db_snapshot_expired(struct db_snapshot *s) {
  os_lock(&s->db->lock);
  bool expired = s->expired;
  os_unlock(&s->db->lock);
  return expired;
}

const struct snapshot *db_snapshot_view(const struct db_snapshot *s) { return &s->view; }
_Atomic bool *db_snapshot_stop(struct db_snapshot *s) { return &s->stop; }

void db_snapshot_release(struct db_snapshot *s) {
  struct db *db = s->db;
  os_lock(&db->lock);
  give_memtables(s);
  if (s->previous)
    s->previous->next = s->next;
  else
    db->snapshots = s->next;
  if (s->next) s->next->previous = s->previous;
  os_unlock(&db->lock);
  version_unref(db, s->version);
  mem_free(s);
}
