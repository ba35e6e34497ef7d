/* disk.h - a disk and a clock in memory, behind the table of os/os.h: it forgets what was not synced, tears
 * writes, fails and fills up, when the test says so.
 *
 * What a power cut leaves: of each directory that was changed since its last sync either the old names or the
 * new ones; of each file that was written since its last sync the old bytes, the new ones, or blocks of both.
 * What the end of the process leaves: everything as it is. Any thread. */
#ifndef DISK_DISK_H
#define DISK_DISK_H

#include "os/os.h"

struct disk;

struct disk *disk_new(uint64_t seed);
void disk_free(struct disk *disk);
const struct os *disk_os(struct disk *disk);

void disk_advance(struct disk *disk, int64_t us); /* both clocks */

enum disk_fault {
  DISK_FAILS, /* one call, with EIO or ENOSPC */
  DISK_FULL,  /* from that call on whatever needs space */
  DISK_STOPS, /* from that call on everything, and nothing has an effect any more */
};
/* The fault comes with the `after`th call from now that changes something. */
void disk_arm(struct disk *disk, enum disk_fault fault, unsigned after);
/* Ends a fault (but not a stop); true if it has come. */
bool disk_disarm(struct disk *disk);
/* The machine or (`power` false) the process ended and is there again. No file may be open. */
void disk_stop(struct disk *disk);
bool disk_stopped(const struct disk *disk);
void disk_restart(struct disk *disk, bool power);

void disk_remove_tree(struct disk *disk, const char *path);
/* Calls file for each file below a directory, with its bytes. */
void disk_each(struct disk *disk, const char *path,
               void (*file)(void *arg, const char *path, const uint8_t *bytes, size_t size), void *arg);

#endif
