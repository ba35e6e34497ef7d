/* frame_reader.c - chunks of memory and the cutting of frames out of them; see frame.h.
 *
 * Invariants: start <= end <= size of the chunk; without a chunk both are 0; start 0 means that no frame of
 * the chunk was given out since its bytes were moved there, so nobody but the reader uses it. */
#include "base/mem.h"
#include "base/status.h"
#include "proto/frame.h"

struct frame_chunk {
  struct frame_pool *pool;
  struct frame_chunk *next; /* among the spares */
  size_t size;
  unsigned class, users;
  uint8_t data[];
};

#define SMALL_ROOM 4096u /* less room than this is not worth a read */

static size_t class_size(unsigned class) { return (size_t)FRAME_CHUNK_MIN << (2 * class); }

static unsigned class_of(size_t bytes) {
  unsigned class = 0;
  while (class + 1 < FRAME_CHUNK_CLASSES && class_size(class) < bytes) class ++;
  return class;
}

_Static_assert(FRAME_CHUNK_MIN << (2 * (FRAME_CHUNK_CLASSES - 1)) == FRAME_BYTES,
               "the largest chunk holds the largest frame");

/* ------------------------------------------------------------------ the pool */

void frame_pool_init(struct frame_pool *pool, struct budget *budget, size_t spare_limit) {
  *pool = (struct frame_pool){.budget = budget, .spare_limit = spare_limit};
}

static void chunk_free(struct frame_pool *pool, struct frame_chunk *chunk) {
  if (pool->budget) budget_give(pool->budget, chunk->size);
  mem_free(chunk);
}

void frame_pool_free(struct frame_pool *pool) {
  for (unsigned class = 0; class < FRAME_CHUNK_CLASSES; class ++) {
    while (pool->spare[class]) {
      struct frame_chunk *chunk = pool->spare[class];
      pool->spare[class] = chunk->next;
      chunk_free(pool, chunk);
    }
  }
  pool->spare_bytes = 0;
}

static struct frame_chunk *chunk_spare(struct frame_pool *pool, unsigned class) {
  struct frame_chunk *chunk = pool->spare[class];
  if (!chunk) return NULL;
  pool->spare[class] = chunk->next;
  pool->spare_bytes -= chunk->size;
  return chunk;
}

static bool budget_has(struct frame_pool *pool, size_t size) {
  if (!pool->budget || budget_take(pool->budget, size)) return true;
  frame_pool_free(pool); /* spares of other classes may be what is missing */
  return budget_take(pool->budget, size);
}

/* A chunk with one user. */
static struct frame_chunk *chunk_take(struct frame_pool *pool, unsigned class, tally_error *error) {
  struct frame_chunk *chunk = chunk_spare(pool, class);
  if (!chunk) {
    size_t size = class_size(class);
    if (!budget_has(pool, size)) {
      (void)fail(
          error, TALLY_MEMORY_LIMIT,
          "no memory in the budget for %zu bytes of network input: raise the memory budget or have fewer "
          "connections at once",
          size);
      return NULL;
    }
    chunk = mem_alloc(sizeof *chunk + size);
    if (!chunk) {
      if (pool->budget) budget_give(pool->budget, size);
      (void)fail_memory(error, "network input");
      return NULL;
    }
    *chunk = (struct frame_chunk){.pool = pool, .size = size, .class = class};
  }
  chunk->users = 1;
  return chunk;
}

struct frame_chunk *frame_hold(const struct frame *frame) {
  frame->chunk->users++;
  return frame->chunk;
}

void frame_release(struct frame_chunk *chunk) {
  if (--chunk->users) return;
  struct frame_pool *pool = chunk->pool;
  if (pool->spare_bytes + chunk->size > pool->spare_limit) {
    chunk_free(pool, chunk);
    return;
  }
  chunk->next = pool->spare[chunk->class];
  pool->spare[chunk->class] = chunk;
  pool->spare_bytes += chunk->size;
}

size_t frame_chunk_size(const struct frame_chunk *chunk) { return chunk->size; }

/* ------------------------------------------------------------------ the reader */

void frame_reader_init(struct frame_reader *reader, struct frame_pool *pool, size_t limit) {
  *reader = (struct frame_reader){.pool = pool, .limit = limit};
}

static void drop_chunk(struct frame_reader *reader) {
  if (reader->chunk) frame_release(reader->chunk);
  reader->chunk = NULL;
  reader->start = reader->end = 0;
}

void frame_reader_free(struct frame_reader *reader) { drop_chunk(reader); }

static const uint8_t *pending(const struct frame_reader *reader) {
  return reader->chunk->data + reader->start;
}

/* The size of the frame that has begun, as far as it is known and allowed. */
static size_t pending_size(const struct frame_reader *reader) {
  if (reader->end - reader->start < FRAME_HEADER) return FRAME_HEADER;
  size_t size = (size_t)load32(pending(reader)) + FRAME_HEADER;
  return size < reader->limit ? size : reader->limit;
}

/* True if bytes can go on at the end of the chunk as it is. */
static bool room_behind(const struct frame_reader *reader, size_t left, size_t whole) {
  size_t room = reader->chunk->size - reader->end;
  if (room == 0) return false;
  if (left < FRAME_HEADER) return room >= SMALL_ROOM;
  return reader->start == 0 || reader->start + whole <= reader->chunk->size;
}

/* Moves what is left over to the start of a chunk that has room for more of its frame. */
static int move_on(struct frame_reader *reader, size_t left, size_t whole, tally_error *error) {
  size_t known = left * 4 > whole ? whole : left * 4; /* rule 3 */
  unsigned class = class_of(known);
  if (reader->chunk && reader->chunk->users == 1 && class <= reader->chunk->class) {
    memmove(reader->chunk->data, pending(reader), left);
  } else {
    if (class < reader->recent) class = reader->recent;
    struct frame_chunk *chunk = chunk_take(reader->pool, class, error);
    if (!chunk) return error->code;
    if (left) memcpy(chunk->data, pending(reader), left);
    drop_chunk(reader);
    reader->chunk = chunk;
    reader->recent = 0;
  }
  reader->start = 0;
  reader->end = left;
  return 0;
}

uint8_t *frame_reader_room(struct frame_reader *reader, size_t *room, tally_error *error) {
  size_t left = reader->end - reader->start;
  size_t whole = reader->chunk ? pending_size(reader) : FRAME_HEADER;
  if (!reader->chunk || !room_behind(reader, left, whole))
    if (move_on(reader, left, whole, error)) return NULL;
  *room = reader->chunk->size - reader->end;
  return reader->chunk->data + reader->end;
}

void frame_reader_commit(struct frame_reader *reader, size_t size) { reader->end += size; }

int frame_reader_next(struct frame_reader *reader, struct frame *frame, size_t *need, tally_error *error) {
  if (reader->start == reader->end) { /* an idle reader holds no memory */
    drop_chunk(reader);
    if (need) *need = FRAME_HEADER;
    return FRAME_MORE;
  }
  int code = frame_parse(pending(reader), reader->end - reader->start, reader->limit, frame, need, error);
  if (code != FRAME_READY) return code;
  size_t whole = FRAME_HEADER + frame->size;
  frame->chunk = reader->chunk;
  reader->start += whole;
  unsigned class = class_of(whole);
  if (class > reader->recent) reader->recent = class;
  return FRAME_READY;
}
