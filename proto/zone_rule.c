/* zone_rule.c - POSIX TZ rules; see zone_rule.h. The grammar is that of POSIX.1-2017, Base Definitions 8.3:
 *
 *   std offset [dst [offset] , date [/time] , date [/time]]        offsets and times: [+|-]hh[:mm[:ss]]
 *   std, dst: three letters or more, or <letters, digits, signs>   date: Jn, n or Mm.w.d
 *
 * Offsets count west of Greenwich there and east here. */
#include "proto/zone_rule.h"

#include <string.h>

#define DAY 86400
#define HOUR 3600
/* The Gregorian calendar repeats after 400 years of 146,097 days, which are whole weeks: so do rules. */
#define CYCLE (INT64_C(146097) * DAY)
#define YEAR_2000 (INT64_C(10957) * DAY) /* 2000-01-01T00:00:00Z, where a cycle begins */

/* ------------------------------------------------------------------ parsing */

struct text {
  const char *at, *end;
};

static bool next_is(struct text *t, char c) {
  if (t->at == t->end || *t->at != c) return false;
  t->at++;
  return true;
}

static bool is_letter(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool parse_name(struct text *t) {
  bool quoted = next_is(t, '<');
  const char *first = t->at;
  while (t->at < t->end &&
         (is_letter(*t->at) || (quoted && (is_digit(*t->at) || *t->at == '+' || *t->at == '-'))))
    t->at++;
  bool long_enough = t->at - first >= 3;
  return long_enough && (!quoted || next_is(t, '>'));
}

static bool parse_number(struct text *t, int32_t low, int32_t high, int32_t *value) {
  int32_t v = 0;
  const char *first = t->at;
  while (t->at < t->end && is_digit(*t->at) && t->at - first < 4) v = v * 10 + (*t->at++ - '0');
  *value = v;
  return t->at > first && v >= low && v <= high;
}

/* [+|-]hh[:mm[:ss]] in seconds. */
static bool parse_time(struct text *t, int32_t hours_max, int32_t *seconds) {
  bool negative = next_is(t, '-');
  if (!negative) (void)next_is(t, '+');
  int32_t h, m = 0, s = 0;
  if (!parse_number(t, 0, hours_max, &h)) return false;
  if (next_is(t, ':') && !parse_number(t, 0, 59, &m)) return false;
  if (next_is(t, ':') && !parse_number(t, 0, 59, &s)) return false;
  *seconds = h * HOUR + m * 60 + s;
  if (negative) *seconds = -*seconds;
  return true;
}

static bool parse_day(struct text *t, struct zone_day *day) {
  *day = (struct zone_day){.time = 2 * HOUR};
  bool good;
  if (next_is(t, 'M')) {
    day->form = ZONE_WEEKDAY;
    good = parse_number(t, 1, 12, &day->month) && next_is(t, '.') && parse_number(t, 1, 5, &day->week) &&
           next_is(t, '.') && parse_number(t, 0, 6, &day->day);
  } else if (next_is(t, 'J')) {
    day->form = ZONE_JULIAN;
    good = parse_number(t, 1, 365, &day->day);
  } else {
    day->form = ZONE_ZERO_BASED;
    good = parse_number(t, 0, 365, &day->day);
  }
  return good && (!next_is(t, '/') || parse_time(t, 167, &day->time));
}

bool zone_rule_parse(const char *text, size_t size, struct zone_rule *rule) {
  struct text t = {text, text + size};
  int32_t west;
  *rule = (struct zone_rule){0};
  if (!parse_name(&t) || !parse_time(&t, 24, &west)) return false;
  rule->standard = rule->daylight = -west;
  if (t.at == t.end) return true;
  if (!parse_name(&t)) return false;
  rule->daylight = rule->standard + HOUR;
  if (t.at < t.end && *t.at != ',') {
    if (!parse_time(&t, 24, &west)) return false;
    rule->daylight = -west;
  }
  return next_is(&t, ',') && parse_day(&t, &rule->start) && next_is(&t, ',') && parse_day(&t, &rule->end) &&
         t.at == t.end;
}

/* ------------------------------------------------------------------ calendar */

static bool is_leap(int64_t year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

/* Days from 1970-01-01 to 1 January of a year from 1600 on. */
static int64_t days_of_year(int64_t year) {
  int64_t y = year - 1;
  return y * 365 + y / 4 - y / 100 + y / 400 - 719162;
}

/* Days from 1 January to the first of a month, 1..12. */
static int64_t days_of_month(int64_t year, int32_t month) {
  static const int16_t before[12] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
  return before[month - 1] + (month > 2 && is_leap(year));
}

static int64_t day_number(const struct zone_day *day, int64_t year) {
  int64_t january = days_of_year(year);
  if (day->form == ZONE_ZERO_BASED) return january + day->day;
  if (day->form == ZONE_JULIAN) return january + day->day - 1 + (day->day >= 60 && is_leap(year));
  int64_t first = january + days_of_month(year, day->month);
  int64_t next = day->month == 12 ? days_of_year(year + 1) : january + days_of_month(year, day->month + 1);
  int64_t weekday = (first + 4) % 7; /* 1970-01-01 was a Thursday; days are not negative from 1970 on */
  int64_t found = first + (day->day - weekday + 7) % 7 + (day->week - 1) * 7;
  return found < next ? found : found - 7;
}

/* ------------------------------------------------------------------ periods */

#define YEARS 7 /* looked at around an instant: its own and three on either side */

struct change {
  int64_t at;
  int32_t offset; /* from then on */
};

/* The changes around `year` in the order of time; those without effect (a standard time of no length) are
 * dropped. */
static size_t list_changes(const struct zone_rule *rule, int64_t year, struct change list[2 * YEARS]) {
  size_t n = 0;
  for (int64_t y = year - YEARS / 2; y <= year + YEARS / 2; y++) {
    struct change two[2] = {
        {day_number(&rule->start, y) * DAY + rule->start.time - rule->standard, rule->daylight},
        {day_number(&rule->end, y) * DAY + rule->end.time - rule->daylight, rule->standard}};
    bool swap = two[1].at < two[0].at;
    for (int i = 0; i < 2; i++) {
      struct change c = two[swap ? 1 - i : i];
      while (n && list[n - 1].at >= c.at) n--; /* the later rule has the instant */
      if (n && list[n - 1].offset == c.offset) continue;
      list[n++] = c;
    }
  }
  return n;
}

static int64_t shift(int64_t at, int64_t by) {
  int64_t sum;
  if (__builtin_add_overflow(at, by, &sum)) return by < 0 ? INT64_MIN : INT64_MAX;
  return sum;
}

void zone_rule_at(const struct zone_rule *rule, int64_t at, tally_zone_period *period) {
  *period = (tally_zone_period){INT64_MIN, INT64_MAX, rule->standard};
  if (rule->daylight == rule->standard) return;
  int64_t within = at % CYCLE - YEAR_2000 % CYCLE;
  int64_t moved =
      (within % CYCLE + CYCLE) % CYCLE + YEAR_2000; /* `at` in 2000..2399, which stand for every cycle */
  int64_t year = 2000 + (moved - YEAR_2000) / (INT64_C(366) * DAY);
  while (days_of_year(year + 1) * DAY <= moved) year++;
  struct change list[2 * YEARS];
  size_t n = list_changes(rule, year, list), i = 0;
  while (i + 1 < n && list[i + 1].at <= moved) i++;
  period->offset = list[i].offset;
  if (n <= 2) return; /* one offset all year: what is left are the ends of the list */
  period->start = shift(at, list[i].at - moved);
  period->end = shift(at, list[i + 1].at - moved);
}
