/* bag.h - for every group the multiset of its values: exact percentiles, and exact distinct counts of values
 * from a large space.
 *
 * A sorted run of (group, value, count), and unsorted pending entries that are sorted, summed up and merged
 * into the run when they reach half its size (at least BAG_PENDING). So memory is proportional to the number
 * of distinct (group, value) pairs, not of rows: at most BAG_PAIR bytes a pair, and 2 * BAG_PENDING entries
 * more. A row costs amortised constant time. Two entries of the run are equal only where a count would pass
 * 32 bits. */
#ifndef AGGREGATE_BAG_H
#define AGGREGATE_BAG_H

#include <stddef.h>
#include <stdint.h>
#include <tally.h>

#include "aggregate/radix.h"
#include "base/budget.h"

#define BAG_PENDING 65536u
#define BAG_PAIR 40u /* 1.5 entries of the run, half an entry that is pending and its copy while sorting */

struct bag {
  struct budget *budget;
  struct bag_entry *run; /* sorted by (group, value) */
  size_t run_size, run_capacity;
  struct bag_entry *pending;
  size_t pending_size, pending_capacity;
};

void bag_init(struct bag *bag, struct budget *budget);
void bag_free(struct bag *bag);
/* Adds value[i] of row i to groups[i], or to group `one` if groups is NULL, where bit i of valid is set
 * (NULL: everywhere). TALLY_MEMORY_LIMIT, TALLY_NO_MEMORY. */
int bag_add(struct bag *bag, const uint32_t *groups, uint32_t one, const int64_t *values,
            const uint64_t *valid, uint32_t rows, tally_error *error);
int bag_add_one(struct bag *bag, uint32_t group, int64_t value, tally_error *error);
int bag_add_times(struct bag *bag, uint32_t group, int64_t value, uint32_t times, tally_error *error);
/* Moves all of `from`: its group g as group_map[g], its value v as value_map[v] (NULL: as it is). Both share
 * a budget; `from` is empty afterwards, or fit only to be freed if it fails. */
int bag_merge(struct bag *bag, struct bag *from, const uint32_t *group_map, const uint32_t *value_map,
              tally_error *error);
/* Brings everything into the run; then bag_group gives a group's entries by ascending value. */
int bag_seal(struct bag *bag, tally_error *error);
size_t bag_group(const struct bag *bag, uint32_t group, const struct bag_entry **first);

#endif
