/* Laws of base/budget.h. */
#include "base/budget.h"

#include <criterion/criterion.h>

/* Somewhere else that gives memory back, and others that are quicker to take it. */
struct elsewhere {
  struct budget *total;
  uint64_t kept;
  unsigned thieves, asked;
};

static bool give_back(void *arg, uint64_t bytes) {
  struct elsewhere *e = arg;
  e->asked++;
  if (e->kept < bytes) return false;
  e->kept -= bytes;
  if (e->thieves)
    e->thieves--;
  else
    budget_give(e->total, bytes);
  return true;
}

Test(base, budget_asks_again_when_others_took_what_was_freed) {
  struct budget total, child;
  budget_init(&total, 1000, NULL);
  budget_init(&child, 500, &total);
  cr_assert(budget_take(&total, 1000));
  struct elsewhere e = {.total = &total, .kept = 1000, .thieves = 3};
  child.reclaim = give_back;
  child.reclaim_arg = &e;
  cr_assert(budget_take(&child, 200));
  cr_assert_eq(e.asked, 4);
  cr_assert_eq(budget_used(&child), 200);
  cr_assert_eq(budget_used(&total), 1000);
}

Test(base, budget_ends_asking_when_nothing_is_left_to_free) {
  struct budget total, child;
  budget_init(&total, 1000, NULL);
  budget_init(&child, 500, &total);
  cr_assert(budget_take(&total, 1000));
  struct elsewhere e = {.total = &total, .kept = 1000, .thieves = UINT32_MAX};
  child.reclaim = give_back;
  child.reclaim_arg = &e;
  cr_assert_not(budget_take(&child, 300));
  cr_assert_eq(e.asked, 4);
  cr_assert_eq(budget_used(&child), 0, "what was not had is not counted");
  cr_assert_not(budget_take(&child, 501), "its own limit is not asked about");
  cr_assert_eq(e.asked, 4);
}
