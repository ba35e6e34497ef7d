/* cursor.c - cursors of <tally.h>: a query's or a scan's rows over a snapshot, or a list of figures or
 * findings. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/list.h"
#include "base/mem.h"
#include "base/status.h"
#include "os/thread.h"
#include "query/query.h"

struct tally_cursor {
  struct db_snapshot *snapshot; /* NULL: a list */
  bool at_once;
  struct query_environment environment;
  struct budget budget;
  struct result *result;
  struct left_out left_out;
  struct list list;
  tally_text cell[LIST_COLUMNS]; /* of the list's current row */
  _Atomic bool cancelled;
  int ended; /* TALLY_ROW while rows may come; else what every later call returns */
  tally_error error;
};

static tally_cursor *cursor_new(tally_error *error) {
  tally_cursor *c = mem_zalloc(1, sizeof *c);
  if (!c)
    (void)fail_memory(error, "a cursor");
  else
    c->ended = TALLY_ROW;
  return c;
}

/* ------------------------------------------------------------------ queries and scans */

#define AT_ONCE_US 1000

/* The calendar of a named zone may be in a file. */
static bool names_zone(const char *tz) { return tz && *tz != '+' && *tz != '-' && strcmp(tz, "UTC") != 0; }

static int fail_busy(tally_error *error) {
  return fail(error, TALLY_BUSY,
              "the answer takes longer than a moment: ask again without TALLY_AT_ONCE, on a thread that may "
              "wait");
}

/* A stop that the store asked for is not the caller's. */
static int explain_stop(tally_cursor *c, int result, tally_error *error) {
  if (c->at_once && (result == TALLY_DEADLINE || result == TALLY_MEMORY_LIMIT || result == TALLY_BUSY))
    return fail_busy(error);
  if (result != TALLY_CANCELLED || atomic_load(&c->cancelled) || !db_snapshot_expired(c->snapshot))
    return result;
  return fail(error, TALLY_SNAPSHOT_EXPIRED,
              "the query's snapshot held back memory or an erasure, and was given up: run the query again, "
              "narrow its range, or raise --memory");
}

static int open_result(tally_store *store, const tally_query *query, const tally_scan *scan,
                       tally_cursor **cursor, tally_error *error) {
  tally_error ignored;
  if (!error) error = &ignored;
  *cursor = NULL;
  bool at_once = (query ? query->flags : scan->flags) & TALLY_AT_ONCE;
  if (at_once && (names_zone(query ? query->tz : scan->tz) || db_at_work(store->db))) return fail_busy(error);
  tally_cursor *c = cursor_new(error);
  if (!c) return error->code;
  c->at_once = at_once;
  struct db *db = store->db;
  const struct os *os = db_os(db);
  const tally_options *o = db_options(db);
  int result = db_snapshot_take(db, &c->snapshot, error);
  if (result) {
    mem_free(c);
    return result;
  }
  struct budget *queries = db_query_budget(db);
  budget_init(&c->budget, queries->limit, queries);
  uint64_t timeout = query ? query->timeout : scan->timeout;
  if (!timeout) timeout = o->query_timeout;
  if (timeout > UINT32_MAX) timeout = UINT32_MAX;
  int64_t time = at_once ? AT_ONCE_US : (int64_t)timeout * 1000;
  c->environment = (struct query_environment){.snapshot = db_snapshot_view(c->snapshot),
                                              .budget = &c->budget,
                                              .os = os,
                                              .now = os->now(os),
                                              .deadline = os->monotonic(os) + time,
                                              .cancelled = db_snapshot_stop(c->snapshot),
                                              .zone = o->zone,
                                              .zone_arg = o->zone_arg,
                                              .left_out = &c->left_out,
                                              .at_once = at_once};
  result = db_snapshot_pin(c->snapshot, error);
  if (!result) {
    os_thread_may_wait(!at_once);
    result = query ? query_open(query, &c->environment, &c->result, error)
                   : events_open(scan, &c->environment, &c->result, error);
    os_thread_may_wait(true);
    db_snapshot_unpin(c->snapshot);
    result = explain_stop(c, result, error);
  }
  if (result) {
    db_snapshot_release(c->snapshot);
    mem_free(c);
    return result;
  }
  *cursor = c;
  return 0;
}

int tally_query_open(tally_store *store, const tally_query *query, tally_cursor **cursor,
                     tally_error *error) {
  return open_result(store, query, NULL, cursor, error);
}

int tally_scan_open(tally_store *store, const tally_scan *scan, tally_cursor **cursor, tally_error *error) {
  return open_result(store, NULL, scan, cursor, error);
}

static int next_result(tally_cursor *c, size_t most, tally_error *error) {
  if (result_at_hand(c->result)) return result_next(c->result, most, error);
  int result = db_snapshot_pin(c->snapshot, error);
  if (result) return result;
  os_thread_may_wait(!c->at_once);
  result = result_next(c->result, most, error);
  os_thread_may_wait(true);
  db_snapshot_unpin(c->snapshot);
  return explain_stop(c, result, error);
}

/* ------------------------------------------------------------------ lists */

void list_text(struct list *l, const char *text) { buffer_append(&l->cells, text, strlen(text) + 1); }

void list_number(struct list *l, uint64_t number) {
  char text[24];
  int n = snprintf(text, sizeof text, "%" PRIu64, number);
  buffer_append(&l->cells, text, (size_t)n + 1);
}

tally_cursor *cursor_of_list(const tally_result_column *columns, size_t count, struct list **list,
                             tally_error *error) {
  tally_cursor *c = cursor_new(error);
  if (!c) return NULL;
  c->list = (struct list){.column = columns, .columns = count};
  *list = &c->list;
  return c;
}

int cursor_finish_list(tally_cursor *c, int result, tally_cursor **cursor, tally_error *error) {
  if (!result && c->list.cells.failed) result = fail_memory(error, "a list of figures");
  if (result) {
    tally_cursor_close(c);
    return result;
  }
  *cursor = c;
  return 0;
}

static int put_figure(void *arg, const char *name, const char *value) {
  struct list *list = arg;
  list_text(list, name);
  list_text(list, value);
  return list->cells.failed ? TALLY_NO_MEMORY : 0;
}

static void put_problem(void *arg, const char *file, uint64_t offset, const char *problem) {
  struct list *list = arg;
  list_text(list, file);
  list_number(list, offset);
  list_text(list, problem);
}

static int verify_file(void *verify, struct list *list, tally_error *error) {
  return db_verify_next(verify, put_problem, list, error);
}

static void end_verify(void *verify) { db_verify_end(verify); }

int tally_stats_open(tally_store *store, tally_cursor **cursor, tally_error *error) {
  static const tally_result_column columns[] = {{"name", TALLY_TYPE_TEXT}, {"value", TALLY_TYPE_TEXT}};
  tally_error ignored;
  struct list *list;
  if (!error) error = &ignored;
  *cursor = NULL;
  tally_cursor *c = cursor_of_list(columns, 2, &list, error);
  if (!c) return error->code;
  return cursor_finish_list(c, db_stats(store->db, put_figure, list, error), cursor, error);
}

int tally_verify_open(tally_store *store, uint64_t rate, tally_cursor **cursor, tally_error *error) {
  static const tally_result_column columns[] = {
      {"file", TALLY_TYPE_TEXT}, {"offset", TALLY_TYPE_INT}, {"problem", TALLY_TYPE_TEXT}};
  tally_error ignored;
  struct list *list;
  if (!error) error = &ignored;
  *cursor = NULL;
  tally_cursor *c = cursor_of_list(columns, 3, &list, error);
  if (!c) return error->code;
  struct db_verify *verify;
  int result = db_verify_begin(store->db, rate, &c->cancelled, &verify, error);
  if (!result) {
    list->more = verify_file;
    list->end = end_verify;
    list->source = verify;
  }
  return cursor_finish_list(c, result, cursor, error);
}

int list_refill(struct list *l, tally_error *error) {
  int result = l->more ? TALLY_ROW : TALLY_OK;
  buffer_clear(&l->cells);
  l->at = 0;
  while (result == TALLY_ROW && l->cells.size == 0 && !l->cells.failed) result = l->more(l->source, l, error);
  if (result >= 0 && l->cells.failed) result = fail_memory(error, "rows");
  return result < 0 ? result : 0;
}

static int next_list(tally_cursor *c, tally_error *error) {
  if (c->list.at >= c->list.cells.size) {
    int result = list_refill(&c->list, error);
    if (result) return result;
  }
  if (c->list.at >= c->list.cells.size) return TALLY_OK;
  for (size_t i = 0; i < c->list.columns; i++) {
    const char *text = (const char *)c->list.cells.data + c->list.at;
    c->cell[i] = (tally_text){text, strlen(text)};
    c->list.at += c->cell[i].size + 1;
  }
  return TALLY_ROW;
}

/* ------------------------------------------------------------------ both */

size_t tally_cursor_columns(const tally_cursor *c) {
  return c->snapshot ? result_columns(c->result) : c->list.columns;
}

tally_result_column tally_cursor_column(const tally_cursor *c, size_t column) {
  return c->snapshot ? result_column(c->result, column) : c->list.column[column];
}

static int next_rows(tally_cursor *c, size_t most, tally_error *error) {
  if (c->ended == TALLY_ROW) {
    int result;
    if (atomic_load(&c->cancelled))
      result = fail(&c->error, TALLY_CANCELLED, "cancelled by the caller");
    else
      result = c->snapshot ? next_result(c, most, &c->error) : next_list(c, &c->error);
    if (result == TALLY_MEMORY_LIMIT && c->snapshot && !result_ended(c->result)) {
      if (error) *error = c->error;
      return result;
    }
    if (result == TALLY_ROW) return result;
    c->ended = result;
  }
  if (c->ended < 0 && error) *error = c->error;
  return c->ended;
}

int tally_cursor_next(tally_cursor *c, tally_error *error) { return next_rows(c, 1, error); }

int tally_cursor_rows(tally_cursor *c, size_t most, const tally_text **cells, size_t *rows,
                      tally_error *error) {
  int result = next_rows(c, most ? most : 1, error);
  *rows = result != TALLY_ROW ? 0 : c->snapshot ? result_rows(c->result) : 1;
  *cells = c->snapshot ? result_cells(c->result) : c->cell;
  return result;
}

tally_text tally_cursor_cell(const tally_cursor *c, size_t column) {
  return c->snapshot ? result_cell(c->result, column) : c->cell[column];
}

void tally_cursor_left_out(const tally_cursor *c, uint64_t *segments, uint64_t *rows) {
  if (segments) *segments = c->left_out.segments;
  if (rows) *rows = c->left_out.rows;
}

void tally_cursor_rest(tally_cursor *c) {
  if (c->ended == TALLY_ROW && c->snapshot) result_rest(c->result);
}

void tally_cursor_cancel(tally_cursor *c) {
  atomic_store(&c->cancelled, true);
  if (c->snapshot) atomic_store(db_snapshot_stop(c->snapshot), true);
}

void tally_cursor_close(tally_cursor *c) {
  if (!c) return;
  if (c->result) result_free(c->result);
  if (c->snapshot) db_snapshot_release(c->snapshot);
  if (c->list.end) c->list.end(c->list.source);
  buffer_free(&c->list.cells);
  mem_free(c);
}
