/* slices.h - cutting a range of times where about equally many rows lie on each side. */
#ifndef MAINTAIN_SLICES_H
#define MAINTAIN_SLICES_H

#include <stdint.h>

/* Counts of rows in SLICE_BUCKETS equal parts of [first, last]. */
#define SLICE_BUCKETS 65536u
struct slices {
  int64_t first;
  uint64_t width; /* microseconds of a bucket, at least 1 */
  uint64_t rows;
  uint32_t count[SLICE_BUCKETS];
};

void slices_begin(struct slices *s, int64_t first, int64_t last);
void slices_add(struct slices *s, const int64_t *timestamp, uint32_t count); /* all in [first, last] */
/* How many slices so that each has at most `most_rows` rows and `most_bytes` of the rows' `bytes`, with a
 * little room for unevenness. */
uint32_t slices_number(const struct slices *s, uint32_t most_rows, uint64_t bytes, uint64_t most_bytes);
/* The time where slice `number` + 1 of `slices` begins; INT64_MAX behind the last. */
int64_t slices_cut(const struct slices *s, uint32_t slices, uint32_t number);

#endif
