/* civil.c - dates and the texts of instants; see civil.h.
 *
 * The fixed part of a timestamp, YYYY-MM-DDThh:mm:ss, is read eight bytes at a time: XOR with a pattern
 * of zeros and separators leaves digit values and zeros, whose limits one addition checks in all bytes. */
#include "model/civil.h"

#include "model/decimal.h"
#include "model/schema.h"

#define SECOND_US INT64_C(1000000)
#define ERA_DAYS 146097  /* of 400 years */
#define UNIX_DAYS 719468 /* 0000-03-01 to 1970-01-01 */

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

/* ------------------------------------------------------------------ days */

/* A year starts in March, so that the leap day is its last; `year` counts from such a year. */
static int64_t days_before(int64_t era, unsigned year_of_era, unsigned month, unsigned day) {
  unsigned day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * ERA_DAYS + (int64_t)day_of_era - UNIX_DAYS;
}

int64_t civil_to_days(int64_t year, int month, int day) {
  if (month <= 2) year--;
  int64_t era = floor_div(year, 400);
  return days_before(era, (unsigned)(year - era * 400), (unsigned)month, (unsigned)day);
}

void days_to_civil(int64_t days, int64_t *year, int *month, int *day) {
  int64_t era = floor_div(days + UNIX_DAYS, ERA_DAYS);
  unsigned day_of_era = (unsigned)(days + UNIX_DAYS - era * ERA_DAYS);
  unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  unsigned march = (5 * day_of_year + 2) / 153; /* month from March, 0 to 11 */
  *day = (int)(day_of_year - (153 * march + 2) / 5) + 1;
  *month = (int)(march < 10 ? march + 3 : march - 9);
  *year = (int64_t)year_of_era + era * 400 + (*month <= 2);
}

static inline bool leap(unsigned year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

static inline bool date_valid(unsigned year, unsigned month, unsigned day) {
  static const uint8_t days[13] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (month < 1 || month > 12 || day < 1) return false;
  return day <= days[month] + (unsigned)(month == 2 && leap(year));
}

bool civil_valid(int64_t year, int month, int day) {
  return year >= 0 && year <= 9999 && month >= 1 && day >= 1 &&
         date_valid((unsigned)year, (unsigned)month, (unsigned)day);
}

/* ------------------------------------------------------------------ reading */

/* Patterns are texts of eight characters; in memory order they are little-endian integers. `limit` has
 * in each byte what makes a value that is too great overflow into the sign: 0x76 for digits, 0x7F for
 * separators. False if some byte is not a digit, or not the separator, that the pattern has there. On
 * success byte i of *pairs is ten times digit i plus digit i + 1. */
static inline bool match(uint64_t text, uint64_t pattern, uint64_t limit, uint64_t *pairs) {
  uint64_t x = text ^ pattern;
  *pairs = x * 10 + (x >> 8);
  return ((x | (x + limit)) & 0x8080808080808080u) == 0;
}

static inline unsigned byte_of(uint64_t v, int i) { return (unsigned)(v >> 8 * i) & 0xFF; }

/* "YYYY-MM-" of the eight bytes at p. */
static inline bool read_month(const char *p, unsigned *year, unsigned *month) {
  uint64_t pairs;
  bool ok = match(load64(p), 0x2D30302D30303030u, 0x7F76767F76767676u, &pairs);
  *year = byte_of(pairs, 0) * 100 + byte_of(pairs, 2);
  *month = byte_of(pairs, 5);
  return ok;
}

/* "DDThh:mm" of the eight bytes at p; the third is T, t or a space. */
static inline bool read_minute(const char *p, unsigned *day, unsigned *hour, unsigned *minute) {
  uint64_t pairs, text = load64(p);
  bool separator = p[2] == 'T' || p[2] == 't' || p[2] == ' ';
  bool ok = match((text & ~UINT64_C(0xFF0000)) | UINT64_C(0x540000), 0x30303A3030543030u, 0x76767F76767F7676u,
                  &pairs);
  *day = byte_of(pairs, 0);
  *hour = byte_of(pairs, 3);
  *minute = byte_of(pairs, 6);
  return ok && separator;
}

static inline bool read_two(const char *p, unsigned *value) {
  unsigned tens = (unsigned)(p[0] - '0'), ones = (unsigned)(p[1] - '0');
  *value = tens * 10 + ones;
  return tens < 10 && ones < 10;
}

/* ".ffffff" of the eight bytes at p, of which the last is looked at later. */
static inline bool read_six(const char *p, unsigned *value) {
  uint64_t pairs, text = (load64(p) & ~(UINT64_C(0xFF) << 56)) | UINT64_C(0x30) << 56;
  bool ok = match(text, 0x303030303030302Eu, 0x767676767676767Fu, &pairs);
  *value = byte_of(pairs, 1) * 10000 + byte_of(pairs, 3) * 100 + byte_of(pairs, 5);
  return ok;
}

/* The digits behind the dot at *p, which moves behind them. */
static bool read_fraction(const char **p, const char *end, int64_t *us) {
  const char *start = *p + 1, *at = start;
  unsigned value = 0;
  if (end - *p >= 8 && read_six(*p, &value)) {
    at += 6;
  } else {
    for (value = 0; at < end && at - start < 6 && (unsigned)(*at - '0') < 10; at++)
      value = value * 10 + (unsigned)(*at - '0');
    if (at == start) return false;
    for (ptrdiff_t i = at - start; i < 6; i++) value *= 10;
  }
  while (at < end && *at == '0') at++; /* finer than a microsecond: only zeros */
  *us = value;
  *p = at;
  return true;
}

/* Z, z, +hh, +hhmm or +hh:mm (or -), up to the end, in seconds. */
static bool read_offset(const char *p, const char *end, int64_t *offset) {
  ptrdiff_t size = end - p;
  *offset = 0;
  if (size == 1 && (*p == 'Z' || *p == 'z')) return true;
  unsigned hours, minutes = 0;
  if ((*p != '+' && *p != '-') || size < 3 || !read_two(p + 1, &hours)) return false;
  if (size == 5 && !read_two(p + 3, &minutes)) return false;
  if (size == 6 && (p[3] != ':' || !read_two(p + 4, &minutes))) return false;
  if ((size != 3 && size != 5 && size != 6) || hours > 23 || minutes > 59) return false;
  *offset = (int64_t)(hours * 3600 + minutes * 60);
  if (*p == '-') *offset = -*offset;
  return true;
}

bool timestamp_parse(const char *text, size_t size, int64_t *us, bool *has_offset) {
  enum { FIXED = 19 };
  unsigned year, month, day, hour, minute, second;
  if (size < FIXED || !read_month(text, &year, &month) || !read_minute(text + 8, &day, &hour, &minute) ||
      text[16] != ':' || !read_two(text + 17, &second))
    return false;
  if (!date_valid(year, month, day) || hour > 23 || minute > 59 || second > 59) return false;
  const char *p = text + FIXED, *end = text + size;
  int64_t fraction = 0, offset = 0;
  if (p < end && *p == '.' && !read_fraction(&p, end, &fraction)) return false;
  *has_offset = p < end;
  if (p < end && !read_offset(p, end, &offset)) return false;
  unsigned shifted = year + 400 - (month <= 2); /* not negative, whatever the year */
  int64_t days = days_before((int64_t)(shifted / 400) - 1, shifted % 400, month, day);
  int64_t seconds = days * 86400 + (int64_t)(hour * 3600 + minute * 60 + second) - offset;
  *us = seconds * SECOND_US + fraction;
  return !*has_offset || (*us >= 0 && *us <= TIME_MAX);
}

bool date_parse(const char *text, size_t size, int64_t *days) {
  unsigned year, month, day;
  if (size != 10 || !read_month(text, &year, &month) || !read_two(text + 8, &day)) return false;
  if (!date_valid(year, month, day)) return false;
  *days = civil_to_days((int64_t)year, (int)month, (int)day);
  return true;
}

/* ------------------------------------------------------------------ printing */

static char *put_two(char *p, unsigned value) {
  *p++ = (char)('0' + value / 10 % 10);
  *p++ = (char)('0' + value % 10);
  return p;
}

static char *put_clock(char *p, unsigned second_of_day) {
  p = put_two(p, second_of_day / 3600);
  *p++ = ':';
  p = put_two(p, second_of_day / 60 % 60);
  *p++ = ':';
  return put_two(p, second_of_day % 60);
}

static char *put_offset(char *p, int32_t offset) {
  unsigned seconds = offset < 0 ? 0u - (unsigned)offset : (unsigned)offset;
  *p++ = offset < 0 ? '-' : '+';
  char *end = put_clock(p, seconds);
  return seconds % 60 ? end : end - 3;
}

char *timestamp_put(char *p, int64_t us, int32_t offset, bool utc, int decimals) {
  int64_t seconds = floor_div(us, SECOND_US);
  unsigned fraction = (unsigned)(us - seconds * SECOND_US);
  seconds += offset;
  int64_t days = floor_div(seconds, 86400), year;
  int month, day;
  days_to_civil(days, &year, &month, &day);
  if (year >= 0 && year <= 9999)
    p = put_two(put_two(p, (unsigned)year / 100), (unsigned)year % 100);
  else
    p = int128_put(p, year);
  *p++ = '-';
  p = put_two(p, (unsigned)month);
  *p++ = '-';
  p = put_two(p, (unsigned)day);
  *p++ = 'T';
  p = put_clock(p, (unsigned)(seconds - days * 86400));
  if (decimals) {
    *p++ = '.';
    p = put_two(put_two(put_two(p, fraction / 10000), fraction / 100 % 100), fraction % 100);
  }
  if (!utc) return put_offset(p, offset);
  *p++ = 'Z';
  return p;
}

void timestamp_print(struct buffer *b, int64_t us, int32_t offset, bool utc, int decimals) {
  if (!buffer_reserve(b, TIMESTAMP_PUT_MOST)) return;
  char *to = (char *)b->data + b->size;
  b->size += (size_t)(timestamp_put(to, us, offset, utc, decimals) - to);
}
