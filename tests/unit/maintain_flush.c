/* Rows of a memtable in the order of storage, against a slow sort that is certainly right. */
#include <criterion/criterion.h>

#include "maintain/flush.h"
#include "maintain/order.h"
#include "sample_rows.h"

static void compare(const struct rows *sorted, const struct rows *expected) {
  cr_assert_eq(sorted->count, expected->count);
  for (uint32_t i = 0; i < sorted->count; i++) {
    for (int column = 0; column < TALLY_COL_METADATA; column++) {
      bool valid, expected_valid;
      const int64_t value = sample_value(sorted, column, i, &valid),
                    expected_value = sample_value(expected, column, i, &expected_valid);
      cr_assert_eq(valid, expected_valid, "row %u, column %d", i, column);
      if (valid) cr_assert_eq(value, expected_value, "row %u, column %d", i, column);
    }
    const uint64_t at = sorted->metadata_at[i], size = sorted->metadata_at[i + 1] - at,
                   expected_at = expected->metadata_at[i];
    cr_assert_eq(bitmap_get(sorted->valid[VALID_METADATA], i), bitmap_get(expected->valid[VALID_METADATA], i),
                 "row %u", i);
    cr_assert_eq(size, expected->metadata_at[i + 1] - expected_at, "row %u", i);
    if (size) cr_assert_arr_eq(sorted->metadata + at, expected->metadata + expected_at, size, "row %u", i);
  }
}

Test(flush, sorted_rows_have_all_columns_and_the_metadata_of_their_rows) {
  uint64_t random = sample_seed("maintain_flush", 11);
  for (int round = 0; round < 60; round++) {
    struct sample_shape shape = {1 + sample_below(&random, round % 4 ? 1500 : 9000),
                                 1 + sample_below(&random, 50),
                                 3,
                                 4,
                                 2,
                                 round % 5 == 0 ? 0 : sample_below(&random, 101),
                                 round % 2 == 0,
                                 month_start(649),
                                 month_start(650)};
    struct rows arrived, expected, sorted;
    sample_arrivals(&random, &shape, &arrived);
    sample_sort(&arrived, &expected);
    sample_allocate(&sorted, shape.rows);
    sorted.metadata = malloc(arrived.metadata_at[shape.rows] + 1);
    void *scratch = malloc(flush_sort_bytes(shape.rows));
    flush_sort(&arrived, &sorted, scratch);
    compare(&sorted, &expected);
    free(scratch);
    sample_free(&arrived);
    sample_free(&expected);
    sample_free(&sorted);
  }
}
