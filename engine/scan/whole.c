/* whole.c - chunks that need no look at their rows; see scan.h. */
#include "scan/scanner_inside.h"

/* Does the index let all rows of the next chunk pass? */
static bool all_candidates(const struct candidates *c, uint32_t first, uint32_t end) {
  if (c->judge_users || c->next >= c->count) return false;
  const struct row_range r = candidates_range(c, c->next);
  return r.first <= first && end <= r.end;
}

/* And all filters, by its zones? */
static bool all_pass(const struct scanner *s, uint32_t chunk) {
  const struct intervals part = {s->time, s->times}, *times = &s->scan->filter[TALLY_COL_TIMESTAMP].in;
  const struct zone z = segment_zone(s->segment, TALLY_COL_TIMESTAMP, chunk);
  if (!intervals_cover(&part, z.min, z.max) || !intervals_cover(times, z.min, z.max)) return false;
  if (s->scan->key_count) return false;
  for (int column = TALLY_COL_ENDPOINT; column < COLUMNS; column++)
    if (scan_filters(s->scan, column) && !scan_chunk_passes(s->scan, s->segment, chunk, column)) return false;
  return true;
}

bool scanner_whole(struct scanner *s, struct whole_chunk *whole) {
  if (!s->segment || s->taken < s->selected || !scanner_find_chunk(s)) return false;
  const uint32_t chunk = s->chunk, rows = segment_chunk_rows(s->segment, chunk);
  if (!all_candidates(&s->candidates, chunk * CHUNK_ROWS, chunk * CHUNK_ROWS + rows)) return false;
  if (!all_pass(s, chunk)) return false;
  *whole = (struct whole_chunk){.chunk = chunk, .rows = rows};
  for (int column = 0; column < TALLY_COL_METADATA; column++) {
    if (!(s->scan->request.columns >> column & 1)) continue;
    whole->bound[column] = source_chunk_bounds(s, column, chunk, 0, rows);
    whole->nulls[column] =
        column >= TALLY_COL_REQUEST_SIZE ? segment_zone(s->segment, column, chunk).nulls : 0;
  }
  return true;
}

void scanner_leave_whole(struct scanner *s, const struct whole_chunk *whole) {
  s->chunk = whole->chunk + 1;
  scanner_count_read(s, whole->chunk, whole->rows);
  s->stats.rows_matched += whole->rows;
}

int scanner_whole_sums(struct scanner *s, const struct whole_chunk *whole, uint32_t measures,
                       int64_t sum[MEASURES], tally_error *error) {
  s->stats.blocks_read += (uint32_t)__builtin_popcount(measures);
  return segment_sums(s->segment, whole->chunk, measures, sum, error);
}

int scanner_whole_count(struct scanner *s, const struct whole_chunk *whole, int column, int64_t least,
                        uint32_t *count, tally_error *error) {
  s->stats.blocks_read++;
  return segment_count_from(s->segment, column, whole->chunk, least, count, error);
}
