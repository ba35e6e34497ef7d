/* os.h - the table of everything that touches the world: files, clocks, randomness.
 *
 * The engine reaches the system only through a `const struct os *` (and os/thread.h), so that a test
 * can put a disk under it that forgets, tears, fails and fills up. Every call returns 0 or a positive
 * errno; reads and writes are whole or failed (EINTR and short transfers are retried inside).
 * Paths are as the system takes them. Any thread; one os_file is written by one thread at a time. */
#ifndef OS_OS_H
#define OS_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tally.h>

struct os_file; /* an open file, made by open, ended by close */

enum os_open {
  OS_READ,   /* an existing file, for reading */
  OS_WRITE,  /* an existing file, for reading and writing */
  OS_CREATE, /* a new file, for reading and writing; EEXIST if there is one */
};

struct os {
  void *context;
  int (*open)(const struct os *os, const char *path, enum os_open how, struct os_file **file);
  void (*close)(const struct os *os, struct os_file *file);
  /* Reads up to size bytes at offset; fewer only at the end of the file. */
  int (*read)(const struct os *os, struct os_file *file, void *to, size_t size, uint64_t offset, size_t *got);
  int (*write)(const struct os *os, struct os_file *file, const void *from, size_t size, uint64_t offset);
  /* The file's data and size reach the disk (fdatasync). A failure is final for the file. */
  int (*sync)(const struct os *os, struct os_file *file);
  int (*size)(const struct os *os, struct os_file *file, uint64_t *size);
  /* Makes sure that [0, size) has space on the disk; grows the file with zeros. ENOSPC leaves it as it was.
   */
  int (*allocate)(const struct os *os, struct os_file *file, uint64_t from, uint64_t size);
  int (*truncate)(const struct os *os, struct os_file *file, uint64_t size);
  int (*rename)(const struct os *os, const char *from, const char *to);
  int (*unlink)(const struct os *os, const char *path);
  /* A second name for a file: EEXIST if there is one; EXDEV, EPERM, EMLINK or EOPNOTSUPP where the file
   * system gives none. */
  int (*link)(const struct os *os, const char *from, const char *to);
  int (*mkdir)(const struct os *os, const char *path); /* EEXIST if it is there */
  int (*rmdir)(const struct os *os, const char *path); /* an empty one */
  /* Directory entries made, renamed or removed so far reach the disk. */
  int (*sync_directory)(const struct os *os, const char *path);
  /* Calls entry for each name but . and .. in no order; a non-zero return stops and is returned. */
  int (*list)(const struct os *os, const char *path, int (*entry)(void *arg, const char *name), void *arg);
  /* Takes the lock file for this process: EWOULDBLOCK if another has it, then *owner is its pid (0:
   * unknown). The lock ends with close. */
  int (*lock)(const struct os *os, const char *path, struct os_file **file, int64_t *owner);
  int64_t (*now)(const struct os *os);       /* microseconds since 1970 UTC; may jump */
  int64_t (*monotonic)(const struct os *os); /* microseconds, never backwards */
  void (*random)(const struct os *os, void *to, size_t size);
};

/* The real system. */
const struct os *os_posix(void);

/* Turns an errno into a failure: TALLY_NO_SPACE for ENOSPC and EDQUOT, TALLY_NOT_FOUND for ENOENT,
 * TALLY_IO else; "cannot <what> <path>: <reason>: <cure>". */
int os_fail(tally_error *error, int number, const char *what, const char *path);
/* A failed sync, whatever its reason: TALLY_IO. What was written since the last sync may be lost, so the
 * caller must not write to this store again. */
int os_fail_sync(tally_error *error, int number, const char *path);

#endif
