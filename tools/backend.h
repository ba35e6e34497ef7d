/* backend.h - a store as the tool sees it: on a server (--server) or in this process (--db), with the same
 * code above. One thread. */
#ifndef TOOLS_BACKEND_H
#define TOOLS_BACKEND_H

#include <tally.h>

struct backend;
struct rows; /* an answer being pulled */

/* Exactly one of server ("HOST:PORT") and directory is not NULL. `create`: make the store if it is not there.
 * `read_only`... opens take the store's lock either way. The time-zone hook of proto is registered. */
int backend_open(const char *server, const char *directory, bool create, struct backend **backend,
                 tally_error *error);
/* Closes; a store in this process is sealed: a failure of that is reported. */
int backend_close(struct backend *backend, tally_error *error);

/* Ingest, pipelined: submit hands a batch over (its bytes are copied or sent before it returns; it may wait
 * while too many are under way), receive gives the receipts in the order of submission. receive with nothing
 * under way is a bug. After a TALLY_CONNECTION failure everything under way is unknown: reconnect and ask for
 * the mark. */
int backend_submit(struct backend *backend, const void *bytes, size_t size,
                   const tally_append_options *options, tally_error *error);
size_t backend_under_way(const struct backend *backend);
size_t backend_window(const struct backend *backend); /* how many submissions may be under way */
int backend_receive(struct backend *backend, tally_receipt *receipt, tally_error *error);
int backend_mark(struct backend *backend, const char *producer, uint64_t epoch, tally_mark *mark,
                 tally_error *error);
/* Drops the connection and makes a new one (a store in this process: nothing to do). */
int backend_reconnect(struct backend *backend, tally_error *error);

int backend_query(struct backend *backend, const tally_query *query, struct rows **rows, tally_error *error);
int backend_events(struct backend *backend, const tally_scan *scan, struct rows **rows, tally_error *error);
int backend_stats(struct backend *backend, struct rows **rows, tally_error *error);
int backend_verify(struct backend *backend, struct rows **rows, tally_error *error);
int backend_job(struct backend *backend, const char *const *words, size_t count, struct rows **rows,
                tally_error *error);
int backend_flush(struct backend *backend, tally_error *error);

/* The same store for a second thread, which may ask for its stats alone while the first waits for a job: a
 * connection more, or, for a store in this process, `backend` itself. The other one is to be closed first. */
int backend_watch(struct backend *backend, struct backend **watch, tally_error *error);

size_t rows_columns(const struct rows *rows);
tally_result_column rows_column(const struct rows *rows, size_t column);
int rows_next(struct rows *rows, tally_error *error); /* TALLY_ROW, TALLY_OK, or a code */
tally_text rows_cell(const struct rows *rows, size_t column);
/* Once rows_next has returned TALLY_OK: what the answer lacks (tally_cursor_left_out). */
void rows_left_out(const struct rows *rows, uint64_t *segments, uint64_t *held);
void rows_close(struct rows *rows); /* also before the end */

/* Makes the answer that is open or being started end with TALLY_CANCELLED; nothing happens if there is none.
 * Safe in signal handlers and from any thread while the backend lives. */
void backend_cancel(struct backend *backend);

#endif
