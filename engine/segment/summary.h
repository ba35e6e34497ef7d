/* summary.h - what a segment's index says of its rows: the runs, their sums, and totals by service.
 *
 * Made in one pass over the keys and one over each measured column, before the file is begun. */
#ifndef SEGMENT_SUMMARY_H
#define SEGMENT_SUMMARY_H

#include "segment/directory.h"

/* Columns of runs whose non-NULL values are counted. */
enum run_count { COUNT_STATUS, COUNT_TOKENS, COUNT_COST, RUN_COUNTS };

struct summary {
  uint32_t runs, services;
  bool sums_fit;
  uint32_t *user, *row; /* runs, runs + 1 */
  uint32_t *first_run;  /* services + 1 */
  /* with sums_fit, of each run: */
  uint32_t *errors;
  uint32_t *nonnull[RUN_COUNTS]; /* filled for columns that have a NULL in the segment */
  int64_t *tokens, *cost;
  void *memory;
  size_t size;
};

/* The measure that a count is of. */
int run_count_measure(enum run_count c);

/* Checks that the rows are sorted and of the month, and finds their runs; takes memory from the budget. */
int summary_make(struct summary *s, const struct rows *rows, int32_t month, struct budget *budget,
                 tally_error *error);
void summary_free(struct summary *s, struct budget *budget);
/* Fills the spans, the total and the totals by service of an allocated directory. */
void summary_totals(const struct summary *s, const struct rows *rows, struct directory *d);

#endif
