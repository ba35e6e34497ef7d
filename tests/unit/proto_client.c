/* proto_client.c - the laws of the client (proto/client.h) against a server that plays a script: an answer is
 * whole or an error, nothing waits for ever, receipts come in order, and neither side blocks the other. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/status.h"
#include "proto/client.h"

/* ------------------------------------------------------------------ the server's side */

struct peer {
  int listener, fd;
  char address[32];
  void (*script)(struct peer *peer);
  pthread_t thread;
  struct frame_pool pool;
  struct frame_reader reader;
  struct buffer out;
  struct frame frame; /* the last received */
  int pings;
  tally_error error;
};

/* The next frame, or false at the end of the stream. PINGs are counted and, with `pong`, answered. */
static bool receive_with(struct peer *p, bool pong) {
  for (;;) {
    size_t room;
    int code = frame_reader_next(&p->reader, &p->frame, NULL, &p->error);
    cr_assert(code >= 0, "%s", p->error.text);
    if (code == FRAME_READY) {
      if (p->frame.type != MESSAGE_PING) return true;
      p->pings++;
      if (!pong) continue;
      cr_assert_eq(message_put_empty(&p->out, MESSAGE_PONG, p->frame.id, &p->error), 0);
      cr_assert_eq(send(p->fd, p->out.data, p->out.size, MSG_NOSIGNAL), (ssize_t)p->out.size);
      buffer_clear(&p->out);
      continue;
    }
    uint8_t *to = frame_reader_room(&p->reader, &room, &p->error);
    ssize_t n = recv(p->fd, to, room, 0);
    frame_reader_commit(&p->reader, n > 0 ? (size_t)n : 0);
    if (n <= 0) return false;
  }
}
static bool receive(struct peer *p) { return receive_with(p, true); }

static void flush(struct peer *p) {
  for (size_t at = 0; at < p->out.size;) {
    ssize_t n = send(p->fd, p->out.data + at, p->out.size - at, MSG_NOSIGNAL);
    if (n <= 0) break;
    at += (size_t)n;
  }
  buffer_clear(&p->out);
}

static void greet(struct peer *p) {
  struct message_welcome welcome = {.version = FRAME_VERSION,
                                    .frame_bytes = FRAME_BYTES,
                                    .batch_rows = 65536,
                                    .batch_bytes = TALLY_BATCH_BYTES,
                                    .append_window = 4,
                                    .answer_window = 1,
                                    .name = "script 1"};
  cr_assert(receive(p) && p->frame.type == MESSAGE_HELLO);
  cr_assert_eq(message_put_welcome(&p->out, p->frame.id, &welcome, &p->error), 0);
  flush(p);
  p->reader.limit = FRAME_BYTES;
}

static void expect(struct peer *p, uint8_t type) {
  cr_assert(receive(p), "a %s was expected", message_name(type));
  cr_assert_eq(p->frame.type, type, "%s, not %s", message_name(p->frame.type), message_name(type));
}

static void put_columns(struct peer *p, uint64_t id) {
  const tally_result_column columns[] = {{"name", TALLY_TYPE_TEXT}, {"count", TALLY_TYPE_INT}};
  cr_assert_eq(message_put_columns(&p->out, id, columns, 2, &p->error), 0);
}

static void put_rows(struct peer *p, uint64_t id, int first, int count) {
  struct message_rows_writer writer;
  message_rows_begin(&writer, &p->out, id, 2);
  for (int i = first; i < first + count; i++) {
    char text[16];
    int n = snprintf(text, sizeof text, "%d", i);
    tally_text cells[2] = {{i % 2 ? NULL : "even", i % 2 ? 0 : 4}, {text, (size_t)n}};
    cr_assert_eq(message_rows_add(&writer, cells, &p->error), MESSAGE_ROW_ADDED);
  }
  cr_assert_eq(message_rows_end(&writer, &p->error), 0);
}

static void put_error(struct peer *p, uint64_t id, int code, const char *text) {
  tally_error carried = {.code = code, .column = -1, .row = -1, .sequence = 7};
  (void)snprintf(carried.text, sizeof carried.text, "%s", text);
  cr_assert_eq(message_put_error(&p->out, id, &carried, &p->error), 0);
}

/* Accepts one connection and plays the script. */
static void *serve(void *arg) {
  struct peer *p = arg;
  p->fd = accept(p->listener, NULL, NULL);
  cr_assert_geq(p->fd, 0);
  struct timeval patience = {.tv_sec = 10};
  (void)setsockopt(p->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  (void)setsockopt(p->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  p->script(p);
  (void)close(p->fd);
  return NULL;
}

static void start(struct peer *p, void (*script)(struct peer *)) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof address;
  *p = (struct peer){.fd = -1, .script = script};
  p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int small = 65536; /* so that both sides' buffers fill up */
  (void)setsockopt(p->listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  (void)setsockopt(p->listener, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  cr_assert_eq(bind(p->listener, (struct sockaddr *)&address, sizeof address), 0);
  cr_assert_eq(listen(p->listener, 4), 0);
  cr_assert_eq(getsockname(p->listener, (struct sockaddr *)&address, &size), 0);
  (void)snprintf(p->address, sizeof p->address, "127.0.0.1:%u", ntohs(address.sin_port));
  frame_pool_init(&p->pool, NULL, 0);
  frame_reader_init(&p->reader, &p->pool, FRAME_GREETING);
  if (script) cr_assert_eq(pthread_create(&p->thread, NULL, serve, p), 0);
}

static void stop(struct peer *p) {
  if (p->script) (void)pthread_join(p->thread, NULL);
  (void)close(p->listener);
  frame_reader_free(&p->reader);
  frame_pool_free(&p->pool);
  buffer_free(&p->out);
}

static const struct client_options quick = {.connect_timeout = 300, .io_timeout = 300};

static struct client *open_to(struct peer *p, void (*script)(struct peer *),
                              const struct client_options *options) {
  tally_error error;
  struct client *client = NULL;
  start(p, script);
  cr_assert_eq(client_open(p->address, options, &client, &error), 0, "%s", error.text);
  return client;
}

static void pause_ms(int ms) { (void)nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL); }

/* ------------------------------------------------------------------ connecting */

static void script_http(struct peer *p) {
  (void)!send(p->fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, MSG_NOSIGNAL);
  pause_ms(50);
}
static void script_mute(struct peer *p) {
  (void)p;
  pause_ms(500);
}
static void script_full(struct peer *p) {
  cr_assert(receive(p));
  put_error(p, 0, TALLY_BUSY, "too many connections");
  flush(p);
}
static void script_newer(struct peer *p) {
  cr_assert(receive(p));
  put_error(p, p->frame.id, TALLY_VERSION, "newer");
  flush(p);
}

static int open_code(void (*script)(struct peer *), const char *words) {
  struct peer p;
  tally_error error;
  struct client *client = NULL;
  start(&p, script);
  int code = client_open(p.address, &quick, &client, &error);
  cr_assert(code == error.code && !client);
  cr_assert(strstr(error.text, words), "%s", error.text);
  stop(&p);
  return code;
}

Test(client, what_goes_wrong_before_the_greeting_is_said) {
  static const char *const bad[] = {"",       ":7420", "host:",  "host:0", "host:65536",
                                    "host:x", "[::1",  "[::1]x", "[]:1",   "h:123456"};
  tally_error error;
  struct client *client = NULL;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    cr_assert_eq(client_open(bad[i], NULL, &client, &error), TALLY_USAGE, "'%s'", bad[i]);
  struct peer p;
  start(&p, NULL); /* a port that was free a moment ago */
  stop(&p);
  cr_assert_eq(client_open(p.address, &quick, &client, &error), TALLY_CONNECTION);
  cr_assert(strstr(error.text, p.address) && strstr(error.text, "refused") &&
                strstr(error.text, "--data DIR"),
            "%s", error.text);
  cr_assert_eq(client_open("no-such-host.invalid", &quick, &client, &error), TALLY_CONNECTION);
  cr_assert(strstr(error.text, "no-such-host.invalid"));
  cr_assert_eq(open_code(script_http, "version"), TALLY_VERSION);
  cr_assert_eq(open_code(script_mute, "does not greet"), TALLY_CONNECTION);
  cr_assert_eq(open_code(script_full, "too many connections"), TALLY_CONNECTION);
  cr_assert_eq(open_code(script_newer, "newer"), TALLY_VERSION);
}

/* ------------------------------------------------------------------ ingest */

/* Answers four batches in the order 2, 1 (gap), then a mark, 4, 3. */
static void script_order(struct peer *p) {
  uint64_t id[4];
  greet(p);
  for (int i = 0; i < 2; i++) expect(p, MESSAGE_APPEND), id[i] = p->frame.id;
  (void)message_put_appended(&p->out, id[1], &(tally_receipt){.rows = 2}, &p->error);
  put_error(p, id[0], TALLY_GAP, "next is 7");
  flush(p);
  for (int i = 2; i < 4; i++) expect(p, MESSAGE_APPEND), id[i] = p->frame.id;
  expect(p, MESSAGE_MARK);
  (void)message_put_appended(&p->out, id[3], &(tally_receipt){true, 4}, &p->error);
  (void)message_put_marked(&p->out, p->frame.id, &(tally_mark){3, 9}, &p->error);
  flush(p);
  pause_ms(20);
  (void)message_put_appended(&p->out, id[2], &(tally_receipt){.rows = 3}, &p->error);
  flush(p);
  cr_assert(!receive(p));
}

Test(client, receipts_come_in_the_order_of_submission) {
  struct peer p;
  tally_error error;
  tally_receipt receipt;
  tally_mark mark;
  struct client *client = open_to(&p, script_order, NULL);
  tally_append_options options = {.producer = "p", .epoch = 1, .sequence = 1};
  cr_assert_str_eq(client_welcome(client)->name, "script 1");
  cr_assert_eq(client_window(client), 3);
  cr_assert_eq(client_receive(client, &receipt, &error), TALLY_USAGE);
  for (int i = 0; i < 4; i++)
    cr_assert_eq(client_submit(client, "batch", 5, &options, &error), 0, "%s", error.text);
  cr_assert_eq(client_under_way(client), 4);
  cr_assert_eq(client_mark(client, "p", 0, &mark, &error), 0);
  cr_assert(mark.epoch == 3 && mark.sequence == 9);
  cr_assert_eq(client_receive(client, &receipt, &error), TALLY_GAP);
  cr_assert(error.sequence == 7 && strcmp(error.text, "next is 7") == 0);
  for (uint32_t rows = 2; rows <= 4; rows++) {
    cr_assert_eq(client_receive(client, &receipt, &error), 0);
    cr_assert(receipt.rows == rows && receipt.duplicate == (rows == 4));
  }
  cr_assert_eq(client_under_way(client), 0);
  client_close(client);
  stop(&p);
}

enum { PONGS = 300000 }; /* 7 MB: more than sockets buffer */

/* Sends more than fits into buffers before it reads the batch. */
static void script_talkative(struct peer *p) {
  greet(p);
  for (int i = 0; i < PONGS; i++) (void)message_put_empty(&p->out, MESSAGE_PONG, 1, &p->error);
  flush(p);
  for (int i = 0; i < 3; i++) {
    expect(p, MESSAGE_APPEND);
    (void)message_put_appended(&p->out, p->frame.id, &(tally_receipt){.rows = 1}, &p->error);
  }
  flush(p);
  cr_assert(!receive(p));
}

Test(client, sending_goes_on_while_the_server_sends) {
  struct peer p;
  tally_error error;
  tally_receipt receipt;
  struct client *client = open_to(&p, script_talkative, NULL);
  uint8_t *batch = mem_zalloc(TALLY_BATCH_BYTES, 1);
  cr_assert_eq(client_submit(client, batch, TALLY_BATCH_BYTES + 1, NULL, &error), TALLY_TOO_LARGE);
  for (int i = 0; i < 3; i++)
    cr_assert_eq(client_submit(client, batch, TALLY_BATCH_BYTES, NULL, &error), 0, "%s", error.text);
  for (int i = 0; i < 3; i++) cr_assert_eq(client_receive(client, &receipt, &error), 0);
  mem_free(batch);
  client_close(client);
  stop(&p);
}

/* ------------------------------------------------------------------ jobs */

/* A job's answer lacks something; the next one is refused. */
static void script_jobs(struct peer *p) {
  struct message_job job;
  greet(p);
  expect(p, MESSAGE_JOB);
  cr_assert_eq(message_get_job(&p->frame, &job, &p->error), 0);
  cr_assert_eq(job.count, 2);
  cr_assert_str_eq(job.words[0], "erase");
  cr_assert_str_eq(job.words[1], "b\xc3\xbc");
  message_job_free(&job);
  put_columns(p, p->frame.id);
  put_rows(p, p->frame.id, 0, 2);
  cr_assert_eq(message_put_end(&p->out, p->frame.id, &(struct message_end){2, 3, 400}, &p->error), 0);
  flush(p);
  expect(p, MESSAGE_JOB);
  put_error(p, p->frame.id, TALLY_NOT_FOUND, "no such user");
  flush(p);
  cr_assert(!receive(p));
}

Test(client, a_job_is_asked_in_its_words_and_tells_what_is_left_out) {
  static const char *const words[] = {"erase", "b\xc3\xbc"};
  struct peer p;
  tally_error error;
  struct client_rows *rows;
  uint64_t segments, held;
  struct client *client = open_to(&p, script_jobs, NULL);
  cr_assert_eq(client_job(client, words, 2, &rows, &error), 0, "%s", error.text);
  cr_assert_eq(client_rows_next(rows, &error), TALLY_ROW);
  client_rows_left_out(rows, &segments, &held);
  cr_assert_eq(segments, 0, "the end is not there yet");
  cr_assert_eq(client_rows_next(rows, &error), TALLY_ROW);
  cr_assert_eq(client_rows_next(rows, &error), TALLY_OK);
  client_rows_left_out(rows, &segments, &held);
  cr_assert_eq(segments, 3);
  cr_assert_eq(held, 400);
  client_rows_close(rows);
  cr_assert_eq(client_job(client, words, 2, &rows, &error), TALLY_NOT_FOUND);
  cr_assert_str_eq(error.text, "no such user");
  client_close(client);
  stop(&p);
}

/* ------------------------------------------------------------------ silence */

static void script_silent(struct peer *p) {
  greet(p);
  expect(p, MESSAGE_FLUSH);
  cr_assert(!receive_with(p, false)); /* reads PINGs and says nothing */
}
static void script_slow(struct peer *p) {
  struct timeval slice = {.tv_usec = 50000};
  greet(p);
  expect(p, MESSAGE_FLUSH);
  uint64_t id = p->frame.id;
  (void)setsockopt(p->fd, SOL_SOCKET, SO_RCVTIMEO, &slice, sizeof slice);
  for (int i = 0; i < 20; i++) (void)receive(p); /* one second of PONGs, more than three I/O deadlines */
  (void)message_put_empty(&p->out, MESSAGE_DONE, id, &p->error);
  flush(p);
  pause_ms(50);
}

Test(client, a_silent_server_is_lost_and_a_slow_one_is_not) {
  struct peer p;
  tally_error error, again;
  struct client *client = open_to(&p, script_silent, &quick);
  cr_assert_eq(client_flush(client, &error), TALLY_CONNECTION);
  cr_assert(strstr(error.text, "no sign of life"), "%s", error.text);
  cr_assert_eq(client_ping(client, &again), TALLY_CONNECTION); /* ever after */
  cr_assert_str_eq(error.text, again.text);
  client_close(client);
  stop(&p);
  cr_assert_geq(p.pings, 1);
  client = open_to(&p, script_slow, &quick);
  cr_assert_eq(client_flush(client, &error), 0, "%s", error.text);
  client_close(client);
  stop(&p);
  cr_assert_geq(p.pings, 3);
}

static void script_late(struct peer *p) {
  greet(p);
  expect(p, MESSAGE_FLUSH);
  pause_ms(300);
  (void)message_put_empty(&p->out, MESSAGE_DONE, p->frame.id, &p->error);
  flush(p);
  pause_ms(50);
}

Test(client, waiting_for_an_answer_takes_next_to_no_processor_time) {
  struct peer p;
  tally_error error;
  struct timespec before, after;
  struct client *client = open_to(&p, script_late, NULL);
  (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
  cr_assert_eq(client_flush(client, &error), 0, "%s", error.text);
  (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
  int64_t spent = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
  cr_expect_lt(spent, 30, "it was at work for %lld of 300 ms", (long long)spent);
  client_close(client);
  stop(&p);
}

/* ------------------------------------------------------------------ answers */

static int variant; /* of script_answer */
enum {
  WHOLE,
  EMPTY,
  FAILED,
  CUT_IN_FRAME,
  CUT_BETWEEN,
  CUT_BEFORE_END,
  WRONG_COUNT,
  FAREWELL,
  OTHER_ID,
  WRONG_TYPE,
  VARIANTS
};

static void script_answer(struct peer *p) {
  greet(p);
  expect(p, MESSAGE_QUERY);
  uint64_t id = p->frame.id;
  put_columns(p, id);
  if (variant != EMPTY) {
    put_rows(p, id, 0, 10);
    if (variant == CUT_IN_FRAME) p->out.size -= 3;
    if (variant == WHOLE || variant == CUT_BEFORE_END || variant == WRONG_COUNT) put_rows(p, id, 10, 10);
  }
  if (variant == WHOLE) (void)message_put_end(&p->out, id, &(struct message_end){20, 0, 0}, &p->error);
  if (variant == WRONG_COUNT) (void)message_put_end(&p->out, id, &(struct message_end){21, 0, 0}, &p->error);
  if (variant == EMPTY) (void)message_put_end(&p->out, id, &(struct message_end){0, 0, 0}, &p->error);
  if (variant == FAILED) put_error(p, id, TALLY_MEMORY_LIMIT, "over the share");
  if (variant == FAREWELL) put_error(p, 0, TALLY_CLOSED, "closing");
  if (variant == OTHER_ID) put_rows(p, id + 1, 10, 10);
  if (variant == WRONG_TYPE) (void)message_put_empty(&p->out, MESSAGE_DONE, id, &p->error);
  flush(p);
  if (variant <= FAILED) {
    expect(p, MESSAGE_STATS); /* the connection goes on */
    put_error(p, p->frame.id, TALLY_UNSUPPORTED, "no");
    flush(p);
    cr_assert(!receive(p));
  }
}

Test(client, an_answer_is_whole_or_an_error) {
  static const struct {
    int code;
    int rows;
  } expected[VARIANTS] = {{TALLY_OK, 20},        {TALLY_OK, 0},          {TALLY_MEMORY_LIMIT, 10},
                          {TALLY_CONNECTION, 0}, {TALLY_CONNECTION, 10}, {TALLY_CONNECTION, 20},
                          {TALLY_PROTOCOL, 20},  {TALLY_CONNECTION, 10}, {TALLY_PROTOCOL, 10},
                          {TALLY_PROTOCOL, 10}};
  for (variant = 0; variant < VARIANTS; variant++) {
    struct peer p;
    tally_error error;
    tally_query query = {.limit = TALLY_NO_LIMIT};
    struct client_rows *rows;
    struct client *client = open_to(&p, script_answer, NULL);
    cr_assert_eq(client_query(client, &query, &rows, &error), 0, "%s", error.text);
    cr_assert_eq(client_rows_columns(rows), 2);
    cr_assert_str_eq(client_rows_column(rows, 1).name, "count");
    cr_assert_eq(client_rows_column(rows, 1).type, TALLY_TYPE_INT);
    cr_assert_eq(client_flush(client, &error), TALLY_BUSY);
    int n = 0, code;
    for (; (code = client_rows_next(rows, &error)) == TALLY_ROW; n++) {
      tally_text name = client_rows_cell(rows, 0), count = client_rows_cell(rows, 1);
      cr_assert_eq(name.data == NULL, n % 2);
      cr_assert_eq(strtol(count.data, NULL, 10), n);
    }
    cr_assert(code == expected[variant].code && n == expected[variant].rows,
              "variant %d: %d after %d rows: %s", variant, code, n, code ? error.text : "");
    cr_assert_eq(client_rows_next(rows, &error), code);
    client_rows_close(rows);
    int next = client_stats(client, &rows, &error);
    cr_assert_eq(next, variant <= FAILED ? TALLY_UNSUPPORTED : code);
    client_close(client);
    stop(&p);
  }
}

/* Rows without end until CANCEL; then the rest of them, and the end. Twice; then a third that is only begun.
 */
static void script_endless(struct peer *p) {
  greet(p);
  for (int i = 0; i < 2; i++) {
    expect(p, MESSAGE_EVENTS);
    uint64_t id = p->frame.id;
    put_columns(p, id);
    flush(p);
    while (recv(p->fd, p->error.text, 1, MSG_PEEK | MSG_DONTWAIT) < 0) { /* until the client says something */
      put_rows(p, id, 0, 1000);
      flush(p);
    }
    expect(p, MESSAGE_CANCEL);
    cr_assert_eq(p->frame.id, id);
    put_rows(p, id, 0, 5000);
    put_error(p, id, TALLY_CANCELLED, "cancelled");
    flush(p);
  }
  expect(p, MESSAGE_VERIFY);
  uint64_t id = p->frame.id;
  expect(p, MESSAGE_CANCEL);
  cr_assert_eq(p->frame.id, id);
  put_columns(p, id); /* the cancellation came too late */
  (void)message_put_end(&p->out, id, &(struct message_end){0, 0, 0}, &p->error);
  flush(p);
  expect(p, MESSAGE_FLUSH);
  (void)message_put_empty(&p->out, MESSAGE_DONE, p->frame.id, &p->error);
  flush(p);
  cr_assert(!receive(p));
}

static void *cancel_soon(void *client) {
  pause_ms(60);
  client_cancel(client);
  return NULL;
}

Test(client, cancelling_and_closing_early_leave_a_connection_that_works) {
  struct peer p;
  tally_error error;
  tally_scan scan = {.limit = TALLY_NO_LIMIT};
  struct client_rows *rows;
  pthread_t thread;
  struct client *client = open_to(&p, script_endless, NULL);
  client_cancel(client); /* nothing is open: no effect */
  cr_assert_eq(client_events(client, &scan, &rows, &error), 0, "%s", error.text);
  for (int i = 0; i < 1500; i++) cr_assert_eq(client_rows_next(rows, &error), TALLY_ROW);
  client_rows_close(rows); /* early */
  cr_assert_eq(client_events(client, &scan, &rows, &error), 0, "%s", error.text);
  cr_assert_eq(pthread_create(&thread, NULL, cancel_soon, client), 0);
  int code;
  while ((code = client_rows_next(rows, &error)) == TALLY_ROW) {
  }
  cr_assert_eq(code, TALLY_CANCELLED);
  (void)pthread_join(thread, NULL);
  client_rows_close(rows);
  cr_assert_eq(pthread_create(&thread, NULL, cancel_soon, client), 0);
  cr_assert_eq(client_verify(client, &rows, &error), TALLY_CANCELLED); /* while it waits for columns */
  (void)pthread_join(thread, NULL);
  cr_assert_eq(client_flush(client, &error), 0, "%s", error.text);
  client_close(client);
  stop(&p);
}

/* ------------------------------------------------------------------ reconnecting */

static void script_twice(struct peer *p) {
  greet(p);
  expect(p, MESSAGE_QUERY);
  put_columns(p, p->frame.id);
  put_rows(p, p->frame.id, 0, 3);
  flush(p);
  (void)close(p->fd);
  frame_reader_free(&p->reader);
  frame_reader_init(&p->reader, &p->pool, FRAME_GREETING);
  p->fd = accept(p->listener, NULL, NULL);
  greet(p);
  cr_assert(!receive(p));
}

Test(client, reconnecting_begins_anew_and_ends_what_was_open) {
  struct peer p;
  tally_error error;
  tally_query query = {.limit = TALLY_NO_LIMIT};
  struct client_rows *rows;
  struct client *client = open_to(&p, script_twice, NULL);
  cr_assert_eq(client_query(client, &query, &rows, &error), 0);
  cr_assert_eq(client_rows_next(rows, &error), TALLY_ROW);
  cr_assert_eq(client_reconnect(client, &error), 0, "%s", error.text);
  cr_assert(!client_rows_cell(rows, 0).data);
  cr_assert_eq(client_rows_next(rows, &error), TALLY_CONNECTION);
  cr_assert_eq(client_ping(client, &error), 0, "%s", error.text);
  client_rows_close(rows);
  client_close(client);
  stop(&p);
}
