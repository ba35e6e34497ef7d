/* civil_bucket.c - the bucket units of the contract; see civil.h. */
#include <string.h>

#include "model/civil.h"
#include "model/schema.h"

#define YEARS_MOST 9999
#define DAYS_MOST INT64_C(3652059) /* of 9999 years */

static const struct {
  char name[3];
  enum bucket_unit unit;
  int64_t size, shift, most; /* most: the greatest count of this unit */
} units[] = {
    {"us", BUCKET_FIXED, 1, 0, DAYS_MOST *DAY_US},
    {"ms", BUCKET_FIXED, 1000, 0, DAYS_MOST *DAY_US / 1000},
    {"s", BUCKET_FIXED, 1000000, 0, DAYS_MOST * 86400},
    {"m", BUCKET_FIXED, 60000000, 0, DAYS_MOST * 1440},
    {"h", BUCKET_FIXED, 3600000000, 0, DAYS_MOST * 24},
    {"d", BUCKET_DAYS, 1, 0, DAYS_MOST},
    {"w", BUCKET_DAYS, 7, -3, DAYS_MOST / 7},
    {"mo", BUCKET_MONTHS, 1, 0, YEARS_MOST * 12},
    {"y", BUCKET_MONTHS, 12, 0, YEARS_MOST},
};

bool bucket_parse(const char *text, size_t size, struct bucket *bucket) {
  size_t digits = 0;
  int64_t count = 0;
  for (; digits < size && (unsigned)(text[digits] - '0') < 10; digits++)
    if (count <= DAYS_MOST * DAY_US) count = count * 10 + (text[digits] - '0');
  for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
    if (strlen(units[i].name) != size - digits || memcmp(units[i].name, text + digits, size - digits) != 0)
      continue;
    if (count < 1 || count > units[i].most) return false;
    *bucket = (struct bucket){units[i].unit, count * units[i].size, units[i].shift};
    return true;
  }
  return false;
}

static int64_t floor_to(int64_t value, int64_t step) {
  int64_t rest = value % step;
  return value - (rest < 0 ? rest + step : rest);
}

/* The first day of a month counted from 1970-01. */
static int64_t month_start(int64_t month) {
  int64_t year = floor_to(month, 12) / 12;
  return civil_to_days(1970 + year, (int)(month - year * 12) + 1, 1);
}

void bucket_days(const struct bucket *bucket, int64_t day, int64_t *first, int64_t *next) {
  if (bucket->unit != BUCKET_MONTHS) {
    *first = floor_to(day - bucket->shift, bucket->count) + bucket->shift;
    *next = *first + bucket->count;
    return;
  }
  int64_t year;
  int month, day_of_month;
  days_to_civil(day, &year, &month, &day_of_month);
  int64_t start = floor_to((year - 1970) * 12 + month - 1, bucket->count);
  *first = month_start(start);
  *next = month_start(start + bucket->count);
}
