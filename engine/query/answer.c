/* answer.c - see answer.h. */
#include "query/answer.h"

#include "base/mem.h"
#include "base/status.h"
#include "query/fill.h"
#include "query/partial.h"

/* ------------------------------------------------------------------ columns */

int answer_columns(struct answer *answer, size_t columns, tally_error *error) {
  struct result *r = &answer->result;
  r->column = arena_alloc(&answer->request.arena, columns, sizeof *r->column, error);
  r->columns = columns;
  return r->column ? 0 : error->code;
}

int answer_cells(struct answer *answer, size_t rows, tally_error *error) {
  struct result *r = &answer->result;
  r->cells = arena_alloc(&answer->request.arena, rows * r->columns, sizeof *r->cells, error);
  answer->room = rows;
  return r->cells ? 0 : error->code;
}

static int set_column(struct answer *answer, size_t index, struct piece name, tally_type type,
                      tally_error *error) {
  char *copy = arena_copy(&answer->request.arena, name.at, piece_size(name), error);
  answer->result.column[index] = (tally_result_column){copy, type};
  return copy ? 0 : error->code;
}

bool answer_has_bound(const struct request *r, const struct output *o) {
  return (r->flags & TALLY_APPROXIMATE) && o->aggregate.function == AGGREGATE_PERCENTILE && !o->ref.key &&
         o->ref.column == TALLY_COL_DURATION_MS;
}

static int bound_column(struct answer *answer, size_t index, struct piece name, tally_error *error) {
  struct buffer text = {0};
  buffer_printf(&text, PIECE_FORMAT ".error", PIECE_ARGS(name));
  const char *data = (const char *)text.data;
  int rc = text.failed
               ? fail_memory(error, "a query")
               : set_column(answer, index, (struct piece){data, data + text.size}, TALLY_TYPE_REAL, error);
  buffer_free(&text);
  return rc;
}

static int group_columns(struct answer *answer, tally_error *error) {
  const struct request *r = &answer->request;
  size_t at = 0, columns = r->has_bucket + r->group_count + r->output_count;
  for (size_t i = 0; i < r->output_count; i++) columns += answer_has_bound(r, &r->output[i]);
  int rc = answer_columns(answer, columns, error);
  if (!rc && r->has_bucket) rc = set_column(answer, at++, piece_of("bucket"), TALLY_TYPE_TIME, error);
  for (size_t i = 0; i < r->group_count && !rc; i++) {
    const struct column_ref *ref = &r->group[i].ref;
    bool integer = !ref->key && column_kind(ref->column) == KIND_INT;
    rc = set_column(answer, at++, r->group[i].name, integer ? TALLY_TYPE_INT : TALLY_TYPE_TEXT, error);
  }
  for (size_t i = 0; i < r->output_count && !rc; i++) {
    rc = set_column(answer, at++, r->output[i].name, aggregate_type(&r->output[i].aggregate), error);
    if (!rc && answer_has_bound(r, &r->output[i])) rc = bound_column(answer, at++, r->output[i].name, error);
  }
  return rc;
}

/* ------------------------------------------------------------------ rows */

static void free_execution(struct answer *answer) {
  if (answer->executed) {
    ordering_free(&answer->ordering, &answer->plan);
    execute_free(&answer->plan, &answer->total);
  }
  if (answer->planned) plan_free(&answer->plan);
  answer->planned = answer->executed = false;
}

static int execute_once(struct answer *answer, tally_error *error) {
  const struct query_environment *environment = &answer->environment;
  int rc = plan_alive(environment, error);
  answer->planned = true;
  if (!rc) rc = plan_make(&answer->plan, &answer->request, environment, error);
  if (rc) return rc;
  answer->executed = true;
  rc = execute(&answer->plan, &answer->total, error);
  if (!rc && plan_filling(&answer->request)) rc = fill_groups(&answer->plan, &answer->total, error);
  if (!rc) rc = execute_seal(&answer->plan, &answer->total, error);
  return rc ? rc : ordering_make(&answer->ordering, &answer->plan, &answer->total, error);
}

int answer_execute(struct answer *answer, tally_error *error) {
  const struct query_environment *environment = &answer->environment;
  answer->started = environment->os->monotonic(environment->os);
  for (;;) {
    uint64_t quarantined = partial_quarantined(environment);
    int rc = execute_once(answer, error);
    if (!partial_again(environment, answer->request.flags, quarantined, rc)) return rc;
    free_execution(answer);
  }
}

static int keep_on(struct answer *answer, tally_error *error) {
  if (answer->at - answer->looked < ANSWER_ROWS_MOST) return 0;
  answer->looked = answer->at;
  return plan_alive(&answer->environment, error);
}

#define CELLS_MOST 1024u /* of a pull of more than one row */

/* How many rows a pull may have: few where there are many columns. */
static size_t rows_at_a_time(const struct answer *answer) {
  size_t most = CELLS_MOST / answer->result.columns, left = answer->ordering.count - answer->at;
  if (most > ANSWER_ROWS_MOST) most = ANSWER_ROWS_MOST;
  return most == 0 ? 1 : most < left ? most : left;
}

static int answer_next(struct result *result, tally_error *error) {
  struct answer *answer = (struct answer *)result;
  int rc = answer->planned ? keep_on(answer, error) : answer_execute(answer, error);
  const size_t left = rc ? 0 : answer->ordering.count - answer->at;
  if (left == 0) return rc;
  if (!answer->room) rc = answer_cells(answer, rows_at_a_time(answer), error);
  if (!rc) rc = answer_rows(answer, answer->room < left ? answer->room : left, error);
  return rc ? rc : TALLY_ROW;
}

static void answer_free(struct result *result) {
  struct answer *answer = (struct answer *)result;
  free_execution(answer);
  buffer_free(&answer->text);
  request_free(&answer->request);
  mem_free(answer);
}

int query_open(const tally_query *query, const struct query_environment *environment, struct result **result,
               tally_error *error) {
  struct answer *answer = mem_zalloc(1, sizeof *answer);
  if (!answer) return fail_memory(error, "a query");
  bool explain = (query->flags & TALLY_EXPLAIN) != 0;
  answer->environment = *environment;
  answer->result.state = TALLY_ROW;
  answer->result.next = explain ? explain_next : answer_next;
  answer->result.free = answer_free;
  int rc = request_query(query, &answer->environment, &answer->request, error);
  if (!rc) rc = explain ? explain_columns(answer, error) : group_columns(answer, error);
  if (rc)
    answer_free(&answer->result);
  else
    *result = &answer->result;
  return rc;
}
