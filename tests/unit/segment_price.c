/* segment_price.c - prices predict what docs/format/segment.md says they do, to the unit, and the fit finds
 * the prices that costs were made with. */
#include <criterion/criterion.h>

#include "base/int128.h"
#include "sample_rows.h"
#include "segment/price.h"

static int128 power(unsigned n) {
  int128 p = 1;
  while (n-- > 0) p *= 10;
  return p;
}

/* floor(a / b), b > 0. */
static int128 divide_floor(int128 a, int128 b) { return a / b - (a % b < 0); }

static int64_t naive(const struct price *p, int64_t tokens) {
  int128 d = power(p->decimals + p->unit), n = (int128)tokens * p->mantissa;
  int128 q = divide_floor(n, d);
  int128 rest2 = 2 * (n - q * d); /* twice the distance to the floor */
  if (p->rounding == PRICE_HALF_UP && rest2 >= d && d > 1) q++;
  if (p->rounding == PRICE_HALF_EVEN && d > 1 && (rest2 > d || (rest2 == d && q % 2 != 0))) q++;
  return (int64_t)(uint64_t)(q * power(p->unit));
}

Test(segment, prices_predict_exactly) {
  uint64_t s = sample_seed("segment_price", 9);
  static const int64_t edges[] = {INT32_MIN, INT32_MAX, 0, 1, -1, 5, -5, 15, 25, -25};
  for (int round = 0; round < 20000; round++) {
    struct price p = {.mantissa = (int64_t)sample_below(&s, 1u << sample_below(&s, 30)),
                      .decimals = (uint8_t)sample_below(&s, 10),
                      .unit = (uint8_t)sample_below(&s, 10),
                      .rounding = (uint8_t)sample_below(&s, PRICE_ROUNDINGS)};
    if (round % 50 == 0) p.mantissa = PRICE_MANTISSA;
    if (round % 3 == 0) p.mantissa = -p.mantissa;
    if (round % 4 == 0) p.mantissa = 5, p.decimals = (uint8_t)(p.decimals % 3); /* many halves */
    cr_assert(price_valid(&p));
    int64_t tokens[20], cost[20];
    for (int i = 0; i < 20; i++) {
      tokens[i] = i < 10 ? edges[i] : (int32_t)sample_random(&s) >> sample_below(&s, 31);
      cost[i] = 1000;
    }
    for (int turn = 0; turn < 3; turn++) { /* of any size and sign, none negative, none negative and small */
      for (int i = 0; i < 20 && turn == 1; i++) tokens[i] &= INT32_MAX;
      for (int i = 0; i < 20 && turn == 2; i++) tokens[i] &= 0xffff;
      price_apply(&p, tokens, 20, 1, cost);
      for (int i = 0; i < 20; i++)
        cr_assert_eq(cost[i], (int64_t)((uint64_t)naive(&p, tokens[i]) + 1000),
                     "%lld x %lld / 10^%d, 10^%d, rounding %d", (long long)tokens[i], (long long)p.mantissa,
                     p.decimals, p.unit, p.rounding);
      uint64_t sum = 0;
      for (int i = 0; i < 20; i++) sum += (uint64_t)naive(&p, tokens[i]);
      cr_assert_eq(price_sum(&p, tokens, 20, array_bounds(tokens, 20)), sum);
      cr_assert_eq(price_sum(&p, tokens, 20, (struct bounds){INT64_MIN, INT64_MAX}), sum);
      price_apply(&p, tokens, 20, -1, cost);
      for (int i = 0; i < 20; i++) cr_assert_eq(cost[i], 1000);
    }
  }
}

Test(segment, prices_are_found) {
  uint64_t s = sample_seed("segment_price_fit", 10);
  for (int round = 0; round < 300; round++) {
    struct price p = {
        .mantissa = 1 + (int64_t)sample_below(&s, 60), .rounding = (uint8_t)(round % 3), .unit = 5};
    for (unsigned zeros = sample_below(&s, 4) + 2; zeros > 0; zeros--) p.mantissa *= 10;
    int64_t tokens[PRICE_SAMPLE], cost[PRICE_SAMPLE] = {0};
    for (uint32_t i = 0; i < PRICE_SAMPLE; i++)
      tokens[i] = (int64_t)sample_below(&s, 1u << (6 + sample_below(&s, 12)));
    price_apply(&p, tokens, PRICE_SAMPLE, 1, cost);
    cost[3] += 700000; /* a correction */
    struct price found;
    cr_assert(price_fit(tokens, cost, PRICE_SAMPLE, &found), "round %d", round);
    uint32_t misses = price_misses(&found, tokens, cost, PRICE_SAMPLE);
    cr_assert_leq(misses, PRICE_SAMPLE / 8, "round %d: price %lld, found %lld / 10^%d: %u misses", round,
                  (long long)p.mantissa, (long long)found.mantissa, found.decimals, misses);
  }
  int64_t tokens[100], cost[100];
  for (int i = 0; i < 100; i++) {
    tokens[i] = sample_below(&s, 1000);
    cost[i] = (int64_t)sample_below(&s, 1000000000);
  }
  struct price found;
  cr_assert_not(price_fit(tokens, cost, 100, &found), "costs that follow no price");
}
