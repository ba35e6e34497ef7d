/* summary.c - runs, their sums, and totals of sorted rows; see summary.h. */
#include "segment/summary.h"

#include <inttypes.h>

#include "base/array.h"
#include "base/bitmap.h"
#include "base/kernel.h"
#include "base/mem.h"
#include "base/status.h"
#include "segment/place.h"

#define ERROR_STATUS 400 /* from this status code on an event is an error */

int run_count_measure(enum run_count c) {
  static const int column[RUN_COUNTS] = {TALLY_COL_STATUS_CODE, TALLY_COL_TOKENS_USED, TALLY_COL_COST};
  return column[c] - TALLY_COL_REQUEST_SIZE;
}

static const uint32_t *services_of(const struct rows *rows) {
  return rows->text[column_domain(TALLY_COL_SERVICE_NAME)];
}
static const uint32_t *users_of(const struct rows *rows) {
  return rows->text[column_domain(TALLY_COL_USER_ID)];
}

/* Is row i, which is not the first, where it belongs? */
static bool in_order(const struct rows *rows, uint32_t i) {
  const uint32_t *service = services_of(rows), *user = users_of(rows);
  if (service[i] != service[i - 1]) return service[i] > service[i - 1];
  if (user[i] != user[i - 1]) return user[i] > user[i - 1];
  return rows->timestamp[i] >= rows->timestamp[i - 1];
}

/* What a look at neighbours of sorted keys counts: without branches, so that it is done by vectors. */
struct counted {
  uint32_t runs, services, unsorted;
};

KERNEL static struct counted count_neighbours(const uint32_t *service, const uint32_t *user,
                                              const int64_t *timestamp, uint32_t count) {
  uint32_t runs = 0, services = 0, unsorted = 0;
  for (uint32_t i = 1; i < count; i++) {
    uint32_t new_service = service[i] != service[i - 1], new_user = user[i] != user[i - 1];
    uint32_t before = timestamp[i] < timestamp[i - 1];
    services += new_service;
    runs += new_service | new_user;
    unsorted +=
        (service[i] < service[i - 1]) | (~new_service & ((user[i] < user[i - 1]) | (~new_user & before)) & 1);
  }
  return (struct counted){runs, services, unsorted};
}

/* Counts runs and services; false, with the row, where the order is broken. */
static bool count_runs(struct summary *s, const struct rows *rows, uint32_t *bad) {
  struct counted n = count_neighbours(services_of(rows), users_of(rows), rows->timestamp, rows->count);
  s->runs = 1 + n.runs;
  s->services = 1 + n.services;
  if (!n.unsorted) return true;
  *bad = 1;
  while (in_order(rows, *bad)) ++*bad;
  return false;
}

static int check_rows(struct summary *s, const struct rows *rows, int32_t month, tally_error *error) {
  int64_t first, last;
  uint32_t bad;
  if (rows->count < 1 || rows->count > SEGMENT_ROWS)
    return fail(error, TALLY_USAGE, "a segment holds 1 to %u rows, not %" PRIu32, SEGMENT_ROWS, rows->count);
  if (!place_month(month, &first, &last))
    return fail(error, TALLY_USAGE, "a segment of month %" PRId32 ": months count from 1970-01", month);
  if (!count_runs(s, rows, &bad))
    return fail(error, TALLY_USAGE,
                "the rows of a segment are not sorted at row %" PRIu32 ": this is a bug, please report it",
                bad);
  struct bounds times = array_bounds(rows->timestamp, rows->count);
  if (times.min < first || times.max > last)
    return fail(error, TALLY_USAGE,
                "rows of a segment are not of its month: this is a bug, please report it");
  return 0;
}

static uint64_t magnitude(int64_t v) { return v < 0 ? 0 - (uint64_t)v : (uint64_t)v; }

/* Sums fit if the sum of all magnitudes does: then every partial sum fits too. Integers always do:
 * 2^20 rows of 2^31. NULLs have the value 0. */
static bool costs_fit(const struct rows *rows) {
  struct bounds b = array_bounds(rows->cost, rows->count);
  const uint64_t each = INT64_MAX / rows->count;
  if (magnitude(b.min) <= each && magnitude(b.max) <= each) return true;
  uint64_t sum = 0;
  for (uint32_t i = 0; i < rows->count; i++) {
    sum += magnitude(rows->cost[i]); /* at most 2^63 + 2^63: cannot wrap before it is seen */
    if (sum > INT64_MAX) return false;
  }
  return true;
}

static int allocate(struct summary *s, struct budget *budget, tally_error *error) {
  size_t runs = s->runs, words = runs + (runs + 1) + (size_t)s->services + 1;
  s->size = words * sizeof(uint32_t) + 8;
  if (s->sums_fit) s->size += runs * ((1 + RUN_COUNTS) * sizeof(uint32_t) + 2 * sizeof(int64_t));
  if (!budget_take(budget, s->size))
    return fail(error, TALLY_MEMORY_LIMIT,
                "writing a segment needs %zu bytes that the memory budget does not have: raise the store's "
                "memory",
                s->size);
  s->memory = mem_alloc(s->size);
  if (!s->memory) {
    budget_give(budget, s->size);
    return fail_memory(error, "the runs of a segment");
  }
  int64_t *wide = s->memory;
  if (s->sums_fit) {
    s->tokens = wide;
    s->cost = wide + runs;
    wide += 2 * runs;
  }
  uint32_t *at = (uint32_t *)wide;
  s->user = at;
  s->row = s->user + runs;
  s->first_run = s->row + runs + 1;
  if (!s->sums_fit) return 0;
  s->errors = s->first_run + s->services + 1;
  for (int c = 0; c < RUN_COUNTS; c++) s->nonnull[c] = s->errors + (size_t)(c + 1) * runs;
  return 0;
}

/* Each row is written where the next run begins, and stays if it begins one: runs are as often short as long,
 * so a branch would be foreseen badly. Behind the last run lies its end. */
static void find_runs(struct summary *s, const struct rows *rows) {
  const uint32_t *restrict service = services_of(rows), *restrict user = users_of(rows);
  uint32_t *restrict row = s->row, runs = 1, services = 1;
  row[0] = s->first_run[0] = 0;
  for (uint32_t i = 1; i < rows->count; i++) {
    row[runs] = i;
    if (__builtin_expect(service[i] != service[i - 1], 0))
      s->first_run[services++] = runs++;
    else
      runs += user[i] != user[i - 1];
  }
  row[runs] = rows->count;
  s->first_run[services] = runs;
  for (uint32_t r = 0; r < runs; r++) s->user[r] = user[row[r]];
}

/* Sums of runs: NULLs have the value 0 and need no test. */
static void sum_runs(struct summary *s, const struct rows *rows) {
  const int32_t *tokens = rows->number[run_count_measure(COUNT_TOKENS)];
  const int32_t *status = rows->number[run_count_measure(COUNT_STATUS)];
  for (uint32_t r = 0; r < s->runs; r++) {
    int64_t t = 0, c = 0;
    uint32_t errors = 0;
    for (uint32_t i = s->row[r]; i < s->row[r + 1]; i++) {
      t += tokens[i];
      c += rows->cost[i];
      errors += status[i] >= ERROR_STATUS;
    }
    s->tokens[r] = t;
    s->cost[r] = c;
    s->errors[r] = errors;
  }
}

/* Bits set in [first, last). */
static uint32_t count_bits(const uint64_t *bits, uint32_t first, uint32_t last) {
  uint32_t n = 0;
  for (uint32_t i = first; i < last;) {
    uint32_t in = i % 64, take = 64 - in < last - i ? 64 - in : last - i;
    uint64_t word = bits[i / 64] >> in;
    if (take < 64) word &= (UINT64_C(1) << take) - 1;
    n += (uint32_t)__builtin_popcountll(word);
    i += take;
  }
  return n;
}

/* Counts of columns that have a NULL. */
static void count_nonnull(struct summary *s, const struct rows *rows) {
  for (int c = 0; c < RUN_COUNTS; c++) {
    const uint64_t *valid = rows->valid[run_count_measure((enum run_count)c)];
    if (bitmap_count(valid, rows->count) == rows->count) continue; /* then they are not stored */
    for (uint32_t r = 0; r < s->runs; r++) s->nonnull[c][r] = count_bits(valid, s->row[r], s->row[r + 1]);
  }
}

int summary_make(struct summary *s, const struct rows *rows, int32_t month, struct budget *budget,
                 tally_error *error) {
  *s = (struct summary){0};
  int result = check_rows(s, rows, month, error);
  if (result) return result;
  s->sums_fit = costs_fit(rows);
  result = allocate(s, budget, error);
  if (result) return result;
  find_runs(s, rows);
  if (s->sums_fit) {
    sum_runs(s, rows);
    count_nonnull(s, rows);
  }
  return 0;
}

void summary_free(struct summary *s, struct budget *budget) {
  if (!s->memory) return;
  mem_free(s->memory);
  s->memory = NULL;
  budget_give(budget, s->size);
}

/* ---- totals */

/* Values that are all there: loops without a branch, which compilers make vectors of where the type is
 * narrow. */
KERNEL static void add_integers(struct measure *m, const int32_t *values, uint32_t count) {
  int32_t min = values[0], max = values[0];
  int64_t sum = 0;
  for (uint32_t i = 0; i < count; i++) sum += values[i];
  for (uint32_t i = 0; i < count; i++) min = values[i] < min ? values[i] : min;
  for (uint32_t i = 0; i < count; i++) max = values[i] > max ? values[i] : max;
  *m = (struct measure){sum, min, max, count};
}

static void add_costs(struct measure *m, const int64_t *values, uint32_t count) {
  struct bounds b = array_bounds(values, count);
  *m = (struct measure){(int64_t)array_sum(values, count), b.min, b.max, count};
}

static void add_some(struct measure *m, const struct rows *rows, int measure, uint32_t first, uint32_t last) {
  m->min = INT64_MAX;
  m->max = INT64_MIN;
  for (uint32_t i = first; i < last; i++) {
    if (!bitmap_get(rows->valid[measure], i)) continue;
    int64_t v = measure < INT_COLUMNS ? rows->number[measure][i] : rows->cost[i];
    m->sum += v;
    if (v < m->min) m->min = v;
    if (v > m->max) m->max = v;
  }
}

static struct measure measure_rows(const struct rows *rows, int measure, uint32_t first, uint32_t last) {
  struct measure m = {.nonnull = count_bits(rows->valid[measure], first, last)};
  if (m.nonnull == 0) return m;
  if (m.nonnull != last - first)
    add_some(&m, rows, measure, first, last);
  else if (measure < INT_COLUMNS)
    add_integers(&m, rows->number[measure] + first, last - first);
  else
    add_costs(&m, rows->cost + first, last - first);
  return m;
}

KERNEL static uint32_t count_errors(const int32_t *status, uint32_t count) {
  uint32_t errors = 0;
  for (uint32_t i = 0; i < count; i++) errors += status[i] >= ERROR_STATUS;
  return errors;
}

static void service_totals(const struct rows *rows, const struct service_span *span, uint32_t first,
                           struct totals *t) {
  t->service = span->service;
  t->first = first;
  t->rows = span->rows;
  struct bounds times = array_bounds(rows->timestamp + first, span->rows);
  t->min_timestamp = times.min;
  t->max_timestamp = times.max;
  t->errors = count_errors(rows->number[run_count_measure(COUNT_STATUS)] + first, span->rows);
  for (int m = 0; m < MEASURES; m++) t->measure[m] = measure_rows(rows, m, first, first + span->rows);
}

static void add_totals(struct totals *all, const struct totals *t) {
  all->errors += t->errors;
  for (int m = 0; m < MEASURES; m++) all->measure[m].sum += t->measure[m].sum;
}

void summary_totals(const struct summary *s, const struct rows *rows, struct directory *d) {
  uint32_t most_user = 0;
  for (uint32_t r = 0; r < s->runs; r++)
    if (s->user[r] > most_user) most_user = s->user[r];
  d->max_id[column_domain(TALLY_COL_USER_ID)] = most_user;
  for (uint32_t i = 0; i < s->services; i++) {
    uint32_t first = s->row[s->first_run[i]];
    d->span[i] = (struct service_span){.service = services_of(rows)[first],
                                       .first = first,
                                       .first_run = s->first_run[i],
                                       .rows = s->row[s->first_run[i + 1]] - first,
                                       .runs = s->first_run[i + 1] - s->first_run[i]};
    if (!s->sums_fit) continue;
    struct totals t = {0};
    service_totals(rows, &d->span[i], first, &t);
    add_totals(&d->total, &t);
    if (d->service) d->service[i] = t;
  }
}
