/* writer.h - appends records to a WAL file: gather, write, sync. One thread.
 *
 * Space is allocated before it is used, so a full disk is met in wal_write before anything of the group is
 * written, and is recovered from: the group is dropped whole. Where a file system cannot promise space, the
 * write meets the full disk, and part of the group may be in the file: it is cut off again. A failed sync is
 * final. */
#ifndef WAL_WRITER_H
#define WAL_WRITER_H

#include "os/os.h"
#include "wal/format.h"

struct wal {
  const struct os *os;
  struct os_file *file;
  char *path;
  struct wal_header header;
  uint64_t size, allocated;  /* bytes written; bytes that have space */
  uint64_t next;             /* sequence of the next record */
  uint64_t written, durable; /* highest sequence written, known durable */
  bool cut;                  /* a group was cut off, which a power cut may undo */
  struct buffer group;       /* records that wait for wal_write */
};

/* "<store>/wal/<16 hex digits>.wal" (suffix ".wal" or another). Freed by the caller with mem_free. */
char *wal_path(const char *store, uint64_t number, const char *suffix);

/* Makes file `number` of the store under its temporary name (suffix ".tmp") with the next record's sequence
 * `first`, all before it being durable. wal_publish syncs it and gives it its name. */
int wal_create(const struct os *os, const char *store, uint64_t number, uint64_t first, struct wal **wal,
               tally_error *error);
int wal_publish(struct wal *wal, const char *store, tally_error *error);
/* Adds a record to the group; its sequence and durable are set here. TALLY_NO_MEMORY leaves the group as it
 * was. */
int wal_add(struct wal *wal, struct wal_record *record, tally_error *error);
size_t wal_group_size(const struct wal *wal);
/* Writes the group. TALLY_NO_SPACE: nothing of it counts, and the next sequence is again its first; anything
 * else: the file must not be written again. */
int wal_write(struct wal *wal, tally_error *error);
/* Drops the group: its sequences are free again. */
void wal_drop(struct wal *wal);
int wal_sync(struct wal *wal, tally_error *error);
/* Gives back space that was not used and closes. Does not sync. */
void wal_close(struct wal *wal);

#endif
