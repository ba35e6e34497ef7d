/* zone.h - local time in the zone of a request.
 *
 * "UTC" (also "Z", "Etc/UTC") and fixed offsets (+hh, +hhmm, +hh:mm, and -) are built in; other names go to
 * the caller's hook, which gives periods of constant offset. Zones are only asked through three questions:
 * the offset at an instant, the local day of an instant, and the first instant at which local time has
 * reached a given local time. From the last follows what a day is: [zone_reach(day), zone_reach(day + 1)),
 * which is empty for a date that the zone skipped, begins after a gap at midnight, and does not begin twice
 * where clocks go back over midnight. */
#ifndef QUERY_ZONE_H
#define QUERY_ZONE_H

#include <stdbool.h>
#include <stdint.h>
#include <tally.h>

struct time_zone {
  const char *name; /* borrowed */
  bool utc;         /* labels end in Z */
  bool fixed;       /* one offset for ever */
  tally_zone_fn hook;
  void *arg;
  tally_zone_period period; /* the last one asked for */
};

#define ZONE_OFFSET_MOST 172800 /* seconds: no clock is further than two days from UTC */

/* `name` NULL is UTC. TALLY_USAGE if there is no such zone. */
int zone_open(struct time_zone *zone, const char *name, tally_zone_fn hook, void *arg, int64_t now,
              tally_error *error);
/* Seconds to add to UTC at an instant (microseconds). */
int zone_offset(struct time_zone *zone, int64_t us, int32_t *offset, tally_error *error);
/* The local date at an instant, in days since 1970-01-01. */
int zone_day(struct time_zone *zone, int64_t us, int64_t *day, tally_error *error);
/* The first instant at which local time (microseconds, as if UTC) is `local` or later. */
int zone_reach(struct time_zone *zone, int64_t local, int64_t *us, tally_error *error);

#endif
