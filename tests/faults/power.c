/* power.c - R2: the power is cut after every change of the disk, with every kind of damage. */
#include <stdio.h>

#include "faults/rows.h"

struct sweep {
  const struct plan *plan;
  unsigned long long cases;
  unsigned draws; /* of each kind that has chances in it */
};

struct cut_case {
  const struct place *place;
  unsigned kind;
  uint64_t draw;
};

static void cut(void *arg) {
  const struct cut_case *c = arg;
  struct world w = world_copy(c->place->world, c->draw);
  tally_error e;
  disk_cut(w.disk, c->kind);
  recover_and_finish(&w, c->place->step, c->kind != DISK_CUT_NOTHING_LOST);
  if (c->draw % 4 == 0) { /* and once more, after a close */
    int result = world_close(&w, &e);
    check(result == 0, "it closes: %s", e.text);
    result = world_open(&w, &e);
    check(result == 0, "it opens again: %s", e.text);
    oracle_exact(&w);
    oracle_files(&w);
  }
  world_free(&w);
}

static void at_change(void *arg, const struct place *place) {
  struct sweep *s = arg;
  for (unsigned kind = 0; kind < DISK_CUTS; kind++) {
    unsigned draws = kind < DISK_CUTS_SURE ? 1 : s->draws;
    for (unsigned i = 0; i < draws; i++) {
      unsigned long long number = s->cases++;
      struct cut_case c = {place, kind, case_seed(s->plan, number)};
      if (!mine(s->plan, number)) continue;
      run_case(cut, &c, "--row R2 --seed %llu --draws %u --only %llu (%s, change %llu, left: %s)",
               s->plan->seed, s->draws, number, steps[place->step].name, place->change, disk_cut_text(kind));
    }
  }
}

void row_power(const struct plan *plan) {
  struct sweep s = {.plan = plan, .draws = plan->draws};
  unsigned long long changes = run_script(plan, NULL, NULL, NULL);
  if (!changes) return;
  unsigned chances = DISK_CUTS - DISK_CUTS_SURE;
  unsigned long long each = (plan->cases + changes - 1) / changes;
  if (!s.draws)
    s.draws = each > DISK_CUTS_SURE ? (unsigned)((each - DISK_CUTS_SURE + chances - 1) / chances) : 1;
  (void)run_script(plan, NULL, at_change, &s);
  if (plan->worker == 0)
    printf("R2: %llu changes of the disk x %u kinds of damage, %u draws of %u of them: %llu cases\n", changes,
           DISK_CUTS, s.draws, chances, s.cases);
}
