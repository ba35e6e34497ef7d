/* compact_choose.h - which segments of a month are to be merged next: the policy, without any I/O.
 *
 * A segment is small below a quarter of a settled segment's weight, else big.
 *  1. Small ones: as soon as COMPACT_SMALL of them are of one class (each class has four times the rows of
 * the one below), they are merged. So a row is rewritten at most once a class.
 *  2. Big ones: as soon as COMPACT_FAN of them overlap at one point of time, all that overlap there are
 * merged and cut into slices of time, which do not overlap.
 *  3. A quiet month (and any month, on request) is settled: small ones are merged if there are two, big ones
 *     if two overlap, and with them a small one over the same time. What is left then is at most one small
 * segment and big ones one after the other. Overlap counts from a sixteenth of the shorter one's time on:
 * events a little late do not make it. At most COMPACT_MOST segments enter one merge.
 *  4. Segments that are all `tried` are not merged: a merge that left no fewer segments than it took made
 * them. Where very many events are of one moment, no cut in time can part them. So settling ends. */
#ifndef MAINTAIN_COMPACT_CHOOSE_H
#define MAINTAIN_COMPACT_CHOOSE_H

#include <stdbool.h>
#include <stdint.h>

#define COMPACT_SMALL 8u
#define COMPACT_FAN 16u
#define COMPACT_MOST 64u

/* A segment as the policy sees it. */
struct candidate {
  int64_t min_timestamp, max_timestamp;
  uint64_t weight; /* its rows; more if its metadata fills more of a segment than they do */
  bool tried;      /* comes from a merge that left as many segments as it took, or more */
};

struct compaction {
  uint32_t input[COMPACT_MOST]; /* indexes into the month's segments */
  uint32_t count;               /* 0: nothing to do */
};

/* The next merge of a month's `count` segments, which are given by their least timestamp, ascending.
 * `settled`: weight of a settled segment. */
struct compaction compact_choose(const struct candidate *candidate, uint32_t count, uint64_t settled,
                                 bool settle);

#endif
