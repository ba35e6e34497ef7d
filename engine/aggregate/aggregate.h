/* aggregate.h - the aggregates of the contract: what each needs of its input, and its value.
 *
 * A value is an exact integer in a unit that its scale names; averages and error_rate are rounded half to
 * even to the decimals that are printed, so that equal prints are equal values and sorting by value is
 * sorting "as printed". */
#ifndef AGGREGATE_AGGREGATE_H
#define AGGREGATE_AGGREGATE_H

#include <stdbool.h>

#include "aggregate/accumulator.h"
#include "base/bytes.h"

enum aggregate_function {
  AGGREGATE_COUNT,
  AGGREGATE_SUM,
  AGGREGATE_AVG,
  AGGREGATE_MIN,
  AGGREGATE_MAX,
  AGGREGATE_PERCENTILE,
  AGGREGATE_DISTINCT,
  AGGREGATE_ERRORS,
  AGGREGATE_ERROR_RATE
};

/* How an input's values are to be read and its results printed. */
enum aggregate_scale {
  SCALE_INTEGER,  /* integers; averages have 6 decimals */
  SCALE_COST,     /* units of 10^-9, at least 4 decimals; averages have 9 */
  SCALE_METADATA, /* units of 10^-9, no minimum of decimals; averages have 6 */
  SCALE_TIME      /* microseconds since 1970: event timestamps */
};

struct aggregate {
  enum aggregate_function function;
  enum aggregate_scale scale; /* of its input */
  uint32_t percent;           /* PERCENTILE: Q in 10^-6 percent, 1..100,000,000 */
};

/* The NEED_* bits of an aggregate of a column or key. With NEED_NULLS the rows of the groups must be counted
 * too, by an accumulator with NEED_ROWS. */
uint32_t aggregate_needs(enum aggregate_function function);
tally_type aggregate_type(const struct aggregate *aggregate);

struct number {
  bool null;
  int128 value;
};
/* The value over a group of a sealed accumulator, which has `rows` rows. TALLY_OVERFLOW. */
int aggregate_result(const struct aggregate *aggregate, const struct accumulator *a, uint32_t group,
                     uint64_t rows, struct number *result, tally_error *error);
/* The same for `count` groups, of which group g has rows[g] rows (NULL: rows are not counted). An error is
 * that of group[*done], and result has those before it. */
int aggregate_results(const struct aggregate *aggregate, const struct accumulator *a, const uint32_t *group,
                      size_t count, const uint64_t *rows, struct number *result, size_t *done,
                      tally_error *error);
/* Writes the value (not NULL) as the contract prints it; returns where it ends. `to` has room for
 * AGGREGATE_PUT_MOST bytes. */
#define AGGREGATE_PUT_MOST 48
char *aggregate_put(const struct aggregate *aggregate, int128 value, char *to);

#endif
