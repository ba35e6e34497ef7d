/* key_set.c - see key_set.h. */
#include "segment/key_set.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"

#define LEAST 256u

int key_order(const struct rollup_key *a, const struct rollup_key *b) {
  if (a->service != b->service) return a->service < b->service ? -1 : 1;
  if (a->endpoint != b->endpoint) return a->endpoint < b->endpoint ? -1 : 1;
  if (a->method != b->method) return a->method < b->method ? -1 : 1;
  return (a->status > b->status) - (a->status < b->status);
}

static uint32_t slot_of(const struct key_set *set, const struct rollup_key *k) {
  uint64_t a = (uint64_t)k->service << 32 | k->endpoint, b = (uint64_t)k->method << 32 | k->status;
  return (uint32_t)hash_mix(a ^ hash_mix(b)) & (2 * set->capacity - 1);
}

static void place(struct key_set *set, uint32_t number) {
  uint32_t mask = 2 * set->capacity - 1, i = slot_of(set, &set->key[number]);
  while (set->slot[i]) i = (i + 1) & mask;
  set->slot[i] = number + 1;
}

static void place_all(struct key_set *set) {
  memset(set->slot, 0, 2 * (size_t)set->capacity * sizeof *set->slot);
  for (uint32_t i = 0; i < set->count; i++) place(set, i);
}

static int grow(struct key_set *set, tally_error *error) {
  struct key_set n = {.budget = set->budget, .count = set->count};
  n.capacity = set->capacity ? 2 * set->capacity : LEAST;
  n.size = n.capacity * (sizeof *n.key + 2 * sizeof *n.slot);
  if (!budget_take(n.budget, n.size))
    return fail(
        error, TALLY_MEMORY_LIMIT,
        "thinning a month needs %zu bytes for its keys that the memory budget does not have: raise the "
        "store's memory",
        n.size);
  n.memory = n.key = mem_alloc(n.size);
  if (!n.memory) {
    budget_give(n.budget, n.size);
    return fail_memory(error, "the keys of rollups");
  }
  n.slot = (uint32_t *)(void *)(n.key + n.capacity);
  if (n.count) memcpy(n.key, set->key, n.count * sizeof *n.key);
  key_set_free(set);
  *set = n;
  place_all(set);
  return 0;
}

static bool find(const struct key_set *set, const struct rollup_key *key, uint32_t *number) {
  uint32_t mask = 2 * set->capacity - 1;
  for (uint32_t i = slot_of(set, key); set->slot[i]; i = (i + 1) & mask) {
    *number = set->slot[i] - 1;
    if (key_order(&set->key[*number], key) == 0) return true;
  }
  return false;
}

int key_set_add(struct key_set *set, const struct rollup_key *key, uint32_t *number, tally_error *error) {
  if (set->capacity && find(set, key, number)) return 0;
  int result = set->count == set->capacity ? grow(set, error) : 0;
  if (result) return result;
  *number = set->count++;
  set->key[*number] = *key;
  place(set, *number);
  return 0;
}

static int by_ids(const void *a, const void *b) { return key_order(a, b); }

void key_set_sort(struct key_set *set) {
  if (!set->count) return;
  qsort(set->key, set->count, sizeof *set->key, by_ids);
  place_all(set);
}

uint32_t key_set_number(const struct key_set *set, const struct rollup_key *key) {
  uint32_t number = 0;
  (void)find(set, key, &number);
  return number;
}

void key_set_free(struct key_set *set) {
  if (!set->memory) return;
  mem_free(set->memory);
  budget_give(set->budget, set->size);
  *set = (struct key_set){.budget = set->budget};
}
