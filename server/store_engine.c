/* store_engine.c - the engine behind the table of store.h. A store_rows is a tally_cursor. */
#include "base/mem.h"
#include "base/status.h"
#include "server/store.h"

/* Bytes a second that a check reads beside queries and ingest. */
#define VERIFY_RATE (UINT64_C(64) << 20)

struct engine_store {
  struct store store; /* first, so that a pointer to one is a pointer to the other */
  tally_store *tally;
};

static tally_store *engine(struct store *store) { return ((struct engine_store *)store)->tally; }
static tally_cursor *cursor(struct store_rows *rows) { return (tally_cursor *)(void *)rows; }
static const tally_cursor *cursor_const(const struct store_rows *rows) {
  return (const tally_cursor *)(const void *)rows;
}

static void engine_append(struct store *store, tally_append_item *items, size_t count) {
  tally_append_group(engine(store), items, count);
}

static int engine_mark(struct store *store, const char *producer, uint64_t epoch, tally_mark *mark,
                       tally_error *error) {
  return tally_producer_mark(engine(store), producer, epoch, mark, error);
}

/* Hands the cursor on if there is one. The call that makes it is no argument: the order of those is open. */
static int opened(int code, tally_cursor *made, struct store_rows **rows) {
  if (code == TALLY_OK) *rows = (struct store_rows *)(void *)made;
  return code;
}

static int engine_query(struct store *store, const tally_query *query, struct store_rows **rows,
                        tally_error *error) {
  tally_cursor *made = NULL;
  int code = tally_query_open(engine(store), query, &made, error);
  return opened(code, made, rows);
}

static int engine_events(struct store *store, const tally_scan *scan, struct store_rows **rows,
                         tally_error *error) {
  tally_cursor *made = NULL;
  int code = tally_scan_open(engine(store), scan, &made, error);
  return opened(code, made, rows);
}

static int engine_stats(struct store *store, struct store_rows **rows, tally_error *error) {
  tally_cursor *made = NULL;
  int code = tally_stats_open(engine(store), &made, error);
  return opened(code, made, rows);
}

static int engine_verify(struct store *store, struct store_rows **rows, tally_error *error) {
  tally_cursor *made = NULL;
  int code = tally_verify_open(engine(store), VERIFY_RATE, &made, error);
  return opened(code, made, rows);
}

static int engine_job(struct store *store, const char *const *words, size_t count, struct store_rows **rows,
                      tally_error *error) {
  tally_cursor *made = NULL;
  int code = tally_job_open(engine(store), words, count, &made, error);
  return opened(code, made, rows);
}

static int engine_flush(struct store *store, tally_error *error) { return tally_flush(engine(store), error); }

static int engine_close(struct store *store, tally_error *error) {
  int code = tally_close(engine(store), error);
  mem_free(store);
  return code;
}

static size_t engine_columns(const struct store_rows *rows) {
  return tally_cursor_columns(cursor_const(rows));
}
static tally_result_column engine_column(const struct store_rows *rows, size_t column) {
  return tally_cursor_column(cursor_const(rows), column);
}
static int engine_rows(struct store_rows *rows, size_t most, const tally_text **cells, size_t *count,
                       tally_error *error) {
  return tally_cursor_rows(cursor(rows), most, cells, count, error);
}
static void engine_left_out(const struct store_rows *rows, uint64_t *segments, uint64_t *held) {
  tally_cursor_left_out(cursor_const(rows), segments, held);
}
static void engine_interrupt(struct store *store) { tally_interrupt(engine(store)); }
static void engine_cancel(struct store_rows *rows) { tally_cursor_cancel(cursor(rows)); }
static void engine_rest(struct store_rows *rows) { tally_cursor_rest(cursor(rows)); }
static void engine_close_rows(struct store_rows *rows) { tally_cursor_close(cursor(rows)); }

static const struct store_operations operations = {
    .append = engine_append,
    .mark = engine_mark,
    .query = engine_query,
    .events = engine_events,
    .stats = engine_stats,
    .verify = engine_verify,
    .job = engine_job,
    .interrupt = engine_interrupt,
    .flush = engine_flush,
    .close = engine_close,
    .columns = engine_columns,
    .column = engine_column,
    .rows = engine_rows,
    .left_out = engine_left_out,
    .cancel = engine_cancel,
    .rest = engine_rest,
    .close_rows = engine_close_rows,
};

int store_engine_open(const char *directory, const tally_options *options, struct store **store,
                      tally_error *error) {
  struct engine_store *made = mem_zalloc(1, sizeof *made);
  if (!made) return fail_memory(error, "the store");
  int code = tally_open(directory, options, &made->tally, error);
  if (code != TALLY_OK) {
    mem_free(made);
    return code;
  }
  made->store.operations = &operations;
  *store = &made->store;
  return TALLY_OK;
}
