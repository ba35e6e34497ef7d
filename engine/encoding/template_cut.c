/* template_cut.c - cutting a text into literal and variable parts; see template.h.
 *
 * Made for JSON, assumes nothing: the contents of a string that is no key are variable, and so are numbers,
 * true, false and null outside of strings; everything else is literal. Whatever is cut, literal and values in
 * order give the text back, so a wrong guess costs bytes and nothing else. */
#include "base/hash.h"
#include "encoding/template.h"

#define DIGITS_MIN 8u /* shorter strings of hexadecimal digits are as likely words */
#define DIGITS_MAX 64u

static bool is_bare(char c) {
  return (unsigned)(c - '0') < 10 || (unsigned)((c | 32) - 'a') < 26 || c == '-' || c == '+' || c == '.' ||
         c == '_';
}

static size_t bare_end(const char *text, size_t at, size_t size) {
  while (at < size && is_bare(text[at])) at++;
  return at;
}

/* A number whose text its value determines, another number or a JSON word, or nothing of these. */
static bool bare_kind(const char *text, size_t size, enum place_kind *kind) {
  int64_t mantissa;
  unsigned places;
  *kind = decimal_text_parse(text, size, &mantissa, &places) ? PLACE_NUMBER : PLACE_WORD;
  if (*kind == PLACE_NUMBER) return true;
  if ((unsigned)(text[0] - '0') < 10 || text[0] == '-') return true;
  return (size == 4 && (memcmp(text, "true", 4) == 0 || memcmp(text, "null", 4) == 0)) ||
         (size == 5 && memcmp(text, "false", 5) == 0);
}

/* The upper bit of each byte of x that is within [low, high]; x has none of its own set. */
static uint64_t bytes_within(uint64_t x, unsigned char low, unsigned char high) {
  const uint64_t ones = 0x0101010101010101u;
  return (x + (0x80u - low) * ones) & ~(x + (0x7Fu - high) * ones) & 0x80 * ones;
}

/* Eight lower-case hexadecimal digits? No branch depends on which ones: they are random. */
static bool eight_digits(uint64_t x) {
  const uint64_t tops = 0x8080808080808080u;
  uint64_t clean = x & ~tops;
  return ((bytes_within(clean, '0', '9') | bytes_within(clean, 'a', 'f')) & ~x) == tops;
}

/* For at least eight bytes. */
static bool all_digits(const char *text, size_t size) {
  for (size_t i = 0; i + 8 < size; i += 8)
    if (!eight_digits(load64(text + i))) return false;
  return eight_digits(load64(text + size - 8));
}

/* Bytes of x that are c, as their upper bits; exact up to the first one (Lamport 1975). */
static uint64_t bytes_equal(uint64_t x, unsigned char c) {
  const uint64_t ones = 0x0101010101010101u;
  x ^= ones * c;
  return (x - ones) & ~x & ones << 7;
}

/* The first quote or backslash at or behind `at`, or size. */
static size_t string_stop(const char *text, size_t at, size_t size) {
  for (; at + 8 <= size; at += 8) {
    uint64_t x = load64(text + at), found = bytes_equal(x, '"') | bytes_equal(x, '\\');
    if (found) return at + (unsigned)__builtin_ctzll(found) / 8;
  }
  while (at < size && text[at] != '"' && text[at] != '\\') at++;
  return at;
}

/* The quote that ends the string whose contents start at `at`, or size. */
static size_t string_end(const char *text, size_t at, size_t size) {
  for (;;) {
    at = string_stop(text, at, size);
    if (at >= size || text[at] == '"') return at;
    if (size - at < 2) return size;
    at += 2;
  }
}

/* ---- with no template ---- */

static bool add_literal(struct cut *cut, const char *text, size_t size) {
  if (size > sizeof cut->literal - cut->literal_size) return false;
  memcpy(cut->literal + cut->literal_size, text, size);
  cut->literal_size += (uint32_t)size;
  return true;
}

static bool add_place(struct cut *cut, enum place_kind kind, uint32_t key, size_t start, size_t size) {
  if (cut->count == PLACES_MAX) return false;
  uint16_t length = kind == PLACE_DIGITS ? (uint16_t)size : 0;
  cut->places[cut->count] = (struct place){cut->literal_size, key, (uint16_t)kind, length};
  cut->spans[cut->count++] = (struct span){(uint32_t)start, (uint32_t)size};
  return true;
}

/* The string that opens at *at, with its quotes; *at goes behind it. */
static bool cut_string(const char *text, size_t size, size_t *at, uint32_t *key, struct cut *cut) {
  size_t start = *at + 1, end = string_end(text, start, size);
  if (end == size) { /* it never ends */
    bool added = add_literal(cut, text + *at, size - *at);
    *at = size;
    return added;
  }
  size_t next = end + 1;
  while (next < size && text[next] == ' ') next++;
  if (next < size && text[next] == ':') {
    *key = (uint32_t)hash64(text + start, end - start);
    bool added = add_literal(cut, text + *at, end + 1 - *at);
    *at = end + 1;
    return added;
  }
  bool digits =
      end - start >= DIGITS_MIN && end - start <= DIGITS_MAX && all_digits(text + start, end - start);
  *at = end + 1;
  return add_literal(cut, "\"", 1) &&
         add_place(cut, digits ? PLACE_DIGITS : PLACE_STRING, *key, start, end - start) &&
         add_literal(cut, "\"", 1);
}

static bool cut_bare(const char *text, size_t size, size_t *at, uint32_t key, struct cut *cut) {
  size_t start = *at, end = bare_end(text, start, size);
  enum place_kind kind;
  *at = end;
  if (bare_kind(text + start, end - start, &kind)) return add_place(cut, kind, key, start, end - start);
  return add_literal(cut, text + start, end - start);
}

static bool cut_all(const char *text, size_t size, struct cut *cut) {
  uint32_t key = 0;
  for (size_t at = 0; at < size;) {
    bool done;
    if (text[at] == '"') {
      done = cut_string(text, size, &at, &key, cut);
    } else if (is_bare(text[at])) {
      done = cut_bare(text, size, &at, key, cut);
    } else {
      done = add_literal(cut, text + at++, 1);
    }
    if (!done) return false;
  }
  return true;
}

void template_cut(const char *text, size_t size, struct cut *cut) {
  cut->count = cut->literal_size = 0;
  if (size <= UINT16_MAX && cut_all(text, size, cut)) return;
  cut->count = cut->literal_size = 0;
  add_place(cut, PLACE_WHOLE, 0, 0, size);
}

/* ---- by a template ---- */

/* The end of the value at `at`, or 0 if it is not one of this kind. */
static size_t value_end(const struct place *place, const char *text, size_t at, size_t size) {
  size_t end;
  enum place_kind kind;
  switch (place->kind) {
  case PLACE_STRING:
    end = string_stop(text, at, size);
    return end < size && text[end] == '"' ? end : 0;
  case PLACE_DIGITS:
    end = at + place->length;
    return end < size && text[end] == '"' && all_digits(text + at, place->length) ? end : 0;
  case PLACE_NUMBER:
  case PLACE_WORD:
    end = bare_end(text, at, size);
    return end > at && bare_kind(text + at, end - at, &kind) && kind == place->kind ? end : 0;
  default:
    return 0;
  }
}

bool template_match(const char *literal, size_t literal_size, const struct place *places, uint32_t count,
                    const char *text, size_t size, struct span *spans) {
  size_t at = 0, used = 0;
  for (uint32_t i = 0; i < count; i++) {
    size_t between = places[i].position - used;
    if (size - at < between || !same_few(literal + used, text + at, between)) return false;
    at += between;
    used += between;
    size_t end = value_end(&places[i], text, at, size);
    if (end == 0) return false;
    spans[i] = (struct span){(uint32_t)at, (uint32_t)(end - at)};
    at = end;
  }
  return size - at == literal_size - used && same_few(literal + used, text + at, size - at);
}
