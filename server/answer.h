/* answer.h - one request that a worker answers: QUERY, EVENTS, STATS, VERIFY, JOB and FLUSH.
 *
 * 1. An answer is pulled: each pull runs on a worker, makes at most one frame of rows (and COLUMNS before the
 *    first, END or ERROR behind the last), and comes home to the loop with its bytes. Between pulls the
 * cursor rests and holds no thread, so a slow reader costs memory that is bounded and nothing else.
 * 2. An answer is either away (submitted, a worker's) or at home (the loop's), never both. `cancel` is the
 * one function that may be called while it is away.
 * 3. The cursor is opened, pulled and closed on workers only: all of that may wait for a disk. But for
 *    answer_try, which asks for what can be had without that (TALLY_AT_ONCE): to hand a short query to a
 * thread and back takes longer than to answer it. */
#ifndef SERVER_ANSWER_H
#define SERVER_ANSWER_H

#include "proto/message.h"
#include "server/mailbox.h"
#include "server/store.h"
#include "server/workers.h"

#define ANSWER_FRAME MESSAGE_ROWS_TARGET         /* about the bytes of one pull */
#define ANSWER_REQUEST (64u << 10)               /* the largest payload of a request */
#define ANSWER_PULL_NANOSECONDS (50u * 1000000u) /* rows that are there are not kept back for longer */

struct answer {
  struct letter letter; /* the way home; arrive is the owner's */
  struct job job;
  struct mailbox *mailbox;
  struct store *store;
  uint8_t type; /* of the request: MESSAGE_QUERY ... */
  uint64_t id;
  struct message_query query;
  struct message_events events;
  struct message_job work;
  uint64_t rows_sent;
  size_t columns;
  /* what a pull brings home */
  struct buffer out;
  int result;    /* finished: of the request */
  bool finished; /* the last frame is in `out`, the cursor is closed */
  bool broken;   /* there was no memory for a frame: the connection cannot be answered any more */
  bool starved;  /* refused memory, and it can go on when there is some: answer_again */
  bool waited;   /* it was starved once */
  bool rested;   /* its cursor holds no memory that it can make again */

  enum answer_step { ANSWER_PULL, ANSWER_REST, ANSWER_GIVE_UP } step; /* what the worker is to do */
  tally_error reason;                                                 /* to give it up; why it starves */

  uv_mutex_t lock;
  struct store_rows *rows; /* under lock, so that cancel finds it; NULL: not open */
  bool cancelled;          /* under lock */
};

/* Reads the request out of the frame. `most` milliseconds is the longest timeout, and the one of a request
 * that names none. TALLY_USAGE, TALLY_PROTOCOL, TALLY_TOO_LARGE, TALLY_NO_MEMORY. */
int answer_init(struct answer *answer, const struct frame *frame, uint64_t most, struct store *store,
                struct mailbox *mailbox, tally_error *error);
/* At home only; the cursor must be closed (finished, or never pulled). */
void answer_free(struct answer *answer);
/* Tries to answer a request that has never been pulled, here and now. True: `out` has all of its frames.
 * False: nothing has happened but that a millisecond may have passed, and it is to be pulled. At home
 * only; the caller's thread may be the loop's. */
bool answer_try(struct answer *answer);
/* Hands the answer to the workers for one pull. */
void answer_pull(struct answer *answer, struct workers *workers);
/* Hands it to the workers, to give back memory; it comes home without bytes. */
void answer_rest(struct answer *answer, struct workers *workers);
/* Hands it to the workers, to end with this error and close its cursor. */
void answer_give_up(struct answer *answer, const tally_error *reason, struct workers *workers);
/* A starved answer can be pulled again: it begins anew, or goes on if rows of it were sent. */
void answer_again(struct answer *answer);
/* Ends it: the pull under way, or else the next one, finishes it with TALLY_CANCELLED. The loop's thread. */
void answer_cancel(struct answer *answer);

#endif
