/* civil.h - dates, RFC 3339, and the bucket units of the contract, without time zones (zone.h in scan's
 * callers adds those). Proleptic Gregorian calendar; days count from 1970-01-01. */
#ifndef MODEL_CIVIL_H
#define MODEL_CIVIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/* H. Hinnant, "chrono-Compatible Low-Level Date Algorithms" (days_from_civil and its inverse). */
int64_t civil_to_days(int64_t year, int month, int day);
void days_to_civil(int64_t days, int64_t *year, int *month, int *day);
bool civil_valid(int64_t year, int month, int day); /* year 0..9999, month 1..12, day of that month */

/* Reads a whole timestamp: YYYY-MM-DD, then T, t or a space, hh:mm:ss, an optional fraction of 1 or more
 * digits (digits beyond six must be 0), then Z, z, +hh, +hhmm, +hh:mm (or -) or nothing. *has_offset tells
 * whether an offset was there; without one *us is the local time as if it were UTC, and only its year is
 * known to be within 0..9999: the zone decides. False if it is not of that form, a field is out of range
 * (second 60 is refused), or the instant is outside 1970..9999 after the offset. Hot path of the CSV
 * reader. */
bool timestamp_parse(const char *text, size_t size, int64_t *us, bool *has_offset);
/* YYYY-MM-DD alone: days since 1970-01-01. */
bool date_parse(const char *text, size_t size, int64_t *days);

/* Writes us as RFC 3339 in an offset of `offset` seconds ("Z" if `utc`, else +hh:mm; an offset with seconds
 * prints them too: +hh:mm:ss), with `decimals` (0 or 6) decimals. Returns where it ends; `to` has room for
 * TIMESTAMP_PUT_MOST bytes. */
#define TIMESTAMP_PUT_MOST 48
char *timestamp_put(char *to, int64_t us, int32_t offset, bool utc, int decimals);
/* Appends the same. */
void timestamp_print(struct buffer *b, int64_t us, int32_t offset, bool utc, int decimals);

/* A bucket: count x unit. us..h are fixed lengths aligned to 1970; d, w, mo, y are calendar units. */
enum bucket_unit { BUCKET_FIXED, BUCKET_DAYS, BUCKET_MONTHS };
struct bucket {
  enum bucket_unit unit;
  int64_t count; /* FIXED: microseconds; DAYS: days; MONTHS: months; > 0 */
  int64_t shift; /* DAYS: the day number that bucket 0 starts on: 0, or -3 for weeks (Monday 1969-12-29) */
};
/* Reads N + us ms s m h d w mo y ("5m", "1mo"), N from 1, the whole text. False if it is not of that
 * form or too long to count (more than 9999 years). */
bool bucket_parse(const char *text, size_t size, struct bucket *bucket);
/* The day on which the calendar bucket (not FIXED) of that day starts, and on which the next one starts. */
void bucket_days(const struct bucket *bucket, int64_t day, int64_t *first, int64_t *next);

#endif
