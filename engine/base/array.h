/* array.h - sums, bounds, order and widths of arrays of integers, for the machine that they are on
 * (kernel.h). */
#ifndef BASE_ARRAY_H
#define BASE_ARRAY_H

#include <stdbool.h>
#include <stdint.h>

/* Values are in [min, max]. */
struct bounds {
  int64_t min, max;
};

/* Modulo 2^64. */
uint64_t array_sum(const int64_t *v, uint32_t count);
/* Of none: from INT64_MAX to INT64_MIN. */
struct bounds array_bounds(const int64_t *v, uint32_t count);
/* Of some: count is not 0. */
struct bounds array_bounds_narrow(const int32_t *v, uint32_t count);
/* How many are less than `bound`? */
uint32_t array_count_below(const int64_t *v, uint32_t count, int64_t bound);
/* Are all of them within bounds? */
bool array_within(const int64_t *v, uint32_t count, struct bounds bounds);
/* Is each greater than the one before it? */
bool array_rises(const int64_t *v, uint32_t count);
/* Is one less than the one before it? */
bool array_falls(const int64_t *v, uint32_t count);
/* to[i] = v[i], modulo 2^32. */
void array_narrow(const int64_t *v, uint32_t count, uint32_t *to);
/* to[i] = v[i]; the arrays lie apart. */
void array_widen(const int32_t *v, uint32_t count, int64_t *to);
void array_widen_ids(const uint32_t *v, uint32_t count, int64_t *to);
/* to[i] = v[i + 1] - v[i], modulo 2^64, for all but the last of `count` values; the arrays lie apart. */
void array_differences(const int64_t *v, uint32_t count, int64_t *to);

#endif
