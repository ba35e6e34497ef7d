/* csv.c - records of CSV to events; see csv.h.
 *
 * The fast loop takes the separators of the index, checks that a record has a comma behind every field but
 * the last and a line feed behind that one, and reads each value where it stands. Whatever is wrong with the
 * form of a record is left to csv_record. */
#include "tools/csv.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "base/mem.h"

void csv_init(struct csv *csv, const struct csv_layout *layout, struct value_options *values,
              csv_index_fn *index) {
  csv->layout = layout;
  csv->values = values;
  csv->index = index ? index : csv_index_best();
  csv->unquote = csv_unquote_best();
  csv->integers = csv_integers_best();
  csv->text = NULL;
  csv->size = csv->at = 0;
  csv->final = false;
  csv->line = 1;
  csv->next = csv->count = 0;
  csv->scratch = (struct buffer){0};
}

void csv_free(struct csv *csv) { buffer_free(&csv->scratch); }

void csv_text(struct csv *csv, char *text, size_t size, bool final, size_t at) {
  csv->text = text;
  csv->size = size;
  csv->final = final;
  csv->at = at;
  csv->next = csv->count = 0;
  text[size] = '\n'; /* ends the last line of a final text for the index, and is never counted */
}

/* ------------------------------------------------------------------ values */

#define INLINE static inline __attribute__((always_inline))

enum outcome { GOOD = 0, BAD_FORM, BAD_VALUE, NO_MEMORY };

/* A record being read. */
struct reading {
  tally_event *event;
  size_t used;    /* bytes of scratch */
  uint64_t lines; /* line feeds inside of quotes */
  uint32_t field; /* BAD_VALUE: whose, and where it starts, and why */
  size_t start;
  char reason[VALUE_REASON];
};

/* A decimal like 0.0124, of at most eight characters with digits on both sides of the dot: without the dot it
 * is an integer. What is read gives what value_cost gives. */
static inline bool short_cost(const char *data, size_t size, int64_t *units) {
  static const int64_t unit[7] = {0, 100000000, 10000000, 1000000, 100000, 10000, 1000};
  if (size - 3 > 5) return false;
  uint64_t text = load_few(data, size), other = text ^ EIGHT('.');
  uint64_t dots = (other - EIGHT(1)) & ~other & EIGHT(0x80); /* right up to the first one */
  if (!dots) return false;
  unsigned dot = (unsigned)__builtin_ctzll(dots) / 8, decimals = 7 - dot;
  if (dot <= 8 - size || decimals < 1) return false;
  uint64_t before = text & ((UINT64_C(1) << 8 * dot) - 1), behind = text >> 8 * dot >> 8 << 8 * dot << 8;
  uint32_t digits;
  if (!eight_digits(behind | before << 8 | '0', &digits)) return false;
  *units = digits * unit[decimals];
  return true;
}

static inline bool set_int(struct reading *r, const char *data, size_t size, int32_t *value) {
  return few_digits(data, size, value) || value_int(data, size, value, r->reason);
}

INLINE bool set_value(struct csv *csv, struct reading *r, int column, const char *data, size_t size) {
  tally_event *e = r->event;
  e->present |= 1u << column;
  switch (column) {
  case TALLY_COL_TIMESTAMP:
    return value_time(csv->values, data, size, &e->timestamp, r->reason);
  case TALLY_COL_USER_ID:
    e->user_id = (tally_text){data, size};
    return true;
  case TALLY_COL_SERVICE_NAME:
    e->service_name = (tally_text){data, size};
    return true;
  case TALLY_COL_ENDPOINT:
    e->endpoint = (tally_text){data, size};
    return true;
  case TALLY_COL_METHOD:
    e->method = (tally_text){data, size};
    return true;
  case TALLY_COL_REQUEST_SIZE:
    return set_int(r, data, size, &e->request_size);
  case TALLY_COL_RESPONSE_SIZE:
    return set_int(r, data, size, &e->response_size);
  case TALLY_COL_DURATION_MS:
    return set_int(r, data, size, &e->duration_ms);
  case TALLY_COL_STATUS_CODE:
    return set_int(r, data, size, &e->status_code);
  case TALLY_COL_TOKENS_USED:
    return set_int(r, data, size, &e->tokens_used);
  case TALLY_COL_COST:
    return short_cost(data, size, &e->cost) || value_cost(csv->values, data, size, &e->cost, r->reason);
  default:
    e->metadata = (tally_text){data, size};
    return true;
  }
}

/* Takes the quotes off a field of a record of `record` bytes; *data may come to point into scratch. */
static enum outcome unquote(struct csv *csv, struct reading *r, size_t record, const char **data,
                            size_t *size) {
  if (*size < 2 || (*data)[*size - 1] != '"') return BAD_FORM;
  /* Reserved once for all fields of the record, so that those before this one stay where they are. */
  if (!r->used && csv->scratch.capacity < record + CSV_UNQUOTE_SLACK) {
    csv->scratch.failed = false;
    if (!buffer_reserve(&csv->scratch, record + CSV_UNQUOTE_SLACK)) return NO_MEMORY;
  }
  char *to = (char *)csv->scratch.data + r->used;
  struct csv_unquoted u = csv->unquote(*data + 1, *size - 2, to);
  *data = to;
  *size = u.size;
  r->used += u.size;
  r->lines += u.lines;
  return GOOD;
}

/* The record at csv->at, whose separators are next in the index. */
struct fields {
  const char *text;
  const uint32_t *separators;
  size_t start, last; /* of the first field; the number of the last one */
  size_t size;        /* of the record, its line end not included */
};

/* Reads field i into a column; `last`: the record ends with it. */
INLINE enum outcome read_field(struct csv *csv, struct reading *r, const struct fields *f, size_t i,
                               bool last, int column) {
  size_t start = i ? (size_t)f->separators[i - 1] + 1 : f->start, size = f->separators[i] - start;
  const char *data = f->text + start;
  if (last && size && data[size - 1] == '\r') size--;
  if (!size) return GOOD;
  enum outcome outcome = GOOD;
  if (*data == '"') outcome = unquote(csv, r, f->size, &data, &size);
  if (outcome == GOOD && (column < 0 || set_value(csv, r, column, data, size))) return GOOD;
  r->field = (uint32_t)i;
  r->start = start;
  return outcome == GOOD ? BAD_VALUE : outcome;
}

/* All twelve columns in their order: what most files have. Here the compiler knows each field's column, and
 * the integers are read together. */
#define COLUMNS_LAST (TALLY_COLUMNS - 1)
#define INTEGERS ((1u << TALLY_COL_COST) - (1u << TALLY_COL_REQUEST_SIZE))
_Static_assert(TALLY_COL_COST - TALLY_COL_REQUEST_SIZE == CSV_INTEGERS &&
                   offsetof(tally_event, tokens_used) - offsetof(tally_event, request_size) ==
                       (CSV_INTEGERS - 1) * sizeof(int32_t),
               "the integers of an event stand together, in the order of their columns");

static enum outcome read_usual(struct csv *csv, struct reading *r, const struct fields *f) {
  enum outcome outcome;
  int32_t *integers = (int32_t *)(void *)((char *)r->event + offsetof(tally_event, request_size));
#define READ(column) (outcome = read_field(csv, r, f, column, column == COLUMNS_LAST, column))
  if (READ(TALLY_COL_TIMESTAMP) || READ(TALLY_COL_USER_ID) || READ(TALLY_COL_SERVICE_NAME) ||
      READ(TALLY_COL_ENDPOINT) || READ(TALLY_COL_METHOD))
    return outcome;
  if (csv->integers(f->text, f->separators + TALLY_COL_METHOD, integers))
    r->event->present |= INTEGERS;
  else if (READ(TALLY_COL_REQUEST_SIZE) || READ(TALLY_COL_RESPONSE_SIZE) || READ(TALLY_COL_DURATION_MS) ||
           READ(TALLY_COL_STATUS_CODE) || READ(TALLY_COL_TOKENS_USED))
    return outcome;
  if (READ(TALLY_COL_COST) || READ(TALLY_COL_METADATA)) return outcome;
#undef READ
  return GOOD;
}

static enum outcome read_fields(struct csv *csv, struct reading *r) {
  const struct csv_layout *layout = csv->layout;
  struct fields f = {csv->text, csv->separators + csv->next, csv->at, layout->count - 1, 0};
  for (size_t i = 0; i < f.last; i++)
    if (f.text[f.separators[i]] != ',') return BAD_FORM;
  if (f.text[f.separators[f.last]] != '\n') return BAD_FORM;
  f.size = f.separators[f.last] - f.start;
  if (layout->usual) return read_usual(csv, r, &f);
  for (size_t i = 0; i <= f.last; i++) {
    enum outcome outcome = read_field(csv, r, &f, i, i == f.last, layout->column[i]);
    if (outcome != GOOD) return outcome;
  }
  return GOOD;
}

/* ------------------------------------------------------------------ problems */

static const char *name_of(const struct csv *csv, uint32_t field) {
  const struct csv_layout *layout = csv->layout;
  return field < layout->count ? (const char *)layout->names.data + layout->name[field] : NULL;
}

static uint64_t line_of(const struct csv *csv, const struct record *record, size_t at) {
  return record->line + count_lines(csv->text + record->start, at - record->start);
}

static void blame_form(const struct csv *csv, const struct record *record, const struct csv_extent *extent,
                       struct problem *problem) {
  static const char *const texts[] = {
      [CSV_QUOTE_INSIDE] = "a quote inside an unquoted field: quote the whole field and double the quotes "
                           "in it",
      [CSV_TEXT_BEHIND] = "text behind the closing quote of a field: double the quotes that belong to the "
                          "field",
      [CSV_UNCLOSED] = "the quote that is opened here is never closed: close it, or double it if it belongs "
                       "to a quoted field",
  };
  if (extent->fault)
    problem_set(problem, line_of(csv, record, extent->fault_at), name_of(csv, extent->fault_field), "%s",
                texts[extent->fault]);
  else
    problem_set(problem, record->line, NULL,
                "the record has %" PRIu32 " fields where the header has %" PRIu32
                ": give every column a field, and quote fields that hold commas",
                extent->fields, csv->layout->count);
}

static enum record_kind blame_value(const struct csv *csv, const struct record *record,
                                    const struct reading *r, struct problem *problem) {
  problem_set(problem, line_of(csv, record, r->start), name_of(csv, r->field), "%s", r->reason);
  return RECORD_BAD;
}

void csv_blame(struct csv *csv, const struct record *record, int column, const char *reason,
               struct problem *problem) {
  uint32_t separators[CSV_COLUMNS], field = 0;
  struct csv_extent extent;
  const struct csv_layout *layout = csv->layout;
  while (field < layout->count && layout->column[field] != column) field++;
  size_t start = record->start;
  if (field && field < layout->count &&
      csv_record(csv->text, start, record->end, true, separators, CSV_COLUMNS, &extent) &&
      field < extent.fields)
    start = (size_t)separators[field - 1] + 1;
  const char *name = column < 0 ? NULL : tally_column_name(column);
  problem_set(problem, line_of(csv, record, start), name, "%s", reason);
}

/* ------------------------------------------------------------------ records */

/* Moves behind what ends at `end` and has `lines` line feeds, and behind its separators. */
static void advance(struct csv *csv, size_t end, uint64_t lines) {
  csv->at = end;
  csv->line += lines;
  while (csv->next < csv->count && csv->separators[csv->next] < end) csv->next++;
}

static void skip_blank_lines(struct csv *csv) {
  const char *text = csv->text;
  while (csv->at < csv->size) {
    size_t at = csv->at + (text[csv->at] == '\r');
    bool end = at == csv->size && csv->final;
    if (!end && (at == csv->size || text[at] != '\n')) return;
    advance(csv, end ? at : at + 1, 1);
  }
}

static enum outcome read_values(struct csv *csv, struct record *record, struct reading *r) {
  memset(&record->event, 0, sizeof record->event);
  r->event = &record->event;
  r->used = 0;
  r->lines = 0;
  return read_fields(csv, r);
}

/* Judges a record whose form is good; the index has its separators. */
static enum record_kind finish(struct csv *csv, struct record *record, struct reading *r,
                               enum outcome outcome, struct problem *problem) {
  enum record_kind kind = RECORD_ROW;
  if (outcome == NO_MEMORY) return RECORD_FAILED;
  if (outcome == BAD_VALUE) {
    kind = blame_value(csv, record, r, problem);
    r->lines = count_lines(csv->text + record->start, record->end - record->start);
    r->lines -= csv->text[record->end - 1] == '\n';
  } else if (!(record->event.present & 1u << TALLY_COL_TIMESTAMP)) {
    csv_blame(csv, record, TALLY_COL_TIMESTAMP, "it is empty, but every event needs one: fill it in",
              problem);
    kind = RECORD_BAD;
  }
  csv->next += csv->layout->count;
  csv->at = record->end;
  csv->line += r->lines + 1;
  return kind;
}

/* A record whose separators the index does not have, or that is not well formed. */
static enum record_kind read_slowly(struct csv *csv, struct record *record, struct reading *r,
                                    struct problem *problem) {
  struct csv_extent extent;
  if (!csv_record(csv->text, csv->at, csv->size, csv->final, NULL, 0, &extent)) return RECORD_MORE;
  record->end = extent.end;
  if (!extent.fault && extent.fields == csv->layout->count) {
    csv_record(csv->text, csv->at, csv->size, csv->final, csv->separators, CSV_SEPARATORS, &extent);
    csv->next = 0;
    csv->count = extent.fields;
    return finish(csv, record, r, read_values(csv, record, r), problem);
  }
  blame_form(csv, record, &extent, problem);
  advance(csv, extent.end, count_lines(csv->text + record->start, extent.end - record->start));
  return RECORD_BAD;
}

/* Indexes the text from the current record on; false if even that record's separators are not there. */
static bool index_more(struct csv *csv) {
  size_t to = csv->size + (csv->final && csv->text[csv->size - 1] != '\n');
  csv->next = 0;
  csv->count = (uint32_t)csv->index(csv->text, csv->at, to, csv->separators, CSV_SEPARATORS);
  return csv->count >= csv->layout->count;
}

/* The index lets some quotes pass that are misplaced, which shows when their field is read. Where an earlier
 * field has a bad value the record's form is looked at first all the same, as read_slowly does. */
static bool form_is_good(struct csv *csv) {
  struct csv_extent extent;
  return csv_record(csv->text, csv->at, csv->size, csv->final, NULL, 0, &extent) && !extent.fault &&
         extent.fields == csv->layout->count;
}

enum record_kind csv_next(struct csv *csv, struct record *record, struct problem *problem) {
  struct reading r;
  skip_blank_lines(csv);
  if (csv->at >= csv->size) return csv->final ? RECORD_END : RECORD_MORE;
  record->start = csv->at;
  record->line = csv->line;
  if (csv->count - csv->next < csv->layout->count && !index_more(csv))
    return read_slowly(csv, record, &r, problem);
  enum outcome outcome = read_values(csv, record, &r);
  if (outcome == BAD_FORM || (outcome == BAD_VALUE && !form_is_good(csv)))
    return read_slowly(csv, record, &r, problem);
  size_t end = csv->separators[csv->next + csv->layout->count - 1] + (size_t)1;
  record->end = end < csv->size ? end : csv->size;
  return finish(csv, record, &r, outcome, problem);
}

tally_text csv_coming_user(const struct csv *csv) {
  const uint32_t field = csv->layout->user;
  if (csv->count - csv->next <= field) return (tally_text){NULL, 0};
  const uint32_t *separators = csv->separators + csv->next;
  const size_t start = field ? (size_t)separators[field - 1] + 1 : csv->at;
  return (tally_text){csv->text + start, separators[field] - start};
}
