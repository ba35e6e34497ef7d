/* exchange.c - new segments take the place of old ones: written in steps between which flushes get their
 * scratch memory, then published by one edit; then the old files go. */
#include "base/mem.h"
#include "base/status.h"
#include "db/inside.h"
#include "maintain/flush.h"

/* The scratch of a rewrite has less room for metadata than a memtable: it is there on top of them. */
size_t scratch_metadata(const struct db *db) {
  size_t least = 3 * METADATA_BYTES, half = db->memtable_metadata / 2;
  return half > least ? half : least;
}

/* What a step of a rewrite works in: the scratch of a flush, room for rows, and for their order until they
 * are sorted. Who waits for a scratch holds nothing of this, and who has one and waits for memory has only
 * the scratch: so a flush and a merge never wait for each other. Rows and order take no more than what a
 * flush needs to write a segment, or the step for that when they are given back. */
struct step {
  struct memtable *sorted, *rows;
  void *order;
};

/* Under lock: will a thread of the store flush in a moment? One that has failed tries again later; without
 * flushers nobody comes. */
static bool flush_comes(const struct db *db) { return db->flushers && !db->flush_failed && flush_waits(db); }

/* Scratch of a flush, when no flush wants it. NULL when the store closes. */
static struct memtable *borrow_sorted(struct db *db) {
  struct memtable *m = NULL;
  os_lock(&db->lock);
  while (!atomic_load(&db->stop_maintenance) && (!db->sorted_free || flush_comes(db)))
    (void)os_wait_for(&db->changed, &db->lock, 100000);
  if (!atomic_load(&db->stop_maintenance)) m = db->sorted[--db->sorted_free];
  os_unlock(&db->lock);
  return m;
}

static void give_rows(struct db *db, struct step *step) {
  if (step->order) budget_give(&db->work_budget, flush_sort_bytes(db->memtable_rows));
  mem_free(step->order);
  (void)memtable_unref(step->rows);
  step->order = NULL;
  step->rows = NULL;
}

static bool take_rows(struct db *db, struct step *step) {
  uint64_t bytes = flush_sort_bytes(db->memtable_rows);
  step->rows = memtable_new(db->memtable_rows, scratch_metadata(db), &db->work_budget);
  if (step->rows && budget_take(&db->work_budget, bytes)) {
    step->order = mem_alloc(bytes);
    if (!step->order) budget_give(&db->work_budget, bytes);
  }
  return step->order != NULL;
}

static void step_end(struct db *db, struct step *step) {
  give_rows(db, step);
  os_lock(&db->lock);
  db->sorted[db->sorted_free++] = step->sorted;
  os_wake(&db->changed);
  os_unlock(&db->lock);
}

static int step_begin(struct db *db, struct step *step, tally_error *error) {
  int tries = 0;
  do {
    step->sorted = borrow_sorted(db);
    if (!step->sorted) return fail(error, TALLY_CANCELLED, "the store is closing");
    if (take_rows(db, step)) return 0;
    step_end(db, step);
  } while (memory_came(db, 0, &tries));
  return fail(error, TALLY_MEMORY_LIMIT, "no room in the memory budget to rewrite segments: raise --memory");
}

/* TALLY_ROW while there may be more. */
static int step_run(struct db *db, struct rewrite *r, struct step *step, tally_error *error) {
  int result = rewrite_read(r, step->rows, error), tries = 0;
  if (result != TALLY_ROW) return result;
  rewrite_sort(r, step->rows, step->sorted, step->order);
  give_rows(db, step);
  do {
    result = rewrite_write(r, step->sorted, error);
  } while (result == TALLY_MEMORY_LIMIT && memory_came(db, 0, &tries));
  if (!result) result = rewrite_check(r, step->sorted, error);
  return result ? result : TALLY_ROW;
}

static int rewrite_all(struct db *db, struct rewrite *r, tally_error *error) {
  int result;
  do {
    struct step step = {0};
    result = step_begin(db, &step, error);
    if (result) return result;
    result = step_run(db, r, &step, error);
    step_end(db, &step);
    atomic_store(&db->rewriting.done, rewrite_met(r));
  } while (result == TALLY_ROW);
  return result;
}

static uint64_t bytes_of(const struct segment_info *info, size_t count) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < count; i++) bytes += info[i].size;
  return bytes;
}

int exchange(struct db *db, struct segment *const *old, size_t olds, const struct segment_info *made,
             uint32_t mades, tally_error *error) {
  uint64_t *removed = mem_alloc((olds + 1) * sizeof *removed);
  if (!removed) return fail_memory(error, "replacing segments");
  for (size_t i = 0; i < olds; i++) removed[i] = old[i]->info.id;
  struct change change = {
      .added = made, .added_count = mades, .removed = removed, .removed_count = (uint32_t)olds};
  os_lock(&db->publishing);
  int result = publish_version(db, &change, error);
  os_unlock(&db->publishing);
  mem_free(removed);
  if (result) return result;
  for (size_t i = 0; i < olds; i++) segment_remove(db->os, db->path, &old[i]->info);
  os_lock(&db->lock);
  db->merges++;
  db->rewritten_bytes += bytes_of(made, mades);
  os_unlock(&db->lock);
  return 0;
}

/* The files that a rewrite made, to be freed by the caller. */
static int take_files(const struct rewrite_result *r, struct segment_info **made, tally_error *error) {
  *made = mem_alloc((r->segments + 1) * sizeof **made);
  if (!*made) return fail_memory(error, "a list of segments");
  if (r->segments) memcpy(*made, r->segment, r->segments * sizeof **made);
  return 0;
}

int rewrite_files(struct db *db, struct segment **input, size_t inputs, const struct rewrite_rules *rules,
                  struct rewrite_report *report, struct segment_info **made, tally_error *error) {
  struct snapshot snapshot = {.catalog = db->catalog, .segments = input, .segment_count = inputs};
  for (int d = 0; d < DOMAINS; d++) snapshot.ids[d] = catalog_count(db->catalog, d);
  struct rewrite_request request = {.os = db->os,
                                    .store = db->path,
                                    .input = &snapshot,
                                    .month = input[0]->info.month,
                                    .archived = rules->archived,
                                    .rules = rules->rule,
                                    .rule_count = rules->count,
                                    .rows = db->memtable_rows,
                                    .metadata = scratch_metadata(db),
                                    .cache = db->cache,
                                    .budget = &db->work_budget,
                                    .next_id = &db->next_segment,
                                    .stop = &db->stop_maintenance};
  struct rewrite *r;
  int result = rewrite_new(&request, &r, error);
  if (!result) {
    meter_begin(&db->rewriting, rewrite_rows(r));
    result = rewrite_all(db, r, error);
    meter_begin(&db->rewriting, 0);
    struct rewrite_result all = rewrite_result(r);
    if (!result) result = take_files(&all, made, error);
    *report = (struct rewrite_report){.month = request.month,
                                      .inputs = inputs,
                                      .outputs = all.segments,
                                      .rows = all.kept,
                                      .dropped = all.dropped,
                                      .changed = all.changed,
                                      .bytes_after = bytes_of(all.segment, all.segments)};
    for (size_t i = 0; i < inputs; i++) report->bytes_before += input[i]->info.size;
    rewrite_free(r, result == 0);
  }
  return result;
}

int rewrite_segments(struct db *db, struct segment **input, size_t inputs, const struct rewrite_rules *rules,
                     struct rewrite_report *report, struct segment_info **after, tally_error *error) {
  struct segment_info *made = NULL;
  int result = rewrite_files(db, input, inputs, rules, report, &made, error);
  if (!result) result = exchange(db, input, inputs, made, (uint32_t)report->outputs, error);
  if (!result && after)
    *after = made;
  else
    mem_free(made);
  return result;
}
