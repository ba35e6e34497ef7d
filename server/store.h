/* store.h - what the server needs of a store, as one small table. The engine is its first implementation
 * (store_engine.c); a cluster can be another. Requests and answers are the texts and structures of tally.h,
 * never a store's internals.
 *
 * 1. Every function may be called from several threads at once; a store_rows belongs to one thread at a time,
 *    except that `cancel` may be called from any thread while the rows are open.
 * 2. The loop thread calls none of them but `cancel` and `interrupt`: all others may wait for a disk. But for
 * a query or events with TALLY_AT_ONCE, and what belongs to their rows.
 * 3. All rows are closed before the store is. */
#ifndef SERVER_STORE_H
#define SERVER_STORE_H

#include <tally.h>

struct store;
struct store_rows;

struct store_operations {
  /* As tally_append_group: in order, each with its own result. */
  void (*append)(struct store *store, tally_append_item *items, size_t count);
  int (*mark)(struct store *store, const char *producer, uint64_t epoch, tally_mark *mark,
              tally_error *error);
  int (*query)(struct store *store, const tally_query *query, struct store_rows **rows, tally_error *error);
  int (*events)(struct store *store, const tally_scan *scan, struct store_rows **rows, tally_error *error);
  int (*stats)(struct store *store, struct store_rows **rows, tally_error *error);
  int (*verify)(struct store *store, struct store_rows **rows, tally_error *error);
  int (*job)(struct store *store, const char *const *words, size_t count, struct store_rows **rows,
             tally_error *error);
  /* As tally_interrupt: jobs end, and no more begin. */
  void (*interrupt)(struct store *store);
  int (*flush)(struct store *store, tally_error *error);
  int (*close)(struct store *store, tally_error *error); /* syncs; frees the store whatever it returns */

  size_t (*columns)(const struct store_rows *rows);
  tally_result_column (*column)(const struct store_rows *rows, size_t column);
  /* As tally_cursor_rows: TALLY_ROW, TALLY_OK at the end, or a code. TALLY_MEMORY_LIMIT is not the end of
   * events: they hold hardly any memory then, and the next call goes on. */
  int (*rows)(struct store_rows *rows, size_t most, const tally_text **cells, size_t *count,
              tally_error *error);
  /* As tally_cursor_left_out: after the end. */
  void (*left_out)(const struct store_rows *rows, uint64_t *segments, uint64_t *held);
  void (*cancel)(struct store_rows *rows);
  void (*rest)(struct store_rows *rows); /* as tally_cursor_rest */
  void (*close_rows)(struct store_rows *rows);
};

struct store {
  const struct store_operations *operations;
};

/* A store of the engine, in this process. On success *store is to be closed with its `close`. */
int store_engine_open(const char *directory, const tally_options *options, struct store **store,
                      tally_error *error);

#endif
