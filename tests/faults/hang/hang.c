/* hang.c - a disk that hangs, for a whole process: preloaded, it holds up the calls named in the file
 * $TALLY_HANG ("sync" or "write") as long as that file is there. What the file says last decides how they
 * end: with "fail" behind it with EIO, else as usual. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int fdatasync(int file);
EXPORTED ssize_t pwrite(int file, const void *from, size_t size, off_t at);
EXPORTED ssize_t pwrite64(int file, const void *from, size_t size, off64_t at);

/* True if the call shall fail. */
static bool hang(const char *call) {
  const char *path = getenv("TALLY_HANG");
  char text[32] = "";
  for (;;) {
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return strstr(text, "fail") != NULL;
    ssize_t n = read(file, text, sizeof text - 1);
    (void)close(file);
    text[n > 0 ? n : 0] = '\0';
    if (!strstr(text, call)) return false;
    (void)nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
  }
}

static void *next(const char *name) {
  void *function = dlsym(RTLD_NEXT, name);
  if (!function) abort();
  return function;
}

static int failed(void) {
  errno = EIO;
  return -1;
}

int fdatasync(int file) {
  int (*real)(int);
  *(void **)&real = next("fdatasync");
  return hang("sync") ? failed() : real(file);
}

ssize_t pwrite(int file, const void *from, size_t size, off_t at) {
  ssize_t (*real)(int, const void *, size_t, off_t);
  *(void **)&real = next("pwrite");
  return hang("write") ? failed() : real(file, from, size, at);
}

ssize_t pwrite64(int file, const void *from, size_t size, off64_t at) {
  ssize_t (*real)(int, const void *, size_t, off64_t);
  *(void **)&real = next("pwrite64");
  return hang("write") ? failed() : real(file, from, size, at);
}
