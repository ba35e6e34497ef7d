/* The policy of compaction, played on segments that are only numbers. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "maintain/compact_choose.h"
#include "maintain/row_sums.h"
#include "maintain/slices.h"

#define SETTLED 1000u
#define MOST 4000u

static uint64_t state;
static void seed(void) {
  const char *text = getenv("TALLY_SEED");
  state = text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL);
  printf("TALLY_SEED=%llu\n", (unsigned long long)state);
}
static uint64_t below(uint64_t n) {
  uint64_t high = (state = state * 6364136223846793005u + 1442695040888963407u) >> 32;
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (high << 32 | state >> 32) % n;
}

static struct candidate segment[MOST];
static uint32_t count;
static uint64_t written, readings; /* rows that merges wrote, and read: each slice reads all */

static void add(uint32_t rows, int64_t from, int64_t to) {
  cr_assert_lt(count, MOST);
  segment[count++] = (struct candidate){from, to, rows, false};
}

static void begin(void) { count = 0, written = readings = 0; }

static int by_time(const void *a, const void *b) {
  const struct candidate *x = a, *y = b;
  return x->min_timestamp < y->min_timestamp ? -1 : x->min_timestamp > y->min_timestamp;
}

static bool by_policy(bool settle) {
  qsort(segment, count, sizeof *segment, by_time);
  struct compaction c = compact_choose(segment, count, SETTLED, settle);
  if (!c.count) return false;
  uint64_t rows = 0;
  int64_t from = INT64_MAX, to = INT64_MIN;
  bool gone[MOST] = {false};
  struct candidate taken[COMPACT_MOST];
  cr_assert_leq(c.count, COMPACT_MOST);
  for (uint32_t i = 0; i < c.count; i++) {
    const struct candidate *s = &segment[c.input[i]];
    cr_assert_lt(c.input[i], count);
    cr_assert_not(gone[c.input[i]], "a segment is merged once");
    gone[c.input[i]] = true;
    rows += s->weight;
    taken[i] = *s;
    from = s->min_timestamp < from ? s->min_timestamp : from;
    to = s->max_timestamp > to ? s->max_timestamp : to;
  }
  uint32_t left = 0;
  for (uint32_t i = 0; i < count; i++)
    if (!gone[i]) segment[left++] = segment[i];
  count = left;
  /* Rows lie evenly in time here. */
  uint32_t slices = rows <= SETTLED ? 1 : (uint32_t)((rows + SETTLED * 63 / 64 - 1) / (SETTLED * 63 / 64));
  for (uint32_t i = 0; i < slices; i++) {
    int64_t a = from + (to - from) * i / slices, b = from + (to - from) * (i + 1) / slices - (i + 1 < slices);
    add((uint32_t)(rows * (i + 1) / slices - rows * i / slices), a, b);
  }
  compact_mark_tried(taken, c.count, &segment[count - slices], slices, SETTLED);
  written += rows;
  readings += rows * slices;
  return true;
}

static void big_ones_lie_one_after_the_other(const char *what) {
  for (uint32_t i = 0; i < count; i++)
    for (uint32_t k = 0; k < i; k++) {
      const struct candidate *a = &segment[i], *b = &segment[k];
      if (a->weight < SETTLED / 4 || b->weight < SETTLED / 4) continue;
      int64_t from = a->min_timestamp > b->min_timestamp ? a->min_timestamp : b->min_timestamp;
      int64_t to = a->max_timestamp < b->max_timestamp ? a->max_timestamp : b->max_timestamp;
      int64_t x = a->max_timestamp - a->min_timestamp, y = b->max_timestamp - b->min_timestamp;
      cr_assert(to - from <= (x < y ? x : y) / 16, "%s: two big segments overlap", what);
    }
}

static void settle(void) {
  for (unsigned merges = 0; by_policy(true); merges++) cr_assert_lt(merges, 2000u, "settling ends");
}

#define MONTH INT64_C(2678400000000)

Test(compact, ordered_ingest_is_never_rewritten) {
  begin();
  for (int i = 0; i < 40; i++) {
    add(SETTLED, i * (MONTH / 40) - 60000000, (i + 1) * (MONTH / 40));
    cr_assert_not(by_policy(false));
  }
  cr_assert_not(by_policy(true), "and is settled");
}

Test(compact, what_is_settled_has_at_most_one_small_segment_and_no_two_that_overlap) {
  seed();
  for (int round = 0; round < 300; round++) {
    begin();
    uint64_t total = 0;
    for (uint64_t n = 1 + below(120); n > 0; n--) {
      int64_t from = (int64_t)below((uint64_t)MONTH), to = from + (int64_t)below((uint64_t)(MONTH - from));
      uint32_t rows = below(3) ? 1 + (uint32_t)below(SETTLED) : 1 + (uint32_t)below(20);
      if (below(8) == 0) to = from;
      add(rows, from, to);
      total += rows;
      if (below(2))
        while (by_policy(false)) {
        }
    }
    settle();
    uint32_t small = 0;
    for (uint32_t i = 0; i < count; i++) {
      small += segment[i].weight < SETTLED / 4;
      total -= segment[i].weight;
    }
    big_ones_lie_one_after_the_other("random segments");
    cr_assert_leq(small, 1u);
    cr_assert_eq(total, 0u);
    uint32_t before = count;
    cr_assert_not(by_policy(true), "what is settled stays");
    cr_assert_eq(count, before);
  }
}

Test(compact, settling_takes_a_small_segment_along_where_big_ones_over_its_time_are_merged) {
  begin();
  for (int i = 0; i < 5; i++) add(SETTLED / 2, i, MONTH - i);
  add(SETTLED / 8, 10, MONTH - 10);
  settle();
  cr_assert_eq(count, 3u, "2.6 settled ones, and nothing small");
  for (uint32_t i = 0; i < count; i++) cr_assert_geq(segment[i].weight, SETTLED / 4);
  uint64_t once = written;
  add(SETTLED / 8, 10, MONTH - 10);
  settle();
  cr_assert_eq(written, once, "for its sake alone nothing is rewritten");
}

Test(compact, what_no_merge_makes_fewer_is_left_until_another_comes) {
  for (int mode = 0; mode < 2; mode++) {
    begin();
    for (int i = 0; i < 20; i++) segment[count++] = (struct candidate){5, 5 + i, SETTLED, true};
    for (int i = 0; i < 9; i++) segment[count++] = (struct candidate){5, 5 + i, SETTLED / 100, true};
    cr_assert_not(by_policy(mode), "all of one moment, tried already");
    add(SETTLED, 0, MONTH);
    add(SETTLED / 100, 0, MONTH);
    cr_assert(by_policy(mode));
  }
}

/* Light rows at both ends of a time, heavy ones in the middle, which no cut by the number of rows parts. */
Test(compact, light_rows_do_not_go_round_joined_by_one_merge_and_parted_from_heavy_ones_by_the_next) {
  begin();
  struct candidate taken[COMPACT_MOST];
  add(190, 0, 10);
  add(190, 90, 100);
  for (int i = 0; i < 3; i++) add(600, 40 + i, 60);
  for (unsigned merges = 0;; merges++) {
    cr_assert_lt(merges, 20u, "settling ends");
    qsort(segment, count, sizeof *segment, by_time);
    struct compaction c = compact_choose(segment, count, SETTLED, true);
    if (!c.count) break;
    for (uint32_t i = 0; i < c.count; i++) taken[i] = segment[c.input[i]];
    uint32_t kept = 0, first;
    for (uint32_t i = 0, k = 0; i < count; i++) {
      bool gone = false;
      for (k = 0; k < c.count; k++) gone |= c.input[k] == i;
      if (!gone) segment[kept++] = segment[i];
    }
    first = count = kept;
    if (c.count == 2 && taken[0].weight == 190) {
      add(380, 0, 100);
    } else {
      bool light = false;
      for (uint32_t i = 0; i < c.count; i++) light |= taken[i].weight == 380;
      if (light) add(190, 0, 10);
      for (int i = 0; i < 3; i++) add(600, 40 + i, 60);
      if (light) add(190, 90, 100);
    }
    compact_mark_tried(taken, c.count, segment + first, count - first, SETTLED);
  }
}

Test(compact, rows_in_an_order_shuffled_over_a_month_are_rewritten_at_most_three_times) {
  begin();
  uint64_t total = 0;
  for (int i = 0; i < 120; i++) {
    add(SETTLED / 3, i, MONTH - i);
    total += SETTLED / 3;
    while (by_policy(false)) {
    }
    cr_assert_leq(count, total / SETTLED + 3 * COMPACT_FAN, "busy months keep few segments");
  }
  settle();
  cr_assert_leq(written, 3 * total, "%llu rows written for %llu", (unsigned long long)written,
                (unsigned long long)total);
  cr_assert_leq(count, total * 5 / 4 / SETTLED + 1);
}

Test(compact, a_month_of_rows_in_random_order_is_settled_by_merges_that_read_little) {
  for (int mode = 0; mode < 2; mode++) {
    begin();
    for (int i = 0; i < 1000; i++) {
      add(SETTLED, i, MONTH - i);
      while (mode && by_policy(false)) {
      }
    }
    settle();
    cr_assert_leq(written, 4000u * SETTLED);
    cr_assert_leq(readings, 60000u * SETTLED);
    cr_assert_leq(count, 1100u);
    big_ones_lie_one_after_the_other(mode ? "merged on the way" : "settled at once");
  }
}

Test(compact, a_trickle_of_late_events_leaves_old_segments_alone_and_few_new_ones) {
  begin();
  for (int i = 0; i < 40; i++) add(SETTLED, i * (MONTH / 40), (i + 1) * (MONTH / 40) - 1);
  for (int i = 0; i < 2000; i++) {
    add(1, 0, MONTH);
    while (by_policy(false)) {
    }
    cr_assert_leq(count, 40u + 6 * COMPACT_SMALL);
  }
  cr_assert_leq(written, 2000u * 6 + 41 * SETTLED * 9);
}

Test(compact, slices_hold_about_equally_many_rows_and_every_row_lies_in_one) {
  seed();
  static struct slices s;
  static int64_t t[20000];
  for (int round = 0; round < 50; round++) {
    int64_t first = (int64_t)below(1000000), last = first + (int64_t)below((uint64_t)MONTH);
    for (int i = 0; i < 20000; i++) t[i] = first + (int64_t)below((uint64_t)(last - first + 1));
    slices_begin(&s, first, last);
    slices_add(&s, t, 20000);
    uint32_t n = slices_number(&s, 3000, 0, 1), held[32] = {0};
    int64_t cut[32];
    cr_assert(n >= 7 && n < 32);
    for (uint32_t k = 0; k < n; k++) cut[k] = slices_cut(&s, n, k);
    for (int i = 0; i < 20000; i++) {
      uint32_t k = 0;
      while (cut[k] <= t[i]) k++;
      held[k]++;
    }
    cr_assert_eq(cut[n - 1], INT64_MAX);
    if (last - first > 1000000)
      for (uint32_t k = 0; k < n; k++) cr_assert_leq(held[k], 3000u);
  }
}

/* Three looks at the times, as a rewrite does. */
static void look_closer(struct slices *s, const int64_t *t, uint32_t rows, uint32_t at_once) {
  for (uint32_t i = 0; i < rows; i += at_once)
    slices_sample(s, t + i, rows - i < at_once ? rows - i : at_once);
  slices_refine(s);
  slices_add(s, t, rows);
}

Test(compact, rows_of_few_moments_in_a_long_time_are_cut_evenly_too) {
  seed();
  static struct slices s;
  static int64_t t[200000];
  enum { N = sizeof t / sizeof *t, SLICE = 10000 };
  for (int round = 0; round < 20; round++) {
    /* all within a few milliseconds of each day, or of one moment and another far away */
    for (int i = 0; i < N; i++)
      t[i] =
          (int64_t)below(round % 2 ? 28 : 1) * (MONTH / 31) + (int64_t)below(round % 4 < 2 ? 2000 : 100000);
    t[N - 1] = MONTH - 1;
    int64_t first = MONTH, held[64] = {0}, cut[64];
    for (int i = 0; i < N; i++) first = t[i] < first ? t[i] : first;
    slices_begin(&s, first, MONTH - 1);
    slices_add(&s, t, N);
    cr_assert(slices_coarse(&s, SLICE));
    look_closer(&s, t, N, 1 + (uint32_t)below(5000));
    cr_assert_eq(s.rows, (uint64_t)N);
    uint32_t n = slices_number(&s, SLICE, 0, 1);
    cr_assert(n > 20 && n < 64);
    for (uint32_t k = 0; k < n; k++) cut[k] = slices_cut(&s, n, k);
    for (int i = 0; i < N; i++) {
      uint32_t k = 0;
      while (cut[k] <= t[i]) k++;
      held[k]++;
    }
    for (uint32_t k = 0; k < n; k++) cr_assert_leq(held[k], SLICE, "slice %u has %ld rows", k, (long)held[k]);
  }
}

Test(compact, a_rhythm_of_the_rows_does_not_lead_the_sample_astray) {
  static struct slices s;
  static int64_t t[28 * 90000];
  enum { N = sizeof t / sizeof *t, SLICE = N / 20 };
  for (int i = 0; i < N; i++) t[i] = i % 28 * (MONTH / 31) + i % 1999; /* each user once a day */
  for (uint64_t rows = N - 100000; rows <= N; rows += 20000) {         /* steps of several sizes */
    slices_begin(&s, 0, 28 * (MONTH / 31));
    slices_add(&s, t, (uint32_t)rows);
    cr_assert(slices_coarse(&s, SLICE));
    look_closer(&s, t, (uint32_t)rows, 4096);
    uint32_t n = slices_number(&s, SLICE, 0, 1), held[64] = {0};
    int64_t cut[64];
    for (uint32_t k = 0; k < n; k++) cut[k] = slices_cut(&s, n, k);
    for (uint64_t i = 0; i < rows; i++) {
      uint32_t k = 0;
      while (cut[k] <= t[i]) k++;
      held[k]++;
    }
    for (uint32_t k = 0; k < n; k++) cr_assert_leq(held[k], SLICE, "slice %u has %u rows", k, held[k]);
  }
}

Test(compact, rows_that_lie_evenly_or_of_one_moment_need_no_closer_look) {
  static struct slices s;
  int64_t t[1000];
  for (int i = 0; i < 1000; i++) t[i] = i * (MONTH / 1000);
  slices_begin(&s, 0, MONTH - 1);
  for (int i = 0; i < 100; i++) slices_add(&s, t, 1000);
  cr_assert_not(slices_coarse(&s, 10000));
  for (int i = 0; i < 1000; i++) t[i] = 7;
  slices_begin(&s, 7, 7);
  for (int i = 0; i < 100; i++) slices_add(&s, t, 1000);
  cr_assert_not(slices_coarse(&s, 10000));
}

/* ------------------------------------------------------------------ sums */

#define ROWS 3u
struct few {
  int64_t timestamp[ROWS], cost[ROWS];
  uint32_t text[DOMAINS][ROWS];
  int32_t number[INT_COLUMNS][ROWS];
  uint64_t valid[INT_COLUMNS + 2], at[ROWS + 1];
  char metadata[ROWS * 4];
};

static struct row_sums sums_of(struct few *f, uint32_t rows) {
  struct rows r = {.count = rows,
                   .timestamp = f->timestamp,
                   .cost = f->cost,
                   .metadata_at = f->at,
                   .metadata = f->metadata};
  struct row_sums sums = {0};
  for (int d = 0; d < DOMAINS; d++) r.text[d] = f->text[d];
  for (int c = 0; c < INT_COLUMNS; c++) r.number[c] = f->number[c];
  for (int v = 0; v < INT_COLUMNS + 2; v++) r.valid[v] = &f->valid[v];
  row_sums_add(&sums, &r, 0);
  return sums;
}

static struct few sample(void) {
  struct few f = {.timestamp = {1, 2, 3}, .cost = {7, 7, 9}, .at = {0, 4, 4, 8}, .metadata = "{x1}{x2}"};
  for (int d = 0; d < DOMAINS; d++)
    for (uint32_t i = 0; i < ROWS; i++) f.text[d][i] = i + 1;
  for (int c = 0; c < INT_COLUMNS; c++)
    for (uint32_t i = 0; i < ROWS; i++) f.number[c][i] = (int32_t)(10 * i);
  for (int v = 0; v < INT_COLUMNS + 2; v++) f.valid[v] = v == VALID_METADATA ? 5 : 7;
  return f;
}

Test(compact, sums_of_rows_tell_every_change_of_a_value_and_a_row_that_is_missing_or_doubled) {
  struct few f = sample();
  struct row_sums right = sums_of(&f, ROWS), wrong = sums_of(&f, ROWS - 1);
  cr_assert_not(row_sums_equal(&right, &wrong), "a missing row");
  wrong = right;
  cr_assert(row_sums_equal(&right, &wrong));
  for (int kind = 0; kind < 9; kind++) {
    f = sample();
    switch (kind) {
    case 0:
      f.timestamp[0]++, f.timestamp[1]--;
      break;
    case 1:
      f.text[0][0] = 2, f.text[0][1] = 1;
      break; /* swapped between rows: no sum changes */
    case 2:
      f.number[2][0]++, f.number[2][1]--;
      break;
    case 3:
      f.cost[2]++, f.cost[0]--;
      break;
    case 4:
      f.valid[3] = 6;
      break; /* NULL for 0 */
    case 5:
      f.metadata[2] = '2', f.metadata[6] = '1';
      break;
    case 6:
      f.valid[VALID_METADATA] = 7;
      break; /* '' for NULL */
    case 7:
      f.text[3][2] = 0;
      break;
    default:
      f.timestamp[2] = 1, f.text[1][2] = f.text[1][0];
      break;
    }
    wrong = sums_of(&f, ROWS);
    cr_assert_not(row_sums_equal(&right, &wrong), "change %d", kind);
  }
}
