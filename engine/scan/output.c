/* output.c - selected rows of a chunk into dense vectors; see scanner_inside.h.
 *
 * A vector gathers rows of several chunks while they fit. Columns are decoded here, at the rows that are
 * left, unless a filter has decoded them already. */
#include "scan/scanner_inside.h"

#define METADATA_FULL (4u << 20) /* bytes of metadata in a vector, from which on no more rows go in */

static bool wanted(const struct scanner *s, int column) { return s->columns >> column & 1; }

int output_allocate(struct scanner *s, tally_error *error) {
  struct output *o = &s->output;
  struct column_room room[COLUMNS];
  int result = scanner_rooms(s, s->scan->request.columns, room, error);
  if (result) return result;
  for (int column = 0; column < TALLY_COL_METADATA; column++)
    o->values[column] = (int64_t *)room[column].values;
  o->metadata_at = room[TALLY_COL_METADATA].values;
  for (int column = TALLY_COL_REQUEST_SIZE; column < COLUMNS; column++) o->valid[column] = room[column].valid;
  return 0;
}

void output_clear(struct scanner *s) {
  struct output *o = &s->output;
  o->vector.rows = 0;
  buffer_clear(&o->metadata);
  if (o->metadata_at) o->metadata_at[0] = 0;
  for (int column = 0; column < TALLY_COL_METADATA; column++)
    o->vector.bound[column] = (struct bounds){INT64_MAX, INT64_MIN};
  for (int column = TALLY_COL_REQUEST_SIZE; column < COLUMNS; column++) {
    o->some_null[column] = false;
    if (o->valid[column]) memset(o->valid[column], 0, VECTOR_ROWS / 8);
  }
}

bool output_full(const struct scanner *s) {
  uint32_t rows = s->output.vector.rows, left = s->selected - s->taken;
  if (rows == VECTOR_ROWS || s->output.metadata.size >= METADATA_FULL) return true;
  return rows >= VECTOR_ROWS / 2 && rows + left > VECTOR_ROWS; /* rather than cut a chunk in two */
}

/* ---- the rows */

/* Rows of the current chunk: listed, or, without a list, those from the first on. */
struct pick {
  const uint16_t *list;
  uint32_t first, end, n; /* all of them are in [first, end) */
};

static inline uint32_t pick_row(const struct pick *p, uint32_t i) {
  return p->list ? p->list[i] : p->first + i;
}

/* Only the first n. */
static void pick_cut(struct pick *p, uint32_t n) {
  p->n = n;
  p->end = n ? pick_row(p, n - 1) + 1 : p->first;
}

#define GAP 1024 /* rows that are passed over rather than decoded: at most three times a chunk */

/* How many of the rows come before a gap. Two runs of a user may stand at the ends of a chunk. */
static uint32_t stretch(const struct pick *p) {
  if (p->end - p->first < p->n + GAP) return p->n;
  for (uint32_t i = 1; i < p->n; i++)
    if (p->list[i] - p->list[i - 1] > GAP) return i;
  return p->n;
}

/* What is taken next: of the selected rows those that there is room for, up to a gap. */
static struct pick next_pick(const struct scanner *s) {
  const uint16_t *list = s->solid ? NULL : s->list + s->taken;
  uint32_t n = s->selected - s->taken, room = VECTOR_ROWS - s->output.vector.rows;
  struct pick p = {.list = list, .first = list && n ? list[0] : s->solid_first + s->taken};
  pick_cut(&p, n < room ? n : room);
  if (list) pick_cut(&p, stretch(&p));
  return p;
}

/* ---- numbers and ids */

static void append_valid(struct output *o, int column, const uint64_t *valid, uint32_t count) {
  if (!o->valid[column]) return;
  select_append(o->valid[column], o->vector.rows, valid, count);
  if (valid) o->some_null[column] = true;
}

/* Rows that follow one another: decode in place. */
static int take_dense(struct scanner *s, int column, uint32_t first, uint32_t n, tally_error *error) {
  struct output *o = &s->output;
  uint64_t valid[SELECTION_WORDS];
  bool all;
  int64_t *to = o->values[column] + o->vector.rows;
  const int64_t *tokens = wanted(s, TALLY_COL_TOKENS_USED) ? o->values[TALLY_COL_TOKENS_USED] : NULL;
  int result = column == TALLY_COL_COST && tokens /* which are taken before costs */
                   ? source_costs(s, first, n, tokens + o->vector.rows, to, valid, &all, error)
                   : source_decode(s, column, first, n, to, valid, &all, error);
  if (!result) append_valid(o, column, all ? NULL : valid, n);
  return result;
}

#define SPARSE 16u /* times as many rows as are picked: then each is decoded alone */

/* False if it was not done. */
static bool take_single(struct scanner *s, int column, const struct pick *p) {
  struct output *o = &s->output;
  if (!p->list || (p->end - p->first) / SPARSE < p->n) return false;
  if (!source_pick(s, column, p->list, p->n, o->values[column] + o->vector.rows)) return false;
  append_valid(o, column, NULL, p->n);
  return true;
}

static int take_gathered(struct scanner *s, int column, const struct pick *p, tally_error *error) {
  int result = source_load(s, column, p->first, p->end - p->first, error);
  if (result) return result;
  struct output *o = &s->output;
  const struct column_buffer *b = &s->column[column];
  const int64_t *from = b->values;
  int64_t *to = o->values[column] + o->vector.rows;
  if (p->list)
    for (uint32_t i = 0; i < p->n; i++) to[i] = from[p->list[i] - b->first];
  else
    memcpy(to, from + (p->first - b->first), p->n * sizeof *to);
  if (b->all_valid) {
    append_valid(o, column, NULL, p->n);
    return 0;
  }
  uint64_t valid[SELECTION_WORDS] = {0};
  for (uint32_t i = 0; i < p->n; i++)
    valid[i / 64] |= (uint64_t)bitmap_get(b->valid, pick_row(p, i) - b->first) << (i % 64);
  append_valid(o, column, valid, p->n);
  return 0;
}

static void widen(struct bounds *b, struct bounds by) {
  if (by.min < b->min) b->min = by.min;
  if (by.max > b->max) b->max = by.max;
}

static int take_column(struct scanner *s, int column, const struct pick *p, tally_error *error) {
  const struct column_buffer *b = &s->column[column];
  struct output *o = &s->output;
  bool loaded = b->count && b->first <= p->first && p->end <= b->first + b->count;
  int result = 0;
  if (!loaded && p->end - p->first == p->n)
    result = take_dense(s, column, p->first, p->n, error);
  else if (loaded || !take_single(s, column, p))
    result = take_gathered(s, column, p, error);
  if (!result)
    widen(&o->vector.bound[column],
          source_bounds(s, column, p->first, p->end, o->values[column] + o->vector.rows, p->n));
  return result;
}

/* ---- metadata */

/* How many of the rows go in before the vector has enough bytes; at least one. */
static uint32_t metadata_rows(const struct scanner *s, const struct pick *p) {
  uint64_t bytes = s->output.metadata.size;
  for (uint32_t i = 0; i < p->n; i++) {
    bytes += source_text(s, pick_row(p, i)).size;
    if (bytes > METADATA_FULL && s->output.vector.rows + i > 0) return i ? i : 1;
  }
  return p->n;
}

static int take_metadata(struct scanner *s, const struct pick *p, tally_error *error) {
  struct output *o = &s->output;
  uint64_t valid[SELECTION_WORDS] = {0}, bytes = o->metadata.size;
  uint64_t *at = o->metadata_at + o->vector.rows;
  bool some_null = false;
  for (uint32_t i = 0; i < p->n; i++) bytes += source_text(s, pick_row(p, i)).size;
  int result = hold_reserve(&s->hold, &o->metadata, bytes, error);
  if (result) return result;
  for (uint32_t i = 0; i < p->n; i++) {
    tally_text text = source_text(s, pick_row(p, i));
    if (text.size) memcpy(o->metadata.data + o->metadata.size, text.data, text.size);
    o->metadata.size += text.size;
    at[i + 1] = o->metadata.size;
    valid[i / 64] |= (uint64_t)(text.data != NULL) << (i % 64);
    some_null |= text.data == NULL;
  }
  append_valid(o, TALLY_COL_METADATA, some_null ? valid : NULL, p->n);
  return 0;
}

int output_take(struct scanner *s, tally_error *error) {
  struct output *o = &s->output;
  struct pick p = next_pick(s);
  int result = 0;
  if (wanted(s, TALLY_COL_METADATA)) {
    result = p.n ? source_metadata(s, p.first, p.end, error) : 0;
    if (!result) pick_cut(&p, metadata_rows(s, &p));
    if (!result) result = take_metadata(s, &p, error);
  }
  for (int column = 0; column < TALLY_COL_METADATA && !result; column++)
    if (wanted(s, column)) result = take_column(s, column, &p, error);
  if (result) return result;
  o->vector.rows += p.n;
  s->taken += p.n;
  return 0;
}

const struct vector *output_vector(struct scanner *s) {
  struct output *o = &s->output;
  for (int column = 0; column < COLUMNS; column++) {
    o->vector.value[column] = o->values[column];
    o->vector.valid[column] = o->some_null[column] ? o->valid[column] : NULL;
  }
  o->vector.metadata_at = o->metadata_at;
  o->vector.metadata = o->metadata.data ? (const char *)o->metadata.data : "";
  return &o->vector;
}
