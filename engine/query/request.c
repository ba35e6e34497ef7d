/* request.c - see request.h. */
#include "query/request.h"

#include <string.h>

#include "base/status.h"
#include "query/predicate_parse.h"
#include "query/time_text.h"

/* ------------------------------------------------------------------ ranges and predicates */

static int parse_bound(const char *option, const char *text, const struct query_environment *environment,
                       struct request *request, int64_t *us, tally_error *error) {
  if (!text) return 0;
  int rc = time_parse(piece_of(text), &request->zone, environment->now, us, error);
  return rc ? error_where(error, "%s", option) : 0;
}

static int parse_range(const char *tz, const char *from, const char *to,
                       const struct query_environment *environment, struct request *request,
                       tally_error *error) {
  request->from = INT64_MIN;
  request->to = INT64_MAX;
  const char *name = tz ? arena_copy(&request->arena, tz, strlen(tz), error) : NULL;
  if (tz && !name) return error->code;
  int rc = zone_open(&request->zone, name, environment->zone, environment->zone_arg, environment->now, error);
  if (!rc) rc = parse_bound("--from", from, environment, request, &request->from, error);
  if (!rc) rc = parse_bound("--to", to, environment, request, &request->to, error);
  request->scan_from = request->from;
  request->scan_to = request->to;
  return rc;
}

static int64_t after(int64_t us) { return us == INT64_MAX ? us : us + 1; }

/* A predicate that is a range of time narrows the scan's; true if nothing of it is left to check. */
static bool narrow(struct request *request, const struct predicate *p) {
  if (p->ref.column != TALLY_COL_TIMESTAMP || p->op < OP_EQ || p->op > OP_GE || p->op == OP_NE) return false;
  int64_t value = p->literals[0].value;
  int64_t from = p->op == OP_GE || p->op == OP_EQ ? value : p->op == OP_GT ? after(value) : INT64_MIN;
  int64_t to = p->op == OP_LT ? value : p->op == OP_LE || p->op == OP_EQ ? after(value) : INT64_MAX;
  if (from > request->scan_from) request->scan_from = from;
  if (to < request->scan_to) request->scan_to = to;
  return true;
}

static int parse_where(const char *const *where, size_t count, const struct query_environment *environment,
                       struct request *request, tally_error *error) {
  struct predicate_context context = {&request->arena, &request->zone, environment->now};
  request->where = arena_alloc(&request->arena, count, sizeof *request->where, error);
  if (!request->where) return error->code;
  for (size_t i = 0; i < count; i++) {
    struct predicate *p = &request->where[request->where_count];
    int rc = predicate_parse(where[i], &context, p, error);
    if (rc) return rc;
    if (!narrow(request, p)) request->where_count++;
  }
  return 0;
}

/* ------------------------------------------------------------------ queries */

static int parse_bucket(const char *text, struct request *request, tally_error *error) {
  struct piece p = piece_trim(piece_of(text));
  request->has_bucket = true;
  if (bucket_parse(p.at, piece_size(p), &request->bucket)) return 0;
  return fail(error, TALLY_USAGE,
              "--bucket '" PIECE_FORMAT "': write a number from 1 and a unit: us ms s m h d w mo y (5m, 1d)",
              PIECE_ARGS(p));
}

static int check_fill(const tally_query *query, tally_error *error) {
  if (!(query->flags & TALLY_FILL) || (query->bucket && query->from && query->to)) return 0;
  return fail(error, TALLY_USAGE, "--fill needs %s%s%s", query->bucket ? "" : "--bucket",
              query->bucket || (query->from && query->to) ? "" : ", ",
              query->from && query->to ? "" : "both --from and --to");
}

static bool blank(const char *text) {
  struct piece p = piece_trim(piece_of(text));
  return p.at == p.end;
}

static int parse_query(const tally_query *query, const struct query_environment *environment,
                       struct request *request, tally_error *error) {
  request->limit = query->limit;
  request->flags = query->flags;
  int rc = parse_range(query->tz, query->from, query->to, environment, request, error);
  if (!rc) rc = parse_where(query->where, query->where_count, environment, request, error);
  if (!rc && query->bucket) rc = parse_bucket(query->bucket, request, error);
  if (!rc && query->group_by && !blank(query->group_by)) rc = request_groups(query->group_by, request, error);
  if (!rc) rc = request_outputs(query->aggregates ? query->aggregates : "count", request, error);
  if (!rc && query->order_by && !blank(query->order_by)) rc = request_order(query->order_by, request, error);
  return rc ? rc : check_fill(query, error);
}

int request_query(const tally_query *query, const struct query_environment *environment,
                  struct request *request, tally_error *error) {
  *request = (struct request){0};
  arena_init(&request->arena, environment->budget);
  return parse_query(query, environment, request, error);
}

/* ------------------------------------------------------------------ events */

static int parse_columns(const char *text, struct request *request, tally_error *error) {
  struct piece list = piece_of(text), item;
  request->column = arena_alloc(&request->arena, piece_items(list), sizeof *request->column, error);
  if (!request->column) return error->code;
  for (bool done = false; piece_item(&list, &done, &item);) {
    struct column_ref ref;
    int rc = column_parse(item, &request->arena, &ref, error);
    if (!rc && ref.key)
      rc = fail(error, TALLY_USAGE, "events are shown by whole columns; a metadata key is none");
    if (rc == TALLY_USAGE) error_where(error, "--columns '" PIECE_FORMAT "'", PIECE_ARGS(item));
    if (rc) return rc;
    request->column[request->column_count++] = ref.column;
  }
  return 0;
}

static int all_columns(struct request *request, tally_error *error) {
  request->column = arena_alloc(&request->arena, COLUMNS, sizeof *request->column, error);
  if (!request->column) return error->code;
  for (int c = 0; c < COLUMNS; c++) request->column[c] = c;
  request->column_count = COLUMNS;
  return 0;
}

int request_scan(const tally_scan *scan, const struct query_environment *environment, struct request *request,
                 tally_error *error) {
  *request = (struct request){.limit = scan->limit, .flags = scan->flags};
  arena_init(&request->arena, environment->budget);
  if ((scan->flags & TALLY_ORDER_DESC) && (scan->flags & TALLY_ORDER_NONE))
    return fail(error, TALLY_USAGE, "--order is one of asc, desc and none");
  int rc = parse_range(scan->tz, scan->from, scan->to, environment, request, error);
  if (!rc) rc = parse_where(scan->where, scan->where_count, environment, request, error);
  if (rc) return rc;
  return scan->columns ? parse_columns(scan->columns, request, error) : all_columns(request, error);
}

void request_free(struct request *request) {
  if (request->arena.budget) arena_free(&request->arena);
}
