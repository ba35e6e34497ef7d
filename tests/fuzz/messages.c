/* messages.c - fuzzes the payloads of all messages: what is read is put again with the same bytes. The first
 * byte of an input is the message's type, the rest its payload. */
#include <stdlib.h>

#include "base/mem.h"
#include "fuzz/fuzz.h"
#include "proto/message.h"

static struct buffer out;
static tally_error e, ignored;
static bool longer; /* of a greeting: later versions may have more behind what we know */

static bool get_greeting(const struct frame *f) {
  struct message_hello h;
  struct message_welcome w;
  longer = true;
  if (f->type == MESSAGE_HELLO)
    return message_get_hello(f, &h, &e) == 0 && message_put_hello(&out, f->id, &h, &ignored) == 0;
  return message_get_welcome(f, &w, &e) == 0 && message_put_welcome(&out, f->id, &w, &ignored) == 0;
}

static bool get_append(const struct frame *f) {
  struct message_append a;
  if (message_get_append(f, &a, &e)) return false;
  tally_append_options o = message_append_options(&a);
  return message_put_append(&out, f->id, &o, a.batch, a.batch_size, &ignored) == 0;
}

static bool get_mark(const struct frame *f) {
  struct message_mark m;
  return message_get_mark(f, &m, &e) == 0 &&
         message_put_mark(&out, f->id, m.producer, m.epoch, &ignored) == 0;
}

static bool get_query(const struct frame *f) {
  struct message_query q;
  if (message_get_query(f, &q, &e)) return false;
  bool put = message_put_query(&out, f->id, &q.query, &ignored) == 0;
  message_query_free(&q);
  return put;
}

static bool get_events(const struct frame *f) {
  struct message_events s;
  if (message_get_events(f, &s, &e)) return false;
  bool put = message_put_events(&out, f->id, &s.scan, &ignored) == 0;
  message_events_free(&s);
  return put;
}

static bool get_job(const struct frame *f) {
  struct message_job j;
  if (message_get_job(f, &j, &e)) return false;
  bool put = message_put_job(&out, f->id, j.words, j.count, &ignored) == 0;
  message_job_free(&j);
  return put;
}

static bool get_receipt(const struct frame *f) {
  tally_receipt r;
  tally_mark m;
  struct message_end end;
  switch (f->type) {
  case MESSAGE_APPENDED:
    return message_get_appended(f, &r, &e) == 0 && message_put_appended(&out, f->id, &r, &ignored) == 0;
  case MESSAGE_MARKED:
    return message_get_marked(f, &m, &e) == 0 && message_put_marked(&out, f->id, &m, &ignored) == 0;
  default:
    return message_get_end(f, &end, &e) == 0 && message_put_end(&out, f->id, &end, &ignored) == 0;
  }
}

static bool get_columns(const struct frame *f) {
  tally_result_column *columns;
  size_t count;
  if (message_get_columns(f, &columns, &count, &e)) return false;
  bool put = message_put_columns(&out, f->id, columns, count, &ignored) == 0;
  mem_free(columns);
  return put;
}

static bool get_rows(const struct frame *f) {
  enum { COLUMNS_OF_ROWS = 3 };
  struct message_rows_reader reader;
  struct message_rows_writer writer;
  tally_text cells[COLUMNS_OF_ROWS];
  int result;
  if (message_get_rows(f, COLUMNS_OF_ROWS, &reader, &e)) return false;
  message_rows_begin(&writer, &out, f->id, COLUMNS_OF_ROWS);
  while ((result = message_rows_next(&reader, cells, &e)) == TALLY_ROW)
    require(message_rows_add(&writer, cells, &ignored) == MESSAGE_ROW_ADDED, "a row of a frame fits in one");
  require(message_rows_end(&writer, &ignored) == 0, "%s", ignored.text);
  return result == 0;
}

static bool get_error(const struct frame *f) {
  tally_error carried = {0};
  if (message_get_error(f, &carried, &e)) return false;
  longer = true; /* a long text is cut, an unknown number is another one */
  require(carried.code < 0 && memchr(carried.text, 0, sizeof carried.text), "an error has a code and a text");
  return message_put_error(&out, f->id, &carried, &ignored) == 0;
}

static bool get(const struct frame *f) {
  switch (f->type) {
  case MESSAGE_HELLO:
  case MESSAGE_WELCOME:
    return get_greeting(f);
  case MESSAGE_APPEND:
    return get_append(f);
  case MESSAGE_MARK:
    return get_mark(f);
  case MESSAGE_QUERY:
    return get_query(f);
  case MESSAGE_EVENTS:
    return get_events(f);
  case MESSAGE_JOB:
    return get_job(f);
  case MESSAGE_APPENDED:
  case MESSAGE_MARKED:
  case MESSAGE_END:
    return get_receipt(f);
  case MESSAGE_COLUMNS:
    return get_columns(f);
  case MESSAGE_ROWS:
    return get_rows(f);
  case MESSAGE_ERROR:
    return get_error(f);
  default:
    return message_get_empty(f, &e) == 0 && message_put_empty(&out, f->type, f->id, &ignored) == 0;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  struct frame frame = {.type = data[0], .id = 7, .payload = data + 1, .size = size - 1}, again;
  out = (struct buffer){0};
  e = ignored = (tally_error){0};
  longer = false;
  fuzz_bound(1 << 16, 8, size);
  if (get(&frame)) {
    require(frame_parse(out.data, out.size, FRAME_BYTES, &again, NULL, &e) == FRAME_READY, "%s", e.text);
    require(again.type == frame.type && again.id == 7, "the frame is of the same type");
    require(longer || (again.size == frame.size && memcmp(again.payload, frame.payload, frame.size) == 0),
            "%s is put as it was got", message_name(frame.type));
  } else {
    require(e.code == TALLY_PROTOCOL || e.code == TALLY_USAGE || e.code == TALLY_TOO_LARGE, "%d: %s %s",
            e.code, e.text, ignored.text);
  }
  buffer_free(&out);
  fuzz_unbound();
  return 0;
}
