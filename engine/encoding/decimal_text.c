/* decimal_text.c - decimal numbers whose text is determined by a mantissa and a number of decimals; see
 * texts_format.h. */
#include "encoding/texts_format.h"

bool decimal_text_parse(const char *text, size_t size, int64_t *mantissa, unsigned *places) {
  bool negative = size > 0 && text[0] == '-';
  const char *p = text + negative, *end = text + size, *point = NULL;
  if (p == end || (size_t)(end - p) > DECIMAL_DIGITS + 1) return false;
  if (*p == '0' && p + 1 < end && p[1] != '.') return false; /* a leading zero */
  uint64_t value = 0;                                        /* of 19 digits at most: no overflow */
  const char *start = p;
  for (; p < end; p++) {
    unsigned digit = (unsigned)((unsigned char)*p - '0');
    if (digit < 10) {
      value = value * 10 + digit;
    } else if (*p == '.' && !point && p > start && p + 1 < end) {
      point = p;
    } else {
      return false;
    }
  }
  if ((size_t)(end - start) - (point != NULL) > DECIMAL_DIGITS || (negative && value == 0)) return false;
  *mantissa = negative ? -(int64_t)value : (int64_t)value;
  *places = point ? (unsigned)(end - point - 1) : 0;
  return true;
}

size_t decimal_text_print(int64_t mantissa, unsigned places, char *text) {
  char reversed[DECIMAL_TEXT_MAX];
  uint64_t rest = mantissa < 0 ? 0 - (uint64_t)mantissa : (uint64_t)mantissa;
  size_t n = 0, size = 0;
  for (unsigned digits = 0; rest > 0 || digits <= places; digits++, rest /= 10) {
    if (digits == places && places > 0) reversed[n++] = '.';
    reversed[n++] = (char)('0' + rest % 10);
  }
  if (mantissa < 0) text[size++] = '-';
  while (n) text[size++] = reversed[--n];
  return size;
}
