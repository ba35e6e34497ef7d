/* segment_rollups.c - rollups and sets of users say what the rows say, and are there where they pay. */
#include "segment_fixture.h"

static const struct sample_shape shapes[] = {
    {4000, 20, 3, 2, 2, 0, false, FEBRUARY_START, FEBRUARY_START + DAY_US}, /* hours and days pay */
    {9000, 20, 3, 2, 2, 20, false, FEBRUARY_START + DAY_US, FEBRUARY_START + 4 * DAY_US}, /* NULLs */
    {6000, 10, 3, 5, 2, 5, false, FEBRUARY_START, FEBRUARY_END},                          /* only days */
    {6000, 5000, 3, 3000, 4, 0, false, FEBRUARY_START, FEBRUARY_END},                     /* nothing pays */
    {40000, 700, 4, 9, 3, 3, false, FEBRUARY_START + 5, FEBRUARY_END - 3600000000},       /* several pieces */
    {9000, 1, 1, 1, 1, 30, false, FEBRUARY_END - 1000, FEBRUARY_END},                     /* the last hour */
    {30000, 20000, 1, 1, 1, 0, false, FEBRUARY_START, FEBRUARY_START + 2 * DAY_US},       /* large sets */
};
#define SHAPES (sizeof shapes / sizeof *shapes)

struct entries {
  uint32_t bucket[ROLLUP_PIECE], key[ROLLUP_PIECE], rows[ROLLUP_PIECE];
  struct measure measure[MEASURES][ROLLUP_PIECE];
  struct rollup_entries arrays;
};

static struct entries *new_entries(void) {
  struct entries *e = malloc(sizeof *e);
  e->arrays = (struct rollup_entries){.bucket = e->bucket, .key = e->key, .rows = e->rows, .bounds = true};
  for (int m = 0; m < MEASURES; m++) e->arrays.measure[m] = e->measure[m];
  return e;
}

/* The class as the format page has it. */
static uint32_t naive_class(const struct rows *r, uint32_t row) {
  bool valid;
  int64_t status = sample_value(r, TALLY_COL_STATUS_CODE, row, &valid);
  if (!valid) return 0;
  for (uint32_t c = 1; c < 7; c++)
    if (status < 100 * (int64_t)c) return c;
  return 7;
}

static bool in_entry(const struct rows *r, uint32_t row, const struct rollup_key *k, int64_t bucket,
                     int64_t width) {
  return r->text[1][row] == k->service && r->text[2][row] == k->endpoint && r->text[3][row] == k->method &&
         naive_class(r, row) == k->status && (r->timestamp[row] - FEBRUARY_START) / width == bucket;
}

static struct measure naive_measure(const struct rows *r, int m, const uint32_t *list, uint32_t count) {
  struct measure x = {0};
  for (uint32_t i = 0; i < count; i++) {
    bool valid;
    int64_t v = sample_value(r, TALLY_COL_REQUEST_SIZE + m, list[i], &valid);
    if (!valid) continue;
    if (!x.nonnull || v < x.min) x.min = v;
    if (!x.nonnull || v > x.max) x.max = v;
    x.sum += v;
    x.nonnull++;
  }
  return x;
}

/* Every entry equals its rows; gives the number of rows that are in entries. */
static uint64_t check_entries(const struct rows *r, const struct rollup_key *keys, const struct entries *e,
                              uint32_t count, int64_t width, bool bounds) {
  uint64_t rows = 0;
  uint32_t *list = malloc(r->count * sizeof *list);
  for (uint32_t i = 0; i < count; i++) {
    uint32_t n = 0;
    for (uint32_t row = 0; row < r->count; row++)
      if (in_entry(r, row, &keys[e->key[i]], e->bucket[i], width)) list[n++] = row;
    cr_assert_eq(e->rows[i], n, "rows of an entry");
    rows += n;
    for (int m = 0; m < MEASURES; m++) {
      struct measure want = naive_measure(r, m, list, n), got = e->measure[m][i];
      if (!bounds) want.min = want.max = 0;
      cr_assert(got.sum == want.sum && got.min == want.min && got.max == want.max &&
                    got.nonnull == want.nonnull,
                "measure %d of an entry", m);
    }
  }
  free(list);
  return rows;
}

/* All entries, read at once and then a few buckets at a time. Large levels are looked at in part. */
static void check_level(struct segment *s, const struct rows *r, enum rollup_level level) {
  tally_error error = {0};
  struct rollup_key *keys = malloc(s->rollup_keys * sizeof *keys);
  struct entries *e = new_entries();
  uint64_t rows = 0, entries = 0;
  const int64_t width = rollup_width(level);
  cr_assert_eq(segment_rollup_keys(s, level, keys, &error), 0, "%s", error.text);
  uint32_t step = level == ROLLUP_HOUR ? 100 : 3;
  for (uint32_t from = 0; from < 800; from += step) {
    uint32_t first, end, count;
    segment_rollup_pieces(s, level, from, from + step, &first, &end);
    for (uint32_t piece = first; piece < end; piece++) {
      int result = segment_rollup(s, level, piece, from, from + step, &e->arrays, &count, &error);
      cr_assert_eq(result, 0, "%s", error.text);
      for (uint32_t i = 0; i < count; i++) cr_assert(e->bucket[i] >= from && e->bucket[i] < from + step);
      rows += check_entries(r, keys, e, count, width, s->rollup_bounds[level]);
      entries += count;
    }
  }
  cr_assert_eq(rows, r->count, "an entry's rows are no other's, and none is missing");
  cr_assert_eq(entries, s->rollup_entries[level]);
  free(keys);
  free(e);
}

static void check_users(struct segment *s, const struct rows *r) {
  tally_error error = {0};
  int64_t *users = malloc(USERS_PIECE * sizeof *users);
  uint64_t days = 0;
  for (uint32_t set = 0; set < s->user_sets; set++) {
    uint32_t day = s->user_set[set].day, all = s->user_set[set].users, at = 0;
    bool *want = calloc(s->max_id[0] + 1, sizeof *want);
    days |= UINT64_C(1) << day;
    for (uint32_t i = 0; i < r->count; i++)
      if ((r->timestamp[i] - FEBRUARY_START) / DAY_US == day) want[r->text[0][i]] = true;
    want[0] = false;
    for (uint32_t first = 0; first < all; first += USERS_PIECE) {
      uint32_t n = all - first < USERS_PIECE ? all - first : USERS_PIECE;
      cr_assert_eq(segment_users(s, set, first, n, users, &error), 0, "%s", error.text);
      for (uint32_t i = 0; i < n; i++) {
        while (at < users[i]) cr_assert_not(want[at++], "a user is missing");
        cr_assert(want[at++], "a user too many");
      }
    }
    while (at <= s->max_id[0]) cr_assert_not(want[at++], "a user is missing");
    free(want);
  }
  for (uint32_t i = 0; i < r->count && s->user_sets; i++)
    cr_assert(days >> (r->timestamp[i] - FEBRUARY_START) / DAY_US & 1, "a day is missing");
  free(users);
}

static void check_rollups(struct fixture *f, bool kept) {
  struct segment *s = fixture_open(f);
  for (int level = 0; level <= ROLLUP_DAY; level++) {
    cr_assert(s->rollup_entries[level] || !kept);
    if (s->rollup_entries[level]) check_level(s, &f->rows, (enum rollup_level)level);
  }
  check_users(s, &f->rows);
  segment_unref(s);
}

Test(segment_rollups, equal_their_rows) {
  uint64_t random = sample_seed("segment_rollups", 11);
  for (size_t i = 0; i < SHAPES; i++) {
    struct fixture f;
    fixture_write(&f, &random, &shapes[i]);
    check_rollups(&f, false);
    fixture_end(&f);
  }
}

/* Keys of small ids are found otherwise than those of large ones, of any of the three columns. */
Test(segment_rollups, equal_their_rows_whatever_the_ids_and_the_status_codes) {
  static const int32_t status[] = {-5, 0, 99, 100, 199, 200, 599, 600, 700, INT32_MAX};
  uint64_t random = sample_seed("segment_rollups", 14);
  const struct sample_shape shape = {6000, 20, 3, 2, 2, 10, false, FEBRUARY_START, FEBRUARY_START + 1000};
  for (int domain = 0; domain < DOMAINS; domain++) {
    struct fixture f;
    fixture_begin(&f, &random, &shape);
    for (uint32_t i = 0; i < f.rows.count; i++) {
      int32_t *code = &f.rows.number[TALLY_COL_STATUS_CODE - TALLY_COL_REQUEST_SIZE][i];
      if (*code) *code = status[sample_below(&random, sizeof status / sizeof *status)]; /* 0: NULL perhaps */
      if (domain) f.rows.text[domain][i] *= 5000;
    }
    fixture_write_rows(&f);
    check_rollups(&f, true);
    fixture_end(&f);
  }
}

static uint64_t naive_entries(const struct rows *r, int64_t width) {
  uint64_t *seen = malloc(r->count * sizeof *seen), n = 0;
  for (uint32_t i = 0; i < r->count; i++) {
    uint64_t k = (uint64_t)((r->timestamp[i] - FEBRUARY_START) / width);
    k = (((k << 10 | r->text[1][i]) << 16 | r->text[2][i]) << 10 | r->text[3][i]) << 3 | naive_class(r, i);
    uint64_t at = 0;
    while (at < n && seen[at] != k) at++;
    seen[at] = k;
    n += at == n;
  }
  free(seen);
  return n;
}

Test(segment_rollups, are_written_where_they_are_at_most_a_quarter_of_the_rows) {
  uint64_t random = sample_seed("segment_rollups", 12);
  unsigned seen = 0;
  for (size_t i = 0; i < SHAPES; i++) {
    if (shapes[i].rows > 10000) continue;
    struct fixture f;
    fixture_write(&f, &random, &shapes[i]);
    struct segment *s = fixture_open(&f);
    for (int level = 0; level <= ROLLUP_DAY; level++) {
      uint64_t want = naive_entries(&f.rows, rollup_width((enum rollup_level)level));
      bool pays = want * 4 <= f.rows.count;
      cr_assert_eq(s->rollup_entries[level], pays ? want : 0);
      seen |= 1u << (2 * level + pays);
    }
    segment_unref(s);
    fixture_end(&f);
  }
  cr_assert_eq(seen, 15, "each level is kept once and left out once");
}

static void count_fault(void *arg, const char *file, uint64_t offset, const char *problem) {
  (void)file, (void)offset, (void)problem;
  ++*(unsigned *)arg;
}

Test(segment_rollups, are_left_out_where_the_budget_has_no_room) {
  uint64_t random = sample_seed("segment_rollups", 13);
  struct fixture f;
  unsigned faults = 0;
  tally_error error = {0};
  fixture_write(&f, &random, &shapes[0]);
  uint64_t least = 0; /* the smallest budget with which the segment can be written at all */
  for (uint64_t bytes = 1u << 20; !least && bytes < 1u << 26; bytes += 1u << 14) {
    struct budget small;
    budget_init(&small, bytes, NULL);
    f.info.id++;
    int result = segment_write(os_posix(), f.path, &f.rows, &small, &f.info, &error);
    cr_assert(result == 0 || result == TALLY_MEMORY_LIMIT, "%s", error.text);
    if (result == 0) least = bytes;
    cr_assert_eq(budget_used(&small), 0);
  }
  struct segment *s = fixture_open(&f);
  cr_assert_eq(s->rollup_entries[ROLLUP_HOUR], 0);
  cr_assert_eq(segment_verify(s, NULL, count_fault, &faults, &error), 0);
  cr_assert_eq(faults, 0);
  segment_unref(s);
  fixture_end(&f);
}
