/* histogram.h - log-linear histograms of integers: exact below 128, from there on 64 bins from each power of
 * two to the next, on both sides of zero.
 *
 * A bin stands for its middle, so a value that a histogram gives lies within 1/128 of the exact one. Bins are
 * the same everywhere: histograms merge by adding up their counts. */
#ifndef SEGMENT_HISTOGRAM_H
#define SEGMENT_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BOUND "0.0078125" /* 1/128 */

/* The middle of the bin of a value (at least -2^31, below 2^31). */
static inline int64_t histogram_value(int64_t v) {
  uint64_t u = v < 0 ? (uint64_t)-v : (uint64_t)v;
  if (u < 128) return v;
  unsigned shift = 63u - (unsigned)__builtin_clzll(u) - 6u; /* a bin is 2^shift wide */
  int64_t middle = (int64_t)((u >> shift << shift) + ((UINT64_C(1) << shift) - 1) / 2);
  return v < 0 ? -middle : middle;
}

#endif
