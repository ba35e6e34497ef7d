/* memory.c - R6: every allocation of every step fails, once or from then on. */
#include <stdio.h>

#include "base/mem.h"
#include "faults/rows.h"

static struct memory_fault *armed;

static int allow(size_t size) {
  (void)size;
  armed->seen++;
  if (!armed->at || (armed->ever ? armed->seen < armed->at : armed->seen != armed->at)) return 1;
  armed->fired = true;
  return 0;
}

void memory_arm(struct memory_fault *fault) {
  armed = fault;
  mem_test_hook = fault ? allow : NULL;
}

struct memory_case {
  const struct place *place;
  uint64_t draw;
  struct memory_fault fault;
  unsigned long long number;
};

static void fail_allocation(void *arg) {
  struct memory_case *c = arg;
  long before = heap_live;
  struct world w = reopened(c->place->world, c->draw);
  tally_error e;
  memory_arm(&c->fault);
  int result = steps[c->place->step].run(&w, &e);
  memory_arm(NULL);
  if (result) {
    check(c->fault.fired, "%s: %s", steps[c->place->step].name, e.text);
    check_error(result, &e);
    check(result == TALLY_NO_MEMORY || result == TALLY_MEMORY_LIMIT || result == TALLY_READ_ONLY,
          "a failure without memory says so: %s: %s", tally_error_name(result), e.text);
  }
  go_on(&w, c->place->step, result);
  if (c->number % 2 == 0 && w.store.db) (void)world_close(&w, &e);
  world_crash(&w);
  recover_and_finish(&w, c->place->step, false);
  world_free(&w);
  check(heap_live == before, "%ld blocks of memory are not freed", heap_live - before);
}

struct memory {
  const struct plan *plan;
  unsigned long long cases;
};

static void at_step(void *arg, const struct place *place) {
  struct memory *s = arg;
  struct memory_fault none = {.at = 0};
  struct world w = reopened(place->world, 1);
  tally_error e;
  memory_arm(&none);
  int result = steps[place->step].run(&w, &e);
  memory_arm(NULL);
  check(result == 0, "%s without a fault: %s", steps[place->step].name, e.text);
  world_free(&w);
  for (unsigned long long at = 1; at <= none.seen; at++)
    for (int ever = 0; ever < 2; ever++) {
      unsigned long long number = s->cases++;
      struct memory_case c = {place, case_seed(s->plan, number), {.at = at, .ever = ever}, number};
      if (!mine(s->plan, number)) continue;
      run_case(fail_allocation, &c, "--row R6 --seed %llu --only %llu (%s, allocation %llu fails%s)",
               s->plan->seed, number, steps[place->step].name, at, ever ? " from then on" : "");
      memory_arm(NULL);
    }
}

void row_memory(const struct plan *plan) {
  struct memory s = {.plan = plan};
  (void)run_script(plan, at_step, NULL, &s);
  if (plan->worker == 0) printf("R6: %llu cases\n", s.cases);
}
