/* retention_piece.c - pieces of retention's work: which is next in a month, and doing it, each by one edit.
 */
#include "base/mem.h"
#include "base/status.h"
#include "db/retention.h"

/* All of the month's segments whose every row has reached the stage. */
static void choose_whole(const struct retention_look *l, struct segment **s, size_t count,
                         enum retention_stage stage, struct retention_piece *w) {
  w->stage = stage;
  for (size_t i = 0; i < count && w->inputs < RETENTION_INPUTS; i++) {
    bool done = (stage == STAGE_THIN && s[i]->info.thinned) ||
                (stage == STAGE_ARCHIVE && (s[i]->info.archived || s[i]->info.thinned));
    if (done || !retention_all_before(l, s[i], stage)) continue;
    w->input[w->inputs++] = s[i];
    w->rows += s[i]->info.rows;
  }
}

/* One segment with some rows that have reached the stage. */
static int choose_part(const struct retention_look *l, struct segment **s, size_t count,
                       enum retention_stage stage, struct retention_piece *w, tally_error *error) {
  for (size_t i = 0; i < count && !w->inputs; i++) {
    if (stage == STAGE_THIN && s[i]->info.thinned) continue;
    int result = retention_count(l, s[i], stage, &w->rows, error);
    if (result) return result;
    if (!w->rows) continue;
    w->stage = stage;
    w->part = true;
    w->input[w->inputs++] = s[i];
  }
  return 0;
}

/* The next piece in a month's segments; none: w->inputs is 0. */
int retention_choose(const struct retention_look *l, struct segment **s, size_t count,
                     struct retention_piece *w, tally_error *error) {
  *w = (struct retention_piece){0};
  int result = 0;
  if (!l->guarded) {
    choose_whole(l, s, count, STAGE_DROP, w);
    if (!w->inputs) result = choose_part(l, s, count, STAGE_DROP, w, error);
    if (!result && !w->inputs) choose_whole(l, s, count, STAGE_THIN, w);
    if (!result && !w->inputs) result = choose_part(l, s, count, STAGE_THIN, w, error);
  }
  if (!result && !w->inputs) choose_whole(l, s, count, STAGE_ARCHIVE, w);
  return result;
}

static uint64_t bytes_of_inputs(const struct retention_piece *w) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < w->inputs; i++) bytes += w->input[i]->info.size;
  return bytes;
}

/* One segment loses the rows that have reached the stage. */
static int cut_segment(const struct retention_look *l, struct retention_piece *w, uint64_t *bytes_after,
                       tally_error *error) {
  struct row_rule *rules = NULL;
  struct rewrite_report made;
  struct rewrite_rules all = {.archived = w->input[0]->info.archived};
  int result = retention_rules(l, w->input, 1, w->stage, true, ROW_DROP, &rules, &all.count, error);
  all.rule = rules;
  if (!result) result = rewrite_segments(l->db, w->input, 1, &all, &made, NULL, error);
  if (!result) *bytes_after = made.bytes_after;
  mem_free(rules);
  return result;
}

/* The same of a thinned one. */
static int cut_thinned(const struct retention_look *l, struct retention_piece *w, uint64_t *bytes_after,
                       tally_error *error) {
  struct db *db = l->db;
  struct segment_info made = {.month = w->input[0]->info.month};
  struct thin_change change = {0};
  int result = retention_change(l, w->input[0], w->stage, &change, error);
  made.id = atomic_fetch_add(&db->next_segment, 1);
  if (!result) result = segment_thin(db->os, db->path, w->input, 1, &change, &db->work_budget, &made, error);
  if (!result) result = exchange(db, w->input, 1, &made, made.rows != 0, error);
  if (!result) *bytes_after = made.size;
  mem_free((void *)change.cut);
  return result;
}

static int archive(const struct retention_look *l, struct retention_piece *w, uint64_t *bytes_after,
                   tally_error *error) {
  struct rewrite_report made;
  int result = rewrite_segments(l->db, w->input, w->inputs, &(struct rewrite_rules){.archived = true}, &made,
                                NULL, error);
  if (!result) *bytes_after = made.bytes_after;
  return result;
}

/* Thins whole segments, with the thinned ones that the month has already. */
static int thin(const struct retention_look *l, struct segment **s, size_t count, struct retention_piece *w,
                uint64_t *bytes_after, tally_error *error) {
  struct db *db = l->db;
  struct segment_info made = {.month = w->input[0]->info.month};
  for (size_t i = 0; i < count && w->inputs < RETENTION_INPUTS; i++)
    if (s[i]->info.thinned) w->input[w->inputs++] = s[i];
  made.id = atomic_fetch_add(&db->next_segment, 1);
  int result = segment_thin(db->os, db->path, w->input, w->inputs, NULL, &db->work_budget, &made, error);
  if (!result) result = exchange(db, w->input, w->inputs, &made, 1, error);
  if (!result) *bytes_after = made.size;
  return result;
}

/* One segment is split: what has reached the stage, which is thinned with the month's thinned ones, and the
 * rest. */
static int thin_part(const struct retention_look *l, struct segment **s, size_t count,
                     struct retention_piece *w, uint64_t *bytes_after, tally_error *error) {
  struct db *db = l->db;
  struct row_rule *rules[2] = {NULL, NULL};
  struct segment_info *made[2] = {NULL, NULL};
  struct rewrite_report report[2] = {{0}, {0}};
  int result = 0;
  for (int part = 0; part < 2 && !result; part++) { /* 0: from the cut on, 1: before it */
    struct rewrite_rules all = {.archived = w->input[0]->info.archived};
    result =
        retention_rules(l, w->input, 1, STAGE_THIN, part == 0, ROW_DROP, &rules[part], &all.count, error);
    all.rule = rules[part];
    if (!result) result = rewrite_files(db, w->input, 1, &all, &report[part], &made[part], error);
  }
  struct segment *old[RETENTION_INPUTS] = {NULL};
  size_t olds = 0;
  for (uint32_t i = 0; i < report[1].outputs && !result && olds < RETENTION_INPUTS; i++) {
    result = segment_open(db->os, db->path, &made[1][i], db->cache, &db->work_budget, &old[olds], error);
    olds += result == 0;
  }
  size_t opened = olds;
  for (size_t i = 0; i < count && olds < RETENTION_INPUTS; i++)
    if (s[i]->info.thinned) old[olds++] = s[i];
  struct segment_info thinned = {.month = w->input[0]->info.month};
  bool written = false;
  if (!result) {
    thinned.id = atomic_fetch_add(&db->next_segment, 1);
    result = segment_thin(db->os, db->path, old, olds, NULL, &db->work_budget, &thinned, error);
    written = result == 0;
  }
  struct segment_info *added = mem_alloc((report[0].outputs + 1) * sizeof *added);
  if (!result && !added) result = fail_memory(error, "retention");
  if (!result) {
    if (report[0].outputs) memcpy(added, made[0], report[0].outputs * sizeof *added);
    added[report[0].outputs] = thinned;
    for (size_t i = opened; i < olds && w->inputs < RETENTION_INPUTS; i++) w->input[w->inputs++] = old[i];
    result = exchange(db, w->input, w->inputs, added, (uint32_t)report[0].outputs + 1, error);
    written = false; /* published, or removed */
    report[0].outputs = result ? 0 : report[0].outputs;
    *bytes_after = report[0].bytes_after + thinned.size;
  }
  if (written) segment_remove(db->os, db->path, &thinned);
  for (size_t i = 0; i < opened; i++) segment_unref(old[i]);
  for (uint32_t i = 0; i < report[1].outputs; i++) segment_remove(db->os, db->path, &made[1][i]);
  for (uint32_t i = 0; result && i < report[0].outputs; i++) segment_remove(db->os, db->path, &made[0][i]);
  for (int part = 0; part < 2; part++) mem_free(rules[part]), mem_free(made[part]);
  mem_free(added);
  return result;
}

int retention_do(const struct retention_look *l, struct segment **s, size_t count, struct retention_piece *w,
                 struct retention_report *report, tally_error *error) {
  *report = (struct retention_report){.what = stage_name[w->stage],
                                      .month = w->input[0]->info.month,
                                      .segments = w->inputs,
                                      .rows = w->rows,
                                      .bytes_before = bytes_of_inputs(w)};
  switch (w->stage) {
  case STAGE_ARCHIVE:
    return archive(l, w, &report->bytes_after, error);
  case STAGE_THIN:
    return (w->part ? thin_part : thin)(l, s, count, w, &report->bytes_after, error);
  case STAGE_DROP:
    if (w->part)
      return (w->input[0]->info.thinned ? cut_thinned : cut_segment)(l, w, &report->bytes_after, error);
    return exchange(l->db, w->input, w->inputs, NULL, 0, error);
  default:
    return 0;
  }
}
