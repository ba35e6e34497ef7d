/* thin.h - what the thinning of segments shares: the level being made in a window of buckets, and the sources
 * that it is made from. */
#ifndef SEGMENT_THIN_H
#define SEGMENT_THIN_H

#include "segment/key_set.h"
#include "segment/thin_cells.h"

enum { KEYS_OF_TEXTS, KEYS_OF_USERS, KEY_SETS };
static inline int keys_of_level(enum rollup_level level) {
  return rollup_of_users(level) ? KEYS_OF_USERS : KEYS_OF_TEXTS;
}

struct thin_source {
  struct budget *budget;
  struct segment *const *from;
  size_t count;
  int64_t start; /* of the month */
  struct thin_change change;
  int64_t last_cut; /* nothing from then on is left out */
  struct key_set keys[KEY_SETS];
  /* of what is not left out: the number of events, and of `total` the times and all of the measures but the
   * sums */
  uint64_t rows;
  struct totals total;
  struct thin_cells cells;
  /* the window */
  enum rollup_level level;
  uint32_t first, end; /* buckets */
  bool full;           /* the cells did not have room for it */
  /* of a chunk of rows */
  int64_t value[COLUMNS][CHUNK_ROWS];
  uint64_t valid[COLUMNS][CHUNK_ROWS / 64];
  bool all_valid[COLUMNS];
  /* of a piece of a thinned segment */
  uint32_t bucket[ROLLUP_PIECE], key[ROLLUP_PIECE], rows_of[ROLLUP_PIECE], errors[ROLLUP_PIECE],
      bins[ROLLUP_PIECE];
  struct measure measure[MEASURES][ROLLUP_PIECE];
  struct buffer bin_values, bin_counts;
};

/* Finds all keys of what is not left out of the sources, in order, and its totals. */
int thin_find_keys(struct thin_source *t, tally_error *error);
/* Adds up what the sources have in the window; t->full where the cells do not suffice. */
int thin_fill(struct thin_source *t, tally_error *error);

#endif
