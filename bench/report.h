/* report.h - times something several times and prints a table, or JSON.
 *
 * Figures are the best and the median of BENCH_REPEATS runs by the clock, and the best by the process's own
 * processor time: the last one tells how much of the first was other programs' work. Under callgrind
 * instructions are counted instead (bench/instructions). */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <tally.h>

#define BENCH_REPEATS 5

struct report {
  const char *filter; /* only names that begin with it; NULL: all */
  bool json;
  uint32_t printed;
};

struct measured {
  const char *name;
  uint64_t events; /* of one run */
  uint64_t bytes;  /* of one run; 0: a rate in bytes makes no sense */
  void *arg;
  void (*prepare)(void *arg); /* before each run, not timed; may be NULL */
  void (*run)(void *arg);
};

double seconds_now(void);
double processor_seconds_now(void);
/* Sleeps until seconds_now() is so much; not at all if it is that already. */
void wait_until(double second);
/* Can the filter let a name through that begins with one of these? So that nothing is set up in vain. */
bool report_wants(const struct report *r, const char *const *groups);
void report_start(struct report *r);
void report_run(struct report *r, const struct measured *m);
void report_end(struct report *r);

/* Says what failed on stderr and exits: a benchmark that failed has nothing to say. */
_Noreturn void give_up(const char *what, const tally_error *error);

#endif
