/* scan_inside.h - a bound request: what scan/'s files share. Immutable after scan_new (but the texts' memos,
 * which are atomic). */
#ifndef SCAN_SCAN_INSIDE_H
#define SCAN_SCAN_INSIDE_H

#include "scan/key_filter.h"
#include "scan/scan.h"
#include "scan/text_filter.h"

/* What the values of one column must satisfy. NULL passes only if passes_null, and then nothing else does. */
struct column_filter {
  bool passes_null;
  struct intervals in;     /* numbers and timestamp */
  struct text_filter text; /* text columns */
};

struct scan_part {
  bool pruned;
  bool inside; /* a segment all of whose rows satisfy the times */
};

struct scan {
  const struct snapshot *snapshot;
  struct hold hold;
  struct scan_request request;
  bool never;       /* the predicates contradict each other */
  uint32_t filters; /* bit (1u << column): filter[column] is there; timestamp's always is */
  struct column_filter filter[COLUMNS];
  const struct predicate **keys; /* predicates on keys inside metadata */
  size_t key_count;
  int64_t low, high; /* the least and the greatest time that may pass */
  struct scan_part *parts;
};

#define SCAN_USER (1u << TALLY_COL_USER_ID)
#define SCAN_SERVICE (1u << TALLY_COL_SERVICE_NAME)

static inline bool scan_filters(const struct scan *s, int column) { return s->filters >> column & 1; }
/* The segment of a part, or NULL if it is a memtable. */
static inline struct segment *scan_segment(const struct scan *s, size_t part) {
  return part < s->snapshot->segment_count ? s->snapshot->segments[part] : NULL;
}
static inline const struct snapshot_rows *scan_memtable(const struct scan *s, size_t part) {
  return &s->snapshot->memtables[part - s->snapshot->segment_count];
}

/* Does the service with this id pass? (True without a predicate on it.) */
static inline bool scan_service_passes(const struct scan *s, uint32_t id) {
  return !(s->filters & SCAN_SERVICE) || text_filter_passes(&s->filter[TALLY_COL_SERVICE_NAME].text, id);
}
static inline bool scan_user_passes(const struct scan *s, uint32_t id) {
  return !(s->filters & SCAN_USER) || text_filter_passes(&s->filter[TALLY_COL_USER_ID].text, id);
}
/* Can a chunk of a segment have rows that pass, by its zones? Times are looked at against [low, high]. */
bool scan_chunk_may(const struct scan *s, const struct segment *segment, uint32_t chunk, int64_t low,
                    int64_t high);
/* Does every row of a chunk pass the filter of this column, by its zone? */
bool scan_chunk_passes(const struct scan *s, const struct segment *segment, uint32_t chunk, int column);

#endif
