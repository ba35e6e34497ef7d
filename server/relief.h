/* relief.h - memory for answers that were refused it, from answers that nobody reads.
 *
 * 1. An answer that fails with TALLY_MEMORY_LIMIT before its first row waits, while all answers of peers that
 *    do not read rest; then it begins anew. While others are at work it waits for them too, for some tries.
 * 2. If that does not help, groups of a QUERY whose peer has read nothing for RELIEF_MS are given up, the
 *    one that waits longest first: their peer gets TALLY_SNAPSHOT_EXPIRED.
 * 3. What waits is away as its session sees it, and every one of them is pulled again. The loop's thread. */
#ifndef SERVER_RELIEF_H
#define SERVER_RELIEF_H

#include "server/session.h"

#define RELIEF_MS 5000u
#define RELIEF_TRIES 16u /* of one answer */

/* Takes a starved answer that has come home, to be pulled again; false if there is no memory to be had. */
bool relief_wait(struct server *server, struct session_answer *mine);
/* An answer with `relieving` has come home. */
void relief_came(struct server *server, struct session_answer *mine);
/* Now and then: those that wait begin anew, and memory that resting answers gave back goes to the system. */
void relief_sweep(struct server *server);

#endif
