/* slices.c - see slices.h. */
#include "maintain/slices.h"

#include <string.h>

void slices_begin(struct slices *s, int64_t first, int64_t last) {
  memset(s, 0, sizeof *s);
  s->first = first;
  s->width = ((uint64_t)last - (uint64_t)first) / SLICE_BUCKETS + 1;
}

void slices_add(struct slices *s, const int64_t *timestamp, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) s->count[((uint64_t)timestamp[i] - (uint64_t)s->first) / s->width]++;
  s->rows += count;
}

/* A little of a slice is kept free: cuts stand between buckets, not between rows. */
static uint64_t pieces(uint64_t whole, uint64_t most) {
  if (whole <= most) return 1;
  uint64_t good = most - most / 64;
  return (whole + good - 1) / good;
}

uint32_t slices_number(const struct slices *s, uint32_t most_rows, uint64_t bytes, uint64_t most_bytes) {
  uint64_t by_rows = pieces(s->rows, most_rows), by_bytes = pieces(bytes, most_bytes);
  uint64_t n = by_rows > by_bytes ? by_rows : by_bytes;
  return n < s->rows ? (uint32_t)n : (uint32_t)s->rows;
}

int64_t slices_cut(const struct slices *s, uint32_t slices, uint32_t number) {
  if (number + 1 >= slices) return INT64_MAX;
  uint64_t wanted = s->rows / slices * (number + 1), sum = 0;
  uint32_t b = 0;
  while (b < SLICE_BUCKETS && sum < wanted) sum += s->count[b++];
  return (int64_t)((uint64_t)s->first + b * s->width);
}
