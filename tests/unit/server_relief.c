/* Laws of server/relief.h: answers that nobody reads give back memory, and who was refused it waits for that.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "unit/server_peer.h"

static struct running running;

static void start(void) { running_config(&running); }

TestSuite(relief, .init = start);

static void ask(struct peer *peer, uint64_t id, const char *tz, uint64_t timeout) {
  tally_query query = {.limit = 10, .tz = tz, .timeout = timeout, .group_by = "10"};
  cr_assert_eq(message_put_query(&peer->out, id, &query, &peer->error), 0);
  cr_assert(peer_send(peer));
}

/* A peer that has asked for rows without end and reads none. */
static void stall(struct peer *peer, uint64_t timeout) {
  tally_query query = {.limit = UINT64_MAX, .timeout = timeout, .group_by = "1000"};
  (void)peer_open(peer, &running);
  cr_assert_eq(message_put_query(&peer->out, 2, &query, &peer->error), 0);
  cr_assert(peer_send(peer));
}

/* Until nothing is pulled any more. */
static void wait_for_quiet(void) {
  uint64_t before, after = 0;
  for (int i = 0, quiet = 0; i < 200 && quiet < 5; i++) {
    before = after;
    uv_sleep(20);
    after = atomic_load(&running.fake.rows);
    quiet = after == before ? quiet + 1 : 0;
  }
}

Test(relief, a_query_that_is_refused_memory_gets_that_of_answers_that_nobody_reads) {
  struct peer stalled[3], hungry;
  running_start(&running);
  for (size_t i = 0; i < 3; i++) stall(&stalled[i], 0);
  wait_for_quiet();
  (void)peer_open(&hungry, &running);
  ask(&hungry, 2, "hungry", 0);
  cr_expect_eq(peer_read_answer(&hungry, 2), 10);
  cr_expect_eq(atomic_load(&running.fake.rests), 3);
  peer_close(&hungry);
  for (size_t i = 0; i < 3; i++) peer_close(&stalled[i]);
  running_stop(&running);
}

static void ask_events(struct peer *peer, uint64_t id) {
  tally_scan scan = {.limit = 20, .columns = "hungry"};
  cr_assert_eq(message_put_events(&peer->out, id, &scan, &peer->error), 0);
  cr_assert(peer_send(peer));
}

Test(relief, events_that_are_refused_memory_on_their_way_go_on_where_they_stopped) {
  struct peer stalled, hungry;
  running_start(&running);
  stall(&stalled, 0);
  wait_for_quiet();
  (void)peer_open(&hungry, &running);
  ask_events(&hungry, 2);
  cr_expect_eq(peer_read_answer(&hungry, 2), 20);
  cr_expect_eq(atomic_load(&running.fake.rests), 1);
  peer_close(&hungry);
  peer_close(&stalled);
  running_stop(&running);
}

Test(relief, events_that_are_refused_memory_on_their_way_although_nobody_holds_any_end_with_that) {
  struct peer hungry;
  struct frame frame;
  running_start(&running);
  (void)peer_open(&hungry, &running);
  ask_events(&hungry, 2);
  peer_expect(&hungry, MESSAGE_COLUMNS, 2, &frame);
  peer_expect(&hungry, MESSAGE_ROWS, 2, &frame);
  peer_expect_error(&hungry, 2, TALLY_MEMORY_LIMIT);
  ask(&hungry, 3, NULL, 0);
  cr_expect_eq(peer_read_answer(&hungry, 3), 10);
  peer_close(&hungry);
  running_stop(&running); /* checks that no cursor is open */
}

Test(relief, a_query_that_is_refused_memory_although_nobody_holds_any_is_told_so_at_once) {
  struct peer hungry;
  running_start(&running);
  (void)peer_open(&hungry, &running);
  ask(&hungry, 2, "hungry", 0);
  struct frame frame;
  peer_expect(&hungry, MESSAGE_COLUMNS, 2, &frame);
  peer_expect_error(&hungry, 2, TALLY_MEMORY_LIMIT);
  peer_close(&hungry);
  running_stop(&running);
}

Test(relief, answers_that_nobody_reads_rest_after_a_while_go_on_when_read_and_end_at_their_deadline) {
  struct peer stalled, late;
  struct frame frame;
  running_start(&running);
  stall(&stalled, 0);
  stall(&late, 1500);
  cr_assert(fake_wait_int(&running.fake.rests, 2), "nothing rests");
  int rests = atomic_load(&running.fake.rests);
  uint64_t rows = atomic_load(&running.fake.rows);
  for (int i = 0; i < 200; i++) cr_assert(peer_receive(&stalled, &frame)); /* more than was on its way */
  cr_expect_gt(atomic_load(&running.fake.rows), rows);
  uv_sleep(1500);
  cr_expect_geq(atomic_load(&running.fake.rests), rests, "it rests again");
  cr_expect_eq(atomic_load(&running.fake.open), 1, "the late one's cursor is closed");
  do cr_assert(peer_receive(&late, &frame));
  while (frame.type != MESSAGE_ERROR);
  tally_error error, said;
  cr_assert_eq(message_get_error(&frame, &said, &error), 0);
  cr_expect_eq(said.code, TALLY_DEADLINE, "%s", said.text);
  peer_close(&stalled);
  peer_close(&late);
  running_stop(&running);
}

Test(relief, one_who_leaves_while_waiting_for_memory_leaves_nothing_behind) {
  struct peer stuck, hungry[5];
  running_start(&running);
  stall(&stuck, 0);
  wait_for_quiet();
  for (size_t i = 0; i < 5; i++) {
    (void)peer_open(&hungry[i], &running);
    ask(&hungry[i], 2, "hungry", 0);
    peer_close(&hungry[i]);
  }
  peer_close(&stuck);
  running_stop(&running); /* checks that no cursor is open */
}
