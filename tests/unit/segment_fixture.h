/* segment_fixture.h - a store directory with one segment in it, for the tests of segment. */
#ifndef TESTS_SEGMENT_FIXTURE_H
#define TESTS_SEGMENT_FIXTURE_H

#include <criterion/criterion.h>

#include "base/budget.h"
#include "sample_rows.h"
#include "segment/segment.h"

#define FEBRUARY 649 /* 2024-02 */
#define FEBRUARY_START INT64_C(1706745600000000)
#define FEBRUARY_END INT64_C(1709251200000000)

struct fixture {
  char path[256];
  struct budget budget;
  struct cache *cache;
  struct segment_info info;
  struct rows rows;
};

/* Rows, which fixture_write_rows makes a segment of. */
static inline void fixture_begin(struct fixture *f, uint64_t *random, const struct sample_shape *shape) {
  tally_error error = {0};
  *f = (struct fixture){.info = {.id = 7, .month = FEBRUARY}};
  budget_init(&f->budget, 1u << 30, NULL);
  cr_assert_eq(cache_new(8u << 20, &f->budget, &f->cache, &error), 0);
  sample_directory(f->path);
  sample_make(random, shape, &f->rows);
}

static inline void fixture_write_rows(struct fixture *f) {
  tally_error error = {0};
  int result = segment_write(os_posix(), f->path, &f->rows, &f->budget, &f->info, &error);
  cr_assert_eq(result, 0, "%s", error.text);
}

static inline void fixture_write(struct fixture *f, uint64_t *random, const struct sample_shape *shape) {
  fixture_begin(f, random, shape);
  fixture_write_rows(f);
}

static inline struct segment *fixture_open(struct fixture *f) {
  tally_error error = {0};
  struct segment *s = NULL;
  int result = segment_open(os_posix(), f->path, &f->info, f->cache, &f->budget, &s, &error);
  cr_assert_eq(result, 0, "%s", error.text);
  return s;
}

static inline void fixture_end(struct fixture *f) {
  cache_free(f->cache);
  cr_assert_eq(budget_used(&f->budget), 0, "every byte goes back to the budget");
  sample_remove_directory(f->path);
  sample_free(&f->rows);
}

/* The segment's file as bytes; free with free. */
static inline uint8_t *fixture_file(const struct fixture *f, char path[400], size_t *size) {
  char name[64];
  segment_name(&f->info, name);
  snprintf(path, 400, "%s/%s", f->path, name);
  FILE *file = fopen(path, "rb");
  cr_assert(file);
  *size = (size_t)f->info.size;
  uint8_t *bytes = malloc(*size);
  cr_assert_eq(fread(bytes, 1, *size, file), *size);
  cr_assert_eq(fgetc(file), EOF);
  fclose(file);
  return bytes;
}

static inline void fixture_put(const char *path, const uint8_t *bytes, size_t size) {
  FILE *file = fopen(path, "wb");
  cr_assert(file);
  cr_assert_eq(fwrite(bytes, 1, size, file), size);
  fclose(file);
}

#endif
