/* frame_plan.c - how to write a frame smallest: base, power of ten, width; see frame.h.
 *
 * The base comes from a sorted sample with the two extremes, which costs the same for any length; power and
 * width are exact, from one pass each. */
#include <string.h>

#include "encoding/bits.h"
#include "encoding/frame.h"
#include "encoding/powers.h"

#define SAMPLE 64u
#define LANES 4u  /* histograms side by side, so that equal neighbours do not wait for each other */
#define FEW 1024u /* values for which adding the lanes up costs more than waiting */

static void sort_sample(int64_t *s, unsigned n) {
  for (unsigned i = 1; i < n; i++) {
    int64_t x = s[i];
    unsigned j = i;
    for (; j && s[j - 1] > x; j--) s[j] = s[j - 1];
    s[j] = x;
  }
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

/* Bits for the sample if [s[low], s[high]] is packed and the rest are exceptions. */
static uint64_t window_bits(const int64_t *s, unsigned n, unsigned low, unsigned high,
                            unsigned position_bits) {
  unsigned width = bits_length(distance(s[low], s[high])), outside = low + (n - 1 - high);
  if (outside == 0) return (uint64_t)width * n;
  unsigned above = bits_length(distance(s[low], s[n - 1])), below = bits_length(distance(s[0], s[low]));
  unsigned far = above > below ? above : below;
  return (uint64_t)width * n + (uint64_t)outside * (position_bits + (far > width ? far - width : 0) + 1);
}

/* The smallest value that is not far below the window: what the sample's lowest usual value stands for. */
static int64_t lowest_usual(const int64_t *v, uint32_t count, int64_t low, int64_t high) {
  uint64_t span = distance(low, high), room = distance(INT64_MIN, low);
  int64_t floor = span > room ? INT64_MIN : (int64_t)((uint64_t)low - span), lowest = low;
  for (uint32_t i = 0; i < count; i++) lowest = v[i] < lowest && v[i] >= floor ? v[i] : lowest;
  return lowest;
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
    for (unsigned h = 0; h < number && cuts[l] + cuts[h] < n; h++) {
      unsigned high = n - 1 - cuts[h];
      uint64_t bits = window_bits(s, n, cuts[l], high, position_bits);
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

static void count_lengths(const int64_t *v, uint32_t count, int64_t base, unsigned exponent,
                          struct lengths *l) {
  uint32_t bins[LANES][128], lanes = count < FEW ? 1 : LANES;
  uint64_t inverse = inverse_of_five_to_the(exponent);
  memset(bins, 0, lanes * sizeof bins[0]);
  if (exponent == 0)
    for (uint32_t i = 0; i < count; i++) bins[i & (lanes - 1)][length_bin(distance(base, v[i]))]++;
  else
    for (uint32_t i = 0; i < count; i++)
      bins[i & (lanes - 1)][length_bin((uint64_t)((int64_t)distance(base, v[i]) >> exponent) * inverse)]++;
  *l = (struct lengths){{{0}}};
  for (unsigned b = 0; b < 128; b++)
    for (unsigned lane = 0; lane < lanes; lane++) l->count[b / 64][b % 64] += bins[lane][b];
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

/* ---- from a sample ---- */

#define QUICK_SAMPLE 256u
#define QUICK_POWERS 16u /* values that must have a power of ten in common before all are asked */

/* Of quotients at even distances: the width that is best for them, where the others are at most `longest`
 * long, and those below the base at most `below`. */
static unsigned sampled_width(const int64_t *v, uint32_t count, const struct int_frame_plan *plan,
                              unsigned longest, unsigned below) {
  uint32_t step = count / QUICK_SAMPLE + 1, n = 0, lengths[65] = {0}, negatives = 0;
  uint64_t inverse = inverse_of_five_to_the(plan->exponent);
  for (uint32_t i = 0; i < count; i += step, n++) {
    int64_t q = (int64_t)((uint64_t)((int64_t)distance(plan->base, v[i]) >> plan->exponent) * inverse);
    if (q < 0)
      negatives++;
    else
      lengths[bits_length((uint64_t)q)]++;
  }
  unsigned best = longest, position = bits_length(count - 1);
  uint64_t best_bits = UINT64_MAX, longer = negatives;
  for (unsigned width = longest + 1; width-- > 0;) {
    uint64_t bits = (uint64_t)width * n + longer * (position + high_width(width, longest, below, below > 0));
    longer += lengths[width];
    if (bits >= best_bits) continue;
    best_bits = bits;
    best = width;
  }
  return best;
}

static unsigned quick_exponent(const int64_t *v, uint32_t count, int64_t base) {
  uint32_t few = count < QUICK_POWERS ? count : QUICK_POWERS;
  return common_exponent(v, few, base) ? common_exponent(v, count, base) : 0;
}

struct int_frame_plan int_frame_plan_quick(const int64_t *v, uint32_t count, int64_t min, int64_t max) {
  struct int_frame_plan plan = {.base = min, .width = (uint8_t)bits_length(distance(min, max))};
  if (distance(min, max) > INT64_MAX) return plan;
  plan.base = int_frame_guess(v, count, min, max).base;
  plan.exponent = (uint8_t)quick_exponent(v, count, plan.base);
  uint64_t scale = ten_to_the(plan.exponent);
  unsigned longest = bits_length(distance(plan.base, max) / scale),
           below = bits_length(distance(min, plan.base) / scale);
  plan.width = (uint8_t)sampled_width(v, count, &plan, longest, below);
  if (plan.width < longest || below)
    plan.exception_width = (uint8_t)high_width(plan.width, longest, below, below > 0);
  return plan;
}

/* ---- exactly ---- */

struct int_frame_plan int_frame_plan(const int64_t *v, uint32_t count, int64_t base) {
  struct int_frame_plan best = {.base = base, .exponent = (uint8_t)common_exponent(v, count, base)};
  struct lengths l;
  count_lengths(v, count, base, best.exponent, &l);
  unsigned above = longest(l.count[0]), below = longest(l.count[1]);
  uint32_t negatives = 0, longer = 0; /* longer: quotients >= 0 of more than `width` bits */
  for (unsigned b = 0; b < 65; b++) negatives += l.count[1][b];
  best.width = 64;
  best.size = 1 + varint_size(zigzag(base)) + bits_size(count, 64);
  /* Downward: on a tie fewer exceptions stay. Wider than the longest does not pay. */
  for (unsigned width = above < 64 ? above + 1 : 64; width-- > 0;) {
    longer += l.count[0][width + 1];
    uint32_t exceptions = longer + negatives;
    unsigned high = high_width(width, above, below, negatives > 0);
    size_t size = 1 + varint_size(zigzag(base)) + bits_size(count, width) +
                  int_frame_exceptions_size(exceptions, high, count);
    if (size > best.size || (size == best.size && exceptions > best.exceptions)) continue;
    best.size = size;
    best.width = (uint8_t)width;
    best.exceptions = exceptions;
    best.exception_width = exceptions ? (uint8_t)high : 0;
  }
  if (best.width == 0 && best.exceptions == 0) best.exponent = 0;
  return best;
}
