/* array.c - see array.h. A kernel's copies take no visibility from the build: none is called from outside. */
#include "base/array.h"

#include "base/kernel.h"

KERNEL static uint64_t sum(const int64_t *v, uint32_t count) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < count; i++) sum += (uint64_t)v[i];
  return sum;
}

KERNEL static struct bounds bounds_of(const int64_t *v, uint32_t count) {
  int64_t min = INT64_MAX, max = INT64_MIN;
  for (uint32_t i = 0; i < count; i++) {
    min = v[i] < min ? v[i] : min;
    max = v[i] > max ? v[i] : max;
  }
  return (struct bounds){min, max};
}

KERNEL static struct bounds bounds_of_narrow(const int32_t *v, uint32_t count) {
  int32_t min = v[0], max = v[0];
  for (uint32_t i = 0; i < count; i++) min = v[i] < min ? v[i] : min;
  for (uint32_t i = 0; i < count; i++) max = v[i] > max ? v[i] : max;
  return (struct bounds){min, max};
}

/* Where the bounds are narrower than 2^63, v is inside if neither v - min nor max - v (modulo 2^64) has its
 * top bit set: two numbers below 2^63 that add up to max - min are both at most it. */
KERNEL static bool within(const int64_t *v, uint32_t count, int64_t min, int64_t max) {
  uint64_t low = (uint64_t)min, high = (uint64_t)max, bits = 0;
  if ((int64_t)(high - low) >= 0) {
    for (uint32_t i = 0; i < count; i++) bits |= ((uint64_t)v[i] - low) | (high - (uint64_t)v[i]);
    return (int64_t)bits >= 0;
  }
  for (uint32_t i = 0; i < count; i++) bits |= (uint64_t)v[i] - low > high - low;
  return bits == 0;
}

KERNEL static uint32_t count_below(const int64_t *v, uint32_t count, int64_t bound) {
  uint64_t below = 0;
  for (uint32_t i = 0; i < count; i++) below += v[i] < bound;
  return (uint32_t)below;
}

KERNEL static bool rises(const int64_t *v, uint32_t count) {
  int64_t falls = 0;
  for (uint32_t i = 1; i < count; i++) falls |= v[i] <= v[i - 1] ? -1 : 0;
  return falls == 0;
}

KERNEL static bool falls(const int64_t *v, uint32_t count) {
  int64_t falling = 0;
  for (uint32_t i = 1; i < count; i++) falling |= v[i] < v[i - 1] ? -1 : 0;
  return falling != 0;
}

KERNEL static void narrow(const int64_t *v, uint32_t count, uint32_t *to) {
  for (uint32_t i = 0; i < count; i++) to[i] = (uint32_t)v[i];
}

KERNEL static void widen(const int32_t *restrict v, uint32_t count, int64_t *restrict to) {
  for (uint32_t i = 0; i < count; i++) to[i] = v[i];
}

KERNEL static void widen_ids(const uint32_t *restrict v, uint32_t count, int64_t *restrict to) {
  for (uint32_t i = 0; i < count; i++) to[i] = v[i];
}

KERNEL static void differences(const int64_t *restrict v, uint32_t count, int64_t *restrict to) {
  for (uint32_t i = 1; i < count; i++) to[i - 1] = (int64_t)((uint64_t)v[i] - (uint64_t)v[i - 1]);
}

uint64_t array_sum(const int64_t *v, uint32_t count) { return sum(v, count); }
struct bounds array_bounds(const int64_t *v, uint32_t count) {
  return bounds_of(v, count);
}
struct bounds array_bounds_narrow(const int32_t *v, uint32_t count) {
  return bounds_of_narrow(v, count);
}
uint32_t array_count_below(const int64_t *v, uint32_t count, int64_t bound) {
  return count_below(v, count, bound);
}
bool array_within(const int64_t *v, uint32_t count, struct bounds b) {
  return b.min <= b.max ? within(v, count, b.min, b.max) : count == 0;
}
bool array_rises(const int64_t *v, uint32_t count) { return rises(v, count); }
bool array_falls(const int64_t *v, uint32_t count) { return falls(v, count); }
void array_narrow(const int64_t *v, uint32_t count, uint32_t *to) { narrow(v, count, to); }
void array_widen(const int32_t *v, uint32_t count, int64_t *to) { widen(v, count, to); }
void array_widen_ids(const uint32_t *v, uint32_t count, int64_t *to) { widen_ids(v, count, to); }
void array_differences(const int64_t *v, uint32_t count, int64_t *to) { differences(v, count, to); }
