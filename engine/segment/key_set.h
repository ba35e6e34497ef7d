/* key_set.h - the distinct keys of a level, found by hash; once sorted each has its place in order. */
#ifndef SEGMENT_KEY_SET_H
#define SEGMENT_KEY_SET_H

#include "base/budget.h"
#include "segment/segment.h"

struct key_set {
  struct budget *budget;
  uint32_t count, capacity;
  struct rollup_key *key; /* after key_set_sort: in order */
  uint32_t *slot;         /* 2 * capacity, a power of two: number + 1; 0: empty */
  void *memory;
  size_t size;
};

int key_order(const struct rollup_key *a, const struct rollup_key *b); /* -1, 0, 1 */
/* The number of a key, which is added if it is not there. TALLY_MEMORY_LIMIT, TALLY_NO_MEMORY. */
int key_set_add(struct key_set *set, const struct rollup_key *key, uint32_t *number, tally_error *error);
/* Brings the keys in order: numbers are places from now on. */
void key_set_sort(struct key_set *set);
/* The number of a key that is there. */
uint32_t key_set_number(const struct key_set *set, const struct rollup_key *key);
void key_set_free(struct key_set *set);

#endif
