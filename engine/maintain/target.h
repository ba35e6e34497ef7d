/* target.h - the directory that a backup or a restore writes to: made, locked, and found to be fit for it. */
#ifndef MAINTAIN_TARGET_H
#define MAINTAIN_TARGET_H

#include "os/os.h"

#define RESTORING "RESTORING" /* a file: what is in the directory is a restore that has not ended */

struct target {
  struct os_file *lock;
  bool made;     /* it was not there before */
  bool manifest; /* what is in it: a manifest, */
  bool marked;   /* a backup's mark or an unfinished manifest, */
  bool restoring, other;
  bool own; /* other files of a store */
};

/* Makes the directory if it is not there, locks it and looks what is in it. `purpose`: "a backup".
 * TALLY_USAGE where it lies inside a store, TALLY_LOCKED where another process or a store of this one has it.
 */
int target_open(const struct os *os, const char *directory, const char *purpose, struct target *target,
                tally_error *error);
void target_close(const struct os *os, struct target *target);

#endif
