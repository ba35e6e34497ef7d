/* intake.h - the memory of what comes in: receive chunks and the batches under way, for all connections
 * together. The loop's thread only.
 *
 * `used` is the chunks in use (partial frames, batches lent out of them), what is kept outside of chunks, and
 * what frames that may grow were promised. Two limits, `soft` and `hard` = 2 x soft:
 *
 * 1. A connection that appends begins no read while used >= soft; one that does not, while used >= hard. So
 *    queries and cancels get through while the WAL is behind.
 * 2. A frame larger than its chunk is admitted first: within `hard`, or as the only one. What was admitted
 *    waits for no memory any more, so it always ends, and with it the waiting of all others.
 * 3. Those who wait go on in the order in which they came, when memory has come back. */
#ifndef SERVER_INTAKE_H
#define SERVER_INTAKE_H

#include "proto/frame.h"

/* A connection's place in the intake. */
struct place {
  struct place *next, *previous; /* in a queue */
  struct frame_reader reader;
  size_t promised; /* bytes its chunk may still grow by */
  size_t wanted;   /* size of the chunk that the frame under way needs; 0: the one that is there does */
  bool appends;    /* has sent a batch */
  bool admitted;
  bool waiting;
};

struct place_queue {
  struct place *first, *last;
};

struct intake {
  struct frame_pool pool;
  struct budget chunks; /* a meter: it has no limit of its own */
  uint64_t kept;        /* bytes outside of chunks */
  uint64_t promised;    /* of all places */
  uint64_t soft;
  unsigned admitted;
  struct place_queue appending, others; /* who waits */
  void (*resume)(struct place *place);  /* a place may go on */
};

void intake_init(struct intake *intake, uint64_t soft, void (*resume)(struct place *place));
void intake_free(struct intake *intake);
uint64_t intake_used(struct intake *intake);

void place_init(struct intake *intake, struct place *place);
/* Gives everything back, also its place in a queue. */
void place_free(struct intake *intake, struct place *place);

/* Room for one read, or NULL: the place waits now and its connection must stop reading until `resume`. (Also
 * without memory from the system.) */
uint8_t *place_room(struct intake *intake, struct place *place, size_t *room);
/* The next frame, as frame_reader_next. When more bytes are needed it knows what for. */
int place_next(struct intake *intake, struct place *place, struct frame *frame, tally_error *error);
/* True if a part of a frame is there. */
bool place_partial(const struct place *place);

/* Bytes kept outside of chunks, as copies of small batches. */
void intake_keep(struct intake *intake, uint64_t bytes);
void intake_give_back(struct intake *intake, uint64_t bytes);
/* Lets those who wait go on as far as memory allows; to be called when some has come back. */
void intake_resume(struct intake *intake);

#endif
