/* message.h - the messages of Tally's protocol: types, payloads, limits (docs/protocol.md).
 *
 * Rules:
 *  1. Encoders (message_put_*) add one whole frame to a buffer, or leave the buffer as it was and fail with
 *     TALLY_TOO_LARGE or TALLY_NO_MEMORY.
 *  2. Decoders (message_get_*) take a frame's payload and trust nothing: every length is checked against the
 *     bytes that are there before it is used or allocated for, texts must be UTF-8 without NUL, unknown bits
 *     and bytes left over are refused (but in HELLO and WELCOME, which later versions may lengthen). They
 * fail with TALLY_PROTOCOL where the layout is broken, TALLY_USAGE where a value is not allowed.
 *  3. What a decoder lends out of the payload lives as long as the payload.
 *
 * Payloads are little-endian and packed. A `text` is u32 size and that many bytes; size 0xFFFFFFFF is NULL.
 */
#ifndef PROTO_MESSAGE_H
#define PROTO_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tally.h>

#include "base/bytes.h"
#include "proto/frame.h"

/* Type, number, name in messages, who sends it. Numbers are never used again. */
#define MESSAGE_MAP(X)                                                                                       \
  X(HELLO, 1, "HELLO", CLIENT)                                                                               \
  X(PING, 2, "PING", CLIENT)                                                                                 \
  X(APPEND, 3, "APPEND", CLIENT)                                                                             \
  X(MARK, 4, "MARK", CLIENT)                                                                                 \
  X(QUERY, 5, "QUERY", CLIENT)                                                                               \
  X(EVENTS, 6, "EVENTS", CLIENT)                                                                             \
  X(STATS, 7, "STATS", CLIENT)                                                                               \
  X(VERIFY, 8, "VERIFY", CLIENT)                                                                             \
  X(FLUSH, 9, "FLUSH", CLIENT)                                                                               \
  X(CANCEL, 10, "CANCEL", CLIENT)                                                                            \
  X(JOB, 11, "JOB", CLIENT)                                                                                  \
  X(WELCOME, 65, "WELCOME", SERVER)                                                                          \
  X(PONG, 66, "PONG", SERVER)                                                                                \
  X(APPENDED, 67, "APPENDED", SERVER)                                                                        \
  X(MARKED, 68, "MARKED", SERVER)                                                                            \
  X(COLUMNS, 69, "COLUMNS", SERVER)                                                                          \
  X(ROWS, 70, "ROWS", SERVER)                                                                                \
  X(END, 71, "END", SERVER)                                                                                  \
  X(DONE, 72, "DONE", SERVER)                                                                                \
  X(ERROR, 73, "ERROR", SERVER)

enum message_type {
#define MESSAGE_ENUM(name, number, text, sender) MESSAGE_##name = (number),
  MESSAGE_MAP(MESSAGE_ENUM)
#undef MESSAGE_ENUM
};

/* "APPEND", or "unknown". Static storage. */
const char *message_name(uint8_t type);

#define MESSAGE_HELLO_MAGIC 0x594C4154u /* "TALY" */
#define MESSAGE_NAME_BYTES 255u         /* the longest name of a client or server program */
#define MESSAGE_PRODUCER_BYTES 400u     /* 100 characters */
#define MESSAGE_COLUMNS_MAX 4096u
#define MESSAGE_ROWS_TARGET (128u << 10) /* a ROWS frame is ended when it has grown to this */
/* Bytes of APPEND before the batch's, at most: 4 x 1 + 8 + 8 + 16 + producer. A batch of TALLY_BATCH_BYTES
 * fits. */
#define MESSAGE_APPEND_HEAD_MAX (36u + MESSAGE_PRODUCER_BYTES)
#define MESSAGE_BATCH_BYTES (FRAME_BYTES - FRAME_HEADER - MESSAGE_APPEND_HEAD_MAX)

/* ------------------------------------------------------------------ greeting */

/* HELLO: u32 magic, u8 lowest version, u8 highest version, u16 zero, text name. */
struct message_hello {
  uint8_t lowest, highest;
  char name[MESSAGE_NAME_BYTES + 1]; /* program and version, for the server's log: "tally 0.1.0" */
};

/* WELCOME: u8 version, 3 zero bytes, u32 x 7 in the order below, text name. */
struct message_welcome {
  uint8_t version;        /* the one that is spoken from now on */
  uint32_t frame_bytes;   /* largest frame the server takes and sends */
  uint32_t batch_rows;    /* most rows of a batch */
  uint32_t batch_bytes;   /* most bytes of a batch */
  uint32_t append_window; /* APPENDs that may be under way on this connection */
  uint32_t answer_window; /* QUERY, EVENTS, STATS, VERIFY, JOB that may be under way on this connection */
  uint32_t
      idle_timeout; /* milliseconds of silence with nothing under way until the server hangs up; 0: none */
  uint32_t store_version;            /* format version of the store; bit 31: a development version */
  char name[MESSAGE_NAME_BYTES + 1]; /* "tallyd 0.1.0" */
};

/* Names longer than MESSAGE_NAME_BYTES do not exist in these structs; received ones are cut there. */
int message_put_hello(struct buffer *out, uint64_t id, const struct message_hello *hello, tally_error *error);
int message_get_hello(const struct frame *frame, struct message_hello *hello, tally_error *error);
int message_put_welcome(struct buffer *out, uint64_t id, const struct message_welcome *welcome,
                        tally_error *error);
int message_get_welcome(const struct frame *frame, struct message_welcome *welcome, tally_error *error);
/* Chooses the version for a client that speaks lowest..highest; TALLY_VERSION (a text that names both sides'
 * versions) if there is none in common. */
int message_choose_version(const struct message_hello *hello, uint8_t *version, tally_error *error);

/* ------------------------------------------------------------------ messages without a payload */

/* PING, PONG, STATS, VERIFY, FLUSH, DONE have none; nor has CANCEL, whose frame bears the id of the request
 * that is to end. */
int message_put_empty(struct buffer *out, uint8_t type, uint64_t id, tally_error *error);
/* TALLY_PROTOCOL if there is a payload. */
int message_get_empty(const struct frame *frame, tally_error *error);

/* ------------------------------------------------------------------ ingest */

/* APPEND: u8 durability (0 disk, 1 os), u8 bits (1: a producer, 2: a fingerprint), u16 size of the producer's
 * name, u64 epoch, u64 sequence, 16 bytes fingerprint (zeros without), the name, then to the end the batch
 * (docs/format/batch.md). Without a producer size, epoch and sequence are 0. */
struct message_append {
  bool has_producer, has_fingerprint;
  tally_durability durability;
  uint64_t epoch, sequence;
  uint8_t fingerprint[16];
  char producer[MESSAGE_PRODUCER_BYTES + 1];
  const uint8_t *batch; /* borrowed from the payload, verbatim, unchecked */
  size_t batch_size;
};

/* Options for tally_append; options.producer points into *append. */
tally_append_options message_append_options(const struct message_append *append);

/* The payload up to the batch, for senders that send the batch from where it is (frame_seal + writev).
 * `options` NULL: no producer, disk. Returns its size; TALLY_USAGE for a producer of no or more than
 * MESSAGE_PRODUCER_BYTES bytes, TALLY_TOO_LARGE for a batch of more than MESSAGE_BATCH_BYTES. */
int message_append_head(uint8_t head[MESSAGE_APPEND_HEAD_MAX], size_t *head_size,
                        const tally_append_options *options, size_t batch_size, tally_error *error);
/* The whole frame, the batch copied. */
int message_put_append(struct buffer *out, uint64_t id, const tally_append_options *options,
                       const void *batch, size_t batch_size, tally_error *error);
int message_get_append(const struct frame *frame, struct message_append *append, tally_error *error);

/* APPENDED: u8 duplicate (0, 1), 3 zero bytes, u32 rows. */
int message_put_appended(struct buffer *out, uint64_t id, const tally_receipt *receipt, tally_error *error);
int message_get_appended(const struct frame *frame, tally_receipt *receipt, tally_error *error);

/* MARK: u64 epoch (0: the newest), text producer. */
struct message_mark {
  uint64_t epoch;
  char producer[MESSAGE_PRODUCER_BYTES + 1];
};
int message_put_mark(struct buffer *out, uint64_t id, const char *producer, uint64_t epoch,
                     tally_error *error);
int message_get_mark(const struct frame *frame, struct message_mark *mark, tally_error *error);
/* MARKED: u64 epoch, u64 sequence. */
int message_put_marked(struct buffer *out, uint64_t id, const tally_mark *mark, tally_error *error);
int message_get_marked(const struct frame *frame, tally_mark *mark, tally_error *error);

/* ------------------------------------------------------------------ requests for rows */

/* QUERY: u32 flags, u64 limit, u64 timeout (milliseconds, 0: the server's), texts from, to, group_by, bucket,
 * tz, aggregates, order_by, then u32 count and so many texts: where. EVENTS: u32 flags, u64 limit, u64
 * timeout, texts from, to, tz, columns, then where in the same way. */
struct message_query {
  tally_query query; /* every text in `memory` */
  char *memory;      /* one block, freed by message_query_free */
};
struct message_events {
  tally_scan scan;
  char *memory;
};
int message_put_query(struct buffer *out, uint64_t id, const tally_query *query, tally_error *error);
int message_get_query(const struct frame *frame, struct message_query *query, tally_error *error);
void message_query_free(struct message_query *query);
int message_put_events(struct buffer *out, uint64_t id, const tally_scan *scan, tally_error *error);
int message_get_events(const struct frame *frame, struct message_events *events, tally_error *error);
void message_events_free(struct message_events *events);

/* JOB: u32 count and so many texts: the job's words. */
#define MESSAGE_WORDS_MAX 256u
struct message_job {
  const char *const *words; /* in `memory` */
  size_t count;
  char *memory;
};
int message_put_job(struct buffer *out, uint64_t id, const char *const *words, size_t count,
                    tally_error *error);
int message_get_job(const struct frame *frame, struct message_job *job, tally_error *error);
void message_job_free(struct message_job *job);

/* ------------------------------------------------------------------ answers */

/* COLUMNS: u32 count (1 .. MESSAGE_COLUMNS_MAX), then of each u8 type (tally_type) and text name. */
int message_put_columns(struct buffer *out, uint64_t id, const tally_result_column *columns, size_t count,
                        tally_error *error);
/* Names are NUL-terminated in one block with the array: *columns is to be freed with mem_free. */
int message_get_columns(const struct frame *frame, tally_result_column **columns, size_t *count,
                        tally_error *error);

/* ROWS: u32 rows (not 0), then their cells one after the other, row by row, each a text. */
struct message_rows_writer {
  struct buffer *out;
  size_t start; /* of the frame */
  uint64_t id;
  size_t columns;
  uint32_t rows;
};
/* Begins a ROWS frame at the end of `out`, which belongs to the writer until message_rows_end. */
void message_rows_begin(struct message_rows_writer *writer, struct buffer *out, uint64_t id, size_t columns);
enum { MESSAGE_ROW_FULL = 0, MESSAGE_ROW_ADDED = 1 };
/* Adds a row of writer->columns cells: MESSAGE_ROW_ADDED; MESSAGE_ROW_FULL: it does not fit behind the rows
 * that are there, end this frame and add it to the next; TALLY_TOO_LARGE: it fits in no frame;
 * TALLY_NO_MEMORY. */
int message_rows_add(struct message_rows_writer *writer, const tally_text *cells, tally_error *error);
/* True when the frame has its MESSAGE_ROWS_TARGET: end it and send it. */
bool message_rows_enough(const struct message_rows_writer *writer);
/* Ends the frame; with no rows it is taken back and nothing is left of it (0 is returned). */
int message_rows_end(struct message_rows_writer *writer, tally_error *error);

struct message_rows_reader {
  struct reader reader;
  size_t columns;
  uint32_t left; /* rows */
};
int message_get_rows(const struct frame *frame, size_t columns, struct message_rows_reader *rows,
                     tally_error *error);
/* The next row's cells, borrowed from the payload: TALLY_ROW, TALLY_OK after the last, TALLY_PROTOCOL. */
int message_rows_next(struct message_rows_reader *rows, tally_text *cells, tally_error *error);

/* END: u64 rows, all that the answer had: a client that has read another number has lost some. Where segments
 * were left out (TALLY_PARTIAL), u64 how many and u64 the rows they hold follow. */
struct message_end {
  uint64_t rows;
  uint64_t left_out, rows_left_out; /* segments, and their rows */
};
int message_put_end(struct buffer *out, uint64_t id, const struct message_end *end, tally_error *error);
int message_get_end(const struct frame *frame, struct message_end *end, tally_error *error);

/* ERROR: u32 number of the code (TALLY_ERROR_MAP), i32 column, i64 row, u64 sequence, text. Cannot fail for
 * size: the text of a tally_error fits. */
int message_put_error(struct buffer *out, uint64_t id, const tally_error *carried, tally_error *error);
/* Fills *carried with the peer's error. A number that this build does not know becomes TALLY_PROTOCOL. */
int message_get_error(const struct frame *frame, tally_error *carried, tally_error *error);

#endif
