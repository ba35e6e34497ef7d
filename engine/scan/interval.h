/* interval.h - sets of int64 as sorted, disjoint, closed intervals: what a number (or an id) must be in. */
#ifndef SCAN_INTERVAL_H
#define SCAN_INTERVAL_H

#include "scan/hold.h"
#include "scan/predicate.h"

struct interval {
  int64_t low, high;
};
struct intervals {
  const struct interval *at;
  uint32_t count; /* 0: nothing is in */
};

extern const struct intervals intervals_all;

static inline struct intervals intervals_one(const struct interval *one) {
  return (struct intervals){one, one->low <= one->high ? 1 : 0};
}
/* The set of these numbers (sorted here, in place; repeats are fine). */
int intervals_of_points(struct hold *h, int64_t *points, uint32_t count, struct intervals *out,
                        tally_error *error);
int intervals_complement(struct hold *h, const struct intervals *a, struct intervals *out,
                         tally_error *error);
int intervals_intersect(struct hold *h, const struct intervals *a, const struct intervals *b,
                        struct intervals *out, tally_error *error);
/* Is any number of [low, high] in? Are all? */
bool intervals_meet(const struct intervals *a, int64_t low, int64_t high);
bool intervals_cover(const struct intervals *a, int64_t low, int64_t high);
static inline bool intervals_have(const struct intervals *a, int64_t v) { return intervals_meet(a, v, v); }

/* The numbers that satisfy a predicate on a number column or timestamp (not IS NULL; IS NOT NULL: all). */
int intervals_of_predicate(struct hold *h, const struct predicate *p, struct intervals *out,
                           tally_error *error);

#endif
