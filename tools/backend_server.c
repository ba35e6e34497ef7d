/* backend_server.c - a store on a server, over a client connection; see backend.h and proto/client.h.
 *
 * A connection that failed stays failed until it is made anew. Requests do that themselves, so that a shell
 * outlives its server; batches do not, because ingest must ask for the producer's mark first. */
#include "tools/backend_parts.h"

#include "base/mem.h"
#include "base/status.h"
#include "proto/client.h"

#include <stdio.h>
#include <string.h>

struct server_rows {
  struct rows rows;
  struct backend *backend;
  struct client_rows *answer;
};

struct server_backend {
  struct backend backend;
  struct client *client;
  char *server; /* its address */
  bool lost;    /* the connection failed */
};

static struct client *client_of(const struct backend *b) {
  return ((const struct server_backend *)b)->client;
}
static struct client_rows *answer_of(const struct rows *r) { return ((const struct server_rows *)r)->answer; }

/* ---- the connection */

/* Makes a lost connection anew before a request. */
static int connected(struct backend *backend, tally_error *error) {
  struct server_backend *b = (struct server_backend *)backend;
  if (!b->lost) return 0;
  int code = client_reconnect(b->client, error);
  b->lost = code != 0;
  return code;
}

/* Notes whether the connection is lost with this error, which may be the server's own: then it is only made
 * anew without need. */
static int noted(struct backend *backend, int code) {
  if (code == TALLY_CONNECTION || code == TALLY_PROTOCOL) ((struct server_backend *)backend)->lost = true;
  return code;
}

/* ---- rows */

static size_t server_rows_columns(const struct rows *r) { return client_rows_columns(answer_of(r)); }
static tally_result_column server_rows_column(const struct rows *r, size_t column) {
  return client_rows_column(answer_of(r), column);
}
static int server_rows_next(struct rows *r, tally_error *error) {
  return noted(((struct server_rows *)r)->backend, client_rows_next(answer_of(r), error));
}
static tally_text server_rows_cell(const struct rows *r, size_t column) {
  return client_rows_cell(answer_of(r), column);
}
static void server_rows_left_out(const struct rows *r, uint64_t *segments, uint64_t *held) {
  client_rows_left_out(answer_of(r), segments, held);
}
static void server_rows_close(struct rows *r) {
  client_rows_close(answer_of(r));
  mem_free(r);
}

static const struct rows_kind server_rows_kind = {server_rows_columns,  server_rows_column,
                                                  server_rows_next,     server_rows_cell,
                                                  server_rows_left_out, server_rows_close};

static int wrap_rows(struct backend *b, int code, struct client_rows *answer, struct rows **rows,
                     tally_error *error) {
  if (code != 0) return noted(b, code);
  struct server_rows *r = mem_zalloc(1, sizeof *r);
  if (!r) {
    client_rows_close(answer);
    return fail_memory(error, "an answer");
  }
  *r = (struct server_rows){{&server_rows_kind}, b, answer};
  *rows = &r->rows;
  return 0;
}

/* ---- the backend */

static int server_close(struct backend *b, tally_error *error) {
  (void)error;
  client_close(client_of(b));
  mem_free(((struct server_backend *)b)->server);
  mem_free(b);
  return 0;
}
static int server_submit(struct backend *b, const void *bytes, size_t size,
                         const tally_append_options *options, tally_error *error) {
  return noted(b, client_submit(client_of(b), bytes, size, options, error));
}
static size_t server_under_way(const struct backend *b) { return client_under_way(client_of(b)); }
static size_t server_window(const struct backend *b) { return client_window(client_of(b)); }
static int server_receive(struct backend *b, tally_receipt *receipt, tally_error *error) {
  return noted(b, client_receive(client_of(b), receipt, error));
}
static int server_mark(struct backend *b, const char *producer, uint64_t epoch, tally_mark *mark,
                       tally_error *error) {
  int code = connected(b, error);
  return code ? code : noted(b, client_mark(client_of(b), producer, epoch, mark, error));
}
static int server_reconnect(struct backend *b, tally_error *error) {
  int code = client_reconnect(client_of(b), error);
  ((struct server_backend *)b)->lost = code != 0;
  return code;
}
static int server_query(struct backend *b, const tally_query *query, struct rows **rows, tally_error *error) {
  struct client_rows *answer = NULL;
  int code = connected(b, error);
  if (code == 0) code = client_query(client_of(b), query, &answer, error);
  return wrap_rows(b, code, answer, rows, error);
}
static int server_events(struct backend *b, const tally_scan *scan, struct rows **rows, tally_error *error) {
  struct client_rows *answer = NULL;
  int code = connected(b, error);
  if (code == 0) code = client_events(client_of(b), scan, &answer, error);
  return wrap_rows(b, code, answer, rows, error);
}
static int server_stats(struct backend *b, struct rows **rows, tally_error *error) {
  struct client_rows *answer = NULL;
  int code = connected(b, error);
  if (code == 0) code = client_stats(client_of(b), &answer, error);
  return wrap_rows(b, code, answer, rows, error);
}
static int server_verify(struct backend *b, struct rows **rows, tally_error *error) {
  struct client_rows *answer = NULL;
  int code = connected(b, error);
  if (code == 0) code = client_verify(client_of(b), &answer, error);
  return wrap_rows(b, code, answer, rows, error);
}
static int server_job(struct backend *b, const char *const *words, size_t count, struct rows **rows,
                      tally_error *error) {
  struct client_rows *answer = NULL;
  int code = connected(b, error);
  if (code == 0) code = client_job(client_of(b), words, count, &answer, error);
  return wrap_rows(b, code, answer, rows, error);
}
static int server_flush(struct backend *b, tally_error *error) {
  int code = connected(b, error);
  return code ? code : noted(b, client_flush(client_of(b), error));
}
static void server_cancel(struct backend *b) { client_cancel(client_of(b)); }

static int server_watch(struct backend *b, struct backend **watch, tally_error *error) {
  return backend_server_open(((struct server_backend *)b)->server, watch, error);
}

static const struct backend_kind server_kind = {
    .close = server_close,
    .submit = server_submit,
    .under_way = server_under_way,
    .window = server_window,
    .receive = server_receive,
    .mark = server_mark,
    .reconnect = server_reconnect,
    .query = server_query,
    .events = server_events,
    .stats = server_stats,
    .verify = server_verify,
    .job = server_job,
    .flush = server_flush,
    .watch = server_watch,
    .cancel = server_cancel,
};

int backend_server_open(const char *server, struct backend **backend, tally_error *error) {
  struct server_backend *b = mem_zalloc(1, sizeof *b);
  if (!b) return fail_memory(error, "a connection");
  b->backend.kind = &server_kind;
  b->server = mem_strndup(server, strlen(server));
  char name[64];
  (void)snprintf(name, sizeof name, "tally %s", tally_version());
  struct client_options options = {.name = name};
  int code =
      b->server ? client_open(server, &options, &b->client, error) : fail_memory(error, "a connection");
  if (code != 0) {
    mem_free(b->server);
    mem_free(b);
    return code;
  }
  *backend = &b->backend;
  return 0;
}
