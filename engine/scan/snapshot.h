/* snapshot.h - what a query sees: immutable segments, and memtables up to a row count. Made by db under
 * its lock; the references it holds keep everything alive until snapshot_release. */
#ifndef SCAN_SNAPSHOT_H
#define SCAN_SNAPSHOT_H

#include "catalog/catalog.h"
#include "memtable/memtable.h"
#include "segment/segment.h"

struct snapshot_rows {
  struct memtable *memtable;
  uint32_t rows;
  int64_t min_timestamp, max_timestamp; /* of at least these rows */
};

/* What an answer lacks, where the request allows it to: quarantined segments. */
struct left_out {
  uint64_t segments, rows;
};

struct snapshot {
  struct catalog *catalog;
  uint32_t ids[DOMAINS]; /* ids 1..ids[d] may occur */
  struct segment **segments;
  size_t segment_count;
  struct snapshot_rows *memtables;
  size_t memtable_count;
};

#endif
