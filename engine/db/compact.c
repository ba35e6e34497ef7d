/* compact.c - merging segments: one merge at a time, in steps between which flushes get their scratch memory;
 * see maintain/compact_choose.h for the policy. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/status.h"
#include "db/inside.h"
#include "maintain/compact_choose.h"
#include "maintain/order.h"
#include "maintain/rewrite.h"

/* ------------------------------------------------------------------ what there is */

struct version *version_take(struct db *db) {
  os_lock(&db->lock);
  struct version *v = db->version;
  v->references++;
  os_unlock(&db->lock);
  return v;
}

static int by_time(const void *a, const void *b) {
  const struct segment_info *x = &(*(const struct segment *const *)a)->info,
                            *y = &(*(const struct segment *const *)b)->info;
  if (x->month != y->month) return x->month < y->month ? -1 : 1;
  if (x->min_timestamp != y->min_timestamp) return x->min_timestamp < y->min_timestamp ? -1 : 1;
  return x->id < y->id ? -1 : x->id > y->id;
}

/* A month that is over, and in which nothing was written for as long as rows may wait in memory. */
static bool quiet(struct db *db, int32_t month) {
  if (db->os->now(db->os) < month_start(month + 1) + DAY_US) return false;
  int64_t now = db->os->monotonic(db->os), since = db->opened;
  os_lock(&db->lock);
  for (size_t i = 0; i < db->month_count; i++)
    if (db->month[i].month == month) since = db->month[i].flushed;
  os_unlock(&db->lock);
  return now - since >= db->options.flush_age;
}

void month_flushed(struct db *db, int32_t month) {
  size_t i = 0;
  while (i < db->month_count && db->month[i].month != month) i++;
  if (i == db->month_count) {
    struct month_age *grown = mem_realloc_array(db->month, db->month_count + 1, sizeof *grown);
    if (!grown) return; /* the month settles early: harmless */
    db->month = grown;
    db->month[db->month_count++].month = month;
  }
  db->month[i].flushed = db->os->monotonic(db->os);
}

/* The scratch of a merge has less room for metadata than a memtable: it is there on top of them. */
static size_t scratch_metadata(const struct db *db) {
  size_t least = 3 * METADATA_BYTES, half = db->memtable_metadata / 2;
  return half > least ? half : least;
}

static struct candidate candidate_of(const struct db *db, const struct segment *s) {
  uint64_t bytes = segment_metadata_total(s), as_rows = bytes * db->memtable_rows / scratch_metadata(db);
  return (struct candidate){s->info.min_timestamp, s->info.max_timestamp,
                            as_rows > s->info.rows ? as_rows : s->info.rows};
}

/* The inputs of the next merge, borrowed from the version: their number, 0 if there is nothing to do. */
static size_t choose(struct db *db, struct segment **sorted, size_t count, bool settle,
                     struct segment **input) {
  struct candidate *candidate = mem_alloc((count + 1) * sizeof *candidate);
  size_t inputs = 0;
  for (size_t first = 0, end; candidate && first < count && !inputs; first = end) {
    int32_t month = sorted[first]->info.month;
    for (end = first; end < count && sorted[end]->info.month == month; end++)
      candidate[end - first] = candidate_of(db, sorted[end]);
    struct compaction c =
        compact_choose(candidate, (uint32_t)(end - first), db->memtable_rows, settle || quiet(db, month));
    for (; inputs < c.count; inputs++) input[inputs] = sorted[first + c.input[inputs]];
  }
  mem_free(candidate);
  return inputs;
}

/* ------------------------------------------------------------------ one merge */

/* Scratch of a flush, when no flush wants it. NULL when the store closes. */
static struct memtable *borrow_sorted(struct db *db) {
  struct memtable *m = NULL;
  os_lock(&db->lock);
  while (!atomic_load(&db->stop_maintenance) && (!db->sorted_free || flush_waits(db)))
    (void)os_wait_for(&db->changed, &db->lock, 100000);
  if (!atomic_load(&db->stop_maintenance)) m = db->sorted[--db->sorted_free];
  os_unlock(&db->lock);
  return m;
}

static void give_sorted(struct db *db, struct memtable *m) {
  os_lock(&db->lock);
  db->sorted[db->sorted_free++] = m;
  os_wake(&db->changed);
  os_unlock(&db->lock);
}

static int rewrite_all(struct db *db, struct rewrite *r, tally_error *error) {
  int result;
  while ((result = rewrite_read(r, error)) == TALLY_ROW) {
    struct memtable *sorted = borrow_sorted(db);
    if (!sorted) return fail(error, TALLY_CANCELLED, "the store is closing");
    result = rewrite_write(r, sorted, error);
    give_sorted(db, sorted);
    if (result) return result;
  }
  return result;
}

static uint64_t bytes_of(const struct segment_info *info, size_t count) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < count; i++) bytes += info[i].size;
  return bytes;
}

/* The inputs give way to what was made of them. */
static int replace(struct db *db, struct segment *const *input, size_t inputs, struct rewrite *r,
                   tally_error *error) {
  struct rewrite_result made = rewrite_result(r);
  uint64_t *removed = mem_alloc(inputs * sizeof *removed);
  if (!removed) return fail_memory(error, "replacing segments");
  for (size_t i = 0; i < inputs; i++) removed[i] = input[i]->info.id;
  struct change change = {.added = made.segment,
                          .added_count = made.segments,
                          .removed = removed,
                          .removed_count = (uint32_t)inputs};
  os_lock(&db->publishing);
  int result = publish_version(db, &change, error);
  os_unlock(&db->publishing);
  mem_free(removed);
  if (result) return result;
  for (size_t i = 0; i < inputs; i++) segment_remove(db->os, db->path, &input[i]->info);
  os_lock(&db->lock);
  db->merges++;
  db->rewritten_bytes += bytes_of(made.segment, made.segments);
  os_unlock(&db->lock);
  return 0;
}

static int copy_segments(const struct rewrite_result *made, struct segment_info **after, tally_error *error) {
  *after = mem_alloc((made->segments + 1) * sizeof **after);
  if (!*after) return fail_memory(error, "a list of segments");
  if (made->segments) memcpy(*after, made->segment, made->segments * sizeof **after);
  return 0;
}

int rewrite_segments(struct db *db, struct segment **input, size_t inputs, const struct row_rule *rules,
                     size_t rule_count, struct rewrite_report *report, struct segment_info **after,
                     tally_error *error) {
  struct snapshot snapshot = {.catalog = db->catalog, .segments = input, .segment_count = inputs};
  for (int d = 0; d < DOMAINS; d++) snapshot.ids[d] = catalog_count(db->catalog, d);
  struct memtable *rows = memtable_new(db->memtable_rows, scratch_metadata(db), &db->work_budget);
  if (!rows)
    return fail(error, TALLY_MEMORY_LIMIT,
                "no room in the memory budget to rewrite segments: raise --memory");
  struct rewrite_request request = {.os = db->os,
                                    .store = db->path,
                                    .input = &snapshot,
                                    .month = input[0]->info.month,
                                    .rules = rules,
                                    .rule_count = rule_count,
                                    .rows = rows,
                                    .cache = db->cache,
                                    .budget = &db->work_budget,
                                    .next_id = &db->next_segment,
                                    .stop = &db->stop_maintenance};
  struct rewrite *r;
  int result = rewrite_new(&request, &r, error);
  if (!result) {
    result = rewrite_all(db, r, error);
    bool written = result == 0;
    if (written) result = replace(db, input, inputs, r, error);
    struct rewrite_result made = rewrite_result(r);
    *report = (struct rewrite_report){.month = input[0]->info.month,
                                      .inputs = inputs,
                                      .outputs = made.segments,
                                      .rows = made.kept,
                                      .dropped = made.dropped,
                                      .changed = made.changed,
                                      .bytes_after = bytes_of(made.segment, made.segments)};
    for (size_t i = 0; i < inputs; i++) report->bytes_before += input[i]->info.size;
    if (after && !result) result = copy_segments(&made, after, error);
    rewrite_free(r, written); /* publish_version removes what it could not publish */
  }
  memtable_unref(rows);
  return result;
}

int compact_next(struct db *db, bool settle, bool *worked, struct rewrite_report *report,
                 tally_error *error) {
  *worked = false;
  struct segment *input[COMPACT_MOST];
  os_lock(&db->maintaining);
  struct version *v = version_take(db);
  struct segment **sorted = mem_alloc((v->count + 1) * sizeof(struct segment *));
  int result = sorted ? db_writable(db, error) : fail_memory(error, "compaction");
  if (!result) {
    size_t count = 0;
    /* Damaged ones wait for their file to be put back. */
    for (size_t i = 0; i < v->count; i++)
      if (!segment_quarantined(v->segment[i]) && !v->segment[i]->info.thinned)
        sorted[count++] = v->segment[i];
    qsort((void *)sorted, count, sizeof *sorted, by_time);
    size_t inputs = choose(db, sorted, count, settle, input);
    if (inputs) {
      result = rewrite_segments(db, input, inputs, NULL, 0, report, NULL, error);
      *worked = result == 0;
    }
  }
  mem_free((void *)sorted);
  version_unref(db, v);
  os_unlock(&db->maintaining);
  return result;
}

int db_compact(struct db *db, int (*merged)(void *arg, const struct rewrite_report *report), void *arg,
               tally_error *error) {
  bool worked = true;
  int result = 0;
  while (!result && worked) {
    struct rewrite_report report;
    result = compact_next(db, true, &worked, &report, error);
    if (!result && worked && merged(arg, &report)) result = fail_memory(error, "a report");
  }
  return result;
}

/* ------------------------------------------------------------------ in the background */

#define RETRY_US INT64_C(60000000)
#define LOOK_US INT64_C(1000000)

/* Looks when the version has changed, and each minute for months that have become quiet. */
void *maintainer_run(void *arg) {
  struct db *db = arg;
  uint64_t seen = UINT64_MAX;
  int64_t next_look = 0;
  os_thread_yield_to_others();
  for (;;) {
    os_lock(&db->lock);
    if (!db->closing && db->versions == seen) (void)os_wait_for(&db->changed, &db->lock, LOOK_US);
    bool closing = db->closing, changed = db->versions != seen && !db->maintenance_failed;
    seen = db->versions;
    os_unlock(&db->lock);
    if (closing) return NULL;
    int64_t now = db->os->monotonic(db->os);
    if (now < next_look && !changed) continue;
    bool worked;
    struct rewrite_report report;
    tally_error error;
    int result = compact_next(db, false, &worked, &report, &error);
    os_lock(&db->lock);
    db->maintenance_failed = result == TALLY_CANCELLED ? 0 : result;
    if (db->maintenance_failed) db->maintenance_error = error;
    os_unlock(&db->lock);
    next_look = now + RETRY_US;
  }
}
