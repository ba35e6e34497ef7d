/* accumulator.c - see accumulator.h. A sum of rows cannot overflow (2^63 rows of 2^63), so only merges check.
 */
#include "aggregate/accumulator.h"

#include <string.h>

#include "aggregate/grow.h"
#include "base/bitmap.h"
#include "base/status.h"

static const char what[] = "table of groups";

void accumulator_init(struct accumulator *a, uint32_t needs, uint32_t ids, struct budget *budget) {
  *a = (struct accumulator){.needs = needs, .budget = budget};
  bag_init(&a->values, budget);
  distinct_init(&a->distinct, ids, budget);
}

/* The arrays by group, so that growing and freeing are loops. */
struct array {
  uint32_t need;
  size_t size;
  void *at;
};

#define ARRAYS 6

static void arrays(const struct accumulator *a, struct array list[ARRAYS]) {
  list[0] = (struct array){NEED_ROWS, sizeof *a->rows, a->rows};
  list[1] = (struct array){NEED_ERRORS, sizeof *a->errors, a->errors};
  list[2] = (struct array){NEED_SUM, sizeof *a->sum, a->sum};
  list[3] = (struct array){NEED_RANGE, sizeof *a->least, a->least};
  list[4] = (struct array){NEED_RANGE, sizeof *a->greatest, a->greatest};
  list[5] = (struct array){a->nulls ? NEED_NULLS : 0, sizeof *a->nulls, a->nulls};
}

static void set_arrays(struct accumulator *a, const struct array list[ARRAYS]) {
  a->rows = list[0].at;
  a->errors = list[1].at;
  a->sum = list[2].at;
  a->least = list[3].at;
  a->greatest = list[4].at;
  a->nulls = list[5].at;
}

void accumulator_free(struct accumulator *a) {
  if (!a->budget) return;
  struct array list[ARRAYS];
  arrays(a, list);
  for (int i = 0; i < ARRAYS; i++)
    if (list[i].at) grow_free(a->budget, list[i].at, a->capacity * list[i].size);
  bag_free(&a->values);
  distinct_free(&a->distinct);
  *a = (struct accumulator){0};
}

/* All arrays or none: an array that has grown when a later one fails is brought back. */
static int grow_arrays(struct accumulator *a, uint32_t capacity, tally_error *error) {
  struct array list[ARRAYS];
  arrays(a, list);
  for (int i = 0; i < ARRAYS; i++) {
    if (!(a->needs & list[i].need)) continue;
    void *p = grow_array(a->budget, list[i].at, a->capacity, capacity, list[i].size, what, error);
    if (!p) {
      for (int j = 0; j < i; j++) /* the capacity stays: give the promise for the rest back */
        if (a->needs & list[j].need) budget_give(a->budget, (capacity - a->capacity) * list[j].size);
      set_arrays(a, list);
      return error->code;
    }
    list[i].at = p;
  }
  set_arrays(a, list);
  a->capacity = capacity;
  return 0;
}

static void clear_groups(struct accumulator *a, uint32_t from, uint32_t to) {
  size_t n = to - from;
  if (a->rows) memset(a->rows + from, 0, n * sizeof *a->rows);
  if (a->nulls) memset(a->nulls + from, 0, n * sizeof *a->nulls);
  if (a->errors) memset(a->errors + from, 0, n * sizeof *a->errors);
  if (a->sum) memset(a->sum + from, 0, n * sizeof *a->sum);
  for (uint32_t g = from; a->least && g < to; g++) {
    a->least[g] = INT64_MAX;
    a->greatest[g] = INT64_MIN;
  }
}

int accumulator_grow(struct accumulator *a, uint32_t groups, tally_error *error) {
  if (groups <= a->groups) return 0;
  if (groups > a->capacity) {
    uint32_t room = a->capacity > UINT32_MAX / 2 ? UINT32_MAX : a->capacity * 2;
    if (room < 64) room = 64;
    int rc = grow_arrays(a, groups > room ? groups : room, error);
    if (rc) return rc;
  }
  if (a->needs & NEED_DISTINCT) {
    int rc = distinct_grow(&a->distinct, groups, error);
    if (rc) return rc;
  }
  clear_groups(a, a->groups, groups);
  a->groups = groups;
  return 0;
}

int accumulator_need_nulls(struct accumulator *a, tally_error *error) {
  if (a->nulls || !(a->needs & NEED_NULLS)) return 0;
  a->nulls = grow_zeroed(a->budget, a->capacity * sizeof *a->nulls, what, error);
  return a->nulls ? 0 : error->code;
}

void accumulator_expect(const struct accumulator *a, uint32_t group) {
  if (a->rows) __builtin_prefetch(&a->rows[group]);
  if (a->nulls) __builtin_prefetch(&a->nulls[group]);
  if (a->errors) __builtin_prefetch(&a->errors[group]);
  if (a->sum) __builtin_prefetch(&a->sum[group]);
  if (!a->least) return;
  __builtin_prefetch(&a->least[group]);
  __builtin_prefetch(&a->greatest[group]);
}

static int merge_sums(struct accumulator *a, const struct accumulator *from, const uint32_t *map,
                      tally_error *error) {
  for (uint32_t g = 0; g < from->groups; g++)
    if (!int128_add(&a->sum[map[g]], from->sum[g]))
      return fail(error, TALLY_OVERFLOW,
                  "a sum does not fit 128 bits: ask for a shorter range or more groups");
  return 0;
}

static void merge_ranges(struct accumulator *a, const struct accumulator *from, const uint32_t *map) {
  for (uint32_t g = 0; g < from->groups; g++) {
    const uint32_t to = map[g];
    if (from->least[g] < a->least[to]) a->least[to] = from->least[g];
    if (from->greatest[g] > a->greatest[to]) a->greatest[to] = from->greatest[g];
  }
}

/* One array of the groups after the other, as groups that are merged lie far from each other: so the
 * processor can fetch several of them at a time. */
static void merge_counts(uint64_t *restrict to, const uint64_t *restrict from, uint32_t groups,
                         const uint32_t *map) {
  for (uint32_t g = 0; g < groups; g++) to[map[g]] += from[g];
}

int accumulator_merge(struct accumulator *a, struct accumulator *from, const uint32_t *group_map,
                      const uint32_t *value_map, tally_error *error) {
  int rc = from->nulls ? accumulator_need_nulls(a, error) : 0;
  if (rc) return rc;
  if (a->rows) merge_counts(a->rows, from->rows, from->groups, group_map);
  if (from->nulls) merge_counts(a->nulls, from->nulls, from->groups, group_map);
  if (a->errors) merge_counts(a->errors, from->errors, from->groups, group_map);
  if (a->least) merge_ranges(a, from, group_map);
  if (a->sum) rc = merge_sums(a, from, group_map, error);
  if (!rc) rc = bag_merge(&a->values, &from->values, group_map, value_map, error);
  if (rc || !(a->needs & NEED_DISTINCT)) return rc;
  return distinct_merge(&a->distinct, &from->distinct, group_map, value_map, error);
}

int accumulator_seal(struct accumulator *a, tally_error *error) {
  int rc = bag_seal(&a->values, error);
  return rc ? rc : distinct_seal(&a->distinct, error);
}
