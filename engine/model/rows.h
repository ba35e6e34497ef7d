/* rows.h - events as column arrays with catalog ids: what a memtable holds and a segment is made from.
 *
 * Arrays are equally long. NULL of a text is id 0. NULL of a number is a clear bit in its validity map
 * (its value is then 0). NULL metadata is a clear bit too, with an empty range. Borrowed pointers
 * throughout: the maker owns them. */
#ifndef MODEL_ROWS_H
#define MODEL_ROWS_H

#include <stdint.h>

#include "model/schema.h"

#define INT_COLUMNS 5 /* request_size .. tokens_used */

struct rows {
  uint32_t count;
  int64_t *timestamp;
  uint32_t *text[DOMAINS];
  int32_t *number[INT_COLUMNS]; /* column TALLY_COL_REQUEST_SIZE + i */
  int64_t *cost;
  uint64_t *valid[INT_COLUMNS + 2]; /* the five integers, cost, metadata */
  uint64_t *metadata_at;            /* count + 1 offsets into metadata */
  char *metadata;
};

#define VALID_COST INT_COLUMNS
#define VALID_METADATA (INT_COLUMNS + 1)

#endif
