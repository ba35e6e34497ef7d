/* os_thread.c - where threads begin, and where they may go. */
#include <criterion/criterion.h>
#include <sched.h>

#include "os/thread.h"

struct begun {
  int core;
  cpu_set_t may;
};

static void *begin(void *arg) {
  struct begun *b = arg;
  b->core = sched_getcpu();
  (void)sched_getaffinity(0, sizeof b->may, &b->may);
  return NULL;
}

#define ROUNDS 50

/* The system may move both threads at any time, so most rounds must show it, not all. */
Test(os, a_thread_that_begins_elsewhere_begins_on_another_core_and_may_go_anywhere) {
  cpu_set_t all;
  cr_assert_eq(sched_getaffinity(0, sizeof all, &all), 0);
  int told = 0, elsewhere = 0;
  for (int round = 0; round < ROUNDS; round++) {
    struct begun b = {0};
    struct os_thread thread;
    int before = sched_getcpu();
    cr_assert_eq(os_thread_start_elsewhere(&thread, begin, &b), 0);
    int after = sched_getcpu();
    os_thread_join(&thread);
    cr_assert(CPU_EQUAL(&b.may, &all));
    told += before == after;
    elsewhere += before == after && b.core != before;
  }
  cr_assert(CPU_COUNT(&all) < 2 || elsewhere * 2 >= told, "%d of %d", elsewhere, told);
}

Test(os, a_thread_whose_caller_may_use_one_core_only_begins_there) {
  cpu_set_t one;
  struct begun b = {.core = -1};
  struct os_thread thread;
  int core = sched_getcpu();
  CPU_ZERO(&one);
  CPU_SET((size_t)core, &one);
  cr_assert_eq(sched_setaffinity(0, sizeof one, &one), 0);
  cr_assert_eq(os_thread_start_elsewhere(&thread, begin, &b), 0);
  os_thread_join(&thread);
  cr_assert(b.core == core && CPU_EQUAL(&b.may, &one));
}
