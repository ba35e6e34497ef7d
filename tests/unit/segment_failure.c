/* segment_failure.c - when a disk or the memory fails while a segment is written or read, the call fails, the
 * budget is whole again and no file is left behind. */
#include "segment_fixture.h"

#include <errno.h>

#include "base/mem.h"

/* The real system, but the call with the number `fail_at` of the kinds that a segment needs fails. */
static int calls, fail_at;
static int failing(void) { return calls++ == fail_at ? ENOSPC : 0; }

static int fail_open(const struct os *os, const char *path, enum os_open how, struct os_file **file) {
  (void)os;
  int number = failing();
  return number ? number : os_posix()->open(os_posix(), path, how, file);
}
static int fail_write(const struct os *os, struct os_file *file, const void *from, size_t size,
                      uint64_t offset) {
  (void)os;
  int number = failing();
  return number ? number : os_posix()->write(os_posix(), file, from, size, offset);
}
static int fail_read(const struct os *os, struct os_file *file, void *to, size_t size, uint64_t offset,
                     size_t *got) {
  (void)os;
  int number = failing();
  return number ? number : os_posix()->read(os_posix(), file, to, size, offset, got);
}
static int fail_sync(const struct os *os, struct os_file *file) {
  (void)os;
  int number = failing();
  return number ? number : os_posix()->sync(os_posix(), file);
}
static int fail_mkdir(const struct os *os, const char *path) {
  (void)os;
  int number = failing();
  return number ? number : os_posix()->mkdir(os_posix(), path);
}
static int fail_sync_directory(const struct os *os, const char *path) {
  (void)os;
  int number = failing();
  return number ? number : os_posix()->sync_directory(os_posix(), path);
}

static struct os failing_os(void) {
  struct os os = *os_posix();
  os.open = fail_open;
  os.write = fail_write;
  os.read = fail_read;
  os.sync = fail_sync;
  os.mkdir = fail_mkdir;
  os.sync_directory = fail_sync_directory;
  return os;
}

static bool file_exists(const struct fixture *f, const struct segment_info *info) {
  char name[64], path[400];
  segment_name(info, name);
  snprintf(path, sizeof path, "%s/%s", f->path, name);
  FILE *file = fopen(path, "rb");
  if (file) fclose(file);
  return file != NULL;
}

Test(segment, a_failing_disk_leaves_nothing_behind) {
  uint64_t random = 1;
  struct sample_shape shape = {3000, 100, 3, 5, 2, 3, false, FEBRUARY_START, FEBRUARY_END};
  struct fixture f;
  fixture_write(&f, &random, &shape);
  struct os os = failing_os();
  struct segment_info info = {.id = 99, .month = FEBRUARY + 0};
  tally_error error = {0};
  int failures = 0, result;
  do {
    calls = 0;
    fail_at = failures;
    uint64_t before = budget_used(&f.budget);
    result = segment_write(&os, f.path, &f.rows, &f.budget, &info, &error);
    cr_assert_eq(budget_used(&f.budget), before);
    cr_assert_eq(file_exists(&f, &info), result == 0, "failure %d", failures);
    if (result) cr_assert_eq(result, TALLY_NO_SPACE, "%s", error.text);
    failures++;
  } while (result && failures < 50);
  cr_assert_eq(result, 0);
  cr_assert_geq(failures, 8, "mkdir and sync twice, open, write, sync, sync of the directory");
  /* Reading. */
  for (fail_at = 0, result = 1; result && fail_at < 50; fail_at++) {
    calls = 0;
    struct segment *s;
    result = segment_open(&os, f.path, &info, f.cache, &f.budget, &s, &error);
    if (!result) segment_unref(s);
  }
  cr_assert_eq(result, 0, "%s", error.text);
  fixture_end(&f);
}

static size_t allocations, allocation_fails;
static int allow(size_t size) {
  (void)size;
  return allocations++ != allocation_fails;
}

Test(segment, failing_memory_is_an_error) {
  uint64_t random = 1;
  struct sample_shape shape = {5000, 100, 3, 5, 2, 3, false, FEBRUARY_START, FEBRUARY_END};
  struct fixture f;
  fixture_write(&f, &random, &shape);
  struct segment_info info = {.id = 98, .month = FEBRUARY};
  tally_error error = {0};
  int result = 1;
  size_t n = 0;
  for (; result && n < 2000; n += 1 + n / 40) {
    allocations = 0;
    allocation_fails = n;
    mem_test_hook = allow;
    result = segment_write(os_posix(), f.path, &f.rows, &f.budget, &info, &error);
    mem_test_hook = NULL;
    if (result) cr_assert_eq(result, TALLY_NO_MEMORY, "allocation %zu: %s", n, error.text);
    cr_assert_eq(file_exists(&f, &info), result == 0);
    if (!result && allocations > n) result = 1; /* it did without that memory */
    char name[64], path[400];
    segment_name(&info, name);
    snprintf(path, sizeof path, "%s/%s", f.path, name);
    (void)os_posix()->unlink(os_posix(), path);
  }
  cr_assert_eq(result, 0, "%zu allocations", n);
  for (n = 0, result = 1; result && n < 200; n++) {
    allocations = 0;
    allocation_fails = n;
    mem_test_hook = allow;
    struct segment *s = NULL;
    uint64_t at[CHUNK_ROWS + 1], valid[CHUNK_ROWS / 64];
    struct buffer bytes = {0};
    struct ints_scratch scratch = {0};
    bool all;
    result = segment_open(os_posix(), f.path, &f.info, f.cache, &f.budget, &s, &error);
    if (!result)
      result = segment_metadata(s, 0, 0, segment_chunk_rows(s, 0), &scratch, at, &bytes, valid, &all, &error);
    mem_test_hook = NULL;
    ints_scratch_free(&scratch);
    if (result) cr_assert_eq(result, TALLY_NO_MEMORY, "allocation %zu: %s", n, error.text);
    buffer_free(&bytes);
    segment_unref(s);
    cache_shrink(f.cache, UINT64_MAX);
  }
  cr_assert_eq(result, 0);
  /* Too small a budget is said to be one. */
  struct budget small;
  budget_init(&small, 1000, NULL);
  struct segment *s;
  cr_assert_eq(segment_open(os_posix(), f.path, &f.info, f.cache, &small, &s, &error), TALLY_MEMORY_LIMIT);
  cr_assert_eq(segment_write(os_posix(), f.path, &f.rows, &small, &info, &error), TALLY_MEMORY_LIMIT);
  cr_assert_eq(budget_used(&small), 0);
  fixture_end(&f);
}
