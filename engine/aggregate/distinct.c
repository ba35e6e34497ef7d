/* distinct.c - exact distinct counts; see distinct.h. */
#include "aggregate/distinct.h"

#include <string.h>

#include "aggregate/grow.h"
#include "base/bitmap.h"

static const char what[] = "set of distinct values";

void distinct_init(struct distinct *d, uint32_t ids, struct budget *budget) {
  *d = (struct distinct){.dense = ids > 0, .words = bitmap_words((size_t)ids + 1)};
  bag_init(&d->bag, budget);
}

static void free_bits(struct distinct *d) {
  grow_free(d->bag.budget, d->bits, d->groups * d->words * sizeof *d->bits);
  d->bits = NULL;
  d->groups = 0;
}

void distinct_free(struct distinct *d) {
  if (!d->bag.budget) return;
  free_bits(d);
  bag_free(&d->bag);
}

/* Adds every set bit of the bitmaps of `from` to the bag of `d`. */
static int bits_to_bag(struct distinct *d, const struct distinct *from, const uint32_t *group_map,
                       tally_error *error) {
  for (uint32_t g = 0; g < from->groups; g++)
    for (size_t w = 0; w < from->words; w++)
      for (uint64_t word = from->bits[g * from->words + w]; word; word &= word - 1) {
        int64_t id = (int64_t)(w * 64) + __builtin_ctzll(word);
        int rc = bag_add_one(&d->bag, group_map ? group_map[g] : g, id, error);
        if (rc) return rc;
      }
  return 0;
}

static int to_bag(struct distinct *d, tally_error *error) {
  int rc = bits_to_bag(d, d, NULL, error);
  if (rc) return rc;
  free_bits(d);
  d->dense = false;
  return 0;
}

static uint64_t most_bytes(const struct distinct *d) {
  uint64_t quarter = d->bag.budget->limit / 4;
  return quarter < DISTINCT_BITMAPS ? quarter : DISTINCT_BITMAPS;
}

int distinct_grow(struct distinct *d, uint32_t groups, tally_error *error) {
  if (!d->dense || groups <= d->groups) return 0;
  size_t room = groups < d->groups + d->groups / 2 ? d->groups + d->groups / 2 : groups;
  if (room > UINT32_MAX) room = groups;
  size_t old = d->groups * d->words, most = (size_t)most_bytes(d) / sizeof *d->bits;
  if (room * d->words > most) room = groups;
  if (room * d->words > most) return to_bag(d, error);
  void *p = grow_array(d->bag.budget, d->bits, old, room * d->words, sizeof *d->bits, what, error);
  if (!p) return error->code;
  d->bits = p;
  memset(d->bits + old, 0, (room * d->words - old) * sizeof *d->bits);
  d->groups = (uint32_t)room;
  return 0;
}

int distinct_add(struct distinct *d, const uint32_t *groups, uint32_t one, const int64_t *values,
                 const uint64_t *valid, uint32_t rows, tally_error *error) {
  if (!d->dense) return bag_add(&d->bag, groups, one, values, valid, rows, error);
  if (!groups && !valid) { /* a set of ids */
    uint64_t *bits = d->bits + one * d->words;
    for (uint32_t i = 0; i < rows; i++) bitmap_set(bits, (size_t)values[i]);
    return 0;
  }
  if (!valid) {
    for (uint32_t i = 0; i < rows; i++) bitmap_set(d->bits + groups[i] * d->words, (size_t)values[i]);
    return 0;
  }
  for (uint32_t i = 0; i < rows; i++) {
    if (!bitmap_get(valid, i)) continue;
    bitmap_set(d->bits + (groups ? groups[i] : one) * d->words, (size_t)values[i]);
  }
  return 0;
}

int distinct_add_codes(struct distinct *d, const uint8_t *code, const uint32_t *group, const int64_t *values,
                       const uint64_t *valid, uint32_t rows, tally_error *error) {
  uint64_t *bits[UINT8_MAX + 1];
  int rc = 0;
  for (uint32_t c = 0; d->dense && c <= UINT8_MAX; c++) bits[c] = d->bits + group[c] * d->words;
  for (uint32_t i = 0; i < rows && !rc; i++) {
    if (valid && !bitmap_get(valid, i)) continue;
    if (d->dense)
      bitmap_set(bits[code[i]], (size_t)values[i]);
    else
      rc = bag_add_one(&d->bag, group[code[i]], values[i], error);
  }
  return rc;
}

int distinct_merge(struct distinct *d, struct distinct *from, const uint32_t *group_map,
                   const uint32_t *value_map, tally_error *error) {
  if (d->dense && !from->dense) {
    int rc = to_bag(d, error);
    if (rc) return rc;
  }
  if (!from->dense) return bag_merge(&d->bag, &from->bag, group_map, value_map, error);
  if (!d->dense) return bits_to_bag(d, from, group_map, error);
  for (uint32_t g = 0; g < from->groups; g++) {
    const uint64_t *source = from->bits + g * from->words;
    uint64_t any = 0;
    for (size_t w = 0; w < from->words; w++) any |= source[w];
    if (!any) continue; /* also the spare groups, which group_map does not have */
    uint64_t *target = d->bits + group_map[g] * d->words;
    for (size_t w = 0; w < from->words; w++) target[w] |= source[w];
  }
  return 0;
}

int distinct_seal(struct distinct *d, tally_error *error) { return bag_seal(&d->bag, error); }

uint64_t distinct_count(const struct distinct *d, uint32_t group) {
  if (d->dense) return group < d->groups ? bitmap_count(d->bits + group * d->words, d->words * 64) : 0;
  const struct bag_entry *entry;
  size_t n = bag_group(&d->bag, group, &entry);
  uint64_t count = 0;
  for (size_t i = 0; i < n; i++) count += i == 0 || entry[i].value != entry[i - 1].value;
  return count;
}
