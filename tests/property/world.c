/* world.c - see world.h. */
#include "property/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t draw(struct world *w) {
  uint64_t z = (w->random += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}
uint64_t below(struct world *w, uint64_t n) { return draw(w) % n; }
bool once_in(struct world *w, uint64_t n) { return below(w, n) == 0; }

/* ------------------------------------------------------------------ begin and end */

static int open_store(struct world *w, tally_error *error) {
  tally_options o;
  tally_options_init(&o);
  o.create = o.manual = true;
  o.memory = 96u << 20; /* with less, a snapshot is given up for the next memtable */
  int result = db_open(disk_os(w->disk), w->path, &o, &w->store.db, error);
  if (!result) guard_open(w);
  return result;
}

void world_begin(struct world *w, uint64_t seed, unsigned life) {
  tally_error error;
  w->random = seed + life * 0xD1B54A32D192ED03u;
  w->random = draw(w);
  w->places = 0;
  w->serial = 0;
  w->batch = 0;
  users_forget();
  w->disk = disk_new(draw(w));
  disk_watch(w->disk, guard_disk, NULL);
  (void)snprintf(w->path, sizeof w->path, "/store-%u", w->places++);
  for (int i = 0; i < USERS; i++) w->user[i] = user_new(draw(w));
  w->guard.trusts = 0;
  w->skew = 0;
  int result = open_store(w, &error);
  require(result == 0, "a store is made: %s", result ? error.text : "");
}

void world_end(struct world *w) {
  tally_error error;
  cursors_close(w);
  int result = db_close(w->store.db, &error);
  require(result == 0, "the store closes: %s", result ? error.text : "");
  forget_repeats(w);
  forget_backups(w);
  model_free(&w->model);
  disk_free(w->disk);
}

void forget_repeats(struct world *w) {
  while (w->repeats) {
    free(w->repeat[--w->repeats].bytes);
    w->repeat[w->repeats].bytes = NULL;
  }
}

void forget_backups(struct world *w) {
  for (int i = 0; i < BACKUPS; i++) {
    if (*w->backup[i].path) disk_remove_tree(w->disk, w->backup[i].path);
    model_free(&w->backup[i].model);
    w->backup[i] = (struct backup){.there = false};
  }
}

/* ------------------------------------------------------------------ faults */

void arm(struct world *w) {
  if (w->calm || !once_in(w, 8)) return;
  enum disk_fault fault = (enum disk_fault)below(w, 3);
  w->power = once_in(w, 2);
  disk_arm(w->disk, fault, 1 + (unsigned)below(w, 1 + below(w, 60)));
}

bool is_read_only(struct world *w) {
  tally_cursor *c;
  tally_error error;
  bool it_is = false;
  require(tally_stats_open(&w->store, &c, &error) == 0, "stats");
  while (tally_cursor_next(c, &error) == TALLY_ROW) {
    tally_text name = tally_cursor_cell(c, 0);
    it_is = it_is || (name.size == 17 && memcmp(name.data, "read_only_because", 17) == 0);
  }
  tally_cursor_close(c);
  return it_is;
}

struct hygiene {
  unsigned segments;
  char odd[200];
};

static void see_file(void *arg, const char *path, const uint8_t *bytes, size_t size) {
  struct hygiene *h = arg;
  (void)bytes, (void)size;
  const char *end = strrchr(path, '.');
  if (end && strcmp(end, ".seg") == 0) h->segments++;
  if (end && strcmp(end, ".tmp") == 0) (void)snprintf(h->odd, sizeof h->odd, "%s", path);
}

/* No file is left that the store does not know. */
static void check_files(struct world *w) {
  struct hygiene h = {0};
  disk_each(w->disk, w->path, see_file, &h);
  unsigned long long known = figure(&w->store, "segments");
  require(h.segments == known, "%u segment files, the store knows %llu", h.segments, known);
  require(!*h.odd, "%s is left", h.odd);
  require(figure(&w->store, "segments_quarantined") == 0, "no segment is quarantined");
}

/* The process or the machine ended while the store was opened: once more. */
static bool open_with_faults(struct world *w, bool *power, bool *fired) {
  tally_error error;
  arm(w);
  int result = open_store(w, &error);
  *fired = disk_disarm(w->disk);
  w->faults += *fired;
  if (result) require(*fired, "the store opens: %s", error.text);
  if (result) require(error.code != TALLY_CORRUPT, "a fault while it opens: %s", error.text);
  if (!disk_stopped(w->disk)) {
    if (!result && *fired && is_read_only(w)) {
      (void)db_close(w->store.db, &error);
      return false;
    }
    return result == 0;
  }
  if (!result) (void)db_close(w->store.db, &error);
  disk_restart(w->disk, w->power);
  *power = *power || w->power;
  return false;
}

void open_again(struct world *w, bool power) {
  w->restarts++;
  bool fired;
  while (!open_with_faults(w, &power, &fired)) continue;
  struct model found;
  read_events(&w->store, &found);
  settle_pending(&w->model, &found, &w->store, power);
  check_events(&w->store, &found, &w->model);
  check_marks(&w->store, &w->model);
  check_rules(w);
  model_free(&found);
  if (!fired) check_files(w); /* what could not be removed is removed by the next one */
  if (power) forget_repeats(w);
}

void crash(struct world *w, bool power) {
  tally_error ignored;
  cursors_close(w);
  disk_stop(w->disk);
  (void)db_close(w->store.db, &ignored);
  disk_restart(w->disk, power);
  open_again(w, power);
}

void check_all_events(struct world *w) {
  struct model found;
  read_events(&w->store, &found);
  check_events(&w->store, &found, &w->model);
  model_free(&found);
}

void settle(struct world *w, int result, const tally_error *error) {
  bool fired = disk_disarm(w->disk);
  w->faults += fired;
  if (result) require(fired, "%s: %s", progress.kind, error->text);
  if (result) require(error->code != TALLY_CORRUPT, "%s after a fault: %s", progress.kind, error->text);
  if (disk_stopped(w->disk)) {
    crash(w, w->power);
  } else if (fired && is_read_only(w)) {
    tally_error ignored;
    check_all_events(w);
    if (once_in(w, 2)) {
      crash(w, false);
    } else {
      cursors_close(w);
      (void)db_close(w->store.db, &ignored);
      open_again(w, false);
    }
  } else if (fired && once_in(w, 4)) {
    crash(w, once_in(w, 2));
  }
}

int run_job(struct world *w, const char *const *words, size_t count, tally_error *error) {
  tally_cursor *c;
  int result = tally_job_open(&w->store, words, count, &c, error);
  if (result) return result;
  while ((result = tally_cursor_next(c, error)) == TALLY_ROW) {
  }
  tally_cursor_close(c);
  return result;
}
