/* zone.h - the system's time-zone rules, as the engine asks for them (tally_zone_fn).
 *
 * Rules:
 *  1. The source is /usr/share/zoneinfo, read by this file's own TZif reader (RFC 8536, versions 2 and later:
 * the 64-bit block, then the POSIX TZ rule of the footer for all time after its last transition). Not GLib:
 * its GTimeZone (2.74) knows no daylight saving time after the year 2800, and ranges reach 9999. Never TZ +
 * tzset.
 *  2. A name is a path below that directory of letters, digits and "_+-/.", with no empty, "." or ".." part;
 * what is not such a name, not there, or not a well-formed TZif file is TALLY_NOT_FOUND.
 *  3. A file is trusted in nothing: every count is checked against the bytes there are.
 *  4. Zones that were asked for are kept (at most ZONE_CACHE of them) until the process ends or zone_forget;
 * a zone file that changes meanwhile is seen after that. Any thread. */
#ifndef PROTO_ZONE_H
#define PROTO_ZONE_H

#include <stddef.h>
#include <stdint.h>
#include <tally.h>

#define ZONE_CACHE 64
#define ZONE_FILE_MAX (1u << 20) /* bytes of a TZif file */

/* A tally_zone_fn; arg is not used. The period is the longest one around `at` in which local time is UTC +
 * the same offset. Also TALLY_NO_MEMORY and TALLY_IO. */
int zone_period(void *arg, const char *zone, int64_t at, tally_zone_period *period);
/* Drops the cache, as after an update of the system's rules. Any thread. */
void zone_forget(void);

/* A zone out of the bytes of a TZif file; for the cache and for tests. */
struct zone;
/* TALLY_NOT_FOUND if the bytes are not a well-formed TZif file of version 2 or later, TALLY_NO_MEMORY. */
int zone_parse(const void *bytes, size_t size, struct zone **zone);
void zone_at(const struct zone *zone, int64_t at, tally_zone_period *period);
void zone_free(struct zone *zone);

#endif
