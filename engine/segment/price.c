/* price.c - applying and finding prices; see price.h.
 *
 * The division by 10^(decimals + unit) is a multiplication by its reciprocal (Granlund and Montgomery,
 * "Division by Invariant Integers using Multiplication", 1994): for 2 <= d <= 2^l and 0 <= n < 2^63,
 * floor(n / d) = floor(n * m / 2^(63 + l)) with m = floor(2^(63 + l) / d) + 1, which is below 2^64. */
#include "segment/price.h"

#include <string.h>

#include "base/int128.h"
#include "base/kernel.h"
#include "encoding/bits.h"

#define PIECE 512u /* rows whose costs are made at a time to be added up */

/* 10^n, n at most 18. */
static uint64_t power_of_ten(unsigned n) {
  uint64_t p = 1;
  while (n-- > 0) p *= 10;
  return p;
}

struct divisor {
  uint64_t d, magic;
  unsigned shift;
  uint64_t bias, bias_quotient; /* a multiple of d that makes every dividend positive, and it over d */
};

static struct divisor divisor_make(uint64_t d) {
  struct divisor v = {.d = d};
  if (d < 2) return v;
  unsigned l = 64 - (unsigned)__builtin_clzll(d - 1);
  v.magic = (uint64_t)(((uint128)1 << (63 + l)) / d) + 1;
  v.shift = l - 1;
  const uint64_t reach = (UINT64_C(1) << 61) + (UINT64_C(1) << 59); /* |tokens * mantissa| + d / 2 */
  v.bias_quotient = reach / d + 1;
  v.bias = v.bias_quotient * d;
  return v;
}

static inline int64_t divide_floor(const struct divisor *v, uint64_t n) {
  uint64_t q = (uint64_t)((uint128)(n + v->bias) * v->magic >> 64) >> v->shift;
  return (int64_t)(q - v->bias_quotient);
}

/* ---- by doubles, where all numbers are integers below 2^52, so that products and remainders are exact */

#define ROUND                                                                                                \
  0x1.8p52 /* added and taken away again, it leaves the nearest integer; its low bits are that integer */
#define DOUBLE_MANTISSA (1 << 19)

/* Where no dividend n is negative: `inverse` is above 1 / divisor, by less than 1.5 * 2^-51 of it, so the
 * rounded product is not below n / divisor, and above it by less than n * 2^-50 / divisor; as n < 2^50, that
 * does not reach the next integer, and the product's whole part is the quotient's. It fits 31 bits. */
#define DIVIDEND_MOST (UINT64_C(1) << 50)
static inline double inverse_above(double divisor) { return 1 / divisor * (1 + 0x1p-51); }
static inline int32_t quotient_positive(double n, double divisor, double inverse, bool even) {
  int32_t q = (int32_t)(n * inverse);
  if (even) q -= q & (n == (double)q * divisor);
  return q;
}

KERNEL static void apply_positive(const int64_t *restrict tokens, uint32_t count, double mantissa,
                                  double half, double divisor, bool even, int32_t step,
                                  int64_t *restrict cost) {
  const double inverse = inverse_above(divisor);
  for (uint32_t i = 0; i < count; i++) {
    double n = (double)(int32_t)tokens[i] * mantissa + half;
    int32_t q = quotient_positive(n, divisor, inverse, even);
    cost[i] = (int64_t)((uint64_t)cost[i] + (uint64_t)((int64_t)q * step));
  }
}

/* The sum of what it would add, without the step. */
KERNEL static int64_t sum_positive(const int64_t *tokens, uint32_t count, double mantissa, double half,
                                   double divisor, bool even) {
  const double inverse = inverse_above(divisor);
  int64_t sum = 0;
  for (uint32_t i = 0; i < count; i++)
    sum += quotient_positive((double)(int32_t)tokens[i] * mantissa + half, divisor, inverse, even);
  return sum;
}

/* Does that hold for tokens in [0, most]? */
static bool dividends_small(const struct price *p, uint64_t most, uint64_t d, uint64_t half) {
  if (p->mantissa < 0 || most >> 31) return false;
  const uint64_t dividend = most * (uint64_t)p->mantissa + half;
  return dividend < DIVIDEND_MOST && dividend / d <= INT32_MAX;
}

/* Do all tokens fit 32 bits? */
KERNEL static bool tokens_narrow(const int64_t *tokens, uint32_t count) {
  uint64_t beyond = 0;
  for (uint32_t i = 0; i < count; i++) beyond |= ((uint64_t)tokens[i] + (UINT64_C(1) << 31)) >> 32;
  return !beyond;
}

/* The quotient to the nearest is off by less than 3/4 from the exact one: its floor is it, or one less where
 * the remainder is negative. */
KERNEL static void apply_doubles(const int64_t *restrict tokens, uint32_t count, double mantissa, double half,
                                 double divisor, bool even, uint64_t step, int64_t *restrict cost) {
  const double inverse = 1 / divisor;
  const int64_t ties = even;
  for (uint32_t i = 0; i < count; i++) {
    double n = (double)(int32_t)tokens[i] * mantissa + half;
    double nearest = n * inverse + ROUND, q = nearest - ROUND, rest = n - q * divisor;
    int64_t bits, zero;
    memcpy(&bits, &nearest, sizeof bits);
    memcpy(&zero, &(double){ROUND}, sizeof zero);
    int64_t whole = bits - zero - (rest < 0);
    whole -= whole & ties & (rest == 0);
    cost[i] = (int64_t)((uint64_t)cost[i] + (uint64_t)whole * step);
  }
}

void price_apply(const struct price *p, const int64_t *tokens, uint32_t count, int sign, int64_t *cost) {
  const uint64_t d = power_of_ten(p->decimals + p->unit), mantissa = (uint64_t)p->mantissa;
  const uint64_t step = power_of_ten(p->unit) * (uint64_t)(int64_t)sign;
  const uint64_t half = p->rounding == PRICE_FLOOR ? 0 : d / 2;
  const bool even = p->rounding == PRICE_HALF_EVEN && d > 1;
  if (d < 2) {
    for (uint32_t i = 0; i < count; i++)
      cost[i] = (int64_t)((uint64_t)cost[i] + (uint64_t)tokens[i] * mantissa * step);
    return;
  }
  if (dividends_small(p, bits_union(tokens, count), d, half)) {
    apply_positive(tokens, count, (double)p->mantissa, (double)half, (double)d, even,
                   (int32_t)power_of_ten(p->unit) * sign, cost);
    return;
  }
  if (d < UINT64_C(1) << 50 && p->mantissa > -DOUBLE_MANTISSA && p->mantissa < DOUBLE_MANTISSA &&
      tokens_narrow(tokens, count)) {
    apply_doubles(tokens, count, (double)p->mantissa, (double)half, (double)d, even, step, cost);
    return;
  }
  const struct divisor v = divisor_make(d);
  for (uint32_t i = 0; i < count; i++) {
    uint64_t n = (uint64_t)tokens[i] * mantissa + half;
    uint64_t q = (uint64_t)divide_floor(&v, n);
    if (even) q -= (q & 1) & (uint64_t)(q * v.d == n);
    cost[i] = (int64_t)((uint64_t)cost[i] + q * step);
  }
}

uint64_t price_sum(const struct price *p, const int64_t *tokens, uint32_t count, struct bounds bounds) {
  const uint64_t d = power_of_ten(p->decimals + p->unit), step = power_of_ten(p->unit);
  const uint64_t half = p->rounding == PRICE_FLOOR ? 0 : d / 2;
  if (d >= 2 && bounds.min >= 0 && dividends_small(p, (uint64_t)bounds.max, d, half))
    return step * (uint64_t)sum_positive(tokens, count, (double)p->mantissa, (double)half, (double)d,
                                         p->rounding == PRICE_HALF_EVEN);
  uint64_t sum = 0;
  int64_t cost[PIECE];
  for (uint32_t at = 0, n; at < count; at += n) {
    n = count - at < PIECE ? count - at : PIECE;
    memset(cost, 0, n * sizeof *cost);
    price_apply(p, tokens + at, n, 1, cost);
    sum += array_sum(cost, n);
  }
  return sum;
}

/* ---- finding a price; doubles guide the search only, the price found is then tried exactly */

#define SEEDS 15u

static uint8_t common_unit(const int64_t *cost, uint32_t count) {
  unsigned k = PRICE_DECIMALS;
  for (uint32_t i = 0; i < count; i++)
    while (k > 0 && cost[i] % (int64_t)power_of_ten(k) != 0) k--;
  return (uint8_t)k;
}

/* A row that counts towards a price: one of the larger ones, whose cost was rounded least. */
static bool telling(int64_t tokens, int64_t most) { return tokens > 0 && tokens >= most / 8; }

/* Of the first few telling rows the one with the median price: most likely not a correction. */
static uint32_t median_row(const int64_t *tokens, const int64_t *cost, uint32_t count, int64_t most) {
  double price[SEEDS];
  uint32_t row[SEEDS], n = 0;
  for (uint32_t i = 0; i < count && n < SEEDS; i++) {
    if (!telling(tokens[i], most)) continue;
    double p = (double)cost[i] / (double)tokens[i];
    uint32_t at = n++;
    for (; at > 0 && price[at - 1] > p; at--) {
      price[at] = price[at - 1];
      row[at] = row[at - 1];
    }
    price[at] = p;
    row[at] = i;
  }
  return row[n / 2];
}

/* The range of prices that give every telling row, if costs lie within [below, above] of the exact product.
 * Rows that contradict are passed over; false if many do. */
static bool price_range(const int64_t *tokens, const int64_t *cost, uint32_t count, double below,
                        double above, double *low, double *high) {
  int64_t most = 0;
  for (uint32_t i = 0; i < count; i++)
    if (tokens[i] > most) most = tokens[i];
  if (most == 0) return false;
  uint32_t first = median_row(tokens, cost, count, most), used = 0, against = 0;
  *low = ((double)cost[first] - above) / (double)tokens[first];
  *high = ((double)cost[first] + below) / (double)tokens[first];
  for (uint32_t i = 0; i < count; i++) {
    if (!telling(tokens[i], most)) continue;
    double l = ((double)cost[i] - above) / (double)tokens[i];
    double h = ((double)cost[i] + below) / (double)tokens[i];
    used++;
    if (l > *high || h < *low) {
      against++;
      continue;
    }
    if (l > *low) *low = l;
    if (h < *high) *high = h;
  }
  return against * 4 < used;
}

/* The number with the fewest decimals, then the most trailing zeros, in [low, high]. */
static bool simplest(double low, double high, struct price *p) {
  double step = 1e9;
  for (int e = 9; e >= -PRICE_DECIMALS; e--, step /= 10) {
    double exact = low / step;
    if (exact > PRICE_MANTISSA || exact < -PRICE_MANTISSA) return false;
    int64_t m = (int64_t)exact;
    if ((double)m < exact) m++;
    if ((double)m * step > high) continue;
    if (e > 0) m *= (int64_t)power_of_ten((unsigned)e);
    p->mantissa = m;
    p->decimals = (uint8_t)(e < 0 ? -e : 0);
    return price_valid(p);
  }
  return false;
}

uint32_t price_misses(const struct price *p, const int64_t *tokens, const int64_t *cost, uint32_t count) {
  int64_t rest[PRICE_SAMPLE];
  for (uint32_t i = 0; i < count; i++) rest[i] = cost[i];
  price_apply(p, tokens, count, -1, rest);
  uint32_t n = 0;
  for (uint32_t i = 0; i < count; i++) n += rest[i] != 0;
  return n;
}

bool price_fit(const int64_t *tokens, const int64_t *cost, uint32_t count, struct price *best) {
  uint32_t fewest = UINT32_MAX;
  uint8_t unit = common_unit(cost, count);
  double u = (double)power_of_ten(unit);
  for (uint8_t rounding = 0; rounding < PRICE_ROUNDINGS; rounding++) {
    struct price p = {.unit = unit, .rounding = rounding};
    double below = rounding == PRICE_FLOOR ? u : u / 2, above = rounding == PRICE_FLOOR ? 0 : u / 2;
    double low, high;
    if (!price_range(tokens, cost, count, below, above, &low, &high) || !simplest(low, high, &p)) continue;
    uint32_t n = price_misses(&p, tokens, cost, count);
    if (n < fewest) {
      fewest = n;
      *best = p;
    }
    if (n == 0) break;
  }
  return fewest <= count / 2;
}
