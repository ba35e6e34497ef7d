/* decimal.h - exact decimals: cost as int64 units of 10^-9, sums as 128-bit units of 10^-9, and
 * numbers of any length for comparisons. No double anywhere. */
#ifndef MODEL_DECIMAL_H
#define MODEL_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/int128.h"

enum decimal_result {
  DECIMAL_OK,
  DECIMAL_SYNTAX,  /* not a number */
  DECIMAL_RANGE,   /* beyond +-9,000,000,000 */
  DECIMAL_INEXACT, /* more than 9 decimals that are not 0 */
};

/* Reads the whole text as a number [+-]digits[.digits][(e|E)[+-]digits] (".5" and "5." too) into units of
 * 10^-9, exactly: any count of digits and any exponent, without overflow (trailing zeros beyond nine
 * decimals are fine). With half_even a number with more decimals is rounded half to even instead of
 * DECIMAL_INEXACT. *units is untouched on failure. A fast path for plain short numbers is on the CSV
 * reader's hot path. */
enum decimal_result decimal_parse(const char *text, size_t size, bool half_even, int64_t *units);

/* JSON's number grammar for metadata: true if the whole text is a JSON number with (after removing
 * trailing zeros) at most 9 decimals and within +-9*10^9; then *units. */
bool decimal_from_json(const char *text, size_t size, int64_t *units);

/* Compares two numbers of any length and exponent, given as texts that decimal_is_number accepts:
 * -1, 0, 1. Exact, in time by the texts' lengths whatever the exponents are (exponents beyond +-10^17 count
 * as that). */
bool decimal_is_number(const char *text, size_t size);
int decimal_compare(const char *a, size_t a_size, const char *b, size_t b_size);

/* A number of any length as a bound for comparisons with values v / 10^scale (scale 0 for integers, 9
 * for cost): *floor = the greatest integer <= number * 10^scale, *exact = whether it is equal to it.
 * A number beyond the int64 range gives INT64_MIN or INT64_MAX and *outside = -1 or +1 (else 0). The
 * text must be a number. */
void decimal_bound(const char *text, size_t size, int scale, int64_t *floor, bool *exact, int *outside);

/* Writes units of 10^-9 with at least `min` (0..9) and at most 9 decimals, trailing zeros beyond min dropped:
 * of 12400000 and 4, 0.0124. Returns where they end; `to` has room for DECIMAL_PUT_MOST bytes, of which those
 * behind the end may be written to as well. */
#define DECIMAL_PUT_MOST 42 /* -170141183460469231731687303715.884105728 */
char *decimal_put(char *to, int128 units, int min);
#define INT128_PUT_MOST 40 /* in the same way */
char *int128_put(char *to, int128 value);
/* Append the same. */
void decimal_print(struct buffer *b, int128 units, int min);
void int128_print(struct buffer *b, int128 value);
/* Appends numerator / (denominator * 10^scale) rounded half to even to `decimals` decimals, all of them
 * printed. denominator > 0, scale 0..18, decimals 0..18. Exact for any 128-bit numerator. */
void ratio_print(struct buffer *b, int128 numerator, uint64_t denominator, int scale, int decimals);

#endif
