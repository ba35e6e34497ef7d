/* recovery.c - R7: while a store recovers from a power cut there is another fault: the power is cut again, a
 * call fails, an allocation fails; and what that leaves recovers. The first cut comes in maintenance as often
 * as in ingest. */
#include <errno.h>
#include <stdio.h>

#include "faults/rows.h"

enum second { SECOND_CUT, SECOND_CALL, SECOND_SPACE, SECOND_MEMORY, SECONDS };

struct nested {
  const struct plan *plan;
  unsigned long long cases;
  unsigned draws;
};

struct nested_case {
  const struct place *place;
  uint64_t draw;
};

/* Cuts the power after the `at`th change of a recovery: the disk as it was then. */
struct moment {
  const struct disk *disk;
  unsigned long long generation, seen, at;
  struct disk *then;
};

static int watch_moment(void *arg, enum disk_call call, const char *path) {
  struct moment *m = arg;
  (void)call, (void)path;
  if (disk_generation(m->disk) == m->generation) return 0;
  m->generation = disk_generation(m->disk);
  if (++m->seen == m->at) m->then = disk_copy(m->disk, m->at);
  return 0;
}

static void cut_again(struct world *w, uint64_t draw) {
  struct world probe = world_copy(w, draw);
  tally_error e;
  struct moment m = {.disk = probe.disk, .generation = disk_generation(probe.disk)};
  disk_watch(probe.disk, watch_moment, &m);
  int result = world_open(&probe, &e);
  check(result == 0, "the store opens: %s", e.text);
  world_free(&probe);
  m = (struct moment){.disk = w->disk, .generation = disk_generation(w->disk), .at = 1 + draw % (m.seen + 1)};
  disk_watch(w->disk, watch_moment, &m);
  (void)world_open(w, &e);
  world_crash(w);
  if (m.then) {
    disk_free(w->disk);
    w->disk = m.then;
  }
  disk_cut(w->disk, (unsigned)(draw / 4096 % DISK_CUTS));
}

static unsigned long long calls_of_open(const struct world *w, struct call_fault fault) {
  struct world probe = world_copy(w, 1);
  tally_error e;
  disk_watch(probe.disk, call_watch, &fault);
  int result = world_open(&probe, &e);
  check(result == 0, "the store opens: %s", e.text);
  world_free(&probe);
  return fault.seen;
}

/* An open that meets a fault, and what that left. */
static void after_open(struct world *w, int result, bool fired, const tally_error *e, uint64_t draw) {
  if (result) {
    check(fired, "the store opens: %s", e->text);
    check_error(result, e);
    check(result != TALLY_CORRUPT, "no damage: %s", e->text);
  }
  world_crash(w);
  if (draw & 1u << 20) disk_cut(w->disk, (unsigned)(draw / 4096 % DISK_CUTS));
}

static void fail_open(struct world *w, uint64_t draw, int number) {
  struct call_fault fault = {.number = number, .ever = draw & 1u << 21};
  unsigned long long calls = calls_of_open(w, fault);
  tally_error e = {.code = 0};
  fault.at = 1 + draw % (calls + 1);
  disk_watch(w->disk, call_watch, &fault);
  int result = world_open(w, &e);
  disk_watch(w->disk, NULL, NULL);
  after_open(w, result, fault.fired, &e, draw);
}

static void starve_open(struct world *w, uint64_t draw) {
  struct memory_fault fault = {.ever = draw & 1u << 21};
  struct world probe = world_copy(w, draw);
  tally_error e = {.code = 0};
  memory_arm(&fault);
  int result = world_open(&probe, &e);
  memory_arm(NULL);
  check(result == 0, "the store opens: %s", e.text);
  world_free(&probe);
  fault = (struct memory_fault){.at = 1 + draw % fault.seen, .ever = fault.ever};
  memory_arm(&fault);
  result = world_open(w, &e);
  memory_arm(NULL);
  after_open(w, result, fault.fired, &e, draw);
}

static void recover_twice(void *arg) {
  const struct nested_case *c = arg;
  long before = heap_live;
  struct world w = world_copy(c->place->world, c->draw);
  disk_cut(w.disk, (unsigned)(c->draw / 1024 % DISK_CUTS));
  uint64_t draw = c->draw >> 20;
  switch ((enum second)(c->draw % SECONDS)) {
  case SECOND_CUT:
    cut_again(&w, draw);
    break;
  case SECOND_CALL:
    fail_open(&w, draw, EIO);
    break;
  case SECOND_SPACE:
    fail_open(&w, draw, ENOSPC);
    break;
  default:
    starve_open(&w, draw);
  }
  recover_and_finish(&w, c->place->step, true);
  world_free(&w);
  check(heap_live == before, "%ld blocks of memory are not freed", heap_live - before);
}

static void at_change(void *arg, const struct place *place) {
  static const char *const texts[] = {"the power is cut again", "a call fails", "a full disk", "no memory"};
  struct nested *s = arg;
  for (unsigned i = 0; i < s->draws; i++) {
    unsigned long long number = s->cases++;
    struct nested_case c = {place, case_seed(s->plan, number)};
    if (!mine(s->plan, number)) continue;
    run_case(recover_twice, &c,
             "--row R7 --seed %llu --draws %u --only %llu (%s, change %llu, left: %s, then %s)",
             s->plan->seed, s->draws, number, steps[place->step].name, place->change,
             disk_cut_text((unsigned)(c.draw / 1024 % DISK_CUTS)), texts[c.draw % SECONDS]);
    memory_arm(NULL);
  }
}

void row_recovery(const struct plan *plan) {
  unsigned long long changes = run_script(plan, NULL, NULL, NULL);
  if (!changes) return;
  struct nested s = {.plan = plan, .draws = plan->draws};
  if (!s.draws) s.draws = (unsigned)((plan->cases + changes - 1) / changes);
  (void)run_script(plan, NULL, at_change, &s);
  if (plan->worker == 0) printf("R7: %llu cases\n", s.cases);
}
