/* ingest_send.c - see ingest_send.h. */
#include "tools/ingest_send.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/status.h"

#define PAUSE_LEAST 50000 /* microseconds before a second try, doubled for each one more */
#define PAUSE_MOST 1000000

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ------------------------------------------------------------------ the queue */

static void free_list(struct ingest_batch *b) {
  while (b) {
    struct ingest_batch *next = b->next;
    batch_free(b);
    b = next;
  }
}

void sender_free(struct sender *s) {
  free_list(s->queue);
  free_list(s->idle);
  tally_batch_free(s->builder);
  s->queue = s->idle = NULL;
  s->builder = NULL;
}

struct ingest_batch *sender_batch(struct sender *s) {
  struct ingest_batch *b = s->idle;
  if (!b) return batch_new();
  s->idle = b->next;
  return b;
}

void sender_give_back(struct sender *s, struct ingest_batch *b) {
  b->next = s->idle;
  s->idle = b;
}

static void enqueue(struct sender *s, struct ingest_batch *b) {
  struct ingest_batch **at = &s->queue;
  while (*at) at = &(*at)->next;
  b->next = NULL;
  b->state = BATCH_READY;
  b->sent_before = false;
  *at = b;
  s->queued++;
}

/* The first batch whose receipt is to come. */
static struct ingest_batch *first_sent(const struct sender *s) {
  struct ingest_batch *b = s->queue;
  while (b && b->state != BATCH_SENT) b = b->next;
  return b;
}

static void make_ready(struct sender *s, struct ingest_batch *b) {
  if (b->state == BATCH_SENT) s->sent--;
  b->state = BATCH_READY;
}

static void dequeue(struct sender *s, struct ingest_batch *b) {
  struct ingest_batch **at = &s->queue;
  while (*at != b) at = &(*at)->next;
  make_ready(s, b);
  *at = b->next;
  s->queued--;
  sender_give_back(s, b);
}

/* ------------------------------------------------------------------ what became of a batch */

/* The batch is in. A duplicate of one that was sent before a connection was lost is that one. */
static void is_in(struct sender *s, struct ingest_batch *b, bool duplicate) {
  if (b->sequence <= s->mark || (duplicate && !b->sent_before)) {
    s->counts.duplicates++;
  } else {
    s->counts.batches++;
    s->counts.rows += b->rows;
  }
  if (b->sequence > s->acknowledged) s->acknowledged = b->sequence;
  if (b->sequence == s->mark) s->proved = true;
  s->give_up = 0;
  dequeue(s, b);
}

/* A code that says nothing about the batch: the way to the store is broken. */
static bool is_lost(int code) { return code == TALLY_CONNECTION || code == TALLY_CLOSED; }

static int blame_input(const struct sender *s, tally_error *error) {
  return fail(error, TALLY_CONFLICT,
              "producer %s has other batches in epoch %" PRIu64
              " than this input gives: one producer name and epoch number one unchanged input, cut by one "
              "--batch-rows; ingest another input with another --epoch",
              s->options->producer, s->options->epoch);
}

/* All rows of a numbered batch are refused: see rule 5. */
static void make_void(struct sender *s, struct ingest_batch *b) {
  if (s->options->producer) {
    s->void_sequence = b->sequence;
    s->refusal.file = b->file;
    s->refusal.first_line = b->line;
    s->refusal.last_line = b->last_line;
    problem_set(&s->refusal.problem, b->line, NULL,
                "the store refuses every row from here to line %" PRIu64 ", so batch %" PRIu64
                " cannot be, nor any behind it: run the command again when the store "
                "takes them (max_future, retention), or ingest what follows as another input with another "
                "--epoch",
                b->last_line, b->sequence);
  }
  dequeue(s, b);
}

/* The store refuses a row: leaves it out if that is wanted. */
static int row_refused(struct sender *s, struct ingest_batch *b, const tally_error *refused,
                       tally_error *error) {
  tally_error copy = *refused;
  uint32_t rows = b->rows;
  if (!s->options->source->skip) {
    int code = batch_blame(b, s->options->source, &copy, &s->refusal.problem, error);
    if (code) return code;
    s->refusal.file = b->file;
    s->refusal.first_line = b->line;
    s->refusal.last_line = b->last_line;
    s->refusal.set = true;
    *error = copy;
    return copy.code;
  }
  if (!s->builder) s->builder = tally_batch_new();
  if (!s->builder) return fail_memory(error, "a batch");
  int code = batch_without_refused(b, s->options->source, s->builder, &copy, s->options->skipped,
                                   s->options->arg, error);
  if (code) return code;
  s->counts.skipped += rows - b->rows;
  s->settling = true;
  make_ready(s, b);
  if (!b->rows) make_void(s, b);
  return TALLY_OK;
}

/* The receipt of a batch, or the code that it got with *error filled. */
static int answered(struct sender *s, struct ingest_batch *b, int code, const tally_receipt *receipt,
                    tally_error *error) {
  switch (code) {
  case TALLY_OK:
    is_in(s, b, receipt->duplicate);
    return TALLY_OK;
  case TALLY_INVALID_ROW:
  case TALLY_TOO_LATE:
    if (error->row < 0 || (uint64_t)error->row >= b->rows) return code;
    return row_refused(s, b, error, error);
  case TALLY_GAP:
    if (!s->settling) return code;
    make_ready(s, b);
    return TALLY_OK;
  case TALLY_BUSY:
    if (!s->give_up) s->give_up = now() + s->options->retry_for;
    if (now() >= s->give_up) return code;
    s->settling = true;
    s->pause = PAUSE_LEAST;
    make_ready(s, b);
    return TALLY_OK;
  case TALLY_CONFLICT:
    return blame_input(s, error);
  default:
    return code;
  }
}

/* ------------------------------------------------------------------ lost connections */

/* False if a signal came. */
static bool wait_for(const struct sender *s, int64_t microseconds) {
  struct timespec t = {microseconds / 1000000, microseconds % 1000000 * 1000};
  if (microseconds > 0) (void)nanosleep(&t, NULL);
  return !s->options->stop || !s->options->stop();
}

static int fail_unreached(tally_error *error) {
  char reason[sizeof error->text];
  memcpy(reason, error->text, sizeof reason);
  return fail(error, error->code,
              "%.300s; --retry-for is over: run the same command again when the server is there, it goes on "
              "where it stopped",
              reason);
}

/* Connects again and asks for the mark, until it works or time is up. */
static int find_store(struct sender *s, tally_mark *mark, tally_error *error) {
  int64_t pause = PAUSE_LEAST;
  if (!s->give_up) s->give_up = now() + s->options->retry_for;
  for (;;) {
    int64_t left = s->give_up - now();
    if (left <= 0) return fail_unreached(error);
    int code = backend_reconnect(s->backend, error);
    if (!code) code = backend_mark(s->backend, s->options->producer, s->options->epoch, mark, error);
    if (!code || (!is_lost(code) && code != TALLY_BUSY)) return code;
    if (!wait_for(s, pause < left ? pause : left)) return fail(error, TALLY_CANCELLED, "interrupted");
    pause = 2 * pause < PAUSE_MOST ? 2 * pause : PAUSE_MOST;
  }
}

int sender_init(struct sender *s, struct backend *backend, const struct send_options *options,
                tally_error *error) {
  tally_mark mark = {0};
  *s = (struct sender){.backend = backend, .options = options};
  s->proved = true;
  if (!options->producer) return TALLY_OK;
  int code = backend_mark(backend, options->producer, options->epoch, &mark, error);
  if (is_lost(code)) code = find_store(s, &mark, error);
  s->give_up = 0;
  s->mark = s->acknowledged = mark.sequence;
  s->proved = !s->mark;
  return code;
}

static int fail_unsafe(const struct sender *s, tally_error *error) {
  uint64_t rows = 0;
  for (const struct ingest_batch *b = s->queue; b; b = b->next) rows += b->rows;
  char reason[sizeof error->text];
  memcpy(reason, error->text, sizeof reason);
  return fail(error, error->code,
              "%.300s; %" PRIu64 " rows were under way, and without --producer nobody can tell whether they "
              "are in: name a --producer, so that a command can be run again",
              reason, rows);
}

static int fail_forgotten(const struct sender *s, uint64_t mark, tally_error *error) {
  return fail(error, TALLY_GAP,
              "the store has lost the batches %" PRIu64 " to %" PRIu64
              ", which it had acknowledged: run the same command again, it sends them anew",
              mark + 1, s->acknowledged);
}

/* The connection is lost: finds the store again and what it has. */
static int recover(struct sender *s, tally_error *error) {
  tally_mark mark = {0};
  if (!s->options->producer) return fail_unsafe(s, error);
  for (struct ingest_batch *b = s->queue; b; b = b->next) {
    b->sent_before = b->sent_before || b->state == BATCH_SENT;
    make_ready(s, b);
  }
  s->settling = false;
  int code = find_store(s, &mark, error);
  if (code) return code;
  if (mark.sequence < s->acknowledged) return fail_forgotten(s, mark.sequence, error);
  for (struct ingest_batch *b = s->queue, *next; b; b = next) {
    next = b->next;
    if (b->sequence <= mark.sequence && b->sequence != s->mark) is_in(s, b, true);
  }
  return TALLY_OK;
}

/* ------------------------------------------------------------------ sending and receiving */

static int submit(struct sender *s, struct ingest_batch *b, tally_error *error) {
  const struct send_options *o = s->options;
  if (s->void_sequence && o->producer) {
    s->refusal.set = true;
    return fail(error, TALLY_INVALID_ROW, "the store refuses every row of batch %" PRIu64, s->void_sequence);
  }
  tally_append_options options = {.producer = o->producer,
                                  .epoch = o->producer ? o->epoch : 0,
                                  .sequence = o->producer ? b->sequence : 0,
                                  .has_fingerprint = o->producer != NULL,
                                  .durability = o->durability};
  memcpy(options.fingerprint, b->fingerprint, sizeof options.fingerprint);
  int code = backend_submit(s->backend, b->bytes.data, b->bytes.size, &options, error);
  if (is_lost(code)) b->sent_before = true; /* nobody knows */
  if (code) return code;
  b->state = BATCH_SENT;
  s->sent++;
  return TALLY_OK;
}

static size_t window(const struct sender *s) {
  size_t most = backend_window(s->backend);
  return most < 1 ? 1 : most < SEND_WINDOW ? most : SEND_WINDOW;
}

/* Sends what is ready and may be. */
static int submit_ready(struct sender *s, tally_error *error) {
  if (s->settling && s->sent) return TALLY_OK;
  s->settling = false;
  if (s->pause) {
    int64_t pause = s->pause;
    s->pause = 0;
    if (!wait_for(s, pause)) return fail(error, TALLY_CANCELLED, "interrupted");
  }
  for (struct ingest_batch *b = s->queue; b && s->sent < window(s); b = b->next) {
    if (b->state == BATCH_SENT) continue;
    if (!s->proved && b->sequence != s->mark) break; /* its receipt comes first */
    int code = submit(s, b, error);
    if (code) return code;
  }
  return TALLY_OK;
}

static int receive(struct sender *s, tally_error *error) {
  tally_receipt receipt = {0};
  struct ingest_batch *b = first_sent(s);
  int code = backend_receive(s->backend, &receipt, error);
  if (is_lost(code)) return code;
  code = answered(s, b, code, &receipt, error);
  if (code) make_ready(s, b);
  return code;
}

/* After a failure: takes the receipts that are still to come, so that the counts are right. */
static int drain(struct sender *s, int code) {
  tally_error unused;
  while (s->sent && backend_under_way(s->backend)) {
    tally_receipt receipt = {0};
    struct ingest_batch *b = first_sent(s);
    int result = backend_receive(s->backend, &receipt, &unused);
    if (is_lost(result)) break;
    if (result)
      make_ready(s, b);
    else
      is_in(s, b, receipt.duplicate);
  }
  return code;
}

/* Sends and receives until at most `most` batches are left. */
static int pump(struct sender *s, size_t most, tally_error *error) {
  for (;;) {
    int code = submit_ready(s, error);
    if (!code && s->queued <= most) return TALLY_OK;
    if (!code) code = receive(s, error);
    if (is_lost(code)) code = recover(s, error);
    if (code) return drain(s, code);
  }
}

int sender_put(struct sender *s, struct ingest_batch *b, tally_error *error) {
  s->counts.skipped += batch_skipped(b);
  if (b->sequence) s->last = b->sequence;
  bool is_before_mark = s->options->producer && b->sequence < s->mark;
  if (!b->rows || is_before_mark) {
    s->counts.duplicates += b->rows != 0;
    sender_give_back(s, b);
    return TALLY_OK;
  }
  enqueue(s, b);
  return pump(s, window(s) - 1, error);
}

int sender_finish(struct sender *s, bool complete, tally_error *error) {
  int code = pump(s, 0, error);
  if (!code && complete && s->options->producer && s->last < s->mark) return blame_input(s, error);
  return code;
}
