/* index.c - answering a segment from its index; see scan.h.
 *
 * Rows of aggregates come in batches that fit the second-level cache: from the totals, from the totals by
 * service, or from the runs and their sums. */
#include "scan/scanner_inside.h"

#define BATCH 1024u
#define RUN_MEASURES 3 /* status_code, tokens_used and cost, which follow each other */

struct user_run {
  uint32_t run, rows, service, user;
};

struct index_cursor {
  enum index_level level;
  uint32_t service, run;  /* the next service (a number of a span); the next run of it, 0: its first */
  uint32_t piece, pieces; /* only services whose id leaves `piece`, divided by `pieces` */
  bool look_up, looked;
  struct buffer found; /* with look_up, once it has looked: struct user_run */
  uint32_t found_count, found_next;
  uint32_t services[BATCH], users[BATCH], counts[BATCH], errors[BATCH], bounds[BATCH + 1];
  uint32_t nonnull[RUN_MEASURES][BATCH];
  int64_t tokens[BATCH], cost[BATCH];
  bool stored[RUN_MEASURES]; /* nonnull is: some row of the segment has NULL there */
  struct measure measure[MEASURES][BATCH];
  struct entries rows;
};

enum {
  STATUS = TALLY_COL_STATUS_CODE - TALLY_COL_REQUEST_SIZE,
  TOKENS = TALLY_COL_TOKENS_USED - TALLY_COL_REQUEST_SIZE,
  COST = TALLY_COL_COST - TALLY_COL_REQUEST_SIZE
};

bool scan_index_covers(const struct scan *scan, size_t part, enum index_level level) {
  const struct segment *segment = scan_segment(scan, part);
  uint32_t allowed = 1u << TALLY_COL_TIMESTAMP;
  if (level != INDEX_SEGMENT) allowed |= SCAN_SERVICE;
  if (level == INDEX_RUN) allowed |= SCAN_USER;
  if (!segment || !scan->parts[part].inside || scan->key_count || scan->filters & ~allowed) return false;
  if (level == INDEX_RUN && segment->runs == 0) return false;
  return level == INDEX_SERVICE ? segment->has_service_totals : segment->sums_fit;
}

/* ---- starting */

static int add_found(struct scanner *s, struct user_run run, tally_error *error) {
  struct index_cursor *x = s->index;
  int result = hold_reserve(&s->hold, &x->found, (x->found_count + 1) * sizeof run, error);
  if (!result) memcpy(x->found.data + x->found_count++ * sizeof run, &run, sizeof run);
  return result;
}

/* Has the column a NULL in this segment? */
static bool has_nulls(const struct segment *segment, int measure) {
  return segment->total.measure[measure].nonnull != segment->info.rows;
}

int scanner_index(struct scanner *s, size_t part, enum index_level level, tally_error *error) {
  if (!s->index) {
    void *memory;
    int result = hold_take(&s->hold, sizeof *s->index, &memory, error); /* its arrays are written first */
    if (result) return result;
    s->index = memory;
    s->index->found = (struct buffer){0};
  }
  struct index_cursor *x = s->index;
  uint32_t lookups;
  s->chunk = s->chunks = s->selected = s->taken = 0; /* scanner_next has nothing of this part */
  s->segment = scan_segment(s->scan, part);
  s->stats.segments++;
  s->stats.segments_from_index++;
  x->level = level;
  x->service = x->run = x->found_count = x->found_next = 0;
  x->piece = 0;
  x->pieces = 1;
  for (int c = 0; c < RUN_MEASURES; c++) x->stored[c] = has_nulls(s->segment, STATUS + c);
  x->looked = false;
  x->look_up = level == INDEX_RUN && candidates_look_up(s->scan, s->segment, &lookups);
  return 0;
}

void scanner_index_piece(struct scanner *s, uint32_t piece, uint32_t pieces) {
  s->index->piece = piece;
  s->index->pieces = pieces;
  s->stats.segments -= piece > 0;
  s->stats.segments_from_index -= piece > 0;
}

void index_free(struct scanner *s) {
  if (s->index) hold_buffer_free(&s->hold, &s->index->found);
}

/* ---- totals */

static void put_totals(struct index_cursor *x, uint32_t i, const struct totals *t) {
  x->services[i] = t->service;
  x->counts[i] = t->rows;
  x->errors[i] = t->errors;
  for (int m = 0; m < MEASURES; m++) x->measure[m][i] = t->measure[m];
}

static uint32_t next_totals(struct scanner *s) {
  struct index_cursor *x = s->index;
  uint32_t n = 0;
  if (x->level == INDEX_SEGMENT) {
    if (x->service++ == 0) put_totals(x, n++, &s->segment->total);
    return n;
  }
  for (; n < BATCH && x->service < s->segment->services; x->service++)
    if (scan_service_passes(s->scan, s->segment->span[x->service].service))
      put_totals(x, n++, &s->segment->service[x->service]);
  return n;
}

/* ---- runs */

/* Reads the sums of runs [first, first + n), whose counts are there, to place `at` of the arrays. */
static int read_sums(struct scanner *s, uint32_t first, uint32_t n, uint32_t at, tally_error *error) {
  struct index_cursor *x = s->index;
  struct run_sums sums = {.errors = x->errors + at, .tokens = x->tokens + at, .cost = x->cost + at};
  uint32_t **nonnull[] = {&sums.status_nonnull, &sums.tokens_nonnull, &sums.cost_nonnull};
  for (int c = 0; c < RUN_MEASURES; c++)
    if (x->stored[c]) *nonnull[c] = x->nonnull[c] + at;
  return segment_run_sums(s->segment, first, n, &sums, error);
}

/* Drops runs whose user does not pass; gives the number of the others. */
static uint32_t keep_users(struct scanner *s, uint32_t n) {
  struct index_cursor *x = s->index;
  if (!(s->scan->filters & SCAN_USER)) return n;
  uint32_t kept = 0;
  for (uint32_t i = 0; i < n; i++) {
    if (!scan_user_passes(s->scan, x->users[i])) continue;
    x->services[kept] = x->services[i];
    x->users[kept] = x->users[i];
    x->counts[kept] = x->counts[i];
    x->errors[kept] = x->errors[i];
    for (int c = 0; c < RUN_MEASURES; c++)
      if (x->stored[c]) x->nonnull[c][kept] = x->nonnull[c][i];
    x->tokens[kept] = x->tokens[i];
    x->cost[kept++] = x->cost[i];
  }
  return kept;
}

static bool in_piece(const struct index_cursor *x, uint32_t service) {
  return service % x->pieces == x->piece;
}

/* Looks each listed user up in each service of the piece. */
static int find_runs(struct scanner *s, tally_error *error) {
  const struct intervals *users = &s->scan->filter[TALLY_COL_USER_ID].text.in;
  int result = 0;
  for (uint32_t i = 0; i < s->segment->services && !result; i++) {
    uint32_t service = s->segment->span[i].service;
    if (!in_piece(s->index, service) || !scan_service_passes(s->scan, service)) continue;
    for (uint32_t k = 0; k < users->count && !result; k++)
      for (int64_t user = users->at[k].low; user <= users->at[k].high && !result; user++) {
        bool found;
        struct found_run run;
        result = segment_find_run(s->segment, service, (uint32_t)user, &found, &run, error);
        if (!result && found)
          result = add_found(
              s, (struct user_run){run.run, run.end_row - run.first_row, service, (uint32_t)user}, error);
      }
  }
  return result;
}

static int next_found(struct scanner *s, uint32_t *n, tally_error *error) {
  struct index_cursor *x = s->index;
  int result = x->looked ? 0 : find_runs(s, error);
  x->looked = true;
  for (*n = 0; *n < BATCH && x->found_next < x->found_count && !result; ++*n) {
    struct user_run found;
    memcpy(&found, x->found.data + x->found_next++ * sizeof found, sizeof found);
    x->services[*n] = found.service;
    x->users[*n] = found.user;
    x->counts[*n] = found.rows;
    result = read_sums(s, found.run, 1, *n, error);
  }
  return result;
}

/* The next stretch of runs of services that pass; *n 0 only at the end. */
static int next_stretch(struct scanner *s, uint32_t *n, tally_error *error) {
  struct index_cursor *x = s->index;
  *n = 0;
  while (*n == 0 && x->service < s->segment->services) {
    const struct service_span *span = &s->segment->span[x->service];
    if (!in_piece(x, span->service) || !scan_service_passes(s->scan, span->service) || x->run == span->runs) {
      x->service++;
      x->run = 0;
      continue;
    }
    uint32_t first = span->first_run + x->run, count = BATCH - first % BATCH;
    if (count > span->runs - x->run) count = span->runs - x->run;
    int result = segment_runs(s->segment, first, count, x->services, x->users, NULL, error);
    if (!result) result = segment_run_bounds(s->segment, first, count, x->bounds, error);
    for (uint32_t i = 0; i < count && !result; i++) x->counts[i] = x->bounds[i + 1] - x->bounds[i];
    if (!result) result = read_sums(s, first, count, 0, error);
    if (result) return result;
    x->run += count;
    *n = keep_users(s, count);
  }
  return 0;
}

static void lend_runs(struct index_cursor *x) {
  for (int c = 0; c < RUN_MEASURES; c++)
    if (x->stored[c]) x->rows.run_nonnull[STATUS + c] = x->nonnull[c];
  x->rows.run_sum[TOKENS] = x->tokens;
  x->rows.run_sum[COST] = x->cost;
}

int scanner_index_next(struct scanner *s, const struct entries **rows, tally_error *error) {
  struct index_cursor *x = s->index;
  uint32_t n;
  int result = 0;
  if (x->level != INDEX_RUN)
    n = next_totals(s);
  else
    result = x->look_up ? next_found(s, &n, error) : next_stretch(s, &n, error);
  if (result) return result;
  if (n == 0) return TALLY_OK;
  bool runs = x->level == INDEX_RUN;
  x->rows = (struct entries){.rows = n,
                             .service = x->services,
                             .user = runs ? x->users : NULL,
                             .count = x->counts,
                             .errors = x->errors};
  if (runs) lend_runs(x);
  for (int m = 0; !runs && m < MEASURES; m++) x->rows.measure[m] = x->measure[m];
  *rows = &x->rows;
  return TALLY_ROW;
}
