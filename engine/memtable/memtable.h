/* memtable.h - rows in memory: column arrays that only grow, then are sealed and never change.
 *
 * The writer fills rows beyond `visible` and then publishes them with memtable_publish; readers look
 * only at rows below the visible count they took with their snapshot. Arrays never move: their capacity is
 * fixed when they are made. Reference-counted; recycled through the pool so that pages are faulted in once.
 */
#ifndef MEMTABLE_MEMTABLE_H
#define MEMTABLE_MEMTABLE_H

#include <stdatomic.h>

#include "base/budget.h"
#include "model/batch.h"
#include "model/rows.h"

struct memtable {
  struct rows rows; /* rows.count: rows filled (the writer's) */
  uint32_t capacity;
  size_t metadata_capacity;
  _Atomic uint32_t visible;               /* rows that readers may look at */
  int64_t min_timestamp, max_timestamp;   /* over the filled rows; writer's until sealed */
  int64_t visible_min, visible_max;       /* of the visible rows; read and written under the owner's lock */
  uint64_t first_sequence, last_sequence; /* WAL records whose rows are here; 0: none */
  int64_t born;                           /* monotonic time of its first row */
  _Atomic uint32_t references;
  struct budget *budget;
  struct memtable *next; /* the owner's list */
};

/* An empty memtable for `capacity` rows and `metadata` bytes, with one reference; its bytes are taken
 * from the budget. NULL without memory or budget. */
struct memtable *memtable_new(uint32_t capacity, size_t metadata, struct budget *budget);
void memtable_ref(struct memtable *m);
/* True: that was the last one, and its bytes are the budget's again. */
bool memtable_unref(struct memtable *m);
uint64_t memtable_bytes(uint32_t capacity, size_t metadata);
void memtable_reset(struct memtable *m); /* empties it; the caller has the only reference */

/* Do this batch's rows fit? */
bool memtable_fits(const struct memtable *m, const struct batch *batch);
/* Adds a checked batch that fits. ids[d][e] is the catalog id of entry e of the batch's dictionary of domain
 * d. */
void memtable_append(struct memtable *m, const struct batch *batch, const uint32_t *const ids[DOMAINS]);
/* Makes every filled row visible. Under the owner's lock. */
void memtable_publish(struct memtable *m);
/* Takes filled rows that are not visible back: `count` rows are left. */
void memtable_cut(struct memtable *m, uint32_t count);

#endif
