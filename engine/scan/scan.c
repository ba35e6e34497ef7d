/* scan.c - binding a request to a snapshot, and pruning its parts; see scan.h.
 *
 * Predicates on one column become one filter: numbers and times a set of intervals, texts a question about
 * ids. So a chunk is decoded once a column, however many predicates there are. */
#include "base/mem.h"
#include "base/status.h"
#include "scan/scan_inside.h"

/* ---- binding */

static int bind_number(struct scan *s, const struct predicate *p, tally_error *error) {
  struct column_filter *f = &s->filter[p->ref.column];
  bool first = !scan_filters(s, p->ref.column);
  if (first) *f = (struct column_filter){.passes_null = true, .in = intervals_all};
  if (p->op == OP_IS_NULL) {
    if (!f->passes_null) s->never = true;
    f->in = (struct intervals){0};
    return 0;
  }
  if (!first && f->passes_null) s->never = true;
  f->passes_null = false;
  struct intervals in;
  int result = intervals_of_predicate(&s->hold, p, &in, error);
  if (!result) result = intervals_intersect(&s->hold, &f->in, &in, &f->in, error);
  if (!result && f->in.count == 0) s->never = true;
  return result;
}

/* metadata itself: IS NULL and IS NOT NULL. */
static int bind_metadata(struct scan *s, const struct predicate *p, tally_error *error) {
  struct column_filter *f = &s->filter[TALLY_COL_METADATA];
  if (p->op != OP_IS_NULL && p->op != OP_IS_NOT_NULL)
    return fail(error, TALLY_USAGE,
                "metadata itself takes only `is null` and `is not null`: name a key, as in metadata.region");
  bool null = p->op == OP_IS_NULL;
  if (scan_filters(s, TALLY_COL_METADATA) && f->passes_null != null) s->never = true;
  f->passes_null = null;
  return 0;
}

/* The request's range is a predicate on timestamp too. */
static int bind_times(struct scan *s, tally_error *error) {
  struct interval *range;
  void *memory;
  int result = hold_alloc(&s->hold, 1, sizeof *range, &memory, error);
  if (result) return result;
  range = memory;
  *range = (struct interval){s->request.from, s->request.to};
  if (s->request.from >= s->request.to) {
    s->never = true;
    return 0;
  }
  range->high--;
  s->filters |= 1u << TALLY_COL_TIMESTAMP;
  s->filter[TALLY_COL_TIMESTAMP].in = intervals_one(range);
  return 0;
}

static int bind_texts(struct scan *s, int column, const struct predicate **list, tally_error *error) {
  size_t count = 0;
  for (size_t i = 0; i < s->request.where_count; i++)
    if (s->request.where[i].ref.column == column) list[count++] = &s->request.where[i];
  if (count == 0) return 0;
  struct text_filter *f = &s->filter[column].text;
  uint32_t ids = s->snapshot->ids[column_domain(column)];
  int result = text_filter_bind(&s->hold, s->snapshot->catalog, ids, column, list, count, f, error);
  s->filters |= 1u << column;
  s->filter[column].passes_null = f->passes_null;
  if (!result && f->listed && f->in.count == 0) s->never = true;
  return result;
}

static int bind_one(struct scan *s, const struct predicate *p, tally_error *error) {
  enum column_kind kind = column_kind(p->ref.column);
  if (kind == KIND_TEXT) return 0; /* bind_texts takes them all at once */
  int result = 0;
  if (kind == KIND_JSON && p->ref.depth > 0) {
    s->keys[s->key_count++] = p;
    return 0;
  }
  if (kind == KIND_TIME && p->op == OP_IS_NULL)
    s->never = true; /* no event is without a timestamp */
  else
    result = kind == KIND_JSON ? bind_metadata(s, p, error) : bind_number(s, p, error);
  s->filters |= 1u << p->ref.column;
  return result;
}

static int bind(struct scan *s, tally_error *error) {
  void *keys, *list;
  int result = hold_alloc(&s->hold, s->request.where_count, sizeof *s->keys, &keys, error);
  if (!result) result = hold_alloc(&s->hold, s->request.where_count, sizeof *s->keys, &list, error);
  if (!result) result = bind_times(s, error);
  if (result) return result;
  s->keys = keys;
  for (size_t i = 0; i < s->request.where_count && !result && !s->never; i++)
    result = bind_one(s, &s->request.where[i], error);
  for (int column = TALLY_COL_USER_ID; column <= TALLY_COL_METHOD && !result && !s->never; column++)
    result = bind_texts(s, column, list, error);
  const struct intervals *times = &s->filter[TALLY_COL_TIMESTAMP].in;
  if (result || s->never) return result;
  s->low = times->at[0].low;
  s->high = times->at[times->count - 1].high;
  return 0;
}

/* ---- pruning */

static bool zone_may(const struct column_filter *f, int column, const struct zone *z, uint32_t rows) {
  if (f->passes_null) return z->nulls > 0;
  if (z->nulls == rows) return false;
  if (column == TALLY_COL_METADATA) return true;
  return column_kind(column) == KIND_TEXT ? text_filter_may(&f->text, z->min, z->max)
                                          : intervals_meet(&f->in, z->min, z->max);
}

bool scan_chunk_may(const struct scan *s, const struct segment *segment, uint32_t chunk, int64_t low,
                    int64_t high) {
  uint32_t rows = segment_chunk_rows(segment, chunk);
  struct zone z = segment_zone(segment, TALLY_COL_TIMESTAMP, chunk);
  if (z.max < low || z.min > high || !intervals_meet(&s->filter[TALLY_COL_TIMESTAMP].in, z.min, z.max))
    return false;
  for (int column = TALLY_COL_ENDPOINT; column < COLUMNS; column++) {
    if (!scan_filters(s, column)) continue;
    z = segment_zone(segment, column, chunk);
    if (!zone_may(&s->filter[column], column, &z, rows)) return false;
  }
  bool needs_metadata = false; /* every predicate on a key but IS NULL fails where there is no metadata */
  for (size_t i = 0; i < s->key_count; i++) needs_metadata |= s->keys[i]->op != OP_IS_NULL;
  return !needs_metadata || segment_zone(segment, TALLY_COL_METADATA, chunk).nulls < rows;
}

bool scan_chunk_passes(const struct scan *s, const struct segment *segment, uint32_t chunk, int column) {
  const struct column_filter *f = &s->filter[column];
  struct zone z = segment_zone(segment, column, chunk);
  if (f->passes_null) return z.nulls == segment_chunk_rows(segment, chunk);
  if (z.nulls) return false;
  if (column == TALLY_COL_METADATA) return true;
  if (column_kind(column) == KIND_TEXT) return f->text.listed && intervals_cover(&f->text.in, z.min, z.max);
  return intervals_cover(&f->in, z.min, z.max);
}

static bool segment_may(const struct scan *s, const struct segment *segment) {
  if (segment->info.max_timestamp < s->low || segment->info.min_timestamp > s->high) return false;
  bool service = false;
  for (uint32_t i = 0; i < segment->services && !service; i++)
    service = scan_service_passes(s, segment->span[i].service);
  if (!service) return false;
  if (segment->info.thinned) return true;
  for (uint32_t chunk = 0; chunk < segment->chunks; chunk++)
    if (scan_chunk_may(s, segment, chunk, s->low, s->high)) return true;
  return false;
}

/* Ids become indexes of arrays in the query room: a segment must not hold any that the catalog has not given
 * out. */
static int check_ids(const struct scan *s, const struct segment *segment, tally_error *error) {
  for (int d = 0; d < DOMAINS; d++) {
    if (segment->max_id[d] <= s->snapshot->ids[d]) continue;
    char name[64];
    segment_name(&segment->info, name);
    return fail_corrupt(error, name, 0, "scan-segment-ids");
  }
  return 0;
}

/* Of a segment that is quarantined: may rows that pass be in it? Without its directory only its times tell.
 */
static bool quarantined_may(const struct scan *s, const struct segment *segment) {
  if (segment->info.max_timestamp < s->low || segment->info.min_timestamp > s->high) return false;
  return !segment_readable(segment) || segment_may(s, segment);
}

/* Rows are missing: that is said by an error, or counted. */
static int leave_out(struct scan *s, const struct segment *segment, tally_error *error) {
  char name[64];
  if (s->request.left_out) {
    s->request.left_out->segments++;
    s->request.left_out->rows += segment->info.rows;
    return 0;
  }
  segment_name(&segment->info, name);
  return fail(error, TALLY_CORRUPT,
              "%s is damaged and quarantined, and rows of the answer may be in it: put the file back from a "
              "backup and run `tally verify`, or ask with --partial for an answer without its rows",
              name);
}

static int prune_segment(struct scan *s, const struct segment *segment, struct scan_part *p,
                         tally_error *error) {
  if (segment_quarantined(segment)) {
    bool may = !p->pruned && quarantined_may(s, segment);
    p->pruned = true;
    return may ? leave_out(s, segment, error) : 0;
  }
  int result = check_ids(s, segment, error);
  if (result) return result;
  const struct intervals *times = &s->filter[TALLY_COL_TIMESTAMP].in;
  p->pruned = p->pruned || !segment_may(s, segment);
  p->inside = !s->never && intervals_cover(times, segment->info.min_timestamp, segment->info.max_timestamp);
  return 0;
}

static int prune(struct scan *s, tally_error *error) {
  void *memory;
  int result = hold_alloc(&s->hold, scan_parts(s), sizeof *s->parts, &memory, error);
  if (result) return result;
  s->parts = memory;
  for (size_t i = 0; i < scan_parts(s); i++) {
    const struct segment *segment = scan_segment(s, i);
    struct scan_part *p = &s->parts[i];
    p->pruned = s->never;
    if (!segment) {
      const struct snapshot_rows *m = scan_memtable(s, i);
      p->pruned |= m->rows == 0 || m->max_timestamp < s->low || m->min_timestamp > s->high;
      continue;
    }
    result = prune_segment(s, segment, p, error);
    if (result) return result;
  }
  return 0;
}

int scan_new(const struct snapshot *snapshot, const struct scan_request *request, struct budget *budget,
             struct scan **scan, tally_error *error) {
  struct hold hold = {.budget = budget};
  void *memory;
  int result = hold_alloc(&hold, 1, sizeof(struct scan), &memory, error);
  if (result) return result;
  struct scan *s = memory;
  s->snapshot = snapshot;
  s->request = *request;
  s->hold = hold;
  result = bind(s, error);
  if (!result) result = prune(s, error);
  if (result)
    scan_free(s);
  else
    *scan = s;
  return result;
}

void scan_free(struct scan *scan) {
  if (!scan) return;
  struct hold hold = scan->hold; /* the scan itself is in it */
  hold_free(&hold);
}

bool scan_has_service(const struct scan *scan, uint32_t id) { return scan_service_passes(scan, id); }

/* ---- parts */

size_t scan_parts(const struct scan *scan) {
  return scan->snapshot->segment_count + scan->snapshot->memtable_count;
}

bool scan_part_range(const struct scan *scan, size_t part, int64_t *from, int64_t *to) {
  if (scan->parts[part].pruned) return false;
  const struct segment *segment = scan_segment(scan, part);
  int64_t low = segment ? segment->info.min_timestamp : scan_memtable(scan, part)->min_timestamp;
  int64_t high = segment ? segment->info.max_timestamp : scan_memtable(scan, part)->max_timestamp;
  *from = low > scan->low ? low : scan->low;
  *to = (high < scan->high ? high : scan->high) + 1; /* timestamps end long before int64 */
  return true;
}

const struct segment *scan_thinned(const struct scan *scan, size_t part) {
  const struct segment *segment = scan_segment(scan, part);
  return segment && segment->info.thinned ? segment : NULL;
}

uint64_t scan_part_rows(const struct scan *scan, size_t part) {
  const struct segment *s = scan_segment(scan, part);
  if (!s) return scan_memtable(scan, part)->rows;
  if (!scan_filters(scan, TALLY_COL_SERVICE_NAME) || s->info.thinned) return s->info.rows;
  uint64_t rows = 0;
  for (uint32_t i = 0; i < s->services; i++)
    if (scan_service_passes(scan, s->span[i].service)) rows += s->span[i].rows;
  return rows;
}
