/* csv.c - fuzzes the reader of CSV: the fast readers say what the slow one says, wherever the text is cut on
 * its way; and a row that is written as CSV again is the same. The first byte of an input says where to cut,
 * and with which options to read. */
#include <inttypes.h>

#include "model/decimal.h"
#include "rows.h"
#include "tools/csv.h"

static const struct ignore ignore = {{"skip_me,other"}, 1};

/* An index that finds nothing: every record is read byte by byte. */
static size_t no_index(const char *text, size_t from, size_t to, uint32_t *separators, size_t capacity) {
  (void)text, (void)from, (void)to, (void)separators, (void)capacity;
  return 0;
}

static struct value_options options_of(uint8_t bits) {
  struct value_options v = {.time_unit = bits & 1 ? 1000 : 1, .half_even = bits & 2};
  if (bits & 4) require(value_zone(&v, "+05:30") == 0, "an offset is a zone");
  return v;
}

/* Each row, written as CSV. */
static void write_text(struct buffer *b, tally_text t) {
  if (t.data) {
    write8(b, '"');
    for (size_t i = 0; i < t.size; i++) {
      if (t.data[i] == '"') write8(b, '"');
      write8(b, (uint8_t)t.data[i]);
    }
    write8(b, '"');
  }
  write8(b, ',');
}

static void write_row(struct buffer *b, const tally_event *e) {
  const int32_t numbers[] = {e->request_size, e->response_size, e->duration_ms, e->status_code,
                             e->tokens_used};
  buffer_printf(b, "%" PRId64 ",", e->timestamp);
  write_text(b, e->user_id);
  write_text(b, e->service_name);
  write_text(b, e->endpoint);
  write_text(b, e->method);
  for (int c = TALLY_COL_REQUEST_SIZE; c < TALLY_COL_COST; c++) {
    if (e->present & 1u << c) buffer_printf(b, "%" PRId32, numbers[c - TALLY_COL_REQUEST_SIZE]);
    write8(b, ',');
  }
  if (e->present & 1u << TALLY_COL_COST) decimal_print(b, e->cost, 4);
  write8(b, ',');
  write_text(b, e->metadata);
  b->data[b->size - 1] = '\n';
}

/* Reads all records; `again` gets the rows as CSV, their events go to `events`. */
static void read_all(const char *text, size_t size, size_t split, uint8_t bits, csv_index_fn *index,
                     struct buffer *said, struct buffer *again, struct buffer *events) {
  struct value_options values = options_of(bits);
  struct csv_layout layout;
  struct record r;
  struct problem p;
  struct csv csv;
  char *whole = rows_slack(text, size, '"');
  enum record_kind kind = csv_header(whole, size, true, &ignore, &layout, &r, &p);
  if (kind == RECORD_ROW) {
    if (split < r.end) split = r.end;
    char *part = rows_slack(text, split, '"');
    csv_init(&csv, &layout, &values, index);
    csv.line = 2;
    csv_text(&csv, part, split, split == size, r.end);
    while ((kind = csv_next(&csv, &r, &p)) != RECORD_END) {
      if (kind == RECORD_MORE) {
        require(!csv.final, "no more is asked for at the end");
        csv_text(&csv, whole, size, true, csv.at);
        continue;
      }
      rows_record(said, kind, &r, &p, size);
      if (kind != RECORD_ROW || !again) continue;
      write_row(again, &r.event);
      rows_event(events, &r.event);
    }
    csv_free(&csv);
    mem_free(part);
  } else {
    require(kind == RECORD_BAD || kind == RECORD_END, "a header is good or bad: %d", (int)kind);
  }
  csv_layout_free(&layout);
  mem_free(whole);
}

static void expect_equal(const struct buffer *a, const struct buffer *b, const char *what) {
  require(a->size == b->size && (!a->size || memcmp(a->data, b->data, a->size) == 0), "%s", what);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  const char *text = (const char *)data + 1;
  uint8_t bits = data[0];
  size--;
  size_t split = size * (bits >> 3) / 31;
  struct buffer slow = {0}, fast = {0}, best = {0}, again = {0}, events = {0}, second = {0};
  fuzz_bound(1 << 16, 512, size); /* a record's problem has a text of 400 bytes */
  buffer_text(&again, "timestamp,user_id,service_name,endpoint,method,request_size,response_size,duration_ms,"
                      "status_code,tokens_used,cost,metadata\n");
  read_all(text, size, size, bits, no_index, &slow, &again, &events);
  read_all(text, size, split, bits, csv_index_portable, &fast, NULL, NULL);
  read_all(text, size, split, bits, csv_index_best(), &best, NULL, NULL);
  expect_equal(&slow, &fast, "the portable index reads as the slow reader does");
  expect_equal(&slow, &best, "the fastest index reads as the slow reader does");
  struct buffer unused = {0}, rows = {0};
  read_all((const char *)again.data, again.size, again.size, 0, csv_index_best(), &unused, &rows, &second);
  expect_equal(&events, &second, "rows written again are the same");
  struct buffer *all[] = {&slow, &fast, &best, &again, &events, &second, &unused, &rows};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) buffer_free(all[i]);
  fuzz_unbound();
  return 0;
}
