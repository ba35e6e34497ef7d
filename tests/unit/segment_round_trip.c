/* segment_round_trip.c - what is written to a segment is what is read from it, and its index and zone maps
 * say what its rows say. */
#include "segment_fixture.h"

static const struct sample_shape shapes[] = {
    {1, 1, 1, 1, 1, 0, false, FEBRUARY_START, FEBRUARY_END},
    {1, 1, 1, 1, 1, 100, false, FEBRUARY_START, FEBRUARY_START + 1},
    {300, 5, 3, 4, 2, 10, true, FEBRUARY_START, FEBRUARY_END},
    {4096, 40, 1, 1, 1, 0, false, FEBRUARY_START, FEBRUARY_START + DAY_US},
    {4097, 3, 2, 9, 4, 1, false, FEBRUARY_START, FEBRUARY_END},
    {9000, 9000, 300, 60, 8, 5, true, FEBRUARY_START, FEBRUARY_END},
    {15000, 700, 12, 60, 4, 0, false, FEBRUARY_START, FEBRUARY_END},
    {20000, 60000, 3, 2000, 7, 3, false, FEBRUARY_END - 1000, FEBRUARY_END},
    {13000, 2, 2, 2, 2, 60, false, FEBRUARY_START, FEBRUARY_END},
};
#define SHAPES (sizeof shapes / sizeof *shapes)

static void check_values(struct segment *s, const struct rows *rows, int column, uint32_t chunk,
                         uint32_t first, uint32_t count) {
  int64_t values[CHUNK_ROWS];
  uint64_t valid[CHUNK_ROWS / 64];
  bool all;
  tally_error error = {0};
  cr_assert_eq(segment_values(s, column, chunk, first, count, values, valid, &all, &error), 0, "%s",
               error.text);
  for (uint32_t i = 0; i < count; i++) {
    bool there;
    int64_t want = sample_value(rows, column, chunk * CHUNK_ROWS + first + i, &there);
    cr_assert_eq(values[i], want, "column %d chunk %u row %u", column, chunk, first + i);
    cr_assert_eq(all || bitmap_get(valid, i), there, "column %d chunk %u row %u", column, chunk, first + i);
  }
}

static void check_metadata_of(struct segment *s, const struct rows *rows, uint32_t chunk, uint32_t from,
                              uint32_t n) {
  uint64_t at[CHUNK_ROWS + 1], valid[CHUNK_ROWS / 64];
  bool all;
  struct buffer bytes = {0};
  struct ints_scratch scratch = {0};
  tally_error error = {0};
  uint32_t first = chunk * CHUNK_ROWS + from;
  cr_assert_eq(segment_metadata(s, chunk, from, n, &scratch, at, &bytes, valid, &all, &error), 0, "%s",
               error.text);
  ints_scratch_free(&scratch);
  if (n == segment_chunk_rows(s, chunk)) cr_assert_eq(bytes.size, segment_metadata_bytes(s, chunk));
  for (uint32_t i = 0; i < n; i++) {
    bool there = bitmap_get(rows->valid[VALID_METADATA], first + i);
    uint64_t size = rows->metadata_at[first + i + 1] - rows->metadata_at[first + i];
    cr_assert_eq(all || bitmap_get(valid, i), there);
    cr_assert_eq(at[i + 1] - at[i], size);
    if (size)
      cr_assert_eq(memcmp(bytes.data + at[i], rows->metadata + rows->metadata_at[first + i], size), 0);
  }
  buffer_free(&bytes);
}

static void check_metadata(struct segment *s, const struct rows *rows, uint32_t chunk) {
  uint32_t n = segment_chunk_rows(s, chunk);
  check_metadata_of(s, rows, chunk, 0, n);
  for (uint32_t from = 0; from < n; from += 1 + n / 7)
    check_metadata_of(s, rows, chunk, from, (n - from + 2) / 3);
}

static void check_zone(struct segment *s, const struct rows *rows, int column, uint32_t chunk) {
  struct zone z = segment_zone(s, column, chunk);
  int64_t min = INT64_MAX, max = INT64_MIN;
  uint32_t nulls = 0, n = segment_chunk_rows(s, chunk);
  for (uint32_t i = 0; i < n; i++) {
    bool there;
    int64_t v = sample_value(rows, column, chunk * CHUNK_ROWS + i, &there);
    if (column_kind(column) == KIND_TEXT) there = v != 0;
    nulls += !there;
    if (there && v < min) min = v;
    if (there && v > max) max = v;
  }
  cr_assert_eq(z.nulls, nulls);
  if (nulls < n) cr_assert(z.min == min && z.max == max, "column %d chunk %u", column, chunk);
  if (column != TALLY_COL_ENDPOINT && column != TALLY_COL_METHOD) return;
  int64_t ids[CHUNK_ROWS];
  uint32_t count;
  tally_error error = {0};
  cr_assert_eq(segment_distinct(s, column, chunk, ids, &count, &error), 0, "%s", error.text);
  for (uint32_t i = 0; count && i < n; i++) {
    uint32_t k = 0, id = rows->text[column_domain(column)][chunk * CHUNK_ROWS + i];
    while (k < count && ids[k] != id) k++;
    cr_assert(k < count, "id %u is not listed", id);
  }
}

/* Naive runs of sorted rows. */
static uint32_t naive_runs(const struct rows *rows, uint32_t *first) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < rows->count; i++)
    if (i == 0 || rows->text[1][i] != rows->text[1][i - 1] || rows->text[0][i] != rows->text[0][i - 1])
      first[n++] = i;
  first[n] = rows->count;
  return n;
}

static void check_runs(struct segment *s, const struct rows *rows, const uint32_t *first, uint32_t from,
                       uint32_t count) {
  uint32_t *service = malloc(count * sizeof *service), *user = malloc(count * sizeof *user),
           *row = malloc(count * sizeof *row);
  tally_error error = {0};
  cr_assert_eq(segment_runs(s, from, count, service, user, row, &error), 0, "%s", error.text);
  for (uint32_t i = 0; i < count; i++) {
    uint32_t at = first[from + i];
    cr_assert_eq(row[i], at);
    cr_assert_eq(service[i], rows->text[1][at]);
    cr_assert_eq(user[i], rows->text[0][at]);
  }
  free(service);
  free(user);
  free(row);
}

static void check_lookups(struct segment *s, const struct rows *rows, const uint32_t *first, uint32_t runs,
                          uint64_t *random) {
  tally_error error = {0};
  for (int i = 0; i < 300; i++) {
    uint32_t r = i < 2 ? (i ? runs - 1 : 0) : sample_below(random, runs), run, bound[2];
    struct found_run at;
    bool found;
    uint32_t service = rows->text[1][first[r]], user = rows->text[0][first[r]];
    cr_assert_eq(segment_find_run(s, service, user, &found, &at, &error), 0, "%s", error.text);
    cr_assert(found && at.run == r, "service %u user %u: run %u, not %u", service, user, at.run, r);
    cr_assert(at.first_row == first[r] && at.end_row == first[r + 1]);
    cr_assert_eq(segment_run_bounds(s, r, 1, bound, &error), 0);
    cr_assert(bound[0] == first[r] && bound[1] == first[r + 1]);
    uint32_t row = first[r] + sample_below(random, bound[1] - bound[0]);
    cr_assert_eq(segment_run_of_row(s, row, &run, &error), 0);
    cr_assert_eq(run, r);
    /* A neighbour's user: there or not, as the rows say. */
    uint32_t other = user + 1 + sample_below(random, 3);
    bool want = false;
    for (uint32_t k = r; k < runs && rows->text[1][first[k]] == service; k++)
      want |= rows->text[0][first[k]] == other;
    cr_assert_eq(segment_find_run(s, service, other, &found, &at, &error), 0);
    cr_assert_eq(found, want);
  }
  for (uint32_t r = 0; r < runs; r++) {
    bool found;
    struct found_run run;
    int result = segment_find_run(s, rows->text[1][first[r]], rows->text[0][first[r]], &found, &run, &error);
    cr_assert(result == 0 && found && run.run == r, "run %u is found as %u", r, run.run);
  }
  bool found = true;
  struct found_run run;
  cr_assert_eq(segment_find_run(s, 4000000000u, 1, &found, &run, &error), 0);
  cr_assert_not(found);
}

static void naive_totals(const struct rows *rows, uint32_t from, uint32_t to, struct totals *t) {
  *t = (struct totals){.first = from, .rows = to - from};
  t->min_timestamp = INT64_MAX;
  t->max_timestamp = INT64_MIN;
  for (int m = 0; m < MEASURES; m++) t->measure[m].min = INT64_MAX, t->measure[m].max = INT64_MIN;
  for (uint32_t i = from; i < to; i++) {
    if (rows->timestamp[i] < t->min_timestamp) t->min_timestamp = rows->timestamp[i];
    if (rows->timestamp[i] > t->max_timestamp) t->max_timestamp = rows->timestamp[i];
    for (int m = 0; m < MEASURES; m++) {
      bool there;
      int64_t v = sample_value(rows, TALLY_COL_REQUEST_SIZE + m, i, &there);
      if (!there) continue;
      struct measure *x = &t->measure[m];
      x->nonnull++;
      x->sum = (int64_t)((uint64_t)x->sum + (uint64_t)v);
      if (v < x->min) x->min = v;
      if (v > x->max) x->max = v;
      t->errors += m == TALLY_COL_STATUS_CODE - TALLY_COL_REQUEST_SIZE && v >= 400;
    }
  }
}

static void check_totals(const struct totals *got, const struct rows *rows, uint32_t from, uint32_t to,
                         bool sums) {
  struct totals want;
  naive_totals(rows, from, to, &want);
  cr_assert_eq(got->rows, want.rows);
  cr_assert(got->min_timestamp == want.min_timestamp && got->max_timestamp == want.max_timestamp);
  if (sums) cr_assert_eq(got->errors, want.errors);
  for (int m = 0; m < MEASURES; m++) {
    const struct measure *a = &got->measure[m], *b = &want.measure[m];
    cr_assert_eq(a->nonnull, b->nonnull);
    if (sums) cr_assert_eq(a->sum, b->sum, "measure %d", m);
    if (a->nonnull) cr_assert(a->min == b->min && a->max == b->max);
  }
}

static void check_sums(struct segment *s, const struct rows *rows, const uint32_t *first, uint32_t from,
                       uint32_t count) {
  size_t room = count * sizeof(uint32_t);
  struct run_sums sums = {malloc(room), malloc(room),     malloc(room),
                          malloc(room), malloc(2 * room), malloc(2 * room)};
  tally_error error = {0};
  cr_assert_eq(segment_run_sums(s, from, count, &sums, &error), 0, "%s", error.text);
  for (uint32_t i = 0; i < count; i++) {
    struct totals want;
    naive_totals(rows, first[from + i], first[from + i + 1], &want);
    cr_assert_eq(sums.errors[i], want.errors);
    cr_assert_eq(sums.status_nonnull[i], want.measure[3].nonnull);
    cr_assert_eq(sums.tokens_nonnull[i], want.measure[4].nonnull);
    cr_assert_eq(sums.cost_nonnull[i], want.measure[5].nonnull);
    cr_assert_eq(sums.tokens[i], want.measure[4].sum);
    cr_assert_eq(sums.cost[i], want.measure[5].sum);
  }
  free(sums.errors);
  free(sums.status_nonnull);
  free(sums.tokens_nonnull);
  free(sums.cost_nonnull);
  free(sums.tokens);
  free(sums.cost);
}

static void check_index(struct segment *s, const struct rows *rows, uint64_t *random) {
  uint32_t *first = malloc((rows->count + 1) * sizeof *first), runs = naive_runs(rows, first);
  cr_assert_eq(s->runs, runs);
  check_runs(s, rows, first, 0, runs);
  uint32_t from = sample_below(random, runs), count = 1 + sample_below(random, runs - from);
  check_runs(s, rows, first, from, count);
  check_lookups(s, rows, first, runs, random);
  check_totals(&s->total, rows, 0, rows->count, s->sums_fit);
  uint32_t row = 0;
  for (uint32_t i = 0; i < s->services; i++) {
    const struct service_span *span = &s->span[i];
    uint32_t first_run, run_count;
    cr_assert_eq(span->first, row);
    cr_assert_eq(rows->text[1][row], span->service);
    cr_assert_eq(first[span->first_run], row);
    cr_assert_eq(first[span->first_run + span->runs], row + span->rows);
    segment_service_runs(s, span->service, &first_run, &run_count);
    cr_assert(first_run == span->first_run && run_count == span->runs);
    if (s->has_service_totals) check_totals(&s->service[i], rows, row, row + span->rows, true);
    row += span->rows;
  }
  cr_assert_eq(row, rows->count);
  if (s->sums_fit) {
    check_sums(s, rows, first, 0, runs);
    check_sums(s, rows, first, from, count);
  }
  for (int d = 0; d < DOMAINS; d++) {
    uint32_t most = 0;
    for (uint32_t i = 0; i < rows->count; i++) most = rows->text[d][i] > most ? rows->text[d][i] : most;
    cr_assert_eq(s->max_id[d], most);
  }
  free(first);
}

static void no_fault(void *arg, const char *file, uint64_t offset, const char *problem) {
  (void)arg;
  cr_assert_fail("%s at %llu: %s", file, (unsigned long long)offset, problem);
}

Test(segment, rows_come_back_and_the_index_says_what_they_say, .timeout = 120) {
  uint64_t random = sample_seed("segment_round_trip", 1);
  for (size_t k = 0; k < SHAPES; k++) {
    struct fixture f;
    fixture_write(&f, &random, &shapes[k]);
    struct segment *s = fixture_open(&f);
    tally_error error = {0};
    for (uint32_t chunk = 0; chunk < s->chunks; chunk++) {
      uint32_t rows = segment_chunk_rows(s, chunk);
      for (int column = 0; column < TALLY_COL_METADATA; column++) {
        check_values(s, &f.rows, column, chunk, 0, rows);
        for (int i = 0; i < 6; i++) {
          uint32_t first = sample_below(&random, rows), count = 1 + sample_below(&random, rows - first);
          check_values(s, &f.rows, column, chunk, first, i < 3 ? (count > 40 ? 40 : count) : count);
        }
        if (column != TALLY_COL_USER_ID && column != TALLY_COL_SERVICE_NAME)
          check_zone(s, &f.rows, column, chunk);
      }
      check_metadata(s, &f.rows, chunk);
    }
    check_index(s, &f.rows, &random);
    cr_assert_eq(segment_verify(s, NULL, no_fault, NULL, &error), 0, "%s", error.text);
    segment_ref(s);
    segment_unref(s);
    segment_unref(s);
    fixture_end(&f);
  }
}

Test(segment, sums_that_do_not_fit_are_not_used) {
  uint64_t random = 5;
  struct sample_shape shape = {50, 2, 1, 1, 1, 0, true, FEBRUARY_START, FEBRUARY_END};
  struct fixture f;
  fixture_write(&f, &random, &shape);
  struct segment *s = fixture_open(&f);
  cr_assert_not(s->sums_fit);
  cr_assert_not(s->has_service_totals);
  segment_unref(s);
  fixture_end(&f);
}

Test(segment, unsorted_or_foreign_rows_are_refused) {
  uint64_t random = 6;
  struct sample_shape shape = {50, 3, 2, 1, 1, 0, false, FEBRUARY_START, FEBRUARY_END};
  struct fixture f;
  fixture_write(&f, &random, &shape);
  struct segment_info info = {.id = 8, .month = FEBRUARY};
  tally_error error = {0};
  f.rows.text[1][0] = 9;
  cr_assert_eq(segment_write(os_posix(), f.path, &f.rows, &f.budget, &info, &error), TALLY_USAGE);
  cr_assert(strstr(error.text, "not sorted at row 1"), "%s", error.text);
  f.rows.text[1][0] = 0;
  info.month++;
  cr_assert_eq(segment_write(os_posix(), f.path, &f.rows, &f.budget, &info, &error), TALLY_USAGE);
  f.rows.count = 0;
  cr_assert_eq(segment_write(os_posix(), f.path, &f.rows, &f.budget, &info, &error), TALLY_USAGE);
  fixture_end(&f);
}
