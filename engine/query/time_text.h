/* time_text.h - T of the contract: an instant in a request.
 *
 *   2024-02-01T12:00:00.5+02:00   RFC 3339 with any offset, up to 6 decimals (a space for the T is fine)
 *   2024-02-01T12:00:00           without an offset: local time of --tz
 *   2024-02-01                    the first instant of that date in --tz
 *   now, now-7d, now+1h           the store's clock, N us ms s m h d w away; a d is 24 hours
 *
 * A local time that the zone skipped is the first instant after the gap; one that it has twice is the first
 * of the two. A range whose `from` is not before its `to` is empty: the answer is that of no rows. */
#ifndef QUERY_TIME_TEXT_H
#define QUERY_TIME_TEXT_H

#include "query/words.h"
#include "query/zone.h"

/* The whole text, trimmed. TALLY_USAGE. */
int time_parse(struct piece text, struct time_zone *zone, int64_t now, int64_t *us, tally_error *error);

#endif
