/* compact_choose.h - which segments of a month are to be merged next: the policy, without any I/O.
 *
 * A segment is small below a quarter of a settled segment's weight, else big.
 *  1. Small ones: as soon as COMPACT_SMALL of them are of one class (each class has four times the rows of
 * the one below), they are merged. So a row is rewritten at most once a class.
 *  2. Big ones: as soon as COMPACT_FAN of them overlap at one point of time, those that overlap there, up to
 * COMPACT_CUT, are merged and cut into slices of time, which do not overlap. Each slice reads all inputs, and
 * a merge of n parts n-fold overlap: it costs a row n readings and a writing, which is as much as some thirty
 * readings. So 16 to 20 cost least.
 *  3. A quiet month (and any month, on request) is settled: small ones are merged if there are two, big ones
 * as in 2, then if two overlap, and with them a small one over the same time. What is left then is at most
 * one small segment and big ones one after the other. Overlap counts from a sixteenth of the shorter one's
 * time on: events a little late do not make it. At most COMPACT_MOST segments enter one merge.
 *  4. Segments that are all `tried` are not merged: a merge made them, and could not part them. Where very
 * many events are of one moment, no cut in time can, and they stay as they are. So settling ends. */
#ifndef MAINTAIN_COMPACT_CHOOSE_H
#define MAINTAIN_COMPACT_CHOOSE_H

#include <stdbool.h>
#include <stdint.h>

#define COMPACT_SMALL 8u
#define COMPACT_FAN 16u
#define COMPACT_CUT 20u
#define COMPACT_MOST 64u

/* A segment as the policy sees it. */
struct candidate {
  int64_t min_timestamp, max_timestamp;
  uint64_t weight; /* its rows; more if its metadata fills more of a segment than they do */
  bool tried;      /* see compact_mark_tried */
};

struct compaction {
  uint32_t input[COMPACT_MOST]; /* indexes into the month's segments */
  uint32_t count;               /* 0: nothing to do */
};

/* The next merge of a month's `count` segments, which are given by their least timestamp, ascending.
 * `settled`: weight of a settled segment. */
struct compaction compact_choose(const struct candidate *candidate, uint32_t count, uint64_t settled,
                                 bool settle);

/* After a merge: sets `tried` of what it made. Of all that overlap each other, where these have half of the
 * weight or more; what is less is merged once more by itself. So that small ones do not go round, joined by
 * one merge and parted by the next: of small ones that were made of big ones, and of all that was made of
 * small ones of which one was tried. */
void compact_mark_tried(const struct candidate *input, uint32_t inputs, struct candidate *made,
                        uint32_t count, uint64_t settled);

#endif
