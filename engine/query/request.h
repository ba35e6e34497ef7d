/* request.h - a request whose every text has been read and checked. Immutable afterwards, but for the zone's
 * memory of its last period. */
#ifndef QUERY_REQUEST_H
#define QUERY_REQUEST_H

#include "aggregate/aggregate.h"
#include "model/civil.h"
#include "query/column_parse.h"
#include "query/query.h"
#include "query/zone.h"

/* A column or metadata key to group by. */
struct group_key {
  struct piece name; /* as written */
  struct column_ref ref;
};

/* An aggregate. `count` alone is of rows. */
struct output {
  struct piece name; /* as written */
  struct aggregate aggregate;
  bool of_rows;
  struct column_ref ref; /* unless of_rows; errors and error_rate: status_code */
};

enum order_what { ORDER_BUCKET, ORDER_GROUP, ORDER_OUTPUT };
struct order_key {
  enum order_what what;
  size_t index; /* of the group key or output */
  bool descending;
};

struct request {
  struct arena arena;
  struct time_zone zone;
  int64_t from, to;           /* as asked; INT64_MIN and INT64_MAX where open */
  int64_t scan_from, scan_to; /* the same, narrowed by predicates on timestamp */
  struct predicate *where;    /* the others */
  size_t where_count;
  bool has_bucket;
  struct bucket bucket;
  struct group_key *group;
  size_t group_count;
  struct output *output;
  size_t output_count;
  struct order_key *order;
  size_t order_count;
  int *column; /* events: the columns to show */
  size_t column_count;
  uint64_t limit;
  uint32_t flags; /* of tally_query or tally_scan */
};

/* Reads a query. TALLY_USAGE names the text at fault; TALLY_MEMORY_LIMIT, TALLY_NO_MEMORY. Free in any case.
 */
int request_query(const tally_query *query, const struct query_environment *environment,
                  struct request *request, tally_error *error);
/* Reads a scan of events. */
int request_scan(const tally_scan *scan, const struct query_environment *environment, struct request *request,
                 tally_error *error);
void request_free(struct request *request);

/* The parts; each is given a text that is there. */
int request_groups(const char *text, struct request *request, tally_error *error);
int request_outputs(const char *text, struct request *request, tally_error *error);
int request_order(const char *text, struct request *request, tally_error *error);

#endif
