/* calls.c - R5: every call of every step fails, once or from then on, with EIO, or ENOSPC where it needs
 * space. R13: every sync of every step fails. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "faults/rows.h"

/* ------------------------------------------------------------------ failing calls */

static bool call_needs_space(enum disk_call call) {
  return call == DISK_CREATE || call == DISK_WRITE || call == DISK_ALLOCATE || call == DISK_LINK ||
         call == DISK_MKDIR;
}

static bool is_sync(enum disk_call call) { return call == DISK_SYNC || call == DISK_SYNC_DIRECTORY; }

static bool counts(const struct call_fault *f, enum disk_call call) {
  if (f->syncs) return is_sync(call);
  return f->number == EIO || call_needs_space(call);
}

int call_watch(void *arg, enum disk_call call, const char *path) {
  struct call_fault *f = arg;
  if (!counts(f, call)) return 0;
  f->seen++;
  if (!f->at || (f->ever ? f->seen < f->at : f->seen != f->at)) return 0;
  if (!f->fired) (void)snprintf(f->path, sizeof f->path, "%s", path);
  f->fired = true;
  return f->number;
}

/* ------------------------------------------------------------------ a case */

struct call_case {
  const struct place *place;
  uint64_t draw;
  struct call_fault fault;
  unsigned long long number;
};

static const struct step *step_of(const struct call_case *c) { return &steps[c->place->step]; }

/* A block that could not be read has put its segment into quarantine, until it is looked at again. */
void look_again(struct world *w) {
  tally_cursor *c;
  tally_error e;
  int result = tally_verify_open(&w->store, 0, &c, &e);
  check(result == 0, "verify: %s", e.text);
  result = tally_cursor_next(c, &e);
  check(result == TALLY_OK, "verify finds: %s", result == TALLY_ROW ? tally_cursor_cell(c, 2).data : e.text);
  tally_cursor_close(c);
}

/* The store after a step that met a fault, in the same process. */
void go_on(struct world *w, unsigned step, int result) {
  tally_error e;
  if (!w->store.db) return;
  look_again(w);
  oracle_visible(w);
  if (world_read_only(w)) {
    check(result != 0, "the step that made the store read-only failed");
    result = tally_sync(&w->store, &e);
    check(result == TALLY_READ_ONLY, "a store that is read-only refuses: %s", tally_error_name(result));
    check_error(result, &e);
    return;
  }
  result = steps[step].run(w, &e);
  check(result == 0, "%s goes on when the fault is over: %s", steps[step].name, e.text);
  oracle_exact(w);
}

static void fail_call(void *arg) {
  struct call_case *c = arg;
  long before = heap_live;
  struct world w = reopened(c->place->world, c->draw);
  tally_error e;
  disk_watch(w.disk, call_watch, &c->fault);
  int result = step_of(c)->run(&w, &e);
  disk_watch(w.disk, NULL, NULL);
  if (result) {
    check(c->fault.fired, "%s: %s", step_of(c)->name, e.text);
    check_error(result, &e);
    /* What cannot be read is as good as damaged; the error says which it is. */
    check(result != TALLY_CORRUPT || strstr(e.text, "cannot read"), "no damage: %s", e.text);
  }
  go_on(&w, c->place->step, result);
  bool power = c->number % 3 == 2;
  if (c->number % 3 == 0 && w.store.db) (void)world_close(&w, &e);
  world_crash(&w);
  if (power) disk_cut(w.disk, (unsigned)(c->draw % DISK_CUTS));
  recover_and_finish(&w, c->place->step, power);
  world_free(&w);
  check(heap_live == before, "%ld blocks of memory are not freed", heap_live - before);
}

struct calls {
  const struct plan *plan;
  unsigned long long cases;
};

static unsigned long long count_calls(const struct place *place, struct call_fault fault) {
  fault.at = 0;
  struct world w = reopened(place->world, 1);
  tally_error e;
  disk_watch(w.disk, call_watch, &fault);
  int result = steps[place->step].run(&w, &e);
  disk_watch(w.disk, NULL, NULL);
  check(result == 0, "%s without a fault: %s", steps[place->step].name, e.text);
  world_free(&w);
  return fault.seen;
}

static void at_step(void *arg, const struct place *place) {
  struct calls *s = arg;
  static const struct call_fault kinds[] = {
      {.number = EIO}, {.number = EIO, .ever = true}, {.number = ENOSPC}, {.number = ENOSPC, .ever = true}};
  for (unsigned kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
    unsigned long long calls = count_calls(place, kinds[kind]);
    for (unsigned long long at = 1; at <= calls; at++) {
      unsigned long long number = s->cases++;
      struct call_case c = {place, case_seed(s->plan, number), kinds[kind], number};
      c.fault.at = at;
      if (!mine(s->plan, number)) continue;
      run_case(fail_call, &c, "--row R5 --seed %llu --only %llu (%s, call %llu fails%s with %s)",
               s->plan->seed, number, steps[place->step].name, at, c.fault.ever ? " from then on" : "",
               c.fault.number == EIO ? "EIO" : "ENOSPC");
    }
  }
}

void row_calls(const struct plan *plan) {
  struct calls s = {.plan = plan};
  (void)run_script(plan, at_step, NULL, &s);
  if (plan->worker == 0) printf("R5: %llu cases\n", s.cases);
}

/* ------------------------------------------------------------------ syncs */

struct sync_case {
  const struct place *place;
  uint64_t draw;
  struct call_fault fault;
  bool reopen; /* before the power is cut: what the page cache shows is not on the disk */
  unsigned kind;
};

/* Files of the log and the manifest: what was promised with them is not known any more. */
static bool is_vital(const char *path) {
  return strncmp(path, STORE "/wal/", 11) == 0 || strncmp(path, STORE "/MANIFEST", 15) == 0;
}

static void fail_sync(void *arg) {
  struct sync_case *c = arg;
  struct world w = reopened(c->place->world, c->draw);
  tally_error e;
  disk_watch(w.disk, call_watch, &c->fault);
  int result = steps[c->place->step].run(&w, &e);
  disk_watch(w.disk, NULL, NULL);
  if (result) check_error(result, &e);
  if (is_vital(c->fault.path)) {
    check(result != 0, "a step whose sync of %s fails has failed", c->fault.path);
    if (w.store.db)
      check(world_read_only(&w), "the store is read-only when a sync of %s fails", c->fault.path);
  }
  if (w.store.db && world_read_only(&w)) {
    struct history before = w.history;
    result = resend(&w, &e);
    for (unsigned b = 0; b < BATCHES; b++)
      check(w.history.fate[b] < WRITTEN || before.fate[b] >= WRITTEN,
            "batch %u is acknowledged by a read-only store", b);
    oracle_visible(&w);
  }
  world_crash(&w);
  if (c->reopen) {
    result = world_open(&w, &e);
    check(result == 0, "the store opens: %s", e.text);
    oracle_opened(&w, false);
    world_crash(&w);
  }
  disk_cut(w.disk, c->kind);
  recover_and_finish(&w, c->place->step, true);
  world_free(&w);
}

static void at_step_syncs(void *arg, const struct place *place) {
  struct calls *s = arg;
  static const unsigned cuts[] = {0, 1, 5, 10, 12};
  struct call_fault fault = {.number = EIO, .syncs = true};
  unsigned long long syncs = count_calls(place, fault);
  for (unsigned long long at = 1; at <= syncs; at++)
    for (unsigned kind = 0; kind < 4 * sizeof cuts / sizeof *cuts; kind++) {
      unsigned long long number = s->cases++;
      struct sync_case c = {place, case_seed(s->plan, number), fault, kind & 1, cuts[kind / 4]};
      c.fault.at = at;
      c.fault.ever = kind & 2;
      if (!mine(s->plan, number)) continue;
      run_case(fail_sync, &c, "--row R13 --seed %llu --only %llu (%s, sync %llu fails%s%s, left: %s)",
               s->plan->seed, number, steps[place->step].name, at, c.fault.ever ? " from then on" : "",
               c.reopen ? ", opened again" : "", disk_cut_text(c.kind));
    }
}

void row_syncs(const struct plan *plan) {
  struct calls s = {.plan = plan};
  (void)run_script(plan, at_step_syncs, NULL, &s);
  if (plan->worker == 0) printf("R13: %llu cases\n", s.cases);
}
