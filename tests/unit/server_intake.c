/* Laws of server/intake.h, without a network: places, and bytes put into their rooms. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "proto/message.h"
#include "server/intake.h"

#define SOFT (1u << 20) /* small, so that few places fill it */
#define PLACES 64u

static struct intake intake;
static struct place places[PLACES];
static unsigned resumed[PLACES], order[PLACES], order_count;

static void resume(struct place *place) {
  resumed[place - places]++;
  order[order_count++ % PLACES] = (unsigned)(place - places);
}

static void start(void) {
  intake_init(&intake, SOFT, resume);
  for (size_t i = 0; i < PLACES; i++) {
    place_init(&intake, &places[i]);
    places[i].reader.limit = FRAME_BYTES;
  }
}

static void stop(void) {
  for (size_t i = 0; i < PLACES; i++) place_free(&intake, &places[i]);
  cr_expect_eq(intake_used(&intake), 0, "%lu bytes are still counted", intake_used(&intake));
  cr_expect_eq(intake.admitted, 0);
  intake_free(&intake);
  cr_expect_eq(budget_used(&intake.chunks), 0, "a chunk was not given back");
}

TestSuite(intake, .init = start, .fini = stop);

/* A frame whose payload has `size` bytes. */
static struct buffer frame_of(size_t size) {
  struct buffer out = {0};
  tally_error error;
  size_t begun = frame_begin(&out);
  memset(buffer_add(&out, size), 'p', size);
  cr_assert_eq(frame_end(&out, begun, MESSAGE_APPEND, 7, &error), 0);
  return out;
}

/* Puts up to `most` bytes in, from *at; false if the place waits. */
static bool feed(struct place *place, const struct buffer *bytes, size_t *at, size_t most) {
  size_t room = 0;
  uint8_t *to = place_room(&intake, place, &room);
  if (!to) return false;
  size_t size = bytes->size - *at;
  if (size > most) size = most;
  if (size > room) size = room;
  memcpy(to, bytes->data + *at, size);
  *at += size;
  frame_reader_commit(&place->reader, size);
  return true;
}

static int next(struct place *place, struct frame *frame) {
  tally_error error;
  int code = place_next(&intake, place, frame, &error);
  cr_assert_geq(code, 0, "%s", error.text);
  return code;
}

Test(intake, a_read_without_bytes_or_of_whole_frames_leaves_nothing_behind) {
  struct frame frame;
  struct buffer bytes = frame_of(100);
  for (int i = 0; i < 100; i++) {
    size_t at = 0;
    cr_assert(feed(&places[0], &bytes, &at, i % 2 ? SIZE_MAX : 0));
    if (i % 2) cr_assert_eq(next(&places[0], &frame), FRAME_READY);
    cr_assert_eq(next(&places[0], &frame), FRAME_MORE);
    cr_assert_not(place_partial(&places[0]));
    cr_assert_eq(intake_used(&intake), 0);
  }
  buffer_free(&bytes);
}

Test(intake, batches_under_way_stop_those_who_append_at_soft_and_the_others_at_twice_that) {
  struct buffer bytes = frame_of(40000);
  struct frame frame;
  struct kept kept[PLACES];
  size_t taken = 0;
  for (; taken < PLACES; taken++) {
    size_t at = 0;
    places[taken].appends = true;
    if (!feed(&places[taken], &bytes, &at, SIZE_MAX)) break;
    cr_assert_eq(next(&places[taken], &frame), FRAME_READY);
    kept[taken] = intake_keep(&intake, &places[taken], &frame, 100, true);
    cr_assert_eq(next(&places[taken], &frame), FRAME_MORE);
  }
  cr_expect_eq(taken, SOFT / FRAME_CHUNK_MIN, "%zu places got a chunk each", taken);
  cr_expect(places[taken].waiting);
  size_t others = 0, at = 0;
  for (; taken + 1 + others < PLACES; others++) {
    at = 0;
    if (!feed(&places[taken + 1 + others], &bytes, &at, 10)) break;
    cr_assert_eq(next(&places[taken + 1 + others], &frame), FRAME_MORE);
  }
  cr_expect_eq(others, SOFT / FRAME_CHUNK_MIN, "%zu others got a chunk each", others);

  intake_resume(&intake);
  cr_expect_eq(order_count, 0, "nothing has come back");
  size_t waiting = taken + 1 + others; /* the one of the others */
  intake_give_back(&intake, &places[0], &kept[0]);
  intake_resume(&intake);
  cr_expect(resumed[waiting] == 1 && !resumed[taken], "the others go first");
  for (size_t i = 1; i < taken; i++) intake_give_back(&intake, &places[i], &kept[i]);
  for (size_t i = 0; i < others; i++) place_free(&intake, &places[taken + 1 + i]);
  intake_resume(&intake);
  cr_expect_eq(resumed[taken], 1);
  buffer_free(&bytes);
}

/* Frames of all sizes on all places, pieces in a changing order, batches given back late: whatever happens,
 * everyone gets in, and used stays within what the rules let it have. */
Test(intake, every_frame_gets_in_whatever_the_sizes_and_the_order) {
  static const size_t sizes[] = {10, 3000, 30000, 70000, 300000, 1200000, 4000000};
  enum { KINDS = sizeof sizes / sizeof *sizes, ROUNDS = 3, WINDOW = 4 };
  struct buffer frames[KINDS];
  struct {
    size_t at, done;
    struct kept kept[WINDOW];
    size_t first, count;
  } state[PLACES];
  const char *text = getenv("TALLY_SEED");
  uint64_t seed = text ? strtoull(text, NULL, 10) : 1, most = 0;
  cr_log_info("TALLY_SEED=%lu", seed);
  memset(state, 0, sizeof state);
  for (size_t i = 0; i < KINDS; i++) frames[i] = frame_of(sizes[i]);
  size_t left = PLACES * ROUNDS;
  for (uint64_t turn = 0; left && turn < 2000000; turn++) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    size_t i = (size_t)(seed >> 33) % PLACES;
    struct place *place = &places[i];
    const struct buffer *bytes = &frames[(i + state[i].done) % KINDS];
    struct frame frame;
    if (state[i].count && (seed >> 40) % 4 == 0) { /* a batch comes home */
      intake_give_back(&intake, place, &state[i].kept[state[i].first++ % WINDOW]);
      state[i].count--;
      intake_resume(&intake);
    }
    if (state[i].done == ROUNDS || place->waiting || state[i].count == WINDOW) continue;
    if (!feed(place, bytes, &state[i].at, (size_t)(seed >> 45) % 200000 + 1)) continue;
    while (next(place, &frame) == FRAME_READY) {
      cr_assert_eq(frame.size + FRAME_HEADER, bytes->size);
      place->appends = true;
      state[i].kept[(state[i].first + state[i].count++) % WINDOW] =
          intake_keep(&intake, place, frame.size >= 16384 ? &frame : NULL, 500, true);
      state[i].at = 0;
      state[i].done++;
      left--;
    }
    if (intake_used(&intake) > most) most = intake_used(&intake);
    intake_resume(&intake);
  }
  cr_expect_eq(left, 0, "%zu frames never got in", left);
  /* twice soft, one frame that was let in alone, and the last chunk of each */
  cr_expect_leq(most, 2 * SOFT + FRAME_BYTES + PLACES * FRAME_CHUNK_MIN, "%lu bytes were in use", most);
  for (size_t i = 0; i < PLACES; i++)
    while (state[i].count--) intake_give_back(&intake, &places[i], &state[i].kept[state[i].first++ % WINDOW]);
  for (size_t i = 0; i < KINDS; i++) buffer_free(&frames[i]);
}

Test(intake, a_place_that_goes_away_leaves_its_queue_and_its_promise) {
  struct buffer bytes = frame_of(1200000);
  struct frame frame;
  size_t at[8] = {0};
  for (size_t i = 0; i < 8; i++) {
    cr_assert(feed(&places[i], &bytes, &at[i], 50000));
    cr_assert_eq(next(&places[i], &frame), FRAME_MORE);
  }
  for (size_t i = 0; i < 8; i++) {
    cr_expect_eq(feed(&places[i], &bytes, &at[i], 1), i == 0,
                 "one at a time is larger than the limit allows");
    if (i == 0) cr_assert_eq(next(&places[0], &frame), FRAME_MORE);
  }
  cr_expect_eq(intake.admitted, 1);
  cr_expect(places[1].waiting && places[7].waiting);
  place_free(&intake, &places[3]); /* out of the middle of the queue */
  place_free(&intake, &places[0]); /* the admitted one */
  intake_resume(&intake);
  cr_expect(places[1].admitted && !places[1].waiting, "the next one is let in");
  cr_expect_eq(intake.admitted, 1);
  buffer_free(&bytes);
}
