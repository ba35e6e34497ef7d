/* backend.c - hands each call to the kind of backend it is for; see backend.h. */
#include "tools/backend_parts.h"

int backend_open(const char *server, const char *directory, bool create, struct backend **backend,
                 tally_error *error) {
  return server ? backend_server_open(server, backend, error)
                : backend_store_open(directory, create, backend, error);
}

int backend_close(struct backend *b, tally_error *error) { return b->kind->close(b, error); }

int backend_submit(struct backend *b, const void *bytes, size_t size, const tally_append_options *options,
                   tally_error *error) {
  return b->kind->submit(b, bytes, size, options, error);
}
size_t backend_under_way(const struct backend *b) { return b->kind->under_way(b); }
size_t backend_window(const struct backend *b) { return b->kind->window(b); }
int backend_receive(struct backend *b, tally_receipt *receipt, tally_error *error) {
  return b->kind->receive(b, receipt, error);
}
int backend_mark(struct backend *b, const char *producer, uint64_t epoch, tally_mark *mark,
                 tally_error *error) {
  return b->kind->mark(b, producer, epoch, mark, error);
}
int backend_reconnect(struct backend *b, tally_error *error) { return b->kind->reconnect(b, error); }

int backend_query(struct backend *b, const tally_query *query, struct rows **rows, tally_error *error) {
  return b->kind->query(b, query, rows, error);
}
int backend_events(struct backend *b, const tally_scan *scan, struct rows **rows, tally_error *error) {
  return b->kind->events(b, scan, rows, error);
}
int backend_stats(struct backend *b, struct rows **rows, tally_error *error) {
  return b->kind->stats(b, rows, error);
}
int backend_verify(struct backend *b, struct rows **rows, tally_error *error) {
  return b->kind->verify(b, rows, error);
}
int backend_job(struct backend *b, const char *const *words, size_t count, struct rows **rows,
                tally_error *error) {
  return b->kind->job(b, words, count, rows, error);
}
int backend_flush(struct backend *b, tally_error *error) { return b->kind->flush(b, error); }
int backend_watch(struct backend *b, struct backend **watch, tally_error *error) {
  return b->kind->watch(b, watch, error);
}
void backend_cancel(struct backend *b) { b->kind->cancel(b); }

size_t rows_columns(const struct rows *rows) { return rows->kind->columns(rows); }
tally_result_column rows_column(const struct rows *rows, size_t column) {
  return rows->kind->column(rows, column);
}
int rows_next(struct rows *rows, tally_error *error) { return rows->kind->next(rows, error); }
tally_text rows_cell(const struct rows *rows, size_t column) { return rows->kind->cell(rows, column); }
void rows_left_out(const struct rows *rows, uint64_t *segments, uint64_t *held) {
  rows->kind->left_out(rows, segments, held);
}
void rows_close(struct rows *rows) { rows->kind->close(rows); }
