/* decimal_print.c - printing exact numbers; see decimal.h. A result of zero has no sign. */
#include <string.h>

#include "base/bytes.h"
#include "model/decimal.h"

#define CHUNK UINT64_C(10000000000000000000) /* 10^19, the greatest power of ten in 64 bits */
#define CHUNK_DIGITS 19

static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                            "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                            "8081828384858687888990919293949596979899";

/* Writes the digits of v so that they end before `end`, at least `least` of them; returns their start. */
static char *put_digits(char *end, uint64_t v, int least) {
  char *p = end;
  for (; v >= 100; v /= 100) memcpy(p -= 2, pairs + 2 * (v % 100), 2);
  if (v >= 10)
    memcpy(p -= 2, pairs + 2 * v, 2);
  else if (v)
    *--p = (char)('0' + v);
  while (end - p < least) *--p = '0';
  return p;
}

static char *put_unsigned(char *end, uint128 v) {
  char *p = end;
  for (; v > UINT64_MAX; v /= CHUNK) p = put_digits(p, (uint64_t)(v % CHUNK), CHUNK_DIGITS);
  return put_digits(p, (uint64_t)v, p == end);
}

static void append_unsigned(struct buffer *b, uint128 v) {
  char text[40], *end = text + sizeof text, *p = put_unsigned(end, v);
  buffer_append(b, p, (size_t)(end - p));
}

static uint128 absolute(int128 v) { return v < 0 ? -(uint128)v : (uint128)v; }

void int128_print(struct buffer *b, int128 value) {
  char text[40], *end = text + sizeof text, *p = put_unsigned(end, absolute(value));
  if (value < 0) *--p = '-';
  buffer_append(b, p, (size_t)(end - p));
}

/* Without zeros at the end of the fraction, down to `min` digits. */
static char *put_fraction(char *end, uint32_t billionths, int min) {
  int digits = 9;
  if (min <= 4 && billionths % 100000 == 0) { /* most are no longer */
    billionths /= 100000;
    digits = 4;
  }
  for (; digits > min && billionths % 10 == 0; digits--) billionths /= 10;
  if (!digits) return end;
  char *p = put_digits(end, billionths, digits);
  *--p = '.';
  return p;
}

void decimal_print(struct buffer *b, int128 units, int min) {
  const uint32_t one = 1000000000;
  uint128 magnitude = absolute(units);
  uint64_t low = (uint64_t)magnitude; /* most are no longer than this, and division is quicker */
  bool is_short = low == magnitude;
  char text[52], *end = text + sizeof text;
  char *p = put_fraction(end, (uint32_t)(is_short ? low % one : magnitude % one), min);
  p = is_short ? put_digits(p, low / one, 1) : put_unsigned(p, magnitude / one);
  if (units < 0) *--p = '-';
  buffer_append(b, p, (size_t)(end - p));
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
  append_unsigned(b, whole);
  if (!decimals) return;
  char text[20], *end = text + sizeof text;
  char *p = put_digits(end, fraction, decimals);
  *--p = '.';
  buffer_append(b, p, (size_t)(end - p));
}
