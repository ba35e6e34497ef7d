/* order.h - which of several WAL files a record counts from.
 *
 * A file that begins at or before a record of an earlier file was begun when that record did not exist: a
 * replay wrote it anew, or a power cut had taken it and another record has its sequence. So each file counts
 * up to where a later one begins. */
#ifndef WAL_ORDER_H
#define WAL_ORDER_H

#include "os/os.h"

struct wal_span {
  uint64_t number;
  uint64_t first, end; /* its records with first <= sequence < end count; end UINT64_MAX: all there are */
};

/* Reads the headers of `count` files of the store, whose numbers ascend. The spans are freed with mem_free.
 * TALLY_CORRUPT, TALLY_VERSION, TALLY_IO, TALLY_NO_MEMORY. */
int wal_spans(const struct os *os, const char *store, const uint64_t *number, size_t count,
              struct wal_span **spans, tally_error *error);

#endif
