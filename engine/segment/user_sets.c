/* user_sets.c - see user_sets.h. Users stand once a run, so at most once a service: sorted by the digits of
 * their ids, then united. */
#include "segment/user_sets.h"

#include "base/mem.h"
#include "base/status.h"

#define DIGIT_BITS 11
#define DIGITS 3 /* of 32 bits */
#define SETS_SHRINK 4u

/* Days from the month's start on, by which the rows are bounded. */
static uint32_t day_of(const struct rows *rows, int64_t start, uint32_t row) {
  return (uint32_t)((uint64_t)(rows->timestamp[row] - start) / (uint64_t)DAY_US);
}

/* The days of rows [first, end), which ascend: mostly those of the first and the last are all. */
static uint32_t days_of(const struct rows *rows, int64_t start, uint32_t first, uint32_t end) {
  const uint32_t from = day_of(rows, start, first), to = day_of(rows, start, end - 1);
  uint32_t days = UINT32_C(1) << from | UINT32_C(1) << to;
  if (to - from <= 1) return days;
  int64_t next = INT64_MIN; /* the day that is known ends there */
  for (uint32_t i = first; i < end; i++) {
    if (rows->timestamp[i] < next) continue;
    const uint32_t day = day_of(rows, start, i);
    days |= UINT32_C(1) << day;
    next = start + ((int64_t)day + 1) * DAY_US;
  }
  return days;
}

/* One pass of a radix sort. */
static void sort_digit(const struct user_days *from, struct user_days *to, uint32_t count, int digit) {
  uint32_t at[(1u << DIGIT_BITS) + 1] = {0}, mask = (1u << DIGIT_BITS) - 1;
  for (uint32_t i = 0; i < count; i++) at[(from[i].user >> digit * DIGIT_BITS & mask) + 1]++;
  for (uint32_t i = 0; i < mask; i++) at[i + 1] += at[i];
  for (uint32_t i = 0; i < count; i++) to[at[from[i].user >> digit * DIGIT_BITS & mask]++] = from[i];
}

/* Sorts u->users, with as much memory behind them, and unites the days of equal users. */
static void unite(struct user_sets *u, uint32_t count) {
  struct user_days *from = u->users, *to = u->users + count;
  uint32_t all = 0;
  for (uint32_t i = 0; i < count; i++) all |= from[i].user;
  for (int digit = 0; digit < DIGITS && all >> digit * DIGIT_BITS; digit++) {
    sort_digit(from, to, count, digit);
    struct user_days *sorted = to;
    to = from;
    from = sorted;
  }
  u->users = from;
  for (uint32_t i = 0; i < count; i++) {
    if (u->user_count && from[u->user_count - 1].user == from[i].user)
      from[u->user_count - 1].days |= from[i].days;
    else
      from[u->user_count++] = from[i];
  }
}

/* Fills the sets; false if they have too many members. */
static bool count_members(struct user_sets *u, uint32_t days, uint32_t rows) {
  uint32_t members[MONTH_DAYS] = {0};
  uint64_t all = 0;
  for (uint32_t i = 0; i < u->user_count; i++)
    for (uint32_t left = u->users[i].days; left; left &= left - 1) members[__builtin_ctz(left)]++;
  for (uint32_t d = 0; d < MONTH_DAYS; d++) all += members[d];
  if (all * SETS_SHRINK > rows) return false;
  for (uint32_t d = 0; d < MONTH_DAYS; d++)
    if (days >> d & 1) u->set[u->count++] = (struct user_set){d, members[d]};
  return true;
}

int user_sets_make(struct user_sets *u, const struct rows *rows, const struct summary *s, int64_t month_start,
                   struct budget *budget, tally_error *error) {
  *u = (struct user_sets){.budget = budget, .size = 2 * (size_t)s->runs * sizeof *u->users};
  uint32_t all = 0, count = 0;
  if (!budget_take(budget, u->size)) return 0;
  u->memory = u->users = mem_alloc(u->size);
  if (!u->memory) {
    budget_give(budget, u->size);
    return fail_memory(error, "the users of a segment's days");
  }
  for (uint32_t r = 0; r < s->runs; r++) {
    uint32_t days = days_of(rows, month_start, s->row[r], s->row[r + 1]);
    all |= days; /* a day whose rows have no user is a set too, without members */
    if (s->user[r]) u->users[count++] = (struct user_days){s->user[r], days};
  }
  unite(u, count);
  (void)count_members(u, all, rows->count);
  return 0;
}

void user_sets_free(struct user_sets *u) {
  if (!u->memory) return;
  mem_free(u->memory);
  budget_give(u->budget, u->size);
  *u = (struct user_sets){0};
}
