/* fill.h - --fill: a row for each group found in each bucket of the range, also where there are no events.
 * What is added is a group without values, so that counts and distinct are 0 and all else is NULL. */
#ifndef QUERY_FILL_H
#define QUERY_FILL_H

#include "query/execute.h"

#define FILL_ROWS 1000000u /* the most rows of a filled answer */

/* TALLY_TOO_LARGE beyond FILL_ROWS; TALLY_MEMORY_LIMIT, TALLY_NO_MEMORY. */
int fill_groups(const struct plan *plan, struct tally_up *total, tally_error *error);

#endif
