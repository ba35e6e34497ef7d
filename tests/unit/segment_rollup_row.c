/* segment_rollup_row.c - rows are added to cells in the same way whatever the processor has. */
#include "segment_fixture.h"

#include "segment/rollup_row.h"

#define ROWS 40u
#define CELLS 5u
#define DAYS 3u

struct state {
  struct rollup_cell cell[CELLS];
  struct rollup_bounds day[DAYS];
};

static void begin(struct state *s, uint64_t *random) {
  memset(s, 0, sizeof *s);
  for (uint32_t c = 0; c < CELLS; c++)
    s->cell[c] = (struct rollup_cell){.bucket = c, .key = UINT32_MAX, .rows = c, .day = c % DAYS};
  for (uint32_t d = 0; d < DAYS; d++)
    for (int m = 0; m < MEASURES; m++) {
      bool none = sample_below(random, 2);
      s->day[d].min[m] = none ? INT64_MAX : (int64_t)sample_below(random, 100);
      s->day[d].max[m] = none ? INT64_MIN : s->day[d].min[m];
    }
}

/* One value after the other, as the format page has it. */
static void add_naively(struct state *s, const uint32_t *at, int64_t value[ROWS][MEASURES], uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    struct rollup_bounds *day = &s->day[s->cell[at[i]].day];
    s->cell[at[i]].rows++;
    for (int m = 0; m < MEASURES; m++) {
      s->cell[at[i]].sum[m] += value[i][m];
      if (value[i][m] < day->min[m]) day->min[m] = value[i][m];
      if (value[i][m] > day->max[m]) day->max[m] = value[i][m];
    }
  }
}

Test(segment, rows_are_added_to_cells_as_one_value_after_the_other) {
  uint64_t random = sample_seed("segment_rollup_row", 15);
  rollup_rows_fn *const ways[] = {rollup_rows_portable, rollup_rows_best()};
  for (int round = 0; round < 3000; round++) {
    const uint32_t count = sample_below(&random, ROWS + 1);
    int32_t number[INT_COLUMNS][ROWS];
    int64_t cost[ROWS], value[ROWS][MEASURES];
    uint32_t at[ROWS];
    struct measured measured = {.cost = cost};
    for (uint32_t i = 0; i < count; i++) {
      at[i] = sample_below(&random, CELLS);
      for (int m = 0; m < MEASURES; m++) {
        const int64_t v = (int64_t)sample_below(&random, 200) - 50,
                      end = sample_below(&random, 2) ? INT32_MAX : INT32_MIN;
        value[i][m] = sample_below(&random, 20) ? v : end;
        if (m < INT_COLUMNS)
          number[m][i] = (int32_t)value[i][m];
        else
          cost[i] = value[i][m] = value[i][m] * 1000000;
      }
    }
    for (int m = 0; m < INT_COLUMNS; m++) measured.number[m] = number[m];
    struct state before, want;
    begin(&before, &random);
    want = before;
    add_naively(&want, at, value, count);
    for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
      struct state got = before;
      ways[k](got.cell, got.day, at, &measured, count);
      cr_assert_eq(memcmp(&got, &want, sizeof got), 0, "round %d, way %zu, %u rows", round, k, count);
    }
  }
}
