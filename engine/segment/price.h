/* price.h - cost as tokens times a price: what metered services bill, and so what costs mostly are.
 *
 * A price says cost = round(tokens * mantissa / 10^decimals) in units of 10^-9, rounded to multiples of
 * 10^unit. A chunk whose costs nearly follow it stores only the differences. All arithmetic is modulo 2^64
 * and its rounding exact, so every value comes back whether the price fits it or not. */
#ifndef SEGMENT_PRICE_H
#define SEGMENT_PRICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/array.h"

#define PRICE_MANTISSA 999999999 /* at most, so that tokens * mantissa stays below 2^61 */
#define PRICE_SAMPLE 512u        /* rows looked at to find one */
#define PRICE_DECIMALS 9         /* at most; the same for unit */

enum price_rounding { PRICE_FLOOR, PRICE_HALF_UP, PRICE_HALF_EVEN, PRICE_ROUNDINGS };

struct price {
  int64_t mantissa;
  uint8_t decimals, unit, rounding;
};

static inline bool price_valid(const struct price *p) {
  return p->mantissa >= -PRICE_MANTISSA && p->mantissa <= PRICE_MANTISSA && p->decimals <= PRICE_DECIMALS &&
         p->unit <= PRICE_DECIMALS && p->rounding < PRICE_ROUNDINGS;
}

/* cost[i] += sign * (the predicted cost of tokens[i]), wrapping; sign is 1 or -1. Tokens beyond 32 bits
 * predict something, but nobody can say what. */
void price_apply(const struct price *p, const int64_t *tokens, uint32_t count, int sign, int64_t *cost);
/* The sum of the predicted costs, modulo 2^64, of tokens that are within `bounds`. */
uint64_t price_sum(const struct price *p, const int64_t *tokens, uint32_t count, struct bounds bounds);
/* How many of at most PRICE_SAMPLE rows a price does not predict exactly. */
uint32_t price_misses(const struct price *p, const int64_t *tokens, const int64_t *cost, uint32_t count);
/* Looks for the price that rows with these tokens and costs follow (at most PRICE_SAMPLE of them); false if
 * they seem to follow none. */
bool price_fit(const int64_t *tokens, const int64_t *cost, uint32_t count, struct price *p);

#endif
