/* answer_rows.c - the rows of an answer, some at a time, and of these a column after the other: what a
 * column's cells need is found once, and what they read, groups that lie in memory in another order than the
 * answer's, the processor fetches for many rows at a time. */
#include "base/status.h"
#include "model/civil.h"
#include "model/decimal.h"
#include "query/answer.h"
#include "query/text_space.h"
#include "segment/histogram.h"

#define SCATTERED 4096u  /* groups, or texts; fewer are in the cache */
#define PRINTED_MOST 48u /* bytes of a printed cell */
/* Bytes of texts, and of a length for each: no row follows those that have them. */
#define BYTES_ENOUGH (16u << 10)
_Static_assert(PRINTED_MOST >= AGGREGATE_PUT_MOST && PRINTED_MOST >= TIMESTAMP_PUT_MOST &&
                   PRINTED_MOST >= INT128_PUT_MOST && PRINTED_MOST >= sizeof HISTOGRAM_BOUND,
               "a printed cell has room");

/* Rows in the making. */
struct making {
  struct answer *answer;
  const uint32_t *group; /* of each row */
  size_t count;
  tally_text *cell;               /* of the first row, in the column at work */
  char *text;                     /* where the next cell is printed */
  size_t bytes[ANSWER_ROWS_MOST]; /* of each row's texts */
};

static tally_text *cell_of(const struct making *r, size_t row) {
  return r->cell + row * r->answer->result.columns;
}

static const uint64_t *key_of(const struct making *r, size_t row) {
  return groups_key(&r->answer->total.groups, r->group[row]);
}

/* A cell that was printed from r->text to `end`. */
static void printed(struct making *r, size_t row, char *end) {
  const size_t size = (size_t)(end - r->text);
  *cell_of(r, row) = (tally_text){r->text, size};
  r->bytes[row] += size;
  r->text = end;
}

static void expect_groups(const struct making *r) {
  const struct answer *answer = r->answer;
  if (answer->ordering.count < SCATTERED) return;
  for (size_t i = 0; i < r->count; i++) __builtin_prefetch(key_of(r, i));
  for (size_t s = 0; s < answer->plan.state_count; s++)
    for (size_t i = 0; i < r->count; i++) accumulator_expect(&answer->total.state[s], r->group[i]);
}

/* ------------------------------------------------------------------ groups */

static int put_buckets(struct making *r, struct key_part part, tally_error *error) {
  struct answer *answer = r->answer;
  for (size_t i = 0; i < r->count; i++) {
    char *end = r->text;
    int rc = bucket_map_label(&answer->plan.buckets, key_code(key_of(r, i), part), &answer->request.zone,
                              &end, error);
    if (rc) {
      r->count = i;
      return rc;
    }
    printed(r, i, end);
  }
  return 0;
}

static void put_texts(struct making *r, const struct text_space *space, struct key_part part) {
  uint32_t id[ANSWER_ROWS_MOST];
  for (size_t i = 0; i < r->count; i++) id[i] = (uint32_t)key_code(key_of(r, i), part);
  if (!space->intern && space->count >= SCATTERED) {
    for (size_t i = 0; i < r->count; i++)
      if (id[i]) catalog_expect_place(space->catalog, space->domain, id[i]);
    for (size_t i = 0; i < r->count; i++)
      if (id[i]) catalog_expect_text(space->catalog, space->domain, id[i]);
  }
  for (size_t i = 0; i < r->count; i++) {
    tally_text text = id[i] ? text_space_text(space, id[i]) : (tally_text){NULL, 0};
    *cell_of(r, i) = text;
    r->bytes[i] += text.size;
  }
}

static void put_integers(struct making *r, size_t group, struct key_part part) {
  for (size_t i = 0; i < r->count; i++) {
    uint64_t code = key_code(key_of(r, i), part);
    if (code)
      printed(r, i, int128_put(r->text, plan_integer_value(&r->answer->plan, group, code)));
    else
      *cell_of(r, i) = (tally_text){NULL, 0};
  }
}

static void put_group(struct making *r, size_t group) {
  const struct plan *plan = &r->answer->plan;
  const struct column_ref *ref = &plan->request->group[group].ref;
  struct key_part part = plan->layout.part[plan_group_part(plan, group)];
  if (ref->key || column_kind(ref->column) == KIND_TEXT) {
    struct text_space space = text_space_of(plan, &r->answer->total, group);
    put_texts(r, &space, part);
  } else {
    put_integers(r, group, part);
  }
}

/* Rows may be long: those behind enough of them wait. */
static void limit_bytes(struct making *r) {
  const size_t lengths = r->answer->result.columns * sizeof(uint32_t);
  size_t bytes = 0, rows = 0;
  while (rows < r->count && bytes < BYTES_ENOUGH) bytes += r->bytes[rows++] + lengths;
  r->count = rows;
}

/* ------------------------------------------------------------------ outputs */

static int put_output(struct making *r, size_t output, tally_error *error) {
  const struct aggregate *aggregate = &r->answer->request.output[output].aggregate;
  struct number number[ANSWER_ROWS_MOST];
  int rc = execute_results(&r->answer->plan, &r->answer->total, output, r->group, r->count, number, &r->count,
                           error);
  for (size_t i = 0; i < r->count; i++) {
    if (number[i].null)
      *cell_of(r, i) = (tally_text){NULL, 0};
    else
      printed(r, i, aggregate_put(aggregate, number[i].value, r->text));
  }
  return rc;
}

/* The bound is 0 where no histogram was used, and NULL where there is no value in the column before. */
static void put_bounds(struct making *r) {
  const char *bound = r->answer->plan.approximate ? HISTOGRAM_BOUND : "0";
  for (size_t i = 0; i < r->count; i++) {
    tally_text *cell = cell_of(r, i);
    *cell = cell[-1].data ? (tally_text){bound, strlen(bound)} : (tally_text){NULL, 0};
    r->bytes[i] += cell->size;
  }
}

/* What fails in a row leaves those before it, so the last failure is that of the first row that has one. */
int answer_rows(struct answer *answer, size_t most, tally_error *error) {
  const struct request *request = &answer->request;
  struct result *result = &answer->result;
  struct making r = {
      .answer = answer, .group = answer->ordering.rows + answer->at, .count = most, .cell = result->cells};
  result->rows = 0;
  buffer_clear(&answer->text);
  if (!buffer_reserve(&answer->text, most * result->columns * PRINTED_MOST))
    return fail_memory(error, "rows of the answer");
  r.text = (char *)answer->text.data;
  expect_groups(&r);
  int failed = 0, rc;
  if (request->has_bucket) {
    if ((rc = put_buckets(&r, answer->plan.layout.part[0], error))) failed = rc;
    r.cell++;
  }
  for (size_t i = 0; i < request->group_count; i++, r.cell++) put_group(&r, i);
  limit_bytes(&r);
  for (size_t i = 0; i < request->output_count; i++, r.cell++) {
    if ((rc = put_output(&r, i, error))) failed = rc;
    if (!answer_has_bound(request, &request->output[i])) continue;
    r.cell++;
    put_bounds(&r);
  }
  limit_bytes(&r);
  result->rows = r.count;
  answer->at += r.count;
  return r.count ? 0 : failed;
}
