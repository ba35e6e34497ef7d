/* sample_rows.h - random sorted rows for the tests of segment and scan. */
#ifndef TESTS_SAMPLE_ROWS_H
#define TESTS_SAMPLE_ROWS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "model/rows.h"

/* The seed of a run: TALLY_SEED, or one from the process id; printed, so that a failure can be run again. */
static inline uint64_t sample_seed(const char *test, uint64_t fallback) {
  const char *text = getenv("TALLY_SEED");
  uint64_t seed = text ? strtoull(text, NULL, 10) : fallback;
  fprintf(stderr, "%s: TALLY_SEED=%llu\n", test, (unsigned long long)seed);
  return seed;
}

static inline uint64_t sample_random(uint64_t *state) {
  *state += UINT64_C(0x9E3779B97F4A7C15);
  return hash_mix(*state);
}
static inline uint32_t sample_below(uint64_t *state, uint32_t n) {
  return n ? (uint32_t)(sample_random(state) % n) : 0;
}

struct sample_shape {
  uint32_t rows, users, services, endpoints, methods;
  uint32_t null_percent;
  bool extremes;    /* numbers over their whole range; else as a metered service has them */
  int64_t from, to; /* timestamps */
};

static inline void sample_allocate(struct rows *r, uint32_t n) {
  size_t room = n ? n : 1;
  r->count = n;
  r->timestamp = calloc(room, sizeof *r->timestamp);
  for (int d = 0; d < DOMAINS; d++) r->text[d] = calloc(room, sizeof *r->text[d]);
  for (int i = 0; i < INT_COLUMNS; i++) r->number[i] = calloc(room, sizeof *r->number[i]);
  r->cost = calloc(room, sizeof *r->cost);
  for (int i = 0; i < INT_COLUMNS + 2; i++) r->valid[i] = calloc(bitmap_words(room), sizeof(uint64_t));
  r->metadata_at = calloc(room + 1, sizeof *r->metadata_at);
}

static inline void sample_free(struct rows *r) {
  free(r->timestamp);
  for (int d = 0; d < DOMAINS; d++) free(r->text[d]);
  for (int i = 0; i < INT_COLUMNS; i++) free(r->number[i]);
  free(r->cost);
  for (int i = 0; i < INT_COLUMNS + 2; i++) free(r->valid[i]);
  free(r->metadata_at);
  free(r->metadata);
  *r = (struct rows){0};
}

static inline bool sample_null(uint64_t *s, const struct sample_shape *shape) {
  return sample_below(s, 100) < shape->null_percent;
}
/* An id of a domain of n texts, lower ones more often; 0 (NULL) now and then. */
static inline uint32_t sample_id(uint64_t *s, const struct sample_shape *shape, uint32_t n) {
  if (n == 0 || sample_null(s, shape)) return 0;
  uint32_t a = sample_below(s, n), b = sample_below(s, n);
  return 1 + (a < b ? a : b);
}

static inline int32_t sample_int(uint64_t *s, const struct sample_shape *shape, int column) {
  static const int32_t edges[] = {INT32_MIN, INT32_MAX, 0, -1, 1, INT32_MIN + 1};
  if (shape->extremes) {
    uint32_t k = sample_below(s, 10);
    return k < 6 ? edges[k] : (int32_t)sample_random(s);
  }
  static const int32_t statuses[] = {200, 200, 200, 200, 201, 400, 404, 429, 500, 399};
  if (column == TALLY_COL_STATUS_CODE) return statuses[sample_below(s, 10)];
  return (int32_t)sample_below(s, 1u << sample_below(s, 14));
}

static inline int64_t sample_cost(uint64_t *s, const struct sample_shape *shape, int32_t tokens,
                                  uint32_t service) {
  if (shape->extremes) {
    uint32_t k = sample_below(s, 8);
    return k == 0 ? COST_MAX : k == 1 ? -COST_MAX : (int64_t)(sample_random(s) % COST_MAX);
  }
  if (sample_below(s, 50) == 0) return -(int64_t)sample_below(s, 1000000);
  int64_t product = (int64_t)tokens * 250 * (service % 5); /* to 4 decimals, half up */
  return (product + 50000) / 100000 * 100000;
}

static inline void sample_metadata(uint64_t *s, struct buffer *b) {
  static const char *const regions[] = {"eu", "us-east", "ap"};
  switch (sample_below(s, 8)) {
  case 0:
    buffer_text(b, "{}");
    break;
  case 1:
    buffer_printf(b, "{\"n\":%d}", (int)sample_below(s, 2000) - 1000);
    break;
  case 2:
    buffer_printf(b, "{ \"a\" : {\"b\":\"x\\u0041\\n%u\"}, \"n\":null}", sample_below(s, 4));
    break;
  case 3:
    buffer_printf(b, "{\"n\":%u.50,\"t\":true,\"a\":[1,2]}", sample_below(s, 5));
    break;
  case 4:
    buffer_printf(b, "{\"region\":\"\\ud800\",\"n\":\"%u\"}", sample_below(s, 5));
    break;
  default:
    buffer_printf(b, "{\"region\":\"%s\",\"req\":\"%08x\"}", regions[sample_below(s, 3)],
                  (uint32_t)sample_random(s));
  }
}

/* Rows in order of arrival. */
static inline void sample_arrivals(uint64_t *s, const struct sample_shape *shape, struct rows *r) {
  sample_allocate(r, shape->rows);
  struct buffer metadata = {0};
  const uint32_t texts[DOMAINS] = {shape->users, shape->services, shape->endpoints, shape->methods};
  for (uint32_t i = 0; i < shape->rows; i++) {
    r->timestamp[i] = shape->from + (int64_t)(sample_random(s) % (uint64_t)(shape->to - shape->from));
    for (int d = 0; d < DOMAINS; d++) r->text[d][i] = sample_id(s, shape, texts[d]);
    for (int c = 0; c < INT_COLUMNS; c++) {
      if (sample_null(s, shape)) continue;
      bitmap_set(r->valid[c], i);
      r->number[c][i] = sample_int(s, shape, TALLY_COL_REQUEST_SIZE + c);
    }
    if (!sample_null(s, shape)) {
      bitmap_set(r->valid[VALID_COST], i);
      r->cost[i] = sample_cost(s, shape, r->number[INT_COLUMNS - 1][i], r->text[1][i]);
    }
    r->metadata_at[i] = metadata.size;
    if (sample_below(s, 3) == 0) {
      bitmap_set(r->valid[VALID_METADATA], i);
      sample_metadata(s, &metadata);
    }
  }
  r->metadata_at[shape->rows] = metadata.size;
  r->metadata = malloc(metadata.size + 1);
  if (metadata.size) memcpy(r->metadata, metadata.data, metadata.size);
  buffer_free(&metadata);
}

static const struct rows *sample_sorted_rows;
static inline int sample_compare(const void *pa, const void *pb) {
  const struct rows *r = sample_sorted_rows;
  uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;
  for (int d = 1; d >= 0; d--)
    if (r->text[d][a] != r->text[d][b]) return r->text[d][a] < r->text[d][b] ? -1 : 1;
  if (r->timestamp[a] != r->timestamp[b]) return r->timestamp[a] < r->timestamp[b] ? -1 : 1;
  return a < b ? -1 : a > b;
}

/* Makes *to the rows of `from` in a segment's order. */
static inline void sample_sort(const struct rows *from, struct rows *to) {
  uint32_t n = from->count, *order = malloc((n + 1) * sizeof *order);
  for (uint32_t i = 0; i < n; i++) order[i] = i;
  sample_sorted_rows = from;
  qsort(order, n, sizeof *order, sample_compare);
  sample_allocate(to, n);
  to->metadata = malloc(from->metadata_at[n] + 1);
  for (uint32_t k = 0; k < n; k++) {
    uint32_t i = order[k];
    to->timestamp[k] = from->timestamp[i];
    for (int d = 0; d < DOMAINS; d++) to->text[d][k] = from->text[d][i];
    for (int c = 0; c < INT_COLUMNS; c++) to->number[c][k] = from->number[c][i];
    to->cost[k] = from->cost[i];
    for (int v = 0; v < INT_COLUMNS + 2; v++)
      if (bitmap_get(from->valid[v], i)) bitmap_set(to->valid[v], k);
    uint64_t size = from->metadata_at[i + 1] - from->metadata_at[i];
    memcpy(to->metadata + to->metadata_at[k], from->metadata + from->metadata_at[i], size);
    to->metadata_at[k + 1] = to->metadata_at[k] + size;
  }
  free(order);
}

/* Sorted rows. */
static inline void sample_make(uint64_t *s, const struct sample_shape *shape, struct rows *rows) {
  struct rows arrivals;
  sample_arrivals(s, shape, &arrivals);
  sample_sort(&arrivals, rows);
  sample_free(&arrivals);
}

/* The value of any column but metadata as segment_values gives it; *valid is false for NULL numbers. */
static inline int64_t sample_value(const struct rows *r, int column, uint32_t row, bool *valid) {
  *valid = true;
  if (column == TALLY_COL_TIMESTAMP) return r->timestamp[row];
  if (column <= TALLY_COL_METHOD) return r->text[column - TALLY_COL_USER_ID][row];
  int v = column - TALLY_COL_REQUEST_SIZE;
  *valid = bitmap_get(r->valid[v], row);
  if (!*valid) return 0;
  return column == TALLY_COL_COST ? r->cost[row] : r->number[v][row];
}

/* A directory of the test's own under $TMPDIR. */
static inline void sample_directory(char path[256]) {
  const char *base = getenv("TMPDIR");
  snprintf(path, 256, "%s/tally-test-XXXXXX", base ? base : "/tmp");
  if (!mkdtemp(path)) abort();
}
/* Removes a store directory made by a test: <path>/segments/<month>/<file>. */
static inline void sample_remove_directory(const char *path) {
  char command[300];
  snprintf(command, sizeof command, "rm -r '%s'", path);
  if (system(command) != 0) fprintf(stderr, "cannot remove %s\n", path);
}

#endif
