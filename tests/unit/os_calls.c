/* Law 1 of os/: a read or write is whole or failed. The system's calls are wrapped by the linker (--wrap), so
 * that the n-th of them is interrupted, short, or fails. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "os/os.h"
#include "support/temporary.h"

enum call { NO_CALL, OPEN, PREAD, PWRITE, FDATASYNC, FSYNC, FTRUNCATE, FALLOCATE, CALLS };

static struct plan {
  enum call call;
  int at, times; /* calls at..at+times-1 of that kind meet it */
  int number;    /* errno; 0: the transfer is short */
} plan;
static int seen[CALLS];

static bool meets(enum call call) {
  if (call != plan.call) return false;
  int n = ++seen[call];
  return n >= plan.at && n < plan.at + plan.times;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
ssize_t __real_pread(int f, void *to, size_t size, off_t at);
ssize_t __wrap_pread(int f, void *to, size_t size, off_t at);
ssize_t __real_pwrite(int f, const void *from, size_t size, off_t at);
ssize_t __wrap_pwrite(int f, const void *from, size_t size, off_t at);
int __real_fdatasync(int f);
int __wrap_fdatasync(int f);
int __real_fsync(int f);
int __wrap_fsync(int f);
int __real_ftruncate(int f, off_t size);
int __wrap_ftruncate(int f, off_t size);
int __real_posix_fallocate(int f, off_t from, off_t size);
int __wrap_posix_fallocate(int f, off_t from, off_t size);

static int failed(void) {
  errno = plan.number;
  return -1;
}

int __wrap_open(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  unsigned mode = flags & O_CREAT ? va_arg(arguments, unsigned) : 0;
  va_end(arguments);
  return meets(OPEN) ? failed() : __real_open(path, flags, mode);
}
ssize_t __wrap_pread(int f, void *to, size_t size, off_t at) {
  if (!meets(PREAD)) return __real_pread(f, to, size, at);
  return plan.number ? failed() : __real_pread(f, to, size > 3 ? 3 : size, at);
}
ssize_t __wrap_pwrite(int f, const void *from, size_t size, off_t at) {
  if (!meets(PWRITE)) return __real_pwrite(f, from, size, at);
  return plan.number ? failed() : __real_pwrite(f, from, size > 3 ? 3 : size, at);
}
int __wrap_fdatasync(int f) { return meets(FDATASYNC) ? failed() : __real_fdatasync(f); }
int __wrap_fsync(int f) { return meets(FSYNC) ? failed() : __real_fsync(f); }
int __wrap_ftruncate(int f, off_t size) { return meets(FTRUNCATE) ? failed() : __real_ftruncate(f, size); }
int __wrap_posix_fallocate(int f, off_t from, off_t size) {
  return meets(FALLOCATE) ? plan.number : __real_posix_fallocate(f, from, size);
}

#define SIZE 100

/* One of everything: 0, or what the first call that failed returned. The file then has SIZE bytes at 7, which
 * were read back. */
static int use_all(const char *directory) {
  const struct os *os = os_posix();
  struct os_file *file = NULL;
  char path[300], bytes[SIZE], back[SIZE + 50] = {0};
  size_t got = 0;
  for (int i = 0; i < SIZE; i++) bytes[i] = (char)(i + 1);
  (void)snprintf(path, sizeof path, "%s/file", directory);
  (void)unlink(path);
  memset(seen, 0, sizeof seen);
  int code = os->open(os, path, OS_CREATE, &file);
  if (!code) code = os->allocate(os, file, 0, 4096);
  if (!code) code = os->write(os, file, bytes, SIZE, 7);
  if (!code) code = os->truncate(os, file, 7 + SIZE);
  if (!code) code = os->sync(os, file);
  if (!code) code = os->sync_directory(os, directory);
  if (!code) code = os->read(os, file, back, sizeof back, 7, &got);
  os->close(os, file);
  if (code) return code;
  cr_assert_eq(got, SIZE, "all that there is is read: %zu", got);
  cr_assert_arr_eq(back, bytes, SIZE);
  return 0;
}

static void each(int number, int times, int want) {
  struct temporary t = temporary_make();
  for (enum call call = OPEN; call < CALLS; call++) {
    if (!number && call != PREAD && call != PWRITE) continue;
    for (int at = 1; at <= 40; at++) {
      plan = (struct plan){call, at, times, number};
      int code = use_all(t.path);
      bool met = seen[call] >= at;
      cr_assert_eq(code, met ? want : 0, "call %d, at %d: %d", (int)call, at, code);
      if (!met) break;
    }
    plan.call = NO_CALL;
  }
  temporary_remove(&t);
}

Test(os, an_interrupted_call_is_made_again) {
  each(EINTR, 1, 0);
  each(EINTR, 5, 0);
}

Test(os, a_short_transfer_goes_on) {
  each(0, 1, 0);
  each(0, 1000, 0);
}

Test(os, a_call_that_fails_says_why) {
  each(EIO, 1, EIO);
  each(EIO, 1000, EIO);
  each(ENOSPC, 1, ENOSPC);
}

Test(os, space_that_cannot_be_had_leaves_the_file_as_it_was) {
  struct temporary t = temporary_make();
  const struct os *os = os_posix();
  struct os_file *file;
  char path[300];
  uint64_t size;
  (void)snprintf(path, sizeof path, "%s/file", t.path);
  cr_assert_eq(os->open(os, path, OS_CREATE, &file), 0);
  cr_assert_eq(os->write(os, file, "abc", 3, 0), 0);
  plan = (struct plan){FALLOCATE, 1, 1, ENOSPC};
  memset(seen, 0, sizeof seen);
  cr_assert_eq(os->allocate(os, file, 3, 4096), ENOSPC);
  cr_assert_eq(os->size(os, file, &size), 0);
  cr_assert_eq(size, 3);
  os->close(os, file);
  temporary_remove(&t);
}
