/* steps_jobs.c - the steps that rewrite, copy and check files. A job that fails is done again without faults:
 * what it had done before must be of no consequence. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "maintain/restore.h"
#include "property/world.h"

void step_flush(struct world *w) {
  tally_error error;
  arm(w);
  int result = tally_flush(&w->store, &error);
  if (!result) model_settle(&w->model);
  settle(w, result, &error);
}

void step_background(struct world *w) {
  tally_error error;
  bool worked = true;
  for (uint64_t left = 1 + below(w, 6); left && worked; left--) {
    retention_begin(w);
    arm(w);
    int result = tally_step(&w->store, &worked, &error);
    settle(w, result, &error);
    retention_end(w);
  }
}

void step_compact(struct world *w) {
  static const char *const words[] = {"compact"};
  tally_error error;
  arm(w);
  int result = run_job(w, words, 1, &error);
  settle(w, result, &error);
  if (!result) return;
  result = run_job(w, words, 1, &error);
  require(result == 0, "compact, again: %s", result ? error.text : "");
}

/* ------------------------------------------------------------------ erase, pseudonymize */

#define LONGER_THAN_QUERIES (6 * INT64_C(60000000))

struct target {
  int32_t user;
  int64_t from, to;
  bool whole;
};

static bool in_range(const struct event *e, const struct target *t) {
  return e->user == t->user && e->timestamp >= t->from && e->timestamp < t->to;
}
/* Events with rows; those that are thinned go to another user. */
static bool is_meant(const struct event *e, const void *arg) { return !e->thinned && in_range(e, arg); }

/* Thinned events of the user in the range: the whole user moves, a part cannot. An hour of rollups that the
 * range touches counts as well. */
static void count_thinned(const struct model *m, const struct target *t, size_t *in, size_t *near) {
  *in = *near = 0;
  for (size_t i = 0; i < m->events; i++) {
    const struct event *e = &m->event[i];
    int64_t hour = e->timestamp / HOUR_US * HOUR_US;
    if (!e->thinned || e->user != t->user) continue;
    *in += in_range(e, t);
    *near += hour < t->to && hour + HOUR_US > t->from;
  }
}

struct search {
  const char *text;
  char file[200];
};

static void search_file(void *arg, const char *path, const uint8_t *bytes, size_t size) {
  struct search *s = arg;
  if (size && memmem(bytes, size, s->text, strlen(s->text)))
    (void)snprintf(s->file, sizeof s->file, "%s", path);
}

/* No byte of an erased user's id is in any file, as it stands or decoded. */
static void check_gone(struct world *w, int32_t user) {
  struct search s = {.text = user_text(user)};
  disk_each(w->disk, w->path, search_file, &s);
  require(!*s.file, "the erased id %s is in %s", s.text, s.file);
  const char *words[] = {"erase-check", s.text};
  tally_cursor *c;
  tally_error error;
  require(tally_job_open(&w->store, words, 2, &c, &error) == 0, "erase-check");
  if (tally_cursor_next(c, &error) == TALLY_ROW) {
    tally_text file = tally_cursor_cell(c, 0);
    require(false, "the erased id %s is found in %.*s", s.text, (int)file.size, file.data);
  }
  tally_cursor_close(c);
}

/* `done`: the job has done it, and flushed; else there was nothing to do. */
static void apply(struct world *w, const struct target *t, bool pseudonym, bool done) {
  if (done) model_settle(&w->model);
  if (!pseudonym) model_drop(&w->model, is_meant, t);
  for (size_t i = 0; i < w->model.events; i++) {
    struct event *e = &w->model.event[i];
    if (e->thinned && t->whole && e->user == t->user) e->user = pseudonym ? PSEUDONYM : NOBODY;
    if (is_meant(e, t)) e->user = PSEUDONYM, e->metadata = 0;
    e->maybe_gone = e->maybe_renamed = false;
  }
  for (int i = 0; i < BACKUPS; i++) w->backup[i].diverged = w->backup[i].diverged || t->whole;
}

static void doubt(struct model *m, const struct target *t, bool pseudonym) {
  for (size_t i = 0; i < m->events; i++)
    if (is_meant(&m->event[i], t)) *(pseudonym ? &m->event[i].maybe_renamed : &m->event[i].maybe_gone) = true;
}

static bool any_meant(const struct model *m, const struct target *t) {
  for (size_t i = 0; i < m->events; i++)
    if (!m->event[i].hidden && m->event[i].user == t->user) return true;
  return false;
}

/* True once the user is out of the model. */
static bool try_erase(struct world *w, const struct target *t, const char *const *words, size_t count) {
  bool pseudonym = words[0][0] == 'p', known = any_meant(&w->model, t);
  tally_error error;
  size_t in, near;
  count_thinned(&w->model, t, &in, &near);
  if (cursors_any(w)) disk_tick(w->disk, LONGER_THAN_QUERIES); /* it does not wait for them */
  int result = run_job(w, words, count, &error);
  disk_tick(w->disk, 0);
  cursors_may_expire(w);
  if (result == TALLY_NO_RAW_ROWS) {
    require(!t->whole && near, "a user's rows are there: %s", error.text);
    settle(w, 0, &error);
    return true;
  }
  if (!result && !t->whole) require(in == 0, "%zu thinned events are in the range of an erasure", in);
  /* A user whose events never came to be, or whose first erasure had only its last step left. */
  bool unknown = result == TALLY_NOT_FOUND && (!known || w->calm);
  if (!result || unknown) {
    apply(w, t, pseudonym, !result);
    settle(w, 0, &error);
    check_all_events(w);
    if (t->whole && !result) check_gone(w, t->user);
    return true;
  }
  doubt(&w->model, t, pseudonym);
  settle(w, result, &error);
  check_all_events(w);
  return false;
}

static void erase(struct world *w, const char *job) {
  int slot = (int)below(w, USERS);
  struct target t = {w->user[slot], INT64_MIN, INT64_MAX, once_in(w, 2)};
  int64_t now = disk_os(w->disk)->now(disk_os(w->disk));
  char from[40], to[40];
  const char *words[6] = {job, user_text(t.user)};
  size_t count = 2;
  if (!t.whole && once_in(w, 2)) {
    t.from = now - (int64_t)below(w, 100 * 24 * (uint64_t)HOUR_US);
    time_text(t.from, from);
    words[count++] = "--from";
    words[count++] = from;
  }
  if (!t.whole && (count == 2 || once_in(w, 2))) {
    t.to = (t.from == INT64_MIN ? now - 20 * 24 * HOUR_US : t.from) + 1 +
           (int64_t)below(w, 20 * 24 * (uint64_t)HOUR_US);
    time_text(t.to, to);
    words[count++] = "--to";
    words[count++] = to;
  }
  arm(w);
  bool calm = w->calm;
  if (!try_erase(w, &t, words, count)) {
    w->calm = true;
    require(try_erase(w, &t, words, count), "what failed is done the second time");
  }
  w->calm = calm;
  if (t.whole && once_in(w, 2)) w->user[slot] = user_new(draw(w));
}

void step_erase(struct world *w) { erase(w, "erase"); }
void step_pseudonymize(struct world *w) { erase(w, "pseudonymize"); }

/* ------------------------------------------------------------------ backup */

static bool is_hidden(const struct event *e, const void *arg) {
  (void)arg;
  return e->hidden;
}

static int restore_to(struct world *w, const char *backup, const char *path, tally_error *error) {
  struct budget budget;
  budget_init(&budget, 64u << 20, NULL);
  struct copier to = {.os = disk_os(w->disk), .store = path, .budget = &budget};
  int result = cache_new(1u << 20, &budget, &to.cache, error);
  if (!result) result = restore(&to, backup, error);
  cache_free(to.cache);
  return result;
}

/* Opens the store at `path` beside the world's. */
static struct tally_store open_beside(struct world *w, const char *path) {
  tally_options o;
  tally_error error;
  struct tally_store store;
  tally_options_init(&o);
  o.manual = true;
  o.memory = 64u << 20;
  int result = db_open(disk_os(w->disk), path, &o, &store.db, &error);
  require(result == 0, "the store %s opens: %s", path, result ? error.text : "");
  return store;
}

static void close_beside(struct tally_store *store) {
  tally_error error;
  int result = db_close(store->db, &error);
  require(result == 0, "it closes: %s", result ? error.text : "");
}

/* Is the event there? Both are asked in the order of serials; *at is where the last search ended. */
static bool has(const struct model *m, size_t *at, int32_t serial) {
  while (*at < m->events && m->event[*at].serial < serial) ++*at;
  return *at < m->events && m->event[*at].serial == serial;
}

/* A renewal that failed left the old backup, the new one, or what has all of the old and some of the new. The
 * new one has what the store had when it began (`then`), though the power was cut since and the store has
 * lost what it had acknowledged with durability `os`; and what was not acknowledged, if it came to light. */
static void check_between(struct world *w, const struct backup *b, const struct model *then) {
  char path[32];
  tally_error error;
  (void)snprintf(path, sizeof path, "/between-%u", w->places++);
  int result = restore_to(w, b->path, path, &error);
  require(result == 0, "a backup whose renewal failed restores: %s", result ? error.text : "");
  struct tally_store store = open_beside(w, path);
  struct model found;
  read_events(&store, &found);
  size_t in_old = 0, in_then = 0, in_now = 0;
  for (size_t i = 0; i < found.events; i++) {
    int32_t serial = found.event[i].serial;
    if (i) require(serial != found.event[i - 1].serial, "event %d twice in a backup", serial);
    require(has(&b->model, &in_old, serial) || has(then, &in_then, serial) || has(&w->model, &in_now, serial),
            "event %d of a backup was never there", serial);
  }
  for (size_t i = 0, k = 0, n = 0; i < b->model.events; i++) {
    int32_t serial = b->model.event[i].serial;
    while (k < found.events && found.event[k].serial < serial) k++;
    while (n < w->model.events && w->model.event[n].serial < serial) n++;
    bool still = n < w->model.events && w->model.event[n].serial == serial && !w->model.event[n].thinned &&
                 !b->model.event[i].thinned;
    require(!still || (k < found.events && found.event[k].serial == serial), "event %d was in the backup",
            serial);
  }
  model_free(&found);
  close_beside(&store);
  disk_remove_tree(w->disk, path);
}

static void forget_backup(struct world *w, struct backup *b) {
  disk_remove_tree(w->disk, b->path);
  model_free(&b->model);
  *b = (struct backup){.there = false};
}

/* True if it is done, or refused for a good reason. */
static bool try_backup(struct world *w, struct backup *b) {
  const char *words[] = {"backup", b->path};
  tally_error error;
  struct model now;
  model_copy(&now, &w->model);
  model_drop(&now, is_hidden, NULL);
  now.pendings = 0;
  now.rules = (struct rules){.own = {false}}; /* a backup has no file RETENTION */
  int result = run_job(w, words, 2, &error);
  if (result == TALLY_USAGE && b->there && b->diverged) {
    model_free(&now);
    forget_backup(w, b);
    settle(w, 0, &error);
    return true;
  }
  if (!result) {
    model_free(&b->model);
    b->model = now;
    b->there = true;
    b->diverged = false;
  }
  settle(w, result, &error);
  if (result && b->there) check_between(w, b, &now);
  if (result) model_free(&now);
  return result == 0;
}

void step_backup(struct world *w) {
  struct backup *b = &w->backup[below(w, BACKUPS)];
  if (!*b->path) (void)snprintf(b->path, sizeof b->path, "/backup-%u", w->places++);
  arm(w);
  if (try_backup(w, b)) return;
  bool calm = w->calm;
  w->calm = true;
  require(try_backup(w, b), "a backup that failed is done the second time");
  w->calm = calm;
}

/* ------------------------------------------------------------------ restore */

/* What a failed restore left, if its own removal failed too, does not stand in the way of the next. */
static void restore_checked(struct world *w, const struct backup *b, const char *path) {
  tally_error error;
  arm(w);
  int result = restore_to(w, b->path, path, &error);
  bool stopped = disk_stopped(w->disk);
  settle(w, result, &error);
  if (!result && !stopped) return;
  if (!result) disk_remove_tree(w->disk, path); /* it was done before the machine stopped */
  result = restore_to(w, b->path, path, &error);
  if (result == TALLY_USAGE && stopped && strstr(error.text, "an earlier restore completed"))
    return; /* without knowing it */
  require(result == 0, "a restore, again: %s", result ? error.text : "");
}

/* The world goes on with the restored store: the old one's disk is lost. */
static void move_to(struct world *w, const struct backup *b, const char *path) {
  tally_error error;
  cursors_close(w);
  disk_stop(w->disk);
  (void)db_close(w->store.db, &error);
  disk_restart(w->disk, false);
  disk_remove_tree(w->disk, w->path);
  model_free(&w->model);
  model_copy(&w->model, &b->model);
  (void)snprintf(w->path, sizeof w->path, "%s", path);
  w->guard.trusts = 0;
  forget_repeats(w);
  forget_backups(w);
  open_again(w, false);
}

void step_restore(struct world *w) {
  struct backup *b = &w->backup[below(w, BACKUPS)];
  if (!b->there) return;
  char path[32];
  (void)snprintf(path, sizeof path, "/restored-%u", w->places++);
  restore_checked(w, b, path);
  if (once_in(w, 8)) {
    move_to(w, b, path);
    return;
  }
  struct tally_store store = open_beside(w, path);
  struct model found;
  read_events(&store, &found);
  check_events(&store, &found, &b->model);
  check_marks(&store, &b->model);
  check_totals(&store, &b->model, 0);
  model_free(&found);
  close_beside(&store);
  disk_remove_tree(w->disk, path);
}

void step_verify(struct world *w) {
  tally_cursor *c;
  tally_error error;
  require(tally_verify_open(&w->store, 0, &c, &error) == 0, "verify");
  int result = tally_cursor_next(c, &error);
  if (result == TALLY_ROW) {
    tally_text file = tally_cursor_cell(c, 0), problem = tally_cursor_cell(c, 2);
    require(false, "verify: %.*s: %.*s", (int)file.size, file.data, (int)problem.size, problem.data);
  }
  require(result == 0, "verify: %s", result ? error.text : "");
  tally_cursor_close(c);
}
