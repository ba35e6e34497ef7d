/* aggregate_parse.c - the texts of --agg and --group-by; see request.h.
 *
 *   count  count:C  sum:C  avg:C  min:C  max:C  pQ:C  distinct:C  errors  error_rate
 *
 * Names of aggregates in any case; columns and keys in theirs. Q is digits with at most 6 decimals, in
 * (0, 100]. The same aggregate or column may stand more than once: it is answered as often. */
#include <string.h>

#include "base/status.h"
#include "query/groups.h"
#include "query/request.h"

#define Q_DECIMALS 6
#define Q_MOST 100000000u /* 100 in units of 10^-6 */

static const char known[] =
    "count, count:C, sum:C, avg:C, min:C, max:C, pQ:C, distinct:C, errors, error_rate";

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Reads Q of pQ into units of 10^-6. */
static bool parse_percent(struct piece text, uint32_t *percent) {
  uint64_t value = 0;
  int decimals = -1; /* -1: no point yet */
  if (text.at == text.end || !is_digit(*text.at) || !is_digit(text.end[-1])) return false;
  for (; text.at < text.end; text.at++) {
    if (*text.at == '.' && decimals < 0) {
      decimals = 0;
      continue;
    }
    if (!is_digit(*text.at) || decimals == Q_DECIMALS) return false;
    value = value * 10 + (uint64_t)(*text.at - '0');
    if (decimals >= 0) decimals++;
    if (value > Q_MOST) return false;
  }
  for (int d = decimals < 0 ? 0 : decimals; d < Q_DECIMALS; d++) value *= 10;
  if (value == 0 || value > Q_MOST) return false;
  *percent = (uint32_t)value;
  return true;
}

static bool function_of(struct piece name, enum aggregate_function *function) {
  static const struct {
    const char *name;
    enum aggregate_function function;
  } functions[] = {{"count", AGGREGATE_COUNT},   {"sum", AGGREGATE_SUM},
                   {"avg", AGGREGATE_AVG},       {"min", AGGREGATE_MIN},
                   {"max", AGGREGATE_MAX},       {"distinct", AGGREGATE_DISTINCT},
                   {"errors", AGGREGATE_ERRORS}, {"error_rate", AGGREGATE_ERROR_RATE}};
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
    if (piece_is(name, functions[i].name)) {
      *function = functions[i].function;
      return true;
    }
  return false;
}

static int parse_function(struct piece name, struct aggregate *aggregate, tally_error *error) {
  if (function_of(name, &aggregate->function)) return 0;
  bool is_percentile = piece_size(name) > 1 && (*name.at == 'p' || *name.at == 'P') &&
                       (is_digit(name.at[1]) || name.at[1] == '.' || name.at[1] == '-');
  if (!is_percentile)
    return fail(error, TALLY_USAGE, "there is no aggregate '" PIECE_FORMAT "'; the aggregates are %s",
                PIECE_ARGS(name), known);
  aggregate->function = AGGREGATE_PERCENTILE;
  if (parse_percent((struct piece){name.at + 1, name.end}, &aggregate->percent)) return 0;
  return fail(error, TALLY_USAGE,
              "'" PIECE_FORMAT
              "' is not a percentile: Q in pQ is above 0, at most 100, with at most 6 decimals "
              "(p99.9)",
              PIECE_ARGS(name));
}

static enum aggregate_scale scale_of(const struct column_ref *ref) {
  if (ref->key) return SCALE_METADATA;
  enum column_kind kind = column_kind(ref->column);
  return kind == KIND_TIME ? SCALE_TIME : kind == KIND_COST ? SCALE_COST : SCALE_INTEGER;
}

/* Does the aggregate take this column? */
static int check_column(const struct output *o, struct piece function, struct piece column,
                        tally_error *error) {
  enum aggregate_function f = o->aggregate.function;
  if (f == AGGREGATE_COUNT || f == AGGREGATE_DISTINCT) return 0;
  enum column_kind kind = column_kind(o->ref.column);
  bool extreme = f == AGGREGATE_MIN || f == AGGREGATE_MAX;
  if (o->ref.key || kind == KIND_INT || kind == KIND_COST || (extreme && kind == KIND_TIME)) return 0;
  return fail(error, TALLY_USAGE,
              PIECE_FORMAT " takes the integer columns, cost and metadata keys%s, but " PIECE_FORMAT
                           " is %s; count and distinct take any column",
              PIECE_ARGS(function), extreme ? ", and timestamp" : "", PIECE_ARGS(column),
              column_kind_name(&o->ref));
}

static bool takes_no_column(enum aggregate_function f) {
  return f == AGGREGATE_ERRORS || f == AGGREGATE_ERROR_RATE;
}

/* The aggregate without a colon. */
static int parse_plain(struct output *o, tally_error *error) {
  if (o->aggregate.function == AGGREGATE_COUNT) {
    o->of_rows = true;
    return 0;
  }
  if (!takes_no_column(o->aggregate.function))
    return fail(error, TALLY_USAGE, PIECE_FORMAT " needs a column: " PIECE_FORMAT ":C", PIECE_ARGS(o->name),
                PIECE_ARGS(o->name));
  o->ref.column = TALLY_COL_STATUS_CODE;
  return 0;
}

static int parse_output(struct piece text, struct arena *arena, struct output *o, tally_error *error) {
  *o = (struct output){.name = text};
  if (text.at == text.end)
    return fail(error, TALLY_USAGE, "an aggregate is missing; the aggregates are %s", known);
  const char *colon = memchr(text.at, ':', piece_size(text));
  struct piece name = {text.at, colon ? colon : text.end};
  int rc = parse_function(name, &o->aggregate, error);
  if (rc || !colon) return rc ? rc : parse_plain(o, error);
  if (takes_no_column(o->aggregate.function))
    return fail(error, TALLY_USAGE, PIECE_FORMAT " takes no column", PIECE_ARGS(name));
  struct piece column = {colon + 1, text.end};
  rc = column_parse(column, arena, &o->ref, error);
  if (rc) return rc;
  o->aggregate.scale = scale_of(&o->ref);
  return check_column(o, name, column, error);
}

/* A copy of a list's text, to which names can point as long as the request lives. */
static int copy_list(const char *text, struct request *request, struct piece *list, tally_error *error) {
  struct piece p = piece_of(text);
  char *copy = arena_copy(&request->arena, text, piece_size(p), error);
  if (!copy) return error->code;
  *list = piece_of(copy);
  return 0;
}

int request_outputs(const char *text, struct request *request, tally_error *error) {
  struct piece list, item;
  int rc = copy_list(text, request, &list, error);
  if (rc) return rc;
  request->output = arena_alloc(&request->arena, piece_items(list), sizeof *request->output, error);
  if (!request->output) return error->code;
  for (bool done = false; piece_item(&list, &done, &item);) {
    rc = parse_output(item, &request->arena, &request->output[request->output_count++], error);
    if (rc == TALLY_USAGE) error_where(error, "--agg '" PIECE_FORMAT "'", PIECE_ARGS(item));
    if (rc) return rc;
  }
  return 0;
}

static int parse_group(struct piece text, struct arena *arena, struct group_key *key, tally_error *error) {
  *key = (struct group_key){.name = text};
  int rc = column_parse(text, arena, &key->ref, error);
  if (rc || key->ref.key) return rc;
  enum column_kind kind = column_kind(key->ref.column);
  if (kind == KIND_TEXT || kind == KIND_INT) return 0;
  return fail(error, TALLY_USAGE,
              PIECE_FORMAT " is %s: rows are grouped by text and integer columns and metadata keys%s",
              PIECE_ARGS(text), column_kind_name(&key->ref),
              kind == KIND_TIME ? "; for times use --bucket" : "");
}

int request_groups(const char *text, struct request *request, tally_error *error) {
  struct piece list, item;
  int rc = copy_list(text, request, &list, error);
  if (rc) return rc;
  if (piece_items(list) > GROUP_COLUMNS)
    return fail(error, TALLY_USAGE, "--group-by: at most %d columns, not %zu", GROUP_COLUMNS,
                piece_items(list));
  request->group = arena_alloc(&request->arena, piece_items(list), sizeof *request->group, error);
  if (!request->group) return error->code;
  for (bool done = false; piece_item(&list, &done, &item);) {
    rc = parse_group(item, &request->arena, &request->group[request->group_count++], error);
    if (rc == TALLY_USAGE) error_where(error, "--group-by '" PIECE_FORMAT "'", PIECE_ARGS(item));
    if (rc) return rc;
  }
  return 0;
}
