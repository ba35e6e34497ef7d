/* query_fixture.h - a snapshot made of lines of text, and queries over it whose answers are lines of text.
 *
 * An event is `timestamp|user|service|endpoint|method|request_size|response_size|duration_ms|status_code|
 * tokens_used|cost|metadata`; trailing fields may be missing, an empty field is NULL, "" is the empty text.
 * An answer is its header and rows, cells separated by |, NULL as \N, rows ended by \n. */
#ifndef TESTS_QUERY_FIXTURE_H
#define TESTS_QUERY_FIXTURE_H

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bitmap.h"
#include "model/civil.h"
#include "model/decimal.h"
#include "query/query.h"

#define FIXTURE_ROWS 4096
#define FIXTURE_METADATA (1u << 20)

struct fixture {
  char directory[32];
  struct budget store, share; /* the store's, and the query's */
  struct catalog *catalog;
  struct snapshot_rows memtables[4];
  struct snapshot snapshot;
  atomic_bool cancelled;
  struct query_environment environment;
};

/* ------------------------------------------------------------------ zones */

/* Before `until` (seconds), and after the entry before it, the offset is `offset`. */
struct fixture_zone {
  const char *name;
  int64_t until;
  int32_t offset;
};

/* Clock changes as in real zones: an hour in Berlin, half an hour on Lord Howe, at midnight in Sao Paulo, a
 * minute after it in St. John's, a whole day in Apia, none in Kathmandu. */
static const struct fixture_zone fixture_zones[] = {
    {"Test/Berlin", 1711846800, 3600},                                           /* 2024-03-31T01:00:00Z */
    {"Test/Berlin", 1729990800, 7200},                                           /* 2024-10-27T01:00:00Z */
    {"Test/Berlin", INT64_MAX, 3600},     {"Test/LordHowe", 1712415600, 39600},  /* 2024-04-06T15:00:00Z */
    {"Test/LordHowe", 1728142200, 37800},                                        /* 2024-10-05T15:30:00Z */
    {"Test/LordHowe", INT64_MAX, 39600},  {"Test/SaoPaulo", 1541300400, -10800}, /* 2018-11-04T03:00:00Z */
    {"Test/SaoPaulo", 1550368800, -7200},                                        /* 2019-02-17T02:00:00Z */
    {"Test/SaoPaulo", INT64_MAX, -10800}, {"Test/StJohns", 1289097060, -9000},   /* 2010-11-07T02:31:00Z */
    {"Test/StJohns", INT64_MAX, -12600},  {"Test/Apia", 1325239200, -36000},     /* 2011-12-30T10:00:00Z */
    {"Test/Apia", INT64_MAX, 50400},      {"Test/Kathmandu", INT64_MAX, 20700},
};

static inline int fixture_zone(void *arg, const char *zone, int64_t at, tally_zone_period *period) {
  (void)arg;
  int64_t start = INT64_MIN;
  for (size_t i = 0; i < sizeof fixture_zones / sizeof *fixture_zones; i++) {
    if (strcmp(fixture_zones[i].name, zone) != 0) continue;
    if (at < fixture_zones[i].until) {
      *period = (tally_zone_period){start, fixture_zones[i].until, fixture_zones[i].offset};
      return 0;
    }
    start = fixture_zones[i].until;
  }
  return TALLY_NOT_FOUND;
}

/* ------------------------------------------------------------------ events */

static inline int64_t fixture_time(const char *text) {
  int64_t us;
  bool has_offset;
  cr_assert(timestamp_parse(text, strlen(text), &us, &has_offset) && has_offset, "%s", text);
  return us;
}

static inline void fixture_text(struct fixture *f, struct rows *rows, int domain, const char *field) {
  tally_error error;
  uint32_t id = 0;
  size_t size = strcmp(field, "\"\"") == 0 ? 0 : strlen(field);
  uint8_t sizes[2];
  store16(sizes, (uint16_t)size);
  if (*field) cr_assert_eq(catalog_intern(f->catalog, domain, 1, sizes, field, &id, &error), 0);
  rows->text[domain][rows->count] = id;
}

static inline void fixture_field(struct fixture *f, struct rows *rows, int column, const char *field) {
  uint32_t row = rows->count;
  switch (column_kind(column)) {
  case KIND_TIME:
    rows->timestamp[row] = fixture_time(field);
    break;
  case KIND_TEXT:
    fixture_text(f, rows, column_domain(column), field);
    break;
  case KIND_INT:
    rows->number[column - TALLY_COL_REQUEST_SIZE][row] = (int32_t)strtol(field, NULL, 10);
    if (*field) bitmap_set(rows->valid[column - TALLY_COL_REQUEST_SIZE], row);
    break;
  case KIND_COST:
    rows->cost[row] = 0;
    if (!*field) break;
    cr_assert_eq(decimal_parse(field, strlen(field), false, &rows->cost[row]), DECIMAL_OK);
    bitmap_set(rows->valid[VALID_COST], row);
    break;
  case KIND_JSON:
    memcpy(rows->metadata + rows->metadata_at[row], field, strlen(field));
    rows->metadata_at[row + 1] = rows->metadata_at[row] + strlen(field);
    if (*field) bitmap_set(rows->valid[VALID_METADATA], row);
  }
}

/* Adds an event to memtable `m`. */
static inline void fixture_add(struct fixture *f, int m, const char *line) {
  struct snapshot_rows *s = &f->memtables[m];
  struct rows *rows = &s->memtable->rows;
  rows->count = s->rows;
  for (int c = 0; c < COLUMNS; c++) {
    char field[512];
    size_t n = c == TALLY_COL_METADATA ? strlen(line) : strcspn(line, "|");
    cr_assert(n < sizeof field);
    memcpy(field, line, n);
    field[n] = '\0';
    line += line[n] ? n + 1 : n;
    fixture_field(f, rows, c, field);
  }
  int64_t t = rows->timestamp[rows->count];
  if (!s->rows || t < s->min_timestamp) s->min_timestamp = t;
  if (!s->rows || t > s->max_timestamp) s->max_timestamp = t;
  s->rows = ++rows->count;
  for (int d = 0; d < DOMAINS; d++) f->snapshot.ids[d] = catalog_count(f->catalog, d);
}

static inline void fixture_open(struct fixture *f, uint64_t share) {
  static const uint32_t none[DOMAINS] = {0};
  tally_error error;
  memset(f, 0, sizeof *f);
  strcpy(f->directory, "/tmp/query_XXXXXX");
  cr_assert(mkdtemp(f->directory));
  budget_init(&f->store, 256u << 20, NULL);
  budget_init(&f->share, share, NULL);
  cr_assert_eq(catalog_open(os_posix(), f->directory, none, &f->store, &f->catalog, &error), 0, "%s",
               error.text);
  for (int m = 0; m < 4; m++) {
    f->memtables[m].memtable = memtable_new(FIXTURE_ROWS, FIXTURE_METADATA, &f->store);
    cr_assert(f->memtables[m].memtable);
    for (size_t v = 0; v < INT_COLUMNS + 2; v++)
      memset(f->memtables[m].memtable->rows.valid[v], 0, bitmap_words(FIXTURE_ROWS) * sizeof(uint64_t));
    f->memtables[m].memtable->rows.metadata_at[0] = 0;
  }
  f->snapshot = (struct snapshot){.catalog = f->catalog, .memtables = f->memtables, .memtable_count = 4};
  f->environment = (struct query_environment){.snapshot = &f->snapshot,
                                              .budget = &f->share,
                                              .os = os_posix(),
                                              .now = 1709251200000000, /* 2024-03-01T00:00:00Z */
                                              .deadline = INT64_MAX,
                                              .cancelled = &f->cancelled,
                                              .zone = fixture_zone};
}

static inline void fixture_close(struct fixture *f) {
  char path[64];
  cr_assert_eq(budget_used(&f->share), 0, "the query gave back all of its memory");
  for (int m = 0; m < 4; m++) memtable_unref(f->memtables[m].memtable);
  catalog_close(f->catalog);
  snprintf(path, sizeof path, "rm -rf %s", f->directory);
  cr_assert_eq(system(path), 0);
}

/* ------------------------------------------------------------------ answers */

static inline void fixture_put(struct buffer *out, const char *data, size_t size, size_t column) {
  if (column) write8(out, '|');
  if (data)
    buffer_append(out, data, size);
  else
    buffer_text(out, "\\N");
}

/* A row, as a line. */
static inline void fixture_row(struct buffer *out, const tally_text *cells, size_t columns) {
  for (size_t c = 0; c < columns; c++) fixture_put(out, cells[c].data, cells[c].size, c);
  write8(out, '\n');
}

/* Pulls all rows, some at a time; frees the result. A failure's name and text stand at the end. */
static inline char *fixture_rows(struct result *result, int rc, tally_error *error) {
  struct buffer out = {0};
  size_t columns = rc ? 0 : result_columns(result);
  for (size_t c = 0; c < columns; c++) {
    const char *name = result_column(result, c).name;
    fixture_put(&out, name, strlen(name), c);
  }
  if (!rc) write8(&out, '\n');
  for (size_t most = 1; !rc && (rc = result_next(result, most, error)) == TALLY_ROW; most = most % 5 + 1) {
    rc = 0;
    for (size_t row = 0; row < result_rows(result); row++)
      fixture_row(&out, result_cells(result) + row * columns, columns);
  }
  if (rc < 0) buffer_printf(&out, "%s: %s\n", tally_error_name(rc), error->text);
  write8(&out, 0);
  if (result) result_free(result);
  return (char *)out.data;
}

/* The answers are to be freed with free. */
static inline char *fixture_query(struct fixture *f, const tally_query *query) {
  tally_error error;
  struct result *result = NULL;
  int rc = query_open(query, &f->environment, &result, &error);
  return fixture_rows(result, rc, &error);
}
static inline char *fixture_events(struct fixture *f, const tally_scan *scan) {
  tally_error error;
  struct result *result = NULL;
  int rc = events_open(scan, &f->environment, &result, &error);
  return fixture_rows(result, rc, &error);
}

#endif
