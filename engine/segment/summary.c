/* summary.c - runs, their sums, and totals of sorted rows; see summary.h. */
#include "segment/summary.h"

#include <inttypes.h>

#include "base/bitmap.h"
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

/* Counts runs and services; false, with the row, where the order is broken. */
static bool count_runs(struct summary *s, const struct rows *rows, uint32_t *bad) {
  const uint32_t *service = services_of(rows), *user = users_of(rows);
  s->runs = s->services = 1;
  for (uint32_t i = 1; i < rows->count; i++) {
    bool new_service = service[i] != service[i - 1];
    bool new_run = new_service || user[i] != user[i - 1];
    bool sorted = new_service ? service[i] > service[i - 1]
                  : new_run   ? user[i] > user[i - 1]
                              : rows->timestamp[i] >= rows->timestamp[i - 1];
    s->runs += new_run;
    s->services += new_service;
    if (!sorted) {
      *bad = i;
      return false;
    }
  }
  return true;
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
  for (uint32_t i = 0; i < rows->count; i++)
    if (rows->timestamp[i] < first || rows->timestamp[i] > last)
      return fail(error, TALLY_USAGE,
                  "row %" PRIu32 " of a segment is not of its month: this is a bug, please report it", i);
  return 0;
}

/* Sums fit if the sum of all magnitudes does: then every partial sum fits too. Integers always do:
 * 2^20 rows of 2^31. */
static bool costs_fit(const struct rows *rows) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < rows->count; i++) {
    if (!bitmap_get(rows->valid[VALID_COST], i)) continue;
    int64_t v = rows->cost[i];
    sum += v < 0 ? 0 - (uint64_t)v : (uint64_t)v; /* at most 2^63 + 2^63: cannot wrap before it is seen */
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

static void find_runs(struct summary *s, const struct rows *rows) {
  const uint32_t *service = services_of(rows), *user = users_of(rows);
  uint32_t runs = 0, services = 0;
  for (uint32_t i = 0; i < rows->count; i++) {
    bool new_service = i == 0 || service[i] != service[i - 1];
    if (!new_service && user[i] == user[i - 1]) continue;
    if (new_service) s->first_run[services++] = runs;
    s->user[runs] = user[i];
    s->row[runs++] = i;
  }
  s->row[runs] = rows->count;
  s->first_run[services] = runs;
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
static void add_integers(struct measure *m, const int32_t *values, uint32_t count) {
  int32_t min = values[0], max = values[0];
  int64_t sum = 0;
  for (uint32_t i = 0; i < count; i++) sum += values[i];
  for (uint32_t i = 0; i < count; i++) min = values[i] < min ? values[i] : min;
  for (uint32_t i = 0; i < count; i++) max = values[i] > max ? values[i] : max;
  *m = (struct measure){sum, min, max, count};
}

static void add_costs(struct measure *m, const int64_t *values, uint32_t count) {
  int64_t sum = 0, min = values[0], max = values[0];
  for (uint32_t i = 0; i < count; i++) {
    sum += values[i];
    min = values[i] < min ? values[i] : min;
    max = values[i] > max ? values[i] : max;
  }
  *m = (struct measure){sum, min, max, count};
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

static void service_totals(const struct rows *rows, const struct service_span *span, uint32_t first,
                           struct totals *t) {
  t->service = span->service;
  t->first = first;
  t->rows = span->rows;
  t->min_timestamp = INT64_MAX;
  t->max_timestamp = INT64_MIN;
  for (uint32_t i = first; i < first + span->rows; i++) {
    if (rows->timestamp[i] < t->min_timestamp) t->min_timestamp = rows->timestamp[i];
    if (rows->timestamp[i] > t->max_timestamp) t->max_timestamp = rows->timestamp[i];
  }
  const int32_t *status = rows->number[run_count_measure(COUNT_STATUS)];
  for (uint32_t i = first; i < first + span->rows; i++) t->errors += status[i] >= ERROR_STATUS;
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
