/* ingest_value.h - the texts of times, integers and costs as the contract's "Input" has them, for CSV and
 * NDJSON alike.
 *
 * Each returns true, or false with a sentence in `reason` on what is wrong with the value and what to do. */
#ifndef TOOLS_INGEST_VALUE_H
#define TOOLS_INGEST_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tally.h>

#define VALUE_REASON 320

/* How values are to be read. One thread at a time: the zone's last period and the last date are kept. */
struct value_options {
  const char *zone;  /* of times without an offset; NULL: those are refused. value_zone has checked it */
  int64_t time_unit; /* microseconds of one unit of an integer time: 1, 1000 or 1000000 */
  bool half_even;    /* round costs of more than nine decimals */
  bool zone_fixed;   /* the zone is an offset: period holds it for ever */
  bool zone_known;   /* period is a period of the zone */
  tally_zone_period period;
  /* The date of the last time, "YYYY-MM-DD", and when it starts in UTC: the next time is of the same day, as
   * a rule. */
  char date[10];
  int64_t date_start;
};

/* Sets the zone: a name of the system's zone rules, "UTC" or an offset ("+05:30"). TALLY_NOT_FOUND. */
int value_zone(struct value_options *options, const char *zone);

/* RFC 3339 with T or a space, or an integer in the time unit, in microseconds. A local time (no offset) that
 * the zone has twice is the first of the two; one that it skips is refused. The range 1970 to 9999 is left
 * to the batch. */
bool value_time(struct value_options *options, const char *text, size_t size, int64_t *us,
                char reason[VALUE_REASON]);
/* An optional minus and digits that fit 32 bits. */
bool value_int(const char *text, size_t size, int32_t *value, char reason[VALUE_REASON]);
/* A JSON number that is an integer, in whatever way it is written (1, 1.0, 1e3), and fits 32 bits. */
bool value_json_int(const char *text, size_t size, int32_t *value, char reason[VALUE_REASON]);
/* The same for a time: an integer in the time unit. */
bool value_json_time(const struct value_options *options, const char *text, size_t size, int64_t *us,
                     char reason[VALUE_REASON]);
/* A decimal, exponents understood, in units of 10^-9. */
bool value_cost(const struct value_options *options, const char *text, size_t size, int64_t *units,
                char reason[VALUE_REASON]);

#endif
