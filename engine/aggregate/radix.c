/* radix.c - see radix.h. LSD radix sort (Knuth, The Art of Computer Programming, vol. 3, 5.2.5), with digits
 * of 8 bits for short arrays, where clearing the counts dominates, and of 11 for long ones. Short arrays are
 * sorted by insertion. */
#include "aggregate/radix.h"

#include <string.h>

#include "encoding/bits.h"

#define INSERTION 24   /* entries; below, insertion sort wins */
#define LONG 16384     /* entries; from here on 11-bit digits win */
#define DIGIT_MOST 11u /* bits */
#define DIGITS (1u << DIGIT_MOST)

static unsigned digit_bits(size_t n) { return n < LONG ? 8 : DIGIT_MOST; }

/* Turns counts into first positions. */
static void positions(uint32_t *counts, size_t digits) {
  uint32_t at = 0;
  for (size_t d = 0; d < digits; d++) {
    uint32_t count = counts[d];
    counts[d] = at;
    at += count;
  }
}

static void insertion_entries(struct bag_entry *e, size_t n) {
  for (size_t i = 1; i < n; i++) {
    struct bag_entry x = e[i];
    size_t j = i;
    for (; j > 0 && entry_before(&x, &e[j - 1]); j--) e[j] = e[j - 1];
    e[j] = x;
  }
}

static uint64_t biased(int64_t value, int64_t least) { return (uint64_t)value - (uint64_t)least; }

static void pass_value(const struct bag_entry *from, struct bag_entry *to, size_t n, int64_t least,
                       unsigned shift, unsigned bits) {
  uint32_t counts[DIGITS] = {0};
  uint64_t mask = ((uint64_t)1 << bits) - 1;
  for (size_t i = 0; i < n; i++) counts[biased(from[i].value, least) >> shift & mask]++;
  positions(counts, (size_t)mask + 1);
  for (size_t i = 0; i < n; i++) to[counts[biased(from[i].value, least) >> shift & mask]++] = from[i];
}

static void pass_group(const struct bag_entry *from, struct bag_entry *to, size_t n, unsigned shift,
                       unsigned bits) {
  uint32_t counts[DIGITS] = {0};
  uint32_t mask = (1u << bits) - 1;
  for (size_t i = 0; i < n; i++) counts[from[i].group >> shift & mask]++;
  positions(counts, (size_t)mask + 1);
  for (size_t i = 0; i < n; i++) to[counts[from[i].group >> shift & mask]++] = from[i];
}

static void swap_entries(struct bag_entry **a, struct bag_entry **b) {
  struct bag_entry *t = *a;
  *a = *b;
  *b = t;
}

void radix_entries(struct bag_entry *entries, struct bag_entry *scratch, size_t n) {
  if (n < INSERTION) {
    insertion_entries(entries, n);
    return;
  }
  size_t sorted = 1;
  while (sorted < n && !entry_before(&entries[sorted], &entries[sorted - 1])) sorted++;
  if (sorted == n) return;
  int64_t least = entries[0].value, most = least;
  uint32_t groups = 0;
  for (size_t i = 0; i < n; i++) {
    if (entries[i].value < least) least = entries[i].value;
    if (entries[i].value > most) most = entries[i].value;
    groups |= entries[i].group ^ entries[0].group;
  }
  struct bag_entry *from = entries, *to = scratch;
  unsigned bits = digit_bits(n);
  uint64_t range = biased(most, least);
  for (unsigned shift = 0; shift < 64 && range >> shift; shift += bits) {
    pass_value(from, to, n, least, shift, bits);
    swap_entries(&from, &to);
  }
  for (unsigned shift = 0; shift < 32 && groups >> shift; shift += bits) {
    pass_group(from, to, n, shift, bits);
    swap_entries(&from, &to);
  }
  if (from != entries) memcpy(entries, from, n * sizeof *entries);
}

/* ---- four or eight bytes an entry */

/* SORT: keys by their lowest `bits` bits, stably; gives the one of the two arrays where they are then. */
#define RADIX_KEYS(PASS, SORT, KEY)                                                                          \
  static void PASS(const KEY *from, KEY *to, size_t n, unsigned shift, unsigned bits) {                      \
    uint32_t counts[DIGITS] = {0};                                                                           \
    KEY mask = ((KEY)1 << bits) - 1;                                                                         \
    for (size_t i = 0; i < n; i++) counts[from[i] >> shift & mask]++;                                        \
    positions(counts, (size_t)mask + 1);                                                                     \
    for (size_t i = 0; i < n; i++) to[counts[from[i] >> shift & mask]++] = from[i];                          \
  }                                                                                                          \
  static KEY *SORT(KEY *keys, KEY *scratch, size_t n, unsigned bits, unsigned most) {                        \
    unsigned passes = (bits + most - 1) / most;                                                              \
    for (unsigned done = 0; passes > 0; passes--) {                                                          \
      unsigned digit = (bits - done + passes - 1) / passes;                                                  \
      PASS(keys, scratch, n, done, digit);                                                                   \
      KEY *swap = keys;                                                                                      \
      keys = scratch;                                                                                        \
      scratch = swap;                                                                                        \
      done += digit;                                                                                         \
    }                                                                                                        \
    return keys;                                                                                             \
  }
RADIX_KEYS(pass_short, sort_short, uint32_t)
RADIX_KEYS(pass_long, sort_long, uint64_t)
#undef RADIX_KEYS

static void insertion_keys(uint64_t *keys, size_t n, uint64_t mask) {
  for (size_t i = 1; i < n; i++) {
    uint64_t x = keys[i];
    size_t j = i;
    for (; j > 0 && (x & mask) < (keys[j - 1] & mask); j--) keys[j] = keys[j - 1];
    keys[j] = x;
  }
}

uint64_t *radix_keys(uint64_t *keys, uint64_t *scratch, size_t n, unsigned bits) {
  if (n >= INSERTION) return sort_long(keys, scratch, n, bits, digit_bits(n));
  insertion_keys(keys, n, bits_mask(bits));
  return keys;
}

/* What all entries have in common. */
struct extent {
  int64_t least, most;
  uint32_t first_group, last_group;
  bool single;
};

static struct extent extent_of(const struct bag_entry *e, size_t n) {
  struct extent x = {e[0].value, e[0].value, e[0].group, e[0].group, true};
  uint32_t other = 0;
  for (size_t i = 0; i < n; i++) {
    x.least = e[i].value < x.least ? e[i].value : x.least;
    x.most = e[i].value > x.most ? e[i].value : x.most;
    x.first_group = e[i].group < x.first_group ? e[i].group : x.first_group;
    x.last_group = e[i].group > x.last_group ? e[i].group : x.last_group;
    other |= e[i].count ^ 1;
  }
  x.single = other == 0;
  return x;
}

/* SINGLES: entries through keys of one width: those that are equal become one. Whether a key is that of the
 * one before it cannot be guessed, so nothing branches on it. */
#define RADIX_SINGLES(SINGLES, SORT, KEY)                                                                    \
  static size_t SINGLES(struct bag_entry *entries, KEY *keys, size_t n, const struct extent *x,              \
                        unsigned value_bits, unsigned bits) {                                                \
    const KEY mask = ((KEY)1 << value_bits) - 1;                                                             \
    for (size_t i = 0; i < n; i++)                                                                           \
      keys[i] = (KEY)((uint64_t)(entries[i].group - x->first_group) << value_bits |                          \
                      biased(entries[i].value, x->least));                                                   \
    const KEY *sorted = SORT(keys, keys + n, n, bits, DIGIT_MOST);                                           \
    size_t kept = 0, first = 0;                                                                              \
    for (size_t i = 0; i < n; i++) {                                                                         \
      bool another = sorted[i] != sorted[first];                                                             \
      kept += another;                                                                                       \
      first = another ? i : first;                                                                           \
      entries[kept] = (struct bag_entry){(int64_t)((sorted[i] & mask) + (uint64_t)x->least),                 \
                                         (uint32_t)(sorted[i] >> value_bits) + x->first_group,               \
                                         (uint32_t)(i - first + 1)};                                         \
    }                                                                                                        \
    return kept + 1;                                                                                         \
  }
RADIX_SINGLES(singles_short, sort_short, uint32_t)
RADIX_SINGLES(singles_long, sort_long, uint64_t)
#undef RADIX_SINGLES

size_t radix_singles(struct bag_entry *entries, struct bag_entry *scratch, size_t n) {
  if (n < INSERTION) return 0;
  const struct extent x = extent_of(entries, n);
  const unsigned value_bits = bits_length(biased(x.most, x.least));
  const unsigned bits = value_bits + bits_length(x.last_group - x.first_group);
  if (!x.single || value_bits == 64 || bits > 64) return 0;
  if (value_bits < 32 && bits <= 32)
    return singles_short(entries, (uint32_t *)(void *)scratch, n, &x, value_bits, bits);
  return singles_long(entries, (uint64_t *)(void *)scratch, n, &x, value_bits, bits);
}

static void insertion_order(uint32_t *order, size_t n, const uint64_t *keys) {
  for (size_t i = 1; i < n; i++) {
    uint32_t x = order[i];
    size_t j = i;
    for (; j > 0 && keys[x] < keys[order[j - 1]]; j--) order[j] = order[j - 1];
    order[j] = x;
  }
}

static void pass_order(const uint32_t *from, uint32_t *to, size_t n, const uint64_t *keys, unsigned shift,
                       unsigned bits) {
  uint32_t counts[DIGITS] = {0};
  uint64_t mask = ((uint64_t)1 << bits) - 1;
  for (size_t i = 0; i < n; i++) counts[keys[from[i]] >> shift & mask]++;
  positions(counts, (size_t)mask + 1);
  for (size_t i = 0; i < n; i++) to[counts[keys[from[i]] >> shift & mask]++] = from[i];
}

void radix_order(uint32_t *order, uint32_t *scratch, size_t n, const uint64_t *keys) {
  if (n < INSERTION) {
    insertion_order(order, n, keys);
    return;
  }
  uint64_t vary = 0;
  for (size_t i = 0; i < n; i++) vary |= keys[order[i]] ^ keys[order[0]];
  uint32_t *from = order, *to = scratch;
  unsigned bits = digit_bits(n);
  for (unsigned shift = 0; shift < 64 && vary >> shift; shift += bits) {
    if (!(vary >> shift & (((uint64_t)1 << bits) - 1))) continue;
    pass_order(from, to, n, keys, shift, bits);
    uint32_t *t = from;
    from = to;
    to = t;
  }
  if (from != order) memcpy(order, from, n * sizeof *order);
}
