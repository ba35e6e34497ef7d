/* zone.c - see zone.h. Offsets are bounded, so local time at least two days earlier cannot have reached a
 * local time yet: the search of zone_reach starts there and goes through the periods. */
#include "query/zone.h"

#include <string.h>

#include "base/status.h"
#include "query/words.h"

#define SECOND_US INT64_C(1000000)
#define DAY_SECONDS INT64_C(86400)

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

static bool two_digits(const char *p, int most, int *value) {
  if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9') return false;
  *value = (p[0] - '0') * 10 + (p[1] - '0');
  return *value <= most;
}

/* +hh, +hhmm, +hh:mm. */
static bool parse_offset(const char *name, int32_t *offset) {
  size_t n = strlen(name);
  int hours, minutes = 0;
  if ((name[0] != '+' && name[0] != '-') || n < 3 || !two_digits(name + 1, 23, &hours)) return false;
  const char *rest = name + 3;
  if (*rest == ':') rest++;
  if (rest == name + 4 || n > 3) {
    if (strlen(rest) != 2 || !two_digits(rest, 59, &minutes)) return false;
  }
  *offset = (hours * 60 + minutes) * (name[0] == '-' ? -60 : 60);
  return true;
}

static bool is_utc(const char *name) {
  struct piece p = piece_of(name);
  return piece_is(p, "utc") || piece_is(p, "z") || piece_is(p, "etc/utc");
}

/* Makes zone->period the one that holds `second`. */
static int load_period(struct time_zone *zone, int64_t second, tally_error *error) {
  tally_zone_period *p = &zone->period;
  if (p->start <= second && (second < p->end || p->end == INT64_MAX)) return 0;
  int rc = zone->hook(zone->arg, zone->name, second, p);
  if (rc)
    return fail(error, TALLY_USAGE,
                "--tz '%s': there is no such time zone; names are those of the IANA database "
                "(Europe/Berlin), UTC, or an offset (+05:30)",
                zone->name);
  if (p->start > second || (second >= p->end && p->end != INT64_MAX) || p->offset > ZONE_OFFSET_MOST ||
      p->offset < -ZONE_OFFSET_MOST)
    return fail(error, TALLY_USAGE,
                "--tz '%s': the time zone rules that the program registered are not usable", zone->name);
  return 0;
}

int zone_open(struct time_zone *zone, const char *name, tally_zone_fn hook, void *arg, int64_t now,
              tally_error *error) {
  *zone = (struct time_zone){.name = name ? name : "UTC", .hook = hook, .arg = arg};
  zone->period = (tally_zone_period){INT64_MIN, INT64_MAX, 0};
  if (is_utc(zone->name)) {
    zone->utc = zone->fixed = true;
    return 0;
  }
  if (parse_offset(zone->name, &zone->period.offset)) {
    zone->fixed = true;
    return 0;
  }
  if (!hook)
    return fail(error, TALLY_USAGE,
                "--tz '%s': this program registered no time zones; use UTC or an offset (+05:30)",
                zone->name);
  zone->period = (tally_zone_period){0, 0, 0};
  return load_period(zone, floor_div(now, SECOND_US), error);
}

int zone_offset(struct time_zone *zone, int64_t us, int32_t *offset, tally_error *error) {
  int rc = load_period(zone, floor_div(us, SECOND_US), error);
  *offset = zone->period.offset;
  return rc;
}

int zone_day(struct time_zone *zone, int64_t us, int64_t *day, tally_error *error) {
  int32_t offset;
  int rc = zone_offset(zone, us, &offset, error);
  *day = floor_div(floor_div(us, SECOND_US) + offset, DAY_SECONDS);
  return rc;
}

int zone_reach(struct time_zone *zone, int64_t local, int64_t *us, tally_error *error) {
  int64_t second = floor_div(local, SECOND_US) - ZONE_OFFSET_MOST - 1;
  for (;;) {
    int rc = load_period(zone, second, error);
    if (rc) return rc;
    const tally_zone_period *p = &zone->period;
    int64_t reached = local - p->offset * SECOND_US, first = second * SECOND_US;
    *us = reached > first ? reached : first;
    if (p->end == INT64_MAX || floor_div(*us, SECOND_US) < p->end) return 0;
    second = p->end;
  }
}
