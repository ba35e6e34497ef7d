/* client_rows.c - answers of rows, pulled; see client.h for the rules. */
#include "base/mem.h"
#include "base/status.h"
#include "proto/client_parts.h"

struct client_rows {
  struct client *client; /* NULL: it has hung up */
  uint64_t id;
  tally_result_column *columns;
  size_t count;
  tally_text *cells; /* of the current row, borrowed from the frame it came in */
  struct message_rows_reader reader;
  uint64_t taken;         /* rows given out or still in `reader` */
  bool more;              /* the server may still send */
  struct message_end end; /* once the end has come */
  bool ended;             /* `final` holds what every further call says; code 0: the end */
  tally_error final;
};

/* ------------------------------------------------------------------ starting */

/* Reads the rest of an answer and drops it, after telling the server to stop. */
static void cancel_and_drain(struct client *client, uint64_t id) {
  tally_error error;
  struct frame frame;
  if (client->broken.code) return;
  if (message_put_empty(&client->connection.out, MESSAGE_CANCEL, id, &error)) {
    (void)client_break(client, &error);
    return;
  }
  while (client_next(client, id, false, &frame, &error) == CLIENT_MINE)
    if (frame.type == MESSAGE_END || frame.type == MESSAGE_ERROR) return;
}

static int fail_cancelled(tally_error *error) {
  return fail(error, TALLY_CANCELLED, "cancelled: the answer is not whole");
}

static struct client_rows *rows_new(struct client *client, uint64_t id, tally_result_column *columns,
                                    size_t count) {
  struct client_rows *rows = mem_zalloc(1, sizeof *rows);
  tally_text *cells = mem_zalloc(count, sizeof *cells);
  if (!rows || !cells) {
    mem_free(rows);
    mem_free(cells);
    return NULL;
  }
  *rows = (struct client_rows){
      .client = client, .id = id, .columns = columns, .count = count, .cells = cells, .more = true};
  return rows;
}

/* Waits for the columns of the request just queued. */
static int start(struct client *client, uint64_t id, struct client_rows **rows, tally_error *error) {
  struct frame frame;
  tally_result_column *columns;
  size_t count;
  int code = client_next(client, id, true, &frame, error);
  if (code == CLIENT_CANCELLED) {
    cancel_and_drain(client, id);
    return fail_cancelled(error);
  }
  if (code != CLIENT_MINE) return code;
  if (frame.type != MESSAGE_COLUMNS) return client_refused(client, &frame, error);
  code = message_get_columns(&frame, &columns, &count, error);
  if (code == TALLY_PROTOCOL) return client_break(client, error);
  *rows = code ? NULL : rows_new(client, id, columns, count);
  if (!*rows) {
    if (!code) mem_free(columns);
    cancel_and_drain(client, id);
    return fail_memory(error, "an answer");
  }
  client->open = *rows;
  return 0;
}

static int ready(struct client *client, tally_error *error) {
  if (client_ready(client, error)) return error->code;
  atomic_store(&client->cancelled, false);
  return 0;
}

int client_query(struct client *client, const tally_query *query, struct client_rows **rows,
                 tally_error *error) {
  uint64_t id;
  if (ready(client, error)) return error->code;
  int put = message_put_query(&client->connection.out, client->next_id, query, error);
  return client_asked(client, put, &id) ? put : start(client, id, rows, error);
}

int client_events(struct client *client, const tally_scan *scan, struct client_rows **rows,
                  tally_error *error) {
  uint64_t id;
  if (ready(client, error)) return error->code;
  int put = message_put_events(&client->connection.out, client->next_id, scan, error);
  return client_asked(client, put, &id) ? put : start(client, id, rows, error);
}

static int start_empty(struct client *client, uint8_t type, struct client_rows **rows, tally_error *error) {
  uint64_t id;
  if (ready(client, error)) return error->code;
  int put = message_put_empty(&client->connection.out, type, client->next_id, error);
  return client_asked(client, put, &id) ? put : start(client, id, rows, error);
}

int client_stats(struct client *client, struct client_rows **rows, tally_error *error) {
  return start_empty(client, MESSAGE_STATS, rows, error);
}

int client_verify(struct client *client, struct client_rows **rows, tally_error *error) {
  return start_empty(client, MESSAGE_VERIFY, rows, error);
}

int client_job(struct client *client, const char *const *words, size_t count, struct client_rows **rows,
               tally_error *error) {
  uint64_t id;
  if (ready(client, error)) return error->code;
  int put = message_put_job(&client->connection.out, client->next_id, words, count, error);
  return client_asked(client, put, &id) ? put : start(client, id, rows, error);
}

/* ------------------------------------------------------------------ pulling */

size_t client_rows_columns(const struct client_rows *rows) { return rows->count; }
tally_result_column client_rows_column(const struct client_rows *rows, size_t column) {
  return rows->columns[column];
}
tally_text client_rows_cell(const struct client_rows *rows, size_t column) { return rows->cells[column]; }

void client_rows_left_out(const struct client_rows *rows, uint64_t *segments, uint64_t *held) {
  *segments = rows->end.left_out;
  *held = rows->end.rows_left_out;
}

static int finish(struct client_rows *rows, const tally_error *final, bool more) {
  rows->ended = true;
  rows->more = more;
  if (final) rows->final = *final;
  return rows->final.code;
}

static int at_end(struct client_rows *rows, const struct frame *frame, tally_error *error) {
  int code = message_get_end(frame, &rows->end, error);
  uint64_t sent = rows->end.rows;
  if (code == 0 && sent != rows->taken)
    code = fail(error, TALLY_PROTOCOL, "the answer ends with %llu rows, but %llu have come: ask again",
                (unsigned long long)sent, (unsigned long long)rows->taken);
  if (code == 0) return finish(rows, NULL, false);
  (void)client_break(rows->client, error);
  return finish(rows, error, false);
}

/* Gets the next run of rows: CLIENT_MINE, or what client_rows_next is to return. */
static int next_frame(struct client_rows *rows, tally_error *error) {
  struct frame frame;
  int code = client_next(rows->client, rows->id, true, &frame, error);
  if (code == CLIENT_CANCELLED) {
    (void)fail_cancelled(error);
    return finish(rows, error, true);
  }
  if (code != CLIENT_MINE) return finish(rows, error, false);
  if (frame.type == MESSAGE_END) return at_end(rows, &frame, error);
  if (frame.type != MESSAGE_ROWS) {
    (void)client_refused(rows->client, &frame, error);
    return finish(rows, error, false);
  }
  if (message_get_rows(&frame, rows->count, &rows->reader, error)) {
    (void)client_break(rows->client, error);
    return finish(rows, error, false);
  }
  rows->taken += rows->reader.left;
  return CLIENT_MINE;
}

int client_rows_next(struct client_rows *rows, tally_error *error) {
  tally_error found;
  while (!rows->ended) {
    if (atomic_load_explicit(&rows->client->cancelled, memory_order_relaxed)) {
      (void)fail_cancelled(&found);
      (void)finish(rows, &found, true);
      break;
    }
    int code = rows->reader.columns ? message_rows_next(&rows->reader, rows->cells, &found) : TALLY_OK;
    if (code == TALLY_ROW) return code;
    if (code) {
      (void)client_break(rows->client, &found);
      (void)finish(rows, &found, false);
    } else if (next_frame(rows, &found) != CLIENT_MINE) {
      break;
    }
  }
  if (rows->final.code) *error = rows->final;
  return rows->final.code;
}

void client_rows_orphan(struct client *client) {
  struct client_rows *rows = client->open;
  if (!rows) return;
  client->open = NULL;
  rows->client = NULL;
  memset(rows->cells, 0, rows->count * sizeof *rows->cells); /* what they borrowed is gone */
  if (rows->ended) return;
  tally_error gone;
  (void)fail(&gone, TALLY_CONNECTION, "the connection was closed while the answer was read: ask again");
  (void)finish(rows, &gone, false);
}

void client_rows_close(struct client_rows *rows) {
  if (!rows) return;
  if (rows->client) {
    if (rows->more) cancel_and_drain(rows->client, rows->id);
    rows->client->open = NULL;
  }
  mem_free(rows->columns);
  mem_free(rows->cells);
  mem_free(rows);
}
