/* ingest_fake.c - see ingest_fake.h. Batches are judged when they are submitted; what the tool has not
 * received is in a queue, which a lost connection empties. */
#include "ingest_fake.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"
#include "model/batch.h"

struct fake fake;

struct answer {
  int code;
  tally_receipt receipt;
  tally_error error;
};

static struct answer answers[64];
static size_t first, count;
static bool lost;

void fake_start(void) {
  const char *seed = getenv("TALLY_SEED");
  memset(&fake, 0, sizeof fake);
  fake.random = seed ? strtoull(seed, NULL, 10) : 42;
  fake.window = 4;
  first = count = 0;
  lost = false;
  printf("TALLY_SEED=%" PRIu64 "\n", fake.random);
}

void fake_connect(void) {
  first = count = 0;
  lost = false;
}

struct backend *fake_backend(void) {
  return (struct backend *)&fake;
}

static bool one_in(uint64_t n) { return n && hash_mix(++fake.random) % n == 0; }

static int lose(tally_error *error) {
  fake.losses += !lost;
  lost = true;
  first = count = 0;
  return fail(error, TALLY_CONNECTION, "the connection broke");
}

/* ------------------------------------------------------------------ batches */

/* The rows' timestamps in order. */
static uint32_t read_times(const void *bytes, size_t size, int64_t *times) {
  struct batch_scratch scratch = {0};
  struct batch batch;
  tally_error error;
  int (*hook)(size_t size) = mem_test_hook; /* it is for the client's memory */
  mem_test_hook = NULL;
  cr_assert_eq(batch_open(bytes, size, &scratch, &batch, &error), 0, "%s", error.text);
  mem_test_hook = hook;
  cr_assert_eq(batch_check(&batch, INT64_MAX, &error), 0, "%s", error.text);
  batch_values(&batch.column[TALLY_COL_TIMESTAMP], 0, batch.rows, times);
  batch_scratch_free(&scratch);
  return batch.rows;
}

static int refuse_row(tally_error *error, int code, uint32_t row) {
  fail(error, code, "row %" PRIu32 " (counted from 0), column timestamp: not now", row);
  error->row = row;
  error->column = TALLY_COL_TIMESTAMP;
  return code;
}

static int judge_rows(const int64_t *times, uint32_t rows, tally_error *error) {
  for (uint32_t i = 0; i < rows; i++) {
    cr_assert(times[i] >= 0 && times[i] < FAKE_ROWS);
    if (fake.latest && times[i] > fake.latest) return refuse_row(error, TALLY_INVALID_ROW, i);
    if (fake.oldest && times[i] < fake.oldest) return refuse_row(error, TALLY_TOO_LATE, i);
  }
  return 0;
}

static int judge_sequence(const tally_append_options *o, tally_error *error, bool *duplicate) {
  cr_assert(o->sequence >= 1 && o->sequence < FAKE_BATCHES && o->has_fingerprint);
  *duplicate = o->sequence <= fake.mark;
  if (*duplicate && memcmp(fake.fingerprints[o->sequence], o->fingerprint, 16) != 0)
    return fail(error, TALLY_CONFLICT, "another content");
  if (!*duplicate && o->sequence != fake.mark + 1)
    return fail(error, TALLY_GAP, "the next is %" PRIu64, fake.mark + 1);
  return 0;
}

static void take(const int64_t *times, uint32_t rows, const tally_append_options *o) {
  for (uint32_t i = 0; i < rows; i++) fake.times[times[i]]++;
  fake.rows += rows;
  if (!o->producer) return;
  fake.mark = o->sequence;
  memcpy(fake.fingerprints[o->sequence], o->fingerprint, 16);
  fake.batch_rows[o->sequence] = rows;
}

static void judge(const void *bytes, size_t size, const tally_append_options *o, struct answer *a) {
  static int64_t times[TALLY_BATCH_ROWS];
  bool duplicate = false;
  uint32_t rows = read_times(bytes, size, times);
  a->receipt = (tally_receipt){.rows = rows};
  a->code = one_in(fake.busy) ? fail(&a->error, TALLY_BUSY, "too much is under way") : 0;
  if (!a->code && o->producer) a->code = judge_sequence(o, &a->error, &duplicate);
  if (!a->code && !duplicate) a->code = judge_rows(times, rows, &a->error);
  a->receipt.duplicate = duplicate;
  if (!a->code && !duplicate) take(times, rows, o);
}

/* ------------------------------------------------------------------ backend.h */

int backend_submit(struct backend *b, const void *bytes, size_t size, const tally_append_options *options,
                   tally_error *error) {
  (void)b;
  if (lost || one_in(fake.lose_before)) return lose(error);
  cr_assert(count < fake.window, "more than the window is under way");
  fake.submissions++;
  judge(bytes, size, options, &answers[(first + count) % 64]);
  count++;
  if (count > fake.most_under_way) fake.most_under_way = count;
  return one_in(fake.lose_after) ? lose(error) : 0;
}

size_t backend_under_way(const struct backend *b) {
  (void)b;
  return count;
}

size_t backend_window(const struct backend *b) {
  (void)b;
  return fake.window;
}

int backend_receive(struct backend *b, tally_receipt *receipt, tally_error *error) {
  (void)b;
  if (lost || one_in(fake.lose_after)) return lose(error);
  cr_assert(count, "nothing is under way");
  const struct answer *a = &answers[first];
  first = (first + 1) % 64;
  count--;
  if (a->code)
    *error = a->error;
  else
    *receipt = a->receipt;
  return a->code;
}

int backend_mark(struct backend *b, const char *producer, uint64_t epoch, tally_mark *mark,
                 tally_error *error) {
  (void)b, (void)producer;
  if (lost || (fake.losses && one_in(fake.lose_again))) return lose(error);
  *mark = (tally_mark){.epoch = epoch, .sequence = fake.mark};
  return 0;
}

int backend_reconnect(struct backend *b, tally_error *error) {
  (void)b;
  first = count = 0;
  if (one_in(fake.unreachable)) return lose(error);
  lost = false;
  return 0;
}

/* The rest of backend.h is there so that the real one is not linked. */
static int unwanted(tally_error *error) { return fail(error, TALLY_UNSUPPORTED, "not in this test"); }

int backend_open(const char *server, const char *directory, bool create, struct backend **backend,
                 tally_error *error) {
  (void)server, (void)directory, (void)create, (void)backend;
  return unwanted(error);
}
int backend_close(struct backend *b, tally_error *error) {
  (void)b;
  return unwanted(error);
}
int backend_query(struct backend *b, const tally_query *query, struct rows **rows, tally_error *error) {
  (void)b, (void)query, (void)rows;
  return unwanted(error);
}
int backend_events(struct backend *b, const tally_scan *scan, struct rows **rows, tally_error *error) {
  (void)b, (void)scan, (void)rows;
  return unwanted(error);
}
int backend_stats(struct backend *b, struct rows **rows, tally_error *error) {
  (void)b, (void)rows;
  return unwanted(error);
}
int backend_verify(struct backend *b, struct rows **rows, tally_error *error) {
  (void)b, (void)rows;
  return unwanted(error);
}
int backend_flush(struct backend *b, tally_error *error) {
  (void)b;
  return unwanted(error);
}
void backend_cancel(struct backend *b) { (void)b; }
size_t rows_columns(const struct rows *rows) { return (void)rows, 0; }
tally_result_column rows_column(const struct rows *rows, size_t column) {
  return (void)rows, (void)column, (tally_result_column){"", TALLY_TYPE_TEXT};
}
int rows_next(struct rows *rows, tally_error *error) {
  (void)rows;
  return unwanted(error);
}
tally_text rows_cell(const struct rows *rows, size_t column) {
  return (void)rows, (void)column, (tally_text){NULL, 0};
}
void rows_close(struct rows *rows) { (void)rows; }
