/* int128.h - the integer of exact sums. */
#ifndef BASE_INT128_H
#define BASE_INT128_H

#include <stdbool.h>
#include <stdint.h>

__extension__ typedef __int128 int128;
__extension__ typedef unsigned __int128 uint128;

#define INT128_MAX ((int128)(((uint128)1 << 127) - 1))
#define INT128_MIN (-INT128_MAX - 1)

/* *a += b; false (and *a unchanged) on overflow. */
static inline bool int128_add(int128 *a, int128 b) {
  int128 sum;
  if (__builtin_add_overflow(*a, b, &sum)) return false;
  *a = sum;
  return true;
}

#endif
