/* source.c - columns of the current chunk, from a segment or a memtable; see scanner_inside.h. */
#include "base/status.h"
#include "scan/scanner_inside.h"

/* Services by the spans, which are in memory. */
static void segment_services(const struct segment *s, uint32_t row, uint32_t count, int64_t *values) {
  uint32_t low = segment_span_of(s, row);
  for (uint32_t done = 0; done < count; low++) {
    uint32_t end = s->span[low].first + s->span[low].rows - row;
    const int64_t service = s->span[low].service;
    if (end > count) end = count;
    for (uint32_t i = done; i < end; i++) values[i] = service;
    done = end;
  }
}

static int decode_segment(struct scanner *s, int column, uint32_t first, uint32_t count, int64_t *values,
                          uint64_t *valid, bool *all_valid, tally_error *error) {
  uint32_t row = s->current * CHUNK_ROWS + first;
  *all_valid = true;
  if (column == TALLY_COL_SERVICE_NAME) {
    segment_services(s->segment, row, count, values);
    return 0;
  }
  if (column == TALLY_COL_USER_ID)
    return candidates_users(&s->candidates, s->segment, row, count, values, error);
  s->stats.blocks_read++;
  return segment_values(s->segment, column, s->current, first, count, values, valid, all_valid, error);
}

/* to = bits [first, first + count) of a memtable's map. The writer may be setting later bits of the last
 * word. */
static void copy_bits(const uint64_t *from, uint32_t first, uint32_t count, uint64_t *to) {
  uint32_t shift = first % 64;
  from += first / 64;
  for (uint32_t i = 0; i < count; i += 64, from++) {
    to[i / 64] = __atomic_load_n(from, __ATOMIC_RELAXED) >> shift;
    if (shift && i + 64 - shift < count)
      to[i / 64] |= __atomic_load_n(from + 1, __ATOMIC_RELAXED) << (64 - shift);
  }
}

static void decode_memtable(const struct scanner *s, int column, uint32_t first, uint32_t count,
                            int64_t *values, uint64_t *valid, bool *all_valid) {
  const struct rows *rows = s->rows;
  uint32_t row = s->current * CHUNK_ROWS + first;
  *all_valid = column < TALLY_COL_REQUEST_SIZE;
  switch (column_kind(column)) {
  case KIND_TIME:
    memcpy(values, rows->timestamp + row, count * sizeof *values);
    break;
  case KIND_TEXT: {
    const uint32_t *id = rows->text[column_domain(column)] + row;
    for (uint32_t i = 0; i < count; i++) values[i] = id[i];
    break;
  }
  case KIND_INT: {
    const int32_t *v = rows->number[column - TALLY_COL_REQUEST_SIZE] + row;
    for (uint32_t i = 0; i < count; i++) values[i] = v[i];
    break;
  }
  case KIND_COST:
    memcpy(values, rows->cost + row, count * sizeof *values);
    break;
  case KIND_JSON:
    break;
  }
  if (*all_valid) return;
  copy_bits(rows->valid[column - TALLY_COL_REQUEST_SIZE], row, count, valid);
  *all_valid = bitmap_count(valid, count) == count;
}

struct bounds source_chunk_bounds(const struct scanner *s, int column, uint32_t chunk, uint32_t first,
                                  uint32_t end) {
  const struct segment *segment = s->segment;
  const uint32_t row = chunk * CHUNK_ROWS;
  if (column == TALLY_COL_USER_ID) return (struct bounds){0, segment->max_id[column_domain(column)]};
  if (column == TALLY_COL_SERVICE_NAME)
    return (struct bounds){segment->span[segment_span_of(segment, row + first)].service,
                           segment->span[segment_span_of(segment, row + end - 1)].service};
  struct zone z = segment_zone(segment, column, chunk);
  if (z.nulls == segment_chunk_rows(segment, chunk)) return (struct bounds){0, 0};
  if (column_kind(column) == KIND_TEXT && z.nulls) z.min = 0;
  if (column == TALLY_COL_TIMESTAMP && z.min < scanner_low(s)) z.min = scanner_low(s);
  if (column == TALLY_COL_TIMESTAMP && z.max > scanner_high(s)) z.max = scanner_high(s);
  return (struct bounds){z.min, z.max};
}

struct bounds source_bounds(const struct scanner *s, int column, uint32_t first, uint32_t end,
                            const int64_t *values, uint32_t n) {
  /* A memtable has nothing of the like: its values are looked at. */
  return s->segment ? source_chunk_bounds(s, column, s->current, first, end) : array_bounds(values, n);
}

int source_decode(struct scanner *s, int column, uint32_t first, uint32_t count, int64_t *values,
                  uint64_t *valid, bool *all_valid, tally_error *error) {
  if (s->segment) return decode_segment(s, column, first, count, values, valid, all_valid, error);
  decode_memtable(s, column, first, count, values, valid, all_valid);
  return 0;
}

bool source_pick(struct scanner *s, int column, const uint16_t *rows, uint32_t count, int64_t *values) {
  if (!s->segment || !segment_pick(s->segment, column, s->current, rows, count, values)) return false;
  s->stats.blocks_read++;
  return true;
}

int source_costs(struct scanner *s, uint32_t first, uint32_t count, const int64_t *tokens, int64_t *values,
                 uint64_t *valid, bool *all_valid, tally_error *error) {
  if (!s->segment) return source_decode(s, TALLY_COL_COST, first, count, values, valid, all_valid, error);
  s->stats.blocks_read++;
  return segment_costs(s->segment, s->current, first, count, tokens, values, valid, all_valid, error);
}

int source_load(struct scanner *s, int column, uint32_t first, uint32_t count, tally_error *error) {
  struct column_buffer *b = &s->column[column];
  if (b->count && b->first <= first && first + count <= b->first + b->count) return 0;
  b->count = 0;
  int result = source_decode(s, column, first, count, b->values, b->valid, &b->all_valid, error);
  if (result) return result;
  b->first = first;
  b->count = count;
  return 0;
}

#define DECODER_KEPT (64u << 10)

/* What the decoder took it keeps for the next chunk if that is little, and the budget has it. */
static void keep_decoder(struct scanner *s) {
  size_t bytes = ints_scratch_bytes(&s->decoder);
  if (bytes <= s->decoder_bytes) return;
  if (bytes <= DECODER_KEPT && budget_take(s->hold.budget, bytes - s->decoder_bytes)) {
    s->decoder_bytes = bytes;
    return;
  }
  ints_scratch_free(&s->decoder);
  budget_give(s->hold.budget, s->decoder_bytes);
  s->decoder_bytes = 0;
}

static int load_segment_metadata(struct scanner *s, uint32_t first, uint32_t end, tally_error *error) {
  struct metadata_buffer *m = &s->metadata;
  int result = hold_reserve(&s->hold, &m->bytes, segment_metadata_bytes(s->segment, s->current), error);
  if (result) return result;
  size_t capacity = m->bytes.capacity;
  s->stats.blocks_read++;
  result = segment_metadata(s->segment, s->current, first, end - first, &s->decoder, m->decoded, &m->bytes,
                            m->map, &m->all_valid, error);
  keep_decoder(s);
  if (m->bytes.capacity > capacity) { /* the decoder's own growth: count it too */
    if (!budget_take(s->hold.budget, m->bytes.capacity - capacity)) {
      budget_give(s->hold.budget, capacity);
      buffer_free(&m->bytes);
      return fail(error, TALLY_MEMORY_LIMIT,
                  "the query's metadata needs more than its share of the memory: narrow its range, or raise "
                  "the store's memory");
    }
  }
  m->at = m->decoded;
  m->text = (const char *)m->bytes.data;
  m->valid = m->map;
  return result;
}

/* An eighth of a chunk: more than that is decoded with the rest, which may be asked for too; and so is what
 * is asked for after some parts of it. */
#define FEW_ROWS 8u
#define FEW_PARTS 4u

int source_metadata(struct scanner *s, uint32_t first, uint32_t end, tally_error *error) {
  struct metadata_buffer *m = &s->metadata;
  if (m->first <= first && end <= m->end) return 0;
  bool few = s->segment && m->parts < FEW_PARTS && (end - first) * FEW_ROWS < s->current_rows;
  m->parts++;
  m->first = few ? first : 0;
  m->end = 0;
  end = few ? end : s->current_rows;
  if (s->segment) {
    int result = load_segment_metadata(s, m->first, end, error);
    if (result) return result;
  } else {
    uint32_t row = s->current * CHUNK_ROWS;
    m->at = s->rows->metadata_at + row;
    m->text = s->rows->metadata;
    copy_bits(s->rows->valid[VALID_METADATA], row, s->current_rows, m->map);
    m->valid = m->map;
    m->all_valid = false;
  }
  m->end = end;
  return 0;
}
