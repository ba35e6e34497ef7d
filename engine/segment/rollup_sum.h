/* rollup_sum.h - the rollups of sorted rows, added up in memory before a segment's file is begun.
 *
 * Each (bucket, key) that has rows is a cell. A level that would have more cells than a quarter of the rows
 * does not pay and is left out; so is one for which the memory budget has no room, or whose keys times
 * buckets are more than four times the rows: raw rows answer what it would have. Hours have no bounds
 * (minima and maxima): they would take as many bytes as all else. */
#ifndef SEGMENT_ROLLUP_SUM_H
#define SEGMENT_ROLLUP_SUM_H

#include "segment/directory.h"

#define ROLLUP_SHRINKS 4u
#define ROWS_LEVELS 2 /* hours and days are kept beside rows */

/* What a row adds to, in one line of the cache. */
struct rollup_cell {
  uint32_t bucket, key; /* `key`, at the end, is a place among the keys in order */
  uint32_t rows;
  uint32_t day; /* of an hour: the cell of its day; of a day: itself */
  int64_t sum[MEASURES];
};
struct rollup_bounds {
  int64_t min[MEASURES], max[MEASURES]; /* min > max while there is no value */
};

/* The cells of a level, in no order; order[i] is the i-th by (bucket, key). */
struct rollup_cells {
  uint32_t count, capacity;
  struct rollup_cell *cell;
  struct rollup_bounds *bounds; /* NULL: the level has none */
  uint32_t (*nulls)[MEASURES];
  uint32_t *order;
  void *memory;
  size_t size;
};

struct rollup_sum {
  struct budget *budget;
  uint32_t nullable; /* bit m: a row of the segment has NULL in measure m */
  uint32_t keys;     /* 0: no level is kept */
  struct numbered_key {
    struct rollup_key key;
    uint32_t number; /* by first sight */
  } * key;           /* in order */
  struct rollup_cells level[ROWS_LEVELS];
};

/* Adds up the rows, whose sums fit. TALLY_NO_MEMORY. Free in any case. */
int rollup_sum_make(struct rollup_sum *r, const struct rows *rows, int64_t month_start, struct budget *budget,
                    tally_error *error);
void rollup_sum_free(struct rollup_sum *r);

#endif
