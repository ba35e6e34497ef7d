/* radix.h - sorting by counting digits, least significant first; but for radix_keys over the bits that vary.
 */
#ifndef AGGREGATE_RADIX_H
#define AGGREGATE_RADIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A value of a group, seen `count` times. */
struct bag_entry {
  int64_t value;
  uint32_t group;
  uint32_t count;
};

/* Without a branch: mostly it cannot be guessed. */
static inline bool entry_before(const struct bag_entry *a, const struct bag_entry *b) {
  return (a->group < b->group) | ((a->group == b->group) & (a->value < b->value));
}

/* Sorts entries by (group, value). `scratch` has room for n entries. Stable. */
void radix_entries(struct bag_entry *entries, struct bag_entry *scratch, size_t n);

/* The same where every count is 1 and a group and a value fit 64 bits together: eight bytes an entry are
 * sorted, and equal entries become one with their count. Returns how many are left; 0: they are not such, and
 * are as they were. */
size_t radix_singles(struct bag_entry *entries, struct bag_entry *scratch, size_t n);
/* Sorts keys by their lowest `bits` bits, stably; gives the one of the two arrays where they are then. */
uint64_t *radix_keys(uint64_t *keys, uint64_t *scratch, size_t n, unsigned bits);

/* Sorts the row numbers in `order` by keys[order[i]], ascending. `scratch` has room for n numbers. Stable, so
 * sorting by several words goes from the last word to the first. */
void radix_order(uint32_t *order, uint32_t *scratch, size_t n, const uint64_t *keys);

#endif
