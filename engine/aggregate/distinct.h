/* distinct.h - exact distinct counts by group.
 *
 * Ids of a known, small space are a bitmap a group; values of a large space, or ids once the bitmaps would
 * pass a quarter of the budget (at most DISTINCT_BITMAPS bytes), are a bag. */
#ifndef AGGREGATE_DISTINCT_H
#define AGGREGATE_DISTINCT_H

#include <stdbool.h>

#include "aggregate/bag.h"

#define DISTINCT_BITMAPS (64u << 20)

struct distinct {
  struct bag bag;
  bool dense;      /* bits count, bag is empty; else the other way round */
  size_t words;    /* dense: of a group's bitmap */
  uint64_t *bits;  /* dense: words of group 0, words of group 1, ... */
  uint32_t groups; /* dense: bitmaps there are */
};

/* Values are 0..ids if ids > 0, else any. */
void distinct_init(struct distinct *d, uint32_t ids, struct budget *budget);
void distinct_free(struct distinct *d);
/* Makes sure that groups 0..groups-1 may be added to. */
int distinct_grow(struct distinct *d, uint32_t groups, tally_error *error);
/* As bag_add. */
int distinct_add(struct distinct *d, const uint32_t *groups, uint32_t one, const int64_t *values,
                 const uint64_t *valid, uint32_t rows, tally_error *error);
/* The same of rows of few groups: row i's is group[code[i]]. `group` has an entry for each code of a byte. */
int distinct_add_codes(struct distinct *d, const uint8_t *code, const uint32_t *group, const int64_t *values,
                       const uint64_t *valid, uint32_t rows, tally_error *error);
/* As bag_merge; the groups of `d` have been grown. */
int distinct_merge(struct distinct *d, struct distinct *from, const uint32_t *group_map,
                   const uint32_t *value_map, tally_error *error);
int distinct_seal(struct distinct *d, tally_error *error);
uint64_t distinct_count(const struct distinct *d, uint32_t group); /* after distinct_seal */

#endif
