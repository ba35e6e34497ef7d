/* slices.h - cutting a range of times where about equally many rows lie on each side.
 *
 * Rows are counted in buckets, and cuts stand between buckets. At first these are equally long. Where most
 * rows are of few moments in a long time, such buckets are too coarse: then cuts are sought with a second and
 * a third look at the times, the second for a sample; its values, and the best of the first buckets'
 * bounds, bound the buckets of the third. */
#ifndef MAINTAIN_SLICES_H
#define MAINTAIN_SLICES_H

#include <stdbool.h>
#include <stdint.h>

#define SLICE_BUCKETS 65536u /* equally long ones */
#define SLICE_SAMPLE 28672u  /* rows */
#define SLICE_EVEN 4096u     /* bounds with equally many rows between them, as far as the first look tells */
#define SLICE_BOUNDS (SLICE_SAMPLE + SLICE_EVEN)
struct slices {
  int64_t first;
  uint64_t width; /* microseconds of a bucket, at least 1 */
  uint64_t rows;
  uint32_t bounds;                                /* 0: the buckets are equally long */
  int64_t bound[SLICE_BOUNDS];                    /* where a bucket begins; ascending */
  uint64_t sample_step, sample_next, sample_seen; /* of so many rows one is taken; the next; rows so far */
  uint32_t count[SLICE_BUCKETS];
};

void slices_begin(struct slices *s, int64_t first, int64_t last);
void slices_add(struct slices *s, const int64_t *timestamp, uint32_t count); /* all in [first, last] */
/* All are counted: does one bucket hold so many rows that slices of `most_rows` come out uneven, and may
 * others do better? Then give all to slices_sample, call slices_refine, and give all to slices_add anew. */
bool slices_coarse(const struct slices *s, uint32_t most_rows);
void slices_sample(struct slices *s, const int64_t *timestamp, uint32_t count);
void slices_refine(struct slices *s);
/* How many slices so that each has at most `most_rows` rows and `most_bytes` of the rows' `bytes`, with a
 * little room for unevenness. */
uint32_t slices_number(const struct slices *s, uint32_t most_rows, uint64_t bytes, uint64_t most_bytes);
/* The time where slice `number` + 1 of `slices` begins; INT64_MAX behind the last. */
int64_t slices_cut(const struct slices *s, uint32_t slices, uint32_t number);

#endif
