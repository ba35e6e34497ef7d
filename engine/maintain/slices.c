/* slices.c - see slices.h. */
#include "maintain/slices.h"

#include <stdlib.h>
#include <string.h>

#define ROOM                                                                                                 \
  64u /* one part in so many of a slice is kept free: cuts stand between buckets, not between rows */

void slices_begin(struct slices *s, int64_t first, int64_t last) {
  memset(s, 0, sizeof *s);
  s->first = first;
  s->width = ((uint64_t)last - (uint64_t)first) / SLICE_BUCKETS + 1;
}

/* The last bound at or before a time; the first one is at or before all. */
static uint32_t bucket_of(const struct slices *s, int64_t timestamp) {
  uint32_t low = 0;
  for (uint32_t size = s->bounds; size > 1;) {
    uint32_t half = size / 2;
    low = s->bound[low + half] <= timestamp ? low + half : low;
    size -= half;
  }
  return low;
}

void slices_add(struct slices *s, const int64_t *timestamp, uint32_t count) {
  if (s->bounds)
    for (uint32_t i = 0; i < count; i++) s->count[bucket_of(s, timestamp[i])]++;
  else
    for (uint32_t i = 0; i < count; i++) s->count[((uint64_t)timestamp[i] - (uint64_t)s->first) / s->width]++;
  s->rows += count;
}

bool slices_coarse(const struct slices *s, uint32_t most_rows) {
  if (s->width == 1 || s->rows <= most_rows) return false;
  for (uint32_t b = 0; b < SLICE_BUCKETS; b++)
    if (s->count[b] > most_rows / ROOM) return true;
  return false;
}

/* Which row of a step is taken is left to chance (Weyl's sequence, mixed as SplitMix64 does): rows come
 * sorted by user, and each user's may come in a rhythm. */
static uint64_t next_sample(const struct slices *s, uint64_t number) {
  uint64_t random = (number + 1) * 0x9E3779B97F4A7C15u;
  random = (random ^ random >> 30) * 0xBF58476D1CE4E5B9u;
  return number * s->sample_step + (random >> 32) % s->sample_step;
}

void slices_sample(struct slices *s, const int64_t *timestamp, uint32_t count) {
  if (!s->sample_step) {
    s->sample_step = s->rows / SLICE_SAMPLE + 1;
    s->sample_next = next_sample(s, 0);
  }
  for (; s->sample_next < s->sample_seen + count; s->sample_next = next_sample(s, s->bounds))
    s->bound[s->bounds++] = timestamp[s->sample_next - s->sample_seen];
  s->sample_seen += count;
}

/* Of what the first look counted: so the new buckets are nowhere much worse than those. */
static void add_even_bounds(struct slices *s) {
  uint64_t sum = 0, step = s->rows / SLICE_EVEN + 1, next = step;
  for (uint32_t b = 0; b < SLICE_BUCKETS; b++) {
    sum += s->count[b];
    if (sum < next) continue;
    s->bound[s->bounds++] = (int64_t)((uint64_t)s->first + (b + (uint64_t)1) * s->width);
    next = sum + step;
  }
}

static int ascending(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

void slices_refine(struct slices *s) {
  add_even_bounds(s);
  qsort(s->bound, s->bounds, sizeof *s->bound, ascending);
  uint32_t kept = 0;
  for (uint32_t i = 0; i < s->bounds; i++)
    if (!kept || s->bound[i] != s->bound[kept - 1]) s->bound[kept++] = s->bound[i];
  s->bound[0] = s->first;
  s->bounds = kept;
  s->rows = 0;
  memset(s->count, 0, sizeof s->count);
}

static uint64_t pieces(uint64_t whole, uint64_t most) {
  if (whole <= most) return 1;
  uint64_t good = most - most / ROOM;
  return (whole + good - 1) / good;
}

uint32_t slices_number(const struct slices *s, uint32_t most_rows, uint64_t bytes, uint64_t most_bytes) {
  uint64_t by_rows = pieces(s->rows, most_rows), by_bytes = pieces(bytes, most_bytes);
  uint64_t n = by_rows > by_bytes ? by_rows : by_bytes;
  return n < s->rows ? (uint32_t)n : (uint32_t)s->rows;
}

static int64_t begin_of(const struct slices *s, uint32_t bucket) {
  if (!s->bounds) return (int64_t)((uint64_t)s->first + bucket * s->width);
  return bucket < s->bounds ? s->bound[bucket] : INT64_MAX;
}

int64_t slices_cut(const struct slices *s, uint32_t slices, uint32_t number) {
  if (number + 1 >= slices) return INT64_MAX;
  uint64_t wanted = s->rows / slices * (number + 1), sum = 0;
  uint32_t b = 0;
  while (b < SLICE_BUCKETS && sum < wanted) sum += s->count[b++];
  return begin_of(s, b);
}
