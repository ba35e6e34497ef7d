/* store.c - random sequences of steps on one store and on a naive model of it; after each step the store's
 * answers equal the model's. The clock, the disk and its faults are the test's own (disk.h), the scheduler is
 * stepped, and everything follows from one seed. Every thousand steps a new store begins, a life, which
 * follows from the seed and its number alone.
 *
 *   store_property [--steps N] [--life N] [--trace]       TALLY_SEED=N replays a run, --life one life of it
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "property/world.h"

#define LIFE 1000u      /* steps until a new store */
#define EVENTS_EACH 50u /* steps between comparisons of every event */

/* ------------------------------------------------------------------ further steps */

static void step_query(struct world *w) {
  int64_t now = disk_os(w->disk)->now(disk_os(w->disk));
  static const int64_t buckets[] = {0, 0, 0, 300 * INT64_C(1000000), HOUR_US, DAY_US, DAY_US};
  static const unsigned flags[] = {0, WITHOUT_ROLLUPS, WITH_TIMES};
  static const unsigned groups[] = {
      0, 0, BY_USER, BY_SERVICE, BY_USER | BY_SERVICE, BY_ENDPOINT | BY_SERVICE};
  struct question q = {.from = INT64_MIN, .to = INT64_MAX, .user = INT32_MIN, .service = INT32_MIN};
  if (once_in(w, 2)) q.from = now - (int64_t)below(w, (once_in(w, 2) ? 2 : 150) * (uint64_t)DAY_US);
  if (once_in(w, 2)) q.to = now - (int64_t)below(w, (once_in(w, 2) ? 2 : 150) * (uint64_t)DAY_US);
  if (q.from != INT64_MIN && once_in(w, 2)) q.from -= q.from % HOUR_US;
  if (q.to != INT64_MAX && once_in(w, 2)) q.to -= q.to % DAY_US;
  if (once_in(w, 4)) q.user = once_in(w, 8) ? NOBODY : w->user[below(w, USERS)];
  if (once_in(w, 4)) q.service = (int32_t)below(w, SERVICES);
  if (once_in(w, 6)) q.least_status = once_in(w, 2) ? 400 : 301;
  q.with_tokens = once_in(w, 8);
  q.by = groups[below(w, 6)];
  q.bucket = buckets[below(w, 7)];
  const unsigned way = progress.step % 2 ? ASKED_AT_ONCE : 0;
  for (unsigned i = 0; i < 3; i++)
    ++*(check_answer(&w->store, &w->model, &q, flags[i] | way) ? &w->answered : &w->refused);
}

static void step_reopen(struct world *w) {
  tally_error error;
  cursors_close(w);
  arm(w);
  int result = db_close(w->store.db, &error);
  bool fired = disk_disarm(w->disk), power = false;
  w->faults += fired;
  if (result) require(fired, "the store closes: %s", error.text);
  if (disk_stopped(w->disk)) disk_restart(w->disk, power = w->power);
  if (once_in(w, 4)) step_time(w); /* it is away for some time */
  open_again(w, power);
}

static void step_kill(struct world *w) { crash(w, false); }
static void step_power_cut(struct world *w) { crash(w, true); }

/* ------------------------------------------------------------------ the kinds of steps */

static const struct kind {
  const char *name;
  unsigned weight;
  void (*run)(struct world *w);
} kinds[] = {
    {"append", 40, step_append},
    {"repeat", 4, step_repeat},
    {"refused batch", 2, step_refused},
    {"time", 10, step_time},
    {"query", 12, step_query},
    {"cursor", 14, step_cursor},
    {"clock", 4, step_clock},
    {"set retention", 2, step_set},
    {"clear retention", 1, step_clear},
    {"apply retention", 3, step_apply},
    {"confirm clock", 2, step_confirm},
    {"flush", 8, step_flush},
    {"background", 8, step_background},
    {"compact", 2, step_compact},
    {"erase", 3, step_erase},
    {"pseudonymize", 1, step_pseudonymize},
    {"backup", 2, step_backup},
    {"restore", 1, step_restore},
    {"verify", 1, step_verify},
    {"reopen", 2, step_reopen},
    {"kill", 1, step_kill},
    {"power cut", 2, step_power_cut},
};
#define KINDS (sizeof kinds / sizeof *kinds)

static const struct kind *choose(struct world *w) {
  unsigned all = 0;
  for (size_t i = 0; i < KINDS; i++) all += kinds[i].weight;
  uint64_t at = below(w, all);
  size_t i = 0;
  while (at >= kinds[i].weight) at -= kinds[i++].weight;
  return &kinds[i];
}

static double spent[KINDS];
static unsigned long long runs[KINDS];

static double clock_now(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void step(struct world *w, bool trace) {
  const struct kind *k = choose(w);
  progress.kind = k->name;
  if (trace) printf("%u %s: %zu events\n", progress.step, k->name, w->model.events);
  double began = clock_now();
  guard_trust(w);
  k->run(w);
  guard_watch(w);
  spent[k - kinds] += clock_now() - began;
  runs[k - kinds]++;
  check_totals(&w->store, &w->model, once_in(w, 4) ? (unsigned)below(w, 4) : 0);
  check_marks(&w->store, &w->model);
  cursors_read(w);
  if (progress.step % EVENTS_EACH == 0) check_all_events(w);
}

int main(int count, char **words) {
  unsigned steps = 20000;
  unsigned first = 0; /* life */
  bool trace = false;
  for (int i = 1; i < count; i++) {
    if (strcmp(words[i], "--steps") == 0 && i + 1 < count) steps = (unsigned)strtoul(words[++i], NULL, 10);
    if (strcmp(words[i], "--life") == 0 && i + 1 < count) {
      first = (unsigned)strtoul(words[++i], NULL, 10);
      steps = (first + 1) * LIFE;
    }
    if (strcmp(words[i], "--trace") == 0) trace = true;
  }
  (void)setvbuf(stdout, NULL, _IOLBF, 0);
  const char *seed = getenv("TALLY_SEED");
  progress.seed = seed ? strtoull(seed, NULL, 10) : (unsigned long long)time(NULL);
  printf("TALLY_SEED=%llu\n", progress.seed);
  static struct world w;
  for (progress.step = first * LIFE + 1; progress.step <= steps; progress.step++) {
    if (progress.step % LIFE == 1) world_begin(&w, progress.seed, progress.life = progress.step / LIFE);
    step(&w, trace);
    if (progress.step % LIFE == 0 || progress.step == steps) world_end(&w);
  }
  for (size_t i = 0; i < KINDS; i++) printf("%8llu %-16s %.2f s\n", runs[i], kinds[i].name, spent[i]);
  printf("%llu faults, %llu restarts\n", w.faults, w.restarts);
  printf("%llu pages of cursors with steps between them, %llu cursors expired\n", w.pages, w.expired);
  printf("%llu times retention was applied, %llu times it waited for its clock; %llu events thinned, %llu "
         "dropped\n",
         w.applied, w.guarded, w.thinned, w.dropped);
  printf("%llu questions answered, %llu refused for thinned rows\n", w.answered, w.refused);
  printf("%llu questions answered at once, %llu not\n", at_once.answered, at_once.refused);
  printf("%llu passed, 0 failed\n", progress.passed);
  return 0;
}
