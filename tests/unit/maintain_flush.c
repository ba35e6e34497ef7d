/* Rows of a memtable in the order of storage, against a slow sort that is certainly right. */
#include <criterion/criterion.h>

#include "base/mem.h"
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

#define FIRST_MONTH 649
#define MONTHS 4

/* How many rows are of each month, by the calendar. */
static void count_months(const struct rows *rows, uint32_t count[MONTHS]) {
  memset(count, 0, MONTHS * sizeof *count);
  for (uint32_t i = 0; i < rows->count; i++) count[month_of(rows->timestamp[i]) - FIRST_MONTH]++;
}

Test(flush, every_month_gets_its_rows_and_those_at_its_ends_too) {
  uint64_t random = sample_seed("maintain_flush", 12);
  for (int round = 0; round < 60; round++) {
    const struct sample_shape shape = {
        1 + sample_below(&random, 400),   9, 3, 4, 2, 10, false, month_start(FIRST_MONTH),
        month_start(FIRST_MONTH + MONTHS)};
    struct memtable arrived = {0};
    struct budget budget;
    struct segment_info *info;
    uint32_t count, want[MONTHS], at = 0;
    _Atomic uint64_t next_id = 1;
    tally_error error = {0};
    char path[256];
    sample_arrivals(&random, &shape, &arrived.rows);
    for (uint32_t i = 0; i < arrived.rows.count; i++)
      if (sample_below(&random, 3) == 0) {
        const int32_t month = FIRST_MONTH + (int32_t)sample_below(&random, MONTHS);
        arrived.rows.timestamp[i] =
            sample_below(&random, 2) ? month_start(month) : month_start(month + 1) - 1;
      }
    count_months(&arrived.rows, want);
    sample_directory(path);
    budget_init(&budget, 1u << 30, NULL);
    struct memtable *sorted = memtable_new(shape.rows, arrived.rows.metadata_at[shape.rows] + 1, &budget);
    cr_assert_eq(flush_memtable(os_posix(), path, &arrived, sorted, &next_id, &budget, &info, &count, &error),
                 0, "%s", error.text);
    for (int month = 0; month < MONTHS; month++) {
      if (!want[month]) continue;
      cr_assert_lt(at, count);
      cr_assert(info[at].month == FIRST_MONTH + month && info[at].rows == want[month]);
      at++;
    }
    cr_assert_eq(at, count);
    mem_free(info);
    memtable_unref(sorted);
    sample_remove_directory(path);
    sample_free(&arrived.rows);
  }
}
