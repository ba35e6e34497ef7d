/* thin.c - thins the segments of a store, month by month, into files beside it: for the test of the readers
 * of formats. usage: format_thin STORE FOLDER. Prints a line a file: id, month, rows. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "manifest/manifest.h"

#define MOST 64

static _Noreturn void give_up(const char *what, const tally_error *error) {
  (void)fprintf(stderr, "format_thin: %s: %s\n", what, error->text);
  exit(1);
}

/* The segments of the month of segment `first` that come after it, and itself. */
static size_t open_month(const char *store, const struct manifest *m, size_t first, struct cache *cache,
                         struct budget *budget, struct segment **to) {
  tally_error error;
  size_t n = 0;
  for (size_t i = first; i < m->segments && n < MOST; i++)
    if (m->segment[i].month == m->segment[first].month &&
        segment_open(os_posix(), store, &m->segment[i], cache, budget, &to[n++], &error))
      give_up("opening a segment", &error);
  return n;
}

static bool seen_before(const struct manifest *m, size_t i) {
  for (size_t k = 0; k < i; k++)
    if (m->segment[k].month == m->segment[i].month) return true;
  return false;
}

int main(int argc, char **argv) {
  tally_error error;
  struct budget budget;
  struct cache *cache;
  struct producers *producers;
  struct manifest *m;
  if (argc != 3) return 2;
  budget_init(&budget, UINT64_C(1) << 30, NULL);
  if (cache_new(1u << 20, &budget, &cache, &error) || producers_new(&budget, &producers, &error) ||
      manifest_open(os_posix(), argv[1], producers, &m, &error))
    give_up("opening the store", &error);
  (void)mkdir(argv[2], 0777);
  char path[600];
  (void)snprintf(path, sizeof path, "%s/segments", argv[2]);
  (void)mkdir(path, 0777);
  for (size_t i = 0; i < m->segments; i++) {
    struct segment *from[MOST];
    if (seen_before(m, i)) continue;
    size_t count = open_month(argv[1], m, i, cache, &budget, from);
    struct segment_info info = {.id = 1000 + i, .month = m->segment[i].month};
    int result = segment_thin(os_posix(), argv[2], from, count, NULL, &budget, &info, &error);
    if (result && result != TALLY_OVERFLOW) give_up("thinning", &error);
    if (!result) printf("%llu %d %u\n", (unsigned long long)info.id, info.month, info.rows);
    for (size_t k = 0; k < count; k++) segment_unref(from[k]);
  }
  manifest_close(m);
  producers_free(producers);
  cache_free(cache);
  return 0;
}
