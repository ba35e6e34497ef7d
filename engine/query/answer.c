/* answer.c - see answer.h. */
#include "query/answer.h"

#include "base/mem.h"
#include "base/status.h"
#include "model/decimal.h"
#include "query/fill.h"
#include "query/partial.h"
#include "segment/histogram.h"

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

/* With --approximate a percentile of duration_ms is followed by the bound of its relative error. */
static bool has_bound(const struct request *r, const struct output *o) {
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
  for (size_t i = 0; i < r->output_count; i++) columns += has_bound(r, &r->output[i]);
  int rc = answer_columns(answer, columns, error);
  if (!rc && r->has_bucket) rc = set_column(answer, at++, piece_of("bucket"), TALLY_TYPE_TIME, error);
  for (size_t i = 0; i < r->group_count && !rc; i++) {
    const struct column_ref *ref = &r->group[i].ref;
    bool integer = !ref->key && column_kind(ref->column) == KIND_INT;
    rc = set_column(answer, at++, r->group[i].name, integer ? TALLY_TYPE_INT : TALLY_TYPE_TEXT, error);
  }
  for (size_t i = 0; i < r->output_count && !rc; i++) {
    rc = set_column(answer, at++, r->output[i].name, aggregate_type(&r->output[i].aggregate), error);
    if (!rc && has_bound(r, &r->output[i])) rc = bound_column(answer, at++, r->output[i].name, error);
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

static int put_bucket(struct answer *answer, uint64_t number, tally_text *cell, tally_error *error) {
  size_t from = answer->text.size;
  int rc = bucket_map_label(&answer->plan.buckets, number, &answer->request.zone, &answer->text, error);
  *cell = result_printed(answer->text.size - from);
  return rc;
}

static void put_group(struct answer *answer, size_t group, uint64_t code, tally_text *cell) {
  const struct column_ref *ref = &answer->request.group[group].ref;
  if (code == 0) {
    *cell = (tally_text){NULL, 0};
  } else if (ref->key || column_kind(ref->column) == KIND_TEXT) {
    *cell = ordering_text(&answer->plan, &answer->total, group, (uint32_t)code);
    answer->borrowed += cell->size;
  } else {
    size_t from = answer->text.size;
    int128_print(&answer->text, plan_integer_value(&answer->plan, group, code));
    *cell = result_printed(answer->text.size - from);
  }
}

static int put_output(struct answer *answer, size_t output, uint32_t row, tally_text *cell,
                      tally_error *error) {
  const struct output *o = &answer->request.output[output];
  struct number number;
  int rc = execute_result(&answer->plan, &answer->total, output, row, &number, error);
  if (rc) return rc;
  size_t from = answer->text.size;
  if (!number.null) aggregate_print(&o->aggregate, number.value, &answer->text);
  *cell = result_printed(answer->text.size - from);
  return 0;
}

/* The bound is 0 where no histogram was used, and NULL where there is no value. */
static void put_bound(struct answer *answer, tally_text *cell) {
  size_t from = answer->text.size;
  if (cell[-1].data || cell[-1].size)
    buffer_text(&answer->text, answer->plan.approximate ? HISTOGRAM_BOUND : "0");
  *cell = result_printed(answer->text.size - from);
}

static int put_row(struct answer *answer, uint32_t row, tally_text *cell, tally_error *error) {
  const struct request *r = &answer->request;
  const struct key_layout *layout = &answer->plan.layout;
  const uint64_t *key = groups_key(&answer->total.groups, row);
  int rc = 0;
  if (r->has_bucket) rc = put_bucket(answer, key_code(key, layout->part[0]), cell++, error);
  for (size_t i = 0; i < r->group_count; i++)
    put_group(answer, i, key_code(key, layout->part[plan_group_part(&answer->plan, i)]), cell++);
  for (size_t i = 0; i < r->output_count && !rc; i++) {
    rc = put_output(answer, i, row, cell++, error);
    if (!rc && has_bound(r, &r->output[i])) put_bound(answer, cell++);
  }
  return rc;
}

/* ------------------------------------------------------------------ looking ahead
 *
 * Many groups lie in memory in an order that is not the answer's. What a row needs is asked for in three
 * steps, some rows before it is given: each step reads what the one before asked for. */

#define AHEAD 12u
#define SCATTERED 4096u /* groups, or texts; fewer are in the cache */

static void expect_states(const struct answer *answer, uint32_t row) {
  __builtin_prefetch(groups_key(&answer->total.groups, row));
  for (size_t i = 0; i < answer->plan.state_count; i++) accumulator_expect(&answer->total.state[i], row);
}

static void expect_texts(const struct answer *answer, uint32_t row,
                         void (*expect)(const struct catalog *, int, uint32_t)) {
  const struct plan *plan = &answer->plan;
  const uint64_t *key = groups_key(&answer->total.groups, row);
  for (size_t g = 0; g < plan->request->group_count; g++) {
    int column = plan->request->group[g].ref.column;
    if (plan->group_source[g] != NO_SOURCE || column_kind(column) != KIND_TEXT) continue;
    if (answer->environment.snapshot->ids[column_domain(column)] < SCATTERED) continue;
    uint32_t id = (uint32_t)key_code(key, plan->layout.part[plan_group_part(plan, g)]);
    if (id) expect(answer->environment.snapshot->catalog, column_domain(column), id);
  }
}

static void look_ahead(const struct answer *answer) {
  const struct ordering *o = &answer->ordering;
  if (o->count < SCATTERED) return;
  size_t left = o->count - answer->at;
  const uint32_t *row = o->rows + answer->at;
  if (left > 3 * AHEAD) expect_states(answer, row[3 * AHEAD]);
  if (left > 2 * AHEAD) expect_texts(answer, row[2 * AHEAD], catalog_expect_place);
  if (left > AHEAD) expect_texts(answer, row[AHEAD], catalog_expect_text);
}

#define ROWS_MOST 64u            /* of a pull; and before which the clock is not looked at again */
#define CELLS_MOST 4096u         /* of a pull of more than one row */
#define BYTES_ENOUGH (16u << 10) /* of their texts, and of a length for each: no more rows are added then */

static int keep_on(struct answer *answer, tally_error *error) {
  if (answer->at - answer->looked < ROWS_MOST) return 0;
  answer->looked = answer->at;
  return plan_alive(&answer->environment, error);
}

/* How many rows a pull may have: few where they are wide. */
static size_t rows_at_a_time(const struct answer *answer) {
  size_t most = CELLS_MOST / answer->result.columns, left = answer->ordering.count - answer->at;
  if (most > ROWS_MOST) most = ROWS_MOST;
  return most == 0 ? 1 : most < left ? most : left;
}

static bool enough(const struct answer *answer) {
  const struct result *r = &answer->result;
  return answer->text.size + answer->borrowed + r->rows * r->columns * sizeof(uint32_t) >= BYTES_ENOUGH;
}

/* Makes at most `most` rows; one that fails is the next pull's, if there are others before it. */
static int put_rows(struct answer *answer, size_t most, tally_error *error) {
  struct result *r = &answer->result;
  int rc = 0;
  buffer_clear(&answer->text);
  r->rows = answer->borrowed = 0;
  while (r->rows < most && !enough(answer)) {
    look_ahead(answer);
    rc = put_row(answer, answer->ordering.rows[answer->at], r->cells + r->rows * r->columns, error);
    if (rc) break;
    r->rows++;
    answer->at++;
  }
  return r->rows ? result_place(r, &answer->text, error) : rc;
}

static int answer_next(struct result *result, size_t most, tally_error *error) {
  struct answer *answer = (struct answer *)result;
  int rc = answer->planned ? keep_on(answer, error) : answer_execute(answer, error);
  const size_t left = rc ? 0 : answer->ordering.count - answer->at;
  if (left == 0) return rc;
  if (!answer->room) rc = answer_cells(answer, rows_at_a_time(answer), error);
  if (most > answer->room) most = answer->room;
  if (!rc) rc = put_rows(answer, most < left ? most : left, error);
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
