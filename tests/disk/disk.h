/* disk.h - a disk and a clock in memory, behind the table of os/os.h: it forgets what was not synced, tears
 * writes, fails and fills up, when the test says so.
 *
 * What a power cut leaves: of the changes of directories since their last syncs any, and of each file that
 * was written since its last sync any sectors and either size (cut.c). A file whose sync has failed reads as
 * it was written, but what was written before stays unsynced whatever later syncs say. What the end of the
 * process leaves: everything as it is. Any thread. */
#ifndef DISK_DISK_H
#define DISK_DISK_H

#include "os/os.h"

struct disk;

struct disk *disk_new(uint64_t seed);
void disk_free(struct disk *disk);
const struct os *disk_os(struct disk *disk);

void disk_advance(struct disk *disk, int64_t us); /* both clocks */
void disk_jump(struct disk *disk, int64_t us);    /* the clock on the wall alone */
/* From now on both clocks go on by so much each time that the monotonic one is looked at; at first it is 0,
 * and the monotonic one goes on by 1 us. For what waits for a time to come. */
void disk_tick(struct disk *disk, int64_t us);

enum disk_fault {
  DISK_FAILS, /* one call, with EIO or ENOSPC */
  DISK_FULL,  /* from that call on whatever needs space */
  DISK_STOPS, /* from that call on everything, and nothing has an effect any more */
};
/* One call with the table: `path` as it was given, of a file as it was opened. What a watcher returns other
 * than 0 is the errno that the call fails with. It is called before the call has an effect, under no lock. */
enum disk_call {
  DISK_OPEN,
  DISK_CREATE,
  DISK_READ,
  DISK_WRITE,
  DISK_SYNC,
  DISK_SIZE,
  DISK_ALLOCATE,
  DISK_TRUNCATE,
  DISK_RENAME,
  DISK_UNLINK,
  DISK_LINK,
  DISK_MKDIR,
  DISK_RMDIR,
  DISK_SYNC_DIRECTORY,
  DISK_LIST,
  DISK_LOCK
};
typedef int disk_watcher(void *arg, enum disk_call call, const char *path);
void disk_watch(struct disk *disk, disk_watcher *watcher, void *arg);
unsigned long long disk_generation(const struct disk *disk); /* rises with what changes the disk */

/* The disk as it is now, with no file open: what is done to it does nothing to the first. */
struct disk *disk_copy(const struct disk *disk, uint64_t seed);
/* The power is cut, no file may be open: damage of a kind, from the seed. */
#define DISK_CUTS 13u
#define DISK_CUTS_SURE 8u        /* the first ones leave nothing to chance */
#define DISK_CUT_NOTHING_LOST 1u /* what the end of the process leaves */
void disk_cut(struct disk *disk, unsigned kind);
const char *disk_cut_text(unsigned kind);

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
