/* groups.c - see groups.h. */
#include "query/groups.h"

#include <string.h>

#include "aggregate/grow.h"
#include "base/hash.h"

#define GROUPS_MOST (UINT32_MAX - 1)
#define WORDS_MOST (GROUP_COLUMNS + 1) /* a code has less than 64 bits, and there may be a bucket */

static const char what[] = "table of groups";

void key_layout_place(struct key_layout *layout) {
  uint32_t word = 0, used = 0;
  layout->bits = 0;
  for (size_t i = 0; i < layout->parts; i++) {
    struct key_part *p = &layout->part[i];
    if (used + p->bits > 64) {
      word++;
      used = 0;
    }
    p->word = word;
    p->shift = used < 64 ? used : 0;
    used += p->bits;
    layout->bits += p->bits;
  }
  layout->words = layout->bits ? word + 1 : 0;
}

int groups_init(struct groups *groups, size_t words, unsigned dense_bits, struct budget *budget,
                tally_error *error) {
  *groups = (struct groups){.budget = budget, .words = words, .dense_bits = dense_bits};
  if (!dense_bits) return 0;
  groups->dense = grow_zeroed(budget, sizeof *groups->dense << dense_bits, what, error);
  return groups->dense ? 0 : error->code;
}

void groups_free(struct groups *groups) {
  if (!groups->budget) return;
  if (groups->dense) grow_free(groups->budget, groups->dense, sizeof *groups->dense << groups->dense_bits);
  grow_free(groups->budget, groups->slots, groups->slot_count * sizeof *groups->slots);
  grow_free(groups->budget, groups->keys, groups->capacity * groups->words * sizeof *groups->keys);
  *groups = (struct groups){0};
}

static uint64_t hash_key(const uint64_t *key, size_t words) {
  uint64_t hash = 0;
  for (size_t w = 0; w < words; w++) hash = hash_mix(hash * 3 + key[w]);
  return hash;
}

static bool key_equal(const uint64_t *a, const uint64_t *b, size_t words) {
  for (size_t w = 0; w < words; w++)
    if (a[w] != b[w]) return false;
  return true;
}

static void place(struct group_slot *slots, size_t mask, uint64_t hash, uint32_t number) {
  size_t i = (size_t)hash & mask;
  while (slots[i].number) i = (i + 1) & mask;
  slots[i] = (struct group_slot){(uint32_t)(hash >> 32), number + 1};
}

static int grow_slots(struct groups *groups, tally_error *error) {
  size_t count = groups->slot_count ? groups->slot_count * 2 : 256;
  struct group_slot *slots = grow_zeroed(groups->budget, count * sizeof *slots, what, error);
  if (!slots) return error->code;
  for (uint32_t g = 0; g < groups->count; g++)
    place(slots, count - 1, hash_key(groups_key(groups, g), groups->words), g);
  grow_free(groups->budget, groups->slots, groups->slot_count * sizeof *groups->slots);
  groups->slots = slots;
  groups->slot_count = count;
  return 0;
}

/* Room for so many groups. */
static int grow_keys(struct groups *groups, uint32_t room, tally_error *error) {
  size_t size = groups->words * sizeof *groups->keys;
  void *p = grow_array(groups->budget, groups->keys, groups->capacity, room, size, what, error);
  if (!p) return error->code;
  groups->keys = p;
  groups->capacity = room;
  return 0;
}

static int append(struct groups *groups, const uint64_t *key, uint32_t *number, tally_error *error) {
  if (groups->count == GROUPS_MOST) return grow_fail(groups->budget, what, error);
  if (groups->count == groups->capacity) {
    uint32_t room = groups->capacity > UINT32_MAX / 2 ? UINT32_MAX : groups->capacity * 2;
    int rc = grow_keys(groups, room < 64 ? 64 : room, error);
    if (rc) return rc;
  }
  *number = groups->count++;
  for (size_t w = 0; w < groups->words; w++) groups->keys[(size_t)*number * groups->words + w] = key[w];
  return 0;
}

int groups_append(struct groups *groups, const uint64_t *keys, uint32_t count, tally_error *error) {
  if (count > GROUPS_MOST - groups->count) return grow_fail(groups->budget, what, error);
  int rc = groups->count + count > groups->capacity ? grow_keys(groups, groups->count + count, error) : 0;
  if (rc) return rc;
  if (count && groups->words)
    memcpy(groups->keys + groups->count * groups->words, keys, count * groups->words * sizeof *keys);
  groups->count += count;
  return 0;
}

static int add_hashed(struct groups *groups, const uint64_t *key, uint32_t *number, tally_error *error) {
  if (groups->count >= groups->slot_count / 2) {
    int rc = grow_slots(groups, error);
    if (rc) return rc;
  }
  uint64_t hash = hash_key(key, groups->words);
  size_t mask = groups->slot_count - 1;
  for (size_t i = (size_t)hash & mask; groups->slots[i].number; i = (i + 1) & mask) {
    struct group_slot slot = groups->slots[i];
    if (slot.tag != (uint32_t)(hash >> 32)) continue;
    *number = slot.number - 1;
    if (key_equal(groups_key(groups, *number), key, groups->words)) return 0;
  }
  int rc = append(groups, key, number, error);
  if (!rc) place(groups->slots, mask, hash, *number);
  return rc;
}

static int add_dense(struct groups *groups, uint64_t key, uint32_t *number, tally_error *error) {
  if (!groups->dense[key]) {
    int rc = append(groups, &key, number, error);
    if (rc) return rc;
    groups->dense[key] = *number + 1;
  }
  *number = groups->dense[key] - 1;
  return 0;
}

int groups_add(struct groups *groups, const uint64_t *key, uint32_t *number, tally_error *error) {
  if (groups->dense_bits) return add_dense(groups, key[0], number, error);
  if (groups->words) return add_hashed(groups, key, number, error);
  *number = 0;
  return groups->count ? 0 : append(groups, key, number, error);
}

/* Are all keys the same? Compares in blocks that the compiler turns into vector code. */
static bool all_equal(const uint64_t *keys, uint32_t rows) {
  uint64_t first = keys[0];
  for (uint32_t i = 0; i < rows; i += 64) {
    uint64_t differ = 0;
    uint32_t end = rows - i < 64 ? rows : i + 64;
    for (uint32_t j = i; j < end; j++) differ |= keys[j] ^ first;
    if (differ) return false;
  }
  return true;
}

/* A key is new as often as not where groups are many, so no branch depends on it: each is written to where
 * the next new one goes, and stays there if it is new. */
static int add_all_dense(struct groups *groups, const uint64_t *keys, uint32_t rows, uint32_t *numbers,
                         tally_error *error) {
  /* Both are far from overflow: there are no more keys than DENSE_BITS tell apart. */
  const uint32_t need = groups->count + rows, twice = 2 * groups->capacity;
  if (need > groups->capacity) {
    int rc = grow_keys(groups, need > twice ? need : twice, error);
    if (rc) return rc;
  }
  uint32_t count = groups->count;
  for (uint32_t i = 0; i < rows; i++) {
    uint32_t *place = &groups->dense[keys[i]], next = count + 1;
    const bool is_new = *place == 0;
    groups->keys[count] = keys[i];
    *place = is_new ? next : *place;
    numbers[i] = *place - 1;
    count += is_new;
  }
  groups->count = count;
  return 0;
}

/* Sorted data repeats keys, so the last one is remembered. */
static int add_all_hashed(struct groups *groups, const uint64_t *keys, size_t stride, uint32_t rows,
                          uint32_t *numbers, tally_error *error) {
  uint64_t last[WORDS_MOST], key[WORDS_MOST];
  for (uint32_t i = 0; i < rows; i++) {
    uint64_t differ = i == 0;
    for (size_t w = 0; w < groups->words; w++) {
      key[w] = keys[w * stride + i];
      differ |= i == 0 ? 1 : key[w] ^ last[w];
    }
    if (!differ) {
      numbers[i] = numbers[i - 1];
      continue;
    }
    int rc = add_hashed(groups, key, &numbers[i], error);
    if (rc) return rc;
    memcpy(last, key, groups->words * sizeof *key);
  }
  return 0;
}

int groups_add_all(struct groups *groups, const uint64_t *keys, size_t stride, uint32_t rows,
                   uint32_t *numbers, bool *same, tally_error *error) {
  uint64_t first[WORDS_MOST];
  *same = true;
  for (size_t w = 0; w < groups->words; w++) {
    first[w] = keys[w * stride];
    *same = *same && all_equal(keys + w * stride, rows);
  }
  if (*same) return groups_add(groups, first, &numbers[0], error);
  if (groups->dense_bits) return add_all_dense(groups, keys, rows, numbers, error);
  return add_all_hashed(groups, keys, stride, rows, numbers, error);
}
