/* temporary.h - a directory of a test's own under $TMPDIR, and files in it. */
#ifndef TESTS_TEMPORARY_H
#define TESTS_TEMPORARY_H

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct temporary {
  char path[256];
};

static inline struct temporary temporary_make(void) {
  struct temporary t;
  const char *base = getenv("TMPDIR");
  (void)snprintf(t.path, sizeof t.path, "%s/tally-test-XXXXXX", base ? base : "/tmp");
  cr_assert_not_null(mkdtemp(t.path), "a temporary directory");
  return t;
}

static inline int temporary_unlink(const char *path, const struct stat *s, int type, struct FTW *f) {
  (void)s, (void)type, (void)f;
  return remove(path);
}

static inline void temporary_remove(const struct temporary *t) {
  (void)nftw(t->path, temporary_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

/* The whole file; *size bytes, freed by the caller. */
static inline uint8_t *file_load(const char *path, size_t *size) {
  FILE *f = fopen(path, "rb");
  cr_assert_not_null(f, "open %s", path);
  (void)fseek(f, 0, SEEK_END);
  *size = (size_t)ftell(f);
  rewind(f);
  uint8_t *bytes = malloc(*size + 1);
  cr_assert_eq(fread(bytes, 1, *size, f), *size);
  (void)fclose(f);
  return bytes;
}

static inline void file_store(const char *path, const void *bytes, size_t size) {
  FILE *f = fopen(path, "wb");
  cr_assert_not_null(f, "write %s", path);
  cr_assert_eq(fwrite(bytes, 1, size, f), size);
  (void)fclose(f);
}

/* The seed of a random test: $TALLY_SEED, or a fixed one; printed so that a failure can be replayed. */
static inline uint64_t test_seed(const char *test) {
  const char *text = getenv("TALLY_SEED");
  uint64_t seed = text ? strtoull(text, NULL, 10) : 20240101;
  fprintf(stderr, "%s: TALLY_SEED=%llu\n", test, (unsigned long long)seed);
  return seed;
}

/* SplitMix64 (Steele et al. 2014). */
static inline uint64_t test_random(uint64_t *state) {
  uint64_t z = (*state += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

#endif
