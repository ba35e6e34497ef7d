/* backend_store.c - a store opened in this process; see backend.h.
 *
 * Batches are appended by a thread of their own, so that the caller parses the next ones while the disk
 * syncs: whatever was submitted meanwhile goes into one tally_append_group. The batches under way are in a
 * ring of WINDOW slots, counted by three numbers that only rise:
 *
 *   received <= appended <= submitted <= received + WINDOW
 *
 * Slots in [received, appended) hold results and belong to the caller's thread, slots in [appended,
 * submitted) belong to the appending thread. The numbers are changed under the lock. Signals are blocked in
 * every thread made here or by the engine, so handlers run in the caller's thread alone and never meet a
 * cursor half closed. */
#include "tools/backend_parts.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "base/status.h"
#include "proto/zone.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#define WINDOW 8u

struct slot {
  struct buffer bytes;    /* the batch */
  struct buffer producer; /* NUL-terminated, empty for none */
  tally_append_item item;
};

struct store_backend {
  struct backend backend;
  tally_store *store;
  _Atomic(tally_cursor *) cursor; /* the answer that is open, for cancel */

  pthread_mutex_t lock;
  pthread_cond_t changed;
  pthread_t thread;
  bool started, closing;
  uint64_t submitted, appended, received;
  struct slot slots[WINDOW];
};

struct store_rows {
  struct rows rows;
  struct store_backend *backend;
  tally_cursor *cursor;
};

static struct store_backend *store_of(struct backend *b) { return (struct store_backend *)b; }
static const tally_cursor *cursor_of(const struct rows *r) { return ((const struct store_rows *)r)->cursor; }

/* ---- rows */

static size_t store_rows_columns(const struct rows *r) { return tally_cursor_columns(cursor_of(r)); }
static tally_result_column store_rows_column(const struct rows *r, size_t column) {
  return tally_cursor_column(cursor_of(r), column);
}
static int store_rows_next(struct rows *r, tally_error *error) {
  return tally_cursor_next(((struct store_rows *)r)->cursor, error);
}
static tally_text store_rows_cell(const struct rows *r, size_t column) {
  return tally_cursor_cell(cursor_of(r), column);
}
static void store_rows_left_out(const struct rows *r, uint64_t *segments, uint64_t *held) {
  tally_cursor_left_out(cursor_of(r), segments, held);
}
static void store_rows_close(struct rows *rows) {
  struct store_rows *r = (struct store_rows *)rows;
  tally_cursor *mine = r->cursor;
  (void)atomic_compare_exchange_strong(&r->backend->cursor, &mine, NULL);
  tally_cursor_close(r->cursor);
  mem_free(r);
}

static const struct rows_kind store_rows_kind = {store_rows_columns, store_rows_column,   store_rows_next,
                                                 store_rows_cell,    store_rows_left_out, store_rows_close};

/* Rows that a handler cannot cancel: their thread may be another one than the caller's. */
static int wrap_figures(struct store_backend *b, int code, tally_cursor *cursor, struct rows **rows,
                        tally_error *error) {
  if (code != 0) return code;
  struct store_rows *r = mem_zalloc(1, sizeof *r);
  if (!r) {
    tally_cursor_close(cursor);
    return fail_memory(error, "an answer");
  }
  *r = (struct store_rows){{&store_rows_kind}, b, cursor};
  *rows = &r->rows;
  return 0;
}

static int wrap_cursor(struct store_backend *b, int code, tally_cursor *cursor, struct rows **rows,
                       tally_error *error) {
  code = wrap_figures(b, code, cursor, rows, error);
  if (code == 0) atomic_store(&b->cursor, cursor);
  return code;
}

/* ---- ingest */

/* Appends what is submitted, group by group, until the backend closes. */
static void *append_submitted(void *arg) {
  struct store_backend *b = arg;
  tally_append_item group[WINDOW];
  pthread_mutex_lock(&b->lock);
  for (;;) {
    while (b->appended == b->submitted && !b->closing) pthread_cond_wait(&b->changed, &b->lock);
    size_t count = (size_t)(b->submitted - b->appended);
    if (!count) break;
    for (size_t i = 0; i < count; i++) group[i] = b->slots[(b->appended + i) % WINDOW].item;
    pthread_mutex_unlock(&b->lock);
    tally_append_group(b->store, group, count);
    pthread_mutex_lock(&b->lock);
    for (size_t i = 0; i < count; i++) b->slots[(b->appended + i) % WINDOW].item = group[i];
    b->appended += count;
    pthread_cond_broadcast(&b->changed);
  }
  pthread_mutex_unlock(&b->lock);
  return NULL;
}

static void block_signals(sigset_t *old) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, old);
}

static int start_appending(struct store_backend *b, tally_error *error) {
  if (b->started) return 0;
  sigset_t old;
  block_signals(&old);
  int failed = pthread_create(&b->thread, NULL, append_submitted, b);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  if (failed) return fail(error, TALLY_NO_MEMORY, "cannot start a thread: %s", strerror(failed));
  b->started = true;
  return 0;
}

static int fill_slot(struct slot *slot, const void *bytes, size_t size, const tally_append_options *options,
                     tally_error *error) {
  buffer_clear(&slot->bytes);
  buffer_clear(&slot->producer);
  buffer_append(&slot->bytes, bytes, size);
  if (options->producer) buffer_append(&slot->producer, options->producer, strlen(options->producer) + 1);
  if (slot->bytes.failed || slot->producer.failed) return fail_memory(error, "a batch");
  slot->item = (tally_append_item){.bytes = slot->bytes.data, .size = size, .options = *options};
  if (options->producer) slot->item.options.producer = (const char *)slot->producer.data;
  return 0;
}

static size_t store_under_way(const struct backend *backend) {
  const struct store_backend *b = (const struct store_backend *)backend;
  return (size_t)(b->submitted - b->received); /* both are changed by this thread alone */
}

static size_t store_window(const struct backend *b) {
  (void)b;
  return WINDOW;
}

static int store_submit(struct backend *backend, const void *bytes, size_t size,
                        const tally_append_options *options, tally_error *error) {
  struct store_backend *b = store_of(backend);
  static const tally_append_options none = {0};
  if (store_under_way(backend) == WINDOW) {
    return fail(error, TALLY_BUSY, "%u batches are under way; receive one first", WINDOW);
  }
  int code = start_appending(b, error);
  if (code == 0)
    code = fill_slot(&b->slots[b->submitted % WINDOW], bytes, size, options ? options : &none, error);
  if (code != 0) return code;
  pthread_mutex_lock(&b->lock);
  b->submitted++;
  pthread_cond_broadcast(&b->changed);
  pthread_mutex_unlock(&b->lock);
  return 0;
}

static void wait_appended(struct store_backend *b, uint64_t count) {
  pthread_mutex_lock(&b->lock);
  while (b->appended < count) pthread_cond_wait(&b->changed, &b->lock);
  pthread_mutex_unlock(&b->lock);
}

static int store_receive(struct backend *backend, tally_receipt *receipt, tally_error *error) {
  struct store_backend *b = store_of(backend);
  if (b->received == b->submitted) return fail(error, TALLY_USAGE, "no batch is under way");
  wait_appended(b, b->received + 1);
  const tally_append_item *item = &b->slots[b->received % WINDOW].item;
  b->received++;
  if (item->result != 0) {
    *error = item->error;
    return item->result;
  }
  if (receipt) *receipt = item->receipt;
  return 0;
}

static int store_reconnect(struct backend *backend, tally_error *error) {
  struct store_backend *b = store_of(backend);
  (void)error;
  wait_appended(b, b->submitted);
  b->received = b->submitted;
  return 0;
}

static int store_mark(struct backend *b, const char *producer, uint64_t epoch, tally_mark *mark,
                      tally_error *error) {
  return tally_producer_mark(store_of(b)->store, producer, epoch, mark, error);
}

/* ---- the rest */

static int store_query(struct backend *b, const tally_query *query, struct rows **rows, tally_error *error) {
  tally_cursor *cursor = NULL;
  int code = tally_query_open(store_of(b)->store, query, &cursor, error);
  return wrap_cursor(store_of(b), code, cursor, rows, error);
}
static int store_events(struct backend *b, const tally_scan *scan, struct rows **rows, tally_error *error) {
  tally_cursor *cursor = NULL;
  int code = tally_scan_open(store_of(b)->store, scan, &cursor, error);
  return wrap_cursor(store_of(b), code, cursor, rows, error);
}
static int store_stats(struct backend *b, struct rows **rows, tally_error *error) {
  tally_cursor *cursor = NULL;
  int code = tally_stats_open(store_of(b)->store, &cursor, error);
  return wrap_figures(store_of(b), code, cursor, rows, error);
}
static int store_verify(struct backend *b, struct rows **rows, tally_error *error) {
  tally_cursor *cursor = NULL;
  int code = tally_verify_open(store_of(b)->store, 0, &cursor, error);
  return wrap_cursor(store_of(b), code, cursor, rows, error);
}
static int store_job(struct backend *b, const char *const *words, size_t count, struct rows **rows,
                     tally_error *error) {
  tally_cursor *cursor = NULL;
  int code = tally_job_open(store_of(b)->store, words, count, &cursor, error);
  return wrap_cursor(store_of(b), code, cursor, rows, error);
}
static int store_flush(struct backend *b, tally_error *error) {
  return tally_flush(store_of(b)->store, error);
}

static int store_watch(struct backend *b, struct backend **watch, tally_error *error) {
  (void)error;
  *watch = b;
  return 0;
}

static void store_cancel(struct backend *b) {
  tally_cursor *cursor = atomic_load(&store_of(b)->cursor);
  if (cursor) tally_cursor_cancel(cursor);
}

static int store_close(struct backend *backend, tally_error *error) {
  struct store_backend *b = store_of(backend);
  if (b->started) {
    pthread_mutex_lock(&b->lock);
    b->closing = true;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
    pthread_join(b->thread, NULL);
  }
  int code = tally_close(b->store, error);
  for (size_t i = 0; i < WINDOW; i++) {
    buffer_free(&b->slots[i].bytes);
    buffer_free(&b->slots[i].producer);
  }
  pthread_cond_destroy(&b->changed);
  pthread_mutex_destroy(&b->lock);
  mem_free(b);
  return code;
}

static const struct backend_kind store_kind = {
    .close = store_close,
    .submit = store_submit,
    .under_way = store_under_way,
    .window = store_window,
    .receive = store_receive,
    .mark = store_mark,
    .reconnect = store_reconnect,
    .query = store_query,
    .events = store_events,
    .stats = store_stats,
    .verify = store_verify,
    .job = store_job,
    .flush = store_flush,
    .watch = store_watch,
    .cancel = store_cancel,
};

int backend_store_open(const char *directory, bool create, struct backend **backend, tally_error *error) {
  struct store_backend *b = mem_zalloc(1, sizeof *b);
  if (!b) return fail_memory(error, "the store");
  b->backend.kind = &store_kind;
  tally_options options;
  tally_options_init(&options);
  options.create = create;
  options.zone = zone_period;
  sigset_t old;
  block_signals(&old);
  int code = tally_open(directory, &options, &b->store, error);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  if (code != 0) {
    mem_free(b);
    return code;
  }
  pthread_mutex_init(&b->lock, NULL);
  pthread_cond_init(&b->changed, NULL);
  *backend = &b->backend;
  return 0;
}
