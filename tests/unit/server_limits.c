/* Laws of server/server.h: nothing grows without bound, deadlines, the limit of connections, drain, reload.
 */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>

#include "unit/server_peer.h"

static struct running running;

static void start(void) {
  running_config(&running);
  running.config.memory = 64u << 20; /* the intake: 16 MiB */
}

TestSuite(limits, .init = start);

/* Fills every socket buffer with appends of `size` bytes until nothing goes any more; returns the bytes. The
 * last frame may be cut: `left` gets what is missing of it. */
static size_t push_until_stopped(struct peer *peer, size_t size, uint64_t *ids, size_t *left) {
  static uint8_t batch[2u << 20];
  size_t total = 0;
  *left = 0;
  memset(batch, 'b', sizeof batch);
  for (*ids = 0; *ids < 10000; ++*ids) {
    peer_append(peer, *ids + 2, batch, size);
    size_t went = peer_push(peer, peer->out.data, peer->out.size, 300);
    total += went;
    if (went < peer->out.size) {
      if (went) ++*ids;
      *left = went ? peer->out.size - went : 0;
      memmove(peer->out.data, peer->out.data + went, *left);
      peer->out.size = *left;
      return total;
    }
    buffer_clear(&peer->out);
  }
  return total;
}

Test(limits, a_full_wal_stops_reading_from_those_who_append_and_from_nobody_else) {
  static const size_t sizes[] = {100, 20000, 2000000};
  running_start(&running);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    struct peer writers[3], reader;
    uint64_t ids[3];
    size_t left[3];
    struct frame frame;
    fake_hold(&running.fake, true);
    for (size_t w = 0; w < 3; w++) {
      int small = 64 << 10;
      (void)peer_open(&writers[w], &running);
      (void)setsockopt(writers[w].socket, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
      size_t total = push_until_stopped(&writers[w], sizes[i], &ids[w], &left[w]);
      cr_expect_lt(total, 64u << 20, "%zu bytes of batches of %zu went in", total, sizes[i]);
      cr_expect_lt(ids[w], 10000, "batches of %zu bytes are taken without end", sizes[i]);
    }
    (void)peer_open(&reader, &running);
    peer_query(&reader, 2, 10000, 100);
    cr_assert(peer_send(&reader));
    cr_expect_eq(peer_read_answer(&reader, 2), 10000);
    peer_close(&reader);
    fake_hold(&running.fake, false);
    for (size_t w = 0; w < 3; w++) { /* and then everything gets in */
      size_t at = 0;
      for (uint64_t id = 2; id < 2 + ids[w]; id++) {
        if (at < left[w]) at += peer_push(&writers[w], writers[w].out.data + at, left[w] - at, 0);
        if (id == 1 + ids[w] && at < left[w])
          cr_assert_eq(peer_push(&writers[w], writers[w].out.data + at, left[w] - at, 10000), left[w] - at);
        peer_expect(&writers[w], MESSAGE_APPENDED, id, &frame);
      }
      peer_close(&writers[w]);
    }
  }
  running_stop(&running);
}

Test(limits, many_large_frames_at_once_wait_for_memory_and_all_get_in) {
  enum { WRITERS = 24 };
  struct peer writers[WRITERS];
  static uint8_t batch[3u << 20];
  size_t at[WRITERS] = {0};
  struct frame frame;
  running_start(&running);
  for (size_t w = 0; w < WRITERS; w++) {
    (void)peer_open(&writers[w], &running);
    peer_append(&writers[w], 2, batch, sizeof batch);
  }
  bool more = true; /* a piece of each in turn: all frames are begun before one is whole */
  for (int turn = 0; more && turn < 20000; turn++) {
    more = false;
    for (size_t w = 0; w < WRITERS; w++) {
      struct buffer *out = &writers[w].out;
      size_t piece = out->size - at[w] < 100000 ? out->size - at[w] : 100000;
      at[w] += peer_push(&writers[w], out->data + at[w], piece, 0);
      more |= at[w] < out->size;
    }
    if (turn > 1000) uv_sleep(1);
  }
  cr_expect_not(more, "some frames never get in");
  for (size_t w = 0; w < WRITERS; w++) {
    peer_expect(&writers[w], MESSAGE_APPENDED, 2, &frame);
    peer_close(&writers[w]);
  }
  running_stop(&running);
}

Test(limits, a_slow_reader_holds_a_bounded_output_and_no_thread) {
  struct peer slow[8], quick;
  struct frame frame;
  running_start(&running);
  for (size_t i = 0; i < 8; i++) { /* more than there are threads, two answers each */
    (void)peer_open(&slow[i], &running);
    peer_query(&slow[i], 2, UINT64_MAX, 1000);
    peer_query(&slow[i], 3, UINT64_MAX, 1000);
    cr_assert(peer_send(&slow[i]));
  }
  uint64_t before, after = 0;
  int quiet = 0;
  for (int i = 0; i < 200 && quiet < 10; i++) { /* until nothing is pulled any more */
    before = after;
    uv_sleep(20);
    after = atomic_load(&running.fake.rows);
    quiet = after == before ? quiet + 1 : 0;
  }
  cr_expect_geq(quiet, 10, "rows are pulled without end");
  /* 1 MiB unsent, and what the system's buffers of a loopback connection take (up to 4 MiB and more) */
  cr_expect_lt(after / 8, 12u << 10, "%lu rows of 1,000 bytes a slow reader", after / 8);
  (void)peer_open(&quick, &running);
  peer_query(&quick, 2, 20000, 100);
  cr_assert(peer_send(&quick));
  cr_expect_eq(peer_read_answer(&quick, 2), 20000);
  peer_close(&quick);
  peer_empty(&slow[0], MESSAGE_CANCEL, 2); /* a cancel gets through although nothing is read */
  peer_empty(&slow[0], MESSAGE_CANCEL, 3);
  cr_assert(peer_send(&slow[0]));
  int ended = 0;
  while (ended < 2) {
    cr_assert(peer_receive(&slow[0], &frame));
    ended += frame.type == MESSAGE_ERROR;
  }
  for (size_t i = 0; i < 8; i++) peer_close(&slow[i]);
  running_stop(&running);
}

Test(limits, who_sends_and_never_reads_is_stopped) {
  struct peer peer;
  size_t total = 0;
  running.config.frame_timeout = 700;
  running_start(&running);
  (void)peer_open(&peer, &running);
  for (int i = 0; i < 1000; i++) peer_empty(&peer, MESSAGE_PING, 2);
  for (int i = 0; i < 10000; i++) {
    size_t went = peer_push(&peer, peer.out.data, peer.out.size, 200);
    total += went;
    if (went < peer.out.size) break;
  }
  cr_expect_lt(total, 200u << 20, "%zu bytes of PINGs were taken", total);
  uv_sleep(1500); /* and hung up on: the rest does not go */
  cr_expect_eq(peer_push(&peer, peer.out.data, peer.out.size, 200) < peer.out.size, true);
  peer_close(&peer);
  running_stop(&running);
}

Test(limits, deadlines_for_hello_frames_and_idleness) {
  struct peer silent, half, idle, busy, pinger;
  struct frame frame;
  running.config.hello_timeout = 300;
  running.config.frame_timeout = 300;
  running.config.idle_timeout = 600;
  running_start(&running);
  peer_connect(&silent, &running);
  cr_expect_eq(peer_open(&half, &running).idle_timeout, 600);
  (void)peer_open(&idle, &running);
  (void)peer_open(&busy, &running);
  (void)peer_open(&pinger, &running);
  peer_append(&half, 2, "never whole", 11);
  half.out.size -= 3;
  cr_assert(peer_send(&half));
  peer_query_stuck(&busy, 2);
  cr_assert(peer_send(&busy));
  for (uint64_t id = 2; id < 7; id++) { /* 1.5 s */
    peer_empty(&pinger, MESSAGE_PING, id);
    cr_assert(peer_send(&pinger));
    peer_expect(&pinger, MESSAGE_PONG, id, &frame);
    uv_sleep(300);
  }
  peer_expect_error(&silent, 0, TALLY_DEADLINE);
  peer_expect_end(&silent);
  peer_expect_error(&half, 0, TALLY_DEADLINE);
  peer_expect_end(&half);
  peer_expect_error(&idle, 0, TALLY_DEADLINE);
  peer_expect_end(&idle);
  peer_empty(&busy, MESSAGE_CANCEL, 2); /* a request under way is not idleness */
  cr_assert(peer_send(&busy));
  peer_expect(&busy, MESSAGE_COLUMNS, 2, &frame);
  peer_expect_error(&busy, 2, TALLY_CANCELLED);
  peer_close(&silent);
  peer_close(&half);
  peer_close(&idle);
  peer_close(&busy);
  peer_close(&pinger);
  running_stop(&running);
}

Test(limits, one_connection_too_many_is_told_busy_and_a_reload_changes_the_limit) {
  struct peer peers[4], extra;
  struct frame frame;
  running.config.max_connections = 3;
  running_start(&running);
  for (size_t i = 0; i < 3; i++) (void)peer_open(&peers[i], &running);
  peer_connect(&extra, &running);
  peer_expect_error(&extra, 0, TALLY_BUSY);
  peer_expect_end(&extra);
  peer_close(&extra);
  peer_empty(&peers[0], MESSAGE_PING, 2);
  cr_assert(peer_send(&peers[0]));
  peer_expect(&peers[0], MESSAGE_PONG, 2, &frame);
  running.config.max_connections = 4;
  running_ask(&running, 2);
  uv_sleep(100);
  (void)peer_open(&peers[3], &running);
  for (size_t i = 0; i < 4; i++) peer_close(&peers[i]);
  running_stop(&running);
}

Test(limits, a_drain_finishes_what_is_under_way_and_says_goodbye) {
  struct peer writer, reader, idle;
  struct frame frame;
  running_start(&running);
  (void)peer_open(&writer, &running);
  (void)peer_open(&reader, &running);
  (void)peer_open(&idle, &running);
  fake_hold(&running.fake, true);
  for (uint64_t id = 2; id < 12; id++) peer_append(&writer, id, "batch", 5);
  cr_assert(peer_send(&writer));
  peer_query(&reader, 2, 20000, 500); /* 10 MB: it cannot be in the buffers */
  cr_assert(peer_send(&reader));
  cr_assert(fake_wait(&running.fake.rows, 1));
  uv_sleep(100);
  running_ask(&running, 1);
  peer_expect_error(&idle, 0, TALLY_CLOSED);
  peer_expect_end(&idle);
  fake_hold(&running.fake, false);
  for (uint64_t id = 2; id < 12; id++) peer_expect(&writer, MESSAGE_APPENDED, id, &frame);
  peer_expect_error(&writer, 0, TALLY_CLOSED);
  peer_expect_end(&writer);
  cr_expect_eq(peer_read_answer(&reader, 2), 20000);
  peer_expect_error(&reader, 0, TALLY_CLOSED);
  running_join(&running);
  peer_close(&writer);
  peer_close(&reader);
  peer_close(&idle);
}

Test(limits, a_drain_ends_in_time_whatever_is_under_way) {
  struct peer stuck, unread;
  running.config.drain_timeout = 500;
  running_start(&running);
  (void)peer_open(&stuck, &running);
  (void)peer_open(&unread, &running);
  peer_query_stuck(&stuck, 2);
  peer_empty(&stuck, MESSAGE_VERIFY, 3);
  cr_assert(peer_send(&stuck));
  peer_query(&unread, 2, UINT64_MAX, 1000);
  cr_assert(peer_send(&unread));
  cr_assert(fake_wait_int(&running.fake.stuck, 2));
  uint64_t began = uv_hrtime();
  running_stop(&running);
  uint64_t took = (uv_hrtime() - began) / 1000000;
  cr_expect(took >= 400 && took < 5000, "it took %lu ms", took);
  peer_close(&stuck);
  peer_close(&unread);
}

/* How long a drain takes in whose beginning a job runs that has no end. */
static uint64_t drain_a_job(uint64_t timeout, bool gone) {
  struct peer peer;
  const char *words[] = {"long"};
  running.config.drain_timeout = timeout;
  running_start(&running);
  (void)peer_open(&peer, &running);
  cr_assert_eq(message_put_job(&peer.out, 2, words, 1, &peer.error), 0);
  cr_assert(peer_send(&peer));
  cr_assert(fake_wait_int(&running.fake.stuck, 1));
  if (gone) peer_close(&peer);
  uint64_t began = uv_hrtime();
  running_stop(&running);
  uint64_t took = (uv_hrtime() - began) / 1000000;
  if (!gone) peer_close(&peer);
  return took;
}

/* Found by R17: tallyd did not end for as long as a compaction had something to merge. */
Test(limits, a_drain_interrupts_a_job_when_the_time_is_up) {
  uint64_t took = drain_a_job(500, false);
  cr_expect(took >= 400 && took < 5000, "it took %lu ms", took);
}

Test(limits, a_drain_interrupts_a_job_whose_client_has_left) {
  uint64_t took = drain_a_job(500, true);
  cr_expect(took < 5000, "it took %lu ms", took);
}
