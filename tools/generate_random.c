/* generate_random.c - see generate_random.h. Fixed point in units of 2^-56 unless said otherwise. */
#include "tools/generate_random.h"

#include <math.h>
#include <stddef.h>

#include "base/hash.h"

#define ONE (UINT64_C(1) << 56)
#define LN2 UINT64_C(0xB17217F7D1CF7A) /* 0.693147180559945 * 2^56 */
#define LOG2_E_32 INT64_C(6196328019)  /* 1.442695040888963 * 2^32 */
#define SPLITMIX_STEP UINT64_C(0x9E3779B97F4A7C15)

static inline uint64_t times(uint64_t a, uint64_t b) { return (uint64_t)((uint128)a * b >> 56); }

/* ln(1 + i/256) = 2 atanh(z) with z = i / (512 + i), by its series. */
static uint64_t table_logarithm(uint64_t i) {
  uint64_t z = (i << 56) / (512 + i), square = times(z, z), sum = 0;
  for (uint64_t power = z, n = 1; power; power = times(power, square), n += 2) sum += power / n;
  return 2 * sum;
}

/* 2^(i/256) by the series of exp. */
static uint64_t table_power(uint64_t i) {
  uint64_t x = i * LN2 / 256, sum = 0, n = 1;
  for (uint64_t term = ONE; term; term = times(term, x) / n++) sum += term;
  return sum;
}

void random_tables_init(struct random_tables *tables) {
  for (uint64_t i = 0; i < 256; i++) {
    tables->reciprocal[i] = (ONE << 7) / (256 + i) << 1;
    tables->logarithm[i] = table_logarithm(i);
    tables->power[i] = table_power(i);
  }
}

void random_seed(uint64_t seed, struct random *a, struct random *b) {
  for (size_t i = 0; i < 8; i++) (i < 4 ? a : b)->state[i % 4] = hash_mix(seed += SPLITMIX_STEP);
}

uint64_t negative_log(const struct random_tables *tables, uint64_t u) {
  if (!u) u = 1;
  unsigned shift = (unsigned)__builtin_clzll(u);
  uint64_t mantissa = u << shift; /* 1 to 2 in units of 2^-63 */
  unsigned i = (unsigned)(mantissa >> 55) & 0xFF;
  uint64_t rest = mantissa & ((UINT64_C(1) << 55) - 1); /* beyond 1 + i/256, in units of 2^-63 */
  uint64_t r = (uint64_t)((uint128)rest * tables->reciprocal[i] >> 63);
  uint64_t r2 = times(r, r), r3 = times(r2, r), r4 = times(r2, r2), r5 = times(r4, r);
  uint64_t logarithm = tables->logarithm[i] + r - r2 / 2 + r3 / 3 - r4 / 4 + r5 / 5;
  uint64_t whole = (shift + 1) * LN2;
  return whole > logarithm ? whole - logarithm : 0;
}

uint64_t power_of_two(const struct random_tables *tables, int64_t y) {
  if (y < 0) return 0;
  uint64_t fraction = (uint64_t)y & 0xFFFFFFFF;
  uint64_t r = times((fraction & 0xFFFFFF) << 24, LN2); /* below ln(2)/256 */
  uint64_t r2 = times(r, r), r3 = times(r2, r), r4 = times(r2, r2);
  uint64_t power = times(tables->power[fraction >> 24], ONE + r + r2 / 2 + r3 / 6 + r4 / 24);
  return power >> (56 - (y >> 32));
}

/* The square root of a variate's square, in units of 2^-32: that of x * 2^-56 is sqrt(x) * 2^-28. */
static int64_t root(uint64_t square, int32_t sign) {
  int64_t value = (int64_t)(sqrt((double)square) * 16);
  return sign < 0 ? -value : value;
}

void random_normal(struct random *r, const struct random_tables *tables, int64_t pair[2]) {
  int32_t a, b;
  uint64_t s; /* a^2 + b^2 in units of 2^-62, as a and b are in units of 2^-31 */
  do {
    uint64_t x = random_next(r);
    a = (int32_t)(x >> 32);
    b = (int32_t)(uint32_t)x;
    s = (uint64_t)((int64_t)a * a) + (uint64_t)((int64_t)b * b);
  } while (s == 0 || s >= UINT64_C(1) << 62);
  uint64_t twice = 2 * negative_log(tables, s << 2);
  uint64_t share = (uint64_t)(((uint128)(uint64_t)((int64_t)a * a) << 56) / s); /* a^2 / s */
  pair[0] = root(times(twice, share), a);
  pair[1] = root(times(twice, ONE - share), b);
}

uint64_t log_normal(const struct random_tables *tables, int64_t normal, int64_t tenth_mean,
                    int64_t tenth_deviation) {
  int64_t x = (tenth_mean * (INT64_C(1) << 32) + tenth_deviation * normal) / 10;
  return power_of_two(tables, (int64_t)((int128)x * LOG2_E_32 / (INT64_C(1) << 32)));
}
