/* rows.h - the rows of the table of faults: what each runs, and how much of it. */
#ifndef FAULTS_ROWS_H
#define FAULTS_ROWS_H

#include "faults/world.h"

struct plan {
  unsigned long long seed, cases;
  unsigned draws;          /* 0: from the number of cases */
  long long only;          /* the number of a case; -1: all */
  unsigned worker, workers; /* each process takes its share */
};

/* Is the case one of this process's? */
bool mine(const struct plan *plan, unsigned long long number);
uint64_t case_seed(const struct plan *plan, unsigned long long number);

/* Opens a store that was cut off in a step, checks it, ends the step and checks everything. */
void recover_and_finish(struct world *w, unsigned step, bool power);

void row_power(const struct plan *plan);  /* R2 */

#endif
