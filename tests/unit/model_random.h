/* model_random.h - the random numbers of the model's tests: SplitMix64 (Steele et al. 2014), whose seed is
 * printed and comes from TALLY_SEED if that is set. */
#ifndef TESTS_MODEL_RANDOM_H
#define TESTS_MODEL_RANDOM_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/hash.h"

static uint64_t random_state;

static inline void random_start(void) {
  const char *text = getenv("TALLY_SEED");
  random_state = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
  fprintf(stderr, "TALLY_SEED=%" PRIu64 "\n", random_state);
}
static inline uint64_t random_next(void) { return hash_mix(random_state += 0x9E3779B97F4A7C15u); }
static inline uint64_t random_below(uint64_t n) { return random_next() % n; }
/* Of any magnitude: as often one bit long as 64. */
static inline int64_t random_int64(void) { return (int64_t)random_next() >> random_below(64); }

#endif
