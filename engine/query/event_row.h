/* event_row.h - one event out of a scan's vectors, small and of fixed size: texts stay catalog ids, metadata
 * is a range of bytes kept elsewhere. */
#ifndef QUERY_EVENT_ROW_H
#define QUERY_EVENT_ROW_H

#include "base/bytes.h"
#include "query/result.h"
#include "scan/scan.h"

struct event_row {
  int64_t timestamp;
  int64_t cost;
  uint64_t metadata_at;
  uint32_t metadata_size;
  uint32_t text[DOMAINS];
  int32_t number[INT_COLUMNS];
  uint32_t present; /* bit (1u << column) of numbers, cost and metadata that are not NULL */
};

/* Where the rest of rows is. */
struct event_space {
  const struct catalog *catalog;
  const char *metadata;
};

/* Row `row` of a vector, of whose columns (bits) only those asked for are taken; metadata_at is into the
 * vector's metadata. */
struct event_row event_row_take(const struct vector *vector, uint32_t row, uint32_t columns);
/* The order of events: by the columns of the schema, bytes, NULL last, of those asked for. -1, 0, 1. */
int event_row_compare(const struct event_row *a, const struct event_row *b, uint32_t columns,
                      const struct event_space *space);
/* A column's cell: where its text is, or printed to the end of `text` (result_printed). */
tally_text event_row_cell(const struct event_row *row, int column, const struct event_space *space,
                          struct buffer *text);

#endif
