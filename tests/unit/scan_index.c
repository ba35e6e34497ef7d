/* scan_index.c - answers from the index equal the sums of the rows they stand for, and are only offered where
 * every row of the segment lies inside the range. */
#include "scan_fixture.h"

/* Naive aggregates of the rows of one (service, user), one service, or the whole segment. */
struct naive {
  bool there;
  uint32_t rows, errors;
  struct measure measure[MEASURES];
};

static void naive_add(struct naive *n, const struct rows *r, uint32_t row) {
  n->there = true;
  n->rows++;
  for (int m = 0; m < MEASURES; m++) {
    bool valid;
    int64_t v = sample_value(r, TALLY_COL_REQUEST_SIZE + m, row, &valid);
    struct measure *x = &n->measure[m];
    if (!valid) continue;
    if (!x->nonnull || v < x->min) x->min = v;
    if (!x->nonnull || v > x->max) x->max = v;
    x->sum += v;
    x->nonnull++;
    n->errors += m == TALLY_COL_STATUS_CODE - TALLY_COL_REQUEST_SIZE && v >= 400;
  }
}

static struct naive naive_rows(const struct rows *r, const struct scan_request *q, int64_t service,
                               int64_t user) {
  struct naive n = {0};
  for (uint32_t i = 0; i < r->count; i++)
    if ((service < 0 || r->text[1][i] == service) && (user < 0 || r->text[0][i] == user) &&
        naive_row(r, i, q))
      naive_add(&n, r, i);
  return n;
}

static void check_row(const struct entries *x, uint32_t i, enum index_level level, const struct naive *want) {
  cr_assert(want->there, "a row for nothing");
  cr_assert_eq(x->count[i], want->rows);
  cr_assert_eq(x->errors[i], want->errors);
  for (int m = 0; m < MEASURES; m++) {
    cr_assert_eq(x->measure[m] != NULL, level != INDEX_RUN);
    if (level == INDEX_RUN) {
      bool sums = m >= MEASURES - 2, counts = sums || m == TALLY_COL_STATUS_CODE - TALLY_COL_REQUEST_SIZE;
      uint32_t nonnull = x->run_nonnull[m] ? x->run_nonnull[m][i] : x->count[i];
      cr_assert_eq(x->run_sum[m] != NULL, sums);
      if (sums) cr_assert_eq(x->run_sum[m][i], want->measure[m].sum, "measure %d", m);
      if (counts) cr_assert_eq(nonnull, want->measure[m].nonnull);
      continue;
    }
    cr_assert_eq(x->measure[m][i].sum, want->measure[m].sum, "level %d measure %d", level, m);
    cr_assert_eq(x->measure[m][i].nonnull, want->measure[m].nonnull);
    if (!want->measure[m].nonnull) continue;
    cr_assert_eq(x->measure[m][i].min, want->measure[m].min);
    cr_assert_eq(x->measure[m][i].max, want->measure[m].max);
  }
}

static void check_level(const struct fixture *f, struct scanner *scanner, const struct scan_request *q,
                        size_t part, enum index_level level) {
  tally_error error = {0};
  const struct rows *r = &f->rows[part];
  struct naive all = naive_rows(r, q, -1, -1);
  uint64_t rows = 0;
  cr_assert_eq(scanner_index(scanner, part, level, &error), 0, "%s", error.text);
  const struct entries *x;
  int result;
  while ((result = scanner_index_next(scanner, &x, &error)) == TALLY_ROW) {
    cr_assert(x->rows >= 1 && x->rows <= VECTOR_ROWS);
    cr_assert_eq(x->user != NULL, level == INDEX_RUN);
    for (uint32_t i = 0; i < x->rows; i++) {
      struct naive want = naive_rows(r, q, level == INDEX_SEGMENT ? -1 : (int64_t)x->service[i],
                                     level == INDEX_RUN ? (int64_t)x->user[i] : -1);
      check_row(x, i, level, &want);
      rows += x->count[i];
    }
  }
  cr_assert_eq(result, TALLY_OK, "%s", error.text);
  cr_assert_eq(rows, all.rows, "the index misses no row and counts none twice");
}

static bool naive_inside(const struct rows *r, const struct scan_request *q) {
  for (uint32_t i = 0; i < r->count; i++)
    if (r->timestamp[i] < q->from || r->timestamp[i] >= q->to) return false;
  return true;
}

/* Checks every covered level; *covered gets a bit for each. */
static void check_request(const struct fixture *f, const struct scan_request *q, unsigned *covered) {
  struct scan *scan;
  struct scanner *scanner;
  tally_error error = {0};
  struct budget share;
  budget_init(&share, 64u << 20, NULL);
  cr_assert_eq(scan_new(&f->snapshot, q, &share, &scan, &error), 0, "%s", error.text);
  cr_assert_eq(scanner_new(scan, &scanner, &error), 0, "%s", error.text);
  for (size_t part = 0; part < scan_parts(scan); part++)
    for (int level = INDEX_SEGMENT; level <= INDEX_RUN; level++) {
      if (!scan_index_covers(scan, part, (enum index_level)level)) continue;
      cr_assert(part < f->snapshot.segment_count, "memtables have no index");
      cr_assert(naive_inside(&f->rows[part], q));
      check_level(f, scanner, q, part, (enum index_level)level);
      *covered |= 1u << level;
    }
  scanner_free(scanner);
  scan_free(scan);
  cr_assert_eq(budget_used(&share), 0);
}

static void make_parts(uint64_t *s, struct fixture *f, uint32_t nulls) {
  const uint32_t ids[DOMAINS] = {nulls ? 40 : 3000, 5, 10, 3};
  fixture_begin(f, ids);
  for (int i = 0; i < 2; i++) {
    struct sample_shape shape = {
        nulls ? 2500 : 5000,   ids[0], ids[1], ids[2], ids[3], nulls, false, JANUARY_START,
        JANUARY_START + DAY_US};
    struct rows rows;
    sample_make(s, &shape, &rows);
    fixture_segment(f, rows, JANUARY);
  }
}

#define TEXT(t)                                                                                              \
  { (t), sizeof(t) - 1, false, 0 }

Test(scan, index_rows_are_the_sums_of_their_rows, .timeout = 300) {
  uint64_t s = sample_seed("scan_index", 21);
  char user[64], user2[64], service[64];
  tally_text u = fixture_text(0, 3, user), u2 = fixture_text(0, 17, user2), sv = fixture_text(1, 2, service);
  const struct literal users[] = {{u.data, u.size, false, 0}, {u2.data, u2.size, false, 0}, TEXT("nobody")};
  const struct literal one_service = {sv.data, sv.size, false, 0}, head = TEXT("user_1"),
                       status = TEXT("400");
  const struct predicate all[] = {
      {{TALLY_COL_SERVICE_NAME, NULL, 0}, OP_EQ, &one_service, 1},
      {{TALLY_COL_USER_ID, NULL, 0}, OP_IN, users, 3},
      {{TALLY_COL_SERVICE_NAME, NULL, 0}, OP_NE, &one_service, 1},
      {{TALLY_COL_USER_ID, NULL, 0}, OP_PREFIX, &head, 1},
      {{TALLY_COL_USER_ID, NULL, 0}, OP_IS_NULL, NULL, 0},
      {{TALLY_COL_USER_ID, NULL, 0}, OP_NE, users, 1},
      {{TALLY_COL_STATUS_CODE, NULL, 0}, OP_GE, &status, 1},
  };
  static const struct {
    size_t first, count;
    unsigned covered;
  } cases[] = {{0, 0, 7}, {0, 1, 6}, {1, 1, 4}, {0, 2, 4}, {2, 1, 6}, {2, 2, 4},
               {3, 1, 4}, {4, 1, 4}, {5, 1, 4}, {6, 1, 0}, {5, 2, 0}};
  for (int nulls = 0; nulls < 2; nulls++) {
    struct fixture f;
    make_parts(&s, &f, nulls ? 12 : 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      struct scan_request q = {JANUARY_START, JANUARY_START + DAY_US, all + cases[i].first, cases[i].count, 0,
                               NULL};
      unsigned covered = 0;
      check_request(&f, &q, &covered);
      cr_assert_eq(covered & ~2u, cases[i].covered & ~2u, "case %zu: %x", i, covered);
      q.to = f.rows[0].timestamp[5]; /* cuts through both segments */
      covered = 0;
      check_request(&f, &q, &covered);
      cr_assert_eq(covered, 0);
    }
    fixture_end(&f);
  }
}
