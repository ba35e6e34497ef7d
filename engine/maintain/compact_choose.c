/* compact_choose.c - see compact_choose.h. */
#include "maintain/compact_choose.h"

#define SMALL 4u    /* a small segment has less than this part of a settled one's weight */
#define WIDER 4u    /* a segment is like another if it reaches at most so much farther in time */
#define OVERLAP 16u /* overlap counts from this part of the shorter one's time on */

static bool is_small(const struct candidate *s, uint64_t settled) { return s->weight < settled / SMALL; }

/* How often the weight must be quadrupled to reach a big segment's. */
static unsigned class_of(const struct candidate *s, uint64_t settled) {
  unsigned class = 0;
  if (s->weight == 0) return 0;
  for (uint64_t w = s->weight; w < settled / SMALL; w *= SMALL) class ++;
  return class;
}

static uint64_t span(const struct candidate *s) {
  return (uint64_t)s->max_timestamp - (uint64_t)s->min_timestamp;
}

static bool overlap(const struct candidate *a, const struct candidate *b) {
  int64_t from = a->min_timestamp > b->min_timestamp ? a->min_timestamp : b->min_timestamp;
  int64_t to = a->max_timestamp < b->max_timestamp ? a->max_timestamp : b->max_timestamp;
  uint64_t shorter = span(a) < span(b) ? span(a) : span(b);
  return from < to && (uint64_t)to - (uint64_t)from > shorter / OVERLAP;
}

static void add(struct compaction *c, uint32_t i) {
  if (c->count < COMPACT_MOST) c->input[c->count++] = i;
}

static bool all_tried(const struct candidate *s, const struct compaction *c) {
  for (uint32_t i = 0; i < c->count; i++)
    if (!s[c->input[i]].tried) return false;
  return true;
}

/* Small ones of one class, from the smallest class on; with `settle` all small ones. */
static struct compaction small_ones(const struct candidate *s, uint32_t count, uint64_t settled,
                                    bool settle) {
  for (unsigned class = settle ? 1 : 32; class > 0; class --) {
    struct compaction c = {.count = 0};
    for (uint32_t i = 0; i < count; i++)
      if (is_small(&s[i], settled) && (settle || class_of(&s[i], settled) == class)) add(&c, i);
    if (c.count >= (settle ? 2 : COMPACT_SMALL) && !all_tried(s, &c)) return c;
  }
  return (struct compaction){.count = 0};
}

/* A moment after its begin, where one before it that ended a little late is over. */
static int64_t moment(const struct candidate *s) { return s->min_timestamp + (int64_t)(span(s) / OVERLAP); }

static bool covers(const struct candidate *s, int64_t at) {
  return s->min_timestamp <= at && at <= s->max_timestamp;
}

/* Do they reach equally far in time, to a factor of about four? */
static bool alike(const struct candidate *a, const struct candidate *b) {
  uint64_t x = span(a), y = span(b);
  return x / WIDER <= y && y / WIDER <= x;
}

/* The big segments that overlap big segment i, itself among them: those like it, at its moment; or, to
 * settle, all. */
static struct compaction around(const struct candidate *s, uint32_t count, uint64_t settled, uint32_t i,
                                bool settle) {
  struct compaction c = {.count = 0};
  add(&c, i);
  for (uint32_t k = 0; k < count && c.count < COMPACT_CUT; k++)
    if (k != i && !is_small(&s[k], settled) && overlap(&s[i], &s[k]) &&
        (settle || (alike(&s[i], &s[k]) && covers(&s[k], moment(&s[i])))))
      add(&c, k);
  return c;
}

/* Small ones that lie over the time of those that are merged anyway. */
static void take_along(const struct candidate *s, uint32_t count, uint64_t settled, struct compaction *c) {
  uint32_t big = c->count;
  for (uint32_t k = 0; k < count; k++) {
    bool meets = false;
    for (uint32_t i = 0; i < big && !meets; i++) meets = overlap(&s[c->input[i]], &s[k]);
    if (meets && is_small(&s[k], settled)) add(c, k);
  }
}

/* Where most big ones meet. */
static struct compaction big_ones(const struct candidate *s, uint32_t count, uint64_t settled, bool settle) {
  if (settle) {
    struct compaction many = big_ones(s, count, settled, false);
    if (many.count) return many;
  }
  struct compaction best = {.count = 0};
  for (uint32_t i = 0; i < count; i++) {
    if (is_small(&s[i], settled)) continue;
    struct compaction c = around(s, count, settled, i, settle);
    if (c.count > best.count && !all_tried(s, &c)) best = c;
  }
  if (best.count < (settle ? 2 : COMPACT_FAN)) return (struct compaction){.count = 0};
  if (settle) take_along(s, count, settled, &best);
  return best;
}

struct compaction compact_choose(const struct candidate *candidate, uint32_t count, uint64_t settled,
                                 bool settle) {
  struct compaction c = small_ones(candidate, count, settled, settle);
  if (!c.count) c = big_ones(candidate, count, settled, settle);
  return c;
}

static void mark_overlapping(struct candidate *made, uint32_t count) {
  uint64_t all = 0, overlapping = 0;
  for (uint32_t i = 0; i < count; i++) {
    bool meets = false;
    for (uint32_t k = 0; k < count && !meets; k++) meets = k != i && overlap(&made[i], &made[k]);
    made[i].tried = meets;
    all += made[i].weight;
    if (meets) overlapping += made[i].weight;
  }
  if (overlapping < all - overlapping)
    for (uint32_t i = 0; i < count; i++) made[i].tried = false;
}

void compact_mark_tried(const struct candidate *input, uint32_t inputs, struct candidate *made,
                        uint32_t count, uint64_t settled) {
  bool big = false, tried = false;
  for (uint32_t i = 0; i < inputs; i++) {
    big |= !is_small(&input[i], settled);
    tried |= input[i].tried;
  }
  mark_overlapping(made, count);
  for (uint32_t i = 0; i < count; i++) made[i].tried |= big ? is_small(&made[i], settled) : tried;
}
