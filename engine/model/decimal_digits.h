/* decimal_digits.h - a number's text taken apart, for the files of decimal.h.
 *
 * The number is +-0.D1 D2 D3 ... x 10^magnitude, where the D are its significant digits: the first and the
 * last are not 0. Zero has none. A text of any length and any exponent fits; only exponents beyond
 * +-10^17 are cut to that, which no sum or comparison of texts that fit memory can tell from the truth
 * except among such numbers themselves. */
#ifndef MODEL_DECIMAL_DIGITS_H
#define MODEL_DECIMAL_DIGITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct digits {
  const char *first; /* the first significant digit; a '.' may stand between the digits */
  size_t count;      /* significant digits */
  int64_t magnitude;
  bool negative;
};

/* False if the text is not [+-]digits[.digits][(e|E)[+-]digits], with digits on one side of the dot at
 * least. */
bool digits_read(const char *text, size_t size, struct digits *d);

/* The next digit, 0 to 9, and 0 for ever behind the last. Start with at = d->first, left = d->count. */
static inline unsigned digits_next(const char **at, size_t *left) {
  if (!*left) return 0;
  if (**at == '.') ++*at;
  --*left;
  return (unsigned)(*(*at)++ - '0');
}

/* The number cut down to a multiple of 10^-scale. */
struct digits_cut {
  uint64_t integer; /* |number| x 10^scale, its integer part; only if !large */
  bool large;       /* that has more than 19 digits */
  bool inexact;     /* something was cut off */
  int half;         /* what was cut off, compared with one half: -1, 0, 1 */
};
struct digits_cut digits_cut(const struct digits *d, int scale);

#endif
