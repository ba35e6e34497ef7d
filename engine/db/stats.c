/* stats.c - figures about a store; see db.h. */
#include <inttypes.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/status.h"
#include "db/inside.h"
#include "segment/cache.h"

struct figures {
  int (*figure)(void *arg, const char *name, const char *value);
  void *arg;
  int result;
};

static void put(struct figures *f, const char *name, uint64_t value) {
  char text[24];
  (void)snprintf(text, sizeof text, "%" PRIu64, value);
  if (!f->result) f->result = f->figure(f->arg, name, text);
}

static void put_text(struct figures *f, const char *name, const char *value) {
  if (!f->result) f->result = f->figure(f->arg, name, value);
}

static void put_meter(struct figures *f, const char *total, const char *done, struct meter *meter) {
  put(f, total, atomic_load(&meter->total));
  put(f, done, atomic_load(&meter->done));
}

/* What is copied out under the lock. */
struct counts {
  uint64_t segments, segment_rows, segment_bytes, memory_rows, sealed, wal_bytes, wal_number, batches, rows,
      flushes, snapshots, merges, batch_bytes, flushed_bytes, rewritten_bytes, quarantined, quarantined_rows;
  int read_only;
};

static struct counts count(struct db *db) {
  struct counts c = {0};
  os_lock(&db->lock);
  c.segments = db->version->count;
  for (size_t i = 0; i < db->version->count; i++) {
    c.segment_rows += db->version->segment[i]->info.rows;
    c.segment_bytes += db->version->segment[i]->info.size;
    if (!segment_quarantined(db->version->segment[i])) continue;
    c.quarantined++;
    c.quarantined_rows += db->version->segment[i]->info.rows;
  }
  for (const struct sealed *s = db->sealed; s; s = s->next)
    c.memory_rows += atomic_load(&s->memtable->visible);
  if (db->active) c.memory_rows += atomic_load(&db->active->visible);
  for (const struct db_snapshot *s = db->snapshots; s; s = s->next) c.snapshots++;
  c.sealed = db->sealed_count;
  c.wal_bytes = db->wal_size;
  c.wal_number = db->wal_number;
  c.batches = db->batches;
  c.rows = db->rows_appended;
  c.flushes = db->flushes;
  c.merges = db->merges;
  c.batch_bytes = db->batch_bytes;
  c.flushed_bytes = db->flushed_bytes;
  c.rewritten_bytes = db->rewritten_bytes;
  c.read_only = db->read_only;
  os_unlock(&db->lock);
  return c;
}

int db_stats(struct db *db, int (*figure)(void *arg, const char *name, const char *value), void *arg,
             tally_error *error) {
  (void)error;
  struct figures f = {figure, arg, 0};
  struct counts c = count(db);
  struct cache_stats cache = cache_stats(db->cache);
  uint64_t producers = producers_count(db->producers); /* not as the writer, who may wait for the disk */
  put_text(&f, "version", tally_version());
  put_text(&f, "state", c.read_only ? "read-only" : "open");
  if (c.read_only) put_text(&f, "read_only_because", db->read_only_text);
  if (*db->recovery) put_text(&f, "recovery", db->recovery);
  put(&f, "rows", c.segment_rows + c.memory_rows);
  put(&f, "rows_in_segments", c.segment_rows);
  put(&f, "rows_in_memory", c.memory_rows);
  put(&f, "segments", c.segments);
  put(&f, "segment_bytes", c.segment_bytes);
  put(&f, "segments_quarantined", c.quarantined);
  put(&f, "rows_quarantined", c.quarantined_rows);
  put(&f, "wal_bytes", c.wal_bytes);
  put(&f, "catalog_bytes", catalog_file_size(db->catalog));
  put(&f, "producers", producers);
  put(&f, "users", catalog_count(db->catalog, column_domain(TALLY_COL_USER_ID)));
  put(&f, "services", catalog_count(db->catalog, column_domain(TALLY_COL_SERVICE_NAME)));
  put(&f, "endpoints", catalog_count(db->catalog, column_domain(TALLY_COL_ENDPOINT)));
  put(&f, "methods", catalog_count(db->catalog, column_domain(TALLY_COL_METHOD)));
  put(&f, "batches_appended", c.batches);
  put(&f, "rows_appended", c.rows);
  put(&f, "flushes", c.flushes);
  put(&f, "merges", c.merges);
  put(&f, "batch_bytes_appended", c.batch_bytes);
  put(&f, "segment_bytes_flushed", c.flushed_bytes);
  put(&f, "segment_bytes_rewritten", c.rewritten_bytes);
  put_meter(&f, "rewriting_rows", "rewriting_rows_done", &db->rewriting);
  put_meter(&f, "checking_bytes", "checking_bytes_done", &db->checking);
  put(&f, "memory_limit", db->options.memory);
  put(&f, "memory_used", budget_used(&db->total));
  put(&f, "memory_memtables", budget_used(&db->memtable_budget));
  put(&f, "memory_catalog", budget_used(&db->text_budget) + budget_used(&db->directory_budget));
  put(&f, "memory_cache", budget_used(&db->cache_budget));
  put(&f, "memory_queries", budget_used(&db->query_budget));
  put(&f, "cache_hits", cache.hits);
  put(&f, "cache_misses", cache.misses);
  put(&f, "snapshots", c.snapshots);
  return f.result;
}
