/* message_text.h - what the files of messages share: texts on the wire, and failing decoders. */
#ifndef PROTO_MESSAGE_TEXT_H
#define PROTO_MESSAGE_TEXT_H

#include "proto/message.h"

#define TEXT_NULL UINT32_MAX /* the size of a NULL text */

/* A value, NULL distinguished. Sizes from TEXT_NULL up make the buffer fail. */
static inline void put_text(struct buffer *out, const char *data, size_t size) {
  write32(out, data ? (uint32_t)size : TEXT_NULL);
  if (data) buffer_append(out, data, size);
}
static inline void put_string(struct buffer *out, const char *text) {
  put_text(out, text, text ? strlen(text) : 0);
}

/* The next text, borrowed; NULL data for NULL, and when the reader is bad. */
static inline tally_text get_text(struct reader *reader) {
  uint32_t size = read32(reader);
  if (reader->bad || size == TEXT_NULL) return (tally_text){0};
  const uint8_t *data = read_bytes(reader, size);
  return data ? (tally_text){(const char *)data, size} : (tally_text){0};
}

static inline struct reader payload_reader(const struct frame *frame) {
  return reader_make(frame->payload, frame->size);
}

/* TALLY_PROTOCOL: the payload is not laid out as its type says. */
int message_fail_layout(const struct frame *frame, tally_error *error);
/* 0 if the reader has read the whole payload and nothing but it. */
int message_whole(const struct frame *frame, const struct reader *reader, tally_error *error);
/* Copies a text that may stand in a C string into one (NUL-terminated, capacity bytes with it). TALLY_USAGE
 * if it is NULL, too long, not UTF-8 or holds a NUL byte; `what` names it. */
int message_copy_text(char *to, size_t capacity, tally_text text, const char *what, tally_error *error);

#endif
