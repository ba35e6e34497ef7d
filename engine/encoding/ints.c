/* ints.c - opening and decoding integer sequences; see ints.h. Encoding is in ints_encode.c.
 *
 * Bytes: the first byte (ints_format.h), then
 *   CONST  v zigzag varint: the value
 *   FOR    a frame of `count` values (frame.h)
 *   DELTA  v zigzag varint: the first value; a frame of count - 1 differences
 *   DICT   v entries, v size of their encoding, the entries (a sequence), a frame of `count` indexes
 *   RLE    v runs, v size of their encoding, the run values (a sequence), a frame of `runs` lengths
 * Laws: everything is measured in ints_open; decoding clamps what it cannot measure cheaply (indexes, run
 * lengths). Sequences nest at most RLE - DICT - leaf. */
#include "encoding/ints.h"

#include "base/array.h"
#include "encoding/bits.h"
#include "encoding/ints_format.h"

#define PIECE 512u /* values decoded at a time on the stack */

static bool open_allowed(const uint8_t *bytes, size_t size, uint32_t count, unsigned allowed, struct ints *s);

static bool open_frame(struct reader *r, uint8_t head, uint32_t count, struct ints *s) {
  return int_frame_open(r, count, head >> 3 & 15, head >> 7, &s->frame);
}

/* The nested values of DICT and RLE, at most `most`; each of them stands for at least one value. */
static bool open_values(struct reader *r, uint32_t most, unsigned allowed, struct ints *s) {
  uint64_t n = read_varint(r), size = read_varint(r);
  if (r->bad || n == 0 || n > most || size > reader_left(r)) return false;
  s->values_count = (uint32_t)n;
  s->values_size = (size_t)size;
  s->values = read_bytes(r, (size_t)size);
  struct ints nested;
  return open_allowed(s->values, s->values_size, s->values_count, allowed, &nested);
}

static bool open_allowed(const uint8_t *bytes, size_t size, uint32_t count, unsigned allowed,
                         struct ints *s) {
  struct reader r = reader_make(bytes, size);
  uint8_t head = read8(&r);
  *s = (struct ints){.count = count, .scheme = head & 7};
  if (r.bad || count == 0 || count > INTS_MAX || s->scheme >= INTS_SCHEMES || !(allowed & ALLOW(s->scheme)))
    return false;
  switch (s->scheme) {
  case INTS_CONST:
    s->first = unzigzag(read_varint(&r));
    return !r.bad && reader_left(&r) == 0 && head == INTS_CONST;
  case INTS_FOR:
    return open_frame(&r, head, count, s);
  case INTS_DELTA:
    s->first = unzigzag(read_varint(&r));
    return count > 1 && open_frame(&r, head, count - 1, s);
  case INTS_DICT:
    return open_values(&r, count < DICT_MAX ? count : DICT_MAX, ALLOW_LEAF, s) &&
           open_frame(&r, head, count, s);
  default:
    return open_values(&r, count, ALLOW_RUN, s) && open_frame(&r, head, s->values_count, s);
  }
}

bool ints_open(const void *bytes, size_t size, uint32_t count, struct ints *ints) {
  return open_allowed(bytes, size, count, ALLOW_ALL, ints);
}

/* Differences become values; four a turn, as the turns cost more than the sums. */
static void sum_up(uint64_t value, int64_t *v, size_t count) {
  size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    v[i] = (int64_t)(value += (uint64_t)v[i]);
    v[i + 1] = (int64_t)(value += (uint64_t)v[i + 1]);
    v[i + 2] = (int64_t)(value += (uint64_t)v[i + 2]);
    v[i + 3] = (int64_t)(value += (uint64_t)v[i + 3]);
  }
  for (; i < count; i++) v[i] = (int64_t)(value += (uint64_t)v[i]);
}

static void decode_delta(const struct ints *s, uint32_t first, uint32_t count, int64_t *out) {
  uint64_t value = (uint64_t)s->first + (first ? int_frame_sum(&s->frame, first) : 0);
  out[0] = (int64_t)value;
  int_frame_decode(&s->frame, first, count - 1, out + 1);
  sum_up(value, out + 1, count - 1);
}

/* An index of damaged bytes may have any value, so indexes are masked to the length of the last one, and the
 * entries are padded up to the mask. */
static uint32_t decode_entries(const struct ints *s, int64_t entries[DICT_MAX]) {
  struct ints values;
  const uint32_t mask = (uint32_t)bits_mask(bits_length(s->values_count - 1));
  /* ints_open has opened it */
  (void)open_allowed(s->values, s->values_size, s->values_count, ALLOW_LEAF, &values);
  ints_decode(&values, 0, s->values_count, entries);
  for (uint32_t i = s->values_count; i <= mask; i++) entries[i] = entries[s->values_count - 1];
  return mask;
}

static void decode_dict(const struct ints *s, uint32_t first, uint32_t count, int64_t *out) {
  int64_t entries[DICT_MAX];
  const uint32_t mask = decode_entries(s, entries);
  int_frame_decode(&s->frame, first, count, out);
  for (uint32_t i = 0; i < count; i++) out[i] = entries[(uint64_t)out[i] & mask];
}

/* Runs that together are too short (damaged) are followed by their last value. */
static void decode_rle(const struct ints *s, uint32_t first, uint32_t count, int64_t *out) {
  int64_t lengths[PIECE], values[PIECE], value = 0;
  struct ints runs;
  if (!open_allowed(s->values, s->values_size, s->values_count, ALLOW_RUN, &runs)) return;
  uint64_t skip = first; /* values still to pass over */
  for (uint32_t run = 0; run < s->values_count && count; run += PIECE) {
    uint32_t n = s->values_count - run < PIECE ? s->values_count - run : PIECE;
    int_frame_decode(&s->frame, run, n, lengths);
    bool decoded = false;
    for (uint32_t i = 0; i < n && count; i++) {
      uint64_t length = (uint64_t)lengths[i];
      if (length <= skip) {
        skip -= length;
        continue;
      }
      if (!decoded) ints_decode(&runs, run, n, values);
      decoded = true;
      value = values[i];
      length -= skip;
      skip = 0;
      uint32_t filled = length < count ? (uint32_t)length : count;
      for (uint32_t k = 0; k < filled; k++) out[k] = value;
      out += filled;
      count -= filled;
    }
  }
  for (; count; count--) *out++ = value;
}

void ints_decode(const struct ints *s, uint32_t first, uint32_t count, int64_t *out) {
  if (count == 0) return;
  switch (s->scheme) {
  case INTS_CONST:
    bits_fill((uint64_t)s->first, count, (uint64_t *)out);
    break;
  case INTS_FOR:
    int_frame_decode(&s->frame, first, count, out);
    break;
  case INTS_DELTA:
    decode_delta(s, first, count, out);
    break;
  case INTS_DICT:
    decode_dict(s, first, count, out);
    break;
  default:
    decode_rle(s, first, count, out);
  }
}

static void pick_dict(const struct ints *s, const uint16_t *at, uint32_t count, int64_t *out) {
  int64_t entries[DICT_MAX];
  const uint32_t mask = decode_entries(s, entries);
  int_frame_pick(&s->frame, at, count, out);
  for (uint32_t i = 0; i < count; i++) out[i] = entries[(uint64_t)out[i] & mask];
}

bool ints_pick(const struct ints *s, const uint16_t *at, uint32_t count, int64_t *out) {
  switch (s->scheme) {
  case INTS_CONST:
    if (count) bits_fill((uint64_t)s->first, count, (uint64_t *)out);
    return true;
  case INTS_FOR:
    int_frame_pick(&s->frame, at, count, out);
    return true;
  case INTS_DICT:
    pick_dict(s, at, count, out);
    return true;
  default:
    return false;
  }
}

static uint64_t decoded_sum(const struct ints *s) {
  int64_t values[PIECE];
  uint64_t sum = 0;
  for (uint32_t at = 0, n; at < s->count; at += n) {
    n = s->count - at < PIECE ? s->count - at : PIECE;
    ints_decode(s, at, n, values);
    sum += array_sum(values, n);
  }
  return sum;
}

uint64_t ints_sum(const struct ints *s) {
  if (s->scheme == INTS_CONST) return s->count * (uint64_t)s->first;
  return s->scheme == INTS_FOR ? int_frame_sum(&s->frame, s->count) : decoded_sum(s);
}

/* Runs that end before the sequence does have no value for what follows but that of the last one decoded. */
static bool runs_fill(const struct ints *s) {
  int64_t lengths[PIECE];
  uint64_t left = s->count;
  for (uint32_t run = 0, n; run < s->values_count; run += n) {
    n = s->values_count - run < PIECE ? s->values_count - run : PIECE;
    int_frame_decode(&s->frame, run, n, lengths);
    for (uint32_t i = 0; i < n; i++) {
      if ((uint64_t)lengths[i] > left) return false;
      left -= (uint64_t)lengths[i];
    }
  }
  return left == 0;
}

bool ints_sound(const struct ints *s) {
  if (s->scheme == INTS_CONST) return true;
  return int_frame_sorted(&s->frame) && (s->scheme != INTS_RLE || runs_fill(s));
}

bool ints_distinct(const struct ints *ints, struct ints *values) {
  if (ints->scheme == INTS_CONST) {
    *values = *ints;
    values->count = 1;
    return true;
  }
  return ints->scheme == INTS_DICT &&
         open_allowed(ints->values, ints->values_size, ints->values_count, ALLOW_LEAF, values);
}

bool ints_indexes(const struct ints *ints, struct ints *indexes) {
  if (ints->scheme != INTS_DICT) return false;
  *indexes = (struct ints){.count = ints->count, .scheme = INTS_FOR, .frame = ints->frame};
  return true;
}

const char *ints_name(uint8_t scheme) {
  static const char *const names[INTS_SCHEMES] = {"const", "for", "delta", "dict", "rle"};
  return scheme < INTS_SCHEMES ? names[scheme] : "unknown";
}

static size_t bytes_of(const struct buffer *first, size_t size) {
  size_t bytes = 0;
  for (size_t i = 0; i < size / sizeof *first; i++) bytes += first[i].capacity;
  return bytes;
}

size_t ints_scratch_bytes(const struct ints_scratch *s) {
  return bytes_of(&s->ints[0].deltas, sizeof s->ints) + bytes_of(&s->texts[0].best, sizeof s->texts) +
         bytes_of(&s->templates.templates, sizeof s->templates);
}

static void free_all(struct buffer *first, size_t size) {
  for (size_t i = 0; i < size / sizeof *first; i++) buffer_free(first + i);
}

void ints_scratch_free(struct ints_scratch *s) {
  free_all(&s->ints[0].deltas, sizeof s->ints);
  free_all(&s->texts[0].best, sizeof s->texts);
  free_all(&s->templates.templates, sizeof s->templates);
}
