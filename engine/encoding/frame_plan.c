/* frame_plan.c - how to write a frame smallest: base, power of ten, width; see frame.h.
 *
 * The base comes from a sorted sample with the two extremes, which costs the same for any length. The power
 * is exact, from one pass. The width is the best for a sample, or one beside it, by exact size. */
#include <string.h>

#include "base/kernel.h"
#include "encoding/bits.h"
#include "encoding/frame.h"
#include "encoding/powers.h"

#define SAMPLE 64u
#define FEW 512u /* values whose lengths are all counted */

/* How many values each one is greater than. */
KERNEL static void rank_all(const int64_t *restrict s, unsigned n, int64_t *restrict rank) {
  for (unsigned i = 0; i < n; i++) rank[i] = 0;
  for (unsigned k = 0; k < n; k++) {
    const int64_t v = s[k];
    for (unsigned i = 0; i < n; i++) rank[i] += v < s[i];
  }
}

/* Sorts without branches on the values, which would be guessed wrongly: equal ones have one rank, and fill
 * the places from there on. */
static void sort_sample(int64_t *s, unsigned n) {
  int64_t rank[SAMPLE], sorted[SAMPLE];
  uint8_t filled[SAMPLE] = {0};
  rank_all(s, n, rank);
  for (unsigned i = 0; i < n; i++) sorted[rank[i] + filled[rank[i]]++] = s[i];
  memcpy(s, sorted, n * sizeof *s);
}

/* At most SAMPLE values, sorted, min and max among them. The step is jittered, so that a period in the data
 * does not hide values. */
static unsigned take_sample(const int64_t *v, uint32_t count, int64_t min, int64_t max, int64_t *s) {
  unsigned wanted = count < 512 ? SAMPLE / 2 : SAMPLE, n = 0;
  uint32_t step = count / wanted + 1, jitter = 0;
  s[n++] = min;
  s[n++] = max;
  for (uint32_t i = 0; n < wanted && i + jitter < count; i += step) {
    s[n++] = v[i + jitter];
    jitter = (jitter * 5 + 3) % step;
  }
  sort_sample(s, n);
  return n;
}

static uint64_t distance(int64_t from, int64_t to) { return (uint64_t)to - (uint64_t)from; }

/* Bits for the sample if [s[low], s[high]] is packed and the rest are exceptions, whose distance from s[low]
 * has `far` bits at most. */
static uint64_t window_bits(const int64_t *s, unsigned n, unsigned low, unsigned high, unsigned far,
                            unsigned position_bits) {
  unsigned width = bits_length(distance(s[low], s[high])), outside = low + (n - 1 - high);
  return (uint64_t)width * n + (uint64_t)outside * (position_bits + (far > width ? far - width : 0) + 1);
}

/* The smallest of the values that are at least `floor`, or `low`, if none is smaller. */
KERNEL static int64_t lowest_above(const int64_t *v, uint32_t count, int64_t floor, int64_t low) {
  for (uint32_t i = 0; i < count; i++) low = v[i] < low && v[i] >= floor ? v[i] : low;
  return low;
}

/* The smallest value that is not far below the window: what the sample's lowest usual value stands for. */
static int64_t lowest_usual(const int64_t *v, uint32_t count, int64_t low, int64_t high) {
  uint64_t span = distance(low, high), room = distance(INT64_MIN, low);
  return lowest_above(v, count, span > room ? INT64_MIN : (int64_t)((uint64_t)low - span), low);
}

static uint32_t alike_of(const int64_t *sorted, unsigned n) {
  uint32_t pairs = 0;
  for (unsigned i = 1, equal = 0; i < n; i++) {
    equal = sorted[i] == sorted[i - 1] ? equal + 1 : 0;
    pairs += equal;
  }
  return n * (n - 1) / 2 / (pairs + 1);
}

struct int_frame_guess int_frame_guess(const int64_t *v, uint32_t count, int64_t min, int64_t max) {
  static const unsigned cuts[] = {0, 1, 2, 4, 8, 16, 31};
  const unsigned number = sizeof cuts / sizeof *cuts;
  int64_t s[SAMPLE];
  unsigned n = take_sample(v, count, min, max, s), best_low = 0, best_high = n - 1;
  unsigned position_bits = bits_length(count - 1);
  uint64_t best = UINT64_MAX, all_above = UINT64_MAX;
  for (unsigned l = 0; l < number && cuts[l] < n; l++) {
    unsigned above = bits_length(distance(s[cuts[l]], s[n - 1])),
             below = bits_length(distance(s[0], s[cuts[l]]));
    unsigned far = above > below ? above : below;
    for (unsigned h = 0; h < number && cuts[l] + cuts[h] < n; h++) {
      unsigned high = n - 1 - cuts[h];
      uint64_t bits = window_bits(s, n, cuts[l], high, far, position_bits);
      if (l == 0 && bits < all_above) all_above = bits;
      if (bits >= best) continue;
      best = bits;
      best_low = cuts[l];
      best_high = high;
    }
  }
  struct int_frame_guess guess = {min, all_above * SAMPLE / n, alike_of(s, n)};
  if (best_low == 0 || best > all_above - all_above / 16) return guess; /* exceptions below have to pay */
  guess.base = lowest_usual(v, count, s[best_low], s[best_high]);
  guess.bits = best * SAMPLE / n;
  return guess;
}

/* The largest e with 10^e dividing every difference from base. A power that divides a value also divides
 * what its multiples divide, so lowering e on the way needs no second pass. */
static unsigned common_exponent(const int64_t *v, uint32_t count, int64_t base) {
  struct ten_test test = ten_test_make(POWERS_MAX);
  for (uint32_t i = 0; i < count; i++) {
    int64_t d = (int64_t)distance(base, v[i]);
    while (test.exponent && !ten_divides(&test, d)) test = ten_test_make(test.exponent - 1);
    if (test.exponent == 0) return 0;
  }
  return test.exponent;
}

/* Counts of bit lengths: [0] of quotients >= 0, [1] of the complements of negative ones. */
struct lengths {
  uint32_t count[2][65];
};

/* The bin of a quotient: its length, or 64 + the length of its complement. */
static unsigned length_bin(uint64_t q) {
  uint64_t sign = q >> 63, x = q ^ (0 - sign);
  return (unsigned)(63 ^ __builtin_clzll(x << 1 | 1)) + 64 * (unsigned)sign;
}

static uint64_t quotient(int64_t v, int64_t base, unsigned exponent, uint64_t inverse) {
  return (uint64_t)((int64_t)distance(base, v) >> exponent) * inverse;
}

static void count_lengths(const int64_t *v, uint32_t count, int64_t base, unsigned exponent,
                          struct lengths *l) {
  uint32_t bins[128] = {0};
  uint64_t inverse = inverse_of_five_to_the(exponent);
  for (uint32_t i = 0; i < count; i++) bins[length_bin(quotient(v[i], base, exponent, inverse))]++;
  for (unsigned b = 0; b < 128; b++) l->count[b / 64][b % 64] = bins[b];
  l->count[0][64] = l->count[1][64] = 0;
}

static unsigned longest(const uint32_t *counts) {
  unsigned b = 64;
  while (b && counts[b] == 0) b--;
  return b;
}

/* Bits of the zigzagged high parts at this width, given the longest quotient of each sign. */
static unsigned high_width(unsigned width, unsigned above, unsigned below, bool negative) {
  unsigned a = above > width ? above - width + 1 : 0;
  unsigned b = !negative ? 0 : below > width ? below - width + 1 : 1;
  return a > b ? a : b;
}

#define WIDTH_SAMPLE 256u

/* Of quotients at even distances: the width that is best for them, where the others are at most `longest`
 * long, and those below the base at most `below`. */
static unsigned sampled_width(const int64_t *v, uint32_t count, const struct int_frame_plan *plan,
                              unsigned longest, unsigned below, bool negative) {
  uint32_t step = count / WIDTH_SAMPLE + 1, n = 0, lengths[65] = {0}, negatives = 0;
  uint64_t inverse = inverse_of_five_to_the(plan->exponent);
  for (uint32_t i = 0; i < count; i += step, n++) {
    int64_t q = (int64_t)quotient(v[i], plan->base, plan->exponent, inverse);
    if (q < 0)
      negatives++;
    else
      lengths[bits_length((uint64_t)q)]++;
  }
  unsigned best = longest, position = bits_length(count - 1);
  uint64_t best_bits = UINT64_MAX, longer = negatives;
  for (unsigned width = longest + 1; width-- > 0;) {
    uint64_t bits = (uint64_t)width * n + longer * (position + high_width(width, longest, below, negative));
    longer += lengths[width];
    if (bits >= best_bits) continue;
    best_bits = bits;
    best = width;
  }
  return best;
}

/* The size of a plan whose width is set, with so many exceptions. */
static struct int_frame_plan plan_of(struct int_frame_plan plan, uint32_t count, unsigned width,
                                     uint32_t exceptions, unsigned high) {
  plan.width = (uint8_t)width;
  plan.exceptions = exceptions;
  plan.exception_width = exceptions ? (uint8_t)high : 0;
  plan.size = 1 + varint_size(zigzag(plan.base)) + bits_size(count, width) +
              int_frame_exceptions_size(exceptions, high, count);
  return plan;
}

/* On a tie fewer exceptions win. */
static bool smaller(const struct int_frame_plan *a, const struct int_frame_plan *b) {
  return a->size < b->size || (a->size == b->size && a->exceptions <= b->exceptions);
}

static struct int_frame_plan plan_few(const int64_t *v, uint32_t count, struct int_frame_plan plan) {
  struct lengths l;
  count_lengths(v, count, plan.base, plan.exponent, &l);
  unsigned above = longest(l.count[0]), below = longest(l.count[1]);
  uint32_t negatives = 0, longer = 0; /* longer: quotients >= 0 of more than `width` bits */
  for (unsigned b = 0; b < 65; b++) negatives += l.count[1][b];
  struct int_frame_plan best = plan_of(plan, count, 64, 0, 0);
  /* Wider than the longest does not pay. */
  for (unsigned width = above < 64 ? above + 1 : 64; width-- > 0;) {
    longer += l.count[0][width + 1];
    struct int_frame_plan p =
        plan_of(plan, count, width, longer + negatives, high_width(width, above, below, negatives > 0));
    if (smaller(&p, &best)) best = p;
  }
  return best;
}

/* How long quotients >= 0 are at most, and the complements of all others; are there others? */
struct reach {
  unsigned above, below;
  bool negative;
};

/* Quotients ascend with the values, as long as their distances from the base fit their type. */
static struct reach reach_of(struct bounds b, int64_t base, unsigned exponent) {
  const uint64_t inverse = inverse_of_five_to_the(exponent);
  const bool above = b.max > base, below = b.min < base;
  if ((above && distance(base, b.max) > INT64_MAX) || (below && distance(b.min, base) > INT64_MAX))
    return (struct reach){63, 63, true};
  return (struct reach){.above = above ? bits_length(quotient(b.max, base, exponent, inverse)) : 0,
                        .below = below ? bits_length(~quotient(b.min, base, exponent, inverse)) : 0,
                        .negative = below};
}

/* The quotients that have more than width - 1, width and width + 1 bits, or are negative. */
struct longer {
  uint32_t less, equal, more;
};

KERNEL static struct longer count_longer(const int64_t *v, uint32_t count, int64_t base, unsigned exponent,
                                         unsigned width) {
  uint64_t less = 0, equal = 0, more = 0, inverse = inverse_of_five_to_the(exponent);
  for (uint32_t i = 0; i < count; i++) {
    uint64_t q = exponent ? quotient(v[i], base, exponent, inverse) : distance(base, v[i]);
    uint64_t high = q >> (width - 1);
    less += high != 0;
    equal += high >> 1 != 0;
    more += high >> 2 != 0;
  }
  return (struct longer){(uint32_t)less, (uint32_t)equal, (uint32_t)more};
}

/* The width that suits a sample, and those beside it. */
static struct int_frame_plan plan_many(const int64_t *v, uint32_t count, struct bounds b,
                                       struct int_frame_plan plan) {
  const struct reach reach = reach_of(b, plan.base, plan.exponent);
  const unsigned above = reach.above, below = reach.below;
  const bool negative = reach.negative;
  struct int_frame_plan best = plan_of(plan, count, 64, 0, 0);
  if (!negative) best = plan_of(plan, count, above, 0, 0);
  unsigned width = sampled_width(v, count, &plan, above, below, negative);
  if (width == above && !negative) return best;
  if (width < 1) width = 1;
  struct longer n = count_longer(v, count, plan.base, plan.exponent, width);
  const uint32_t exceptions[] = {n.less, n.equal, n.more};
  for (unsigned k = 3; k-- > 0;) {
    unsigned w = width - 1 + k;
    if (w > above || w > 63) continue;
    struct int_frame_plan p = plan_of(plan, count, w, exceptions[k], high_width(w, above, below, negative));
    if (smaller(&p, &best)) best = p;
  }
  return best;
}

struct int_frame_plan int_frame_plan(const int64_t *v, uint32_t count, struct bounds b, int64_t base) {
  struct int_frame_plan plan = {.base = base, .exponent = (uint8_t)common_exponent(v, count, base)};
  plan = count < FEW ? plan_few(v, count, plan) : plan_many(v, count, b, plan);
  if (plan.width == 0 && plan.exceptions == 0) plan.exponent = 0;
  return plan;
}
