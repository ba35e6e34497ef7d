/* mark.h - the file BACKUP-<number> beside MANIFEST-<number>: it tells a backup from a store.
 *
 * One line: "tally backup: manifest <16 hex digits> of <size> bytes, check <16 hex digits of XXH3-64 of what
 * stands before the comma>". Where the manifest has another number (an open begins a new file), or is
 * longer than it says, the backup was opened as a store since. */
#ifndef MAINTAIN_MARK_H
#define MAINTAIN_MARK_H

#include "manifest/manifest.h"

#define MARK_PREFIX "BACKUP-"

int mark_write(const struct os *os, const char *directory, uint64_t number, uint64_t size,
               tally_error *error);
/* TALLY_NOT_FOUND without one, TALLY_CORRUPT if it is not one. */
int mark_read(const struct os *os, const char *directory, uint64_t number, uint64_t *size,
              tally_error *error);
/* WAL files from number *end on do not belong to the backup: the next one, which did not end, had begun to
 * name its own. UINT64_MAX where the directory is no backup, or was opened as a store since. TALLY_CORRUPT:
 * the mark, or a manifest that has lost its end. */
int mark_wal_end(const struct os *os, const char *directory, const struct manifest *manifest, uint64_t *end,
                 tally_error *error);
void mark_remove(const struct os *os, const char *directory, uint64_t number);

#endif
