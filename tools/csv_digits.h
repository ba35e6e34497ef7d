/* csv_digits.h - up to eight digits of a field at once, without loops, which would mispredict their ends. All
 * functions read eight bytes, whatever the size: there is slack behind every text, and a field of a record
 * that is not its first has text before it. */
#ifndef TOOLS_CSV_DIGITS_H
#define TOOLS_CSV_DIGITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define EIGHT(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Three multiplications add up the digits of pairs, fours and eights (D. Lemire, "Quickly parsing eight
 * digits", 2018). */
static inline bool eight_digits(uint64_t text, uint32_t *value) {
  uint64_t zeros = EIGHT('0');
  if (((text & EIGHT(0xF0)) ^ zeros) | (((text + EIGHT(6)) & EIGHT(0xF0)) ^ zeros)) return false;
  text -= zeros;
  text = text * 10 + (text >> 8);
  uint64_t high = (text & UINT64_C(0x000000FF000000FF)) * UINT64_C(0x000F424000000064);
  uint64_t low = (text >> 16 & UINT64_C(0x000000FF000000FF)) * UINT64_C(0x0000271000000001);
  *value = (uint32_t)((high + low) >> 32);
  return true;
}

/* One to eight characters, with zeros in front of them. */
static inline uint64_t load_few(const char *data, size_t size) {
  uint64_t text = load64(data);
  return size < 8 ? text << (64 - 8 * size) | EIGHT('0') >> (8 * size) : text;
}

/* A field of one to eight digits; false for any other, which may be a number nevertheless. */
static inline bool few_digits(const char *data, size_t size, int32_t *value) {
  uint32_t digits;
  if (size - 1 >= 8 || !eight_digits(load_few(data, size), &digits)) return false;
  *value = (int32_t)digits;
  return true;
}

/* The integers of a record whose columns stand in their order: the CSV_INTEGERS fields behind the separator
 * at separators[0], each ending at the next one. True if each has one to eight digits; else `to` holds
 * anything. The implementations give equal results. csv_integers_best: the fastest that this processor has.
 */
#define CSV_INTEGERS 5
typedef bool csv_integers_fn(const char *text, const uint32_t *separators, int32_t to[CSV_INTEGERS]);
csv_integers_fn csv_integers_portable;
#if defined(__x86_64__)
csv_integers_fn csv_integers_avx512; /* only where cpu_has_avx512() */
#endif
csv_integers_fn *csv_integers_best(void);

#endif
