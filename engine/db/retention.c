/* retention.c - rows grow old: archived, thinned to rollups, gone, as the policy says; driven by the store's
 * clock and never by an event's time.
 *
 * 1. Cuts lie at the begin of a UTC day: a row is old when its whole day is. So a segment on a cut is
 * rewritten once a day at most, and rollups are cut where their buckets are.
 * 2. After a jump of the clock by more than a day against the monotonic one, or a stop of more than a day,
 * nothing is thinned or dropped for 24 hours, unless the operator confirms the clock. Archiving goes on.
 * 3. One piece of work at a time: a month's expired segments go; or one segment is cut; or a month's old rows
 * are thinned; or a month's segments are archived. Each is one edit. */
#include "db/retention.h"
#include "base/mem.h"
#include "base/status.h"

#define GUARD_US DAY_US
#define LOOK_US INT64_C(3600000000) /* between two looks at all segments */

/* ------------------------------------------------------------------ clock and policy */

/* Under the lock: has the clock jumped since it was looked at last? */
static void look_at_clock(struct db *db) {
  struct retention *r = &db->retention;
  int64_t now = db->os->now(db->os), monotonic = db->os->monotonic(db->os);
  int64_t jump = (now - r->now) - (monotonic - r->monotonic);
  if (jump > DAY_US || jump < -DAY_US) r->guarded_until = monotonic + GUARD_US;
  if (r->guarded_until && monotonic >= r->guarded_until) r->guarded_until = 0;
  r->now = now;
  r->monotonic = monotonic;
}

/* Under the lock. */
static void policy_changed(struct retention *r) {
  bool drops = r->policy.store.age[STAGE_DROP] != 0;
  for (uint32_t i = 0; i < r->policy.services; i++)
    drops = drops || r->policy.service[i].ages.age[STAGE_DROP] != 0;
  atomic_store(&r->drops, drops);
  r->next_look = 0;
}

int retention_open(struct db *db, tally_error *error) {
  struct retention *r = &db->retention;
  int result = policy_load(db->os, db->path, &r->policy, error);
  if (result) return result;
  r->now = db->os->now(db->os);
  r->monotonic = db->os->monotonic(db->os);
  int64_t away = r->now - r->policy.seen;
  /* A policy that was set while the clock was doubted has no time to hold this one against. */
  bool doubted = r->policy.seen ? away > DAY_US || away < -DAY_US : !policy_empty(&r->policy);
  if (doubted) r->guarded_until = r->monotonic + GUARD_US;
  policy_changed(r);
  return 0;
}

/* Under the lock: keeps the policy, with the clock as it is. */
static int save(struct db *db, tally_error *error) {
  struct retention *r = &db->retention;
  look_at_clock(db);
  if (!r->guarded_until)
    r->policy.seen = r->now; /* a clock that is doubted is not what later ones are held against */
  int result = db_writable(db, error);
  return result ? result : policy_save(db->os, db->path, &r->policy, error);
}

/* Under the lock. What cannot be kept does not hold either. */
static int change_policy(struct db *db, const char *service, const struct ages *ages, tally_error *error) {
  struct retention *r = &db->retention;
  struct policy spare;
  int result = policy_copy(&spare, &r->policy, error);
  if (result) return result;
  result = policy_set(&r->policy, service, ages, error);
  if (!result) result = save(db, error);
  if (result) {
    const struct policy refused = r->policy;
    r->policy = spare;
    spare = refused;
  }
  policy_free(&spare);
  policy_changed(r);
  return result;
}

int db_retention_set(struct db *db, const char *service, const struct ages *ages, tally_error *error) {
  os_lock(&db->retention.lock);
  int result = change_policy(db, service, ages, error);
  os_unlock(&db->retention.lock);
  return result;
}

int db_retention_show(struct db *db, int (*show)(void *arg, const char *service, const struct ages *ages),
                      void *arg, int64_t *guard, tally_error *error) {
  struct retention *r = &db->retention;
  os_lock(&r->lock);
  look_at_clock(db);
  int stopped = show(arg, NULL, &r->policy.store);
  for (uint32_t i = 0; i < r->policy.services && !stopped; i++)
    stopped = show(arg, r->policy.service[i].service, &r->policy.service[i].ages);
  *guard = r->guarded_until ? (r->guarded_until - r->monotonic) / 1000000 + 1 : 0;
  os_unlock(&r->lock);
  return stopped ? fail_memory(error, "a report") : 0;
}

int db_retention_confirm(struct db *db, tally_error *error) {
  struct retention *r = &db->retention;
  os_lock(&r->lock);
  look_at_clock(db);
  int64_t guarded_until = r->guarded_until;
  r->guarded_until = 0;
  r->next_look = 0;
  int result = save(db, error);
  if (result) r->guarded_until = guarded_until;
  os_unlock(&r->lock);
  return result;
}

/* ------------------------------------------------------------------ all */

static int by_month(const void *a, const void *b) {
  const struct segment *const *x = a, *const *y = b;
  if ((*x)->info.month != (*y)->info.month) return (*x)->info.month < (*y)->info.month ? -1 : 1;
  return (*x)->info.id < (*y)->info.id ? -1 : (*x)->info.id > (*y)->info.id;
}

/* Looks at all months: does the first piece that is due, or (dry) tells of all. Has `maintaining`. */
static int look_at_all(struct db *db, const struct retention_look *l, bool dry, bool *worked,
                       int (*did)(void *arg, const struct retention_report *report), void *arg,
                       tally_error *error) {
  struct version *v = version_take(db);
  struct segment **s = mem_alloc((v->count + 1) * sizeof(struct segment *));
  int result = s ? 0 : fail_memory(error, "retention");
  size_t count = 0;
  *worked = false;
  if (!result) result = db_go_on(db, error);
  for (size_t i = 0; s && i < v->count; i++)
    if (!segment_quarantined(v->segment[i])) s[count++] = v->segment[i];
  if (s) qsort((void *)s, count, sizeof *s, by_month);
  for (size_t first = 0, end; !result && first < count && !*worked; first = end) {
    for (end = first; end < count && s[end]->info.month == s[first]->info.month; end++) {
    }
    struct retention_piece w;
    if (dry) {
      result = retention_tell(l, s + first, end - first, did, arg, error);
      continue;
    }
    result = retention_choose(l, s + first, end - first, &w, error);
    if (result || !w.inputs) continue;
    struct retention_report report;
    result = retention_do(l, s + first, end - first, &w, &report, error);
    *worked = result == 0;
    if (!result && did && did(arg, &report)) result = fail_memory(error, "a report");
  }
  mem_free((void *)s);
  version_unref(db, v);
  return result;
}

static struct retention_look look_begin(struct db *db) {
  struct retention *r = &db->retention;
  os_lock(&r->lock);
  look_at_clock(db);
  struct retention_look l = {db, r->now, r->guarded_until != 0};
  os_unlock(&r->lock);
  return l;
}

int db_retention_apply(struct db *db, bool dry, int (*did)(void *arg, const struct retention_report *report),
                       void *arg, tally_error *error) {
  int result = dry ? 0 : db_flush(db, error); /* rows in memory grow old too */
  if (!result && !dry) result = retention_note_clock(db, error);
  if (result) return result;
  struct retention_look l = look_begin(db);
  if (l.guarded && !dry)
    return fail(
        error, TALLY_BUSY,
        "the clock has jumped by more than a day, or the store was closed for so long: nothing is thinned "
        "or dropped for 24 hours; look at the clock, then say `tally retention confirm`");
  l.guarded = false;
  bool worked = true;
  job_begin(db);
  while (!result && worked) {
    os_lock(&db->maintaining);
    result = look_at_all(db, &l, dry, &worked, did, arg, error);
    os_unlock(&db->maintaining);
  }
  job_end(db);
  return result;
}

int retention_note_clock(struct db *db, tally_error *error) {
  struct retention *r = &db->retention;
  os_lock(&r->lock);
  int result = policy_empty(&r->policy) ? 0 : save(db, error);
  os_unlock(&r->lock);
  return result;
}

int retention_in_background(struct db *db, bool *worked, tally_error *error) {
  struct retention *r = &db->retention;
  *worked = false;
  os_lock(&r->lock);
  bool due = !policy_empty(&r->policy) && db->os->monotonic(db->os) >= r->next_look;
  int result = due ? save(db, error) : 0; /* so that the next open knows how long the store was away */
  os_unlock(&r->lock);
  if (!due || result) return result;
  struct retention_look l = look_begin(db);
  os_lock(&db->maintaining);
  result = look_at_all(db, &l, false, worked, NULL, NULL, error);
  os_unlock(&db->maintaining);
  os_lock(&r->lock);
  if (!*worked) r->next_look = db->os->monotonic(db->os) + LOOK_US;
  os_unlock(&r->lock);
  return result;
}
