/* user_sets.h - the users of each UTC day of sorted rows, as sets of ids, found before a segment's file is
 * begun. Left out where they would have more members than a quarter of the rows, or where the memory budget
 * has no room for them. */
#ifndef SEGMENT_USER_SETS_H
#define SEGMENT_USER_SETS_H

#include "segment/summary.h"

struct user_sets {
  struct budget *budget;
  uint32_t count; /* sets; 0: they are left out */
  struct user_set set[MONTH_DAYS];
  struct user_days {
    uint32_t user, days; /* bit d: it has rows on day d of the month */
  } * users;             /* by user */
  uint32_t user_count;
  void *memory;
  size_t size;
};

/* TALLY_NO_MEMORY. Free in any case. */
int user_sets_make(struct user_sets *u, const struct rows *rows, const struct summary *s, int64_t month_start,
                   struct budget *budget, tally_error *error);
void user_sets_free(struct user_sets *u);

#endif
