/* events.c - the result of a scan of events: in order through windows, or as found. */
#include "base/mem.h"
#include "base/status.h"
#include "query/partial.h"
#include "query/plan.h"
#include "query/window.h"

#define TIMES_LIMIT 10000u

struct events {
  struct result result;
  struct query_environment environment;
  struct request request;
  uint32_t columns; /* bits: those to read */
  bool opened;
  struct scan *scan;       /* NULL: the range is empty */
  struct buffer text;      /* of the current row's printed cells */
  uint64_t left;           /* rows still to give */
  struct window window;    /* in order */
  size_t at;               /* of its order */
  struct scanner *scanner; /* as found; NULL: at rest, the rest says where it goes on */
  size_t part;
  bool in_part;               /* its rows before `place` are given */
  struct scanner_place place; /* where the vector begins */
  const struct vector *vector;
  uint32_t row; /* the next one of the vector */
};

/* ------------------------------------------------------------------ opening */

static bool ordered(const struct events *e) { return !(e->request.flags & TALLY_ORDER_NONE); }

/* What must be read: the columns to show, and in order also those that break ties before the last of them
 * (rows that are equal so far look the same). */
static uint32_t columns_to_read(const struct events *e) {
  uint32_t columns = 0, last = 0;
  for (size_t i = 0; i < e->request.column_count; i++) {
    uint32_t column = (uint32_t)e->request.column[i];
    columns |= 1u << column;
    if (column > last) last = column;
  }
  return ordered(e) ? (2u << last) - 1 : columns;
}

/* Few rows are asked for, and the index alone tells which rows pass: their times are read cheaply. */
static bool times_help(const struct request *r) {
  bool by_index = r->limit <= TIMES_LIMIT && !(r->flags & TALLY_ORDER_NONE);
  for (size_t i = 0; i < r->where_count; i++) {
    int column = r->where[i].ref.column;
    by_index = by_index && (column == TALLY_COL_USER_ID || column == TALLY_COL_SERVICE_NAME);
  }
  return by_index;
}

static int open_scan(struct events *e, tally_error *error) {
  const struct request *r = &e->request;
  const struct query_environment *environment = &e->environment;
  e->opened = true;
  int rc = plan_alive(environment, error);
  if (rc) return rc;
  if (r->scan_from < r->scan_to && r->limit > 0) {
    struct scan_request request = {.from = r->scan_from,
                                   .to = r->scan_to,
                                   .where = r->where,
                                   .where_count = r->where_count,
                                   .columns = e->columns,
                                   .left_out = partial_left_out(environment, r->flags)};
    rc = scan_new(environment->snapshot, &request, environment->budget, &e->scan, error);
  }
  if (!rc && ordered(e))
    rc =
        window_init(&e->window, e->scan, times_help(r), r, e->columns, &e->request.arena, environment, error);
  return rc;
}

/* ------------------------------------------------------------------ rows */

static int put_row(struct events *e, const struct event_row *row, const char *metadata, tally_error *error) {
  struct event_space space = {e->environment.snapshot->catalog, metadata};
  buffer_clear(&e->text);
  for (size_t i = 0; i < e->request.column_count; i++)
    e->result.cells[i] = event_row_cell(row, e->request.column[i], &space, &e->text);
  int rc = result_place(&e->result, &e->text, error);
  e->left--;
  return rc ? rc : TALLY_ROW;
}

static int next_in_order(struct events *e, tally_error *error) {
  struct window *w = &e->window;
  if (e->at == w->order_count) {
    int rc = window_fill(w, error);
    if (rc || w->order_count == 0) return rc;
    e->at = window_skip(w);
  }
  return put_row(e, &w->rows[w->order[e->at++]], w->metadata, error);
}

/* Moves to the next part that can have rows; none is left: part is scan_parts. */
static int enter_part(struct events *e, tally_error *error) {
  int64_t from, to;
  while (e->part < scan_parts(e->scan) && !(scan_part_range(e->scan, e->part, &from, &to) && from < to))
    e->part++;
  if (e->part == scan_parts(e->scan)) return 0;
  int rc = scanner_part(e->scanner, e->part, from, to, error);
  e->in_part = rc == 0;
  return rc;
}

/* The next vector of any part; NULL at the end. */
static int next_vector(struct events *e, tally_error *error) {
  e->vector = NULL;
  for (;;) {
    int rc = plan_alive(&e->environment, error);
    if (!rc && !e->in_part) rc = enter_part(e, error);
    if (rc || !e->in_part) return rc;
    e->place = scanner_place(e->scanner);
    rc = scanner_next(e->scanner, &e->vector, error);
    if (rc == TALLY_ROW) return 0;
    e->vector = NULL;
    if (rc) return rc;
    e->in_part = false;
    e->part++;
  }
}

/* At the beginning and after a rest: the next vector is the one that was at work. */
static int wake(struct events *e, tally_error *error) {
  int64_t from, to;
  int rc = scanner_new(e->scan, &e->scanner, error);
  if (rc || !e->in_part) return rc;
  (void)scan_part_range(e->scan, e->part, &from, &to);
  rc = scanner_part(e->scanner, e->part, from, to, error);
  return rc ? rc : scanner_seek(e->scanner, e->place, error);
}

static int next_as_found(struct events *e, tally_error *error) {
  if (!e->scan) return 0;
  int rc = e->scanner ? 0 : wake(e, error);
  if (rc) return rc;
  while (!e->vector || e->row == e->vector->rows) {
    if (e->vector) e->row = 0;
    rc = next_vector(e, error);
    if (rc || !e->vector) return rc;
    if (e->row > e->vector->rows)
      return fail(error, TALLY_CORRUPT, "rows of a snapshot are gone: run `tally verify`");
  }
  struct event_row row = event_row_take(e->vector, e->row++, e->columns);
  return put_row(e, &row, e->vector->metadata, error);
}

static int pull(struct events *e, tally_error *error) {
  int rc = e->opened ? 0 : open_scan(e, error);
  if (rc || e->left == 0) return rc;
  return ordered(e) ? next_in_order(e, error) : next_as_found(e, error);
}

static void events_rest(struct result *result) {
  struct events *e = (struct events *)result;
  if (!e->opened || !e->scan) return;
  if (ordered(e)) {
    window_rest(&e->window, e->at);
    e->at = 0;
  } else if (e->scanner) {
    scanner_free(e->scanner);
    e->scanner = NULL;
    e->vector = NULL;
  }
  buffer_free(&e->text);
}

static void close_scan(struct events *e) {
  window_free(&e->window);
  if (e->scanner) scanner_free(e->scanner);
  if (e->scan) scan_free(e->scan);
  e->scanner = NULL;
  e->scan = NULL;
  e->vector = NULL;
  e->at = e->part = e->row = 0;
  e->opened = e->in_part = false;
}

static int events_next(struct result *result, tally_error *error) {
  struct events *e = (struct events *)result;
  for (;;) {
    bool first = e->left == e->request.limit;
    uint64_t quarantined = first ? partial_quarantined(&e->environment) : 0;
    int rc = pull(e, error);
    if (rc == TALLY_MEMORY_LIMIT) {
      if (first)
        close_scan(e);
      else
        events_rest(result); /* the next call goes on from here */
      return rc;
    }
    if (!first || !partial_again(&e->environment, e->request.flags, quarantined, rc)) return rc;
    close_scan(e);
  }
}

static void events_free(struct result *result) {
  struct events *e = (struct events *)result;
  close_scan(e);
  buffer_free(&e->text);
  request_free(&e->request);
  mem_free(e);
}

static tally_type type_of(int column) {
  switch (column_kind(column)) {
  case KIND_TIME:
    return TALLY_TYPE_TIME;
  case KIND_TEXT:
    return TALLY_TYPE_TEXT;
  case KIND_INT:
    return TALLY_TYPE_INT;
  case KIND_COST:
    return TALLY_TYPE_COST;
  case KIND_JSON:
    return TALLY_TYPE_JSON;
  }
  return TALLY_TYPE_TEXT;
}

static int set_columns(struct events *e, tally_error *error) {
  struct result *r = &e->result;
  r->columns = e->request.column_count;
  r->column = arena_alloc(&e->request.arena, r->columns, sizeof *r->column, error);
  r->cells = arena_alloc(&e->request.arena, r->columns, sizeof *r->cells, error);
  if (!r->column || !r->cells) return error->code;
  for (size_t i = 0; i < r->columns; i++)
    r->column[i] =
        (tally_result_column){tally_column_name(e->request.column[i]), type_of(e->request.column[i])};
  e->columns = columns_to_read(e);
  e->left = e->request.limit;
  return 0;
}

int events_open(const tally_scan *scan, const struct query_environment *environment, struct result **result,
                tally_error *error) {
  struct events *e = mem_zalloc(1, sizeof *e);
  if (!e) return fail_memory(error, "a scan of events");
  e->environment = *environment;
  e->result = (struct result){
      .next = events_next, .rest = events_rest, .free = events_free, .resumes = true, .state = TALLY_ROW};
  int rc = request_scan(scan, &e->environment, &e->request, error);
  if (!rc) rc = set_columns(e, error);
  if (rc)
    events_free(&e->result);
  else
    *result = &e->result;
  return rc;
}
