/* decimal_print.c - printing exact numbers; see decimal.h. A result of zero has no sign. */
#include <string.h>

#include "base/bytes.h"
#include "model/decimal.h"

#define CHUNK UINT64_C(10000000000000000000) /* 10^19, the greatest power of ten in 64 bits */
#define CHUNK_DIGITS 19

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

#define WORD UINT64_C(100000000) /* so many numbers have at most 8 digits, as many as a word has bytes */
#define WORD_DIGITS 8

/* Eight digits of v < 10^8 as characters, the first in the lowest byte. Halves of four digits, then of two,
 * then of one are parted in all lanes of a word at once, by products with reciprocals that are exact for
 * them. */
static uint64_t eight_digits(uint64_t v) {
  uint64_t fours = v / 10000 | v % 10000 << 32;
  uint64_t hundreds = fours * 10486 >> 20 & 0x0000007F0000007F; /* exact below 43,699 */
  uint64_t twos = hundreds | (fours - hundreds * 100) << 16;
  uint64_t tens = twos * 103 >> 10 & 0x000F000F000F000F; /* exact below 179 */
  return (tens | (twos - tens * 10) << 8) + 0x3030303030303030;
}

/* Writes the last `digits` digits of v, 1 or more, with zeros before them; fewer than 8 are followed by bytes
 * that mean nothing up to the eighth. */
static char *put_digits(char *to, uint64_t v, unsigned digits) {
  if (digits <= WORD_DIGITS) {
    store64(to, eight_digits(v) >> 8 * (WORD_DIGITS - digits));
  } else {
    (void)put_digits(to, v / WORD, digits - WORD_DIGITS);
    store64(to + digits - WORD_DIGITS, eight_digits(v % WORD));
  }
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
