/* execute.h - carrying out a plan: every part's rows or index rows, added up by group.
 *
 * Where many rows are to be read, two threads share the parts; each has its own groups and accumulators,
 * which are merged at the end. Which thread took which part changes nothing in the answer. */
#ifndef QUERY_EXECUTE_H
#define QUERY_EXECUTE_H

#include "query/plan.h"

/* What one thread has added up. */
struct tally_up {
  struct groups groups;
  struct accumulator *state; /* by the plan's states */
  struct source_set sources;
  struct scan_stats stats;
};

/* Fills *total; a query without groups and buckets has its one group. Free in any case with execute_free.
 * Codes of every kind of failure; an overflow names the aggregate. */
int execute(const struct plan *plan, struct tally_up *total, tally_error *error);
void execute_free(const struct plan *plan, struct tally_up *total);
/* After the last group was added and before the first result is asked for. */
int execute_seal(const struct plan *plan, struct tally_up *total, tally_error *error);
/* An output's value for a group. TALLY_OVERFLOW, naming the aggregate. */
int execute_result(const struct plan *plan, const struct tally_up *total, size_t output, uint32_t group,
                   struct number *number, tally_error *error);
/* The same for `count` groups; an error is that of group[*done], and number has those before it. */
int execute_results(const struct plan *plan, const struct tally_up *total, size_t output,
                    const uint32_t *group, size_t count, struct number *number, size_t *done,
                    tally_error *error);
/* All states have at least the table's groups. */
int execute_grow(const struct plan *plan, struct tally_up *total, tally_error *error);

#endif
