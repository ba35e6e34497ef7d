/* template_decode.c - putting rows together again; see template.h.
 *
 * Laws: every count is checked before memory is taken for it. There are at most max_bytes + count values (the
 * encoder puts a literal byte between any two), so the offsets take no more than 8 bytes for each of these,
 * and the values of all columns together no more than max_bytes, as each is part of the output once. */
#include "encoding/template.h"

#include <string.h>

#include "base/kernel.h"

#define TEMPLATES_FEW 8u

struct parts {
  uint32_t templates, columns, places;
  struct text_range range;
  const uint64_t *literal_at; /* templates + 1 */
  const uint8_t *literals;
  int64_t *place_counts; /* of each template */
  int64_t *gaps;         /* of each place */
  int64_t *column_of;    /* of each place */
  int64_t *rows;         /* the template of each row of the range */
  /* Of these only as many entries are set as there are templates, or columns: */
  uint32_t first_place[TEMPLATES_MAX];
  uint32_t rows_before[TEMPLATES_MAX], rows_in[TEMPLATES_MAX],
      rows_of[TEMPLATES_MAX]; /* of the range; of all */
  struct text_range values_of[COLUMNS_MAX];
  uint64_t next_value[COLUMNS_MAX]; /* of each column: where its next offset is */
};

static bool open_numbers(struct reader *r, uint32_t count, struct ints *ints) {
  uint64_t size = read_varint(r);
  const uint8_t *bytes = size <= reader_left(r) ? read_bytes(r, (size_t)size) : NULL;
  return bytes && ints_open(bytes, (size_t)size, count, ints);
}

/* A part of integers, decoded behind what `room` holds; room for them was reserved. */
static int64_t *read_numbers(struct reader *r, uint32_t count, struct buffer *room) {
  struct ints ints;
  if (!open_numbers(r, count, &ints)) return NULL;
  int64_t *numbers = (int64_t *)(void *)buffer_add(room, count * sizeof *numbers);
  if (numbers) ints_decode(&ints, 0, count, numbers);
  return numbers;
}

static bool read_texts(struct reader *r, struct text_range range, size_t max_bytes, uint64_t *at,
                       struct buffer *bytes, struct ints_scratch *scratch) {
  uint64_t size = read_varint(r);
  const uint8_t *encoded = size <= reader_left(r) ? read_bytes(r, (size_t)size) : NULL;
  return encoded &&
         text_list_decode(encoded, (size_t)size, range, TEXT_ALLOW_COLUMN, 1, max_bytes, at, bytes, scratch);
}

/* The places of each template lie within its literal and name columns, one that has not been named in it. */
static bool check_places(const struct parts *p) {
  uint8_t named[COLUMNS_MAX];
  uint32_t place = 0;
  memset(named, 0, p->columns);
  for (uint32_t t = 0; t < p->templates; t++) {
    uint64_t literal = p->literal_at[t + 1] - p->literal_at[t];
    uint32_t first = place;
    for (int64_t i = 0; i < p->place_counts[t]; i++, place++) {
      if ((uint64_t)p->gaps[place] > literal || (uint64_t)p->column_of[place] >= p->columns) return false;
      if (named[p->column_of[place]]++) return false;
      literal -= (uint64_t)p->gaps[place];
    }
    for (; first < place; first++) named[p->column_of[first]] = 0;
  }
  return true;
}

KERNEL static uint32_t count_equal(const int64_t *v, uint32_t count, int64_t number) {
  uint32_t equal = 0;
  for (uint32_t i = 0; i < count; i++) equal += v[i] == number;
  return equal;
}

/* Of few templates one is counted after the other: a counter that is added to again and again is waited for
 * each time. */
static bool count_rows(const struct parts *p, const int64_t *rows, uint32_t count, uint32_t *rows_of) {
  if (p->templates <= TEMPLATES_FEW) {
    uint32_t counted = 0;
    for (uint32_t t = 0; t < p->templates; t++) counted += rows_of[t] = count_equal(rows, count, t);
    return counted == count;
  }
  for (uint32_t i = 0; i < count; i++) {
    if ((uint64_t)rows[i] >= p->templates) return false;
    rows_of[rows[i]]++;
  }
  return true;
}

/* Reads the templates of the rows and counts the rows of each: of all, but where all are of one. */
static bool read_rows(struct reader *r, struct parts *p, struct buffer *numbers) {
  const struct text_range range = p->range;
  struct ints ints;
  memset(p->rows_before, 0, p->templates * sizeof *p->rows_before);
  memset(p->rows_in, 0, p->templates * sizeof *p->rows_in);
  memset(p->rows_of, 0, p->templates * sizeof *p->rows_of);
  if (!open_numbers(r, range.count, &ints)) return false;
  const bool same = ints.scheme == INTS_CONST;
  int64_t *rows = (int64_t *)(void *)buffer_add(numbers, (same ? range.n : range.count) * sizeof *rows);
  if (!rows) return false;
  ints_decode(&ints, same ? range.first : 0, same ? range.n : range.count, rows);
  p->rows = same ? rows : rows + range.first;
  if (!same) {
    uint32_t end = range.first + range.n;
    return count_rows(p, rows, range.first, p->rows_before) && count_rows(p, p->rows, range.n, p->rows_in) &&
           count_rows(p, rows + end, range.count - end, p->rows_of);
  }
  if ((uint64_t)ints.first >= p->templates) return false;
  p->rows_before[ints.first] = range.first;
  p->rows_in[ints.first] = range.n;
  p->rows_of[ints.first] = range.count - range.first - range.n;
  return true;
}

/* Reads the templates; p->literal_at has room for TEMPLATES_MAX + 1. */
static bool read_templates(struct reader *r, struct parts *p, uint64_t *literal_at, size_t max_bytes,
                           struct ints_scratch *scratch) {
  struct buffer *numbers = &scratch->templates.spans, *literals = &scratch->templates.literals;
  uint64_t templates = read_varint(r), columns = read_varint(r), places = 0;
  if (r->bad || templates == 0 || templates > TEMPLATES_MAX || columns > COLUMNS_MAX) return false;
  p->templates = (uint32_t)templates;
  p->columns = (uint32_t)columns;
  buffer_clear(literals);
  const struct text_range all = {p->templates, 0, p->templates};
  if (!read_texts(r, all, max_bytes, literal_at, literals, scratch)) return false;
  p->literal_at = literal_at;
  p->literals = literals->data;
  buffer_clear(numbers);
  /* All at once, so that what was read first stays where it is. */
  if (!buffer_reserve(numbers, (templates * (1 + 2 * PLACES_MAX) + p->range.count) * sizeof(int64_t)))
    return false;
  if (!(p->place_counts = read_numbers(r, p->templates, numbers))) return false;
  for (uint32_t t = 0; t < p->templates; t++) {
    if ((uint64_t)p->place_counts[t] > PLACES_MAX) return false;
    p->first_place[t] = (uint32_t)places;
    places += (uint64_t)p->place_counts[t];
  }
  p->places = (uint32_t)places;
  if (places > 0) {
    if (!(p->gaps = read_numbers(r, p->places, numbers))) return false;
    if (!(p->column_of = read_numbers(r, p->places, numbers))) return false;
  }
  return check_places(p) && read_rows(r, p, numbers);
}

/* Counts the values of each column, all values, and the literal bytes of all rows. */
static bool count_values(struct parts *p, size_t max_bytes, uint64_t *values, uint64_t *literal_bytes) {
  uint32_t count = p->range.count;
  *values = *literal_bytes = 0;
  memset(p->values_of, 0, p->columns * sizeof *p->values_of);
  for (uint32_t t = 0; t < p->templates; t++) {
    p->rows_of[t] += p->rows_before[t] + p->rows_in[t];
    *literal_bytes += p->rows_of[t] * (p->literal_at[t + 1] - p->literal_at[t]);
    *values += p->rows_of[t] * (uint64_t)p->place_counts[t];
    for (uint32_t i = 0; i < p->place_counts[t]; i++) {
      struct text_range *v = &p->values_of[p->column_of[p->first_place[t] + i]];
      v->count += p->rows_of[t];
      v->first += p->rows_before[t];
      v->n += p->rows_in[t];
    }
  }
  return *literal_bytes <= max_bytes && (*values <= count || *values - count <= max_bytes);
}

/* The literal bytes of the range. */
static size_t literals_in(const struct parts *p) {
  size_t bytes = 0;
  for (uint32_t t = 0; t < p->templates; t++)
    bytes += p->rows_in[t] * (size_t)(p->literal_at[t + 1] - p->literal_at[t]);
  return bytes;
}

/* The values of all columns, in the buffers `at` and `values`. */
static bool read_columns(struct reader *r, struct parts *p, uint64_t count, size_t max_bytes,
                         struct buffer *at, struct buffer *values, struct ints_scratch *scratch) {
  buffer_clear(at);
  buffer_clear(values);
  uint64_t *next = (uint64_t *)(void *)buffer_add(at, (count + p->columns) * sizeof *next), used = 0;
  if (!next) return false;
  for (uint32_t c = 0; c < p->columns; c++) {
    p->next_value[c] = used;
    if (!read_texts(r, p->values_of[c], max_bytes - values->size, next + used, values, scratch)) return false;
    used += p->values_of[c].n + (uint64_t)1;
  }
  return !r->bad && reader_left(r) == 0;
}

/* Writes the rows to out, which has room for them. */
static void write_rows(struct parts *p, const uint64_t *value_at, const uint8_t *values, uint8_t *out,
                       uint64_t start, uint64_t *at) {
  uint8_t *begin = out - start;
  const int64_t *rows = p->rows;
  for (uint32_t i = 0; i < p->range.n; i++) {
    uint32_t t = (uint32_t)rows[i], place = p->first_place[t];
    const uint8_t *literal = p->literals + p->literal_at[t], *end = p->literals + p->literal_at[t + 1];
    at[i] = (uint64_t)(out - begin);
    for (uint32_t last = place + (uint32_t)p->place_counts[t]; place < last; place++) {
      const uint64_t *value = value_at + p->next_value[p->column_of[place]]++;
      size_t gap = (size_t)p->gaps[place], size = (size_t)(value[1] - value[0]);
      copy_few(out, literal, gap);
      copy_few(out + gap, values + value[0], size);
      literal += gap;
      out += gap + size;
    }
    copy_few(out, literal, (size_t)(end - literal));
    out += end - literal;
  }
  at[p->range.n] = (uint64_t)(out - begin);
}

static bool decode(struct reader *r, struct parts *p, size_t max_bytes, uint64_t *at, struct buffer *bytes,
                   struct ints_scratch *scratch) {
  struct buffer *value_at = &scratch->templates.columns, *values = &scratch->templates.rows;
  uint64_t literal_at[TEMPLATES_MAX + 1], value_count, literal_bytes;
  if (!read_templates(r, p, literal_at, max_bytes, scratch)) return false;
  if (!count_values(p, max_bytes, &value_count, &literal_bytes)) return false;
  if (!read_columns(r, p, value_count, max_bytes - (size_t)literal_bytes, value_at, values, scratch))
    return false;
  uint64_t start = bytes->size;
  uint8_t *out = text_room(bytes, literals_in(p) + values->size);
  if (!out) return false;
  write_rows(p, (const uint64_t *)(const void *)value_at->data, values->data, out, start, at);
  return true;
}

bool template_decode(struct reader *r, struct text_range range, size_t max_bytes, uint64_t *at,
                     struct buffer *bytes, struct ints_scratch *scratch) {
  struct parts p;
  p.range = range;
  struct texts_templates *work = &scratch->templates;
  buffer_clear(&work->literals); /* a failure of an earlier call is not one of this one */
  buffer_clear(&work->spans);
  buffer_clear(&work->columns);
  buffer_clear(&work->rows);
  if (decode(r, &p, max_bytes, at, bytes, scratch)) return true;
  bytes->failed |= work->literals.failed || work->spans.failed || work->columns.failed || work->rows.failed;
  return false;
}
