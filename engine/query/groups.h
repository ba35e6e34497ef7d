/* groups.h - keys of groups to dense group numbers.
 *
 * A key is the codes of the bucket and the group columns, packed into 64-bit words (key_layout). Numbers
 * count from 0 in order of first sight. Few possible keys are looked up in a table with a place for each;
 * else in a hash table with open addressing, at most half full. */
#ifndef QUERY_GROUPS_H
#define QUERY_GROUPS_H

#include <stdbool.h>
#include <stdint.h>
#include <tally.h>

#include "base/budget.h"

/* Where a code stands in a key. */
struct key_part {
  uint32_t word, shift, bits; /* bits 0..63; 0: the code is always 0 */
};

struct key_layout {
  struct key_part *part;
  size_t parts;
  size_t words;  /* 0: there is one group */
  unsigned bits; /* of all parts */
};

/* Places parts[0..parts) in words; bits are given, word and shift are filled. */
void key_layout_place(struct key_layout *layout);
static inline uint64_t key_code(const uint64_t *key, struct key_part part) {
  return part.bits ? key[part.word] >> part.shift & (((uint64_t)1 << part.bits) - 1) : 0;
}
static inline void key_put(uint64_t *key, struct key_part part, uint64_t code) {
  if (part.bits) key[part.word] |= code << part.shift;
}

#define GROUP_COLUMNS 32 /* the most that a request may name */

struct group_slot {
  uint32_t tag;    /* upper half of the key's hash */
  uint32_t number; /* + 1; 0: empty */
};

struct groups {
  struct budget *budget;
  size_t words;
  unsigned dense_bits; /* 0: hashed */
  uint32_t *dense;     /* number + 1 by key */
  struct group_slot *slots;
  size_t slot_count;
  uint64_t *keys; /* words of group 0, words of group 1, ... */
  uint32_t count, capacity;
};

#define DENSE_BITS 22 /* the most: 16 MiB */

/* dense_bits: at least the layout's bits, or 0 for a hash table. */
int groups_init(struct groups *groups, size_t words, unsigned dense_bits, struct budget *budget,
                tally_error *error);
void groups_free(struct groups *groups);
/* The number of a key, a new one if it has none. TALLY_MEMORY_LIMIT, TALLY_NO_MEMORY. */
int groups_add(struct groups *groups, const uint64_t *key, uint32_t *number, tally_error *error);
/* New groups, whose keys none has; words of key 0, words of key 1, ... They are not found by their keys:
 * after the last groups_add only. */
int groups_append(struct groups *groups, const uint64_t *keys, uint32_t count, tally_error *error);
/* As groups_add for `rows` keys; word w of key i is keys[w * stride + i]. *same: all rows are of group
 * numbers[0], and the other numbers are not filled. */
int groups_add_all(struct groups *groups, const uint64_t *keys, size_t stride, uint32_t rows,
                   uint32_t *numbers, bool *same, tally_error *error);
static inline const uint64_t *groups_key(const struct groups *groups, uint32_t number) {
  return groups->keys + (size_t)number * groups->words;
}

#endif
