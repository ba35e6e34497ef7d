/* zone_rule.h - the rule for all time after a zone's last transition: the POSIX TZ string in the footer of a
 * TZif file, with the extensions of RFC 8536 section 3.3.1 (hours from -167 to 167). Internal to
 * proto/zone*.c. */
#ifndef PROTO_ZONE_RULE_H
#define PROTO_ZONE_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tally.h>

/* A day of every year, and seconds from its local midnight. */
struct zone_day {
  enum zone_day_form { ZONE_JULIAN, ZONE_ZERO_BASED, ZONE_WEEKDAY } form;
  int32_t day; /* JULIAN: 1..365, 29 February is not counted; ZERO_BASED: 0..365; WEEKDAY: 0 Sunday .. 6 */
  int32_t month, week; /* WEEKDAY: 1..12, 1..5 (5: the last) */
  int32_t time;
};

struct zone_rule {
  int32_t standard, daylight; /* seconds east of UTC; the same if there is no daylight saving time */
  struct zone_day start, end; /* of daylight saving time, each in the local time before it */
};

/* Reads a rule from `size` bytes, all of them; false if they are none. */
bool zone_rule_parse(const char *text, size_t size, struct zone_rule *rule);
/* The period of the rule that contains `at`, the rule taken for all time. */
void zone_rule_at(const struct zone_rule *rule, int64_t at, tally_zone_period *period);

#endif
