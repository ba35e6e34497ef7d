/* worker.c - see worker.h. Hot path: worker_rows. */
#include "query/worker.h"

#include "aggregate/grow.h"
#include "segment/histogram.h"

/* Can what a state needs be added up of chunks, whose bounds and sums are known? */
static bool state_adds_up(const struct plan *plan, const struct plan_state *state) {
  const struct source *s = &plan->source[state->source];
  if (s->kind == SOURCE_ROWS) return true;
  if (s->kind != SOURCE_COLUMN || (state->needs & (NEED_VALUES | NEED_DISTINCT))) return false;
  return column_kind(s->ref.column) == KIND_TIME || column_kind(s->ref.column) == KIND_INT ||
         column_kind(s->ref.column) == KIND_COST;
}

static bool plan_adds_up(const struct plan *plan) {
  bool up = plan_by_columns(plan);
  for (size_t i = 0; i < plan->state_count; i++) up = up && state_adds_up(plan, &plan->state[i]);
  return up;
}

static int measure_of(const struct plan *plan, const struct plan_state *state) {
  return plan->source[state->source].ref.column - TALLY_COL_REQUEST_SIZE;
}

/* The measures whose sums are needed. */
static uint32_t summed(const struct plan *plan) {
  uint32_t measures = 0;
  for (size_t i = 0; i < plan->state_count; i++)
    if (plan->state[i].needs & NEED_SUM) measures |= 1u << measure_of(plan, &plan->state[i]);
  return measures;
}

int worker_init(struct worker *worker, const struct plan *plan, tally_error *error) {
  struct budget *budget = plan->environment->budget;
  *worker = (struct worker){.plan = plan};
  worker->up.state =
      grow_zeroed(budget, plan->state_count * sizeof *worker->up.state, "table of groups", error);
  if (!worker->up.state) return error->code;
  for (size_t i = 0; i < plan->state_count; i++)
    accumulator_init(&worker->up.state[i], plan->state[i].needs, plan->state[i].ids, budget);
  int rc = groups_init(&worker->up.groups, plan->layout.words, plan->dense_bits, budget, error);
  if (!rc) rc = source_set_init(&worker->up.sources, plan->source, plan->source_count, budget, error);
  if (!rc) rc = keys_init(&worker->keys, plan, error);
  if (rc) return rc;
  worker->adds_up = plan_adds_up(plan);
  worker->summed = worker->adds_up ? summed(plan) : 0;
  return plan->scan ? scanner_new(plan->scan, &worker->scanner, error) : 0;
}

void worker_free(struct worker *worker) {
  if (!worker->plan) return;
  if (worker->scanner) scanner_free(worker->scanner);
  keys_free(&worker->keys);
  execute_free(worker->plan, &worker->up);
  *worker = (struct worker){0};
}

/* ------------------------------------------------------------------ rows */

/* Values as a histogram would give them, where others come from one. */
static void take_middles(struct worker *worker, struct input *input) {
  int64_t *to = (int64_t *)worker->keys.codes;
  for (uint32_t i = 0; i < input->rows; i++) to[i] = histogram_value(input->values[i]);
  input->values = to;
  input->least = INT64_MIN;
  input->greatest = INT64_MAX;
}

/* How the states need, or do best with, the groups of rows. */
static unsigned ways_of(const struct worker *worker) {
  unsigned ways = KEYS_STRETCHES;
  for (size_t i = 0; i < worker->plan->state_count; i++) {
    const struct accumulator *a = &worker->up.state[i];
    if (a->needs & (NEED_VALUES | NEED_DISTINCT)) ways &= ~(unsigned)KEYS_STRETCHES;
    if ((a->needs & NEED_VALUES) || ((a->needs & NEED_DISTINCT) && !a->distinct.dense)) ways |= KEYS_EACH;
  }
  return ways;
}

static int add_vector(struct worker *worker, const struct plan_part *p, const struct vector *vector,
                      tally_error *error) {
  const struct plan *plan = worker->plan;
  struct input input;
  int rc = source_set_load(&worker->up.sources, vector, error);
  if (rc) return rc;
  rc = keys_of_rows(&worker->keys, &worker->up.groups, p, vector, &worker->up.sources, ways_of(worker),
                    &input, error);
  if (!rc) rc = execute_grow(plan, &worker->up, error);
  for (size_t i = 0; i < plan->state_count && !rc; i++) {
    const struct source_vector *source = &worker->up.sources.vector[plan->state[i].source];
    input.values = source->values;
    input.valid = source->valid;
    input.least = source->bound.min;
    input.greatest = source->bound.max;
    if (plan->approximate && (plan->state[i].needs & NEED_VALUES)) take_middles(worker, &input);
    rc = accumulator_add(&worker->up.state[i], &input, error);
  }
  return rc;
}

/* Do a chunk's sums surely fit? */
static bool sums_fit(uint32_t measures, const struct whole_chunk *whole) {
  bool fit = true;
  for (int m = 0; m < MEASURES; m++) {
    const struct bounds *b = &whole->bound[TALLY_COL_REQUEST_SIZE + m];
    if (measures >> m & 1) fit = fit && b->min > INT64_MIN / CHUNK_ROWS && b->max < INT64_MAX / CHUNK_ROWS;
  }
  return fit;
}

/* What a state needs of a whole chunk, whose sums are there. */
static int add_up(struct worker *worker, const struct whole_chunk *whole, const struct plan_state *state,
                  const int64_t sum[MEASURES], struct added_up *up, tally_error *error) {
  const struct source *s = &worker->plan->source[state->source];
  const int column = s->ref.column;
  *up = (struct added_up){.rows = whole->rows};
  if (s->kind == SOURCE_ROWS) return 0;
  up->nulls = whole->nulls[column];
  up->least = whole->bound[column].min;
  up->greatest = whole->bound[column].max;
  if (state->needs & NEED_SUM) up->sum = sum[measure_of(worker->plan, state)];
  if (!(state->needs & NEED_ERRORS) || up->greatest < ERROR_STATUS) return 0;
  return scanner_whole_count(worker->scanner, whole, column, ERROR_STATUS, &up->errors, error);
}

/* Adds up the chunks that come next as long as their rows need not be looked at. */
static int add_whole_chunks(struct worker *worker, const struct plan_part *p, tally_error *error) {
  const struct plan *plan = worker->plan;
  const uint32_t measures = worker->summed;
  struct whole_chunk whole;
  struct added_up up;
  int64_t sum[MEASURES];
  bool one = true;
  int rc = 0;
  while (!rc && scanner_whole(worker->scanner, &whole) && sums_fit(measures, &whole)) {
    uint32_t group;
    rc = plan_alive(plan->environment, error);
    if (!rc) rc = keys_of_whole(plan, &worker->up.groups, p, &whole, &one, &group, error);
    if (rc || !one) return rc;
    rc = execute_grow(plan, &worker->up, error);
    if (!rc && measures) rc = scanner_whole_sums(worker->scanner, &whole, measures, sum, error);
    for (size_t i = 0; i < plan->state_count && !rc; i++) {
      rc = add_up(worker, &whole, &plan->state[i], sum, &up, error);
      if (!rc) rc = accumulator_add_up(&worker->up.state[i], group, &up, error);
    }
    scanner_leave_whole(worker->scanner, &whole);
  }
  return rc;
}

/* The rows of a part; of one that rollups answer, those around the stretches. */
static int worker_rows(struct worker *worker, const struct task *task, tally_error *error) {
  const struct plan_part *p = &worker->plan->part[task->part];
  const struct vector *vector;
  scanner_services(worker->scanner, task->of_services ? task->piece : 0,
                   task->of_services ? task->pieces : 1);
  int rc = scanner_part(worker->scanner, task->part, p->from, p->to, error);
  if (!rc && task->pieces > 1 && !task->of_services)
    scanner_piece(worker->scanner, task->piece, task->pieces);
  if (!rc && p->way == PART_ROLLUP) scanner_skip(worker->scanner, p->hours.from, p->hours.to);
  while (!rc) {
    rc = plan_alive(worker->plan->environment, error);
    if (!rc && worker->adds_up) rc = add_whole_chunks(worker, p, error);
    if (rc) return rc;
    rc = scanner_next(worker->scanner, &vector, error);
    if (rc != TALLY_ROW) return rc;
    rc = add_vector(worker, p, vector, error);
  }
  return rc;
}

/* ------------------------------------------------------------------ entries of index and rollups */

/* A state over a text column: the entry's id stands for all of its rows. */
static int add_entry_ids(struct worker *worker, struct accumulator *a, const struct entries *rows,
                         const uint32_t *id, const uint32_t *groups, tally_error *error) {
  uint64_t valid[VECTOR_ROWS / 64] = {0};
  bool some_null = false;
  for (uint32_t i = 0; i < rows->rows; i++) {
    worker->keys.codes[i] = id[i];
    valid[i / 64] |= (uint64_t)(id[i] != 0) << (i % 64);
    some_null |= id[i] == 0;
  }
  int rc = some_null ? accumulator_need_nulls(a, error) : 0;
  for (uint32_t i = 0; some_null && a->nulls && i < rows->rows; i++)
    if (id[i] == 0) a->nulls[worker->keys.numbers[i]] += rows->count[i];
  if (rc || !(a->needs & NEED_DISTINCT)) return rc;
  return distinct_add(&a->distinct, groups, worker->keys.numbers[0], (const int64_t *)worker->keys.codes,
                      valid, rows->rows, error);
}

/* One array of the groups after the other: the groups of many entries lie far from each other, and so the
 * processor can fetch several of them at a time. */
static void add_entry_counts(struct accumulator *a, const struct entries *rows, const uint32_t *groups) {
  if (a->rows)
    for (uint32_t i = 0; i < rows->rows; i++) a->rows[groups[i]] += rows->count[i];
  if (a->errors)
    for (uint32_t i = 0; i < rows->rows; i++)
      if (rows->errors[i]) a->errors[groups[i]] += rows->errors[i];
}

static int add_entry_measure(struct accumulator *a, const struct entries *rows, const struct measure *m,
                             const uint32_t *groups, tally_error *error) {
  int rc = 0;
  for (uint32_t i = 0; (a->needs & NEED_NULLS) && i < rows->rows; i++) {
    if (rows->count[i] == m[i].nonnull) continue;
    if (!a->nulls && (rc = accumulator_need_nulls(a, error))) return rc;
    a->nulls[groups[i]] += rows->count[i] - m[i].nonnull;
  }
  if (a->sum)
    for (uint32_t i = 0; i < rows->rows; i++) a->sum[groups[i]] += m[i].sum;
  for (uint32_t i = 0; a->least && i < rows->rows; i++) {
    uint32_t g = groups[i];
    if (m[i].nonnull && m[i].min < a->least[g]) a->least[g] = m[i].min;
    if (m[i].nonnull && m[i].max > a->greatest[g]) a->greatest[g] = m[i].max;
  }
  return rc;
}

static int add_run_measure(struct accumulator *a, const struct entries *rows, int c, const uint32_t *groups,
                           tally_error *error) {
  int rc = 0;
  const uint32_t *nonnull = rows->run_nonnull[c];
  for (uint32_t i = 0; nonnull && (a->needs & NEED_NULLS) && i < rows->rows; i++) {
    if (rows->count[i] == nonnull[i]) continue;
    if (!a->nulls && (rc = accumulator_need_nulls(a, error))) return rc;
    a->nulls[groups[i]] += rows->count[i] - nonnull[i];
  }
  const int64_t *sum = rows->run_sum[c];
  if (a->sum)
    for (uint32_t i = 0; i < rows->rows; i++) a->sum[groups[i]] += sum[i];
  return rc;
}

/* The values of the entries' histograms. */
static int add_histograms(struct accumulator *a, const struct entries *rows, const uint32_t *groups,
                          tally_error *error) {
  int rc = 0;
  for (uint32_t i = 0; i < rows->rows; i++)
    for (uint64_t b = rows->bin_at[i]; b < rows->bin_at[i + 1] && !rc; b++)
      rc = bag_add_times(&a->values, groups[i], rows->bin_value[b], (uint32_t)rows->bin_count[b], error);
  return rc;
}

static int add_entry_state(struct worker *worker, size_t state, const struct entries *rows, bool same,
                           tally_error *error) {
  const struct source *s = &worker->plan->source[worker->plan->state[state].source];
  struct accumulator *a = &worker->up.state[state];
  const uint32_t *groups = worker->keys.numbers;
  add_entry_counts(a, rows, groups);
  if (s->kind == SOURCE_ROWS) return 0;
  if (column_kind(s->ref.column) == KIND_TEXT) {
    const uint32_t *id = keys_entry_ids(rows, s->ref.column);
    return id ? add_entry_ids(worker, a, rows, id, same ? NULL : groups, error) : 0;
  }
  const int c = s->ref.column - TALLY_COL_REQUEST_SIZE;
  int rc = rows->measure[c] ? add_entry_measure(a, rows, rows->measure[c], groups, error)
                            : add_run_measure(a, rows, c, groups, error);
  return !rc && (a->needs & NEED_VALUES) ? add_histograms(a, rows, groups, error) : rc;
}

static int add_entries(struct worker *worker, const struct plan_part *p, const struct entries *rows,
                       tally_error *error) {
  const struct plan *plan = worker->plan;
  bool same = true;
  int rc = keys_of_entries(&worker->keys, &worker->up.groups, p, rows, &same, error);
  if (!rc) rc = execute_grow(plan, &worker->up, error);
  for (size_t i = 0; i < plan->state_count && !rc; i++) rc = add_entry_state(worker, i, rows, same, error);
  return rc;
}

static int worker_index(struct worker *worker, const struct task *task, tally_error *error) {
  const struct plan_part *p = &worker->plan->part[task->part];
  const struct entries *rows;
  int rc = scanner_index(worker->scanner, task->part, p->level, error);
  if (!rc && task->pieces > 1) scanner_index_piece(worker->scanner, task->piece, task->pieces);
  while (!rc) {
    rc = plan_alive(worker->plan->environment, error);
    if (rc) return rc;
    rc = scanner_index_next(worker->scanner, &rows, error);
    if (rc != TALLY_ROW) return rc;
    rc = add_entries(worker, p, rows, error);
  }
  return rc;
}

static int worker_entries(struct worker *worker, size_t index, enum rollup_level level, int64_t from,
                          int64_t to, tally_error *error) {
  const struct entries *rows;
  if (from >= to) return 0;
  const struct plan *plan = worker->plan;
  const struct rollup_wanted wanted = {plan->measures, plan->bounds,
                                       plan->histograms && level == ROLLUP_HOUR};
  int rc = scanner_rollup(worker->scanner, index, level, from, to, wanted, error);
  while (!rc) {
    rc = plan_alive(worker->plan->environment, error);
    if (rc) return rc;
    rc = scanner_rollup_next(worker->scanner, &rows, error);
    if (rc != TALLY_ROW) return rc;
    rc = add_entries(worker, &worker->plan->part[index], rows, error);
  }
  return rc;
}

static int add_users(struct worker *worker, const struct user_rows *rows, tally_error *error) {
  const struct plan *plan = worker->plan;
  uint64_t key[GROUP_COLUMNS + 1] = {0};
  uint32_t group;
  if (plan->request->has_bucket)
    key_put(key, plan->layout.part[0], bucket_map_number(&plan->buckets, rows->time));
  int rc = groups_add(&worker->up.groups, key, &group, error);
  if (!rc) rc = execute_grow(plan, &worker->up, error);
  for (size_t i = 0; i < plan->state_count && !rc; i++) {
    const struct source *s = &plan->source[plan->state[i].source];
    if (s->kind != SOURCE_COLUMN || s->ref.column != TALLY_COL_USER_ID) continue;
    rc = distinct_add(&worker->up.state[i].distinct, NULL, group, rows->user, NULL, rows->rows, error);
  }
  return rc;
}

static int worker_users(struct worker *worker, size_t index, tally_error *error) {
  const struct plan_part *p = &worker->plan->part[index];
  const struct user_rows *rows;
  int rc = scanner_users(worker->scanner, index, p->days.from, p->days.to, error);
  while (!rc) {
    rc = plan_alive(worker->plan->environment, error);
    if (rc) return rc;
    rc = scanner_users_next(worker->scanner, &rows, error);
    if (rc != TALLY_ROW) return rc;
    rc = add_users(worker, rows, error);
  }
  return rc;
}

/* Rows around the stretches, hours around the days, days, and their users. */
static int worker_rollup(struct worker *worker, const struct task *task, tally_error *error) {
  const struct plan *plan = worker->plan;
  const size_t index = task->part;
  const struct plan_part *p = &plan->part[index];
  const bool thinned = scan_thinned(plan->scan, index);
  const enum rollup_level hours = p->users ? ROLLUP_USER_HOUR : ROLLUP_HOUR,
                          days = p->users ? ROLLUP_USER_DAY : ROLLUP_DAY;
  int rc = plan_ragged(p) ? worker_rows(worker, task, error) : 0;
  if (thinned || plan->by_entries) {
    if (!rc) rc = worker_entries(worker, index, hours, p->hours.from, p->days.from, error);
    if (!rc) rc = worker_entries(worker, index, days, p->days.from, p->days.to, error);
    if (!rc) rc = worker_entries(worker, index, hours, p->days.to, p->hours.to, error);
  }
  return !rc && plan->by_users && !thinned ? worker_users(worker, index, error) : rc;
}

int worker_task(struct worker *worker, const struct task *task, tally_error *error) {
  switch (worker->plan->part[task->part].way) {
  case PART_PRUNED:
    break;
  case PART_ROWS:
    return worker_rows(worker, task, error);
  case PART_INDEX:
    return worker_index(worker, task, error);
  case PART_ROLLUP:
    return worker_rollup(worker, task, error);
  }
  return 0;
}
