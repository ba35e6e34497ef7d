/* aggregate.c - see aggregate.h. */
#include "aggregate/aggregate.h"

#include "base/status.h"
#include "model/civil.h"
#include "model/decimal.h"
#include "model/schema.h"

#define PERCENT_WHOLE 100000000u /* 100 % in units of 10^-6 percent */
#define RATE_UNITS 1000000       /* averages of integers and rates have 6 decimals */

uint32_t aggregate_needs(enum aggregate_function function) {
  switch (function) {
  case AGGREGATE_COUNT:
    return NEED_NULLS;
  case AGGREGATE_SUM:
  case AGGREGATE_AVG:
    return NEED_NULLS | NEED_SUM;
  case AGGREGATE_MIN:
  case AGGREGATE_MAX:
    return NEED_RANGE;
  case AGGREGATE_PERCENTILE:
    return NEED_VALUES;
  case AGGREGATE_DISTINCT:
    return NEED_DISTINCT;
  case AGGREGATE_ERRORS:
    return NEED_ERRORS;
  case AGGREGATE_ERROR_RATE:
    return NEED_ERRORS | NEED_NULLS;
  }
  return 0;
}

/* Is the value a quotient with six decimals? Only avg:cost has nine. */
static bool is_rate(const struct aggregate *aggregate) {
  return aggregate->function == AGGREGATE_ERROR_RATE ||
         (aggregate->function == AGGREGATE_AVG && aggregate->scale != SCALE_COST);
}

static bool is_count(enum aggregate_function f) {
  return f == AGGREGATE_COUNT || f == AGGREGATE_DISTINCT || f == AGGREGATE_ERRORS;
}

tally_type aggregate_type(const struct aggregate *aggregate) {
  if (is_count(aggregate->function)) return TALLY_TYPE_INT;
  if (aggregate->scale == SCALE_INTEGER) return is_rate(aggregate) ? TALLY_TYPE_REAL : TALLY_TYPE_INT;
  return aggregate->scale == SCALE_TIME ? TALLY_TYPE_TIME : TALLY_TYPE_COST;
}

/* numerator * units / denominator, rounded half to even; false if the product overflows. */
static bool divide(int128 numerator, int128 units, uint64_t denominator, int128 *result) {
  int128 product;
  if (__builtin_mul_overflow(numerator, units, &product)) return false;
  int128 d = (int128)denominator, quotient = product / d, rest = product % d;
  int sign = rest < 0 ? -1 : 1;
  int128 twice = 2 * (rest < 0 ? -rest : rest);
  if (twice > d || (twice == d && quotient % 2 != 0)) quotient += sign;
  *result = quotient;
  return true;
}

/* The value of rank ceil(Q * n / 100) among the group's n values. */
static void percentile(const struct bag *bag, uint32_t group, uint32_t percent, struct number *result) {
  const struct bag_entry *entry;
  size_t entries = bag_group(bag, group, &entry);
  uint64_t n = 0;
  for (size_t i = 0; i < entries; i++) n += entry[i].count;
  result->null = n == 0;
  if (n == 0) return;
  uint64_t rank = (uint64_t)(((uint128)percent * n + PERCENT_WHOLE - 1) / PERCENT_WHOLE), seen = 0;
  size_t i;
  if (n == entries) { /* each value is there once: no look at the others */
    i = (size_t)rank - 1;
  } else if (rank <= n / 2) {
    for (i = 0; (seen += entry[i].count) < rank; i++) continue;
  } else {
    for (i = entries - 1; (seen += entry[i].count) <= n - rank; i--) continue;
  }
  result->value = entry[i].value;
}

static int overflow(tally_error *error) {
  return fail(error, TALLY_OVERFLOW,
              "the result does not fit 128 bits: ask for a shorter range or more groups");
}

/* A quotient over no row is NULL. */
static int quotient(int128 numerator, int128 units, uint64_t denominator, struct number *result,
                    tally_error *error) {
  result->null = denominator == 0;
  if (denominator && !divide(numerator, units, denominator, &result->value)) return overflow(error);
  return 0;
}

/* Integers go from ones to 10^-6, metadata keys from 10^-9 to 10^-6, cost stays at 10^-9. */
static int average(enum aggregate_scale scale, int128 sum, uint64_t count, struct number *result,
                   tally_error *error) {
  if (scale == SCALE_INTEGER) return quotient(sum, RATE_UNITS, count, result, error);
  return quotient(sum, 1, scale == SCALE_METADATA ? count * (COST_UNIT / RATE_UNITS) : count, result, error);
}

int aggregate_result(const struct aggregate *aggregate, const struct accumulator *a, uint32_t g,
                     uint64_t rows, struct number *result, tally_error *error) {
  uint64_t count = a->nulls ? rows - a->nulls[g] : rows; /* values */
  *result = (struct number){0};
  switch (aggregate->function) {
  case AGGREGATE_COUNT:
    result->value = (int128)count;
    return 0;
  case AGGREGATE_SUM:
    *result = (struct number){count == 0, a->sum[g]};
    return 0;
  case AGGREGATE_AVG:
    return average(aggregate->scale, a->sum[g], count, result, error);
  case AGGREGATE_MIN:
    *result = (struct number){a->least[g] > a->greatest[g], a->least[g]};
    return 0;
  case AGGREGATE_MAX:
    *result = (struct number){a->least[g] > a->greatest[g], a->greatest[g]};
    return 0;
  case AGGREGATE_PERCENTILE:
    percentile(&a->values, g, aggregate->percent, result);
    return 0;
  case AGGREGATE_DISTINCT:
    result->value = (int128)distinct_count(&a->distinct, g);
    return 0;
  case AGGREGATE_ERRORS:
    result->value = (int128)a->errors[g];
    return 0;
  case AGGREGATE_ERROR_RATE:
    return quotient((int128)a->errors[g], RATE_UNITS, count, result, error);
  }
  return 0;
}

int aggregate_results(const struct aggregate *aggregate, const struct accumulator *a, const uint32_t *group,
                      size_t count, const uint64_t *rows, struct number *result, size_t *done,
                      tally_error *error) {
  *done = count;
  if (aggregate->function == AGGREGATE_COUNT && !a->nulls && rows) {
    for (size_t i = 0; i < count; i++) result[i] = (struct number){false, (int128)rows[group[i]]};
    return 0;
  }
  if (aggregate->function == AGGREGATE_SUM && !a->nulls && rows) {
    for (size_t i = 0; i < count; i++) result[i] = (struct number){rows[group[i]] == 0, a->sum[group[i]]};
    return 0;
  }
  for (size_t i = 0; i < count; i++) {
    int rc = aggregate_result(aggregate, a, group[i], rows ? rows[group[i]] : 0, &result[i], error);
    if (rc) {
      *done = i;
      return rc;
    }
  }
  return 0;
}

/* Units of 10^-6 with all six decimals. */
static char *put_rate(char *to, int128 value) {
  uint128 magnitude = value < 0 ? -(uint128)value : (uint128)value;
  uint32_t rest = (uint32_t)(magnitude % RATE_UNITS);
  if (value < 0) *to++ = '-';
  to = int128_put(to, (int128)(magnitude / RATE_UNITS));
  *to++ = '.';
  for (uint32_t unit = RATE_UNITS / 10; unit; rest %= unit, unit /= 10) *to++ = (char)('0' + rest / unit);
  return to;
}

char *aggregate_put(const struct aggregate *aggregate, int128 value, char *to) {
  if (is_rate(aggregate)) return put_rate(to, value);
  if (is_count(aggregate->function) || aggregate->scale == SCALE_INTEGER) return int128_put(to, value);
  if (aggregate->scale == SCALE_TIME) return timestamp_put(to, (int64_t)value, 0, true, 6);
  if (aggregate->function == AGGREGATE_AVG) return decimal_put(to, value, 9);
  return decimal_put(to, value, aggregate->scale == SCALE_COST ? 4 : 0);
}
