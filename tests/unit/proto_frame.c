/* proto_frame.c - the laws of frames (proto/frame.h): the layout byte for byte, nothing but whole and
 * unchanged frames comes out, whatever pieces they arrive in, and memory stays in proportion. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "proto/frame.h"
#include "unit/model_random.h"

static void put(struct buffer *out, uint8_t type, uint64_t id, const void *payload, size_t size) {
  tally_error error;
  size_t start = frame_begin(out);
  buffer_append(out, payload, size);
  cr_assert_eq(frame_end(out, start, type, id, &error), 0);
}

Test(frame, layout_is_the_documented_one) {
  static const uint8_t ping[] = {0x00, 0x00, 0x00, 0x00, 0x81, 0x02, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
                                 0x00, 0x00, 0x00, 0x00, 0x51, 0xe3, 0xbc, 0x2d, 0x98, 0x18, 0xdf, 0xa4};
  static const uint8_t hello[] = {0x17, 0x00, 0x00, 0x00, 0x81, 0x01, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
                                  0x00, 0x00, 0x00, 0x00, 0xe0, 0x37, 0x54, 0x9d, 0xc8, 0x5f, 0x7c, 0xf4,
                                  0x54, 0x41, 0x4c, 0x59, 0x81, 0x81, 0x00, 0x00, 0x0b, 0x00, 0x00, 0x00,
                                  0x74, 0x61, 0x6c, 0x6c, 0x79, 0x20, 0x30, 0x2e, 0x31, 0x2e, 0x30};
  struct buffer out = {0};
  put(&out, 2, 1, NULL, 0);
  cr_assert_eq(out.size, sizeof ping);
  cr_assert(memcmp(out.data, ping, sizeof ping) == 0);
  buffer_clear(&out);
  put(&out, 1, 1, hello + FRAME_HEADER, sizeof hello - FRAME_HEADER);
  cr_assert(memcmp(out.data, hello, sizeof hello) == 0);
  uint8_t header[FRAME_HEADER]; /* a payload in two pieces is the same payload */
  const uint8_t *payload = hello + FRAME_HEADER;
  for (size_t cut = 0, size = sizeof hello - FRAME_HEADER; cut <= size; cut++) {
    frame_seal(header, 1, 1, payload, cut, payload + cut, size - cut);
    cr_assert(memcmp(header, hello, FRAME_HEADER) == 0);
  }
  buffer_free(&out);
}

Test(frame, every_truncation_asks_for_more_and_every_changed_bit_is_found) {
  struct buffer out = {0};
  struct frame frame;
  tally_error error;
  size_t need;
  put(&out, 7, 99, "some payload of a frame", 23);
  for (size_t size = 0; size < out.size; size++) {
    uint8_t *copy = mem_alloc(size); /* of exactly this size, so that a sanitizer sees a read beyond */
    if (size) memcpy(copy, out.data, size);
    cr_assert_eq(frame_parse(copy, size, FRAME_BYTES, &frame, &need, &error), FRAME_MORE);
    cr_assert(need >= 1 && need <= out.size - size);
    mem_free(copy);
  }
  cr_assert_eq(frame_parse(out.data, out.size, FRAME_BYTES, &frame, &need, &error), FRAME_READY);
  cr_assert(frame.type == 7 && frame.id == 99 && frame.size == 23 && !frame.chunk);
  for (size_t bit = 0; bit < out.size * 8; bit++) {
    out.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    cr_assert_neq(frame_parse(out.data, out.size, FRAME_BYTES, &frame, &need, &error), FRAME_READY, "bit %zu",
                  bit);
    out.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
  }
  buffer_free(&out);
}

Test(frame, faults_are_told_apart_from_the_first_eight_bytes) {
  struct frame frame;
  tally_error error;
  uint8_t header[FRAME_HEADER];
  frame_seal(header, 3, 1, NULL, 0, NULL, 0);
  header[4] ^= 2;
  cr_assert_eq(frame_parse(header, 8, FRAME_BYTES, &frame, NULL, &error), TALLY_VERSION);
  cr_assert_eq(frame_parse("GET / HTTP/1.1\r\n\r\n", 18, FRAME_BYTES, &frame, NULL, &error), TALLY_VERSION);
  header[4] ^= 2;
  header[7] = 1;
  cr_assert_eq(frame_parse(header, 8, FRAME_BYTES, &frame, NULL, &error), TALLY_PROTOCOL);
  header[7] = 0;
  const uint32_t sizes[] = {FRAME_BYTES - FRAME_HEADER + 1, FRAME_BYTES, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFE8};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    store32(header, sizes[i]);
    cr_assert_eq(frame_parse(header, 8, FRAME_BYTES, &frame, NULL, &error), TALLY_TOO_LARGE);
  }
  store32(header, FRAME_BYTES - FRAME_HEADER);
  cr_assert_eq(frame_parse(header, sizeof header, FRAME_BYTES, &frame, NULL, &error), FRAME_MORE);
  cr_assert_eq(frame_parse(header, sizeof header, FRAME_GREETING, &frame, NULL, &error), TALLY_TOO_LARGE);
}

Test(frame, the_largest_frame_passes_and_one_byte_more_is_taken_back) {
  struct buffer out = {0};
  tally_error error;
  struct frame frame;
  buffer_text(&out, "before");
  for (size_t more = 0; more < 2; more++) {
    size_t start = frame_begin(&out);
    uint8_t *payload = buffer_add(&out, FRAME_BYTES - FRAME_HEADER + more);
    memset(payload, 7, FRAME_BYTES - FRAME_HEADER + more);
    cr_assert_eq(frame_end(&out, start, 1, 1, &error), more ? TALLY_TOO_LARGE : 0);
    cr_assert_eq(out.size, more ? start : start + FRAME_BYTES);
    if (!more)
      cr_assert_eq(frame_parse(out.data + start, FRAME_BYTES, FRAME_BYTES, &frame, NULL, &error),
                   FRAME_READY);
    out.size = start;
  }
  out.failed = true;
  size_t start = frame_begin(&out);
  cr_assert_eq(frame_end(&out, start, 1, 1, &error), TALLY_NO_MEMORY);
  cr_assert(out.size == 6 && !out.failed);
  buffer_free(&out);
}

/* ------------------------------------------------------------------ readers */

/* Puts bytes into the reader, as many as it has room for. */
static size_t feed(struct frame_reader *reader, const uint8_t *bytes, size_t size) {
  tally_error error;
  size_t room;
  uint8_t *to = frame_reader_room(reader, &room, &error);
  cr_assert(to && room);
  if (size > room) size = room;
  memcpy(to, bytes, size);
  frame_reader_commit(reader, size);
  return size;
}

static size_t random_size(void) {
  switch (random_below(8)) {
  case 0:
    return 0;
  case 1:
    return random_below(300000);
  case 2:
    return random_below(20) == 0 ? random_below(FRAME_BYTES - FRAME_HEADER + 1) : 40;
  default:
    return random_below(2000);
  }
}

struct held {
  struct frame_chunk *chunk;
  const uint8_t *payload;
  size_t size;
  uint64_t sum;
};

static void check_held(struct held *held) {
  if (!held->chunk) return;
  cr_assert_eq(hash64(held->payload, held->size), held->sum);
  frame_release(held->chunk);
  held->chunk = NULL;
}

/* Takes frames until more bytes are needed; *next is the id that is to come. */
static void take(struct frame_reader *reader, const uint64_t *sums, uint64_t *next, struct held held[4]) {
  tally_error error;
  struct frame frame;
  size_t need;
  int code;
  while ((code = frame_reader_next(reader, &frame, &need, &error)) == FRAME_READY) {
    cr_assert_eq(frame.id, *next);
    uint64_t sum = hash64(frame.payload, frame.size);
    cr_assert_eq(sum, sums[frame.id]);
    ++*next;
    if (random_below(3)) continue;
    struct held *h = &held[random_below(4)];
    check_held(h);
    *h = (struct held){frame_hold(&frame), frame.payload, frame.size, sum};
  }
  cr_assert_eq(code, FRAME_MORE, "%s", error.text);
  cr_assert_gt(need, 0);
}

Test(frame, a_stream_in_any_pieces_gives_its_frames_and_held_payloads_stay) {
  enum { FRAMES = 400 };
  static uint64_t sums[FRAMES];
  struct budget budget;
  struct frame_pool pool;
  struct frame_reader reader;
  struct held held[4] = {{0}};
  struct buffer stream = {0};
  random_start();
  for (int round = 0; round < 3; round++) {
    buffer_clear(&stream);
    for (uint64_t id = 0; id < FRAMES; id++) {
      size_t size = random_size(), start = frame_begin(&stream);
      uint8_t *payload = buffer_add(&stream, size);
      for (size_t i = 0; i < size; i += 1 + i / 8) payload[i] = (uint8_t)random_next();
      sums[id] = hash64(payload, size);
      tally_error error;
      cr_assert_eq(frame_end(&stream, start, 1, id, &error), 0);
    }
    budget_init(&budget, 256u << 20, NULL);
    frame_pool_init(&pool, &budget, 8u << 20);
    frame_reader_init(&reader, &pool, FRAME_BYTES);
    uint64_t next = 0;
    for (size_t at = 0; at < stream.size;) {
      size_t piece = random_below(round == 0 ? 100000 : round == 1 ? 3000 : 3u << 20) + 1;
      at += feed(&reader, stream.data + at, piece < stream.size - at ? piece : stream.size - at);
      take(&reader, sums, &next, held);
    }
    cr_assert_eq(next, FRAMES);
    cr_assert(!reader.chunk, "a reader with nothing left over holds no chunk");
    for (int i = 0; i < 4; i++) check_held(&held[i]);
    frame_reader_free(&reader);
    frame_pool_free(&pool);
    cr_assert_eq(budget_used(&budget), 0);
  }
  buffer_free(&stream);
}

Test(frame, memory_follows_the_bytes_received_not_the_size_claimed) {
  struct budget budget;
  struct frame_pool pool;
  struct frame_reader reader;
  struct frame frame;
  tally_error error;
  struct buffer out = {0};
  size_t start = frame_begin(&out), need;
  memset(buffer_add(&out, FRAME_BYTES - FRAME_HEADER), 1, FRAME_BYTES - FRAME_HEADER);
  cr_assert_eq(frame_end(&out, start, 1, 1, &error), 0);
  budget_init(&budget, 16u << 20, NULL);
  frame_pool_init(&pool, &budget, 0);
  frame_reader_init(&reader, &pool, FRAME_BYTES);
  for (size_t at = 0; at < out.size;) {
    at += feed(&reader, out.data + at, out.size - at < 1000 ? out.size - at : 1000);
    cr_assert_leq(budget_used(&budget), at * 4 < FRAME_CHUNK_MIN ? FRAME_CHUNK_MIN : at * 4);
    int code = frame_reader_next(&reader, &frame, &need, &error);
    cr_assert_eq(code, at < out.size ? FRAME_MORE : FRAME_READY);
    if (code == FRAME_MORE && at >= FRAME_HEADER) cr_assert_eq(need, out.size - at);
  }
  frame_reader_free(&reader);
  frame_pool_free(&pool);
  buffer_free(&out);
}

static int no_memory(size_t size) {
  (void)size;
  return 0;
}

Test(frame, without_memory_or_budget_nothing_is_lost_and_it_goes_on_later) {
  struct budget budget;
  struct frame_pool pool;
  struct frame_reader reader;
  struct frame frame;
  tally_error error;
  struct buffer out = {0};
  size_t room, start = frame_begin(&out);
  memset(buffer_add(&out, 200000), 5, 200000);
  cr_assert_eq(frame_end(&out, start, 1, 1, &error), 0);
  budget_init(&budget, 300u << 10, NULL); /* 64 KiB, but not 256 KiB beside them */
  frame_pool_init(&pool, &budget, 1u << 20);
  frame_reader_init(&reader, &pool, FRAME_BYTES);
  mem_test_hook = no_memory;
  cr_assert(!frame_reader_room(&reader, &room, &error));
  cr_assert(error.code == TALLY_NO_MEMORY && budget_used(&budget) == 0);
  mem_test_hook = NULL;
  cr_assert_eq(feed(&reader, out.data, FRAME_CHUNK_MIN), FRAME_CHUNK_MIN);
  cr_assert_eq(frame_reader_next(&reader, &frame, NULL, &error), FRAME_MORE);
  cr_assert(!frame_reader_room(&reader, &room, &error));
  cr_assert_eq(error.code, TALLY_MEMORY_LIMIT);
  budget.limit = 1u << 20;
  for (size_t at = FRAME_CHUNK_MIN; at < out.size;) at += feed(&reader, out.data + at, out.size - at);
  cr_assert_eq(frame_reader_next(&reader, &frame, NULL, &error), FRAME_READY);
  struct frame_chunk *chunk = frame_hold(&frame);
  cr_assert_geq(frame_chunk_size(chunk), out.size);
  frame_reader_free(&reader); /* a held chunk outlives its reader */
  cr_assert(memcmp(frame.payload, out.data + FRAME_HEADER, 200000) == 0);
  frame_release(chunk);
  frame_pool_free(&pool);
  cr_assert_eq(budget_used(&budget), 0);
  buffer_free(&out);
}

Test(frame, after_a_fault_the_same_fault_comes_ever_after) {
  struct frame_pool pool;
  struct frame_reader reader;
  struct frame frame;
  tally_error error;
  struct buffer out = {0};
  put(&out, 1, 1, "good", 4);
  put(&out, 1, 2, "bad", 3);
  out.data[out.size - 1] ^= 1;
  put(&out, 1, 3, "good", 4);
  frame_pool_init(&pool, NULL, 0);
  frame_reader_init(&reader, &pool, FRAME_BYTES);
  (void)feed(&reader, out.data, out.size);
  cr_assert_eq(frame_reader_next(&reader, &frame, NULL, &error), FRAME_READY);
  for (int i = 0; i < 3; i++) cr_assert_eq(frame_reader_next(&reader, &frame, NULL, &error), TALLY_PROTOCOL);
  frame_reader_free(&reader);
  frame_pool_free(&pool);
  buffer_free(&out);
}
