/* posix.c - the table of os.h on a POSIX system.
 *
 * Calls are repeated over EINTR, also a sync: it has reported no failure then. Reads and writes go on where
 * they were short. Locks are flock(2) on a file that holds the owner's pid as text: the kernel drops it with
 * the process, however that ends. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/status.h"
#include "os/os.h"

/* A call that a signal interrupted is made again. */
#define UNINTERRUPTED(result, call)                                                                          \
  do (result) = (call);                                                                                      \
  while ((result) < 0 && errno == EINTR)

struct os_file {
  int descriptor;
};

static int posix_open(const struct os *os, const char *path, enum os_open how, struct os_file **file) {
  (void)os;
  int flags = O_CLOEXEC | (how == OS_READ ? O_RDONLY : O_RDWR) | (how == OS_CREATE ? O_CREAT | O_EXCL : 0);
  struct os_file *f = mem_alloc(sizeof *f);
  if (!f) return ENOMEM;
  UNINTERRUPTED(f->descriptor, open(path, flags, 0644));
  if (f->descriptor < 0) {
    int number = errno;
    mem_free(f);
    return number;
  }
  *file = f;
  return 0;
}

static void posix_close(const struct os *os, struct os_file *file) {
  (void)os;
  if (!file) return;
  (void)close(file->descriptor);
  mem_free(file);
}

static int posix_read(const struct os *os, struct os_file *file, void *to, size_t size, uint64_t offset,
                      size_t *got) {
  (void)os;
  size_t done = 0;
  while (done < size) {
    ssize_t n = pread(file->descriptor, (char *)to + done, size - done, (off_t)(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) break;
    done += (size_t)n;
  }
  *got = done;
  return 0;
}

static int posix_write(const struct os *os, struct os_file *file, const void *from, size_t size,
                       uint64_t offset) {
  (void)os;
  size_t done = 0;
  while (done < size) {
    ssize_t n = pwrite(file->descriptor, (const char *)from + done, size - done, (off_t)(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return EIO;
    done += (size_t)n;
  }
  return 0;
}

static int posix_sync(const struct os *os, struct os_file *file) {
  (void)os;
  int result;
  UNINTERRUPTED(result, fdatasync(file->descriptor));
  return result == 0 ? 0 : errno;
}

static int posix_size(const struct os *os, struct os_file *file, uint64_t *size) {
  (void)os;
  struct stat status;
  if (fstat(file->descriptor, &status) != 0) return errno;
  *size = (uint64_t)status.st_size;
  return 0;
}

static int posix_allocate(const struct os *os, struct os_file *file, uint64_t from, uint64_t size) {
  (void)os;
  int number;
  do number = posix_fallocate(file->descriptor, (off_t)from, (off_t)(size - from));
  while (number == EINTR);
  if (number) (void)!ftruncate(file->descriptor, (off_t)from);
  return number;
}

static int posix_truncate(const struct os *os, struct os_file *file, uint64_t size) {
  (void)os;
  int result;
  UNINTERRUPTED(result, ftruncate(file->descriptor, (off_t)size));
  return result == 0 ? 0 : errno;
}

static int posix_rename(const struct os *os, const char *from, const char *to) {
  (void)os;
  return rename(from, to) == 0 ? 0 : errno;
}

static int posix_unlink(const struct os *os, const char *path) {
  (void)os;
  return unlink(path) == 0 ? 0 : errno;
}

static int posix_link(const struct os *os, const char *from, const char *to) {
  (void)os;
  return link(from, to) == 0 ? 0 : errno;
}

static int posix_rmdir(const struct os *os, const char *path) {
  (void)os;
  return rmdir(path) == 0 ? 0 : errno;
}

static int posix_mkdir(const struct os *os, const char *path) {
  (void)os;
  return mkdir(path, 0755) == 0 ? 0 : errno;
}

static int posix_sync_directory(const struct os *os, const char *path) {
  (void)os;
  int descriptor;
  UNINTERRUPTED(descriptor, open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (descriptor < 0) return errno;
  int result;
  UNINTERRUPTED(result, fsync(descriptor));
  int number = result == 0 ? 0 : errno;
  (void)close(descriptor);
  return number;
}

static int posix_list(const struct os *os, const char *path, int (*entry)(void *, const char *), void *arg) {
  (void)os;
  DIR *directory = opendir(path);
  if (!directory) return errno;
  int result = 0;
  for (;;) {
    errno = 0;
    struct dirent *d = readdir(directory);
    if (!d) {
      result = errno;
      break;
    }
    if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0) continue;
    if ((result = entry(arg, d->d_name)) != 0) break;
  }
  (void)closedir(directory);
  return result;
}

static int posix_lock(const struct os *os, const char *path, struct os_file **file, int64_t *owner) {
  (void)os;
  *owner = 0;
  int descriptor;
  UNINTERRUPTED(descriptor, open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (descriptor < 0) return errno;
  char text[32] = {0};
  if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    int number = errno;
    if (pread(descriptor, text, sizeof text - 1, 0) > 0) *owner = strtoll(text, NULL, 10);
    (void)close(descriptor);
    return number;
  }
  struct os_file *f = mem_alloc(sizeof *f);
  if (!f) {
    (void)close(descriptor);
    return ENOMEM;
  }
  f->descriptor = descriptor;
  *owner = (int64_t)getpid();
  int n = snprintf(text, sizeof text, "%lld\n", (long long)*owner);
  /* The pid only helps a person; the lock holds without it. */
  if (ftruncate(descriptor, 0) == 0) (void)!pwrite(descriptor, text, (size_t)n, 0);
  *file = f;
  return 0;
}

static int64_t clock_of(clockid_t id) {
  struct timespec t;
  (void)clock_gettime(id, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}
static int64_t posix_now(const struct os *os) {
  (void)os;
  return clock_of(CLOCK_REALTIME);
}
static int64_t posix_monotonic(const struct os *os) {
  (void)os;
  return clock_of(CLOCK_MONOTONIC);
}

static void posix_random(const struct os *os, void *to, size_t size) {
  (void)os;
  for (size_t done = 0; done < size;) {
    ssize_t n = getrandom((char *)to + done, size - done, 0);
    if (n > 0)
      done += (size_t)n;
    else if (errno != EINTR)
      abort(); /* the kernel has no randomness: nothing sound can follow */
  }
}

const struct os *os_posix(void) {
  static const struct os table = {
      .open = posix_open,
      .close = posix_close,
      .read = posix_read,
      .write = posix_write,
      .sync = posix_sync,
      .size = posix_size,
      .allocate = posix_allocate,
      .truncate = posix_truncate,
      .rename = posix_rename,
      .unlink = posix_unlink,
      .link = posix_link,
      .mkdir = posix_mkdir,
      .rmdir = posix_rmdir,
      .sync_directory = posix_sync_directory,
      .list = posix_list,
      .lock = posix_lock,
      .now = posix_now,
      .monotonic = posix_monotonic,
      .random = posix_random,
  };
  return &table;
}

int os_fail(tally_error *error, int number, const char *what, const char *path) {
  const char *cure = "see the system's log";
  int code = TALLY_IO;
  switch (number) {
  case ENOSPC:
  case EDQUOT:
    code = TALLY_NO_SPACE, cure = "free some space and try again";
    break;
  case ENOENT:
    code = TALLY_NOT_FOUND, cure = "check the path";
    break;
  case EACCES:
  case EPERM:
  case EROFS:
    cure = "check the owner and the permissions, or choose another directory";
    break;
  case ENOTDIR:
    cure = "check the path: a part of it is a file";
    break;
  case EMFILE:
  case ENFILE:
    code = TALLY_BUSY, cure = "raise the limit of open files (ulimit -n)";
    break;
  case ENOMEM:
    code = TALLY_NO_MEMORY, cure = "free some memory";
    break;
  default:
    break;
  }
  char reason[128];
  return fail(error, code, "cannot %s %s: %s: %s", what, path, strerror_r(number, reason, sizeof reason),
              cure);
}

int os_fail_sync(tally_error *error, int number, const char *path) {
  char reason[128];
  return fail(error, TALLY_IO,
              "cannot sync %s: %s: the store takes no more writes, because what was written last may be "
              "lost: mend the "
              "disk, then open the store again",
              path, strerror_r(number, reason, sizeof reason));
}
