/* small_store.h - a store in which every kind of file there is has a few hundred bytes, as a list of files:
 * what a test damages, and what fuzzing begins with.
 *
 * It holds a thinned, an archived and two plain segments, a policy of retention, a catalog, a manifest of
 * several edits and, where it was not closed, a WAL of two records of producer "p". Its backup, made before
 * the WAL's last record, is whole. The clock of disk_new goes with it. */
#ifndef DISK_SMALL_STORE_H
#define DISK_SMALL_STORE_H

#include "disk/disk.h"

#define SMALL_STORE "/store"
#define SMALL_BACKUP "/backup"

struct small_file {
  char path[96];
  uint8_t *bytes;
  size_t size;
};
struct small_files {
  struct small_file file[48];
  size_t count;
};

/* The files below SMALL_STORE and SMALL_BACKUP. `closed`: the store was closed, else it is as kill -9 leaves
 * it. */
void small_store_files(bool closed, struct small_files *files);
void small_files_free(struct small_files *files);
/* Puts those that are below `path` (NULL: all) on a disk, synced, with their folders. */
void small_files_put(const struct small_files *files, const char *path, struct disk *disk);
/* Opens a store on a disk, with the least memory and no thread of its own. */
struct db;
int small_store_open(struct disk *disk, const char *path, struct db **db, tally_error *error);

#endif
