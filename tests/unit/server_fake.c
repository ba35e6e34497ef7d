/* server_fake.c - see server_fake.h. A batch "gap..." is refused as TALLY_GAP, any other is in. */
#include "unit/server_fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

#define TEXT_MAX (64u << 10)
#define FAKE_ROWS 3 /* at a time */

struct fake_rows {
  struct fake *fake;
  uint64_t left, given;
  size_t text_size;
  bool stuck, fails;
  uint64_t hungry_at; /* the row before which memory is refused; UINT64_MAX: none */
  _Atomic bool cancelled;
  char number[FAKE_ROWS][24];
  tally_text cells[2 * FAKE_ROWS];
  char text[TEXT_MAX];
};

static struct fake *fake_of(struct store *store) { return (struct fake *)store; }
static struct fake_rows *rows_of(struct store_rows *rows) { return (struct fake_rows *)rows; }

static void append_one(struct fake *fake, tally_append_item *item) {
  if (item->size >= 3 && memcmp(item->bytes, "gap", 3) == 0) {
    item->result = fail(&item->error, TALLY_GAP, "sequence %llu is not the next one",
                        (unsigned long long)item->options.sequence);
    item->error.sequence = 7;
    return;
  }
  item->result = TALLY_OK;
  item->receipt = (tally_receipt){.rows = (uint32_t)item->size};
  atomic_fetch_add(&fake->batches, 1);
  atomic_fetch_add(&fake->bytes, item->size);
}

static void fake_append(struct store *store, tally_append_item *items, size_t count) {
  struct fake *fake = fake_of(store);
  atomic_fetch_add(&fake->groups, 1);
  uv_mutex_lock(&fake->lock);
  while (fake->held) uv_cond_wait(&fake->changed, &fake->lock);
  uv_mutex_unlock(&fake->lock);
  for (size_t i = 0; i < count; i++) append_one(fake, &items[i]);
}

static int fake_mark(struct store *store, const char *producer, uint64_t epoch, tally_mark *mark,
                     tally_error *error) {
  (void)error;
  *mark = (tally_mark){.epoch = epoch ? epoch : strlen(producer),
                       .sequence = atomic_load(&fake_of(store)->batches)};
  return TALLY_OK;
}

static void wait_for(struct fake *fake, const _Atomic bool *end) {
  atomic_fetch_add(&fake->stuck, 1);
  uv_mutex_lock(&fake->lock);
  while (!atomic_load(end) && !fake->loose) uv_cond_wait(&fake->changed, &fake->lock);
  uv_mutex_unlock(&fake->lock);
  atomic_fetch_sub(&fake->stuck, 1);
}

static struct fake_rows *rows_new(struct store *store, uint64_t limit, uint64_t timeout) {
  struct fake_rows *rows = calloc(1, sizeof *rows);
  if (!rows) abort();
  rows->fake = fake_of(store);
  rows->left = limit;
  rows->hungry_at = UINT64_MAX;
  memset(rows->text, 'x', sizeof rows->text);
  atomic_store(&rows->fake->timeout, timeout);
  atomic_fetch_add(&rows->fake->open, 1);
  return rows;
}

static int refuse_at_once(struct store *store, tally_error *error) {
  atomic_fetch_add(&fake_of(store)->tries, 1);
  return fail(error, TALLY_BUSY, "not at once");
}

static int fake_query(struct store *store, const tally_query *query, struct store_rows **made,
                      tally_error *error) {
  bool quick = query->tz && strcmp(query->tz, "quick") == 0;
  if (query->flags & TALLY_AT_ONCE && !quick) return refuse_at_once(store, error);
  if (query->flags & TALLY_AT_ONCE) {
    atomic_fetch_add(&fake_of(store)->tries, 1);
    atomic_fetch_add(&fake_of(store)->quick, 1);
  }
  if (query->from && strcmp(query->from, "refuse") == 0)
    return fail(error, TALLY_USAGE, "from: 'refuse' is no time");
  struct fake_rows *rows = rows_new(store, query->limit, query->timeout);
  if (query->group_by) rows->text_size = (size_t)atoi(query->group_by) % (TEXT_MAX + 1);
  rows->stuck = query->tz && strcmp(query->tz, "stuck") == 0;
  if (query->tz && strcmp(query->tz, "hungry") == 0) rows->hungry_at = 0;
  rows->fails = query->aggregates && strcmp(query->aggregates, "fail") == 0;
  *made = (struct store_rows *)rows;
  return TALLY_OK;
}

static int fake_events(struct store *store, const tally_scan *scan, struct store_rows **made,
                       tally_error *error) {
  if (scan->flags & TALLY_AT_ONCE) return refuse_at_once(store, error);
  struct fake_rows *rows = rows_new(store, scan->limit, scan->timeout);
  if (scan->columns && strcmp(scan->columns, "hungry") == 0) rows->hungry_at = 5;
  *made = (struct store_rows *)rows;
  return TALLY_OK;
}

static int fake_stats(struct store *store, struct store_rows **made, tally_error *error) {
  (void)error;
  *made = (struct store_rows *)rows_new(store, 1, 0);
  return TALLY_OK;
}

static int fake_verify(struct store *store, struct store_rows **made, tally_error *error) {
  (void)error;
  struct fake_rows *rows = rows_new(store, 0, 0);
  rows->stuck = true;
  *made = (struct store_rows *)rows;
  return TALLY_OK;
}

static int fake_job(struct store *store, const char *const *words, size_t count, struct store_rows **made,
                    tally_error *error) {
  if (strcmp(words[0], "refuse") == 0) return fail(error, TALLY_USAGE, "there is no job 'refuse'");
  if (strcmp(words[0], "long") == 0) {
    wait_for(fake_of(store), &fake_of(store)->interrupted);
    return fail(error, TALLY_CANCELLED, "interrupted");
  }
  *made = (struct store_rows *)rows_new(store, count, 0);
  return TALLY_OK;
}

static void fake_interrupt(struct store *store) {
  struct fake *fake = fake_of(store);
  uv_mutex_lock(&fake->lock);
  atomic_store(&fake->interrupted, true);
  uv_cond_broadcast(&fake->changed);
  uv_mutex_unlock(&fake->lock);
}

static int fake_flush(struct store *store, tally_error *error) {
  (void)error;
  atomic_fetch_add(&fake_of(store)->flushes, 1);
  return TALLY_OK;
}

static int fake_close(struct store *store, tally_error *error) {
  (void)store;
  (void)error;
  return TALLY_OK;
}

static size_t fake_columns(const struct store_rows *rows) {
  (void)rows;
  return 2;
}

static tally_result_column fake_column(const struct store_rows *rows, size_t column) {
  (void)rows;
  return column ? (tally_result_column){"text", TALLY_TYPE_TEXT} : (tally_result_column){"n", TALLY_TYPE_INT};
}

/* One row, if there is one. */
static int fake_row(struct fake_rows *rows, size_t at, tally_error *error) {
  if (rows->given == rows->hungry_at && !atomic_load(&rows->fake->rests))
    return fail(error, TALLY_MEMORY_LIMIT, "no memory");
  if (atomic_load(&rows->cancelled)) return fail(error, TALLY_CANCELLED, "cancelled");
  if (!rows->left) return rows->fails ? fail(error, TALLY_OVERFLOW, "the sum does not fit") : TALLY_OK;
  rows->left--;
  char *number = rows->number[at];
  (void)snprintf(number, sizeof rows->number[at], "%llu", (unsigned long long)rows->given++);
  atomic_fetch_add(&rows->fake->rows, 1);
  rows->cells[2 * at] = (tally_text){number, strlen(number)};
  rows->cells[2 * at + 1] = (tally_text){rows->text, rows->text_size};
  return TALLY_ROW;
}

static int fake_next(struct store_rows *opaque, size_t most, const tally_text **cells, size_t *count,
                     tally_error *error) {
  struct fake_rows *rows = rows_of(opaque);
  int code = TALLY_ROW;
  if (rows->stuck) wait_for(rows->fake, &rows->cancelled);
  if (most > FAKE_ROWS) most = FAKE_ROWS;
  *cells = rows->cells;
  for (*count = 0; *count < most && (code = fake_row(rows, *count, error)) == TALLY_ROW;) ++*count;
  return *count ? TALLY_ROW : code;
}

static void fake_rest(struct store_rows *opaque) { atomic_fetch_add(&rows_of(opaque)->fake->rests, 1); }

static void fake_cancel(struct store_rows *opaque) {
  struct fake_rows *rows = rows_of(opaque);
  uv_mutex_lock(&rows->fake->lock);
  atomic_store(&rows->cancelled, true);
  uv_cond_broadcast(&rows->fake->changed);
  uv_mutex_unlock(&rows->fake->lock);
}

static void fake_close_rows(struct store_rows *rows) {
  atomic_fetch_sub(&rows_of(rows)->fake->open, 1);
  free(rows);
}

static void fake_left_out(const struct store_rows *rows, uint64_t *segments, uint64_t *held) {
  (void)rows;
  *segments = *held = 0;
}

static const struct store_operations operations = {.append = fake_append,
                                                   .mark = fake_mark,
                                                   .query = fake_query,
                                                   .events = fake_events,
                                                   .stats = fake_stats,
                                                   .verify = fake_verify,
                                                   .job = fake_job,
                                                   .interrupt = fake_interrupt,
                                                   .flush = fake_flush,
                                                   .close = fake_close,
                                                   .columns = fake_columns,
                                                   .column = fake_column,
                                                   .rows = fake_next,
                                                   .left_out = fake_left_out,
                                                   .cancel = fake_cancel,
                                                   .rest = fake_rest,
                                                   .close_rows = fake_close_rows};

void fake_init(struct fake *fake) {
  memset(fake, 0, sizeof *fake);
  fake->store.operations = &operations;
  if (uv_mutex_init(&fake->lock) || uv_cond_init(&fake->changed)) abort();
}

void fake_hold(struct fake *fake, bool held) {
  uv_mutex_lock(&fake->lock);
  fake->held = held;
  uv_cond_broadcast(&fake->changed);
  uv_mutex_unlock(&fake->lock);
}

void fake_loosen(struct fake *fake, bool loose) {
  uv_mutex_lock(&fake->lock);
  fake->loose = loose;
  uv_cond_broadcast(&fake->changed);
  uv_mutex_unlock(&fake->lock);
}

bool fake_wait(_Atomic uint64_t *value, uint64_t least) {
  for (int i = 0; i < 5000; i++) {
    if (atomic_load(value) >= least) return true;
    uv_sleep(2);
  }
  return false;
}

bool fake_wait_int(_Atomic int *value, int wanted) {
  for (int i = 0; i < 5000; i++) {
    if (atomic_load(value) == wanted) return true;
    uv_sleep(2);
  }
  return false;
}
