/* ndjson.c - fuzzes the reader of NDJSON: it says the same wherever the text is cut on its way; and a row
 * that is written as JSON again is the same. The first byte of an input says where to cut, and with which
 * options. */
#include <inttypes.h>

#include "model/decimal.h"
#include "rows.h"
#include "tools/ndjson.h"

static const struct ignore ignore = {{"skip_me"}, 1};

static void write_text(struct buffer *b, const char *key, tally_text t) {
  if (!t.data) return;
  buffer_printf(b, ",\"%s\":\"", key);
  for (size_t i = 0; i < t.size; i++) {
    uint8_t c = (uint8_t)t.data[i];
    if (c == '"' || c == '\\' || c < ' ')
      buffer_printf(b, "\\u%04x", c);
    else
      write8(b, c);
  }
  write8(b, '"');
}

static void write_row(struct buffer *b, const tally_event *e) {
  const int32_t numbers[] = {e->request_size, e->response_size, e->duration_ms, e->status_code,
                             e->tokens_used};
  buffer_printf(b, "{\"timestamp\":%" PRId64, e->timestamp);
  write_text(b, "user_id", e->user_id);
  write_text(b, "service_name", e->service_name);
  write_text(b, "endpoint", e->endpoint);
  write_text(b, "method", e->method);
  for (int c = TALLY_COL_REQUEST_SIZE; c < TALLY_COL_COST; c++)
    if (e->present & 1u << c)
      buffer_printf(b, ",\"%s\":%" PRId32, tally_column_name(c), numbers[c - TALLY_COL_REQUEST_SIZE]);
  if (e->present & 1u << TALLY_COL_COST) {
    buffer_text(b, ",\"cost\":");
    decimal_print(b, e->cost, 4);
  }
  write_text(b, "metadata", e->metadata);
  buffer_text(b, "}\n");
}

static void read_all(const char *text, size_t size, size_t split, uint8_t bits, struct buffer *said,
                     struct buffer *again, struct buffer *events) {
  struct value_options values = {.time_unit = bits & 1 ? 1000 : 1, .half_even = bits & 2};
  struct record r;
  struct problem p;
  struct ndjson n;
  enum record_kind kind;
  char *whole = rows_slack(text, size, '}'), *part = rows_slack(text, split, '}');
  ndjson_init(&n, &ignore, &values);
  ndjson_text(&n, part, split, split == size, 0);
  while ((kind = ndjson_next(&n, &r, &p)) != RECORD_END) {
    if (kind == RECORD_MORE) {
      require(!n.final, "no more is asked for at the end");
      ndjson_text(&n, whole, size, true, n.at);
      continue;
    }
    rows_record(said, kind, &r, &p, size);
    if (kind != RECORD_ROW || !again) continue;
    write_row(again, &r.event);
    rows_event(events, &r.event);
  }
  ndjson_free(&n);
  mem_free(part);
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
  struct buffer whole = {0}, cut = {0}, again = {0}, events = {0}, unused = {0}, rows = {0}, second = {0};
  fuzz_bound(1 << 16, 512, size);
  read_all(text, size, size, bits, &whole, &again, &events);
  read_all(text, size, size * (bits >> 3) / 31, bits, &cut, NULL, NULL);
  expect_equal(&whole, &cut, "a text that comes in two pieces is the same");
  read_all((const char *)again.data, again.size, again.size, 0, &unused, &rows, &second);
  expect_equal(&events, &second, "rows written again are the same");
  struct buffer *all[] = {&whole, &cut, &again, &events, &unused, &rows, &second};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) buffer_free(all[i]);
  fuzz_unbound();
  return 0;
}
