/* ingest_value.c - see ingest_value.h. Numbers and times are read by the functions that the store itself uses
 * for its requests, so that both take the same texts. */
#include "tools/ingest_value.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "model/civil.h"
#include "model/decimal.h"
#include "proto/zone.h"
#include "tools/ingest_record.h"

#define SECOND_US INT64_C(1000000)
#define OFFSETS_APART 200000 /* seconds; more than any two offsets from UTC differ */

static bool refuse(char reason[VALUE_REASON], const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool refuse(char reason[VALUE_REASON], const char *format, ...) {
  va_list args;
  va_start(args, format);
  (void)vsnprintf(reason, VALUE_REASON, format, args);
  va_end(args);
  return false;
}

/* ------------------------------------------------------------------ time zones */

/* "UTC", "Z", or an offset. */
static bool fixed_zone(const char *zone, int32_t *offset) {
  *offset = 0;
  if (strcmp(zone, "UTC") == 0 || strcmp(zone, "Z") == 0) return true;
  char text[40];
  int64_t us;
  bool has_offset;
  int n = snprintf(text, sizeof text, "2000-01-02T00:00:00%s", zone);
  if (n < 0 || (size_t)n >= sizeof text || (*zone != '+' && *zone != '-')) return false;
  if (!timestamp_parse(text, (size_t)n, &us, &has_offset) || !has_offset) return false;
  *offset = (int32_t)(civil_to_days(2000, 1, 2) * 86400 - us / SECOND_US);
  return true;
}

int value_zone(struct value_options *options, const char *zone) {
  int32_t offset;
  options->zone_fixed = fixed_zone(zone, &offset);
  if (options->zone_fixed) {
    options->period = (tally_zone_period){INT64_MIN, INT64_MAX, offset};
  } else {
    int code = zone_period(NULL, zone, 0, &options->period);
    if (code) return code;
  }
  options->zone = zone;
  options->zone_known = true;
  return TALLY_OK;
}

/* Does the period hold the local second, and can no earlier one hold it as well? */
static bool surely_in(const tally_zone_period *p, int64_t local) {
  int64_t at = local - p->offset;
  return at < p->end && (p->start == INT64_MIN || at - OFFSETS_APART >= p->start);
}

/* The earliest instant whose local time is `local` (both seconds); false if there is none. */
static bool from_local(struct value_options *options, int64_t local, int64_t *at) {
  tally_zone_period *p = &options->period;
  if (surely_in(p, local)) {
    *at = local - p->offset;
    return true;
  }
  if (zone_period(NULL, options->zone, local - OFFSETS_APART, p)) return false;
  for (;;) {
    *at = local - p->offset;
    if (*at >= p->start && *at < p->end) return true;
    if (p->end > local + OFFSETS_APART || zone_period(NULL, options->zone, p->end, p)) return false;
  }
}

static bool local_time(struct value_options *options, const char *text, size_t size, int64_t *us,
                       char reason[VALUE_REASON]) {
  int64_t seconds = *us / SECOND_US, at;
  if (*us % SECOND_US < 0) seconds--;
  if (!from_local(options, seconds, &at))
    return refuse(reason,
                  "%s does not exist in %s, whose clocks were set forward over it: correct it or give its "
                  "offset",
                  excerpt_of(text, size).text, options->zone);
  *us = at * SECOND_US + (*us - seconds * SECOND_US);
  return true;
}

/* ------------------------------------------------------------------ times */

/* -?digits within 64 bits. False, with *digits telling whether at least its form is that. */
static bool read_integer(const char *text, size_t size, int64_t *value, bool *digits) {
  bool negative = size && *text == '-';
  size_t i = negative;
  uint64_t v = 0;
  bool fits = true;
  *digits = i < size;
  for (; i < size; i++) {
    unsigned d = (unsigned)(text[i] - '0');
    if (d > 9) return *digits = false;
    fits = fits && !__builtin_mul_overflow(v, 10, &v) && !__builtin_add_overflow(v, d, &v);
  }
  if (!*digits || !fits || v > (uint64_t)INT64_MAX) return false;
  *value = negative ? -(int64_t)v : (int64_t)v;
  return true;
}

static bool scale_time(const struct value_options *options, const char *text, size_t size, int64_t units,
                       bool fits, int64_t *us, char reason[VALUE_REASON]) {
  if (fits && !__builtin_mul_overflow(units, options->time_unit, us)) return true;
  return refuse(reason, "%s is outside the years 1970 to 9999: correct it, or its unit (--time-unit)",
                excerpt_of(text, size).text);
}

/* Eight bytes that were XORed with a pattern of zeros and separators: digits 0 to 9, and 0 for the
 * separators? `limit` has in each byte what makes a greater value overflow into the sign. */
static inline bool matches(uint64_t x, uint64_t limit) {
  return ((x | (x + limit)) & UINT64_C(0x8080808080808080)) == 0;
}
/* Byte i times ten plus byte i + 1. */
static inline unsigned pair(uint64_t x, unsigned i) {
  return (unsigned)((x * 10 + (x >> 8)) >> (8 * i)) & 0xFF;
}

/* A time like 2024-02-01T00:00:00.000000Z of the same day as the last one. It gives what timestamp_parse
 * gives. */
static inline bool same_day(const struct value_options *options, const char *text, size_t size, int64_t *us) {
  if (size != 27 || memcmp(text, options->date, sizeof options->date) != 0 || text[10] != 'T') return false;
  uint64_t clock = load64(text + 11) ^ UINT64_C(0x30303A30303A3030);    /* "00:00:00" */
  uint64_t fraction = load64(text + 19) ^ UINT64_C(0x5A3030303030302E); /* ".000000Z" */
  if (!matches(clock, UINT64_C(0x76767F76767F7676)) || !matches(fraction, UINT64_C(0x7F7676767676767F)))
    return false;
  unsigned hour = pair(clock, 0), minute = pair(clock, 3), second = pair(clock, 6);
  if (hour > 23 || minute > 59 || second > 59) return false;
  *us = options->date_start + (int64_t)(hour * 3600 + minute * 60 + second) * SECOND_US +
        (int64_t)(pair(fraction, 1) * 10000 + pair(fraction, 3) * 100 + pair(fraction, 5));
  return true;
}

bool value_time(struct value_options *options, const char *text, size_t size, int64_t *us,
                char reason[VALUE_REASON]) {
  bool has_offset, digits;
  if (same_day(options, text, size, us)) return true;
  if (timestamp_parse(text, size, us, &has_offset)) {
    if (has_offset && text[size - 1] == 'Z') {
      memcpy(options->date, text, sizeof options->date);
      options->date_start = *us - *us % (86400 * SECOND_US);
    }
    if (has_offset) return true;
    if (options->zone) return local_time(options, text, size, us, reason);
    return refuse(reason, "%s has no offset from UTC: add Z or an offset, or name its zone with --tz ZONE",
                  excerpt_of(text, size).text);
  }
  int64_t units = 0;
  bool fits = read_integer(text, size, &units, &digits);
  if (digits) return scale_time(options, text, size, units, fits, us, reason);
  return refuse(reason,
                "%s is not a time from 1970 to 9999: write it as 2024-02-01T12:30:00Z (at most six decimals "
                "that are not 0), or as an integer in --time-unit",
                excerpt_of(text, size).text);
}

bool value_json_time(const struct value_options *options, const char *text, size_t size, int64_t *us,
                     char reason[VALUE_REASON]) {
  int64_t units;
  bool exact;
  int outside;
  decimal_bound(text, size, 0, &units, &exact, &outside);
  if (!exact && !outside)
    return refuse(reason, "%s is not an integer in the time unit: write whole units, or an RFC 3339 string",
                  excerpt_of(text, size).text);
  return scale_time(options, text, size, units, !outside, us, reason);
}

/* ------------------------------------------------------------------ integers */

static bool int_range(const char *text, size_t size, char reason[VALUE_REASON]) {
  return refuse(reason, "%s does not fit 32 bits: it must lie within -2147483648 and 2147483647",
                excerpt_of(text, size).text);
}

bool value_int(const char *text, size_t size, int32_t *value, char reason[VALUE_REASON]) {
  bool negative = size && *text == '-', digits;
  size_t i = negative;
  int64_t v = 0;
  if (size - i - 1 < 10) { /* one to ten digits */
    unsigned d = 0;
    for (; i < size && (d = (unsigned)(text[i] - '0')) < 10; i++) v = v * 10 + (int64_t)d;
    if (i == size) {
      v = negative ? -v : v;
      if (v < INT32_MIN || v > INT32_MAX) return int_range(text, size, reason);
      *value = (int32_t)v;
      return true;
    }
  }
  bool fits = read_integer(text, size, &v, &digits);
  if (!digits)
    return refuse(reason, "%s is not an integer: write digits, with a minus in front if it is negative",
                  excerpt_of(text, size).text);
  if (!fits || v < INT32_MIN || v > INT32_MAX) return int_range(text, size, reason);
  *value = (int32_t)v;
  return true;
}

bool value_json_int(const char *text, size_t size, int32_t *value, char reason[VALUE_REASON]) {
  int64_t v;
  bool exact;
  int outside;
  decimal_bound(text, size, 0, &v, &exact, &outside);
  if (!exact && !outside)
    return refuse(reason, "%s is not an integer: round it at its source", excerpt_of(text, size).text);
  if (outside || v < INT32_MIN || v > INT32_MAX) return int_range(text, size, reason);
  *value = (int32_t)v;
  return true;
}

/* ------------------------------------------------------------------ costs */

bool value_cost(const struct value_options *options, const char *text, size_t size, int64_t *units,
                char reason[VALUE_REASON]) {
  switch (decimal_parse(text, size, options->half_even, units)) {
  case DECIMAL_OK:
    return true;
  case DECIMAL_RANGE:
    return refuse(reason, "%s is beyond ±9,000,000,000: split the event", excerpt_of(text, size).text);
  case DECIMAL_INEXACT:
    return refuse(reason,
                  "%s has more than nine decimals: round it at its source, or say --cost-rounding half-even",
                  excerpt_of(text, size).text);
  case DECIMAL_SYNTAX:
  default:
    return refuse(reason, "%s is not a decimal number: write it as 0.0124", excerpt_of(text, size).text);
  }
}
