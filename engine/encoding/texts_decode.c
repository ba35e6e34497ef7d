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
  uint32_t count, first, n; /* strings [first, first + n) of count */
  unsigned level;
  size_t max_bytes;
  uint64_t *at;
  struct buffer *bytes;
  struct ints_scratch *scratch;
  struct texts_level *work;
};

/* Integers [first, first + n) of `count` that fill `size` bytes. */
static bool read_ints(struct decoding *d, uint64_t size, uint32_t first, uint32_t n, int64_t *out) {
  if (d->r.bad || size > reader_left(&d->r)) return false;
  struct ints ints;
  const uint8_t *bytes = read_bytes(&d->r, (size_t)size);
  if (!ints_open(bytes, (size_t)size, d->count, &ints)) return false;
  if (n) ints_decode(&ints, first, n, out);
  return true;
}

static int64_t *room_for_numbers(struct decoding *d, size_t count) {
  buffer_clear(&d->work->numbers);
  int64_t *numbers = (int64_t *)(void *)buffer_add(&d->work->numbers, count * sizeof *numbers);
  if (!numbers) d->bytes->failed = true;
  return numbers;
}

/* The bytes of strings before the range, of it, and of all. */
struct extent {
  size_t before, within, all;
};

static bool add_up(const int64_t *lengths, uint32_t count, size_t limit, size_t *sum) {
  for (uint32_t i = 0; i < count; i++) {
    if ((uint64_t)lengths[i] > limit - *sum) return false;
    *sum += (size_t)lengths[i];
  }
  return true;
}

/* False if the strings have more than max_bytes. */
static bool measure(const struct decoding *d, const int64_t *lengths, struct extent *e) {
  size_t sum = 0;
  uint32_t end = d->first + d->n;
  if (!add_up(lengths, d->first, d->max_bytes, &sum)) return false;
  e->before = sum;
  if (!add_up(lengths + d->first, d->n, d->max_bytes, &sum)) return false;
  e->within = sum - e->before;
  if (!add_up(lengths + end, d->count - end, d->max_bytes, &sum)) return false;
  e->all = sum;
  return true;
}

static void set_offsets(struct decoding *d, const int64_t *lengths) {
  uint64_t at = d->bytes->size;
  for (uint32_t i = 0; i < d->n; i++) {
    d->at[i] = at;
    at += (uint64_t)lengths[d->first + i];
  }
  d->at[d->n] = at;
}

/* All of the block is decompressed, straight to its place if all of it is asked for. */
static bool decompress(struct decoding *d, const struct extent *e) {
  size_t left = reader_left(&d->r);
  if (e->all > INT_MAX || left > INT_MAX) return false;
  uint8_t *out = text_room(d->bytes, e->within), *whole = out;
  if (!out) return false;
  if (e->within < e->all) {
    buffer_clear(&d->work->bytes);
    whole = buffer_add(&d->work->bytes, e->all);
    if (!whole) d->bytes->failed = true;
    if (!whole) return false;
  }
  if (LZ4_decompress_safe((const char *)d->r.at, (char *)whole, (int)left, (int)e->all) != (int)e->all)
    return false;
  if (whole != out) memcpy(out, whole + e->before, e->within);
  return true;
}

static bool decode_raw(struct decoding *d, bool compressed) {
  int64_t *lengths = room_for_numbers(d, d->count);
  struct extent e;
  if (!lengths || !read_ints(d, read_varint(&d->r), 0, d->count, lengths)) return false;
  if (!measure(d, lengths, &e) || (!compressed && e.all != reader_left(&d->r))) return false;
  set_offsets(d, lengths);
  if (compressed) return decompress(d, &e);
  uint8_t *out = text_room(d->bytes, e.within);
  if (out) memcpy(out, d->r.at + e.before, e.within);
  return out != NULL;
}

static bool decode_const(struct decoding *d) {
  size_t size = reader_left(&d->r);
  if (size && d->n > d->max_bytes / size) return false;
  uint64_t start = d->bytes->size;
  uint8_t *out = text_room(d->bytes, size * d->n);
  if (!out) return false;
  for (uint32_t i = 0; i < d->n; i++, out += size) {
    d->at[i] = start + (uint64_t)i * size;
    copy_few(out, d->r.at, size);
  }
  d->at[d->n] = start + (uint64_t)d->n * size;
  return true;
}

static bool decode_decimal(struct decoding *d) {
  int64_t *mantissas = room_for_numbers(d, 2 * (size_t)d->n);
  if (!mantissas) return false;
  int64_t *places = mantissas + d->n;
  if (!read_ints(d, read_varint(&d->r), d->first, d->n, mantissas) ||
      !read_ints(d, reader_left(&d->r), d->first, d->n, places))
    return false;
  size_t start = d->bytes->size;
  for (uint32_t i = 0; i < d->n; i++) {
    if ((uint64_t)places[i] > DECIMAL_DIGITS || !buffer_reserve(d->bytes, DECIMAL_TEXT_MAX)) return false;
    d->at[i] = d->bytes->size;
    d->bytes->size +=
        decimal_text_print(mantissas[i], (unsigned)places[i], (char *)d->bytes->data + d->bytes->size);
    if (d->bytes->size - start > d->max_bytes) return false;
  }
  d->at[d->n] = d->bytes->size;
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
  if (!mask || size == 0 || upper > 1 || d->n > d->max_bytes / size) return false;
  for (size_t i = 0; i < size; i++) {
    if (mask[i / 8] >> i % 8 & 1)
      where[varying++] = (uint8_t)i;
    else
      text[i] = read8(&d->r);
  }
  size_t stream = ((size_t)d->count * varying + 1) / 2, start = d->bytes->size;
  if (d->r.bad || reader_left(&d->r) != stream) return false;
  uint8_t *out = text_room(d->bytes, size * d->n);
  if (!out) return false;
  bool adjacent = varying && where[varying - 1] - where[0] + 1u == varying;
  unsigned gap = (upper ? 'A' - '9' : 'a' - '9') - 1u;
  for (uint32_t i = 0; i < d->n; i++, out += size) {
    d->at[i] = start + (uint64_t)i * size;
    unpack_text(d->r.at, stream, ((size_t)d->first + i) * varying, varying, gap, digits + 1);
    if (varying == size) {
      copy_few(out, digits + 1, size);
      continue;
    }
    if (adjacent)
      memcpy(text + where[0], digits + 1, varying);
    else
      for (size_t k = 0; k < varying; k++) text[where[k]] = digits[1 + k];
    copy_few(out, text, size);
  }
  d->at[d->n] = start + (uint64_t)d->n * size;
  return true;
}

/* Entries by number, one string after the other. */
static bool decode_dict(struct decoding *d) {
  struct texts_level *w = d->work;
  uint64_t n = read_varint(&d->r), size = read_varint(&d->r);
  if (d->r.bad || n == 0 || n > d->count || size > reader_left(&d->r)) return false;
  const uint8_t *entries = read_bytes(&d->r, (size_t)size);
  int64_t *numbers = room_for_numbers(d, d->n);
  buffer_clear(&w->at);
  buffer_clear(&w->bytes);
  uint64_t *entry_at = (uint64_t *)(void *)buffer_add(&w->at, (size_t)(n + 1) * sizeof *entry_at);
  if (!entry_at) d->bytes->failed = true;
  if (!numbers || !entry_at) return false;
  const struct text_range all = {(uint32_t)n, 0, (uint32_t)n};
  if (!text_list_decode(entries, (size_t)size, all, TEXT_ALLOW_ENTRY, d->level + 1, d->max_bytes, entry_at,
                        &w->bytes, d->scratch)) {
    d->bytes->failed |= w->bytes.failed;
    return false;
  }
  if (!read_ints(d, reader_left(&d->r), d->first, d->n, numbers)) return false;
  uint64_t total = 0, start = d->bytes->size;
  for (uint32_t i = 0; i < d->n; i++) {
    if ((uint64_t)numbers[i] >= n) return false;
    d->at[i] = start + total;
    total += entry_at[numbers[i] + 1] - entry_at[numbers[i]];
    if (total > d->max_bytes) return false;
  }
  d->at[d->n] = start + total;
  uint8_t *out = text_room(d->bytes, (size_t)total);
  if (!out) return false;
  for (uint32_t i = 0; i < d->n; i++) {
    size_t length = (size_t)(d->at[i + 1] - d->at[i]);
    copy_few(out, w->bytes.data + entry_at[numbers[i]], length);
    out += length;
  }
  return true;
}

bool text_list_decode(const void *encoded, size_t size, struct text_range range, unsigned allowed,
                      unsigned level, size_t max_bytes, uint64_t *at, struct buffer *bytes,
                      struct ints_scratch *scratch) {
  struct decoding d = {
      reader_make(encoded, size), range.count, range.first, range.n, level, max_bytes, at, bytes, scratch,
      &scratch->texts[level]};
  uint8_t scheme = read8(&d.r);
  if (d.r.bad || range.count > INTS_MAX || scheme >= TEXT_SCHEMES || !(allowed >> scheme & 1)) return false;
  if (range.count == 0) {
    at[0] = bytes->size;
    return scheme == TEXT_RAW && size == 1;
  }
  switch (scheme) {
  case TEXT_RAW:
  case TEXT_LZ4:
    return decode_raw(&d, scheme == TEXT_LZ4);
  case TEXT_TEMPLATE:
    return template_decode(&d.r, range, max_bytes, at, bytes, scratch);
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

bool texts_decode_some(const void *encoded, size_t size, uint32_t count, uint32_t first, uint32_t n,
                       size_t max_bytes, uint64_t *at, struct buffer *bytes, struct ints_scratch *scratch) {
  buffer_clear(bytes);
  return text_list_decode(encoded, size, (struct text_range){count, first, n}, TEXT_ALLOW_ALL, 0, max_bytes,
                          at, bytes, scratch);
}

bool texts_decode(const void *encoded, size_t size, uint32_t count, size_t max_bytes, uint64_t *at,
                  struct buffer *bytes, struct ints_scratch *scratch) {
  return texts_decode_some(encoded, size, count, 0, count, max_bytes, at, bytes, scratch);
}

const char *texts_name(const void *encoded, size_t size) {
  static const char *const names[TEXT_SCHEMES] = {"raw",     "lz4",     "template", "const",
                                                  "decimal", "pattern", "dict"};
  uint8_t scheme = size ? *(const uint8_t *)encoded : TEXT_SCHEMES;
  return scheme < TEXT_SCHEMES ? names[scheme] : "unknown";
}
