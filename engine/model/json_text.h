/* json_text.h - skipping through JSON text: what json.c and json_find.c have in common. */
#ifndef MODEL_JSON_TEXT_H
#define MODEL_JSON_TEXT_H

#include <stdint.h>

#include "base/bytes.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

static inline bool json_is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static inline bool json_is_digit(char c) { return (unsigned)(c - '0') < 10; }

static inline const char *json_skip_space(const char *p, const char *end) {
  while (p < end && json_is_space(*p)) p++;
  return p;
}

/* Nothing special inside a string: ASCII from space on, but neither quote nor backslash. */
static inline bool json_is_plain(char c) { return (signed char)c >= 0x20 && c != '"' && c != '\\'; }

/* The first byte at or behind p that is not plain. A signed comparison with space finds control
 * characters and bytes from 0x80 in one. In the integer version a borrow can only make a byte above the first
 * hit look like one. */
static inline const char *json_skip_plain(const char *p, const char *end) {
#ifdef __SSE2__
  const __m128i space = _mm_set1_epi8(' '), quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\');
  for (; end - p >= 16; p += 16) {
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i hits = _mm_or_si128(_mm_cmplt_epi8(v, space),
                                _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, backslash)));
    unsigned mask = (unsigned)_mm_movemask_epi8(hits);
    if (mask) return p + __builtin_ctz(mask);
  }
#endif
  const uint64_t ones = 0x0101010101010101u;
  for (; end - p >= 8; p += 8) {
    uint64_t w = load64(p), q = w ^ (ones * '"'), b = w ^ (ones * '\\');
    uint64_t hits = ((w - ones * ' ') | w | ((q - ones) & ~q) | ((b - ones) & ~b)) & (ones * 0x80);
    if (hits) return p + __builtin_ctzll(hits) / 8;
  }
  while (p < end && json_is_plain(*p)) p++;
  return p;
}

static inline int json_hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

#endif
