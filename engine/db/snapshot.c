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

static void version_free(struct version *v) {
  if (!v) return;
  for (size_t i = 0; i < v->count; i++) segment_unref(v->segment[i]);
  mem_free((void *)v->segment);
  mem_free(v);
}

/* Under lock: the version if this was its last reference; the caller frees it without the lock. */
static struct version *version_drop(struct version *v) { return v && --v->references == 0 ? v : NULL; }

void version_unref(struct db *db, struct version *v) {
  os_lock(&db->lock);
  v = version_drop(v);
  os_unlock(&db->lock);
  version_free(v);
}

static void see_memtable(struct db_snapshot *s, struct memtable *m) {
  uint32_t rows = m ? atomic_load(&m->visible) : 0;
  if (!rows) return;
  memtable_ref(m);
  s->memtable[s->view.memtable_count++] = (struct snapshot_rows){m, rows, m->visible_min, m->visible_max};
}

bool db_at_work(struct db *db) {
  os_lock(&db->lock);
  bool flushing = db->flushing > 0;
  os_unlock(&db->lock);
  return flushing || atomic_load(&db->rewriting.total) > 0;
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
  s->number = db->versions;
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

/* Under lock. Nearly every query ends without anything that a thread could wait for: to wake all of them
 * each time would take longer than a short query. */
static void give_memtables(struct db_snapshot *s) {
  bool freed = false;
  for (size_t i = 0; i < s->view.memtable_count; i++) freed |= memtable_unref(s->memtable[i].memtable);
  if (freed) os_wake(&s->db->changed);
  s->view.memtable_count = 0;
}

/* Under lock: does the snapshot alone keep a memtable, whose rows are in segments? */
static bool keeps_memtable(const struct db_snapshot *s) {
  for (size_t i = 0; i < s->view.memtable_count; i++) {
    const struct memtable *m = s->memtable[i].memtable;
    const struct sealed *q = s->db->sealed;
    while (q && q->memtable != m) q = q->next;
    if (!q && m != s->db->active) return true;
  }
  return false;
}

/* Under lock: the oldest that keeps one and has not been ended. */
static struct db_snapshot *oldest_keeper(struct db *db) {
  struct db_snapshot *oldest = NULL;
  for (struct db_snapshot *s = db->snapshots; s; s = s->next)
    if (keeps_memtable(s) && !db_snapshot_expired(s)) oldest = s;
  return oldest;
}

/* Under lock. True: nobody is at it, and what it holds may be taken from it. */
static bool expire(struct db_snapshot *s) {
  bool pinned = atomic_fetch_or(&s->use, SNAPSHOT_EXPIRED) & SNAPSHOT_PINNED;
  atomic_store(&s->stop, true);
  return !pinned;
}

bool snapshot_expire_oldest(struct db *db) {
  struct db_snapshot *oldest = oldest_keeper(db);
  if (!oldest || !expire(oldest)) return false;
  give_memtables(oldest);
  return true;
}

bool snapshots_give_memtable(struct db *db) {
  os_lock(&db->lock);
  const uint64_t before = budget_used(&db->memtable_budget);
  bool gave = false;
  for (int tries = 0; tries < GRACE_TRIES && !gave && oldest_keeper(db); tries++) {
    (void)os_wait_for(&db->changed, &db->lock, GRACE_TRY_US);
    gave = budget_used(&db->memtable_budget) < before;
  }
  while (!gave && snapshot_expire_oldest(db)) gave = budget_used(&db->memtable_budget) < before;
  os_unlock(&db->lock);
  return gave;
}

int db_snapshot_pin(struct db_snapshot *s, tally_error *error) {
  unsigned unused = 0;
  if (atomic_compare_exchange_strong(&s->use, &unused, SNAPSHOT_PINNED)) return 0;
  return fail(error, TALLY_SNAPSHOT_EXPIRED,
              "the query's snapshot held back memory or an erasure, and was given up: run the query again, "
              "read its rows faster, or raise --memory");
}

/* Under lock: all that it holds goes; gives the version to free. */
static struct version *give_all(struct db_snapshot *s) {
  struct version *v = version_drop(s->version);
  give_memtables(s);
  s->version = NULL;
  s->view.segments = NULL;
  s->view.segment_count = 0;
  if (s->number < s->db->versions) os_wake(&s->db->changed); /* snapshots_wait */
  return v;
}

void db_snapshot_unpin(struct db_snapshot *s) {
  if (!(atomic_fetch_and(&s->use, ~SNAPSHOT_PINNED) & SNAPSHOT_EXPIRED)) return;
  os_lock(&s->db->lock);
  struct version *v = give_all(s);
  os_unlock(&s->db->lock);
  version_free(v);
}

#define LOOK_US INT64_C(1000000)

void snapshots_wait(struct db *db) {
  int64_t end = db->os->monotonic(db->os) + (int64_t)db->options.query_timeout * 1000;
  os_lock(&db->lock);
  for (uint64_t current = db->versions;;) {
    struct db_snapshot *old = db->snapshots; /* the newest is first: skip what is not old, or gone already */
    while (old && (old->number >= current || !old->version)) old = old->next;
    if (!old) break;
    if (db->os->monotonic(db->os) >= end && expire(old)) {
      struct version *v = give_all(old);
      os_unlock(&db->lock);
      version_free(v);
      os_lock(&db->lock);
    } else {
      (void)os_wait_for(&db->changed, &db->lock, LOOK_US);
    }
  }
  os_unlock(&db->lock);
}

bool db_snapshot_expired(struct db_snapshot *s) { return atomic_load(&s->use) & SNAPSHOT_EXPIRED; }

const struct snapshot *db_snapshot_view(const struct db_snapshot *s) { return &s->view; }
_Atomic bool *db_snapshot_stop(struct db_snapshot *s) { return &s->stop; }

void db_snapshot_release(struct db_snapshot *s) {
  struct db *db = s->db;
  os_lock(&db->lock);
  struct version *v = give_all(s);
  if (s->previous)
    s->previous->next = s->next;
  else
    db->snapshots = s->next;
  if (s->next) s->next->previous = s->previous;
  os_unlock(&db->lock);
  version_free(v);
  mem_free(s);
}
