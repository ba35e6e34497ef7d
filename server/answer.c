/* answer.c - pulling an answer frame by frame; see answer.h. */
#include "server/answer.h"

#include "base/mem.h"
#include "base/status.h"

#define TRIM_LEAST (16u << 10)
#define ROWS_AT_ONCE 64u

/* ------------------------------------------------------------------ the request */

static void limit_timeout(uint64_t *timeout, uint64_t most) {
  if (*timeout == 0 || *timeout > most) *timeout = most;
}

static int decode(struct answer *answer, const struct frame *frame, uint64_t most, tally_error *error) {
  int code;
  switch (frame->type) {
  case MESSAGE_QUERY:
    code = message_get_query(frame, &answer->query, error);
    limit_timeout(&answer->query.query.timeout, most);
    return code;
  case MESSAGE_EVENTS:
    code = message_get_events(frame, &answer->events, error);
    limit_timeout(&answer->events.scan.timeout, most);
    return code;
  case MESSAGE_JOB:
    return message_get_job(frame, &answer->work, error);
  default:
    return message_get_empty(frame, error);
  }
}

static void free_requests(struct answer *answer) {
  message_query_free(&answer->query);
  message_events_free(&answer->events);
  message_job_free(&answer->work);
}

static void run(struct job *job);

int answer_init(struct answer *answer, const struct frame *frame, uint64_t most, struct store *store,
                struct mailbox *mailbox, tally_error *error) {
  *answer = (struct answer){.mailbox = mailbox, .store = store, .type = frame->type, .id = frame->id};
  answer->job.run = run;
  if (frame->size > ANSWER_REQUEST)
    return fail(error, TALLY_TOO_LARGE,
                "the request has %zu bytes, at most %u are taken: name fewer predicates", frame->size,
                ANSWER_REQUEST);
  int code = decode(answer, frame, most, error);
  if (code != TALLY_OK) return code;
  if (uv_mutex_init(&answer->lock) == 0) return TALLY_OK;
  free_requests(answer);
  return fail_memory(error, "a request");
}

void answer_free(struct answer *answer) {
  uv_mutex_destroy(&answer->lock);
  free_requests(answer);
  buffer_free(&answer->out);
}

void answer_pull(struct answer *answer, struct workers *workers) {
  answer->step = ANSWER_PULL;
  answer->rested = false;
  workers_submit(workers, &answer->job, answer->rows_sent == 0 && !answer->waited);
}

void answer_rest(struct answer *answer, struct workers *workers) {
  answer->step = ANSWER_REST;
  answer->rested = true;
  workers_submit(workers, &answer->job, true);
}

void answer_give_up(struct answer *answer, const tally_error *reason, struct workers *workers) {
  answer->step = ANSWER_GIVE_UP;
  answer->reason = *reason;
  workers_submit(workers, &answer->job, true);
}

/* It has not begun. */
static void begin_anew(struct answer *answer) {
  buffer_clear(&answer->out);
  answer->rows_sent = 0;
  answer->finished = answer->broken = answer->starved = false;
}

void answer_again(struct answer *answer) {
  answer->starved = false;
  if (answer->rows_sent) return;
  begin_anew(answer);
  answer->waited = true;
}

void answer_cancel(struct answer *answer) {
  uv_mutex_lock(&answer->lock);
  answer->cancelled = true;
  if (answer->rows) answer->store->operations->cancel(answer->rows);
  uv_mutex_unlock(&answer->lock);
}

/* ------------------------------------------------------------------ on a worker */

static void close_rows(struct answer *answer) {
  uv_mutex_lock(&answer->lock);
  struct store_rows *rows = answer->rows;
  answer->rows = NULL;
  uv_mutex_unlock(&answer->lock);
  if (rows) answer->store->operations->close_rows(rows);
}

/* The last frame: END, DONE or the error. */
static void finish(struct answer *answer, int code, const tally_error *reason) {
  tally_error error;
  struct message_end end = {.rows = answer->rows_sent};
  int put;
  if (code == TALLY_OK && answer->rows)
    answer->store->operations->left_out(answer->rows, &end.left_out, &end.rows_left_out);
  close_rows(answer);
  if (code != TALLY_OK)
    put = message_put_error(&answer->out, answer->id, reason, &error);
  else if (answer->type == MESSAGE_FLUSH)
    put = message_put_empty(&answer->out, MESSAGE_DONE, answer->id, &error);
  else
    put = message_put_end(&answer->out, answer->id, &end, &error);
  answer->broken = put != TALLY_OK;
  answer->starved = code == TALLY_MEMORY_LIMIT && answer->rows_sent == 0;
  answer->result = code;
  answer->finished = true;
}

static int open_request(struct answer *answer, struct store_rows **rows, tally_error *error) {
  const struct store_operations *operations = answer->store->operations;
  switch (answer->type) {
  case MESSAGE_QUERY:
    return operations->query(answer->store, &answer->query.query, rows, error);
  case MESSAGE_EVENTS:
    return operations->events(answer->store, &answer->events.scan, rows, error);
  case MESSAGE_STATS:
    return operations->stats(answer->store, rows, error);
  case MESSAGE_JOB:
    return operations->job(answer->store, answer->work.words, answer->work.count, rows, error);
  default:
    return operations->verify(answer->store, rows, error);
  }
}

static int put_columns(struct answer *answer, tally_error *error) {
  const struct store_operations *operations = answer->store->operations;
  size_t count = operations->columns(answer->rows);
  tally_result_column *columns = mem_realloc_array(NULL, count, sizeof *columns);
  answer->columns = count;
  int code = TALLY_OK;
  if (columns) {
    for (size_t i = 0; i < count; i++) columns[i] = operations->column(answer->rows, i);
    code = message_put_columns(&answer->out, answer->id, columns, count, error);
  } else {
    code = fail_memory(error, "the columns of an answer");
  }
  mem_free(columns);
  return code;
}

/* A cancel that came before the cursor was there is passed on to it. */
static int open_rows(struct answer *answer, tally_error *error) {
  struct store_rows *rows = NULL;
  uv_mutex_lock(&answer->lock);
  bool cancelled = answer->cancelled;
  uv_mutex_unlock(&answer->lock);
  if (cancelled) return fail(error, TALLY_CANCELLED, "the request was cancelled before it began");
  int code = open_request(answer, &rows, error);
  if (code != TALLY_OK) return code;
  uv_mutex_lock(&answer->lock);
  answer->rows = rows;
  if (answer->cancelled) answer->store->operations->cancel(rows);
  uv_mutex_unlock(&answer->lock);
  return put_columns(answer, error);
}

/* Events that are refused memory between rows hold none; they are there still, and go on later. */
static bool goes_on(const struct answer *answer, int code) {
  return code == TALLY_MEMORY_LIMIT && answer->type == MESSAGE_EVENTS && answer->rows_sent > 0;
}

static void starve(struct answer *answer, const tally_error *reason) {
  buffer_clear(&answer->out); /* a frame without rows */
  answer->starved = answer->rested = true;
  answer->reason = *reason;
}

/* Adds a row, in a new frame if it does not fit behind the others. */
static int add_row(struct answer *answer, const tally_text *cells, struct message_rows_writer *writer,
                   tally_error *error) {
  int code = message_rows_add(writer, cells, error);
  if (code == MESSAGE_ROW_FULL) {
    code = message_rows_end(writer, error);
    if (code != TALLY_OK) return code;
    message_rows_begin(writer, &answer->out, answer->id, answer->columns);
    code = message_rows_add(writer, cells, error);
  }
  if (code == MESSAGE_ROW_ADDED) {
    answer->rows_sent++;
    return TALLY_OK;
  }
  return code < 0 ? code
                  : fail(error, TALLY_TOO_LARGE, "a row does not fit into a frame: ask for fewer columns");
}

/* True when the frame is to be sent: it is large enough, or its rows have waited long enough. The clock is
 * looked at for the first row, and then for every sixteenth only. */
static bool enough(const struct message_rows_writer *writer, uint32_t before, uint64_t began) {
  if (message_rows_enough(writer)) return true;
  if (before && before / 16 == writer->rows / 16) return false;
  return uv_hrtime() - began > ANSWER_PULL_NANOSECONDS;
}

/* TALLY_ROW: there is more to pull. TALLY_OK: the last row was added. */
static int fill_frame(struct answer *answer, struct message_rows_writer *writer, tally_error *error) {
  uint64_t began = uv_hrtime();
  const tally_text *cells;
  size_t rows;
  int code;
  while ((code = answer->store->operations->rows(answer->rows, ROWS_AT_ONCE, &cells, &rows, error)) ==
         TALLY_ROW) {
    uint32_t before = writer->rows;
    for (size_t i = 0; i < rows; i++) {
      int added = add_row(answer, cells + i * answer->columns, writer, error);
      if (added != TALLY_OK) return added;
    }
    if (enough(writer, before, began)) return TALLY_ROW;
  }
  return code;
}

static void pull_rows(struct answer *answer) {
  tally_error error, ending;
  struct message_rows_writer writer;
  int code = answer->rows ? TALLY_OK : open_rows(answer, &error);
  if (code != TALLY_OK) {
    finish(answer, code, &error);
    return;
  }
  uint64_t before = answer->rows_sent;
  message_rows_begin(&writer, &answer->out, answer->id, answer->columns);
  code = fill_frame(answer, &writer, &error);
  if (goes_on(answer, code)) {
    if (answer->rows_sent == before) {
      starve(answer, &error);
      return;
    }
    code = TALLY_ROW;
  }
  int ended = message_rows_end(&writer, &ending);
  if (ended != TALLY_OK && code >= 0) {
    error = ending;
    code = ended;
  }
  if (code != TALLY_ROW) finish(answer, code, &error);
}

/* What is sent may wait long for its reader: it holds no room beside its bytes. */
static void trim(struct buffer *b) {
  if (b->capacity - b->size < TRIM_LEAST) return;
  uint8_t *data = mem_realloc(b->data, b->size ? b->size : 1);
  if (!data) return;
  b->data = data;
  b->capacity = b->size ? b->size : 1;
}

bool answer_try(struct answer *answer) {
  if (answer->type != MESSAGE_QUERY && answer->type != MESSAGE_EVENTS) return false;
  uint32_t *flags = answer->type == MESSAGE_QUERY ? &answer->query.query.flags : &answer->events.scan.flags;
  *flags |= TALLY_AT_ONCE;
  pull_rows(answer);
  *flags &= ~(uint32_t)TALLY_AT_ONCE;
  if (answer->finished && !answer->broken && answer->result == TALLY_OK) {
    trim(&answer->out);
    return true;
  }
  close_rows(answer);
  begin_anew(answer);
  return false;
}

static void run(struct job *job) {
  struct answer *answer = (struct answer *)((char *)job - offsetof(struct answer, job));
  if (answer->step == ANSWER_GIVE_UP) {
    finish(answer, answer->reason.code, &answer->reason);
  } else if (answer->step == ANSWER_REST) {
    if (answer->rows) answer->store->operations->rest(answer->rows);
  } else if (answer->type == MESSAGE_FLUSH) {
    tally_error error;
    int code = answer->store->operations->flush(answer->store, &error);
    finish(answer, code, &error);
  } else {
    pull_rows(answer);
  }
  trim(&answer->out);
  mailbox_post(answer->mailbox, &answer->letter);
}
