/* texts_decode.c - reading lists of strings; see texts_format.h. Templates are in template_decode.c.
 *
 * Laws: no number is trusted; strings are appended to `bytes` only after their total is known to be within
 * max_bytes; working memory is at most 16 bytes a string and what the entries of a dictionary take (which is
 * within max_bytes too, as the encoder leaves none unused). */
#include <limits.h>
#include <lz4.h>

#include "encoding/bits.h"
#include "encoding/template.h"
#include "encoding/texts_format.h"

struct decoding {
  struct reader r;
  uint32_t count;
  unsigned level;
  size_t max_bytes;
  uint64_t *at;
  struct buffer *bytes;
  struct ints_scratch *scratch;
  struct texts_level *work;
};

/* `count` integers that fill `size` bytes. */
static bool read_ints(struct decoding *d, uint64_t size, int64_t *out) {
  if (d->r.bad || size > reader_left(&d->r)) return false;
  struct ints ints;
  const uint8_t *bytes = read_bytes(&d->r, (size_t)size);
  if (!ints_open(bytes, (size_t)size, d->count, &ints)) return false;
  ints_decode(&ints, 0, d->count, out);
  return true;
}

static int64_t *room_for_numbers(struct decoding *d, size_t times) {
  buffer_clear(&d->work->numbers);
  int64_t *numbers = (int64_t *)(void *)buffer_add(&d->work->numbers, times * d->count * sizeof *numbers);
  if (!numbers) d->bytes->failed = true;
  return numbers;
}

/* Appends lengths one after the other; false if their sum is over the limit. */
static bool set_offsets(struct decoding *d, const int64_t *lengths, size_t *total) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < d->count; i++) {
    d->at[i] = d->bytes->size + sum;
    if ((uint64_t)lengths[i] > d->max_bytes - sum) return false;
    sum += (uint64_t)lengths[i];
  }
  d->at[d->count] = d->bytes->size + sum;
  *total = (size_t)sum;
  return true;
}

static bool decode_raw(struct decoding *d, bool compressed) {
  int64_t *lengths = room_for_numbers(d, 1);
  size_t total;
  if (!lengths || !read_ints(d, read_varint(&d->r), lengths) || !set_offsets(d, lengths, &total))
    return false;
  size_t left = reader_left(&d->r);
  if (compressed ? total > INT_MAX || left > INT_MAX : total != left) return false;
  uint8_t *out = text_room(d->bytes, total);
  if (!out) return false;
  if (compressed)
    return LZ4_decompress_safe((const char *)d->r.at, (char *)out, (int)left, (int)total) == (int)total;
  memcpy(out, d->r.at, total);
  return true;
}

static bool decode_const(struct decoding *d) {
  size_t size = reader_left(&d->r);
  if (size && d->count > d->max_bytes / size) return false;
  uint64_t start = d->bytes->size;
  uint8_t *out = text_room(d->bytes, size * d->count);
  if (!out) return false;
  for (uint32_t i = 0; i < d->count; i++, out += size) {
    d->at[i] = start + (uint64_t)i * size;
    text_copy(out, d->r.at, size);
  }
  d->at[d->count] = start + (uint64_t)d->count * size;
  return true;
}

static bool decode_decimal(struct decoding *d) {
  int64_t *mantissas = room_for_numbers(d, 2);
  if (!mantissas) return false;
  int64_t *places = mantissas + d->count;
  if (!read_ints(d, read_varint(&d->r), mantissas) || !read_ints(d, reader_left(&d->r), places)) return false;
  size_t start = d->bytes->size;
  for (uint32_t i = 0; i < d->count; i++) {
    if ((uint64_t)places[i] > DECIMAL_DIGITS || !buffer_reserve(d->bytes, DECIMAL_TEXT_MAX)) return false;
    d->at[i] = d->bytes->size;
    d->bytes->size +=
        decimal_text_print(mantissas[i], (unsigned)places[i], (char *)d->bytes->data + d->bytes->size);
    if (d->bytes->size - start > d->max_bytes) return false;
  }
  d->at[d->count] = d->bytes->size;
  return true;
}

/* The eight digits of four bytes, as text. */
static uint64_t unpack_digits(uint32_t packed, unsigned letter_gap) {
  const uint64_t ones = 0x0101010101010101u;
  uint64_t x = packed;
  x = (x | x << 16) & 0x0000FFFF0000FFFFu;
  x = (x | x << 8) & 0x00FF00FF00FF00FFu;
  x = (x >> 4 & 0x000F000F000F000Fu) | (x & 0x000F000F000F000Fu) << 8;
  uint64_t letters = (x + 6 * ones) >> 4 & ones; /* 1 where the value is 10 or more */
  return x + '0' * ones + letters * letter_gap;
}

/* Digits [first, first + count) of a packed stream of `size` bytes to out, and rubbish to the byte before it
 * and the 16 behind. */
static void unpack_text(const uint8_t *packed, size_t size, size_t first, size_t count, unsigned letter_gap,
                        uint8_t *out) {
  size_t at = first / 2, odd = first % 2;
  out -= odd;
  for (size_t done = 0; done < count + odd; done += 8, at += 4, out += 8) {
    uint8_t last[4] = {0};
    const uint8_t *p = packed + at;
    if (size - at < 4) p = memcpy(last, p, size - at);
    store64(out, unpack_digits(load32(p), letter_gap));
  }
}

static bool decode_pattern(struct decoding *d) {
  uint8_t where[256], text[256], digits[1 + 256 + 16];
  size_t size = read8(&d->r), varying = 0;
  uint8_t upper = read8(&d->r);
  const uint8_t *mask = read_bytes(&d->r, (size + 7) / 8);
  if (!mask || size == 0 || upper > 1 || d->count > d->max_bytes / size) return false;
  for (size_t i = 0; i < size; i++) {
    if (mask[i / 8] >> i % 8 & 1)
      where[varying++] = (uint8_t)i;
    else
      text[i] = read8(&d->r);
  }
  size_t stream = ((size_t)d->count * varying + 1) / 2, start = d->bytes->size;
  if (d->r.bad || reader_left(&d->r) != stream) return false;
  uint8_t *out = text_room(d->bytes, size * d->count);
  if (!out) return false;
  bool adjacent = varying && where[varying - 1] - where[0] + 1u == varying;
  unsigned gap = (upper ? 'A' - '9' : 'a' - '9') - 1u;
  for (uint32_t i = 0; i < d->count; i++, out += size) {
    d->at[i] = start + (uint64_t)i * size;
    unpack_text(d->r.at, stream, i * varying, varying, gap, digits + 1);
    if (varying == size) {
      text_copy(out, digits + 1, size);
      continue;
    }
    if (adjacent)
      memcpy(text + where[0], digits + 1, varying);
    else
      for (size_t k = 0; k < varying; k++) text[where[k]] = digits[1 + k];
    text_copy(out, text, size);
  }
  d->at[d->count] = start + (uint64_t)d->count * size;
  return true;
}

/* Entries by number, one string after the other. */
static bool decode_dict(struct decoding *d) {
  struct texts_level *w = d->work;
  uint64_t n = read_varint(&d->r), size = read_varint(&d->r);
  if (d->r.bad || n == 0 || n > d->count || size > reader_left(&d->r)) return false;
  const uint8_t *entries = read_bytes(&d->r, (size_t)size);
  int64_t *numbers = room_for_numbers(d, 1);
  buffer_clear(&w->at);
  buffer_clear(&w->bytes);
  uint64_t *entry_at = (uint64_t *)(void *)buffer_add(&w->at, (size_t)(n + 1) * sizeof *entry_at);
  if (!entry_at) d->bytes->failed = true;
  if (!numbers || !entry_at) return false;
  if (!text_list_decode(entries, (size_t)size, (uint32_t)n, TEXT_ALLOW_ENTRY, d->level + 1, d->max_bytes,
                        entry_at, &w->bytes, d->scratch)) {
    d->bytes->failed |= w->bytes.failed;
    return false;
  }
  if (!read_ints(d, reader_left(&d->r), numbers)) return false;
  uint64_t total = 0, start = d->bytes->size;
  for (uint32_t i = 0; i < d->count; i++) {
    if ((uint64_t)numbers[i] >= n) return false;
    d->at[i] = start + total;
    total += entry_at[numbers[i] + 1] - entry_at[numbers[i]];
    if (total > d->max_bytes) return false;
  }
  d->at[d->count] = start + total;
  uint8_t *out = text_room(d->bytes, (size_t)total);
  if (!out) return false;
  for (uint32_t i = 0; i < d->count; i++) {
    size_t length = (size_t)(d->at[i + 1] - d->at[i]);
    text_copy(out, w->bytes.data + entry_at[numbers[i]], length);
    out += length;
  }
  return true;
}

bool text_list_decode(const void *encoded, size_t size, uint32_t count, unsigned allowed, unsigned level,
                      size_t max_bytes, uint64_t *at, struct buffer *bytes, struct ints_scratch *scratch) {
  struct decoding d = {reader_make(encoded, size), count, level, max_bytes, at, bytes, scratch,
                       &scratch->texts[level]};
  uint8_t scheme = read8(&d.r);
  if (d.r.bad || count > INTS_MAX || scheme >= TEXT_SCHEMES || !(allowed >> scheme & 1)) return false;
  if (count == 0) {
    at[0] = bytes->size;
    return scheme == TEXT_RAW && size == 1;
  }
  switch (scheme) {
  case TEXT_RAW:
  case TEXT_LZ4:
    return decode_raw(&d, scheme == TEXT_LZ4);
  case TEXT_TEMPLATE:
    return template_decode(&d.r, count, max_bytes, at, bytes, scratch);
  case TEXT_CONST:
    return decode_const(&d);
  case TEXT_DECIMAL:
    return decode_decimal(&d);
  case TEXT_PATTERN:
    return decode_pattern(&d);
  default:
    return decode_dict(&d);
  }
}

bool texts_decode(const void *encoded, size_t size, uint32_t count, size_t max_bytes, uint64_t *at,
                  struct buffer *bytes, struct ints_scratch *scratch) {
  buffer_clear(bytes);
  return text_list_decode(encoded, size, count, TEXT_ALLOW_ALL, 0, max_bytes, at, bytes, scratch);
}

const char *texts_name(const void *encoded, size_t size) {
  static const char *const names[TEXT_SCHEMES] = {"raw",     "lz4",     "template", "const",
                                                  "decimal", "pattern", "dict"};
  uint8_t scheme = size ? *(const uint8_t *)encoded : TEXT_SCHEMES;
  return scheme < TEXT_SCHEMES ? names[scheme] : "unknown";
}
