/* decimal.c - reading decimals; see decimal.h.
 *
 * A plain short number (at most 18 digits, no exponent) is read in one pass. Everything else goes through
 * struct digits, which has no limit of length. */
#include "model/decimal.h"

#include "model/decimal_digits.h"
#include "model/schema.h"

#define SCALE 9
#define PLAIN_DIGITS 18   /* any number of so many digits fits 64 bits */
#define INTEGER_DIGITS 19 /* and of so many, an unsigned one */
#define EXPONENT_MOST INT64_C(100000000000000000)

static const uint64_t powers_of_ten[SCALE + 1] = {1,      10,      100,      1000,      10000,
                                                  100000, 1000000, 10000000, 100000000, 1000000000};

static inline bool is_digit(char c) { return (unsigned)(c - '0') < 10; }

/* ------------------------------------------------------------------ any number */

/* The end of the digits at p. */
static const char *skip_digits(const char *p, const char *end) {
  while (p < end && is_digit(*p)) p++;
  return p;
}

/* [+-]digits up to the end. False if it is anything else. */
static bool read_exponent(const char *p, const char *end, int64_t *exponent) {
  bool negative = p < end && *p == '-';
  if (p < end && (*p == '+' || *p == '-')) p++;
  if (p == end || skip_digits(p, end) != end) return false;
  int64_t value = 0;
  for (; p < end && value < EXPONENT_MOST; p++) value = value * 10 + (*p - '0');
  if (value > EXPONENT_MOST) value = EXPONENT_MOST;
  *exponent = negative ? -value : value;
  return true;
}

/* Drops zeros at both ends of the mantissa, whose integer part is `whole` digits long. */
static void trim_zeros(struct digits *d, const char *mantissa, const char *end, size_t whole,
                       int64_t exponent) {
  const char *p = mantissa;
  while (p < end && (*p == '0' || *p == '.')) p++;
  if (p == end) return;
  while (end[-1] == '0' || end[-1] == '.') end--;
  const char *dot = mantissa + whole;
  /* digits before the first one, as positions behind the mantissa's start */
  int64_t before = p - mantissa - (p > dot ? 1 : 0);
  d->first = p;
  d->count = (size_t)(end - p) - (p < dot && dot < end ? 1 : 0);
  d->magnitude = (int64_t)whole - before + exponent;
}

bool digits_read(const char *text, size_t size, struct digits *d) {
  const char *p = text, *end = text + size;
  *d = (struct digits){.first = text, .negative = size && *text == '-'};
  if (size && (*p == '+' || *p == '-')) p++;
  const char *mantissa = p;
  p = skip_digits(p, end);
  size_t whole = (size_t)(p - mantissa), fraction = 0;
  if (p < end && *p == '.') {
    const char *dot = p;
    p = skip_digits(p + 1, end);
    fraction = (size_t)(p - dot - 1);
  }
  if (!whole && !fraction) return false;
  const char *mantissa_end = p;
  int64_t exponent = 0;
  if (p < end && (*p == 'e' || *p == 'E')) {
    if (!read_exponent(p + 1, end, &exponent)) return false;
    p = end;
  }
  if (p != end) return false;
  trim_zeros(d, mantissa, mantissa_end, whole, exponent);
  return true;
}

static int compare_with_half(const char *at, size_t left) {
  unsigned digit = digits_next(&at, &left);
  if (digit != 5) return digit < 5 ? -1 : 1;
  return left ? 1 : 0; /* the last digit is not 0 */
}

struct digits_cut digits_cut(const struct digits *d, int scale) {
  struct digits_cut cut = {.half = -1};
  int64_t places = d->magnitude + scale; /* digits of the integer part */
  if (!d->count) return cut;
  if (places > INTEGER_DIGITS) {
    cut.large = true;
    return cut;
  }
  if (places < 0) {
    cut.inexact = true;
    return cut;
  }
  const char *at = d->first;
  size_t left = d->count;
  for (int64_t i = 0; i < places; i++) cut.integer = cut.integer * 10 + digits_next(&at, &left);
  cut.inexact = left > 0;
  if (left) cut.half = compare_with_half(at, left);
  return cut;
}

static enum decimal_result parse_any(const char *text, size_t size, bool half_even, int64_t *units) {
  struct digits d;
  if (!digits_read(text, size, &d)) return DECIMAL_SYNTAX;
  struct digits_cut cut = digits_cut(&d, SCALE);
  uint64_t most = (uint64_t)COST_MAX;
  if (cut.large || cut.integer > most) return DECIMAL_RANGE;
  if (cut.inexact && !half_even) return cut.integer == most ? DECIMAL_RANGE : DECIMAL_INEXACT;
  if (cut.inexact && (cut.half > 0 || (cut.half == 0 && cut.integer % 2))) cut.integer++;
  if (cut.integer > most) return DECIMAL_RANGE;
  *units = d.negative ? -(int64_t)cut.integer : (int64_t)cut.integer;
  return DECIMAL_OK;
}

/* ------------------------------------------------------------------ plain numbers */

enum decimal_result decimal_parse(const char *text, size_t size, bool half_even, int64_t *units) {
  const char *p = text, *end = text + size;
  bool negative = size && *p == '-';
  if (negative) p++;
  if (end - p > PLAIN_DIGITS) return parse_any(text, size, half_even, units);
  uint64_t mantissa = 0;
  const char *whole = p;
  for (; p < end && is_digit(*p); p++) mantissa = mantissa * 10 + (uint64_t)(*p - '0');
  if (p == whole) return parse_any(text, size, half_even, units);
  int fraction = 0;
  if (p < end && *p == '.') {
    const char *dot = p++;
    for (; p < end && is_digit(*p); p++) mantissa = mantissa * 10 + (uint64_t)(*p - '0');
    fraction = (int)(p - dot) - 1;
  }
  if (p != end || fraction > SCALE) return parse_any(text, size, half_even, units);
  uint64_t value;
  if (__builtin_mul_overflow(mantissa, powers_of_ten[SCALE - fraction], &value) || value > (uint64_t)COST_MAX)
    return DECIMAL_RANGE;
  *units = negative ? -(int64_t)value : (int64_t)value;
  return DECIMAL_OK;
}

/* RFC 8259: -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)? - what decimal_parse takes but for a plus
 * in front, leading zeros, and a dot with nothing on one side. */
static bool json_grammar(const char *p, const char *end) {
  if (p < end && *p == '-') p++;
  if (p == end || !is_digit(*p)) return false;
  const char *whole = p;
  p = skip_digits(p, end);
  if (*whole == '0' && p - whole > 1) return false;
  return p == end || *p != '.' || (p + 1 < end && is_digit(p[1]));
}

bool decimal_from_json(const char *text, size_t size, int64_t *units) {
  return json_grammar(text, text + size) && decimal_parse(text, size, false, units) == DECIMAL_OK;
}
