/* proto_message.c - the laws of messages (proto/message.h): what is encoded is what is decoded; no truncated,
 * longer or changed payload is read beyond its end or taken for another; values out of their range are
 * refused. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "proto/message.h"
#include "unit/model_random.h"

/* The frame at the start of `out`, its payload in memory of exactly its size (so that a sanitizer sees every
 * read beyond), at most `size` bytes of it. */
static struct frame exact(const struct buffer *out, size_t size) {
  struct frame frame;
  tally_error error;
  cr_assert_eq(frame_parse(out->data, out->size, FRAME_BYTES, &frame, NULL, &error), FRAME_READY);
  if (size < frame.size) frame.size = size;
  uint8_t *copy = mem_alloc(frame.size);
  if (frame.size) memcpy(copy, frame.payload, frame.size);
  frame.payload = copy;
  return frame;
}

static void drop(struct frame *frame) {
  union {
    const uint8_t *in;
    void *out;
  } u = {.in = frame->payload};
  mem_free(u.out);
}

/* Decodes a payload as what its type says and reads all of it; 0 or the failure. */
static int decode(const struct frame *frame, tally_error *error) {
  union {
    struct message_hello hello;
    struct message_welcome welcome;
    struct message_append append;
    struct message_mark mark;
    tally_mark marked;
    tally_receipt receipt;
    tally_error carried;
    struct message_end end;
  } u;
  struct message_query query;
  struct message_events events;
  tally_result_column *columns;
  struct message_rows_reader rows;
  tally_text cells[3];
  size_t count;
  int code;
  switch (frame->type) {
  case MESSAGE_HELLO:
    return message_get_hello(frame, &u.hello, error);
  case MESSAGE_WELCOME:
    return message_get_welcome(frame, &u.welcome, error);
  case MESSAGE_APPEND:
    return message_get_append(frame, &u.append, error);
  case MESSAGE_MARK:
    return message_get_mark(frame, &u.mark, error);
  case MESSAGE_MARKED:
    return message_get_marked(frame, &u.marked, error);
  case MESSAGE_APPENDED:
    return message_get_appended(frame, &u.receipt, error);
  case MESSAGE_ERROR:
    return message_get_error(frame, &u.carried, error);
  case MESSAGE_END:
    return message_get_end(frame, &u.end, error);
  case MESSAGE_QUERY:
    code = message_get_query(frame, &query, error);
    if (!code) message_query_free(&query);
    return code;
  case MESSAGE_EVENTS:
    code = message_get_events(frame, &events, error);
    if (!code) message_events_free(&events);
    return code;
  case MESSAGE_COLUMNS:
    code = message_get_columns(frame, &columns, &count, error);
    if (!code) mem_free(columns);
    return code;
  case MESSAGE_ROWS:
    code = message_get_rows(frame, 3, &rows, error);
    if (code) return code;
    while ((code = message_rows_next(&rows, cells, error)) == TALLY_ROW)
      for (int i = 0; i < 3; i++) (void)hash64(cells[i].data, cells[i].size);
    return code;
  default:
    return message_get_empty(frame, error);
  }
}

static const char *const where[] = {"service_name = 'a,b'", "", "duration_ms < 1.5"};
static const tally_query full_query = {.from = "2024-02-01",
                                       .to = "now",
                                       .where = where,
                                       .where_count = 3,
                                       .group_by = "service_name, metadata.regi\xc3\xb3n",
                                       .bucket = "5m",
                                       .tz = "",
                                       .aggregates = "count,sum:cost",
                                       .order_by = "count desc",
                                       .limit = 77,
                                       .flags = TALLY_FILL | TALLY_NO_ROLLUPS,
                                       .timeout = 1500};

/* One message of each type that has a payload. */
static void encode(struct buffer *out, uint8_t type) {
  tally_error error;
  int code = 0;
  struct message_hello hello = {.lowest = 1, .highest = 200, .name = "tally 0.1.0"};
  struct message_welcome welcome = {129, FRAME_BYTES, 65536,       4190208,       64,
                                    8,   600000,      0x80000001u, "tallyd 0.1.0"};
  tally_append_options options = {.producer = "p\xc3\xa9",
                                  .epoch = 3,
                                  .sequence = UINT64_MAX,
                                  .has_fingerprint = true,
                                  .fingerprint = {1, 2, 3, 16},
                                  .durability = TALLY_OS};
  tally_scan scan = {.from = "2024-01-01",
                     .columns = "timestamp,cost",
                     .limit = TALLY_NO_LIMIT,
                     .flags = TALLY_ORDER_DESC,
                     .where = where,
                     .where_count = 1};
  tally_error carried = {TALLY_INVALID_ROW, TALLY_COL_COST, 12, 34, "a text"};
  tally_result_column columns[] = {
      {"bucket", TALLY_TYPE_TIME}, {"sum:cost", TALLY_TYPE_COST}, {"", TALLY_TYPE_TEXT}};
  tally_text cells[] = {{"cell", 4}, {NULL, 0}, {"", 0}};
  struct message_rows_writer writer;
  switch (type) {
  case MESSAGE_HELLO:
    code = message_put_hello(out, 1, &hello, &error);
    break;
  case MESSAGE_WELCOME:
    code = message_put_welcome(out, 1, &welcome, &error);
    break;
  case MESSAGE_APPEND:
    code = message_put_append(out, 1, &options, "BATCH", 5, &error);
    break;
  case MESSAGE_MARK:
    code = message_put_mark(out, 1, "producer", 4, &error);
    break;
  case MESSAGE_MARKED:
    code = message_put_marked(out, 1, &(tally_mark){5, 6}, &error);
    break;
  case MESSAGE_APPENDED:
    code = message_put_appended(out, 1, &(tally_receipt){true, 16384}, &error);
    break;
  case MESSAGE_ERROR:
    code = message_put_error(out, 1, &carried, &error);
    break;
  case MESSAGE_END:
    code = message_put_end(out, 1, &(struct message_end){UINT64_MAX - 1, 2, 77}, &error);
    break;
  case MESSAGE_QUERY:
    code = message_put_query(out, 1, &full_query, &error);
    break;
  case MESSAGE_EVENTS:
    code = message_put_events(out, 1, &scan, &error);
    break;
  case MESSAGE_COLUMNS:
    code = message_put_columns(out, 1, columns, 3, &error);
    break;
  case MESSAGE_ROWS:
    message_rows_begin(&writer, out, 1, 3);
    for (int i = 0; i < 2; i++) cr_assert_eq(message_rows_add(&writer, cells, &error), MESSAGE_ROW_ADDED);
    code = message_rows_end(&writer, &error);
    break;
  default:
    code = message_put_empty(out, type, 1, &error);
  }
  cr_assert_eq(code, 0);
}

static const uint8_t all_types[] = {
#define TYPE(name, number, text, sender) (number),
    MESSAGE_MAP(TYPE)
#undef TYPE
};

Test(message, every_type_survives_every_truncation_extension_and_change) {
  tally_error error;
  random_start();
  for (size_t t = 0; t < sizeof all_types; t++) {
    struct buffer out = {0};
    uint8_t type = all_types[t];
    encode(&out, type);
    struct frame frame = exact(&out, SIZE_MAX);
    size_t size = frame.size;
    cr_assert_eq(frame.type, type);
    cr_assert_eq(decode(&frame, &error), 0, "%s: %s", message_name(type), error.text);
    drop(&frame);
    for (size_t cut = 0; cut < size; cut++) { /* APPEND ends with the batch, which the store checks */
      frame = exact(&out, cut);
      int code = decode(&frame, &error);
      bool whole = type == MESSAGE_END && cut == 8; /* without what was left out: the frame has its size */
      cr_assert(code == TALLY_PROTOCOL || whole || (type == MESSAGE_APPEND && code == 0 && cut >= size - 5),
                "%s cut to %zu: %d", message_name(type), cut, code);
      drop(&frame);
    }
    for (int i = 0; i < 20000; i++) {
      frame = exact(&out, random_below(8) ? SIZE_MAX : random_below(size + 1));
      uint8_t *bytes = (uint8_t *)(uintptr_t)frame.payload;
      for (uint64_t n = random_below(4) + 1; n && frame.size; n--)
        bytes[random_below(frame.size)] =
            random_below(2) ? (uint8_t)random_next() : (uint8_t)(random_next() & 1 ? 255 : 0);
      (void)decode(&frame, &error);
      drop(&frame);
    }
    write8(&out, 0); /* one byte more in the frame */
    cr_assert_eq(frame_end(&out, 0, type, 1, &error), 0);
    frame = exact(&out, SIZE_MAX);
    bool open_end = type == MESSAGE_HELLO || type == MESSAGE_WELCOME || type == MESSAGE_APPEND;
    cr_assert_eq(decode(&frame, &error), open_end ? 0 : TALLY_PROTOCOL, "%s", message_name(type));
    drop(&frame);
    buffer_free(&out);
  }
}

Test(message, random_bytes_are_never_read_beyond_their_end) {
  tally_error error;
  random_start();
  for (int i = 0; i < 200000; i++) {
    size_t size = random_below(80);
    uint8_t *bytes = mem_alloc(size);
    uint64_t style = random_below(3);
    for (size_t k = 0; k < size; k++)
      bytes[k] = (uint8_t)(style ? random_next() & (style == 1 ? 3 : 0xFF) : 0);
    struct frame frame = {.type = all_types[random_below(sizeof all_types)], .payload = bytes, .size = size};
    (void)decode(&frame, &error);
    mem_free(bytes);
  }
}

static void same_text(const char *a, const char *b) {
  cr_assert_eq(a == NULL, b == NULL);
  if (a) cr_assert_str_eq(a, b);
}

static void same_query(const tally_query *a, const tally_query *b) {
  same_text(a->from, b->from);
  same_text(a->to, b->to);
  same_text(a->group_by, b->group_by);
  same_text(a->bucket, b->bucket);
  same_text(a->tz, b->tz);
  same_text(a->aggregates, b->aggregates);
  same_text(a->order_by, b->order_by);
  cr_assert(a->limit == b->limit && a->flags == b->flags && a->timeout == b->timeout);
  cr_assert_eq(a->where_count, b->where_count);
  for (size_t i = 0; i < a->where_count; i++) same_text(a->where[i], b->where[i]);
}

Test(message, requests_keep_every_text_and_null) {
  tally_error error;
  struct message_query got;
  const tally_query queries[] = {full_query, {.limit = TALLY_NO_LIMIT}, {.from = "", .order_by = ""}};
  for (size_t i = 0; i < 3; i++) {
    struct buffer out = {0};
    cr_assert_eq(message_put_query(&out, 5, &queries[i], &error), 0);
    struct frame frame = exact(&out, SIZE_MAX);
    cr_assert_eq(message_get_query(&frame, &got, &error), 0);
    drop(&frame); /* the request keeps nothing of the payload */
    same_query(&queries[i], &got.query);
    message_query_free(&got);
    buffer_free(&out);
  }
  struct message_events events;
  struct buffer out = {0};
  encode(&out, MESSAGE_EVENTS);
  struct frame frame = exact(&out, SIZE_MAX);
  cr_assert_eq(message_get_events(&frame, &events, &error), 0);
  drop(&frame);
  same_text(events.scan.from, "2024-01-01");
  same_text(events.scan.to, NULL);
  same_text(events.scan.tz, NULL);
  same_text(events.scan.columns, "timestamp,cost");
  cr_assert(events.scan.where_count == 1 && events.scan.limit == TALLY_NO_LIMIT &&
            events.scan.flags == TALLY_ORDER_DESC);
  same_text(events.scan.where[0], where[0]);
  message_events_free(&events);
  buffer_free(&out);
}

static int query_code(const tally_query *query) {
  tally_error error;
  struct message_query got;
  struct buffer out = {0};
  cr_assert_eq(message_put_query(&out, 5, query, &error), 0);
  struct frame frame = exact(&out, SIZE_MAX);
  int code = message_get_query(&frame, &got, &error);
  if (!code) message_query_free(&got);
  drop(&frame);
  buffer_free(&out);
  return code;
}

Test(message, requests_with_bad_values_are_refused) {
  const char *const null_where[] = {NULL}, *const bad_where[] = {"\xff"};
  cr_assert_eq(query_code(&(tally_query){.flags = TALLY_ORDER_DESC}), TALLY_USAGE);
  cr_assert_eq(query_code(&(tally_query){.flags = 1u << 31}), TALLY_USAGE);
  cr_assert_eq(query_code(&(tally_query){.from = "\xc0\x80"}), TALLY_USAGE);
  cr_assert_eq(query_code(&(tally_query){.where = bad_where, .where_count = 1}), TALLY_USAGE);
  cr_assert_eq(query_code(&(tally_query){.where = null_where, .where_count = 1}), TALLY_PROTOCOL);
  tally_error error; /* larger than a frame: refused by the sender */
  struct buffer out = {0};
  char *text = mem_alloc(FRAME_BYTES);
  memset(text, 'x', FRAME_BYTES - 1);
  text[FRAME_BYTES - 1] = '\0';
  cr_assert_eq(message_put_query(&out, 5, &(tally_query){.group_by = text}, &error), TALLY_TOO_LARGE);
  cr_assert_eq(out.size, 0);
  mem_free(text);
  buffer_free(&out);
}

/* ------------------------------------------------------------------ ingest */

static int append_code(const tally_append_options *options, struct message_append *got) {
  tally_error error;
  struct buffer out = {0};
  int code = message_put_append(&out, 9, options, "BATCH", 5, &error);
  if (code == 0) {
    struct frame frame = exact(&out, SIZE_MAX);
    code = message_get_append(&frame, got, &error);
    if (code == 0) cr_assert(got->batch_size == 5 && memcmp(got->batch, "BATCH", 5) == 0);
    got->batch = NULL;
    drop(&frame);
  }
  buffer_free(&out);
  return code;
}

Test(message, jobs_keep_their_words_and_have_some) {
  const char *words[MESSAGE_WORDS_MAX + 1];
  struct buffer out = {0};
  struct frame frame;
  struct message_job job;
  tally_error error;
  for (size_t i = 0; i <= MESSAGE_WORDS_MAX; i++) words[i] = i % 2 ? "" : "word";
  for (size_t count = 0; count <= MESSAGE_WORDS_MAX + 1; count += count < 3 ? 1 : MESSAGE_WORDS_MAX - 3) {
    buffer_clear(&out);
    cr_assert_eq(message_put_job(&out, 5, words, count, &error), 0);
    cr_assert_eq(frame_parse(out.data, out.size, FRAME_BYTES, &frame, NULL, &error), FRAME_READY);
    int code = message_get_job(&frame, &job, &error);
    if (count == 0 || count > MESSAGE_WORDS_MAX) {
      cr_expect_eq(code, TALLY_USAGE, "%zu words", count);
      continue;
    }
    cr_assert_eq(code, 0, "%s", error.text);
    cr_assert_eq(job.count, count);
    for (size_t i = 0; i < count; i++) cr_expect_str_eq(job.words[i], words[i]);
    message_job_free(&job);
  }
  buffer_free(&out);
}

Test(message, an_end_tells_what_was_left_out_or_nothing_of_it) {
  struct buffer out = {0};
  struct frame frame;
  struct message_end end;
  tally_error error;
  cr_assert_eq(message_put_end(&out, 5, &(struct message_end){4, 1, 2}, &error), 0);
  cr_assert_eq(frame_parse(out.data, out.size, FRAME_BYTES, &frame, NULL, &error), FRAME_READY);
  cr_assert_eq(message_get_end(&frame, &end, &error), 0);
  cr_expect_eq(end.rows_left_out, 2);
  store64(out.data + FRAME_HEADER + 8, 0);
  cr_expect_eq(message_get_end(&frame, &end, &error), TALLY_PROTOCOL, "0 segments were left out");
  buffer_free(&out);
}

Test(message, append_keeps_its_options_and_lends_the_batch) {
  struct message_append got;
  tally_append_options options = {.producer = "p\xc3\xa9",
                                  .epoch = 3,
                                  .sequence = UINT64_MAX,
                                  .has_fingerprint = true,
                                  .fingerprint = {1, 2, 3, 16},
                                  .durability = TALLY_OS};
  cr_assert_eq(append_code(&options, &got), 0);
  tally_append_options back = message_append_options(&got);
  cr_assert_str_eq(back.producer, options.producer);
  cr_assert(back.epoch == 3 && back.sequence == UINT64_MAX && back.durability == TALLY_OS &&
            back.has_fingerprint);
  cr_assert(memcmp(back.fingerprint, options.fingerprint, 16) == 0);
  cr_assert_eq(append_code(NULL, &got), 0);
  back = message_append_options(&got);
  cr_assert(!back.producer && !back.has_fingerprint && back.durability == TALLY_DISK && back.epoch == 0);
  char name[MESSAGE_PRODUCER_BYTES + 2];
  memset(name, 'p', sizeof name);
  name[sizeof name - 1] = '\0';
  options.producer = name;
  cr_assert_eq(append_code(&options, &got), TALLY_USAGE);
  name[sizeof name - 2] = '\0';
  cr_assert_eq(append_code(&options, &got), 0);
  cr_assert_str_eq(got.producer, name);
  options.producer = "";
  cr_assert_eq(append_code(&options, &got), TALLY_USAGE);
  options.producer = "\xed\xa0\x80";
  cr_assert_eq(append_code(&options, &got), TALLY_USAGE);
}

/* The code of the APPEND of encode() with one byte of its payload changed. */
static int append_changed(size_t at, uint8_t value) {
  tally_error error;
  struct message_append got;
  struct buffer out = {0};
  encode(&out, MESSAGE_APPEND);
  struct frame frame = exact(&out, SIZE_MAX);
  ((uint8_t *)(uintptr_t)frame.payload)[at] = value;
  int code = message_get_append(&frame, &got, &error);
  drop(&frame);
  buffer_free(&out);
  return code;
}

Test(message, append_with_contradictions_is_refused) {
  cr_assert_eq(append_changed(0, 2), TALLY_USAGE);    /* durability */
  cr_assert_eq(append_changed(1, 7), TALLY_PROTOCOL); /* an unknown bit */
  cr_assert_eq(append_changed(1, 2), TALLY_PROTOCOL); /* no producer, but its triple */
  cr_assert_eq(append_changed(2, 0), TALLY_USAGE);    /* a producer without a name */
  cr_assert_eq(append_changed(3, 1), TALLY_PROTOCOL); /* a name longer than the payload */
  for (size_t at = 2; at < 20; at += 9) { /* no producer, but a size (2), an epoch or a sequence (11) */
    tally_error unused;
    struct message_append lone;
    struct buffer plain = {0};
    cr_assert_eq(message_put_append(&plain, 1, NULL, "BATCH", 5, &unused), 0);
    struct frame frame = exact(&plain, SIZE_MAX);
    ((uint8_t *)(uintptr_t)frame.payload)[at] = 1;
    cr_assert_eq(message_get_append(&frame, &lone, &unused), TALLY_PROTOCOL, "byte %zu", at);
    drop(&frame);
    buffer_free(&plain);
  }
  tally_error error;
  struct buffer out = {0};
  struct message_append got;
  uint8_t *batch = mem_zalloc(MESSAGE_BATCH_BYTES + 1, 1);
  char name[MESSAGE_PRODUCER_BYTES + 1];
  memset(name, 'p', sizeof name);
  name[sizeof name - 1] = '\0';
  tally_append_options options = {.producer = name};
  cr_assert_eq(message_put_append(&out, 1, &options, batch, MESSAGE_BATCH_BYTES + 1, &error),
               TALLY_TOO_LARGE);
  cr_assert_eq(message_put_append(&out, 1, &options, batch, MESSAGE_BATCH_BYTES, &error), 0);
  cr_assert_eq(out.size, FRAME_BYTES);
  struct frame frame = exact(&out, SIZE_MAX);
  cr_assert_eq(message_get_append(&frame, &got, &error), 0);
  cr_assert_eq(got.batch_size, MESSAGE_BATCH_BYTES);
  drop(&frame);
  buffer_free(&out);
  mem_free(batch);
}

/* ------------------------------------------------------------------ greeting and errors */

Test(message, greeting_agrees_on_a_version_and_cleans_names) {
  tally_error error;
  uint8_t version = 0;
  struct message_hello hello = {.lowest = FRAME_VERSION - 1, .highest = FRAME_VERSION + 1}, got;
  cr_assert_eq(message_choose_version(&hello, &version, &error), 0);
  cr_assert_eq(version, FRAME_VERSION);
  hello.lowest = FRAME_VERSION + 1;
  cr_assert_eq(message_choose_version(&hello, &version, &error), TALLY_VERSION);
  hello.lowest = 1;
  hello.highest = FRAME_VERSION - 1;
  cr_assert_eq(message_choose_version(&hello, &version, &error), TALLY_VERSION);
  strcpy(hello.name, "a\x1b[31m\nb\xff"
                     "c");
  struct buffer out = {0};
  cr_assert_eq(message_put_hello(&out, 1, &hello, &error), 0);
  struct frame frame = exact(&out, SIZE_MAX);
  cr_assert_eq(message_get_hello(&frame, &got, &error), 0);
  cr_assert_str_eq(got.name, "a[31mb");
  drop(&frame);
  buffer_free(&out);
}

Test(message, errors_keep_their_fields_and_unknown_numbers_are_told) {
  tally_error error, got, sent = {TALLY_GAP, -1, -1, 42, ""};
  memset(sent.text, 'e', sizeof sent.text - 1);
  struct buffer out = {0};
  cr_assert_eq(message_put_error(&out, 1, &sent, &error), 0);
  struct frame frame = exact(&out, SIZE_MAX);
  cr_assert_eq(message_get_error(&frame, &got, &error), 0);
  cr_assert(got.code == TALLY_GAP && got.column == -1 && got.row == -1 && got.sequence == 42);
  cr_assert_str_eq(got.text, sent.text);
  store32((void *)(uintptr_t)frame.payload, 9999);
  cr_assert_eq(message_get_error(&frame, &got, &error), 0);
  cr_assert_eq(got.code, TALLY_PROTOCOL);
  cr_assert(strstr(got.text, "9999"));
  store32((void *)(uintptr_t)(frame.payload + 4), TALLY_COLUMNS);
  cr_assert_eq(message_get_error(&frame, &got, &error), TALLY_PROTOCOL);
  drop(&frame);
  buffer_free(&out);
}

/* ------------------------------------------------------------------ rows */

Test(message, rows_come_back_and_fill_frames_up_to_the_limit) {
  tally_error error;
  struct buffer out = {0};
  struct message_rows_writer writer;
  struct message_rows_reader rows;
  size_t big = FRAME_BYTES - FRAME_HEADER - 4 - 8;
  char *text = mem_zalloc(big + 1, 1);
  tally_text small[2] = {{"x", 1}, {NULL, 0}}, largest[2] = {{text, big}, {"", 0}},
             over[2] = {{text, big + 1}, {"", 0}}, got[2];
  message_rows_begin(&writer, &out, 3, 2);
  cr_assert_eq(message_rows_end(&writer, &error), 0);
  cr_assert_eq(out.size, 0, "no rows, no frame");
  message_rows_begin(&writer, &out, 3, 2);
  cr_assert_eq(message_rows_add(&writer, over, &error), TALLY_TOO_LARGE);
  cr_assert_eq(message_rows_add(&writer, small, &error), MESSAGE_ROW_ADDED);
  cr_assert_eq(message_rows_add(&writer, largest, &error), MESSAGE_ROW_FULL);
  cr_assert(!message_rows_enough(&writer));
  cr_assert_eq(message_rows_end(&writer, &error), 0);
  size_t first = out.size;
  message_rows_begin(&writer, &out, 3, 2);
  cr_assert_eq(message_rows_add(&writer, largest, &error), MESSAGE_ROW_ADDED);
  cr_assert(message_rows_enough(&writer));
  cr_assert_eq(message_rows_end(&writer, &error), 0);
  cr_assert_eq(out.size - first, FRAME_BYTES);
  struct buffer two = {0}; /* behind a small row, the largest that fits beside it, and one byte more */
  for (size_t more = 0; more < 2; more++) {
    tally_text beside[2] = {{text, big - 9 + more}, {"", 0}};
    message_rows_begin(&writer, &two, 3, 2);
    cr_assert_eq(message_rows_add(&writer, small, &error), MESSAGE_ROW_ADDED);
    cr_assert_eq(message_rows_add(&writer, beside, &error), more ? MESSAGE_ROW_FULL : MESSAGE_ROW_ADDED);
    cr_assert_eq(message_rows_end(&writer, &error), 0);
    if (!more) cr_assert_eq(two.size, FRAME_BYTES);
    struct frame frame = exact(&two, SIZE_MAX);
    if (!more) {
      cr_assert_eq(message_get_rows(&frame, 2, &rows, &error), 0);
      for (int i = 0; i < 2; i++) cr_assert_eq(message_rows_next(&rows, got, &error), TALLY_ROW);
      cr_assert(got[0].size == big - 9 && got[1].data && got[1].size == 0, "the empty text is not NULL");
    }
    drop(&frame);
    buffer_clear(&two);
  }
  buffer_free(&two);
  struct frame frame = exact(&out, SIZE_MAX);
  cr_assert_eq(message_get_rows(&frame, 2, &rows, &error), 0);
  cr_assert_eq(message_rows_next(&rows, got, &error), TALLY_ROW);
  cr_assert(got[0].size == 1 && got[0].data[0] == 'x' && !got[1].data);
  cr_assert_eq(message_rows_next(&rows, got, &error), TALLY_OK);
  cr_assert_eq(message_get_rows(&frame, 4, &rows, &error), TALLY_PROTOCOL);
  cr_assert_eq(message_get_rows(&frame, 1, &rows, &error),
               0); /* another number of columns does not fill it */
  cr_assert_eq(message_rows_next(&rows, got, &error), TALLY_ROW);
  cr_assert_eq(message_rows_next(&rows, got, &error), TALLY_PROTOCOL);
  drop(&frame);
  mem_free(text);
  buffer_free(&out);
}
