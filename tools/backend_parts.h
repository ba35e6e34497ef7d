/* backend_parts.h - what a kind of backend provides; for backend*.c only.
 *
 * A kind puts struct backend and struct rows at the start of its own structures. Every entry is present. The
 * meanings are those of backend.h. */
#ifndef TOOLS_BACKEND_PARTS_H
#define TOOLS_BACKEND_PARTS_H

#include "tools/backend.h"

struct backend_kind {
  int (*close)(struct backend *backend, tally_error *error); /* frees it */
  int (*submit)(struct backend *backend, const void *bytes, size_t size, const tally_append_options *options,
                tally_error *error);
  size_t (*under_way)(const struct backend *backend);
  size_t (*window)(const struct backend *backend);
  int (*receive)(struct backend *backend, tally_receipt *receipt, tally_error *error);
  int (*mark)(struct backend *backend, const char *producer, uint64_t epoch, tally_mark *mark,
              tally_error *error);
  int (*reconnect)(struct backend *backend, tally_error *error);
  int (*query)(struct backend *backend, const tally_query *query, struct rows **rows, tally_error *error);
  int (*events)(struct backend *backend, const tally_scan *scan, struct rows **rows, tally_error *error);
  int (*stats)(struct backend *backend, struct rows **rows, tally_error *error);
  int (*verify)(struct backend *backend, struct rows **rows, tally_error *error);
  int (*job)(struct backend *backend, const char *const *words, size_t count, struct rows **rows,
             tally_error *error);
  int (*flush)(struct backend *backend, tally_error *error);
  int (*watch)(struct backend *backend, struct backend **watch, tally_error *error);
  void (*cancel)(struct backend *backend);
};

struct backend {
  const struct backend_kind *kind;
};

struct rows_kind {
  size_t (*columns)(const struct rows *rows);
  tally_result_column (*column)(const struct rows *rows, size_t column);
  int (*next)(struct rows *rows, tally_error *error);
  tally_text (*cell)(const struct rows *rows, size_t column);
  void (*left_out)(const struct rows *rows, uint64_t *segments, uint64_t *held);
  void (*close)(struct rows *rows); /* frees it */
};

struct rows {
  const struct rows_kind *kind;
};

int backend_server_open(const char *server, struct backend **backend, tally_error *error);
int backend_store_open(const char *directory, bool create, struct backend **backend, tally_error *error);

#endif
