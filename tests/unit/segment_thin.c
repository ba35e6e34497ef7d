/* segment_thin.c - a thinned segment says, at every level, what the rows of its sources said; and so does one
 * that is made of thinned segments and of segments with rows. */
#include <unistd.h>

#include "segment/histogram.h"
#include "segment/inside.h"
#include "segment_fixture.h"

#define PARTS 3

/* Segments of one month, and all of their rows. */
struct month {
  char path[256];
  struct budget budget;
  struct cache *cache;
  struct rows rows[PARTS];
  struct segment *segment[PARTS];
  uint64_t next_id;
  struct thin_change change; /* what is expected of: the rows' users are changed, cuts are applied here */
};

static void month_begin(struct month *m, uint64_t *random, const struct sample_shape *shape) {
  tally_error error = {0};
  *m = (struct month){.next_id = 1};
  budget_init(&m->budget, 1u << 30, NULL);
  cr_assert_eq(cache_new(32u << 20, &m->budget, &m->cache, &error), 0);
  sample_directory(m->path);
  for (int i = 0; i < PARTS; i++) {
    struct segment_info info = {.id = m->next_id++, .month = FEBRUARY};
    struct rows arrivals;
    sample_arrivals(random, shape, &arrivals);
    for (uint32_t row = 0; row < arrivals.count; row += 1 + sample_below(random, 8))
      arrivals.timestamp[row] -=
          (arrivals.timestamp[row] - FEBRUARY_START) % INT64_C(3600000000); /* on the hour */
    sample_sort(&arrivals, &m->rows[i]);
    sample_free(&arrivals);
    cr_assert_eq(segment_write(os_posix(), m->path, &m->rows[i], &m->budget, &info, &error), 0, "%s",
                 error.text);
    cr_assert_eq(segment_open(os_posix(), m->path, &info, m->cache, &m->budget, &m->segment[i], &error), 0);
  }
}

static void month_end(struct month *m) {
  for (int i = 0; i < PARTS; i++) {
    segment_unref(m->segment[i]);
    sample_free(&m->rows[i]);
  }
  cache_free(m->cache);
  cr_assert_eq(budget_used(&m->budget), 0, "every byte goes back to the budget");
  sample_remove_directory(m->path);
}

static struct segment *month_thin(struct month *m, struct segment *const *from, size_t count,
                                  uint64_t memory) {
  tally_error error = {0};
  struct segment_info info = {.id = m->next_id++, .month = FEBRUARY};
  struct segment *s = NULL;
  struct budget budget;
  budget_init(&budget, memory, NULL);
  int result = segment_thin(os_posix(), m->path, from, count, &m->change, &budget, &info, &error);
  cr_assert_eq(result, 0, "%s", error.text);
  cr_assert_eq(budget_used(&budget), 0);
  if (info.rows == 0) return NULL;
  cr_assert(info.thinned);
  result = segment_open(os_posix(), m->path, &info, m->cache, &m->budget, &s, &error);
  cr_assert_eq(result, 0, "%s", error.text);
  return s;
}

/* ---- what is expected */

static bool is_left(const struct month *m, const struct rows *r, uint32_t row) {
  for (size_t i = 0; i < m->change.cuts; i++)
    if (m->change.cut[i].service == r->text[1][row]) return r->timestamp[row] >= m->change.cut[i].before;
  return true;
}

static uint32_t rows_left(const struct month *m) {
  uint32_t n = 0;
  for (int i = 0; i < PARTS; i++)
    for (uint32_t row = 0; row < m->rows[i].count; row++) n += is_left(m, &m->rows[i], row);
  return n;
}

struct expected {
  uint32_t bucket, id[4];
  uint32_t rows, errors;
  struct measure measure[MEASURES];
};

static uint32_t naive_class(const struct rows *r, uint32_t row) {
  bool valid;
  int64_t status = sample_value(r, TALLY_COL_STATUS_CODE, row, &valid);
  for (uint32_t c = 1; valid && c < 7; c++)
    if (status < 100 * (int64_t)c) return c;
  return valid ? 7 : 0;
}

static struct expected expect_row(const struct rows *r, uint32_t row, enum rollup_level level) {
  bool users = level == ROLLUP_USER_HOUR || level == ROLLUP_USER_DAY, valid;
  int64_t width = level == ROLLUP_HOUR || level == ROLLUP_USER_HOUR ? INT64_C(3600000000) : DAY_US;
  struct expected e = {.bucket = (uint32_t)((r->timestamp[row] - FEBRUARY_START) / width), .rows = 1};
  e.id[0] = r->text[1][row];
  e.id[1] = r->text[users ? 0 : 2][row];
  e.id[2] = users ? 0 : r->text[3][row];
  e.id[3] = users ? 0 : naive_class(r, row);
  for (int m = 0; m < MEASURES; m++) {
    int64_t v = sample_value(r, TALLY_COL_REQUEST_SIZE + m, row, &valid);
    if (!valid) continue;
    e.measure[m] = (struct measure){v, v, v, 1};
    e.errors += m == TALLY_COL_STATUS_CODE - TALLY_COL_REQUEST_SIZE && v >= 400;
  }
  return e;
}

static int expected_order(const void *pa, const void *pb) {
  const struct expected *a = pa, *b = pb;
  if (a->bucket != b->bucket) return a->bucket < b->bucket ? -1 : 1;
  for (int i = 0; i < 4; i++)
    if (a->id[i] != b->id[i]) return a->id[i] < b->id[i] ? -1 : 1;
  return 0;
}

/* The entries of a level, by a sort of all rows; free with free. */
static struct expected *expect_level(const struct month *m, enum rollup_level level, uint32_t *count) {
  uint32_t rows = 0, n = 0;
  for (int i = 0; i < PARTS; i++) rows += m->rows[i].count;
  struct expected *e = malloc(rows * sizeof *e);
  for (int i = 0; i < PARTS; i++)
    for (uint32_t row = 0; row < m->rows[i].count; row++)
      if (is_left(m, &m->rows[i], row)) e[n++] = expect_row(&m->rows[i], row, level);
  qsort(e, n, sizeof *e, expected_order);
  *count = 0;
  for (uint32_t i = 0; i < n; i++) {
    if (*count == 0 || expected_order(&e[*count - 1], &e[i]) != 0) {
      e[(*count)++] = e[i];
      continue;
    }
    struct expected *x = &e[*count - 1];
    x->rows++;
    x->errors += e[i].errors;
    for (int k = 0; k < MEASURES; k++) {
      struct measure *to = &x->measure[k];
      const struct measure v = e[i].measure[k];
      if (!v.nonnull) continue;
      if (!to->nonnull || v.min < to->min) to->min = v.min;
      if (!to->nonnull || v.max > to->max) to->max = v.max;
      to->sum += v.sum;
      to->nonnull++;
    }
  }
  return e;
}

/* ---- what is there */

static struct found {
  uint32_t bucket[ROLLUP_PIECE], key[ROLLUP_PIECE], rows[ROLLUP_PIECE], errors[ROLLUP_PIECE],
      bins[ROLLUP_PIECE];
  struct measure measure[MEASURES][ROLLUP_PIECE];
} found;

static void check_entry(uint32_t i, const struct rollup_key *k, const struct expected *want, bool users) {
  uint32_t class_errors = k->status >= CLASS_4XX ? found.rows[i] : 0;
  cr_assert_eq(found.bucket[i], want->bucket);
  cr_assert(k->service == want->id[0] && k->endpoint == want->id[1] && k->method == want->id[2] &&
            k->status == want->id[3]);
  cr_assert_eq(found.rows[i], want->rows);
  cr_assert_eq(users ? found.errors[i] : class_errors, want->errors);
  for (int m = 0; m < MEASURES; m++) {
    struct measure got = found.measure[m][i];
    cr_assert(got.sum == want->measure[m].sum && got.min == want->measure[m].min &&
                  got.max == want->measure[m].max && got.nonnull == want->measure[m].nonnull,
              "measure %d of an entry", m);
  }
}

static void check_level(const struct month *m, struct segment *s, enum rollup_level level) {
  tally_error error = {0};
  bool users = rollup_of_users(level);
  struct rollup_key *keys = malloc((users ? s->user_keys : s->rollup_keys) * sizeof *keys);
  struct rollup_entries e = {found.bucket, found.key, found.rows, found.errors, {0}, true};
  uint32_t count, at = 0, piece, end, n;
  for (int i = 0; i < MEASURES; i++) e.measure[i] = found.measure[i];
  struct expected *want = expect_level(m, level, &count);
  cr_assert_eq(s->rollup_entries[level], count);
  cr_assert_eq(segment_rollup_keys(s, level, keys, &error), 0, "%s", error.text);
  segment_rollup_pieces(s, level, 0, 744, &piece, &end);
  for (; piece < end; piece++) {
    cr_assert_eq(segment_rollup(s, level, piece, 0, 744, &e, &n, &error), 0, "%s", error.text);
    for (uint32_t i = 0; i < n; i++) check_entry(i, &keys[found.key[i]], &want[at++], users);
  }
  cr_assert_eq(at, count);
  free(want);
  free(keys);
}

struct bin {
  uint32_t bucket;
  uint32_t id[4];
  int64_t value;
};
static int bin_order(const void *pa, const void *pb) {
  const struct bin *a = pa, *b = pb;
  if (a->bucket != b->bucket) return a->bucket < b->bucket ? -1 : 1;
  for (int i = 0; i < 4; i++)
    if (a->id[i] != b->id[i]) return a->id[i] < b->id[i] ? -1 : 1;
  return (a->value > b->value) - (a->value < b->value);
}

/* The histograms' values, one by one, are those of the rows, each moved to the middle of its bin. */
static void check_histograms(const struct month *m, struct segment *s) {
  tally_error error = {0};
  uint32_t n = 0, at = 0, rows = 0, piece, end;
  for (int i = 0; i < PARTS; i++) rows += m->rows[i].count;
  struct bin *want = malloc(rows * sizeof *want);
  for (int i = 0; i < PARTS; i++)
    for (uint32_t row = 0; row < m->rows[i].count; row++) {
      bool valid;
      int64_t v = sample_value(&m->rows[i], TALLY_COL_DURATION_MS, row, &valid);
      struct expected e = expect_row(&m->rows[i], row, ROLLUP_HOUR);
      if (!valid || !is_left(m, &m->rows[i], row)) continue;
      want[n].bucket = e.bucket;
      memcpy(want[n].id, e.id, sizeof e.id);
      want[n++].value = histogram_value(v);
    }
  qsort(want, n, sizeof *want, bin_order);
  segment_rollup_pieces(s, ROLLUP_HOUR, 0, 744, &piece, &end);
  for (; piece < end; piece++) {
    struct buffer values = {0}, counts = {0};
    cr_assert_eq(segment_histograms(s, piece, 0, 744, found.bins, &values, &counts, &error), 0, "%s",
                 error.text);
    for (size_t i = 0; i < values.size; i += 8)
      for (uint64_t k = load64(counts.data + i); k > 0; k--) {
        cr_assert(at < n);
        cr_assert_eq(want[at++].value, (int64_t)load64(values.data + i));
      }
    buffer_free(&values);
    buffer_free(&counts);
  }
  cr_assert_eq(at, n);
  free(want);
}

static void no_fault(void *arg, const char *file, uint64_t offset, const char *problem) {
  (void)arg, (void)file;
  cr_assert(false, "%llu: %s", (unsigned long long)offset, problem);
}

/* Of thinned sources times are known to the day; `exact`: they are known as they are. */
static void check_totals(const struct month *m, const struct segment *s, bool exact) {
  int64_t least = INT64_MAX, most = INT64_MIN;
  uint32_t count, rows = 0;
  for (int i = 0; i < PARTS; i++)
    for (uint32_t row = 0; row < m->rows[i].count; row++) {
      int64_t time = m->rows[i].timestamp[row];
      if (!is_left(m, &m->rows[i], row)) continue;
      if (time < least) least = time;
      if (time > most) most = time;
    }
  cr_assert(s->info.min_timestamp <= least && s->info.max_timestamp >= most);
  cr_assert(!exact || (s->info.min_timestamp == least && s->info.max_timestamp == most));
  cr_assert_eq(s->info.min_timestamp / DAY_US, least / DAY_US);
  cr_assert_eq(s->info.max_timestamp / DAY_US, most / DAY_US);
  struct expected *e = expect_level(m, ROLLUP_DAY, &count), all = {0};
  for (uint32_t i = 0; i < count; i++) {
    all.errors += e[i].errors;
    for (int k = 0; k < MEASURES; k++) {
      struct measure *to = &all.measure[k];
      const struct measure v = e[i].measure[k];
      if (v.nonnull && (!to->nonnull || v.min < to->min)) to->min = v.min;
      if (v.nonnull && (!to->nonnull || v.max > to->max)) to->max = v.max;
      to->sum += v.sum;
      to->nonnull += v.nonnull;
    }
  }
  free(e);
  cr_assert_eq(s->total.errors, all.errors);
  for (int k = 0; k < MEASURES; k++) {
    struct measure got = s->total.measure[k], want = all.measure[k];
    cr_assert(got.sum == want.sum && got.min == want.min && got.max == want.max &&
                  got.nonnull == want.nonnull,
              "total of measure %d", k);
  }
  for (uint32_t i = 0; i < s->services; i++) rows += s->span[i].rows;
  cr_assert_eq(rows, s->info.rows);
}

static void check_thinned(const struct month *m, struct segment *s) {
  tally_error error = {0};
  cr_assert(s->info.thinned && s->chunks == 0 && s->runs == 0);
  cr_assert_eq(s->info.rows, rows_left(m));
  for (int level = 0; level < ROLLUP_LEVELS; level++) check_level(m, s, (enum rollup_level)level);
  check_histograms(m, s);
  cr_assert_eq(segment_verify(s, NULL, no_fault, NULL, &error), 0, "%s", error.text);
}

static const struct sample_shape shapes[] = {
    {1500, 40, 4, 6, 3, 5, false, FEBRUARY_START, FEBRUARY_END},
    {6000, 300, 3, 3, 2, 0, false, FEBRUARY_START + DAY_US, FEBRUARY_START + 9 * DAY_US},
    {1, 1, 1, 1, 1, 100, false, FEBRUARY_START, FEBRUARY_END},
    {5000, 2000, 3, 900, 4, 40, false, FEBRUARY_START, FEBRUARY_END},
};

Test(segment_thin, keeps_what_the_rows_said) {
  uint64_t random = sample_seed("segment_thin", 21);
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    struct month m;
    month_begin(&m, &random, &shapes[i]);
    struct segment *all = month_thin(&m, m.segment, PARTS, 256u << 20);
    check_thinned(&m, all);
    struct segment *first = month_thin(&m, m.segment, 2, 256u << 20);
    struct segment *mixed[2] = {m.segment[2], first};
    struct segment *again = month_thin(&m, mixed, 2, 256u << 20);
    check_thinned(&m, again);
    segment_unref(all);
    segment_unref(first);
    segment_unref(again);
    month_end(&m);
  }
}

/* Every row of a user becomes one of another. */
static void change_rows(struct month *m, uint32_t user, uint32_t becomes) {
  for (int i = 0; i < PARTS; i++)
    for (uint32_t row = 0; row < m->rows[i].count; row++)
      if (m->rows[i].text[0][row] == user) m->rows[i].text[0][row] = becomes;
}

Test(segment_thin, moves_a_user_to_another_or_to_null) {
  uint64_t random = sample_seed("segment_thin", 26);
  struct month m;
  month_begin(&m, &random, &shapes[0]);
  struct segment *first = month_thin(&m, m.segment, 2, 64u << 20);
  struct segment *mixed[2] = {m.segment[2], first}, *s;
  static const uint32_t changes[][2] = {{3, 0}, {7, 2}, {0, 5}, {9, 4000}};
  for (size_t i = 0; i < 4; i++) {
    m.change = (struct thin_change){.of_user = true, .user = changes[i][0], .becomes = changes[i][1]};
    s = month_thin(&m, mixed, i ? 1 : 2, 64u << 20);
    change_rows(&m, changes[i][0], changes[i][1]);
    check_thinned(&m, s);
    segment_unref(i ? mixed[0] : first);
    mixed[0] = s;
  }
  segment_unref(mixed[0]);
  month_end(&m);
}

/* Cuts of some of the services, and of one that is not there. The first rounds leave nothing and cut nothing.
 */
static size_t some_cuts(uint64_t *random, int round, uint32_t services, struct thin_cut *cut) {
  size_t n = 0;
  for (uint32_t service = 0; service < services + 2; service++) {
    if (round > 1 && sample_below(random, 3) == 0) continue;
    uint32_t day = round == 0 ? 31 : round == 1 ? 0 : sample_below(random, 30);
    cut[n++] = (struct thin_cut){service, FEBRUARY_START + day * DAY_US};
  }
  return n;
}

static bool has_file(const struct month *m, uint64_t id) {
  struct segment_info info = {.id = id, .month = FEBRUARY, .thinned = true};
  char name[64], path[400];
  segment_name(&info, name);
  snprintf(path, sizeof path, "%s/%s", m->path, name);
  return access(path, F_OK) == 0;
}

static void check_cuts(struct month *m, struct segment *const *from, size_t count, bool exact) {
  uint64_t id = m->next_id;
  struct segment *s = month_thin(m, from, count, 64u << 20);
  cr_assert_eq(has_file(m, id), rows_left(m) > 0, "no file where nothing is left");
  if (!s) return;
  check_thinned(m, s);
  check_totals(m, s, exact);
  struct segment *again = month_thin(m, &s, 1, 64u << 20);
  check_thinned(m, again);
  cr_assert_eq(again->info.min_timestamp, s->info.min_timestamp, "the same cuts find nothing more");
  cr_assert_eq(again->info.max_timestamp, s->info.max_timestamp);
  segment_unref(again);
  segment_unref(s);
}

Test(segment_thin, leaves_out_what_is_before_the_cut_of_its_service) {
  uint64_t random = sample_seed("segment_thin", 27);
  struct thin_cut cut[32];
  for (size_t i = 0; i < 3; i++) {
    struct month m;
    month_begin(&m, &random, &shapes[i]);
    struct segment *mixed[2] = {m.segment[2], month_thin(&m, m.segment, 2, 64u << 20)};
    struct segment *all = month_thin(&m, mixed, 2, 64u << 20);
    for (int round = 0; round < 8; round++) {
      m.change = (struct thin_change){.cut = cut, .cuts = some_cuts(&random, round, 6, cut)};
      check_cuts(&m, m.segment, PARTS, true);
      check_cuts(&m, &all, 1, false);
      check_cuts(&m, mixed, 2, false);
    }
    segment_unref(mixed[1]);
    segment_unref(all);
    month_end(&m);
  }
}

Test(segment_thin, needs_little_memory) {
  uint64_t random = sample_seed("segment_thin", 22);
  struct month m;
  month_begin(&m, &random, &shapes[3]);
  tally_error error = {0};
  struct segment_info info = {.id = 99, .month = FEBRUARY};
  uint64_t memory = 1u << 20;
  for (int result = TALLY_MEMORY_LIMIT; result; memory += memory / 32) {
    struct budget budget;
    budget_init(&budget, memory, NULL);
    result = segment_thin(os_posix(), m.path, m.segment, PARTS, NULL, &budget, &info, &error);
    cr_assert(result == 0 || result == TALLY_MEMORY_LIMIT, "%s", error.text);
    cr_assert_eq(budget_used(&budget), 0);
  }
  cr_assert(memory < 16u << 20, "%llu bytes", (unsigned long long)memory);
  segment_remove(os_posix(), m.path, &info);
  struct segment *small = month_thin(&m, m.segment, PARTS, memory);
  check_thinned(&m, small);
  segment_unref(small);
  month_end(&m);
}

Test(segment_thin, leaves_rows_whose_sums_do_not_fit) {
  uint64_t random = sample_seed("segment_thin", 23);
  struct sample_shape shape = {300, 1, 1, 1, 1, 0, true, FEBRUARY_START, FEBRUARY_START + 1000};
  struct month m;
  tally_error error = {0};
  struct segment_info info = {.id = 99, .month = FEBRUARY};
  month_begin(&m, &random, &shape);
  cr_assert_eq(segment_thin(os_posix(), m.path, m.segment, PARTS, NULL, &m.budget, &info, &error),
               TALLY_OVERFLOW);
  char name[64], path[400];
  segment_name(&info, name);
  snprintf(path, sizeof path, "%s/%s", m.path, name);
  cr_assert_null(fopen(path, "rb"), "nothing is left behind");
  month_end(&m);
}

Test(segment_thin, bins_are_within_their_bound) {
  uint64_t random = sample_seed("segment_thin", 24);
  for (int i = 0; i < 200000; i++) {
    int64_t v = (int32_t)(sample_random(&random) >> (32 + sample_below(&random, 32)));
    if (i < 1000) v = i - 500;
    if (i == 1000) v = INT32_MIN;
    if (i == 1001) v = INT32_MAX;
    int64_t middle = histogram_value(v), away = middle > v ? middle - v : v - middle;
    cr_assert_leq(away * 128, v < 0 ? -v : v);
    cr_assert_eq(histogram_value(middle), middle, "the middle of %lld is in its bin", (long long)v);
    cr_assert_eq(histogram_value(-v), -middle);
  }
}

/* ---- damage */

static void ignore_fault(void *arg, const char *file, uint64_t offset, const char *problem) {
  (void)file, (void)offset, (void)problem;
  ++*(unsigned *)arg;
}

/* Reads everything; gives the number of faults. */
static unsigned faults_of(struct month *m, const struct segment_info *info) {
  tally_error error = {0};
  struct segment *s;
  struct cache *cache;
  unsigned faults = 0;
  cr_assert_eq(cache_new(1u << 20, &m->budget, &cache, &error), 0);
  if (segment_open(os_posix(), m->path, info, cache, &m->budget, &s, &error)) {
    cr_assert_eq(error.code, TALLY_CORRUPT, "%s", error.text);
    faults = 1;
  } else {
    int result = segment_verify(s, NULL, ignore_fault, &faults, &error);
    cr_assert(result == 0 || result == TALLY_MEMORY_LIMIT || result == TALLY_NO_MEMORY, "%s", error.text);
    faults += result != 0;
    segment_unref(s);
  }
  cache_free(cache);
  return faults;
}

static void seal(uint8_t *bytes, uint64_t at, uint64_t length, uint64_t id) {
  struct digest d = digest_of(bytes + at, length, at ^ (id * UINT64_C(0x9E3779B97F4A7C15)));
  memcpy(bytes + at + length, d.bytes, 16);
}

Test(segment_thin, sealed_nonsense_is_a_fault_and_never_a_crash, .timeout = 120) {
  uint64_t random = sample_seed("segment_thin_nonsense", 25);
  struct sample_shape shape = {200, 10, 2, 2, 2, 5, false, FEBRUARY_START, FEBRUARY_START + DAY_US};
  struct month m;
  month_begin(&m, &random, &shape);
  struct segment *s = month_thin(&m, m.segment, PARTS, 64u << 20);
  const struct directory *d = &s->inside->directory;
  struct segment_info info = s->info;
  char name[64], path[400];
  segment_name(&info, name);
  snprintf(path, sizeof path, "%s/%s", m.path, name);
  size_t size = (size_t)info.size;
  uint8_t *bytes = malloc(size), *copy = malloc(size);
  FILE *file = fopen(path, "rb");
  cr_assert(file && fread(bytes, 1, size, file) == size);
  fclose(file);
  unsigned seen = 0;
  for (int round = 0; round < 1000; round++) {
    uint32_t block = sample_below(&random, d->blocks + 1);
    uint64_t at = d->at[block], end = block == d->blocks ? size - 40 : d->at[block + 1],
             length = end - at - 18;
    memcpy(copy, bytes, size);
    copy[at + sample_below(&random, (uint32_t)length)] = (uint8_t)sample_random(&random);
    seal(copy, at, length, info.id);
    if (block == d->blocks) memcpy(copy + size - 24, copy + end - 18, 16);
    memcpy(info.digest, copy + size - 24, 16);
    fixture_put(path, copy, size);
    seen += faults_of(&m, &info) > 0;
  }
  cr_assert(seen > 700, "%u of 1000 were seen", seen);
  free(bytes);
  free(copy);
  segment_unref(s);
  month_end(&m);
}
