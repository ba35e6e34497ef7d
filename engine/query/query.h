/* query.h - from a request's texts to the rows of its answer.
 *
 * query_open and events_open parse and check the whole request at once (TALLY_USAGE names the text at fault),
 * then the rows are pulled with result_next; work happens inside the pulls. An answer is complete or an
 * error. */
#ifndef QUERY_QUERY_H
#define QUERY_QUERY_H

#include <stdatomic.h>

#include "base/budget.h"
#include "os/os.h"
#include "scan/snapshot.h"

/* Where a query runs. Everything outlives the result. */
struct query_environment {
  const struct snapshot *snapshot;
  struct budget *budget; /* this query's own share: over it, TALLY_MEMORY_LIMIT */
  const struct os *os;
  int64_t now;                  /* the store's clock when the query began, microseconds */
  int64_t deadline;             /* os->monotonic; over it, TALLY_DEADLINE */
  const atomic_bool *cancelled; /* TALLY_CANCELLED as soon as it is set; looked at once a vector */
  tally_zone_fn zone;
  void *zone_arg;
  struct left_out *left_out; /* TALLY_PARTIAL: what the answer lacks is counted here */
  bool at_once;              /* TALLY_AT_ONCE: no thread but the caller's, and no long work is begun */
};

struct result;
int query_open(const tally_query *query, const struct query_environment *environment, struct result **result,
               tally_error *error);
int events_open(const tally_scan *scan, const struct query_environment *environment, struct result **result,
                tally_error *error);
size_t result_columns(const struct result *result);
tally_result_column result_column(const struct result *result, size_t column);
/* TALLY_ROW, TALLY_OK at the end, or a code. TALLY_MEMORY_LIMIT is not the end of events: while result_ended
 * is false, the next pull goes on where this one stopped, with no memory held until then. */
int result_next(struct result *result, size_t most, tally_error *error);
bool result_ended(const struct result *result);
/* Are there rows that the next pull gives without any work? */
bool result_at_hand(const struct result *result);
/* The rows that the last pull has made current, 1 to `most`, or 0 where it gave none; their cells, row by
 * row; a cell of the last of them (none: NULL). Borrowed until the next pull or rest. */
size_t result_rows(const struct result *result);
const tally_text *result_cells(const struct result *result);
tally_text result_cell(const struct result *result, size_t column);
/* Between two pulls: gives back what the next one can make again. The current rows' cells are gone. */
void result_rest(struct result *result);
void result_free(struct result *result);

#endif
