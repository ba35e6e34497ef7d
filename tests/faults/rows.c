/* rows.c - what the rows share: running the script, and what follows a fault. */
#include "faults/rows.h"

#include <stdio.h>

struct walk {
  const struct plan *plan;
  struct place place;
  at_place *step, *change;
  void *arg;
  unsigned long long generation;
};

static int watch(void *arg, enum disk_call call, const char *path) {
  struct walk *k = arg;
  (void)call, (void)path;
  if (disk_generation(k->place.world->disk) == k->generation) return 0;
  k->generation = disk_generation(k->place.world->disk);
  k->place.change++;
  if (k->change) k->change(k->arg, &k->place);
  return 0;
}

unsigned long long run_script(const struct plan *plan, at_place *step, at_place *change, void *arg) {
  struct world w = {.disk = disk_new(plan->seed)};
  struct walk k = {.plan = plan, .place = {.world = &w}, .step = step, .change = change, .arg = arg};
  int result = 0;
  disk_watch(w.disk, watch, &k);
  for (k.place.step = 0; k.place.step < step_count && !result; k.place.step++) {
    tally_error e;
    if (step) step(arg, &k.place);
    result = steps[k.place.step].run(&w, &e);
    if (result) printf("FAILED without faults: %s: %s\n", steps[k.place.step].name, e.text);
  }
  k.place.step = step_count - 1;
  if (!result) (void)watch(&k, DISK_LIST, "/");
  world_free(&w);
  counted.failed += result != 0;
  return result ? 0 : k.place.change;
}

struct world reopened(const struct world *before, uint64_t seed) {
  struct world w = world_copy(before, seed);
  tally_error e;
  if (!before->store.db) return w;
  int result = world_open(&w, &e);
  check(result == 0, "the store opens: %s", e.text);
  oracle_opened(&w, false);
  return w;
}

void recover_and_finish(struct world *w, unsigned step, bool power) {
  tally_error e;
  int result = world_open(w, &e);
  check(result == 0, "the store opens: %s", e.text);
  oracle_opened(w, power);
  if (w->backed_up.tried && w->history.job[JOB_BACKUP] == BEGUN) oracle_backup(w, "/backup");
  result = resend(w, &e);
  check(result == 0, "what was not acknowledged is sent again: %s", e.text);
  result = steps[step].run(w, &e);
  check(result == 0, "%s goes on after a restart: %s", steps[step].name, e.text);
  oracle_exact(w);
  oracle_files(w);
  if (steps[step].restores) oracle_store(w, "/restored");
  if (w->history.job[JOB_SECOND_BACKUP] == DONE) oracle_backup(w, "/second");
}
