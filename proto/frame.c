/* frame.c - sealing and parsing frames; see frame.h for the layout. */
#include "proto/frame.h"

#include "base/hash.h"
#include "base/status.h"

enum { AT_SIZE = 0, AT_VERSION = 4, AT_TYPE = 5, AT_FLAGS = 6, AT_ID = 8, AT_CHECKSUM = 16 };
#define CHECKED_EARLY 8u /* with so many bytes, size, version and flags are known */

_Static_assert(AT_CHECKSUM + 8 == FRAME_HEADER, "the checksum is the last field of the header");

static uint64_t checksum(const uint8_t *header, const void *head, size_t head_size, const void *body,
                         size_t body_size) {
  XXH3_state_t state;
  (void)XXH3_64bits_reset(&state);
  (void)XXH3_64bits_update(&state, header, AT_CHECKSUM);
  if (head_size) (void)XXH3_64bits_update(&state, head, head_size);
  if (body_size) (void)XXH3_64bits_update(&state, body, body_size);
  return XXH3_64bits_digest(&state);
}

void frame_seal(uint8_t header[FRAME_HEADER], uint8_t type, uint64_t id, const void *head, size_t head_size,
                const void *body, size_t body_size) {
  store32(header + AT_SIZE, (uint32_t)(head_size + body_size));
  header[AT_VERSION] = FRAME_VERSION;
  header[AT_TYPE] = type;
  store16(header + AT_FLAGS, 0);
  store64(header + AT_ID, id);
  store64(header + AT_CHECKSUM, checksum(header, head, head_size, body, body_size));
}

size_t frame_begin(struct buffer *out) {
  size_t start = out->size;
  (void)buffer_add(out, FRAME_HEADER);
  return start;
}

static int take_back(struct buffer *out, size_t start, int code) {
  out->size = start;
  out->failed = false;
  return code;
}

int frame_end(struct buffer *out, size_t start, uint8_t type, uint64_t id, tally_error *error) {
  if (out->failed) return take_back(out, start, fail_memory(error, "a message"));
  size_t size = out->size - start;
  if (size > FRAME_BYTES)
    return take_back(out, start,
                     fail(error, TALLY_TOO_LARGE,
                          "a message of %zu bytes is larger than a frame (%u): ask for less at once", size,
                          FRAME_BYTES));
  uint8_t *header = out->data + start;
  frame_seal(header, type, id, header + FRAME_HEADER, size - FRAME_HEADER, NULL, 0);
  return 0;
}

/* What can be said from the first CHECKED_EARLY bytes. */
static int check_early(const uint8_t *data, size_t limit, tally_error *error) {
  if (data[AT_VERSION] != FRAME_VERSION)
    return fail(error, TALLY_VERSION,
                "byte 4 of a frame is %u, not protocol version %u: the peer is no Tally of this version; use "
                "client and server of one release, and the port of tallyd",
                data[AT_VERSION], FRAME_VERSION);
  if (load16(data + AT_FLAGS) != 0)
    return fail(error, TALLY_PROTOCOL,
                "the flags of a frame are 0x%04x, not 0: the peer breaks the protocol or bytes were lost",
                load16(data + AT_FLAGS));
  uint64_t whole = (uint64_t)load32(data + AT_SIZE) + FRAME_HEADER;
  if (whole > limit)
    return fail(
        error, TALLY_TOO_LARGE,
        "a frame claims %llu bytes, here at most %zu are taken: send less at once (before the greeting "
        "only a short frame is taken)",
        (unsigned long long)whole, limit);
  return 0;
}

static int more(size_t missing, size_t *need) {
  if (need) *need = missing;
  return FRAME_MORE;
}

int frame_parse(const void *data, size_t size, size_t limit, struct frame *frame, size_t *need,
                tally_error *error) {
  const uint8_t *header = data;
  if (size < CHECKED_EARLY) return more(FRAME_HEADER - size, need);
  int code = check_early(header, limit, error);
  if (code) return code;
  if (size < FRAME_HEADER) return more(FRAME_HEADER - size, need);
  size_t payload = load32(header + AT_SIZE);
  if (size - FRAME_HEADER < payload) return more(payload - (size - FRAME_HEADER), need);
  if (checksum(header, header + FRAME_HEADER, payload, NULL, 0) != load64(header + AT_CHECKSUM))
    return fail(
        error, TALLY_PROTOCOL,
        "the checksum of a frame (type %u, %zu bytes of payload) does not hold: its bytes were changed on "
        "the way, or its maker computes another sum than the protocol's",
        header[AT_TYPE], payload);
  *frame = (struct frame){.type = header[AT_TYPE],
                          .id = load64(header + AT_ID),
                          .payload = header + FRAME_HEADER,
                          .size = payload};
  return FRAME_READY;
}
