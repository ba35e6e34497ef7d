/* Laws of scan/kernel.h: selections equal what a loop over the rows selects. */
#include "scan/kernel.h"

#include <criterion/criterion.h>
#include <string.h>

#include "sample_rows.h"

/* Ids around the bounds of the intervals, and rare ones among many. */
static uint32_t some_id(uint64_t *random) {
  static const uint32_t edge[] = {0, 1, 6, 7, 8, 9, 10, 11, UINT32_MAX - 1, UINT32_MAX};
  return sample_below(random, 40) ? 1000 : edge[sample_below(random, sizeof edge / sizeof *edge)];
}

Test(scan, kernel_selects_ids_like_a_loop_over_the_rows) {
  uint64_t random = 7;
  static const struct interval at[] = {{-5, 1}, {7, 7}, {9, 10}, {UINT32_MAX, INT64_MAX}};
  for (int round = 0; round < 400; round++) {
    uint32_t id[SELECTION_WORDS * 64], count = (uint32_t)sample_below(&random, SELECTION_WORDS * 64 + 1);
    uint64_t selection[SELECTION_WORDS] = {0}, right[SELECTION_WORDS] = {0};
    uint32_t first = (uint32_t)sample_below(&random, 4);
    struct intervals in = {at + first, (uint32_t)sample_below(&random, 5 - first)};
    for (uint32_t i = 0; i < count; i++) {
      id[i] = some_id(&random);
      if (sample_below(&random, 5) == 0) continue;
      select_range(selection, i, i + 1);
      if (intervals_have(&in, id[i])) select_range(right, i, i + 1);
    }
    select_ids(selection, count, id, &in);
    cr_assert_eq(memcmp(selection, right, sizeof right), 0, "round %d", round);
  }
}
