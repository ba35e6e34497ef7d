/* powers.h - powers of ten as scales, and exact division by them.
 *
 * A multiple d of 10^e divides by a shift and a multiplication: (d >> e) times the inverse of 5^e modulo
 * 2^64, as 5 is odd (Warren, Hacker's Delight, 10-16). */
#ifndef ENCODING_POWERS_H
#define ENCODING_POWERS_H

#include <stdbool.h>
#include <stdint.h>

#define POWERS_MAX 15u

static const uint64_t powers_of_five[POWERS_MAX + 1] = {
    0x1u,     0x5u,      0x19u,     0x7Du,      0x271u,     0xC35u,      0x3D09u,      0x1312Du,
    0x5F5E1u, 0x1DCD65u, 0x9502F9u, 0x2E90EDDu, 0xE8D4A51u, 0x48C27395u, 0x16BCC41E9u, 0x71AFD498Du};
static const uint64_t inverses_of_five[POWERS_MAX + 1] = {/* of its powers, modulo 2^64 */
                                                          0x1u,
                                                          0xCCCCCCCCCCCCCCCDu,
                                                          0x8F5C28F5C28F5C29u,
                                                          0x1CAC083126E978D5u,
                                                          0xD288CE703AFB7E91u,
                                                          0x5D4E8FB00BCBE61Du,
                                                          0x790FB65668C26139u,
                                                          0xE5032477AE8D46A5u,
                                                          0xC767074B22E90E21u,
                                                          0x8E47CE423A2E9C6Du,
                                                          0x4FA7F60D3ED61F49u,
                                                          0xFEE64690C913975u,
                                                          0x3662E0E1CF503EB1u,
                                                          0xA47A2CF9F6433FBDu,
                                                          0x54186F653140A659u,
                                                          0x7738164770402145u};

static inline uint64_t ten_to_the(unsigned e) { return powers_of_five[e] << e; }
static inline uint64_t inverse_of_five_to_the(unsigned e) { return inverses_of_five[e]; }

/* Tests signed 64-bit numbers for a factor of 10^exponent. */
struct ten_test {
  unsigned exponent;
  uint64_t inverse, limit; /* multiples of 5^e have a quotient within +-limit; other numbers a larger one */
};
static inline struct ten_test ten_test_make(unsigned exponent) {
  return (struct ten_test){exponent, inverses_of_five[exponent],
                           (uint64_t)INT64_MAX / powers_of_five[exponent]};
}
static inline bool ten_divides(const struct ten_test *t, int64_t d) {
  uint64_t low = (uint64_t)d & (((uint64_t)1 << t->exponent) - 1);
  uint64_t quotient = (uint64_t)(d >> t->exponent) * t->inverse;
  return low == 0 && quotient + t->limit <= 2 * t->limit;
}

#endif
