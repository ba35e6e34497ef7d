/* exchange.c - new segments take the place of old ones: written in steps between which flushes get their
 * scratch memory, then published by one edit; then the old files go. */
#include "base/mem.h"
#include "base/status.h"
#include "db/inside.h"
#include "maintain/flush.h"

/* The rows of a step have less room for metadata than a memtable's: they are there on top of them. */
size_t step_metadata(const struct db *db) {
  size_t least = 3 * METADATA_BYTES, half = db->memtable_metadata / 2;
  return half > least ? half : least;
}

/* What a step of a rewrite works in: the scratch of a flush, room for rows, and for their order until they
 * are sorted. The scratch comes first and goes last (scratch.c). Rows and their order take no more than what
 * a flush needs to write a segment, and are given back before the step needs that. */
struct step {
  struct memtable *sorted, *rows;
  void *order;
};

static void give_rows(struct db *db, struct step *step) {
  if (step->order) budget_give(&db->work_budget, flush_sort_bytes(db->memtable_rows));
  mem_free(step->order);
  (void)memtable_unref(step->rows);
  step->order = NULL;
  step->rows = NULL;
}

static int take_rows(struct db *db, struct step *step, tally_error *error) {
  uint64_t bytes = flush_sort_bytes(db->memtable_rows);
  step->rows = memtable_new(db->memtable_rows, step_metadata(db), &db->work_budget);
  if (!step->rows || !budget_take(&db->work_budget, bytes))
    return fail(error, TALLY_MEMORY_LIMIT,
                "no room in the memory budget to rewrite segments: raise --memory");
  step->order = mem_alloc(bytes);
  if (step->order) return 0;
  budget_give(&db->work_budget, bytes);
  return fail_memory(error, "rewriting segments");
}

static void step_end(struct db *db, struct step *step) {
  give_rows(db, step);
  scratch_give(db, step->sorted);
}

static int step_begin(struct db *db, struct step *step, tally_error *error) {
  int result, tries = 0;
  do {
    step->sorted = scratch_borrow(db);
    if (!step->sorted) return db_go_on(db, error);
    result = take_rows(db, step, error);
    if (result) step_end(db, step);
  } while (result == TALLY_MEMORY_LIMIT && scratch_wait(db, STEP_WAITS, &tries));
  return result;
}

static int step_run(struct db *db, struct rewrite *r, struct step *step, tally_error *error) {
  int result = rewrite_read(r, step->rows, error), tries = 0;
  if (result != TALLY_ROW) return result;
  rewrite_sort(r, step->rows, step->sorted, step->order);
  give_rows(db, step);
  do {
    result = rewrite_write(r, step->sorted, error);
  } while (result == TALLY_MEMORY_LIMIT && scratch_wait(db, WRITE_WAITS, &tries));
  return result ? result : rewrite_check(r, step->sorted, error);
}

static int rewrite_all(struct db *db, struct rewrite *r, tally_error *error) {
  while (rewrite_more(r)) {
    struct step step = {0};
    int result = step_begin(db, &step, error);
    if (!result) {
      result = step_run(db, r, &step, error);
      step_end(db, &step);
    }
    if (result == TALLY_MEMORY_LIMIT && atomic_load(&db->stop_maintenance)) return db_go_on(db, error);
    if (result) return result;
    atomic_store(&db->rewriting.done, rewrite_met(r));
  }
  return rewrite_complete(r, error);
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
                                    .metadata = step_metadata(db),
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
                                      .outputs = result ? 0 : all.segments,
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
