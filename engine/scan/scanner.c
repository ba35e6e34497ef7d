/* scanner.c - moving through a part chunk by chunk; see scan.h and scanner_inside.h. */
#include "base/kernel.h"
#include "base/status.h"
#include "scan/scanner_inside.h"

int scanner_rooms(struct scanner *s, uint32_t columns, struct column_room room[COLUMNS], tally_error *error) {
  const size_t words = CHUNK_ROWS + SELECTION_WORDS;
  void *memory = NULL;
  int result = hold_take(&s->hold, ((size_t)__builtin_popcount(columns) * words + 1) * sizeof(uint64_t),
                         &memory, error);
  uint64_t *at = memory;
  for (int column = 0; column < COLUMNS && !result; column++) {
    const bool text = column == TALLY_COL_METADATA;
    room[column] = (struct column_room){0};
    if (!(columns >> column & 1)) continue;
    room[column] = (struct column_room){at, at + CHUNK_ROWS + text};
    at += words + text;
  }
  return result;
}

/* Buffers for the columns that filters or the output decode. */
static int allocate_columns(struct scanner *s, tally_error *error) {
  struct column_room room[COLUMNS];
  const uint32_t keys = s->scan->key_count ? 1u << TALLY_COL_METADATA : 0;
  int result = scanner_rooms(s, s->scan->filters | s->scan->request.columns | keys, room, error);
  if (result) return result;
  for (int column = 0; column < TALLY_COL_METADATA; column++) {
    s->column[column].values = (int64_t *)room[column].values;
    s->column[column].valid = room[column].valid;
  }
  s->metadata.decoded = room[TALLY_COL_METADATA].values;
  s->metadata.map = room[TALLY_COL_METADATA].valid;
  return 0;
}

int scanner_new(const struct scan *scan, struct scanner **scanner, tally_error *error) {
  struct hold hold = {.budget = scan->hold.budget};
  void *memory;
  int result = hold_take(&hold, sizeof(struct scanner), &memory, error);
  if (result) return result;
  struct scanner *s = memory;
  memset(s, 0, offsetof(struct scanner, candidates.window));
  s->scan = scan;
  s->hold = hold;
  s->candidates.pieces = 1;
  *scanner = s;
  return 0;
}

int scanner_prepare(struct scanner *s, tally_error *error) {
  if (s->prepared) return 0;
  int result = allocate_columns(s, error);
  if (!result) result = output_allocate(s, error);
  s->prepared = result == 0;
  return result;
}

void scanner_free(struct scanner *s) {
  if (!s) return;
  index_free(s);
  rollup_free(s);
  hold_buffer_free(&s->hold, &s->candidates.memory);
  hold_buffer_free(&s->hold, &s->metadata.bytes);
  hold_buffer_free(&s->hold, &s->scratch);
  ints_scratch_free(&s->decoder);
  budget_give(s->hold.budget, s->decoder_bytes);
  hold_buffer_free(&s->hold, &s->output.metadata);
  struct hold hold = s->hold; /* the scanner itself is in it */
  hold_free(&hold);
}

const struct scan_stats *scanner_stats(const struct scanner *s) { return &s->stats; }

uint64_t scanner_rows(const struct scanner *s) {
  uint64_t rows = 0;
  if (s->rows) return s->scan->request.where_count ? 0 : s->row_count;
  if (s->chunks == 0 || s->candidates.judge_users) return 0;
  for (uint32_t i = 0; i < s->candidates.count; i++) {
    const struct row_range range = candidates_range(&s->candidates, i);
    rows += range.end - range.first;
  }
  return rows;
}

static int start_segment(struct scanner *s, size_t part, tally_error *error) {
  const struct candidates *c = &s->candidates;
  s->segment = scan_segment(s->scan, part);
  s->stats.segments += c->piece == 0;
  bool pruned = s->scan->parts[part].pruned || s->times == 0 ||
                scanner_low(s) > s->segment->info.max_timestamp ||
                scanner_high(s) < s->segment->info.min_timestamp;
  if (!pruned && s->segment->info.thinned)
    return fail(error, TALLY_NO_RAW_ROWS,
                "retention has removed the rows of %04d-%02d that this needs, and kept their rollups: ask an "
                "aggregate "
                "query over whole hours, or a later range",
                1970 + s->segment->info.month / 12, 1 + s->segment->info.month % 12);
  if (!pruned) {
    int result = candidates_find(&s->candidates, s->scan, s->segment, &s->hold, error);
    if (result) return result;
    pruned = s->candidates.count == 0;
  }
  if (c->piece == 0 && (c->pieces > 1 || !pruned)) s->stats.chunks += s->segment->chunks;
  if (pruned) {
    s->stats.segments_pruned += c->pieces == 1;
    return 0;
  }
  s->chunks = s->segment->chunks;
  s->row_count = s->segment->info.rows;
  s->filter_time =
      scanner_low(s) > s->segment->info.min_timestamp || scanner_high(s) < s->segment->info.max_timestamp;
  return 0;
}

static void start_memtable(struct scanner *s, size_t part) {
  const struct snapshot_rows *m = scan_memtable(s->scan, part);
  s->rows = &m->memtable->rows;
  if (s->scan->parts[part].pruned || s->times == 0) return;
  s->row_count = m->rows;
  s->chunks = (m->rows + CHUNK_ROWS - 1) / CHUNK_ROWS;
  s->filter_time = scanner_low(s) > m->min_timestamp || scanner_high(s) < m->max_timestamp;
}

int scanner_part(struct scanner *s, size_t part, int64_t from, int64_t to, tally_error *error) {
  int result = scanner_prepare(s, error);
  if (result) return result;
  s->segment = NULL;
  s->rows = NULL;
  s->columns = s->scan->request.columns;
  s->chunk = s->chunks = s->row_count = 0;
  s->selected = s->taken = 0;
  s->time[0].low = from > s->scan->low ? from : s->scan->low;
  s->time[0].high = to == INT64_MIN ? INT64_MIN : to - 1 < s->scan->high ? to - 1 : s->scan->high;
  s->times = s->time[0].low <= s->time[0].high ? 1 : 0;
  if (scan_segment(s->scan, part)) return start_segment(s, part, error);
  start_memtable(s, part);
  return 0;
}

void scanner_services(struct scanner *s, uint32_t piece, uint32_t pieces) {
  candidates_share(&s->candidates, piece, pieces);
}

/* Where services are shared out, pieces cannot know alone what none of them reads. */
static void count_pruned(struct scanner *s, uint32_t chunks) {
  if (s->segment && s->candidates.pieces == 1) s->stats.chunks_pruned += chunks;
}

void scanner_count_read(struct scanner *s, uint32_t chunk, uint32_t rows) {
  s->stats.rows_read += rows;
  if (!s->segment)
    s->stats.memtable_rows += rows;
  else if (s->candidates.pieces == 1 || candidates_lead(&s->candidates, s->scan, s->segment, chunk))
    s->stats.chunks_read++;
}

void scanner_piece(struct scanner *s, uint32_t piece, uint32_t pieces) {
  const uint32_t all = s->chunks;
  s->chunk = (uint32_t)((uint64_t)all * piece / pieces);
  s->chunks = (uint32_t)((uint64_t)all * (piece + 1) / pieces);
  if (!s->segment) return;
  s->stats.chunks -= all - (s->chunks - s->chunk);
  s->stats.segments -= piece > 0;
  s->stats.segments_pruned -= piece > 0 && all == 0;
}

void scanner_skip(struct scanner *s, int64_t from, int64_t to) {
  const struct interval all = s->time[0];
  if (s->times == 0 || from >= to || from > all.high || to <= all.low) return;
  s->filter_time = true;
  s->times = 0;
  if (all.low < from) s->time[s->times++] = (struct interval){all.low, from - 1};
  if (to <= all.high) s->time[s->times++] = (struct interval){to, all.high};
  if (s->times == 0) s->chunks = 0;
}

/* A user's run is in order of time; but some of its rows may be outside of the part's range. */
void scanner_times(struct scanner *s, uint64_t most, bool last) {
  s->columns = 1u << TALLY_COL_TIMESTAMP;
  const uint32_t known = SCAN_SERVICE | SCAN_USER | 1u << TALLY_COL_TIMESTAMP,
                 other = s->scan->filters & ~known;
  const bool gaps = s->times != 1 || s->scan->filter[TALLY_COL_TIMESTAMP].in.count != 1;
  if (!s->segment || s->chunks == 0 || gaps || other || s->scan->key_count) return;
  const struct segment_info *info = &s->segment->info;
  if (last ? scanner_high(s) < info->max_timestamp : scanner_low(s) > info->min_timestamp) return;
  candidates_trim(&s->candidates, most, last);
}

/* Chunks between the last one looked at and this one held no candidates. */
bool scanner_find_chunk(struct scanner *s) {
  uint32_t before = s->chunk;
  if (s->segment && s->chunk < s->chunks && !candidates_chunk(&s->candidates, &s->chunk))
    s->chunk = s->chunks;
  if (s->chunk > s->chunks) s->chunk = s->chunks; /* of a piece */
  count_pruned(s, s->chunk - before);
  return s->chunk < s->chunks;
}

static int begin_chunk(struct scanner *s, uint32_t chunk, tally_error *error) {
  s->current = chunk;
  s->current_rows = s->row_count - chunk * CHUNK_ROWS;
  if (s->current_rows > CHUNK_ROWS) s->current_rows = CHUNK_ROWS;
  s->selected = s->taken = 0;
  s->metadata.first = s->metadata.end = s->metadata.parts = 0;
  for (int column = 0; column < COLUMNS; column++) s->column[column].count = 0;
  memset(s->selection, 0, sizeof s->selection);
  if (s->segment) return candidates_select(&s->candidates, s->scan, s->segment, chunk, s->selection, error);
  select_range(s->selection, 0, s->current_rows);
  return 0;
}

static bool chunk_may(const struct scanner *s, uint32_t chunk) {
  struct zone z = segment_zone(s->segment, TALLY_COL_TIMESTAMP, chunk);
  struct intervals times = {s->time, s->times};
  return intervals_meet(&times, z.min, z.max) &&
         scan_chunk_may(s->scan, s->segment, chunk, scanner_low(s), scanner_high(s));
}

KERNEL static uint32_t selected_rows(const uint64_t *selection) {
  return (uint32_t)bitmap_count(selection, CHUNK_ROWS);
}

/* Moves to the next chunk with rows that pass; false at the end of the part. */
static bool next_chunk(struct scanner *s, int *result, tally_error *error) {
  while (scanner_find_chunk(s)) {
    uint32_t chunk = s->chunk++;
    if (s->segment && !chunk_may(s, chunk)) {
      count_pruned(s, 1);
      continue;
    }
    *result = begin_chunk(s, chunk, error);
    if (*result) return false;
    uint32_t candidates = selected_rows(s->selection);
    if (candidates == 0) {
      count_pruned(s, 1);
      continue;
    }
    scanner_count_read(s, chunk, candidates);
    *result = select_rows(s, error);
    if (*result) return false;
    s->stats.rows_matched += s->selected;
    if (s->selected) return true;
  }
  return false;
}

struct scanner_place scanner_place(const struct scanner *s) {
  return s->taken < s->selected ? (struct scanner_place){s->current, s->taken}
                                : (struct scanner_place){s->chunk, 0};
}

int scanner_seek(struct scanner *s, struct scanner_place place, tally_error *error) {
  int result = 0;
  s->chunk = place.chunk;
  if (place.taken && next_chunk(s, &result, error)) s->taken = place.taken;
  return result;
}

int scanner_next(struct scanner *s, const struct vector **vector, tally_error *error) {
  int result = 0;
  output_clear(s);
  while (!result) {
    if (s->taken == s->selected && !next_chunk(s, &result, error)) break;
    if (output_full(s)) break;
    result = output_take(s, error);
  }
  if (result) {
    s->selected = s->taken = s->chunk = s->chunks = 0;
    return result;
  }
  if (s->output.vector.rows == 0) return TALLY_OK;
  *vector = output_vector(s);
  return TALLY_ROW;
}
