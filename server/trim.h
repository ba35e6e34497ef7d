/* trim.h - memory that nobody uses goes back to the system: free pages between the heap's blocks, and blocks
 * that are kept for the next call (base/kept.h). No budget counts either.
 *
 * Blocks may be kept, by what was in memory at the last sweep, in half of what `memory` has beyond it.
 * A sweep gives back after answers have rested, and where the process has more in memory than `memory`: once
 * a second, and where that gave little the next time after twice as long, up to a minute, or once it has
 * grown again: at once. A thread of the upkeep does it, one at a time. The loop's thread. */
#ifndef SERVER_TRIM_H
#define SERVER_TRIM_H

#include "server/server.h"

#define TRIM_MS 1000u
#define TRIM_REST_MOST 64u /* times TRIM_MS */
#define TRIM_LITTLE 16u    /* it gave, or the process has grown by, less than such a part of `memory` */
#define KEPT_LEAST 16u     /* blocks that are kept may always take such a part of `memory`, */
#define KEPT_MOST 4u       /* and never more than such a part */

void trim_sweep(struct server *server);

#endif
