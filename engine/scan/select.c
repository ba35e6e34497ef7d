/* select.c - from the candidates of a chunk to the rows that pass every filter.
 *
 * Filters run in the order of their cost: times and numbers, then texts, then keys inside metadata; each
 * decodes only from the first row that is left to the last. In a memtable, whose rows are in no order, the
 * ids of listed texts come before all: they are looked at where they stand, and few rows are left for the
 * rest. */
#include "scan/scanner_inside.h"

/* Loads a column over the rows that are still selected, beginning at a word; false if none are. */
static bool load_selected(struct scanner *s, int column, int *result, tally_error *error) {
  uint32_t first, end;
  if (!select_bounds(s->selection, &first, &end)) return false;
  first &= ~63u;
  *result = source_load(s, column, first, end - first, error);
  return *result == 0;
}

/* Words outside of the loaded rows are 0; a load of an earlier filter may be wider or begin before. */
static void apply_numbers(struct scanner *s, int column, const struct intervals *in) {
  const struct column_buffer *b = &s->column[column];
  select_intervals(s->selection, b->first, b->count, b->values, in);
  if (!b->all_valid) select_valid(s->selection, b->first, b->count, b->valid, false);
}

static void apply_null(struct scanner *s, int column) {
  const struct column_buffer *b = &s->column[column];
  if (b->all_valid)
    memset(s->selection, 0, sizeof s->selection);
  else
    select_valid(s->selection, b->first, b->count, b->valid, true);
}

/* The part's narrowed range, then the request's times where they have gaps. */
static int filter_times(struct scanner *s, tally_error *error) {
  int result = 0;
  const struct intervals *times = &s->scan->filter[TALLY_COL_TIMESTAMP].in;
  struct intervals narrow = {s->time, s->times};
  bool gaps = times->count > 1;
  if (s->segment) {
    struct zone z = segment_zone(s->segment, TALLY_COL_TIMESTAMP, s->current);
    if (intervals_cover(&narrow, z.min, z.max) && intervals_cover(times, z.min, z.max)) return 0;
  }
  if (!s->filter_time && !gaps) return 0;
  if (!load_selected(s, TALLY_COL_TIMESTAMP, &result, error)) return result;
  apply_numbers(s, TALLY_COL_TIMESTAMP, &narrow);
  if (gaps) apply_numbers(s, TALLY_COL_TIMESTAMP, times);
  return 0;
}

static int filter_column(struct scanner *s, int column, tally_error *error) {
  int result = 0;
  const struct column_filter *f = &s->scan->filter[column];
  if (s->segment && scan_chunk_passes(s->scan, s->segment, s->current, column)) return 0;
  if (!load_selected(s, column, &result, error)) return result;
  const struct column_buffer *b = &s->column[column];
  if (column_kind(column) == KIND_TEXT)
    select_texts(s->selection, b->first, b->count, b->values, &f->text);
  else if (f->passes_null)
    apply_null(s, column);
  else
    apply_numbers(s, column, &f->in);
  return 0;
}

static int filter_metadata(struct scanner *s, tally_error *error) {
  uint32_t first, end;
  if (s->segment && scan_chunk_passes(s->scan, s->segment, s->current, TALLY_COL_METADATA)) return 0;
  if (!select_bounds(s->selection, &first, &end)) return 0;
  int result = source_metadata(s, 0, s->current_rows, error);
  if (result) return result;
  bool null = s->scan->filter[TALLY_COL_METADATA].passes_null;
  if (!s->metadata.all_valid)
    select_valid(s->selection, 0, s->current_rows, s->metadata.valid, null);
  else if (null)
    memset(s->selection, 0, sizeof s->selection);
  return 0;
}

static int filter_key(struct scanner *s, const struct predicate *p, tally_error *error) {
  uint32_t first, end;
  if (!select_bounds(s->selection, &first, &end)) return 0;
  int result = source_metadata(s, first, end, error);
  for (uint32_t w = first / 64; !result && w <= (end - 1) / 64; w++)
    for (uint64_t word = s->selection[w]; !result && word; word &= word - 1) {
      uint32_t row = w * 64 + (uint32_t)__builtin_ctzll(word);
      bool passes = false;
      result = key_filter_passes(p, source_text(s, row), &s->hold, &s->scratch, &passes, error);
      if (!passes) bitmap_clear(s->selection, row);
    }
  return result;
}

/* Runs decide service and user in a segment; in a memtable they are columns like the others. */
static int filter_texts(struct scanner *s, tally_error *error) {
  int result = 0;
  for (int column = TALLY_COL_USER_ID; column <= TALLY_COL_METHOD && !result; column++) {
    bool decided = s->segment && (column == TALLY_COL_USER_ID || column == TALLY_COL_SERVICE_NAME);
    if (scan_filters(s->scan, column) && !decided) result = filter_column(s, column, error);
  }
  return result;
}

static void filter_listed(struct scanner *s) {
  for (int column = TALLY_COL_USER_ID; column <= TALLY_COL_METHOD; column++) {
    const struct text_filter *f = &s->scan->filter[column].text;
    if (scan_filters(s->scan, column) && f->listed && !f->passes_null && f->in.count <= TEXT_INTERVALS)
      select_ids(s->selection, s->current_rows,
                 s->rows->text[column_domain(column)] + s->current * CHUNK_ROWS, &f->in);
  }
}

/* What is left: a list of rows, or, where they follow one another, the first of them. */
static void take_stock(struct scanner *s) {
  uint32_t first, end;
  s->taken = s->selected = 0;
  if (!select_bounds(s->selection, &first, &end)) return;
  s->solid = select_solid(s->selection, first, end);
  s->solid_first = first;
  s->selected = s->solid ? end - first : select_list(s->selection, s->current_rows, s->list);
}

int select_rows(struct scanner *s, tally_error *error) {
  const struct scan *scan = s->scan;
  if (!s->segment) filter_listed(s);
  int result = filter_times(s, error);
  for (int column = TALLY_COL_REQUEST_SIZE; column <= TALLY_COL_COST && !result; column++)
    if (scan_filters(scan, column)) result = filter_column(s, column, error);
  if (!result) result = filter_texts(s, error);
  if (!result && scan_filters(scan, TALLY_COL_METADATA)) result = filter_metadata(s, error);
  for (size_t i = 0; i < scan->key_count && !result; i++) result = filter_key(s, scan->keys[i], error);
  take_stock(s);
  return result;
}
