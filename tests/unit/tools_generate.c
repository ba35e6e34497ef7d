/* tools_generate.c - the numbers behind `tally generate`: right, distributed as they are meant to be, and the
 * same on every machine. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>

#include "tools/generate_random.h"
#include "tools/generate_zipf.h"
#include "tools/watch.h"

static struct random_tables tables;

static void start(struct random *a, struct random *b) {
  random_tables_init(&tables);
  random_seed(1, a, b);
}

Test(generate, logarithm_and_exponential_are_right) {
  struct random a, b;
  start(&a, &b);
  for (int i = 0; i < 200000; i++) {
    uint64_t u = random_next(&a) >> (i % 64);
    if (!u) u = 1;
    double expected = 64 * log(2) - log((double)u);
    double got = (double)negative_log(&tables, u) / 0x1p56;
    cr_assert(fabs(got - expected) < 1e-12, "-ln(%llu / 2^64) = %.17g, not %.17g", (unsigned long long)u,
              expected, got);
    int64_t y = (int64_t)random_below(&a, UINT64_C(54) << 32);
    double power = exp2((double)y / 0x1p32), whole = (double)power_of_two(&tables, y);
    cr_assert(whole <= power * (1 + 1e-11) && whole > power * (1 - 1e-11) - 1, "2^%.12g = %.17g, not %.17g",
              (double)y / 0x1p32, power, whole);
  }
  cr_assert_eq(negative_log(&tables, 0), negative_log(&tables, 1));
  cr_assert(negative_log(&tables, UINT64_MAX) < 1000);
  cr_assert_eq(power_of_two(&tables, 0), 1);
  cr_assert_eq(power_of_two(&tables, INT64_C(10) << 32), 1024);
  cr_assert_eq(power_of_two(&tables, -1), 0);
}

Test(generate, normal_variates_are_normal) {
  struct random a, b;
  start(&a, &b);
  enum { COUNT = 400000 };
  double sum = 0, squares = 0, fourth = 0, products = 0;
  int within = 0;
  for (int i = 0; i < COUNT; i++) {
    int64_t pair[2];
    random_normal(&a, &tables, pair);
    for (int k = 0; k < 2; k++) {
      double z = (double)pair[k] / 0x1p32;
      sum += z;
      squares += z * z;
      fourth += z * z * z * z;
      within += fabs(z) < 1;
    }
    products += (double)pair[0] / 0x1p32 * ((double)pair[1] / 0x1p32);
  }
  const double n = 2.0 * COUNT;
  cr_assert(fabs(sum / n) < 0.006);
  cr_assert(fabs(squares / n - 1) < 0.01);
  cr_assert(fabs(fourth / n - 3) < 0.08);
  cr_assert(fabs(products / COUNT) < 0.008);
  cr_assert(fabs(within / n - 0.682689) < 0.003);
}

Test(generate, ranks_follow_the_law_of_zipf) {
  struct random a, b;
  struct zipf zipf;
  start(&a, &b);
  enum { RANKS = 1000, COUNT = 1000000 };
  static int seen[RANKS + 1];
  cr_assert(zipf_init(&zipf, RANKS, &tables));
  double total = 0;
  for (int k = 1; k <= RANKS; k++) total += pow(k, -1.05);
  for (int i = 0; i < COUNT; i++) {
    uint64_t rank = zipf_next(&zipf, &a);
    cr_assert(rank >= 1 && rank <= RANKS);
    seen[rank]++;
  }
  for (int k = 1; k <= RANKS; k += k < 10 ? 1 : 97) {
    double expected = COUNT * pow(k, -1.05) / total;
    cr_assert(fabs(seen[k] - expected) < 6 * sqrt(expected) + 1, "rank %d: %d, expected %.0f", k, seen[k],
              expected);
  }
  zipf_free(&zipf);
  cr_assert(zipf_init(&zipf, 1, &tables));
  cr_assert_eq(zipf_next(&zipf, &a), 1);
  zipf_free(&zipf);
}

/* xoshiro256** out of SplitMix64(1), computed apart from this code. */
Test(generate, generators_are_the_published_ones) {
  struct random a, b;
  start(&a, &b);
  static const uint64_t state[4] = {UINT64_C(0x910A2DEC89025CC1), UINT64_C(0xBEEB8DA1658EEC67),
                                    UINT64_C(0xF893A2EEFB32555E), UINT64_C(0x71C18690EE42C90B)};
  for (int i = 0; i < 4; i++)
    cr_assert_eq(a.state[i], state[i], "%d: %llx", i, (unsigned long long)a.state[i]);
  struct random published = {{1, 2, 3, 4}};
  static const uint64_t first[4] = {11520, 0, 1509978240, 1215971899390074240};
  for (int i = 0; i < 4; i++) cr_assert_eq(random_next(&published), first[i]);
}

Test(generate, progress_names_rows_rate_share_and_time_left) {
  char text[PROGRESS_TEXT];
  progress_text(text, 1234567, 50, 200, 2000000);
  cr_assert_str_eq(text, "1,234,567 rows, 617 K rows/s, 25 %, 0:06 left");
  progress_text(text, 0, 0, 200, 0);
  cr_assert_str_eq(text, "0 rows, 0 rows/s");
  progress_text(text, 30000000, 1, 0, 10000000);
  cr_assert_str_eq(text, "30,000,000 rows, 3.0 M rows/s");
}

Test(generate, watch_names_the_job_its_time_and_how_far_it_is) {
  char text[PROGRESS_TEXT];
  watch_text(text, "compact", &(struct watch_figures){.rows = 1234567, .rows_done = 1000}, 61000000);
  cr_assert_str_eq(text, "compact, 1:01: 1,000 of 1,234,567 rows rewritten, 0 %");
  watch_text(text, "backup", &(struct watch_figures){.bytes = 300 << 20, .bytes_done = 30 << 20}, 0);
  cr_assert_str_eq(text, "backup, 0:00: 30 of 300 MiB read, 10 %");
  watch_text(text, "backup", &(struct watch_figures){.bytes = 300 << 20, .bytes_done = 301 << 20}, 0);
  cr_assert_str_eq(text, "backup, 0:00: 301 of 300 MiB read", "a copy is read twice");
  watch_text(text, "erase", &(struct watch_figures){0}, 3000000);
  cr_assert_str_eq(text, "erase, 0:03");
}
