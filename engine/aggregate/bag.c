/* bag.c - multisets by group; see bag.h. */
#include "aggregate/bag.h"

#include <stdbool.h>
#include <string.h>

#include "aggregate/grow.h"
#include "base/bitmap.h"
#include "base/mem.h"

#define FIRST_PENDING 1024u

static const char what[] = "set of values for percentiles and distinct counts";

void bag_init(struct bag *bag, struct budget *budget) { *bag = (struct bag){.budget = budget}; }

void bag_free(struct bag *bag) {
  if (!bag->budget) return;
  grow_free(bag->budget, bag->run, bag->run_capacity * sizeof *bag->run);
  grow_free(bag->budget, bag->pending, bag->pending_capacity * sizeof *bag->pending);
  bag_init(bag, bag->budget);
}

/* Sums two entries up if they are equal and their counts allow it. */
static bool absorb(struct bag_entry *into, const struct bag_entry *entry) {
  if (into->group != entry->group || into->value != entry->value || into->count > UINT32_MAX - entry->count)
    return false;
  into->count += entry->count;
  return true;
}

/* Adds `entry` behind `n` entries, or to the last one's count. Returns the new size. */
static size_t put(struct bag_entry *entries, size_t n, const struct bag_entry *entry) {
  if (n > 0 && absorb(&entries[n - 1], entry)) return n;
  entries[n] = *entry;
  return n + 1;
}

/* Sorts entries and sums up equal ones. */
static int sort_up(struct budget *budget, struct bag_entry *entries, size_t *size, tally_error *error) {
  size_t n = *size, bytes = n * sizeof *entries;
  struct bag_entry *scratch = grow_memory(budget, NULL, 0, bytes, what, error);
  if (!scratch) return error->code;
  size_t kept = radix_singles(entries, scratch, n);
  if (!kept) radix_entries(entries, scratch, n);
  grow_free(budget, scratch, bytes);
  if (kept) {
    *size = kept;
    return 0;
  }
  for (size_t i = 0; i < n; i++) {
    struct bag_entry entry = entries[i];
    kept = put(entries, kept, &entry);
  }
  *size = kept;
  return 0;
}

/* Merges `n` sorted entries into the run, within its own memory: from the back, where what is written never
 * reaches what is still to be read, because no more is written than was read. */
static int merge_sorted(struct bag *bag, const struct bag_entry *from, size_t n, tally_error *error) {
  size_t end = bag->run_size + n;
  if (end > bag->run_capacity) {
    void *p = grow_array(bag->budget, bag->run, bag->run_capacity, end, sizeof *bag->run, what, error);
    if (!p) return error->code;
    bag->run = p;
    bag->run_capacity = end;
  }
  struct bag_entry *run = bag->run;
  size_t i = bag->run_size, j = n, to = end;
  if (i == 0 || j == 0 || entry_before(&run[i - 1], &from[0])) { /* all of them come behind the run */
    if (n) memcpy(run + i, from, n * sizeof *run);
    bag->run_size = end;
    return 0;
  }
  while (i > 0 && j > 0) {
    bool of_run = entry_before(&from[j - 1], &run[i - 1]); /* cannot be guessed */
    const struct bag_entry entry = *(of_run ? &run[i - 1] : &from[j - 1]);
    i -= of_run;
    j -= !of_run;
    if (to == end || !absorb(&run[to], &entry)) run[--to] = entry;
  }
  if (i > 0 && to < end && absorb(&run[to], &run[i - 1])) i--; /* the rest of the run is where it was */
  for (; j > 0; j--)
    if (to == end || !absorb(&run[to], &from[j - 1])) run[--to] = from[j - 1];
  memmove(run + i, run + to, (end - to) * sizeof *run);
  bag->run_size = i + (end - to);
  return 0;
}

static int flush(struct bag *bag, tally_error *error) {
  if (bag->pending_size == 0) return 0;
  int rc = sort_up(bag->budget, bag->pending, &bag->pending_size, error);
  if (!rc) rc = merge_sorted(bag, bag->pending, bag->pending_size, error);
  if (!rc) bag->pending_size = 0;
  return rc;
}

/* Room for one more pending entry at least. */
static int reserve(struct bag *bag, tally_error *error) {
  size_t most = bag->run_size / 2 > BAG_PENDING ? bag->run_size / 2 : BAG_PENDING;
  if (bag->pending_capacity >= most) return flush(bag, error);
  size_t room = bag->pending_capacity ? bag->pending_capacity * 2 : FIRST_PENDING;
  if (room > most) room = most;
  void *p =
      grow_array(bag->budget, bag->pending, bag->pending_capacity, room, sizeof *bag->pending, what, error);
  if (!p) return error->code;
  bag->pending = p;
  bag->pending_capacity = room;
  return 0;
}

static bool same(const struct bag_entry *a, const struct bag_entry *b) {
  return a->value == b->value && a->group == b->group;
}

#define APART 4u /* equal neighbours that stay apart */

/* Adds a value seen once. It is added to the last entry's count, as put does, only behind some equal ones:
 * what is equal now and then is left to sort_up, which sorts the short way where nothing has been counted
 * yet. */
static size_t put_single(struct bag_entry *entries, size_t n, const struct bag_entry *entry) {
  size_t equal = 0;
  while (equal < APART && equal < n && same(&entries[n - 1 - equal], entry)) equal++;
  if (equal == APART && absorb(&entries[n - 1], entry)) return n;
  entries[n] = *entry;
  return n + 1;
}

int bag_add(struct bag *bag, const uint32_t *groups, uint32_t one, const int64_t *values,
            const uint64_t *valid, uint32_t rows, tally_error *error) {
  for (uint32_t i = 0; i < rows; i++) {
    if (valid && !bitmap_get(valid, i)) continue;
    struct bag_entry entry = {values[i], groups ? groups[i] : one, 1};
    int rc = bag->pending_size == bag->pending_capacity ? reserve(bag, error) : 0;
    if (rc) return rc;
    bag->pending_size = put_single(bag->pending, bag->pending_size, &entry);
  }
  return 0;
}

int bag_add_one(struct bag *bag, uint32_t group, int64_t value, tally_error *error) {
  return bag_add_times(bag, group, value, 1, error);
}

int bag_add_times(struct bag *bag, uint32_t group, int64_t value, uint32_t times, tally_error *error) {
  struct bag_entry entry = {value, group, times};
  int rc = bag->pending_size == bag->pending_capacity ? reserve(bag, error) : 0;
  if (!rc) bag->pending_size = put(bag->pending, bag->pending_size, &entry);
  return rc;
}

/* ---- merging */

static size_t count_groups(const struct bag *bag) {
  size_t n = bag->run_size > 0;
  for (size_t i = 1; i < bag->run_size; i++) n += bag->run[i].group != bag->run[i - 1].group;
  return n;
}

/* Where each group of the run begins, above its new number. Gives the bits of the numbers. */
static unsigned list_groups(const struct bag *bag, const uint32_t *group_map, uint64_t *list) {
  uint32_t all = 0;
  for (size_t i = 0; i < bag->run_size; i++) {
    if (i > 0 && bag->run[i].group == bag->run[i - 1].group) continue;
    uint32_t number = group_map[bag->run[i].group];
    *list++ = (uint64_t)i << 32 | number;
    all |= number;
  }
  return all ? 32u - (unsigned)__builtin_clz(all) : 0;
}

/* Numbers the groups of a run anew and moves each, sorted as it is, to its new place. The run has less than
 * 2^32 entries. */
static int move_groups(struct bag *bag, const uint32_t *group_map, tally_error *error) {
  size_t n = bag->run_size, groups = count_groups(bag);
  size_t bytes = n * sizeof *bag->run + 2 * groups * sizeof(uint64_t);
  struct bag_entry *moved = grow_memory(bag->budget, NULL, 0, bytes, what, error);
  if (!moved) return error->code;
  uint64_t *list = (uint64_t *)(void *)(moved + n);
  list = radix_keys(list, list + groups, groups, list_groups(bag, group_map, list));
  struct bag_entry *to = moved;
  for (size_t g = 0; g < groups; g++) {
    size_t i = list[g] >> 32;
    const uint32_t old = bag->run[i].group, number = (uint32_t)list[g];
    for (; i < n && bag->run[i].group == old; i++)
      *to++ = (struct bag_entry){bag->run[i].value, number, bag->run[i].count};
  }
  memcpy(bag->run, moved, n * sizeof *moved);
  grow_free(bag->budget, moved, bytes);
  return 0;
}

/* Do the new numbers of the run's groups rise as the old ones do? Then entries stay where they are. */
static bool keeps_order(const struct bag *bag, const uint32_t *group_map) {
  const uint32_t last = bag->run[bag->run_size - 1].group;
  bool rises = true;
  for (uint32_t g = bag->run[0].group; g < last; g++) rises &= group_map[g] < group_map[g + 1];
  return rises;
}

/* Numbers groups and values anew. */
static int renumber(struct bag *bag, const uint32_t *group_map, const uint32_t *value_map,
                    tally_error *error) {
  if (!value_map && keeps_order(bag, group_map)) {
    for (size_t i = 0; i < bag->run_size; i++) bag->run[i].group = group_map[bag->run[i].group];
    return 0;
  }
  if (!value_map && bag->run_size <= UINT32_MAX) return move_groups(bag, group_map, error);
  for (size_t i = 0; i < bag->run_size; i++) {
    struct bag_entry *entry = &bag->run[i];
    entry->group = group_map[entry->group];
    if (value_map) entry->value = value_map[entry->value];
  }
  return sort_up(bag->budget, bag->run, &bag->run_size, error);
}

int bag_merge(struct bag *bag, struct bag *from, const uint32_t *group_map, const uint32_t *value_map,
              tally_error *error) {
  int rc = bag_seal(from, error);
  if (!rc) rc = bag_seal(bag, error);
  if (rc || from->run_size == 0) return rc;
  rc = renumber(from, group_map, value_map, error);
  if (!rc) rc = merge_sorted(bag, from->run, from->run_size, error);
  if (!rc) bag_free(from);
  return rc;
}

int bag_seal(struct bag *bag, tally_error *error) {
  int rc = flush(bag, error);
  if (rc) return rc;
  grow_free(bag->budget, bag->pending, bag->pending_capacity * sizeof *bag->pending);
  bag->pending = NULL;
  bag->pending_capacity = 0;
  return 0;
}

/* The first of the run's entries [low, high) whose group is at least `group`; else `high`. */
static size_t lower_bound(const struct bag *bag, size_t low, size_t high, uint64_t group) {
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (bag->run[middle].group < group)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

size_t bag_group(const struct bag *bag, uint32_t group, const struct bag_entry **first) {
  const size_t start = lower_bound(bag, 0, bag->run_size, group);
  size_t low = start, high = start;
  for (size_t step = 1; high < bag->run_size && bag->run[high].group == group; step *= 2) {
    low = high; /* the end is near the start: from there in steps that double */
    high += step;
  }
  if (high > bag->run_size) high = bag->run_size;
  *first = bag->run ? bag->run + start : NULL; /* no runs: nothing to point into */
  return lower_bound(bag, low, high, (uint64_t)group + 1) - start;
}
