/* intake.h - the memory of what comes in: receive chunks and the batches under way, for all connections
 * together. The loop's thread only.
 *
 * `used` is the chunks in use (partial frames, and batches that are lent out of them), what is kept outside
 * of chunks, and what frames that may grow were promised. With `soft` as the configured share:
 *
 * 1. A connection that appends takes no new chunk while used >= soft; any other while used >= 2 x soft. So
 *    queries and cancels get through while the WAL is behind.
 * 2. A frame that needs a chunk larger than the smallest is admitted first: if used stays within 1.5 x soft,
 *    or if nothing else could bring memory back (no batch is under way, no other frame is admitted). What is
 *    admitted waits for no memory any more, so it always ends, and with it the waiting of all others.
 * 3. A partial frame that fits where it is goes on at once.
 * 4. Those who wait go on when memory has come back, in the order in which they came: partial frames first
 *    (they hold memory), then those who do not append, then those who do. */
#ifndef SERVER_INTAKE_H
#define SERVER_INTAKE_H

#include "proto/frame.h"

/* A connection's place in the intake. */
struct place {
  struct place *next, *previous; /* in a queue */
  struct frame_reader reader;
  size_t wanted;   /* size of the chunk that the frame under way needs; 0: it fits where it is */
  size_t promised; /* bytes of it that are not taken yet */
  unsigned holds;  /* batches that are lent out of the reader's chunk */
  bool appends;    /* has sent a batch */
  bool admitted;
  bool waiting;
};

struct place_queue {
  struct place *first, *last;
};

/* Bytes of a request that are kept while it is under way. */
struct kept {
  struct frame_chunk *chunk; /* NULL: not in a chunk */
  uint64_t bytes;            /* outside of chunks */
  bool batch;
};

struct intake {
  struct frame_pool pool;
  struct budget chunks; /* a meter: it has no limit of its own */
  uint64_t kept;        /* bytes outside of chunks */
  uint64_t promised;    /* of all places */
  uint64_t soft;
  uint64_t batches; /* under way */
  unsigned admitted;
  struct place_queue partial, others, appending; /* who waits */
  void (*resume)(struct place *place);           /* a place may go on */
};

void intake_init(struct intake *intake, uint64_t soft, void (*resume)(struct place *place));
void intake_free(struct intake *intake);
uint64_t intake_used(struct intake *intake);

void place_init(struct intake *intake, struct place *place);
/* Gives everything back, also its place in a queue. Batches lent out of its chunks stay. */
void place_free(struct intake *intake, struct place *place);

/* Room for one read, or NULL: the place waits now and its connection must stop reading until `resume`. (Also
 * without memory from the system.) */
uint8_t *place_room(struct intake *intake, struct place *place, size_t *room);
/* The next frame, as frame_reader_next. When more bytes are needed it knows what for. */
int place_next(struct intake *intake, struct place *place, struct frame *frame, tally_error *error);
/* True if a part of a frame is there. */
bool place_partial(const struct place *place);

/* Counts `bytes` that a request keeps outside of chunks, and holds the chunk of `frame` if it is not NULL. */
struct kept intake_keep(struct intake *intake, struct place *place, const struct frame *frame, uint64_t bytes,
                        bool batch);
/* The request is done. `place` is the one it came through (it may have been freed by place_free). */
void intake_give_back(struct intake *intake, struct place *place, struct kept *kept);
/* Lets those who wait go on as far as memory allows; to be called when some may have come back. */
void intake_resume(struct intake *intake);

#endif
