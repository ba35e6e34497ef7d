/* mark.c - see mark.h. */
#include "maintain/mark.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"

#define LINE 128

static char *mark_path(const char *directory, uint64_t number) {
  char name[sizeof MARK_PREFIX + 16];
  (void)snprintf(name, sizeof name, MARK_PREFIX "%016" PRIx64, number);
  return mem_path(directory, name);
}

static size_t mark_line(char line[LINE], uint64_t number, uint64_t size) {
  int n = snprintf(line, LINE, "tally backup: manifest %016" PRIx64 " of %" PRIu64 " bytes", number, size);
  uint64_t check = hash64(line, (size_t)n);
  return (size_t)n + (size_t)snprintf(line + n, LINE - (size_t)n, ", check %016" PRIx64 "\n", check);
}

int mark_write(const struct os *os, const char *directory, uint64_t number, uint64_t size,
               tally_error *error) {
  char line[LINE];
  size_t n = mark_line(line, number, size);
  char *path = mark_path(directory, number);
  if (!path) return fail_memory(error, "a backup");
  struct os_file *file = NULL;
  (void)os->unlink(os, path); /* one that a crash left */
  int code = os->open(os, path, OS_CREATE, &file);
  if (!code) code = os->write(os, file, line, n, 0);
  if (!code) code = os->sync(os, file);
  int result = code ? os_fail(error, code, "write", path) : 0;
  if (file) os->close(os, file);
  mem_free(path);
  return result;
}

int mark_read(const struct os *os, const char *directory, uint64_t number, uint64_t *size,
              tally_error *error) {
  char line[LINE] = {0}, right[LINE];
  char *path = mark_path(directory, number);
  if (!path) return fail_memory(error, "a backup");
  struct os_file *file = NULL;
  size_t got = 0;
  int code = os->open(os, path, OS_READ, &file);
  if (!code) code = os->read(os, file, line, LINE - 1, 0, &got);
  int result = code ? os_fail(error, code, "read", path) : 0;
  if (file) os->close(os, file);
  const char *of = strstr(line, " of ");
  if (!result) {
    *size = 0;
    for (const char *p = of ? of + 4 : ""; *p >= '0' && *p <= '9' && *size < UINT64_MAX / 16; p++)
      *size = *size * 10 + (uint64_t)(*p - '0');
    if (mark_line(right, number, *size) != got || memcmp(line, right, got) != 0)
      result = fail_corrupt(error, path, 0, "backup mark");
  }
  mem_free(path);
  return result;
}

int mark_wal_end(const struct os *os, const char *directory, const struct manifest *manifest, uint64_t *end,
                 tally_error *error) {
  uint64_t size = 0;
  *end = UINT64_MAX;
  int result = mark_read(os, directory, manifest->number, &size, error);
  if (result) return result == TALLY_NOT_FOUND ? 0 : result;
  if (size > manifest->size)
    return fail_corrupt(error, manifest->path, manifest->size, "manifest is as long as its mark says");
  if (size == manifest->size) *end = manifest->state.next_wal;
  return 0;
}

void mark_remove(const struct os *os, const char *directory, uint64_t number) {
  char *path = mark_path(directory, number);
  if (path) (void)os->unlink(os, path);
  mem_free(path);
}
