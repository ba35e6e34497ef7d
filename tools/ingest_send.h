/* ingest_send.h - batches on their way into a store, each row exactly once.
 *
 * Rules:
 *  1. A batch is kept, with its text, until its receipt is there. At most a window of them is under way.
 *  2. With a producer, batches up to the mark that the store had at the start are not sent: they are in. The
 *     one at the mark is sent nevertheless, and its receipt awaited before any other is sent, because its
 *     fingerprint tells whether it is this input that is in; for the same reason the input must have as many
 *     batches as the mark says.
 *  3. After a lost connection the store's mark tells which batches are in; the others are sent again. Without
 *     a producer nobody can tell: the command fails.
 *  4. When the store refuses a row that is to be skipped, the batch is built again without it and sent under
 *     the same number and fingerprint. Those behind it, refused as a gap, are sent again.
 *  5. If the store refuses every row of a numbered batch, its number stays free, and so no batch behind it
 * can be sent: an error, unless there is none. (Leaving the number out would move the numbers of all that
 *     follow, and a later run, when the store's clock has moved on, would count them differently.) */
#ifndef TOOLS_INGEST_SEND_H
#define TOOLS_INGEST_SEND_H

#include "tools/backend.h"
#include "tools/ingest_source.h"

#define SEND_WINDOW 16u /* batches under way at most, whatever the store would take */

struct send_options {
  const char *producer; /* NULL: none */
  uint64_t epoch;
  tally_durability durability;
  int64_t retry_for;             /* microseconds */
  struct source_options *source; /* how records are read again, and whether rows are skipped */
  bool (*stop)(void);            /* asked while waiting for a connection; may be NULL */
  /* Told of every record that is skipped because the store refuses it. */
  void (*skipped)(void *arg, const struct ingest_batch *batch, const struct problem *problem);
  void *arg;
};

struct send_counts {
  uint64_t rows, batches; /* that this command brought in */
  uint64_t duplicates;    /* batches that were in already */
  uint64_t skipped;       /* rows */
};

/* A row that the store refuses and that is not to be skipped, or the batch whose rows it all refuses. */
struct send_refusal {
  bool set;
  const struct source_file *file;
  uint64_t first_line, last_line; /* of its batch */
  struct problem problem;
};

struct sender {
  struct backend *backend; /* borrowed */
  const struct send_options *options;
  struct send_counts counts;
  struct send_refusal refusal;
  uint64_t mark;                     /* the last batch that was in at the start */
  bool proved;                       /* there is none, or it is known to be this input's */
  uint64_t acknowledged;             /* the last one that is known to be in */
  uint64_t last;                     /* the last one that was put */
  uint64_t void_sequence;            /* a batch whose rows the store refuses all; 0: none */
  struct ingest_batch *queue, *idle; /* in order of their numbers; to be used again */
  size_t queued, sent;               /* of the queue */
  bool settling;                     /* a batch was refused: nothing is sent until those behind it are back */
  int64_t give_up;                   /* when to stop trying, monotonic microseconds; 0: all is well */
  int64_t pause;                     /* before the next try */
  tally_batch *builder;              /* for batches that are built again; NULL until one is */
};

/* Asks for the mark. Free with sender_free whatever it returns. */
int sender_init(struct sender *sender, struct backend *backend, const struct send_options *options,
                tally_error *error);
void sender_free(struct sender *sender);
/* An empty batch for source_next, to be given to sender_put or sender_give_back; NULL without memory. */
struct ingest_batch *sender_batch(struct sender *sender);
void sender_give_back(struct sender *sender, struct ingest_batch *batch);
/* Takes a batch and sends it in its turn; waits for receipts while too many are under way. After a failure
 * only the counts are of use; if a row is to blame, refusal is set. */
int sender_put(struct sender *sender, struct ingest_batch *batch, tally_error *error);
/* Waits until everything is in. `complete`: the input is at its end, and must not be shorter than the mark.
 */
int sender_finish(struct sender *sender, bool complete, tally_error *error);

/* ---- building a batch again (ingest_rebuild.c) */

/* Leaves out the row that the store refused with *refused, and every other row of the batch that the same
 * check must have refused; `skipped` is told of each. rows may become 0. */
int batch_without_refused(struct ingest_batch *batch, struct source_options *options, tally_batch *builder,
                          const tally_error *refused,
                          void (*skipped)(void *arg, const struct ingest_batch *batch,
                                          const struct problem *problem),
                          void *arg, tally_error *error);
/* Where that row is in the input, as a problem. */
int batch_blame(struct ingest_batch *batch, struct source_options *options, const tally_error *refused,
                struct problem *problem, tally_error *error);

#endif
