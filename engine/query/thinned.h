/* thinned.h - queries over segments that retention has thinned: rollups answer them, or nothing does.
 *
 * A thinned segment has two kinds of rollups: by service, endpoint, method and class of status_code, with
 * histograms of duration_ms in the hours; and by service and user. One of them must carry everything that is
 * asked of the segment, and the range and the buckets must be unions of whole hours where it has rows. */
#ifndef QUERY_THINNED_H
#define QUERY_THINNED_H

#include "query/plan.h"

/* Fills in which kinds carry the request's groups and states. */
void thinned_suffices(struct plan *plan);
/* Plans a part that is a thinned segment. TALLY_NO_RAW_ROWS, saying what can be answered. */
int thinned_plan(struct plan *plan, size_t index, tally_error *error);

#endif
