/* rewrite.c - see rewrite.h.
 *
 * A first pass over the timestamps, or three, cuts the slices; then each slice is one scan of the inputs into
 * memory and one segment. A slice that proves larger than memory becomes several segments, whose times
 * overlap. */
#include "maintain/rewrite.h"

#include <inttypes.h>

#include "base/mem.h"
#include "base/status.h"
#include "maintain/flush.h"
#include "maintain/order.h"
#include "maintain/reading.h"
#include "maintain/row_rules.h"
#include "maintain/slices.h"

#define ALL_COLUMNS ((1u << TALLY_COLUMNS) - 1)

struct rewrite {
  struct rewrite_request request;
  int64_t first, last;
  uint32_t slices, slice; /* the one that is being read */
  int64_t slice_from;
  struct slices *cuts;
  struct reading reading;
  struct segment_info *made;
  uint32_t made_count;
  struct row_sums sums;           /* of the rows that were sorted last */
  uint64_t met, dropped, changed; /* rows */
};

/* ------------------------------------------------------------------ reading */

static int stopped(const struct rewrite *r, tally_error *error) {
  return r->request.stop && atomic_load(r->request.stop)
             ? fail(error, TALLY_CANCELLED,
                    "the work was stopped: what it had written is removed, start it again")
             : 0;
}

/* ------------------------------------------------------------------ slices */

static uint64_t input_rows(const struct rewrite *r) {
  uint64_t rows = 0;
  for (size_t i = 0; i < r->request.input->segment_count; i++)
    rows += r->request.input->segments[i]->info.rows;
  return rows;
}

static uint64_t input_metadata(const struct rewrite *r) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < r->request.input->segment_count; i++)
    bytes += segment_metadata_total(r->request.input->segments[i]);
  return bytes;
}

/* Gives the times of all rows to `take`. */
static int survey(struct rewrite *r, void (*take)(struct slices *, const int64_t *, uint32_t),
                  tally_error *error) {
  int result = reading_begin(&r->reading, r->request.input, r->first, r->last + 1, 1u << TALLY_COL_TIMESTAMP,
                             r->request.budget, error);
  while (!result && !(result = stopped(r, error)) &&
         (result = reading_next(&r->reading, error)) == TALLY_ROW) {
    take(r->cuts, r->reading.vector->value[TALLY_COL_TIMESTAMP], r->reading.vector->rows);
    result = 0;
  }
  reading_end(&r->reading);
  return result;
}

static int cut_slices(struct rewrite *r, tally_error *error) {
  const struct snapshot *input = r->request.input;
  r->first = INT64_MAX;
  r->last = INT64_MIN;
  for (size_t i = 0; i < input->segment_count; i++) {
    const struct segment_info *info = &input->segments[i]->info;
    if (info->min_timestamp < r->first) r->first = info->min_timestamp;
    if (info->max_timestamp > r->last) r->last = info->max_timestamp;
  }
  r->slice_from = r->first;
  slices_begin(r->cuts, r->first, r->last);
  int result = survey(r, slices_add, error);
  if (!result && slices_coarse(r->cuts, r->request.rows)) {
    result = survey(r, slices_sample, error);
    if (!result) slices_refine(r->cuts);
    if (!result) result = survey(r, slices_add, error);
  }
  if (result) return result;
  if (r->cuts->rows != input_rows(r))
    return fail(error, TALLY_CORRUPT,
                "segments of a month have %" PRIu64 " rows to read, but were written with %" PRIu64
                ": run `tally verify`",
                r->cuts->rows, input_rows(r));
  r->slices = slices_number(r->cuts, r->request.rows, input_metadata(r), r->request.metadata);
  return 0;
}

int rewrite_new(const struct rewrite_request *request, struct rewrite **out, tally_error *error) {
  struct rewrite *r = mem_zalloc(1, sizeof *r);
  if (!r) return fail_memory(error, "rewriting segments");
  r->request = *request;
  int result = budget_take(request->budget, sizeof *r->cuts)
                   ? 0
                   : fail(error, TALLY_MEMORY_LIMIT,
                          "no room in the memory budget to rewrite segments: raise --memory");
  if (result) {
    mem_free(r);
    return result;
  }
  r->cuts = mem_zalloc(1, sizeof *r->cuts);
  result = r->cuts ? cut_slices(r, error) : fail_memory(error, "rewriting segments");
  if (result) {
    rewrite_free(r, false);
    return result;
  }
  *out = r;
  return 0;
}

/* ------------------------------------------------------------------ steps */

/* Takes vectors of the slice until memory is full or the slice ends. */
static int fill(struct rewrite *r, struct memtable *m, bool *slice_ended, tally_error *error) {
  *slice_ended = false;
  for (;;) {
    if (!r->reading.vector) {
      int result = stopped(r, error);
      if (!result) result = reading_next(&r->reading, error);
      if (result < 0) return result;
      *slice_ended = result == TALLY_OK;
      if (*slice_ended) return 0;
    }
    uint32_t first = m->rows.count, next = r->reading.next;
    rows_take(m, r->reading.vector, &r->reading.next);
    bool full = r->reading.next < r->reading.vector->rows;
    r->met += r->reading.next - next;
    rows_apply(m, first, r->request.rules, r->request.rule_count, &r->dropped, &r->changed);
    if (full && r->reading.next == next && m->rows.count == first) return 0;
    if (!full) r->reading.vector = NULL;
  }
}

static int open_slice(struct rewrite *r, tally_error *error) {
  int64_t to = slices_cut(r->cuts, r->slices, r->slice);
  if (to > r->last) to = r->last + 1;
  int64_t from = r->slice_from;
  r->slice_from = to;
  return reading_begin(&r->reading, r->request.input, from, to, ALL_COLUMNS, r->request.budget, error);
}

bool rewrite_more(const struct rewrite *r) { return r->slice < r->slices; }

int rewrite_read(struct rewrite *r, struct memtable *m, tally_error *error) {
  memtable_reset(m);
  while (r->slice < r->slices) {
    bool ended;
    int result = r->reading.scan ? 0 : open_slice(r, error);
    if (!result) result = fill(r, m, &ended, error);
    if (result) return result;
    if (ended) {
      reading_end(&r->reading);
      r->slice++;
    }
    if (m->rows.count) return TALLY_ROW;
  }
  return TALLY_OK;
}

int rewrite_complete(const struct rewrite *r, tally_error *error) {
  if (r->met == input_rows(r)) return 0;
  return fail(error, TALLY_CORRUPT,
              "rewriting met %" PRIu64 " of %" PRIu64 " rows: this is a bug, please report it", r->met,
              input_rows(r));
}

void rewrite_sort(struct rewrite *r, const struct memtable *rows, struct memtable *sorted, void *scratch) {
  r->sums = (struct row_sums){0};
  row_sums_add(&r->sums, &rows->rows, 0);
  flush_sort(&rows->rows, &sorted->rows, scratch);
}

int rewrite_write(struct rewrite *r, const struct memtable *sorted, tally_error *error) {
  struct segment_info *made = mem_realloc_array(r->made, r->made_count + 1, sizeof *made);
  if (!made) return fail_memory(error, "rewriting segments");
  r->made = made;
  made += r->made_count;
  *made = (struct segment_info){.id = atomic_fetch_add(r->request.next_id, 1),
                                .month = r->request.month,
                                .archived = r->request.archived};
  int result = segment_write(r->request.os, r->request.store, &sorted->rows, r->request.budget, made, error);
  if (!result) r->made_count++;
  return result;
}

int rewrite_check(struct rewrite *r, struct memtable *m, tally_error *error) {
  const struct segment_info *info = &r->made[r->made_count - 1];
  struct segment *segment;
  struct row_sums back = {0};
  struct reading reading;
  int result = segment_open(r->request.os, r->request.store, info, r->request.cache, r->request.budget,
                            &segment, error);
  if (result) return result;
  struct snapshot one = *r->request.input;
  one.segments = &segment;
  one.segment_count = 1;
  memtable_reset(m);
  result = reading_begin(&reading, &one, info->min_timestamp, info->max_timestamp + 1, ALL_COLUMNS,
                         r->request.budget, error);
  while (!result && (result = reading_next(&reading, error)) == TALLY_ROW) {
    rows_take(m, reading.vector, &reading.next);
    result = reading.next == reading.vector->rows ? 0 : fail_memory(error, "checking a segment");
  }
  reading_end(&reading);
  segment_unref(segment);
  if (result) return result;
  row_sums_add(&back, &m->rows, 0);
  if (row_sums_equal(&r->sums, &back)) return 0;
  char name[64];
  segment_name(info, name);
  return fail(error, TALLY_CORRUPT,
              "the new segment %s does not hold the rows it was made from: nothing was changed; this is a "
              "bug, please report it",
              name);
}

uint64_t rewrite_rows(const struct rewrite *r) { return input_rows(r); }
uint64_t rewrite_met(const struct rewrite *r) { return r->met; }
struct rewrite_result rewrite_result(const struct rewrite *r) {
  return (struct rewrite_result){r->made, r->made_count, r->met - r->dropped, r->dropped, r->changed};
}

void rewrite_free(struct rewrite *r, bool keep) {
  reading_end(&r->reading);
  if (r->cuts) mem_free(r->cuts);
  budget_give(r->request.budget, sizeof *r->cuts);
  if (!keep)
    for (uint32_t i = 0; i < r->made_count; i++) segment_remove(r->request.os, r->request.store, &r->made[i]);
  mem_free(r->made);
  mem_free(r);
}
