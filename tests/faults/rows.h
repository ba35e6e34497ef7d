/* rows.h - the rows of the table of faults: what each runs, and how much of it. */
#ifndef FAULTS_ROWS_H
#define FAULTS_ROWS_H

#include "faults/world.h"

struct plan {
  unsigned long long seed, cases;
  unsigned draws;           /* 0: from the number of cases */
  long long only;           /* the number of a case; -1: all */
  unsigned worker, workers; /* each process takes its share */
};

/* The script's world at a place where cases begin. */
struct place {
  const struct world *world;
  unsigned step;
  unsigned long long change; /* how many changes of the disk came before */
};

/* Is the case one of this process's? */
bool mine(const struct plan *plan, unsigned long long number);
uint64_t case_seed(const struct plan *plan, unsigned long long number);

/* Opens a store that was cut off in a step, checks it, ends the step and checks everything. */
void recover_and_finish(struct world *w, unsigned step, bool power);

/* Runs the script without faults. `step` (may be NULL) is called before each step, when the store is open;
 * `change` after each change of the disk. Returns the number of changes; 0: the script failed. */
typedef void at_place(void *arg, const struct place *place);
unsigned long long run_script(const struct plan *plan, at_place *step, at_place *change, void *arg);

/* A copy of the world with the store open again, as after the end of the process. */
struct world reopened(const struct world *before, uint64_t seed);

/* A call that fails: the `at`th of those that the fault can meet (0: none, they are counted). */
struct call_fault {
  int number; /* EIO; ENOSPC: of calls that need space */
  bool ever, syncs;
  unsigned long long at, seen;
  bool fired;
  char path[200]; /* of the first that failed */
};
int call_watch(void *fault, enum disk_call call, const char *path);

struct memory_fault {
  unsigned long long at, seen;
  bool ever, fired;
};
void memory_arm(struct memory_fault *fault); /* NULL: allocations do not fail */

/* The store after a step that met a fault, in the same process: what it was told is visible, and it goes on,
 * or it is read-only and says so. */
void go_on(struct world *w, unsigned step, int result);
void look_again(struct world *w);

void row_power(const struct plan *plan);    /* R2 */
void row_calls(const struct plan *plan);    /* R5 */
void row_memory(const struct plan *plan);   /* R6 */
void row_recovery(const struct plan *plan); /* R7 */
void row_syncs(const struct plan *plan);    /* R13 */

#endif
