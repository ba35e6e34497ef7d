/* fuzz.c - see fuzz.h. */
#include "fuzz/fuzz.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void fuzz_broken(const char *file, int line, const char *format, ...) {
  va_list args;
  va_start(args, format);
  (void)fprintf(stderr, "%s:%d: broken: ", file, line);
  (void)vfprintf(stderr, format, args);
  (void)fputc('\n', stderr);
  va_end(args);
  abort();
}

/* ------------------------------------------------------------------ memory */

static size_t bound;

static int within_bound(size_t size) {
  require(size <= bound, "an allocation of %zu bytes, the bound is %zu", size, bound);
  return 1;
}

void fuzz_bound(size_t fixed, size_t factor, size_t size) {
  bound = fixed + factor * size;
  mem_test_hook = within_bound;
}
void fuzz_unbound(void) { mem_test_hook = NULL; }

void fuzz_budget(struct budget *budget) { budget_init(budget, UINT64_C(4) << 30, NULL); }
void fuzz_budget_end(struct budget *budget) {
  require(budget_used(budget) == 0, "%llu bytes were not given back to the budget",
          (unsigned long long)budget_used(budget));
}

/* ------------------------------------------------------------------ one file */

static struct {
  const uint8_t *data;
  size_t size;
} the_file;

static int file_open(const struct os *os, const char *path, enum os_open how, struct os_file **file) {
  (void)os;
  (void)path;
  if (how != OS_READ) return EROFS;
  *file = (struct os_file *)(void *)&the_file;
  return 0;
}
static void file_close(const struct os *os, struct os_file *file) {
  (void)os;
  (void)file;
}
static int file_size(const struct os *os, struct os_file *file, uint64_t *size) {
  (void)os;
  (void)file;
  *size = the_file.size;
  return 0;
}
static int file_read(const struct os *os, struct os_file *file, void *to, size_t size, uint64_t offset,
                     size_t *got) {
  (void)os;
  (void)file;
  uint64_t there = offset < the_file.size ? the_file.size - offset : 0;
  *got = there < size ? (size_t)there : size;
  if (*got) memcpy(to, the_file.data + offset, *got);
  return 0;
}
static int64_t file_clock(const struct os *os) {
  (void)os;
  return 1;
}

const struct os *fuzz_file(const uint8_t *data, size_t size) {
  static const struct os os = {.open = file_open,
                               .close = file_close,
                               .size = file_size,
                               .read = file_read,
                               .now = file_clock,
                               .monotonic = file_clock};
  the_file.data = data;
  the_file.size = size;
  return &os;
}

/* ------------------------------------------------------------------ mutation */

size_t fuzz_mutate(uint8_t *data, size_t *size, size_t max, size_t from, size_t to, bool keep) {
  size_t part = to - from, room = keep ? part : part + (max - *size);
  if (room == 0) return to;
  uint8_t *copy = malloc(room);
  if (!copy) return to;
  memcpy(copy, data + from, part);
  size_t made = LLVMFuzzerMutate(copy, part, room);
  if (made > room) made = room;
  if (keep && made < part) { /* what was cut off stays as it was */
    memcpy(copy + made, data + from + made, part - made);
    made = part;
  }
  memmove(data + from + made, data + to, *size - to);
  memcpy(data + from, copy, made);
  free(copy);
  *size = *size - part + made;
  return from + made;
}

bool fuzz_repeat(uint8_t *data, size_t *size, size_t max, size_t from, size_t to) {
  size_t part = to - from;
  if (part > max - *size) return false;
  memmove(data + to + part, data + to, *size - to);
  memcpy(data + to, data + from, part);
  *size += part;
  return true;
}

void fuzz_cut(uint8_t *data, size_t *size, size_t from, size_t to) {
  memmove(data + from, data + to, *size - to);
  *size -= to - from;
}

char *fuzz_line(const uint8_t **data, size_t *size) {
  if (*size == 0) return NULL;
  const uint8_t *end = memchr(*data, '\n', *size);
  size_t length = end ? (size_t)(end - *data) : *size;
  char *line = malloc(length + 1);
  if (!line) abort();
  memcpy(line, *data, length);
  line[length] = '\0';
  *data += length + (end != NULL);
  *size -= length + (end != NULL);
  return line;
}
