/* power.c - R2: the power is cut at every call that changes the disk, with every kind of damage. */
#include <stdio.h>

#include "faults/rows.h"

struct sweep {
  struct world *world;
  const struct plan *plan;
  unsigned step;
  unsigned long long generation, boundary, cases;
  unsigned draws; /* of each kind that has chances in it */
};

struct cut_case {
  const struct world *before;
  unsigned step, kind;
  uint64_t draw;
};

static void finish(struct world *w, unsigned step) {
  tally_error e;
  int result = resend(w, &e);
  check(result == 0, "what was not acknowledged is sent again: %s", e.text);
  result = steps[step].run(w, &e);
  check(result == 0, "%s goes on after a restart: %s", steps[step].name, e.text);
  oracle_exact(w);
  oracle_files(w);
}

void recover_and_finish(struct world *w, unsigned step, bool power) {
  tally_error e;
  int result = world_open(w, &e);
  check(result == 0, "the store opens: %s", e.text);
  oracle_opened(w, power);
  if (w->backed_up.tried && w->history.job[JOB_BACKUP] == BEGUN) oracle_backup(w, "/backup");
  finish(w, step);
  if (w->history.job[JOB_SECOND_BACKUP] == DONE) oracle_backup(w, "/second");
}

static void cut(void *arg) {
  const struct cut_case *c = arg;
  struct world w = world_copy(c->before, c->draw);
  disk_cut(w.disk, c->kind);
  recover_and_finish(&w, c->step, c->kind != DISK_CUT_NOTHING_LOST);
  if (c->draw % 4 == 0) { /* and once more, after a close */
    tally_error e;
    int result = world_close(&w, &e);
    check(result == 0, "it closes: %s", e.text);
    result = world_open(&w, &e);
    check(result == 0, "it opens again: %s", e.text);
    oracle_exact(&w);
    oracle_files(&w);
  }
  world_free(&w);
}

static void at_boundary(struct sweep *s) {
  s->boundary++;
  for (unsigned kind = 0; kind < DISK_CUTS; kind++) {
    unsigned draws = kind < DISK_CUTS_SURE ? 1 : s->draws;
    for (unsigned i = 0; i < draws; i++) {
      unsigned long long number = s->cases++;
      struct cut_case c = {s->world, s->step, kind, case_seed(s->plan, number)};
      if (!mine(s->plan, number)) continue;
      run_case(cut, &c, "--row R2 --seed %llu --draws %u --only %llu (%s, change %llu, left: %s)",
               s->plan->seed, s->draws, number, steps[s->step].name, s->boundary, disk_cut_text(kind));
    }
  }
}

static int watch(void *arg, enum disk_call call, const char *path) {
  struct sweep *s = arg;
  (void)call, (void)path;
  if (disk_generation(s->world->disk) == s->generation) return 0;
  s->generation = disk_generation(s->world->disk);
  at_boundary(s);
  return 0;
}

static int count(void *arg, enum disk_call call, const char *path) {
  struct sweep *s = arg;
  (void)call, (void)path;
  s->boundary += disk_generation(s->world->disk) != s->generation;
  s->generation = disk_generation(s->world->disk);
  return 0;
}

static void run_script(struct sweep *s, disk_watcher *watcher) {
  struct world w = {.disk = disk_new(s->plan->seed)};
  tally_error e;
  s->world = &w;
  s->boundary = s->cases = s->generation = 0;
  disk_watch(w.disk, watcher, s);
  for (s->step = 0; s->step < step_count; s->step++) {
    int result = steps[s->step].run(&w, &e);
    check(result == 0, "%s: %s", steps[s->step].name, result ? e.text : "");
  }
  s->step = step_count - 1;
  (void)watcher(s, DISK_LIST, "/");
  world_free(&w);
}

static void script_alone(void *arg) { run_script(arg, count); }

void row_power(const struct plan *plan) {
  struct sweep s = {.plan = plan, .draws = plan->draws};
  if (!run_case(script_alone, &s, "--row R2 --seed %llu: the script without faults", plan->seed)) return;
  unsigned chances = DISK_CUTS - DISK_CUTS_SURE;
  unsigned long long each = (plan->cases + s.boundary - 1) / s.boundary;
  if (!s.draws) s.draws = each > DISK_CUTS_SURE ? (unsigned)((each - DISK_CUTS_SURE + chances - 1) / chances) : 1;
  printf("R2: %llu changes of the disk, %u kinds of damage, %u draws\n", s.boundary, DISK_CUTS, s.draws);
  run_script(&s, watch);
  printf("R2: %llu cases\n", s.cases);
}
