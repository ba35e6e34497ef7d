/* frame.h - the frames of Tally's protocol: sealing them, and cutting them out of a stream of bytes.
 *
 * One frame, little-endian (docs/protocol.md says the same for strangers):
 *
 *   offset  bytes
 *     0       4   size of the payload, 0 .. FRAME_BYTES - FRAME_HEADER
 *     4       1   protocol version (FRAME_VERSION)
 *     5       1   type of the message
 *     6       2   flags, 0
 *     8       8   request id: chosen by the client, every answer carries it; 0 belongs to the connection
 *    16       8   XXH3-64, seed 0, of the bytes 0-15 followed by the payload, as if they were one text
 *    24       -   payload
 *
 * Rules:
 *  1. A whole frame is at most FRAME_BYTES. Version, flags and size are checked as soon as they are
 *     there, before anything is allocated for the payload, and the checksum before the payload is shown.
 *  2. A payload is never copied to be decoded: it is lent out of the chunk it was received into.
 *     frame_hold keeps a chunk (and so every payload in it) beyond the next call on the reader.
 *  3. Memory is in proportion to the bytes received: a chunk is at most four times of what is there or of the
 *     last whole frames, whatever size a header claims, and a reader with nothing left over holds no chunk.
 *
 * A pool, its readers and its chunks belong to one thread (payloads of held chunks may be read by others). */
#ifndef PROTO_FRAME_H
#define PROTO_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tally.h>

#include "base/budget.h"
#include "base/bytes.h"

#define FRAME_VERSION_DEVELOPMENT 0x80 /* set in versions that no release speaks and that promise nothing */
#define FRAME_VERSION (FRAME_VERSION_DEVELOPMENT | 1)
#define FRAME_HEADER 24u
#define FRAME_BYTES (4u << 20) /* the largest frame, header included */
#define FRAME_GREETING 4096u   /* the largest frame before the greeting is done */
#define FRAME_CHUNK_MIN (64u << 10)
#define FRAME_CHUNK_CLASSES 4 /* 64 KiB, 256 KiB, 1 MiB, 4 MiB */

/* ------------------------------------------------------------------ making frames */

/* Begins a frame at the end of `out` and returns where; write the payload behind it, then end it. */
size_t frame_begin(struct buffer *out);
/* Ends the frame begun at `start`. TALLY_TOO_LARGE if it exceeds FRAME_BYTES, TALLY_NO_MEMORY if `out` has
 * failed; then out->size is `start` again (and out->failed is cleared: what stood before is whole). */
int frame_end(struct buffer *out, size_t start, uint8_t type, uint64_t id, tally_error *error);

/* The header of a frame whose payload is `head` followed by `body`, for senders that do not copy (writev).
 * The payload's size must be within the limit. */
void frame_seal(uint8_t header[FRAME_HEADER], uint8_t type, uint64_t id, const void *head, size_t head_size,
                const void *body, size_t body_size);

/* ------------------------------------------------------------------ receiving frames */

/* A piece of memory that bytes are received into, counted by its users. */
struct frame_chunk;

/* Where chunks come from and go back to. Outlives its readers and chunks. */
struct frame_pool {
  struct budget *budget; /* NULL: none; what is allocated, spares included, is taken from it */
  struct frame_chunk *spare[FRAME_CHUNK_CLASSES];
  size_t spare_bytes, spare_limit; /* spares are kept up to the limit, faulted in and ready */
};

void frame_pool_init(struct frame_pool *pool, struct budget *budget, size_t spare_limit);
/* Frees the spares; every chunk must have been given back. */
void frame_pool_free(struct frame_pool *pool);

struct frame {
  uint8_t type;
  uint64_t id;
  const uint8_t *payload; /* borrowed until the next call on the reader, or as long as the chunk is held */
  size_t size;
  struct frame_chunk *chunk;
};

/* Keeps the frame's chunk; each hold is to be given back with frame_release. */
struct frame_chunk *frame_hold(const struct frame *frame);
void frame_release(struct frame_chunk *chunk);
/* The memory of a held chunk, for those who count it. */
size_t frame_chunk_size(const struct frame_chunk *chunk);

struct frame_reader {
  struct frame_pool *pool;
  struct frame_chunk *chunk; /* NULL: nothing is left over */
  size_t start, end;         /* the bytes of chunk that are not yet given out */
  size_t limit;              /* the largest frame accepted: FRAME_GREETING, raise it after the greeting */
  unsigned recent;           /* class of the largest frame since this chunk was taken: the next is as large */
};

void frame_reader_init(struct frame_reader *reader, struct frame_pool *pool, size_t limit);
void frame_reader_free(struct frame_reader *reader);

/* Room for bytes to come: *room bytes (not 0) at the returned pointer, until the next call on the reader.
 * NULL with TALLY_MEMORY_LIMIT (the budget; try again when memory has come back) or TALLY_NO_MEMORY. */
uint8_t *frame_reader_room(struct frame_reader *reader, size_t *room, tally_error *error);
/* `size` bytes were put at the start of that room (0 is fine: a room that was not used). */
void frame_reader_commit(struct frame_reader *reader, size_t size);
/* Takes the next frame out: FRAME_READY; or FRAME_MORE, then *need (may be NULL) is how many bytes at least
 * are missing; or a code: TALLY_VERSION, TALLY_TOO_LARGE, TALLY_PROTOCOL (flags, checksum): the stream cannot
 * be read any further, the same code comes ever after. */
enum { FRAME_MORE = 0, FRAME_READY = 1 };
int frame_reader_next(struct frame_reader *reader, struct frame *frame, size_t *need, tally_error *error);

/* The same for bytes in one piece: parses the frame at data[0]; on FRAME_READY the frame is
 * FRAME_HEADER + frame->size bytes long and frame->chunk is NULL. */
int frame_parse(const void *data, size_t size, size_t limit, struct frame *frame, size_t *need,
                tally_error *error);

#endif
