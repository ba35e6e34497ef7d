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

/* Adds `entry` behind `n` sorted entries, or to the last one's count. Returns the new size. */
static size_t put(struct bag_entry *entries, size_t n, const struct bag_entry *entry) {
  if (n > 0) {
    struct bag_entry *last = &entries[n - 1];
    if (last->group == entry->group && last->value == entry->value &&
        last->count <= UINT32_MAX - entry->count) {
      last->count += entry->count;
      return n;
    }
  }
  entries[n] = *entry;
  return n + 1;
}

static bool before(const struct bag_entry *a, const struct bag_entry *b) {
  return a->group != b->group ? a->group < b->group : a->value < b->value;
}

/* Sorts the pending entries and sums up equal ones. */
static int sort_pending(struct bag *bag, tally_error *error) {
  size_t n = bag->pending_size, bytes = n * sizeof *bag->pending;
  struct bag_entry *scratch = grow_memory(bag->budget, NULL, 0, bytes, what, error);
  if (!scratch) return error->code;
  radix_entries(bag->pending, scratch, n);
  grow_free(bag->budget, scratch, bytes);
  size_t kept = 0;
  for (size_t i = 0; i < n; i++) {
    struct bag_entry entry = bag->pending[i];
    kept = put(bag->pending, kept, &entry);
  }
  bag->pending_size = kept;
  return 0;
}

static int flush(struct bag *bag, tally_error *error) {
  if (bag->pending_size == 0) return 0;
  int rc = sort_pending(bag, error);
  if (rc) return rc;
  size_t room = bag->run_size + bag->pending_size;
  struct bag_entry *merged = grow_array(bag->budget, NULL, 0, room, sizeof *merged, what, error);
  if (!merged) return error->code;
  const struct bag_entry *a = bag->run, *b = bag->pending;
  size_t i = 0, j = 0, n = 0;
  while (i < bag->run_size && j < bag->pending_size)
    n = before(&b[j], &a[i]) ? put(merged, n, &b[j++]) : put(merged, n, &a[i++]);
  while (i < bag->run_size) n = put(merged, n, &a[i++]);
  while (j < bag->pending_size) n = put(merged, n, &b[j++]);
  grow_free(bag->budget, bag->run, bag->run_capacity * sizeof *bag->run);
  bag->run = merged;
  bag->run_size = n;
  bag->run_capacity = room;
  bag->pending_size = 0;
  return 0;
}

/* Room for one more pending entry at least. */
static int reserve(struct bag *bag, tally_error *error) {
  size_t most = bag->run_size / 2 > BAG_PENDING ? bag->run_size / 2 : BAG_PENDING;
  if (bag->pending_capacity >= most) {
    int rc = flush(bag, error);
    return rc;
  }
  size_t room = bag->pending_capacity ? bag->pending_capacity * 2 : FIRST_PENDING;
  if (room > most) room = most;
  void *p =
      grow_array(bag->budget, bag->pending, bag->pending_capacity, room, sizeof *bag->pending, what, error);
  if (!p) return error->code;
  bag->pending = p;
  bag->pending_capacity = room;
  return 0;
}

static int add_entry(struct bag *bag, const struct bag_entry *entry, tally_error *error) {
  if (bag->pending_size == bag->pending_capacity) {
    int rc = reserve(bag, error);
    if (rc) return rc;
  }
  bag->pending_size = put(bag->pending, bag->pending_size, entry);
  return 0;
}

int bag_add(struct bag *bag, const uint32_t *groups, uint32_t one, const int64_t *values,
            const uint64_t *valid, uint32_t rows, tally_error *error) {
  for (uint32_t i = 0; i < rows; i++) {
    if (valid && !bitmap_get(valid, i)) continue;
    struct bag_entry entry = {values[i], groups ? groups[i] : one, 1};
    int rc = add_entry(bag, &entry, error);
    if (rc) return rc;
  }
  return 0;
}

int bag_add_one(struct bag *bag, uint32_t group, int64_t value, tally_error *error) {
  return bag_add_times(bag, group, value, 1, error);
}

int bag_add_times(struct bag *bag, uint32_t group, int64_t value, uint32_t times, tally_error *error) {
  struct bag_entry entry = {value, group, times};
  return add_entry(bag, &entry, error);
}

static int merge_entries(struct bag *bag, const struct bag_entry *from, size_t n, const uint32_t *group_map,
                         const uint32_t *value_map, tally_error *error) {
  for (size_t i = 0; i < n; i++) {
    struct bag_entry entry = {value_map ? (int64_t)value_map[from[i].value] : from[i].value,
                              group_map[from[i].group], from[i].count};
    int rc = add_entry(bag, &entry, error);
    if (rc) return rc;
  }
  return 0;
}

int bag_merge(struct bag *bag, const struct bag *from, const uint32_t *group_map, const uint32_t *value_map,
              tally_error *error) {
  int rc = merge_entries(bag, from->run, from->run_size, group_map, value_map, error);
  return rc ? rc : merge_entries(bag, from->pending, from->pending_size, group_map, value_map, error);
}

int bag_seal(struct bag *bag, tally_error *error) {
  int rc = flush(bag, error);
  if (rc) return rc;
  grow_free(bag->budget, bag->pending, bag->pending_capacity * sizeof *bag->pending);
  bag->pending = NULL;
  bag->pending_capacity = 0;
  return 0;
}

/* The first entry of the run whose group is at least `group`. */
static size_t lower_bound(const struct bag *bag, uint64_t group) {
  size_t low = 0, high = bag->run_size;
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
  size_t at = lower_bound(bag, group);
  *first = bag->run ? bag->run + at : NULL; /* no runs: nothing to point into */
  return lower_bound(bag, (uint64_t)group + 1) - at;
}
