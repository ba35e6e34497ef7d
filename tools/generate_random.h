/* generate_random.h - random numbers that are the same on every machine.
 *
 * Integers and fixed point throughout: the last bit of exp and log differs between C libraries, and compilers
 * may fuse a multiplication and an addition. The only floating-point operation is the square root, which
 * IEEE 754 rounds correctly.
 *
 * Sources: xoshiro256** and its seeding by SplitMix64: D. Blackman, S. Vigna, "Scrambled Linear Pseudorandom
 * Number Generators" (2018). Bounded integers by multiplication: D. Lemire, "Fast Random Integer Generation
 * in an Interval" (2019), without the rejection: the bias is below 2^-32. Normal variates: G. Marsaglia's
 * polar method (1964). Tables with a short polynomial for logarithm and exponential: P. Tang (1989, 1990). */
#ifndef TOOLS_GENERATE_RANDOM_H
#define TOOLS_GENERATE_RANDOM_H

#include <stdint.h>

#include "base/int128.h"

struct random {
  uint64_t state[4];
};

/* The tables of logarithm and exponential. */
struct random_tables {
  uint64_t reciprocal[256]; /* 1 / (1 + i/256), as all of these in units of 2^-56 */
  uint64_t logarithm[256];  /* ln(1 + i/256) */
  uint64_t power[256];      /* 2^(i/256) */
};
void random_tables_init(struct random_tables *tables);

/* Seeds two generators out of one seed. */
void random_seed(uint64_t seed, struct random *a, struct random *b);

static inline uint64_t rotate_left(uint64_t x, unsigned n) { return x << n | x >> (64 - n); }

static inline uint64_t random_next(struct random *r) {
  uint64_t *s = r->state, result = rotate_left(s[1] * 5, 7) * 9, t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rotate_left(s[3], 45);
  return result;
}
/* From 0 to limit - 1. */
static inline uint64_t random_below(struct random *r, uint64_t limit) {
  return (uint64_t)((uint128)random_next(r) * limit >> 64);
}

/* -ln(u / 2^64) in units of 2^-56; u = 0 counts as 1. */
uint64_t negative_log(const struct random_tables *tables, uint64_t u);
/* The integer part of 2^(y / 2^32); 0 if y is negative. y < 55 * 2^32. */
uint64_t power_of_two(const struct random_tables *tables, int64_t y);
/* Two independent standard normal variates in units of 2^-32. */
void random_normal(struct random *r, const struct random_tables *tables, int64_t pair[2]);
/* The integer part of exp((tenth_mean + tenth_deviation * normal) / 10). */
uint64_t log_normal(const struct random_tables *tables, int64_t normal, int64_t tenth_mean,
                    int64_t tenth_deviation);

#endif
