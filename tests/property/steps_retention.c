/* steps_retention.c - the steps that say how long rows are kept, apply it, and move the clock. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "db/inside.h"
#include "property/world.h"

/* ------------------------------------------------------------------ the policy */

static void take_ages(const tally_cursor *c, struct keep *k) {
  for (int s = 0; s < STAGES_OF_AGE; s++) {
    tally_text t = tally_cursor_cell(c, (size_t)s + 1);
    k->days[s] = t.data[0] == 'n' ? 0 : strtoll(t.data, NULL, 10);
  }
}

/* What `retention show` tells. */
static void read_rules(struct world *w, struct rules *r) {
  static const char *const words[] = {"retention", "show"};
  tally_cursor *c;
  tally_error error;
  *r = (struct rules){.own = {false}};
  int result = tally_job_open(&w->store, words, 2, &c, &error);
  require(result == 0, "retention show: %s", result ? error.text : "");
  while (tally_cursor_next(c, &error) == TALLY_ROW) {
    tally_text service = tally_cursor_cell(c, 0);
    if (memcmp(service.data, "(all", 4) == 0) take_ages(c, &r->store);
    if (memcmp(service.data, "svc-", 4) != 0) continue;
    int number = service.data[4] - '0';
    r->own[number] = true;
    take_ages(c, &r->service[number]);
  }
  tally_cursor_close(c);
}

void check_rules(struct world *w) {
  struct rules r;
  read_rules(w, &r);
  require(rules_equal(&r, &w->model.rules) || (w->undecided && rules_equal(&r, &w->other)),
          "the policy is what was set");
}

/* False: a fault came, and it is to be done again. */
static bool try_once(struct world *w, const char *const *words, size_t count) {
  tally_error error;
  arm(w);
  int result = run_job(w, words, count, &error);
  settle(w, result, &error);
  return result == 0;
}

static void again(struct world *w, const char *const *words, size_t count) {
  tally_error error;
  int result = run_job(w, words, count, &error);
  require(result == 0, "%s, again: %s", words[1], result ? error.text : "");
}

/* The store's or a service's ages become what they are in `to`. One that failed is in force only where the
 * store was opened since; then it is set before it is cleared again. */
static void change_rules(struct world *w, const struct rules *to, const char *const *words, size_t count) {
  unsigned long long restarts = w->restarts;
  w->other = *to;
  w->undecided = true;
  if (!try_once(w, words, count)) {
    struct rules now;
    read_rules(w, &now);
    require(restarts != w->restarts || rules_equal(&now, &w->model.rules), "a policy that was refused holds");
    const char *set[6] = {"retention", "set", "--drop", "400d", "--service", words[count - 1]};
    if (words[1][0] == 'c' && rules_equal(&now, to)) again(w, set, count == 4 ? 6 : 4);
    again(w, words, count);
  }
  w->model.rules = *to;
  w->undecided = false;
  check_rules(w);
}

/* Ages that rise, one at least, some of them never. */
static struct keep some_ages(struct world *w) {
  struct keep k = {{0}};
  int64_t least = 1;
  do {
    for (int s = 0; s < STAGES_OF_AGE; s++) {
      if (once_in(w, 3)) continue;
      k.days[s] = least + (int64_t)below(w, once_in(w, 3) ? 10 : s == DROP ? 200 : 60);
      least = k.days[s] + 1;
    }
  } while (least == 1);
  return k;
}

void step_set(struct world *w) {
  static const char *const names[] = {"--archive", "--thin", "--drop"};
  struct rules to = w->model.rules;
  struct keep k = some_ages(w);
  int service = (int)below(w, SERVICES + 2) - 2;
  char text[STAGES_OF_AGE][16], name[12];
  const char *words[10] = {"retention", "set"};
  size_t count = 2;
  for (int s = 0; s < STAGES_OF_AGE; s++) {
    if (!k.days[s]) continue;
    (void)snprintf(text[s], sizeof text[s], "%dd", (int)k.days[s]);
    words[count++] = names[s];
    words[count++] = text[s];
  }
  if (service >= 0) {
    (void)snprintf(name, sizeof name, "svc-%d", service % 10);
    words[count++] = "--service";
    words[count++] = name;
    to.own[service] = true;
    to.service[service] = k;
  } else {
    to.store = k;
  }
  change_rules(w, &to, words, count);
}

void step_clear(struct world *w) {
  struct rules to = w->model.rules;
  int service = (int)below(w, SERVICES + 1) - 1;
  char name[12];
  const char *words[4] = {"retention", "clear", "--service", name};
  (void)snprintf(name, sizeof name, "svc-%d", service % 10);
  if (service >= 0 && !to.own[service]) {
    tally_error error;
    require(run_job(w, words, 4, &error) == TALLY_NOT_FOUND, "there are no ages to take away");
    return;
  }
  if (service >= 0)
    to.own[service] = false;
  else
    to.store = (struct keep){{0}};
  change_rules(w, &to, words, service >= 0 ? 4 : 2);
}

/* ------------------------------------------------------------------ apply */

struct told {
  unsigned long long rows[STAGES_OF_AGE];
};

/* Runs `retention apply`, and adds up what it tells. */
static int run_apply(struct world *w, bool dry, struct told *told, tally_error *error) {
  static const char *const words[] = {"retention-apply", "--dry-run"};
  tally_cursor *c;
  *told = (struct told){{0}};
  int result = tally_job_open(&w->store, words, dry ? 2 : 1, &c, error);
  if (result) return result;
  while (tally_cursor_next(c, error) == TALLY_ROW) {
    tally_text stage = tally_cursor_cell(c, 0), rows = tally_cursor_cell(c, 3);
    int s = stage.data[0] == 'a' ? ARCHIVE : stage.data[0] == 't' ? THIN : DROP;
    told->rows[s] += strtoull(rows.data, NULL, 10);
  }
  tally_cursor_close(c);
  return 0;
}

/* What is due to be dropped, and what is only to be thinned. */
static void count_due(const struct world *w, struct told *due) {
  int64_t now = now_of(w);
  *due = (struct told){{0}};
  for (size_t i = 0; i < w->model.events; i++) {
    const struct event *e = &w->model.event[i];
    if (e->hidden) continue;
    bool dropped = is_due(&w->model.rules, DROP, e->service, e->timestamp, now);
    due->rows[DROP] += dropped;
    due->rows[THIN] +=
        !dropped && !e->thinned && is_due(&w->model.rules, THIN, e->service, e->timestamp, now);
  }
}

/* After retention is through, a segment whose every row is old enough is in the archive. */
static void check_archive(struct world *w) {
  const struct db *db = w->store.db;
  for (size_t i = 0; i < db->version->count; i++) {
    const struct segment *s = db->version->segment[i];
    bool due = !s->info.thinned && !s->info.archived;
    for (uint32_t k = 0; k < s->services && due; k++) {
      uint32_t id = s->span[k].service;
      tally_text t = {NULL, 0};
      if (id) t = catalog_text(db->catalog, column_domain(TALLY_COL_SERVICE_NAME), id);
      int32_t service = t.data ? t.data[4] - '0' : -1;
      due = is_due(&w->model.rules, ARCHIVE, service, s->info.max_timestamp, now_of(w));
    }
    require(!due, "a segment of month %d is old enough for the archive", s->info.month);
  }
}

/* True if it was applied; false if a fault came, or the clock is doubted. */
static bool try_apply(struct world *w, struct told *told) {
  tally_error error;
  bool guarded = guard_holds(w);
  retention_begin(w);
  arm(w);
  int result = run_apply(w, false, told, &error);
  if (!result) require(!guarded, "nothing is applied under a clock that is doubted");
  if (result == TALLY_BUSY) require(guarded, "retention waits for no reason: %s", error.text);
  if (!result || result == TALLY_BUSY) model_settle(&w->model); /* it has flushed */
  w->guarded += result == TALLY_BUSY;
  settle(w, result == TALLY_BUSY ? 0 : result, &error);
  retention_end(w);
  if (result) return false;
  struct told due;
  count_due(w, &due);
  require(due.rows[DROP] + due.rows[THIN] == 0, "%llu rows to drop and %llu to thin are left", due.rows[DROP],
          due.rows[THIN]);
  check_archive(w);
  w->applied++;
  return true;
}

void step_apply(struct world *w) {
  struct told due, dry, done;
  tally_error error;
  bool told = once_in(w, 2), calm = w->calm;
  if (told) { /* rows in memory are not told of */
    int result = tally_flush(&w->store, &error);
    require(result == 0, "a flush: %s", result ? error.text : "");
    model_settle(&w->model);
    result = run_apply(w, true, &dry, &error);
    require(result == 0, "a dry run: %s", result ? error.text : "");
    count_due(w, &due);
    for (int s = THIN; s < STAGES_OF_AGE; s++)
      require(dry.rows[s] == due.rows[s], "a dry run tells of %llu rows to %s, not %llu", dry.rows[s],
              s == THIN ? "thin" : "drop", due.rows[s]);
  }
  unsigned long long faults = w->faults;
  if (try_apply(w, &done)) {
    for (int s = 0; s < STAGES_OF_AGE && told && faults == w->faults; s++)
      require(dry.rows[s] == done.rows[s], "a dry run told of %llu rows in stage %d, %llu it was",
              dry.rows[s], s, done.rows[s]);
    return;
  }
  if (guard_holds(w)) return;
  w->calm = true;
  require(try_apply(w, &done), "retention that failed is applied the second time");
  w->calm = calm;
}

void step_confirm(struct world *w) {
  static const char *const words[] = {"retention", "confirm"};
  guard_confirm(w);
  if (!try_once(w, words, 2)) again(w, words, 2);
  guard_confirmed(w);
}

/* ------------------------------------------------------------------ the clock */

/* Time goes by. */
void step_time(struct world *w) {
  int64_t most = once_in(w, 8) ? 20 * WHOLE_DAY_US : once_in(w, 2) ? 3 * HOUR_US : HOUR_US / 2;
  disk_advance(w->disk, (int64_t)below(w, (uint64_t)most));
}

/* The begin of a month, or of a day around the end of February, near the time. */
static int64_t some_edge(struct world *w, int64_t now) {
  time_t seconds = (time_t)(now / 1000000);
  struct tm tm;
  (void)gmtime_r(&seconds, &tm);
  struct tm edge = {.tm_year = tm.tm_year, .tm_mon = tm.tm_mon + (int)below(w, 2), .tm_mday = 1};
  if (once_in(w, 2)) {
    edge.tm_year += (int)below(w, 5);
    edge.tm_mon = 1;
    edge.tm_mday = 28 + (int)below(w, 3);
  }
  return (int64_t)timegm(&edge) * 1000000;
}

/* The clock on the wall goes wrong, or right again; it stays between 1990 and 2090. */
void step_clock(struct world *w) {
  static const int64_t jumps[] = {
      1000000,          HOUR_US,           WHOLE_DAY_US - 1,   WHOLE_DAY_US + 1000000,
      3 * WHOLE_DAY_US, 40 * WHOLE_DAY_US, 366 * WHOLE_DAY_US, 3652 * WHOLE_DAY_US};
  int64_t now = now_of(w), jump = jumps[below(w, sizeof jumps / sizeof *jumps)];
  if (w->skew && !once_in(w, 3))
    jump = -w->skew;
  else if (once_in(w, 3))
    jump = some_edge(w, now) - now + (int64_t)below(w, 3) * 1000000 - 1000000;
  else if (once_in(w, 2))
    jump = -jump;
  if (now + jump < INT64_C(631152000000000) || now + jump > INT64_C(3786912000000000)) return;
  w->skew += jump;
  disk_jump(w->disk, jump);
}
