/* interval.c - set arithmetic on intervals; see interval.h. */
#include "scan/interval.h"

#include <stdlib.h>

#include "base/status.h"
#include "model/decimal.h"

static const struct interval everything = {INT64_MIN, INT64_MAX};
const struct intervals intervals_all = {&everything, 1};

static int new_intervals(struct hold *h, uint32_t count, struct interval **to, tally_error *error) {
  void *memory;
  int result = hold_alloc(h, count, sizeof **to, &memory, error);
  if (!result) *to = memory;
  return result;
}

static int compare_int64(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

int intervals_of_points(struct hold *h, int64_t *points, uint32_t count, struct intervals *out,
                        tally_error *error) {
  struct interval *v;
  int result = new_intervals(h, count, &v, error);
  if (result) return result;
  if (count) qsort(points, count, sizeof *points, compare_int64);
  uint32_t n = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (n && points[i] <= v[n - 1].high) continue;
    if (n && points[i] == v[n - 1].high + 1)
      v[n - 1].high = points[i];
    else
      v[n++] = (struct interval){points[i], points[i]};
  }
  *out = (struct intervals){v, n};
  return 0;
}

int intervals_complement(struct hold *h, const struct intervals *a, struct intervals *out,
                         tally_error *error) {
  struct interval *v;
  int result = new_intervals(h, a->count + 1, &v, error);
  if (result) return result;
  uint32_t n = 0;
  int64_t low = INT64_MIN;
  bool open = true; /* numbers from `low` on are not in any interval looked at */
  for (uint32_t i = 0; i < a->count; i++) {
    if (a->at[i].low > low) v[n++] = (struct interval){low, a->at[i].low - 1};
    open = a->at[i].high < INT64_MAX;
    if (open) low = a->at[i].high + 1;
  }
  if (open) v[n++] = (struct interval){low, INT64_MAX};
  *out = (struct intervals){v, n};
  return 0;
}

int intervals_intersect(struct hold *h, const struct intervals *a, const struct intervals *b,
                        struct intervals *out, tally_error *error) {
  struct interval *v;
  int result = new_intervals(h, a->count + b->count, &v, error);
  if (result) return result;
  uint32_t n = 0;
  for (uint32_t i = 0, k = 0; i < a->count && k < b->count;) {
    int64_t low = a->at[i].low > b->at[k].low ? a->at[i].low : b->at[k].low;
    int64_t high = a->at[i].high < b->at[k].high ? a->at[i].high : b->at[k].high;
    if (low <= high) v[n++] = (struct interval){low, high};
    if (a->at[i].high < b->at[k].high)
      i++;
    else
      k++;
  }
  *out = (struct intervals){v, n};
  return 0;
}

/* The first interval that ends at or behind v; count if there is none. */
static uint32_t find(const struct intervals *a, int64_t v) {
  uint32_t low = 0, high = a->count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (a->at[middle].high < v)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

bool intervals_meet(const struct intervals *a, int64_t low, int64_t high) {
  uint32_t i = find(a, low);
  return i < a->count && a->at[i].low <= high;
}

bool intervals_cover(const struct intervals *a, int64_t low, int64_t high) {
  uint32_t i = find(a, low);
  return i < a->count && a->at[i].low <= low && a->at[i].high >= high;
}

/* ---- predicates */

/* A literal against the integers of a column: the greatest integer at most it, and whether it is one itself.
 * `outside` is -1 or 1 if it lies below or above all of int64. */
struct bound {
  int64_t floor;
  bool exact;
  int outside;
};

static int read_bound(const struct predicate *p, const struct literal *l, struct bound *b,
                      tally_error *error) {
  if (p->ref.column == TALLY_COL_TIMESTAMP) {
    *b = (struct bound){l->value, true, 0};
    return 0;
  }
  if (!decimal_is_number(l->text, l->size))
    return fail(error, TALLY_USAGE, "%s is compared with \"%.*s\", which is not a number: write a number",
                tally_column_name(p->ref.column), (int)(l->size < 100 ? l->size : 100), l->text);
  int scale = column_kind(p->ref.column) == KIND_COST ? 9 : 0;
  decimal_bound(l->text, l->size, scale, &b->floor, &b->exact, &b->outside);
  return 0;
}

/* Numbers at most the bound (below it, if `strict`). */
static struct interval at_most(const struct bound *b, bool strict) {
  const struct interval none = {1, 0};
  if (b->outside) return b->outside > 0 ? everything : none;
  if (!strict || !b->exact) return (struct interval){INT64_MIN, b->floor};
  return b->floor == INT64_MIN ? none : (struct interval){INT64_MIN, b->floor - 1};
}

/* Numbers at least the bound (above it, if `strict`). */
static struct interval at_least(const struct bound *b, bool strict) {
  const struct interval none = {1, 0};
  if (b->outside) return b->outside < 0 ? everything : none;
  if (!strict && b->exact) return (struct interval){b->floor, INT64_MAX};
  return b->floor == INT64_MAX ? none : (struct interval){b->floor + 1, INT64_MAX};
}

static int comparison(struct hold *h, const struct predicate *p, struct intervals *out, tally_error *error) {
  struct bound b;
  struct interval *one;
  int result = read_bound(p, &p->literals[0], &b, error);
  if (!result) result = new_intervals(h, 1, &one, error);
  if (result) return result;
  bool strict = p->op == OP_LT || p->op == OP_GT;
  *one = p->op == OP_LT || p->op == OP_LE ? at_most(&b, strict) : at_least(&b, strict);
  *out = intervals_one(one);
  return 0;
}

/* The literals that are integers of the column, as a set: no other number can be equal to a value. */
static int membership(struct hold *h, const struct predicate *p, struct intervals *out, tally_error *error) {
  void *memory;
  uint32_t n = 0;
  int result = hold_alloc(h, p->count, sizeof(int64_t), &memory, error);
  for (size_t i = 0; i < p->count && !result; i++) {
    struct bound b;
    result = read_bound(p, &p->literals[i], &b, error);
    if (!result && b.exact && !b.outside) ((int64_t *)memory)[n++] = b.floor;
  }
  return result ? result : intervals_of_points(h, memory, n, out, error);
}

int intervals_of_predicate(struct hold *h, const struct predicate *p, struct intervals *out,
                           tally_error *error) {
  struct intervals in;
  int result;
  switch (p->op) {
  case OP_EQ:
  case OP_IN:
    return membership(h, p, out, error);
  case OP_NE:
  case OP_NOT_IN:
    result = membership(h, p, &in, error);
    return result ? result : intervals_complement(h, &in, out, error);
  case OP_LT:
  case OP_LE:
  case OP_GT:
  case OP_GE:
    return comparison(h, p, out, error);
  case OP_IS_NOT_NULL:
    *out = intervals_all;
    return 0;
  case OP_PREFIX:
  case OP_IS_NULL:
    break;
  }
  return fail(error, TALLY_USAGE, "%s is a number: ^= compares texts only", tally_column_name(p->ref.column));
}
