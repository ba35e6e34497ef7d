/* relief.h - memory for answers that were refused it, from answers that nobody reads.
 *
 * 1. An answer that fails with TALLY_MEMORY_LIMIT before its first row waits, while all answers of peers that
 *    do not read rest; then it begins anew. One of events that fails so on its way has given its memory back
 *    itself, waits likewise, and goes on. While others are at work they wait for them too, for some tries.
 *    They try one after the other: where one found memory or ended, the next may.
 * 2. If that does not help, groups of a QUERY whose peer has read nothing for RELIEF_MS are given up, the
 *    one that waits longest first: their peer gets TALLY_SNAPSHOT_EXPIRED.
 * 3. What waits is away as its session sees it, and every one of them is pulled again. The loop's thread. */
#ifndef SERVER_RELIEF_H
#define SERVER_RELIEF_H

#include "server/session.h"

#define RELIEF_MS 5000u
#define RELIEF_TRIES 16u /* of one answer, without a row between them; one a sweep counts */

/* Takes a starved answer that has come home, to be pulled again; false if there is no memory to be had. */
bool relief_wait(struct server *server, struct session_answer *mine);
/* An answer with `relieving` has come home. */
void relief_came(struct server *server, struct session_answer *mine);
/* An answer has come home that is not refused memory now. */
void relief_passed(struct server *server, struct session_answer *mine);
/* Now and then: one that waits tries anew. */
void relief_sweep(struct server *server);

#endif
