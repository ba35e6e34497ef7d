/* message.c - the greeting, ingest, and messages without rows; see message.h. */
#include "proto/message.h"

#include <stdio.h>

#include "base/status.h"
#include "base/utf8.h"
#include "proto/message_text.h"

const char *message_name(uint8_t type) {
  switch (type) {
#define MESSAGE_CASE(name, number, text, sender)                                                             \
  case number:                                                                                               \
    return text;
    MESSAGE_MAP(MESSAGE_CASE)
#undef MESSAGE_CASE
  default:
    return "unknown";
  }
}

/* ------------------------------------------------------------------ shared by all decoders */

int message_fail_layout(const struct frame *frame, tally_error *error) {
  return fail(
      error, TALLY_PROTOCOL,
      "a message %s of %zu bytes is not laid out as docs/protocol.md says: the peer breaks the protocol",
      message_name(frame->type), frame->size);
}

int message_whole(const struct frame *frame, const struct reader *reader, tally_error *error) {
  return reader->bad || reader_left(reader) ? message_fail_layout(frame, error) : 0;
}

int message_copy_text(char *to, size_t capacity, tally_text text, const char *what, tally_error *error) {
  if (!text.data) return fail(error, TALLY_USAGE, "%s is missing: send one", what);
  if (text.size >= capacity)
    return fail(error, TALLY_USAGE, "%s has %zu bytes: at most %zu are allowed", what, text.size,
                capacity - 1);
  if (!utf8_text(text.data, text.size, NULL))
    return fail(error, TALLY_USAGE, "%s is not UTF-8 without NUL bytes: send text", what);
  memcpy(to, text.data, text.size);
  to[text.size] = '\0';
  return 0;
}

/* Names are for logs: one that is cut, odd or absent is no reason to refuse a peer. */
static void get_name(struct reader *reader, char name[MESSAGE_NAME_BYTES + 1]) {
  tally_text text = get_text(reader);
  size_t size = text.size < MESSAGE_NAME_BYTES ? text.size : MESSAGE_NAME_BYTES;
  size = text.data ? utf8_prefix(text.data, size) : 0;
  size_t n = 0;
  for (size_t i = 0; i < size; i++) /* no control characters into logs and terminals */
    if ((unsigned char)text.data[i] >= ' ' && text.data[i] != 0x7F) name[n++] = text.data[i];
  name[n] = '\0';
}

/* ------------------------------------------------------------------ greeting */

int message_put_hello(struct buffer *out, uint64_t id, const struct message_hello *hello,
                      tally_error *error) {
  size_t start = frame_begin(out);
  write32(out, MESSAGE_HELLO_MAGIC);
  write8(out, hello->lowest);
  write8(out, hello->highest);
  write16(out, 0);
  put_string(out, hello->name);
  return frame_end(out, start, MESSAGE_HELLO, id, error);
}

int message_get_hello(const struct frame *frame, struct message_hello *hello, tally_error *error) {
  struct reader reader = payload_reader(frame);
  uint32_t magic = read32(&reader);
  hello->lowest = read8(&reader);
  hello->highest = read8(&reader);
  (void)read16(&reader);
  get_name(&reader, hello->name);
  if (reader.bad || magic != MESSAGE_HELLO_MAGIC || hello->lowest > hello->highest)
    return message_fail_layout(frame, error);
  return 0;
}

int message_choose_version(const struct message_hello *hello, uint8_t *version, tally_error *error) {
  if (hello->lowest > FRAME_VERSION || hello->highest < FRAME_VERSION)
    return fail(
        error, TALLY_VERSION,
        "the client speaks protocol versions %u to %u, this server speaks %u: use a client of the server's "
        "release",
        hello->lowest, hello->highest, FRAME_VERSION);
  *version = FRAME_VERSION;
  return 0;
}

int message_put_welcome(struct buffer *out, uint64_t id, const struct message_welcome *welcome,
                        tally_error *error) {
  size_t start = frame_begin(out);
  write32(out, welcome->version); /* u8 and three zero bytes */
  write32(out, welcome->frame_bytes);
  write32(out, welcome->batch_rows);
  write32(out, welcome->batch_bytes);
  write32(out, welcome->append_window);
  write32(out, welcome->answer_window);
  write32(out, welcome->idle_timeout);
  write32(out, welcome->store_version);
  put_string(out, welcome->name);
  return frame_end(out, start, MESSAGE_WELCOME, id, error);
}

int message_get_welcome(const struct frame *frame, struct message_welcome *welcome, tally_error *error) {
  struct reader reader = payload_reader(frame);
  welcome->version = read8(&reader);
  (void)read_bytes(&reader, 3);
  welcome->frame_bytes = read32(&reader);
  welcome->batch_rows = read32(&reader);
  welcome->batch_bytes = read32(&reader);
  welcome->append_window = read32(&reader);
  welcome->answer_window = read32(&reader);
  welcome->idle_timeout = read32(&reader);
  welcome->store_version = read32(&reader);
  get_name(&reader, welcome->name);
  if (reader.bad || welcome->append_window == 0 || welcome->answer_window == 0)
    return message_fail_layout(frame, error);
  return 0;
}

/* ------------------------------------------------------------------ without a payload */

int message_put_empty(struct buffer *out, uint8_t type, uint64_t id, tally_error *error) {
  return frame_end(out, frame_begin(out), type, id, error);
}

int message_get_empty(const struct frame *frame, tally_error *error) {
  return frame->size ? message_fail_layout(frame, error) : 0;
}

/* ------------------------------------------------------------------ ingest */

/* APPEND's payload: offsets of the fixed part. */
enum {
  APPEND_DURABILITY = 0,
  APPEND_BITS = 1,
  APPEND_PRODUCER_SIZE = 2,
  APPEND_EPOCH = 4,
  APPEND_SEQUENCE = 12,
  APPEND_FINGERPRINT = 20,
  APPEND_FIXED = 36
};
enum { BIT_PRODUCER = 1, BIT_FINGERPRINT = 2, BITS_KNOWN = 3 };

_Static_assert(APPEND_FIXED + MESSAGE_PRODUCER_BYTES == MESSAGE_APPEND_HEAD_MAX,
               "the head has no more fields");
_Static_assert(MESSAGE_BATCH_BYTES >= TALLY_BATCH_BYTES, "the largest batch fits into a frame");

tally_append_options message_append_options(const struct message_append *append) {
  tally_append_options options = {.producer = append->has_producer ? append->producer : NULL,
                                  .epoch = append->epoch,
                                  .sequence = append->sequence,
                                  .has_fingerprint = append->has_fingerprint,
                                  .durability = append->durability};
  memcpy(options.fingerprint, append->fingerprint, sizeof options.fingerprint);
  return options;
}

static int check_producer_size(size_t size, tally_error *error) {
  if (size >= 1 && size <= MESSAGE_PRODUCER_BYTES) return 0;
  return fail(error, TALLY_USAGE, "the producer's name has %zu bytes: a name has 1 to 100 characters", size);
}

int message_append_head(uint8_t head[MESSAGE_APPEND_HEAD_MAX], size_t *head_size,
                        const tally_append_options *options, size_t batch_size, tally_error *error) {
  static const tally_append_options defaults = {.durability = TALLY_DISK};
  if (!options) options = &defaults;
  const char *producer = options->producer;
  size_t producer_size = producer ? strlen(producer) : 0;
  if (producer && check_producer_size(producer_size, error)) return error->code;
  if (batch_size > MESSAGE_BATCH_BYTES)
    return fail(error, TALLY_TOO_LARGE,
                "a batch of %zu bytes is too large to be sent (at most %u): make smaller ones", batch_size,
                MESSAGE_BATCH_BYTES);
  head[APPEND_DURABILITY] = (uint8_t)options->durability;
  head[APPEND_BITS] =
      (uint8_t)((producer ? BIT_PRODUCER : 0) | (options->has_fingerprint ? BIT_FINGERPRINT : 0));
  store16(head + APPEND_PRODUCER_SIZE, (uint16_t)producer_size);
  store64(head + APPEND_EPOCH, producer ? options->epoch : 0);
  store64(head + APPEND_SEQUENCE, producer ? options->sequence : 0);
  memset(head + APPEND_FINGERPRINT, 0, 16);
  if (options->has_fingerprint) memcpy(head + APPEND_FINGERPRINT, options->fingerprint, 16);
  if (producer_size) memcpy(head + APPEND_FIXED, producer, producer_size);
  *head_size = APPEND_FIXED + producer_size;
  return 0;
}

int message_put_append(struct buffer *out, uint64_t id, const tally_append_options *options,
                       const void *batch, size_t batch_size, tally_error *error) {
  uint8_t head[MESSAGE_APPEND_HEAD_MAX];
  size_t head_size = 0;
  int code = message_append_head(head, &head_size, options, batch_size, error);
  if (code) return code;
  size_t start = frame_begin(out);
  buffer_append(out, head, head_size);
  buffer_append(out, batch, batch_size);
  return frame_end(out, start, MESSAGE_APPEND, id, error);
}

/* The producer's triple, which is all there or all zero. */
static int get_producer(const struct frame *frame, const uint8_t *fixed, struct reader *reader,
                        struct message_append *append, tally_error *error) {
  size_t size = load16(fixed + APPEND_PRODUCER_SIZE);
  append->producer[0] = '\0';
  if (!append->has_producer) {
    if (size || append->epoch || append->sequence) return message_fail_layout(frame, error);
    return 0;
  }
  const uint8_t *name = read_bytes(reader, size);
  if (!name) return message_fail_layout(frame, error);
  if (check_producer_size(size, error)) return error->code;
  return message_copy_text(append->producer, sizeof append->producer, (tally_text){(const char *)name, size},
                           "the producer's name", error);
}

int message_get_append(const struct frame *frame, struct message_append *append, tally_error *error) {
  struct reader reader = payload_reader(frame);
  const uint8_t *fixed = read_bytes(&reader, APPEND_FIXED);
  if (!fixed) return message_fail_layout(frame, error);
  uint8_t durability = fixed[APPEND_DURABILITY], bits = fixed[APPEND_BITS];
  if (bits & ~BITS_KNOWN) return message_fail_layout(frame, error);
  if (durability > TALLY_OS)
    return fail(error, TALLY_USAGE, "durability %u is none: 0 is disk, 1 is os", durability);
  append->durability = (tally_durability)durability;
  append->has_producer = bits & BIT_PRODUCER;
  append->has_fingerprint = bits & BIT_FINGERPRINT;
  append->epoch = load64(fixed + APPEND_EPOCH);
  append->sequence = load64(fixed + APPEND_SEQUENCE);
  memcpy(append->fingerprint, fixed + APPEND_FINGERPRINT, sizeof append->fingerprint);
  if (!append->has_fingerprint && (load64(append->fingerprint) | load64(append->fingerprint + 8)) != 0)
    return message_fail_layout(frame, error);
  int code = get_producer(frame, fixed, &reader, append, error);
  if (code) return code;
  append->batch_size = reader_left(&reader);
  append->batch = read_bytes(&reader, append->batch_size);
  return 0;
}

int message_put_appended(struct buffer *out, uint64_t id, const tally_receipt *receipt, tally_error *error) {
  size_t start = frame_begin(out);
  write32(out, receipt->duplicate); /* u8 and three zero bytes */
  write32(out, receipt->rows);
  return frame_end(out, start, MESSAGE_APPENDED, id, error);
}

int message_get_appended(const struct frame *frame, tally_receipt *receipt, tally_error *error) {
  struct reader reader = payload_reader(frame);
  uint32_t duplicate = read32(&reader);
  uint32_t rows = read32(&reader);
  if (message_whole(frame, &reader, error)) return error->code;
  if (duplicate > 1) return message_fail_layout(frame, error);
  *receipt = (tally_receipt){.duplicate = duplicate, .rows = rows};
  return 0;
}

int message_put_mark(struct buffer *out, uint64_t id, const char *producer, uint64_t epoch,
                     tally_error *error) {
  if (check_producer_size(producer ? strlen(producer) : 0, error)) return error->code;
  size_t start = frame_begin(out);
  write64(out, epoch);
  put_string(out, producer);
  return frame_end(out, start, MESSAGE_MARK, id, error);
}

int message_get_mark(const struct frame *frame, struct message_mark *mark, tally_error *error) {
  struct reader reader = payload_reader(frame);
  mark->epoch = read64(&reader);
  tally_text producer = get_text(&reader);
  if (message_whole(frame, &reader, error)) return error->code;
  if (producer.data && check_producer_size(producer.size, error)) return error->code;
  return message_copy_text(mark->producer, sizeof mark->producer, producer, "the producer's name", error);
}

int message_put_marked(struct buffer *out, uint64_t id, const tally_mark *mark, tally_error *error) {
  size_t start = frame_begin(out);
  write64(out, mark->epoch);
  write64(out, mark->sequence);
  return frame_end(out, start, MESSAGE_MARKED, id, error);
}

int message_get_marked(const struct frame *frame, tally_mark *mark, tally_error *error) {
  struct reader reader = payload_reader(frame);
  mark->epoch = read64(&reader);
  mark->sequence = read64(&reader);
  return message_whole(frame, &reader, error);
}

/* ------------------------------------------------------------------ errors */

int message_put_error(struct buffer *out, uint64_t id, const tally_error *carried, tally_error *error) {
  size_t start = frame_begin(out);
  write32(out, (uint32_t)-carried->code);
  write32(out, (uint32_t)carried->column);
  write64(out, (uint64_t)carried->row);
  write64(out, carried->sequence);
  put_text(out, carried->text, strnlen(carried->text, sizeof carried->text));
  return frame_end(out, start, MESSAGE_ERROR, id, error);
}

static int known_code(uint32_t number) {
  switch (number) {
#define CODE_CASE(name, value, text, meaning)                                                                \
  case value:                                                                                                \
    return TALLY_##name;
    TALLY_ERROR_MAP(CODE_CASE)
#undef CODE_CASE
  default:
    return 0;
  }
}

int message_get_error(const struct frame *frame, tally_error *carried, tally_error *error) {
  struct reader reader = payload_reader(frame);
  uint32_t number = read32(&reader);
  int32_t column = (int32_t)read32(&reader);
  int64_t row = (int64_t)read64(&reader);
  uint64_t sequence = read64(&reader);
  tally_text text = get_text(&reader);
  if (message_whole(frame, &reader, error)) return error->code;
  if (!text.data || !utf8_text(text.data, text.size, NULL) || column < -1 || column >= TALLY_COLUMNS ||
      row < -1)
    return message_fail_layout(frame, error);
  int code = known_code(number);
  (void)fail(carried, code ? code : TALLY_PROTOCOL, "%.*s", (int)(text.size < 4096 ? text.size : 4096),
             text.data);
  if (!code) (void)error_where(carried, "error %u of a newer server", number);
  carried->column = column;
  carried->row = row;
  carried->sequence = sequence;
  return 0;
}
