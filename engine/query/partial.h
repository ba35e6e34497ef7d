/* partial.h - TALLY_PARTIAL: what is quarantined is left out of an answer and counted. Where damage is found
 * while a request is answered and no row was given out yet, the request is answered again without it. */
#ifndef QUERY_PARTIAL_H
#define QUERY_PARTIAL_H

#include "query/query.h"

/* Where a scan counts what it leaves out: from 0; NULL where the request does not allow it. */
struct left_out *partial_left_out(const struct query_environment *environment, uint32_t flags);
/* Segments of the snapshot that are quarantined. */
uint64_t partial_quarantined(const struct query_environment *environment);
/* Is a failed attempt, before which `before` segments were quarantined, to be made again? */
bool partial_again(const struct query_environment *environment, uint32_t flags, uint64_t before, int result);

#endif
