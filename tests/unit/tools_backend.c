/* Laws of tools/backend.h over a store in this process. */
#include "tools/backend.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/tally-backend-XXXXXX";
static struct backend *backend;
static tally_error error;

static void open_store(void) {
  cr_assert(mkdtemp(folder));
  cr_assert_eq(backend_open(NULL, folder, true, &backend, &error), 0, "%s", error.text);
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *place) {
  (void)status, (void)kind, (void)place;
  return remove(path);
}

static void close_store(void) {
  cr_assert_eq(backend_close(backend, &error), 0, "%s", error.text);
  (void)nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* Submits a batch of `rows` events as batch `sequence` of a producer (0: of none). */
static int submit(uint32_t rows, uint64_t sequence) {
  tally_batch *batch = tally_batch_new();
  const void *bytes = NULL;
  size_t size = 0;
  for (uint32_t i = 0; i < rows; i++) {
    tally_event event = {.timestamp = 1700000000000000 + i, .service_name = {"s", 1}};
    cr_assert_eq(tally_batch_add(batch, &event, &error), 0);
  }
  cr_assert_eq(tally_batch_finish(batch, &bytes, &size, &error), 0);
  char producer[] = "unit";
  tally_append_options options = {.producer = sequence ? producer : NULL, .epoch = 1, .sequence = sequence};
  int code = backend_submit(backend, bytes, size, &options, &error);
  memset(producer, 'x', sizeof producer - 1); /* nothing of the caller's is kept */
  tally_batch_free(batch);
  return code;
}

static void expect_count(const char *expected) {
  tally_query query;
  struct rows *rows = NULL;
  tally_query_init(&query);
  cr_assert_eq(backend_query(backend, &query, &rows, &error), 0, "%s", error.text);
  cr_assert_eq(rows_columns(rows), 1);
  cr_assert_str_eq(rows_column(rows, 0).name, "count");
  cr_assert_eq(rows_next(rows, &error), TALLY_ROW, "%s", error.text);
  tally_text cell = rows_cell(rows, 0);
  cr_assert_eq(cell.size, strlen(expected));
  cr_assert_eq(memcmp(cell.data, expected, cell.size), 0, "%.*s", (int)cell.size, cell.data);
  cr_assert_eq(rows_next(rows, &error), TALLY_OK);
  rows_close(rows);
}

Test(backend, receipts_come_in_the_order_of_submission, .init = open_store, .fini = close_store) {
  size_t window = backend_window(backend);
  cr_assert_gt(window, 1);
  uint64_t sent = 0, taken = 0, rows = 0;
  while (taken < 10 * window) {
    while (sent < 10 * window && backend_under_way(backend) < window) {
      cr_assert_eq(submit((uint32_t)(sent % 7) + 1, sent + 1), 0, "%s", error.text);
      sent++;
    }
    tally_receipt receipt;
    cr_assert_eq(backend_receive(backend, &receipt, &error), 0, "%s", error.text);
    cr_assert_eq(receipt.rows, taken % 7 + 1);
    cr_assert(!receipt.duplicate);
    rows += receipt.rows;
    taken++;
  }
  cr_assert_eq(backend_under_way(backend), 0);
  tally_mark mark;
  cr_assert_eq(backend_mark(backend, "unit", 0, &mark, &error), 0);
  cr_assert(mark.epoch == 1 && mark.sequence == sent);
  char text[24];
  (void)snprintf(text, sizeof text, "%llu", (unsigned long long)rows);
  expect_count(text);
}

Test(backend, each_batch_has_its_own_result, .init = open_store, .fini = close_store) {
  tally_receipt receipt;
  static const struct {
    uint64_t sequence;
    int result;
    bool duplicate;
  } cases[] = {{1, 0, false}, {3, TALLY_GAP, false}, {2, 0, false}, {1, 0, true}, {0, 0, false}};
  size_t count = sizeof cases / sizeof *cases;
  for (size_t i = 0; i < count; i++) cr_assert_eq(submit(2, cases[i].sequence), 0);
  for (size_t i = 0; i < count; i++) {
    cr_assert_eq(backend_receive(backend, &receipt, &error), cases[i].result, "case %zu", i);
    if (!cases[i].result) cr_assert_eq(receipt.duplicate, cases[i].duplicate, "case %zu", i);
    if (cases[i].result) cr_assert_eq(error.sequence, 2);
  }
  expect_count("6");
}

Test(backend, the_window_bounds_what_is_under_way_and_reconnect_ends_it, .init = open_store,
     .fini = close_store) {
  tally_receipt receipt;
  size_t window = backend_window(backend);
  cr_assert_eq(backend_receive(backend, &receipt, &error), TALLY_USAGE);
  for (size_t i = 0; i < window; i++) cr_assert_eq(submit(1, i + 1), 0);
  cr_assert_eq(submit(1, window + 1), TALLY_BUSY);
  cr_assert_eq(backend_under_way(backend), window);
  cr_assert_eq(backend_reconnect(backend, &error), 0);
  cr_assert_eq(backend_under_way(backend), 0);
  tally_mark mark;
  cr_assert_eq(backend_mark(backend, "unit", 1, &mark, &error), 0);
  cr_assert_eq(mark.sequence, window, "what was submitted is in");
}

/* Batches that nobody asked about are still in when the store was closed. */
Test(backend, close_waits_for_what_is_under_way, .init = open_store, .fini = close_store) {
  for (int i = 0; i < 3; i++) cr_assert_eq(submit(4, 0), 0);
  cr_assert_eq(backend_close(backend, &error), 0);
  cr_assert_eq(backend_open(NULL, folder, false, &backend, &error), 0, "%s", error.text);
  expect_count("12");
}

Test(backend, a_cancel_ends_the_answer_that_is_open_and_no_other, .init = open_store, .fini = close_store) {
  tally_receipt receipt;
  tally_scan scan;
  struct rows *rows = NULL;
  cr_assert_eq(submit(5000, 0), 0);
  cr_assert_eq(backend_receive(backend, &receipt, &error), 0);
  tally_scan_init(&scan);
  backend_cancel(backend); /* nothing is open */
  cr_assert_eq(backend_events(backend, &scan, &rows, &error), 0, "%s", error.text);
  cr_assert_eq(rows_next(rows, &error), TALLY_ROW);
  backend_cancel(backend);
  int code;
  while ((code = rows_next(rows, &error)) == TALLY_ROW) {
  }
  cr_assert_eq(code, TALLY_CANCELLED);
  rows_close(rows);
  expect_count("5000");
}

Test(backend, a_store_is_made_only_when_that_is_asked_for) {
  char missing[] = "/tmp/tally-backend-XXXXXX";
  cr_assert(mkdtemp(missing));
  cr_assert_eq(rmdir(missing), 0);
  cr_assert_eq(backend_open(NULL, missing, false, &backend, &error), TALLY_NOT_FOUND);
  cr_assert_eq(access(missing, F_OK), -1);
}
