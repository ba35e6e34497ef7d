/* scan_rows.c - a scan gives exactly the rows that a naive evaluator of its range and predicates gives, and
 * pruning never loses one. */
#include "scan_fixture.h"

#define LITERALS 3
#define PREDICATES 4

struct random_request {
  struct scan_request request;
  struct predicate where[PREDICATES];
  struct literal literals[PREDICATES][LITERALS];
  char text[PREDICATES][LITERALS][64];
};

static const struct json_key keys[][2] = {
    {{"region", 6}}, {{"n", 1}}, {{"a", 1}, {"b", 1}}, {{"req", 3}}, {{"a", 1}}};
static const size_t depths[] = {1, 1, 2, 1, 1};

static void random_number(uint64_t *s, int column, char text[64]) {
  static const char *const special[] = {"1.5",   "-0.0",    "1e3",        "99999999999999999999",
                                        "-1e30", "0.00025", "2147483647", "-2147483648",
                                        "1e-12", "200",     "9000000000", "0"};
  switch (sample_below(s, 4)) {
  case 0:
    snprintf(text, 64, "%s", special[sample_below(s, 12)]);
    break;
  case 1:
    snprintf(text, 64, "%u.%04u", sample_below(s, column == TALLY_COL_COST ? 3 : 4000),
             sample_below(s, 10000));
    break;
  default:
    snprintf(text, 64, "%u", sample_below(s, 1u << sample_below(s, 13)));
  }
}

static void random_literal(uint64_t *s, const struct fixture *f, const struct predicate *p, struct literal *l,
                           char text[64]) {
  int column = p->ref.column;
  enum column_kind kind = column_kind(column);
  *l = (struct literal){0};
  if (kind == KIND_TIME) {
    const struct rows *r = &f->rows[sample_below(s, (uint32_t)fixture_parts(f))];
    l->value = r->timestamp[sample_below(s, r->count)] + (int64_t)sample_below(s, 3) - 1;
  } else if (kind == KIND_TEXT) {
    uint32_t ids = f->snapshot.ids[column_domain(column)];
    fixture_text(column_domain(column), 1 + sample_below(s, ids + 2), text); /* some are unknown */
    if (p->op == OP_PREFIX) text[sample_below(s, (uint32_t)strlen(text) + 1)] = '\0';
  } else if (kind == KIND_JSON) {
    static const char *const values[] = {"eu",   "us-east", "ap", "xA\n1",  "true", "[1,2]",
                                         "3.50", "3.5",     "-7", "{\"b\"", ""};
    l->number = p->op != OP_PREFIX && sample_below(s, 2);
    if (l->number)
      random_number(s, column, text);
    else
      snprintf(text, 64, "%s", values[sample_below(s, 11)]);
  } else {
    random_number(s, column, text);
  }
  l->text = text;
  l->size = strlen(text);
}

static void random_predicate(uint64_t *s, const struct fixture *f, struct predicate *p,
                             struct literal *literals, char text[LITERALS][64]) {
  *p = (struct predicate){.ref = {.column = (int)sample_below(s, COLUMNS)}, .literals = literals, .count = 1};
  p->op = (enum operator)sample_below(s, OP_IS_NOT_NULL + 1);
  if (sample_below(s, 8) == 0) { /* times with a gap */
    p->ref.column = TALLY_COL_TIMESTAMP;
    p->op = sample_below(s, 2) ? OP_NE : OP_NOT_IN;
  }
  enum column_kind kind = column_kind(p->ref.column);
  if (kind == KIND_JSON && sample_below(s, 4)) {
    uint32_t k = sample_below(s, 5);
    p->ref.key = keys[k];
    p->ref.depth = depths[k];
  } else if (kind == KIND_JSON) {
    p->op = sample_below(s, 2) ? OP_IS_NULL : OP_IS_NOT_NULL;
  }
  if (p->op == OP_PREFIX && kind != KIND_TEXT && kind != KIND_JSON) p->op = OP_GE;
  if (p->op == OP_IN || p->op == OP_NOT_IN) p->count = 1 + sample_below(s, LITERALS);
  if (p->op == OP_IS_NULL || p->op == OP_IS_NOT_NULL) p->count = 0;
  for (size_t i = 0; i < p->count; i++) random_literal(s, f, p, &literals[i], text[i]);
}

static void random_request(uint64_t *s, const struct fixture *f, struct random_request *q) {
  struct scan_request *r = &q->request;
  *r = (struct scan_request){.from = INT64_MIN, .to = INT64_MAX, .where = q->where};
  const struct rows *rows = &f->rows[sample_below(s, (uint32_t)fixture_parts(f))];
  if (sample_below(s, 2)) r->from = rows->timestamp[sample_below(s, rows->count)];
  if (sample_below(s, 2)) r->to = rows->timestamp[sample_below(s, rows->count)] + (int64_t)sample_below(s, 2);
  r->columns = sample_below(s, 3) ? (1u << COLUMNS) - 1 : sample_below(s, 1u << COLUMNS);
  r->where_count = sample_below(s, PREDICATES);
  for (size_t i = 0; i < r->where_count; i++)
    random_predicate(s, f, &q->where[i], q->literals[i], q->text[i]);
}

/* What a row looks like in the columns asked for, in 64 bits; sums of them tell multisets of rows apart. */
static uint64_t row_hash(uint32_t columns, const int64_t value[COLUMNS], const bool valid[COLUMNS],
                         tally_text metadata) {
  uint64_t h = 1;
  for (int c = 0; c < COLUMNS; c++) {
    if (!(columns >> c & 1)) continue;
    uint64_t v = c == TALLY_COL_METADATA ? hash64(metadata.data ? metadata.data : "", metadata.size)
                                         : (uint64_t)value[c];
    h = hash_mix(h ^ hash_mix(v + (uint64_t)c * 7919 + valid[c]));
  }
  return h;
}

struct tally_of_rows {
  uint64_t rows, hash;
};

static struct tally_of_rows naive_rows(const struct rows *r, const struct scan_request *q, uint32_t first,
                                       uint32_t end, int64_t from, int64_t to) {
  struct tally_of_rows t = {0};
  for (uint32_t i = first; i < end; i++) {
    if (r->timestamp[i] < from || r->timestamp[i] >= to || !naive_row(r, i, q)) continue;
    int64_t value[COLUMNS] = {0};
    bool valid[COLUMNS];
    for (int c = 0; c < TALLY_COL_METADATA; c++) value[c] = sample_value(r, c, i, &valid[c]);
    valid[TALLY_COL_METADATA] = bitmap_get(r->valid[VALID_METADATA], i);
    tally_text metadata = {r->metadata + r->metadata_at[i], r->metadata_at[i + 1] - r->metadata_at[i]};
    t.rows++;
    t.hash += row_hash(q->columns, value, valid, metadata);
  }
  return t;
}

static struct tally_of_rows naive_part(const struct rows *r, const struct scan_request *q, int64_t from,
                                       int64_t to) {
  return naive_rows(r, q, 0, r->count, from, to);
}

static void check_bound(const struct vector *v, int c, uint32_t i) {
  bool there = column_kind(c) == KIND_TEXT || !v->valid[c] || bitmap_get(v->valid[c], i);
  const struct bounds *b = &v->bound[c];
  cr_assert(!there || (b->min <= v->value[c][i] && v->value[c][i] <= b->max), "column %d, row %u: %lld", c, i,
            (long long)v->value[c][i]);
}

static void add_vector(const struct vector *v, uint32_t columns, struct tally_of_rows *t) {
  cr_assert(v->rows >= 1 && v->rows <= VECTOR_ROWS);
  for (uint32_t i = 0; i < v->rows; i++) {
    int64_t value[COLUMNS] = {0};
    bool valid[COLUMNS];
    tally_text metadata = {NULL, 0};
    for (int c = 0; c < COLUMNS; c++) {
      valid[c] = !v->valid[c] || bitmap_get(v->valid[c], i);
      if (!(columns >> c & 1)) continue;
      if (c < TALLY_COL_METADATA) value[c] = v->value[c][i];
      if (c < TALLY_COL_METADATA) check_bound(v, c, i);
      if (!valid[c] && c < TALLY_COL_METADATA) cr_assert_eq(value[c], 0);
      if (c != TALLY_COL_METADATA) continue;
      metadata = (tally_text){v->metadata + v->metadata_at[i], v->metadata_at[i + 1] - v->metadata_at[i]};
    }
    t->hash += row_hash(columns, value, valid, metadata);
  }
  t->rows += v->rows;
}

/* What a whole chunk says of a column is what its rows say. */
static void check_whole_column(struct scanner *scanner, const struct whole_chunk *w, const struct rows *r,
                               int c, int64_t least) {
  int64_t min = INT64_MAX, max = INT64_MIN, sum = 0;
  uint32_t nulls = 0, count = 0;
  for (uint32_t i = 0; i < w->rows; i++) {
    bool there;
    int64_t v = sample_value(r, c, w->chunk * CHUNK_ROWS + i, &there);
    nulls += !there;
    if (!there && column_kind(c) != KIND_TEXT) continue;
    min = v < min ? v : min;
    max = v > max ? v : max;
    sum = (int64_t)((uint64_t)sum + (uint64_t)v);
    count += v >= least;
  }
  const bool number = c >= TALLY_COL_REQUEST_SIZE;
  if (min > max) min = max = 0;
  cr_assert(w->bound[c].min <= min && max <= w->bound[c].max);
  cr_assert(!number || (w->nulls[c] == nulls && w->bound[c].min == min && w->bound[c].max == max));
  tally_error error = {0};
  const int m = c - TALLY_COL_REQUEST_SIZE;
  int64_t got[MEASURES];
  uint32_t got_count, others = (uint32_t)least % (1u << MEASURES);
  if (!number || min < INT64_MIN / CHUNK_ROWS || max > INT64_MAX / CHUNK_ROWS) return;
  for (int again = 0; again < 2; again++) { /* from values, and then without */
    cr_assert_eq(scanner_whole_sums(scanner, w, 1u << m | others, got, &error), 0, "%s", error.text);
    cr_assert_eq(got[m], sum, "column %d: %lld, not %lld", c, (long long)got[m], (long long)sum);
    if (column_kind(c) != KIND_INT) continue;
    cr_assert_eq(scanner_whole_count(scanner, w, c, least, &got_count, &error), 0, "%s", error.text);
    cr_assert_eq(got_count, count);
  }
}

static struct tally_of_rows scanned_part(uint64_t *s, const struct rows *rows, bool segment,
                                         struct scanner *scanner, size_t part, const struct scan_request *q,
                                         int64_t from, int64_t to) {
  struct tally_of_rows t = {0};
  tally_error error = {0};
  uint32_t pieces = segment ? 1 + sample_below(s, 4) : 1;
  for (uint32_t piece = 0; piece < pieces; piece++) {
    const struct vector *v;
    struct whole_chunk whole;
    int result;
    scanner_services(scanner, piece, pieces);
    cr_assert_eq(scanner_part(scanner, part, from, to, &error), 0, "%s", error.text);
    do {
      while (scanner_whole(scanner, &whole) && sample_below(s, 4)) {
        uint32_t first = whole.chunk * CHUNK_ROWS;
        for (int c = 0; c < TALLY_COL_METADATA; c++)
          if (q->columns >> c & 1) check_whole_column(scanner, &whole, rows, c, sample_below(s, 1000));
        struct tally_of_rows of = naive_rows(rows, q, first, first + whole.rows, from, to);
        cr_assert_eq(of.rows, whole.rows, "a chunk is not whole");
        t.rows += of.rows;
        t.hash += of.hash;
        scanner_leave_whole(scanner, &whole);
      }
      result = scanner_next(scanner, &v, &error);
      if (result == TALLY_ROW) add_vector(v, q->columns, &t);
    } while (result == TALLY_ROW);
    cr_assert_eq(result, TALLY_OK, "%s", error.text);
  }
  return t;
}

static void check_part(uint64_t *s, const struct fixture *f, const struct scan *scan, struct scanner *scanner,
                       const struct scan_request *q, size_t part, unsigned round) {
  struct tally_of_rows want = naive_part(&f->rows[part], q, INT64_MIN, INT64_MAX);
  const struct rows *rows = &f->rows[part];
  const bool segment = part < f->snapshot.segment_count;
  struct tally_of_rows got = scanned_part(s, rows, segment, scanner, part, q, q->from, q->to);
  cr_assert(want.rows == got.rows && want.hash == got.hash, "round %u part %zu: %llu rows, not %llu", round,
            part, (unsigned long long)got.rows, (unsigned long long)want.rows);
  int64_t from, to;
  if (!scan_part_range(scan, part, &from, &to)) {
    cr_assert_eq(want.rows, 0, "round %u: part %zu was pruned", round, part);
    return;
  }
  cr_assert(scan_part_rows(scan, part) >= want.rows);
  struct tally_of_rows ranged = naive_part(&f->rows[part], q, from, to);
  cr_assert(ranged.rows == want.rows && ranged.hash == want.hash, "round %u: part %zu has rows outside",
            round, part);
  int64_t cut = from + (int64_t)(sample_random(s) % (uint64_t)(to - from));
  want = naive_part(&f->rows[part], q, from, cut);
  got = scanned_part(s, rows, segment, scanner, part, q, from, cut);
  cr_assert(want.rows == got.rows && want.hash == got.hash, "round %u part %zu narrowed", round, part);
}

static void check_requests(uint64_t *s, const struct fixture *f, unsigned rounds) {
  struct budget share;
  budget_init(&share, 64u << 20, NULL);
  for (unsigned round = 0; round < rounds; round++) {
    static struct random_request q;
    random_request(s, f, &q);
    struct scan *scan;
    struct scanner *scanner;
    tally_error error = {0};
    cr_assert_eq(scan_new(&f->snapshot, &q.request, &share, &scan, &error), 0, "%s", error.text);
    cr_assert_eq(scanner_new(scan, &scanner, &error), 0, "%s", error.text);
    for (size_t part = 0; part < scan_parts(scan); part++)
      check_part(s, f, scan, scanner, &q.request, part, round);
    scanner_free(scanner);
    scan_free(scan);
    cr_assert_eq(budget_used(&share), 0);
  }
}

static void make_parts(uint64_t *s, struct fixture *f, const uint32_t ids[DOMAINS], uint32_t most,
                       uint32_t nulls) {
  fixture_begin(f, ids);
  for (int i = 0; i < 3; i++) {
    struct sample_shape shape = {
        1 + sample_below(s, most), ids[0], ids[1], ids[2], ids[3], nulls, i == 1, 0, 0};
    shape.from = i == 2 ? FEBRUARY_START : JANUARY_START;
    shape.to = shape.from + (i + 1) * DAY_US;
    struct rows rows;
    sample_make(s, &shape, &rows);
    fixture_segment(f, rows, i == 2 ? JANUARY + 1 : JANUARY);
  }
  for (int i = 0; i < 2; i++) {
    struct sample_shape shape = {
        10 + sample_below(s, most), ids[0], ids[1], ids[2], ids[3], nulls, i == 1, JANUARY_START,
        FEBRUARY_START + DAY_US};
    struct rows rows;
    sample_arrivals(s, &shape, &rows);
    fixture_memtable(f, rows, i == 0 ? rows.count : rows.count - 7);
  }
}

Test(scan, gives_the_rows_a_naive_evaluator_gives, .timeout = 300) {
  uint64_t s = sample_seed("scan_rows", 11);
  static const struct {
    uint32_t ids[DOMAINS], most, nulls;
    unsigned rounds;
  } cases[] = {
      {{50, 6, 20, 4}, 600, 10, 150},
      {{3, 2, 2, 2}, 14000, 0, 40},
      {{6000, 12, 60, 4}, 14000, 3, 40},
      {{900, 300, 5000, 9}, 5000, 20, 40},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct fixture f;
    make_parts(&s, &f, cases[i].ids, cases[i].most, cases[i].nulls);
    check_requests(&s, &f, cases[i].rounds);
    fixture_end(&f);
  }
}

/* Every user of two segments and a memtable, one by one: the index finds all of its runs and no other. */
Test(scan, each_user_is_found_with_all_of_its_rows, .timeout = 120) {
  uint64_t s = sample_seed("scan_users", 12);
  const uint32_t ids[DOMAINS] = {1500, 3, 4, 2};
  struct fixture f;
  make_parts(&s, &f, ids, 9000, 2);
  for (uint32_t id = 1; id <= ids[0]; id++) {
    char text[64];
    tally_text user = fixture_text(0, id, text);
    struct literal literal = {user.data, user.size, false, 0};
    struct predicate p = {{TALLY_COL_USER_ID, NULL, 0}, OP_EQ, &literal, 1};
    struct scan_request q = {INT64_MIN, INT64_MAX, &p, 1, 1u << TALLY_COL_USER_ID | 1u << TALLY_COL_TIMESTAMP,
                             NULL};
    struct scan *scan;
    struct scanner *scanner;
    tally_error error = {0};
    cr_assert_eq(scan_new(&f.snapshot, &q, &f.budget, &scan, &error), 0, "%s", error.text);
    cr_assert_eq(scanner_new(scan, &scanner, &error), 0, "%s", error.text);
    for (size_t part = 0; part < scan_parts(scan); part++) {
      const struct rows *r = &f.rows[part];
      const bool segment = part < f.snapshot.segment_count;
      struct tally_of_rows got = scanned_part(&s, r, segment, scanner, part, &q, q.from, q.to), want = {0};
      for (uint32_t i = 0; i < r->count; i++) want.rows += r->text[0][i] == id;
      cr_assert_eq(got.rows, want.rows, "user %u part %zu", id, part);
    }
    scanner_free(scanner);
    scan_free(scan);
  }
  fixture_end(&f);
}

/* ------------------------------------------------------------------ times ahead */

static int compare_times(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

/* The times that a scanner tells of a part, in order. */
static uint32_t times_ahead(struct scanner *scanner, size_t part, const struct scan_request *q, uint64_t most,
                            bool last, int64_t *times) {
  const struct vector *v;
  tally_error error = {0};
  uint32_t n = 0;
  scanner_services(scanner, 0, 1);
  int result = scanner_part(scanner, part, q->from, q->to, &error);
  scanner_times(scanner, most, last);
  while (!result && (result = scanner_next(scanner, &v, &error)) == TALLY_ROW) {
    for (uint32_t i = 0; i < v->rows; i++) times[n++] = v->value[TALLY_COL_TIMESTAMP][i];
    result = 0;
  }
  cr_assert_eq(result, TALLY_OK, "%s", error.text);
  qsort(times, n, sizeof *times, compare_times);
  return n;
}

static uint32_t naive_times(const struct rows *r, const struct scan_request *q, int64_t *times) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < r->count; i++)
    if (naive_row(r, i, q)) times[n++] = r->timestamp[i];
  qsort(times, n, sizeof *times, compare_times);
  return n;
}

/* The first or last times are right, and where the index alone decides no run is read further than that;
 * afterwards the part has all of its rows again. */
static void check_times_ahead(uint64_t *s, const struct fixture *f, const struct scan_request *q, size_t part,
                              struct scanner *scanner, bool by_index) {
  static int64_t got[16384], want[16384];
  const bool last = sample_below(s, 2), segment = part < f->snapshot.segment_count;
  const uint32_t most = 1 + sample_below(s, 1u << sample_below(s, 9)), runs = f->snapshot.ids[1] + 1;
  const uint32_t n = times_ahead(scanner, part, q, most, last, got),
                 all = naive_times(&f->rows[part], q, want);
  const uint32_t least = all < most ? all : most;
  cr_assert(least <= n && n <= all);
  cr_assert(memcmp(last ? got + n - least : got, last ? want + all - least : want, least * sizeof *got) == 0);
  if (by_index && segment) cr_assert_leq(n, most * runs, "%u times of %u runs for %u", n, runs, most);
  struct tally_of_rows rows = naive_part(&f->rows[part], q, q->from, q->to),
                       again = scanned_part(s, &f->rows[part], segment, scanner, part, q, q->from, q->to);
  cr_assert(rows.rows == again.rows && rows.hash == again.hash);
}

Test(scan, times_are_read_ahead_only_as_far_as_they_are_wanted) {
  uint64_t s = sample_seed("scan_times", 13);
  const uint32_t ids[DOMAINS] = {4, 5, 4, 2};
  struct fixture f;
  make_parts(&s, &f, ids, 14000, 2);
  for (uint32_t round = 0; round < 60; round++) {
    char text[64];
    tally_text user = fixture_text(0, 1 + round % ids[0], text);
    struct literal literals[2] = {{user.data, user.size, false, 0}, {"300", 3, false, 0}};
    struct predicate where[2] = {{{TALLY_COL_USER_ID, NULL, 0}, OP_EQ, &literals[0], 1},
                                 {{TALLY_COL_STATUS_CODE, NULL, 0}, OP_LT, &literals[1], 1}};
    const uint32_t kind = round % 3; /* the user alone, its status too, a range of time too */
    struct scan_request q = {INT64_MIN, INT64_MAX, where, kind == 1 ? 2 : 1, (1u << COLUMNS) - 1, NULL};
    if (kind == 2) q.from = JANUARY_START + DAY_US / 3;
    if (kind == 2) q.to = JANUARY_START + DAY_US;
    struct scan *scan;
    struct scanner *scanner;
    tally_error error = {0};
    cr_assert_eq(scan_new(&f.snapshot, &q, &f.budget, &scan, &error), 0, "%s", error.text);
    cr_assert_eq(scanner_new(scan, &scanner, &error), 0, "%s", error.text);
    for (size_t part = 0; part < scan_parts(scan); part++)
      check_times_ahead(&s, &f, &q, part, scanner, kind == 0);
    scanner_free(scanner);
    scan_free(scan);
  }
  fixture_end(&f);
}

/* ------------------------------------------------------------------ few rows */

/* A segment of events whose costs follow their tokens. */
static void make_billed(uint64_t *s, struct fixture *f, uint32_t nulls) {
  const uint32_t ids[DOMAINS] = {30, 5, 20, 4};
  struct sample_shape shape = {
      14000, ids[0], ids[1], ids[2], ids[3], nulls, false, JANUARY_START, JANUARY_START + DAY_US};
  struct rows rows;
  fixture_begin(f, ids);
  sample_make(s, &shape, &rows);
  for (uint32_t i = 0; i < rows.count; i++)
    if (bitmap_get(rows.valid[VALID_COST], i))
      rows.cost[i] = rows.number[INT_COLUMNS - 1][i] * INT64_C(12345000) + (i % 97 == 0);
  fixture_segment(f, rows, JANUARY);
}

/* Once a chunk has been read as a whole, few of its rows are decoded one by one. */
Test(scan, few_rows_of_a_chunk_are_those_that_the_whole_has) {
  uint64_t s = sample_seed("scan_few", 14);
  for (uint32_t nulls = 0; nulls <= 5; nulls += 5) {
    struct fixture f;
    struct scan_request q = {INT64_MIN, INT64_MAX, NULL, 0, (1u << COLUMNS) - 1, NULL};
    struct scan *scan;
    struct scanner *scanner;
    tally_error error = {0};
    make_billed(&s, &f, nulls);
    cr_assert_eq(scan_new(&f.snapshot, &q, &f.budget, &scan, &error), 0, "%s", error.text);
    cr_assert_eq(scanner_new(scan, &scanner, &error), 0, "%s", error.text);
    for (uint32_t turn = 0; turn < 40; turn++) { /* the first reads everything */
      const struct rows *r = &f.rows[0];
      int64_t from = turn ? r->timestamp[sample_below(&s, r->count)] : q.from,
              to = turn ? from + DAY_US / 200 : q.to;
      struct tally_of_rows want = naive_part(r, &q, from, to),
                           got = scanned_part(&s, r, true, scanner, 0, &q, from, to);
      cr_assert(want.rows == got.rows && want.hash == got.hash, "turn %u: %llu rows", turn,
                (unsigned long long)want.rows);
    }
    scanner_free(scanner);
    scan_free(scan);
    fixture_end(&f);
  }
}
