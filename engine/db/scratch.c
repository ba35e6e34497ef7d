/* scratch.c - the scratch memtables of flushes, which the steps of rewrites borrow, and waiting for memory.
 *
 * Everything that makes segments needs a scratch, and there may be one alone. So that waits do not run in
 * circles: who waits for a scratch holds nothing else of a flush or a step; a flush that is refused memory
 * gives its scratch back while it waits; and no query waits for who waits for memory. */
#include "db/inside.h"

/* Under lock. */
static uint32_t taken(const struct db *db) { return db->sorted_made - db->sorted_free; }

struct memtable *scratch_take(struct db *db) {
  os_lock(&db->lock);
  /* Where a query has taken memory that was not used, it is asked for again; else a scratch comes back in a
   * moment: there is always one. */
  struct memtable *sorted = NULL;
  db->scratch_waits++;
  while (!db->sorted_free && !sorted) {
    if (db->sorted_made < db->sealed_most)
      sorted = memtable_new(db->memtable_rows, db->memtable_metadata, &db->memtable_budget);
    if (sorted)
      db->sorted_made++;
    else
      os_wait(&db->changed, &db->lock);
  }
  db->scratch_waits--;
  if (!sorted) sorted = db->sorted[--db->sorted_free];
  os_unlock(&db->lock);
  return sorted;
}

/* Under lock: does a flush want a scratch, or will one in a moment? One that has failed tries again later;
 * without flushers nobody comes. */
static bool wanted(const struct db *db) {
  return db->scratch_waits || (db->flushers && !db->flush_failed && flush_waits(db));
}

struct memtable *scratch_borrow(struct db *db) {
  struct memtable *m = NULL;
  os_lock(&db->lock);
  while (!atomic_load(&db->stop_maintenance) && (!db->sorted_free || wanted(db)))
    (void)os_wait_for(&db->changed, &db->lock, 100000);
  if (!atomic_load(&db->stop_maintenance)) m = db->sorted[--db->sorted_free];
  os_unlock(&db->lock);
  return m;
}

void scratch_give(struct db *db, struct memtable *sorted) {
  os_lock(&db->lock);
  db->sorted[db->sorted_free++] = sorted;
  os_wake(&db->changed);
  os_unlock(&db->lock);
}

#define MEMORY_TRY_US 100000 /* a try sorts all rows anew */
#define MEMORY_TRIES (10 * GRACE_TRIES * GRACE_TRY_US / MEMORY_TRY_US)

/* Under lock: flushes that wait for nothing: they write, or publish what they wrote. */
static uint32_t flushes_at_work(const struct db *db) {
  return db->flushing - db->starving[FLUSH_WAITS] - db->scratch_waits;
}

/* Under lock: has anybody memory that he will give back? A rewrite has some between its steps, too. */
static bool others_have(struct db *db, enum who_waits who) {
  if (db->snapshots || taken(db) > (who == WRITE_WAITS)) return true;
  return flushes_at_work(db) > (who == FLUSH_WAITS) ||
         (who == FLUSH_WAITS && atomic_load(&db->rewriting.total));
}

bool scratch_wait(struct db *db, enum who_waits who, int *tries) {
  bool stopped = who != FLUSH_WAITS && atomic_load(&db->stop_maintenance);
  os_lock(&db->lock);
  bool wait = !stopped && db->flushers && others_have(db, who) && ++*tries <= MEMORY_TRIES;
  if (wait) db->starving[who]++;
  os_unlock(&db->lock);
  if (!wait) return false;
  os_sleep(MEMORY_TRY_US);
  os_lock(&db->lock);
  db->starving[who]--;
  os_unlock(&db->lock);
  return true;
}

bool scratch_memory_comes(struct db *db, bool firm) {
  if (!db->flushers || db->flush_failed) return false;
  bool flush = db->flushing > db->starving[FLUSH_WAITS] || (flush_waits(db) && !db->starving[FLUSH_WAITS]);
  if (taken(db) > db->starving[WRITE_WAITS]) return flush || db->sorted_made > 1 || !firm;
  return flush && db->sorted_free;
}
