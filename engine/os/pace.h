/* pace.h - how fast a long job may read, and whether it shall go on.
 *
 * A job calls pace_take for the bytes it is about to read: it sleeps where that is more than the rate allows,
 * so that queries and ingest keep the disk, and it returns TALLY_CANCELLED when the caller wants an end. One
 * thread. */
#ifndef OS_PACE_H
#define OS_PACE_H

#include <stdatomic.h>

#include "os/os.h"

struct pace {
  const struct os *os;
  uint64_t rate;           /* bytes a second; 0: no limit */
  const atomic_bool *stop; /* NULL: nobody stops it */
  _Atomic uint64_t *taken; /* the bytes are added here for others to see; NULL: nobody looks */
  int64_t due;             /* os->monotonic when the bytes so far are paid for; 0: none were taken */
};

/* `pace` NULL: no limit, never stopped. */
int pace_take(struct pace *pace, uint64_t bytes, tally_error *error);

#endif
