/* backup.h - a consistent copy of a running store in another directory, which opens as a store by itself.
 *
 * 1. In it is what was acknowledged before the source was pinned: the segments of one version, the manifest
 * that names them, the catalog's published texts, and the WAL behind the manifest's covered position, up to
 * its last record. So producers' marks are in it too.
 * 2. Segments are hard links where the file system gives them (they never change), copies elsewhere.
 * 3. Every file that is linked or copied is read again in the backup and checked. What an earlier backup in
 * the same place has is kept.
 * 4. At every moment there is a whole backup in the place: the old one, the new one, or one between them that
 * has all of the old. New files are written and synced first. Then the WAL files take their names, in order,
 * so that each continues what is there; where the store's WAL has moved on beyond the old backup's, a
 * manifest of the new segments alone is published before. Then the new manifest takes its name, and only then
 * goes what the store no longer has. */
#ifndef MAINTAIN_BACKUP_H
#define MAINTAIN_BACKUP_H

#include "maintain/copy.h"
#include "model/schema.h"

struct backup_file {
  struct os_file *file;
  char *path; /* for messages */
  uint64_t number, size;
};

/* The store as it was at one moment. Files stay readable when the store drops them. */
struct backup_source {
  const char *store;
  struct backup_file manifest, catalog, *wal; /* WAL files in the order of their records */
  size_t wals;
  uint64_t last; /* sequence of the WAL's last record */
  struct segment *const *segment;
  size_t segments;
};

struct backup_report {
  uint64_t linked, copied, kept, removed; /* files */
  uint64_t bytes;                         /* copied; those of links are not */
  uint64_t events;                        /* in the backup */
};

/* `to` has the directory as its store, which is made if it is not there. TALLY_USAGE: there are other files
 * in it, or it lies in a store; TALLY_LOCKED: it is a store in use, or another backup goes there;
 * TALLY_CORRUPT names a damaged file. */
int backup_write(struct copier *to, const struct backup_source *source, struct backup_report *report,
                 tally_error *error);

#endif
