/* restore.h - a backup (or a store that nobody has open) becomes a store in another directory.
 *
 * Every byte that is copied is read again in the new store and checked; the manifest takes its name last, so
 * a restore that does not end leaves no store. Until then the file RESTORING is in the directory: the next
 * restore into it begins from nothing. The backup is only read. */
#ifndef MAINTAIN_RESTORE_H
#define MAINTAIN_RESTORE_H

#include "maintain/copy.h"

/* `to` has the new store's directory: absent or empty. On failure nothing is left in it. TALLY_NOT_FOUND:
 * there is no backup; TALLY_CORRUPT names a damaged file of it; TALLY_USAGE, TALLY_LOCKED. */
int restore(struct copier *to, const char *backup, tally_error *error);

#endif
