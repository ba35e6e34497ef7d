/* Laws of server/session.h and server/appender.h: greeting, order of receipts, group commit, answers, cancel,
 * faults, drain. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "unit/server_peer.h"

static struct running running;

static void start(void) {
  running_config(&running);
  running_start(&running);
}
static void stop(void) { running_stop(&running); }

TestSuite(session, .init = start, .fini = stop);

Test(session, a_greeting_tells_the_limits_and_every_request_is_answered_under_its_id) {
  struct peer peer;
  struct frame frame;
  tally_receipt receipt;
  tally_mark mark;
  struct message_welcome welcome = peer_open(&peer, &running);
  cr_expect_eq(welcome.version, FRAME_VERSION);
  cr_expect_eq(welcome.append_window, SERVER_APPEND_WINDOW);
  cr_expect_eq(welcome.answer_window, 8);
  cr_expect_eq(welcome.batch_bytes, TALLY_BATCH_BYTES);
  cr_expect_eq(strncmp(welcome.name, "tallyd ", 7), 0);

  peer_empty(&peer, MESSAGE_PING, 2);
  peer_append(&peer, 3, "batch", 5);
  cr_assert_eq(message_put_mark(&peer.out, 4, "collector", 0, &peer.error), 0);
  cr_assert(peer_send(&peer));
  peer_expect(&peer, MESSAGE_PONG, 2, &frame);
  peer_expect(&peer, MESSAGE_APPENDED, 3, &frame);
  cr_assert_eq(message_get_appended(&frame, &receipt, &peer.error), 0);
  cr_expect_eq(receipt.rows, 5);
  peer_expect(&peer, MESSAGE_MARKED, 4, &frame);
  cr_assert_eq(message_get_marked(&frame, &mark, &peer.error), 0);
  cr_expect_eq(mark.epoch, 9);
  cr_expect_eq(mark.sequence, 1, "a mark sees the batches before it");

  peer_query(&peer, 5, 1000, 10);
  cr_assert(peer_send(&peer));
  cr_expect_eq(peer_read_answer(&peer, 5), 1000);
  cr_expect_eq(atomic_load(&running.fake.timeout), 300000,
               "the server's own timeout goes with a request without one");
  peer_query(&peer, 6, 0, 0);
  cr_assert(peer_send(&peer));
  cr_expect_eq(peer_read_answer(&peer, 6), 0);
  peer_empty(&peer, MESSAGE_STATS, 7);
  cr_assert(peer_send(&peer));
  cr_expect_eq(peer_read_answer(&peer, 7), 1);
  peer_empty(&peer, MESSAGE_FLUSH, 8);
  cr_assert(peer_send(&peer));
  peer_expect(&peer, MESSAGE_DONE, 8, &frame);
  cr_expect_eq(atomic_load(&running.fake.flushes), 1);
  tally_scan scan = {.limit = 3, .timeout = 1234};
  cr_assert_eq(message_put_events(&peer.out, 9, &scan, &peer.error), 0);
  cr_assert(peer_send(&peer));
  cr_expect_eq(peer_read_answer(&peer, 9), 3);
  cr_expect_eq(atomic_load(&running.fake.timeout), 1234);
  peer_close(&peer);
}

Test(session, receipts_come_in_the_order_of_submission_also_those_of_refused_batches) {
  struct peer peer;
  struct frame frame;
  enum { BATCHES = 300 };
  (void)peer_open(&peer, &running);
  static char large[50000];
  memset(large, 'l', sizeof large);
  for (uint64_t id = 2; id < 2 + BATCHES; id++) {
    if (id % 7 == 3) {
      peer_append(&peer, id, "gap", 3);
    } else if (id % 11 == 5) { /* refused on the loop: durability 9 is none */
      size_t at = peer.out.size;
      peer_append(&peer, id, "x", 1);
      peer.out.data[at + FRAME_HEADER] = 9;
      frame_seal(peer.out.data + at, MESSAGE_APPEND, id, peer.out.data + at + FRAME_HEADER,
                 peer.out.size - at - FRAME_HEADER, NULL, 0);
    } else if (id % 5 == 1) {
      peer_append(&peer, id, large, sizeof large);
    } else {
      peer_append(&peer, id, "batch", 5);
    }
  }
  cr_assert(peer_send(&peer));
  for (uint64_t id = 2; id < 2 + BATCHES; id++) {
    tally_receipt receipt;
    if (id % 7 == 3) {
      peer_expect_error(&peer, id, TALLY_GAP);
    } else if (id % 11 == 5) {
      peer_expect_error(&peer, id, TALLY_USAGE);
    } else {
      peer_expect(&peer, MESSAGE_APPENDED, id, &frame);
      cr_assert_eq(message_get_appended(&frame, &receipt, &peer.error), 0);
      cr_expect_eq(receipt.rows, id % 5 == 1 ? sizeof large : 5);
    }
  }
  peer_close(&peer);
}

Test(session, what_queues_during_one_synchronisation_rides_on_the_next) {
  struct peer peers[10];
  struct frame frame;
  for (size_t i = 0; i < 10; i++) (void)peer_open(&peers[i], &running);
  fake_hold(&running.fake, true);
  peer_append(&peers[0], 2, "first", 5);
  cr_assert(peer_send(&peers[0]));
  cr_assert(fake_wait(&running.fake.groups, 1));
  for (size_t i = 1; i < 10; i++) {
    for (uint64_t id = 2; id < 12; id++) peer_append(&peers[i], id, "batch", 5);
    cr_assert(peer_send(&peers[i]));
  }
  peer_empty(&peers[1], MESSAGE_PING, 99); /* answered while the WAL is busy */
  cr_assert(peer_send(&peers[1]));
  peer_expect(&peers[1], MESSAGE_PONG, 99, &frame);
  uv_sleep(200); /* until the loop has read them all */
  fake_hold(&running.fake, false);
  peer_expect(&peers[0], MESSAGE_APPENDED, 2, &frame);
  for (size_t i = 1; i < 10; i++)
    for (uint64_t id = 2; id < 12; id++) peer_expect(&peers[i], MESSAGE_APPENDED, id, &frame);
  cr_expect_eq(atomic_load(&running.fake.groups), 2, "%lu groups", atomic_load(&running.fake.groups));
  for (size_t i = 0; i < 10; i++) peer_close(&peers[i]);
}

/* A query that could be answered at once; each `word` makes it another request. */
static void peer_query_quick(struct peer *peer, uint64_t id, const char *word, uint64_t limit,
                             const char *text_size) {
  tally_query query = {.limit = limit, .tz = "quick", .to = word, .group_by = text_size};
  cr_assert_eq(message_put_query(&peer->out, id, &query, &peer->error), 0);
}

Test(session, a_query_that_comes_alone_is_tried_at_once_and_answered_by_a_worker_where_that_fails) {
  struct peer peer;
  struct fake *fake = &running.fake;
  (void)peer_open(&peer, &running);
  peer_query_quick(&peer, 2, "a", 5, "10");
  cr_assert(peer_send(&peer));
  cr_expect_eq(peer_read_answer(&peer, 2), 5);
  cr_expect_eq(atomic_load(&fake->quick), 1);
  peer_query(&peer, 3, 5, 10); /* is refused at once */
  cr_assert(peer_send(&peer));
  cr_expect_eq(peer_read_answer(&peer, 3), 5);
  cr_expect_eq(atomic_load(&fake->tries), 2);
  cr_expect_eq(atomic_load(&fake->quick), 1);
  peer_query_quick(&peer, 4, "b", 300, "1000"); /* more than a frame: begun, thrown away and begun again */
  cr_assert(peer_send(&peer));
  cr_expect_eq(peer_read_answer(&peer, 4), 300);
  cr_expect_eq(atomic_load(&fake->quick), 2);
  tally_scan scan = {.limit = 3};
  cr_assert_eq(message_put_events(&peer.out, 5, &scan, &peer.error), 0);
  cr_assert(peer_send(&peer));
  cr_expect_eq(peer_read_answer(&peer, 5), 3);
  cr_expect_eq(atomic_load(&fake->tries), 4);
  tally_query fails = {.limit = 5, .tz = "quick", .aggregates = "fail"};
  struct frame frame;
  cr_assert_eq(message_put_query(&peer.out, 6, &fails, &peer.error), 0);
  cr_assert(peer_send(&peer));
  peer_expect(&peer, MESSAGE_COLUMNS, 6, &frame);
  peer_expect(&peer, MESSAGE_ROWS, 6, &frame);
  peer_expect_error(&peer, 6, TALLY_OVERFLOW);
  cr_expect_eq(atomic_load(&fake->quick), 3);
  peer_close(&peer);
}

Test(session, the_loop_sleeps_again_soon_after_an_answer_at_once) {
  struct peer peer;
  clockid_t clock;
  struct timespec before, after;
  (void)peer_open(&peer, &running);
  cr_assert_eq(pthread_getcpuclockid(running.thread, &clock), 0);
  peer_query_quick(&peer, 2, "a", 5, "10");
  cr_assert(peer_send(&peer));
  cr_expect_eq(peer_read_answer(&peer, 2), 5);
  cr_expect_eq(atomic_load(&running.fake.quick), 1);
  (void)clock_gettime(clock, &before);
  (void)usleep(300000);
  (void)clock_gettime(clock, &after);
  int64_t spent = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
  cr_expect_lt(spent, 30, "the loop was at work for %lld of 300 ms", (long long)spent);
  peer_close(&peer);
}

Test(session, nothing_is_tried_at_once_while_an_append_or_another_answer_is_under_way) {
  struct peer one, other;
  struct frame frame;
  struct fake *fake = &running.fake;
  (void)peer_open(&one, &running);
  (void)peer_open(&other, &running);
  fake_hold(fake, true);
  peer_append(&one, 2, "batch", 5);
  cr_assert(peer_send(&one));
  cr_assert(fake_wait(&fake->groups, 1));
  peer_query_quick(&other, 2, "a", 5, "10");
  cr_assert(peer_send(&other));
  cr_expect_eq(peer_read_answer(&other, 2), 5);
  cr_expect_eq(atomic_load(&fake->tries), 0);
  fake_hold(fake, false);
  peer_expect(&one, MESSAGE_APPENDED, 2, &frame);

  peer_query_stuck(&one, 3); /* it is tried, and goes to a worker */
  cr_assert(peer_send(&one));
  cr_assert(fake_wait_int(&fake->stuck, 1));
  cr_expect_eq(atomic_load(&fake->tries), 1);
  peer_query_quick(&other, 3, "b", 5, "10");
  cr_assert(peer_send(&other));
  cr_expect_eq(peer_read_answer(&other, 3), 5);
  cr_expect_eq(atomic_load(&fake->tries), 1);
  peer_empty(&one, MESSAGE_CANCEL, 3);
  cr_assert(peer_send(&one));
  peer_expect(&one, MESSAGE_COLUMNS, 3, &frame);
  peer_expect_error(&one, 3, TALLY_CANCELLED);

  peer_query_quick(&one, 4, "c", 5, "10"); /* nothing is under way any more */
  cr_assert(peer_send(&one));
  cr_expect_eq(peer_read_answer(&one, 4), 5);
  cr_expect_eq(atomic_load(&fake->quick), 1);
  peer_close(&one);
  peer_close(&other);
}

Test(session, answers_end_with_their_error_are_limited_in_number_and_can_be_cancelled) {
  struct peer peer;
  struct frame frame;
  (void)peer_open(&peer, &running);
  tally_query query = {.limit = 5, .aggregates = "fail"};
  cr_assert_eq(message_put_query(&peer.out, 2, &query, &peer.error), 0);
  cr_assert(peer_send(&peer));
  peer_expect(&peer, MESSAGE_COLUMNS, 2, &frame);
  peer_expect(&peer, MESSAGE_ROWS, 2, &frame);
  peer_expect_error(&peer, 2, TALLY_OVERFLOW);
  query = (tally_query){.limit = 5, .from = "refuse"};
  cr_assert_eq(message_put_query(&peer.out, 3, &query, &peer.error), 0);
  cr_assert(peer_send(&peer));
  peer_expect_error(&peer, 3, TALLY_USAGE);

  for (uint64_t id = 10; id < 18; id++) peer_query_stuck(&peer, id);
  peer_query(&peer, 18, 1, 1);
  cr_assert(peer_send(&peer));
  peer_expect_error(&peer, 18, TALLY_BUSY);
  cr_assert(fake_wait_int(&running.fake.stuck, 4), "four threads answer queries");
  for (uint64_t id = 18; id-- > 10;) peer_empty(&peer, MESSAGE_CANCEL, id);
  peer_empty(&peer, MESSAGE_CANCEL, 4711); /* of nothing: no harm */
  cr_assert(peer_send(&peer));
  bool ended[8] = {false};
  for (int i = 0; i < 8; i++) {
    tally_error error;
    cr_assert(peer_receive(&peer, &frame));
    while (frame.type == MESSAGE_COLUMNS) cr_assert(peer_receive(&peer, &frame));
    cr_assert_eq(frame.type, MESSAGE_ERROR);
    cr_assert_eq(message_get_error(&frame, &error, &peer.error), 0);
    cr_expect_eq(error.code, TALLY_CANCELLED);
    cr_assert(frame.id >= 10 && frame.id < 18 && !ended[frame.id - 10]);
    ended[frame.id - 10] = true;
  }
  peer_query_stuck(&peer, 20);
  peer_query(&peer, 20, 1, 1);
  cr_assert(peer_send(&peer));
  peer_expect_error(&peer, 20, TALLY_USAGE); /* the id is taken */
  cr_assert(fake_wait_int(&running.fake.stuck, 1));
  peer_close(&peer);
  cr_expect(fake_wait_int(&running.fake.open, 0), "hanging up ends the answers");
}

Test(session, verify_and_flush_do_not_stand_in_the_way_of_queries) {
  struct peer peer;
  struct frame frame;
  (void)peer_open(&peer, &running);
  peer_empty(&peer, MESSAGE_VERIFY, 2);
  peer_empty(&peer, MESSAGE_FLUSH, 3);
  for (uint64_t id = 4; id < 7; id++) peer_query_stuck(&peer, id);
  peer_query(&peer, 9, 10, 1);
  cr_assert(peer_send(&peer));
  bool flushed = false, answered = false;
  while (!flushed || !answered) {
    cr_assert(peer_receive(&peer, &frame));
    flushed |= frame.type == MESSAGE_DONE && frame.id == 3;
    answered |= frame.type == MESSAGE_END && frame.id == 9;
  }
  peer_close(&peer);
}

/* The bytes of each case are sent after a greeting (but where greeted is false); then the ERROR and the end
 * of the stream must come. */
struct fault {
  const char *name;
  bool greeted;
  void (*make)(struct peer *peer);
  int code;
};

static void put_ping(struct peer *peer, uint64_t id) { peer_empty(peer, MESSAGE_PING, id); }
static void make_checksum(struct peer *peer) {
  put_ping(peer, 5);
  peer->out.data[16] ^= 1;
}
static void make_version(struct peer *peer) {
  put_ping(peer, 5);
  peer->out.data[4] ^= 2;
}
static void make_flags(struct peer *peer) {
  put_ping(peer, 5);
  peer->out.data[6] = 1;
}
static void make_oversized(struct peer *peer) {
  put_ping(peer, 5);
  store32(peer->out.data, FRAME_BYTES);
}
static void make_garbage(struct peer *peer) { buffer_text(&peer->out, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); }
static void make_long_greeting(struct peer *peer) {
  put_ping(peer, 5);
  store32(peer->out.data, FRAME_GREETING);
}
static void make_no_hello(struct peer *peer) { put_ping(peer, 5); }
static void make_wrong_versions(struct peer *peer) {
  struct message_hello hello = {.lowest = 1, .highest = 3, .name = "old"};
  cr_assert_eq(message_put_hello(&peer->out, 1, &hello, &peer->error), 0);
}
static void make_server_message(struct peer *peer) {
  cr_assert_eq(message_put_end(&peer->out, 5, &(struct message_end){1, 0, 0}, &peer->error), 0);
}
static void make_id_zero(struct peer *peer) { peer_empty(peer, MESSAGE_STATS, 0); }
static void make_payload(struct peer *peer) {
  size_t start = frame_begin(&peer->out);
  write32(&peer->out, 1);
  cr_assert_eq(frame_end(&peer->out, start, MESSAGE_FLUSH, 5, &peer->error), 0);
}
static void make_short_append(struct peer *peer) {
  size_t start = frame_begin(&peer->out);
  write32(&peer->out, 0);
  cr_assert_eq(frame_end(&peer->out, start, MESSAGE_APPEND, 5, &peer->error), 0);
}

static const struct fault faults[] = {{"checksum", true, make_checksum, TALLY_PROTOCOL},
                                      {"version", true, make_version, TALLY_VERSION},
                                      {"version in HELLO's frame", false, make_version, TALLY_VERSION},
                                      {"flags", true, make_flags, TALLY_PROTOCOL},
                                      {"oversized", true, make_oversized, TALLY_TOO_LARGE},
                                      {"garbage", false, make_garbage, 0},
                                      {"long greeting", false, make_long_greeting, TALLY_TOO_LARGE},
                                      {"no hello", false, make_no_hello, TALLY_PROTOCOL},
                                      {"no common version", false, make_wrong_versions, TALLY_VERSION},
                                      {"message of the server", true, make_server_message, TALLY_PROTOCOL},
                                      {"id 0", true, make_id_zero, TALLY_PROTOCOL},
                                      {"payload where none belongs", true, make_payload, TALLY_PROTOCOL},
                                      {"append cut short", true, make_short_append, TALLY_PROTOCOL}};

Test(session, a_fault_gets_an_error_behind_all_receipts_and_the_connection_ends) {
  for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
    struct peer peer;
    struct frame frame;
    tally_error error;
    if (faults[i].greeted)
      (void)peer_open(&peer, &running);
    else
      peer_connect(&peer, &running);
    if (faults[i].greeted) {
      peer_append(&peer, 2, "batch", 5);
      cr_assert(peer_send(&peer));
    }
    faults[i].make(&peer);
    buffer_text(&peer.out, "and much more that is never looked at");
    cr_assert(peer_send(&peer));
    if (faults[i].greeted) peer_expect(&peer, MESSAGE_APPENDED, 2, &frame);
    cr_assert(peer_receive(&peer, &frame), "%s: no ERROR", faults[i].name);
    cr_assert_eq(frame.type, MESSAGE_ERROR, "%s: %s", faults[i].name, message_name(frame.type));
    cr_assert_eq(message_get_error(&frame, &error, &peer.error), 0);
    if (faults[i].code)
      cr_expect_eq(error.code, faults[i].code, "%s: %s (%s)", faults[i].name, tally_error_name(error.code),
                   error.text);
    peer_expect_end(&peer);
    peer_close(&peer);
  }
}

Test(session, hanging_up_loses_no_batch_that_was_received_and_half_a_frame_is_none) {
  struct peer peer;
  struct frame frame;
  (void)peer_open(&peer, &running);
  peer_append(&peer, 2, "whole", 5);
  peer_append(&peer, 3, "half", 4);
  peer.out.size -= 2;
  cr_assert(peer_send(&peer));
  cr_assert_eq(shutdown(peer.socket, SHUT_WR), 0);
  peer_expect(&peer, MESSAGE_APPENDED, 2, &frame);
  peer_expect_end(&peer);
  peer_close(&peer);
  cr_expect_eq(atomic_load(&running.fake.batches), 1);
  fake_hold(&running.fake, true);
  (void)peer_open(&peer, &running);
  peer_append(&peer, 2, "whole", 5);
  cr_assert(peer_send(&peer));
  cr_assert(fake_wait(&running.fake.groups, 2));
  peer_close(&peer); /* gone before the receipt */
  uv_sleep(50);
  fake_hold(&running.fake, false);
  cr_expect(fake_wait(&running.fake.batches, 2));
}
