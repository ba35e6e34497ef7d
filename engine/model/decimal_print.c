/* decimal_print.c - printing exact numbers; see decimal.h. A result of zero has no sign. */
#include <string.h>

#include "base/bytes.h"
#include "model/decimal.h"

#define CHUNK UINT64_C(10000000000000000000) /* 10^19, the greatest power of ten in 64 bits */
#define CHUNK_DIGITS 19

static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                            "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                            "8081828384858687888990919293949596979899";

/* Decimal digits of v: 1 for 0. 1233 / 4096 is a little more than log10(2). */
static unsigned count_digits(uint64_t v) {
  static const uint64_t ten_to_the[] = {1u,
                                        10u,
                                        100u,
                                        1000u,
                                        10000u,
                                        100000u,
                                        1000000u,
                                        10000000u,
                                        100000000u,
                                        1000000000u,
                                        10000000000u,
                                        100000000000u,
                                        1000000000000u,
                                        10000000000000u,
                                        100000000000000u,
                                        1000000000000000u,
                                        10000000000000000u,
                                        100000000000000000u,
                                        1000000000000000000u,
                                        CHUNK};
  unsigned digits = (64u - (unsigned)__builtin_clzll(v | 1)) * 1233 >> 12;
  return digits + (v >= ten_to_the[digits]) + (v == 0);
}

/* Writes the last `digits` digits of v, with zeros before them. */
static char *put_digits(char *to, uint64_t v, unsigned digits) {
  char *p = to + digits;
  for (; p - to >= 2; v /= 100) memcpy(p -= 2, pairs + 2 * (v % 100), 2);
  if (p > to) *to = (char)('0' + v % 10);
  return to + digits;
}

static char *put_unsigned(char *to, uint128 v) {
  if (v <= UINT64_MAX) return put_digits(to, (uint64_t)v, count_digits((uint64_t)v));
  return put_digits(put_unsigned(to, v / CHUNK), (uint64_t)(v % CHUNK), CHUNK_DIGITS);
}

static uint128 absolute(int128 v) { return v < 0 ? -(uint128)v : (uint128)v; }

char *int128_put(char *to, int128 value) {
  if (value < 0) *to++ = '-';
  return put_unsigned(to, absolute(value));
}

/* Without zeros at the end of the fraction, down to `min` digits. */
static char *put_fraction(char *to, uint32_t billionths, unsigned min) {
  unsigned digits = 9;
  if (min <= 4 && billionths % 100000 == 0) { /* most are no longer */
    billionths /= 100000;
    digits = 4;
  }
  for (; digits > min && billionths % 10 == 0; digits--) billionths /= 10;
  if (!digits) return to;
  *to++ = '.';
  return put_digits(to, billionths, digits);
}

char *decimal_put(char *to, int128 units, int min) {
  const uint32_t one = 1000000000;
  uint128 magnitude = absolute(units);
  uint64_t low = (uint64_t)magnitude; /* most are no longer than this, and division is quicker */
  bool is_short = low == magnitude;
  if (units < 0) *to++ = '-';
  to = put_unsigned(to, is_short ? low / one : magnitude / one);
  return put_fraction(to, (uint32_t)(is_short ? low % one : magnitude % one), (unsigned)min);
}

void int128_print(struct buffer *b, int128 value) {
  if (!buffer_reserve(b, INT128_PUT_MOST)) return;
  char *to = (char *)b->data + b->size;
  b->size += (size_t)(int128_put(to, value) - to);
}

void decimal_print(struct buffer *b, int128 units, int min) {
  if (!buffer_reserve(b, DECIMAL_PUT_MOST)) return;
  char *to = (char *)b->data + b->size;
  b->size += (size_t)(decimal_put(to, units, min) - to);
}

void ratio_print(struct buffer *b, int128 numerator, uint64_t denominator, int scale, int decimals) {
  uint128 divisor = denominator; /* at most 2^64 x 10^18 < 2^124, so ten times a remainder fits */
  for (int i = 0; i < scale; i++) divisor *= 10;
  uint128 whole = absolute(numerator) / divisor, rest = absolute(numerator) % divisor;
  uint64_t fraction = 0, one = 1;
  for (int i = 0; i < decimals; i++) {
    rest *= 10;
    fraction = fraction * 10 + (uint64_t)(rest / divisor);
    rest %= divisor;
    one *= 10;
  }
  bool odd = decimals ? fraction % 2 : whole % 2;
  if (rest > divisor - rest || (rest == divisor - rest && odd)) fraction++;
  if (fraction == one) {
    whole++;
    fraction = 0;
  }
  if (numerator < 0 && (whole || fraction)) write8(b, '-');
  char text[64], *end = put_unsigned(text, whole);
  if (decimals) {
    *end++ = '.';
    end = put_digits(end, fraction, (unsigned)decimals);
  }
  buffer_append(b, text, (size_t)(end - text));
}
