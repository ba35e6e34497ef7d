/* guard.c - the clock, as the store has to look at it (law 2 of engine/db/retention.c): after a jump of more
 * than a day, or a stop of more than a day, nothing is thinned or dropped until 24 hours of uptime have
 * passed or the clock is confirmed. The store tells when it looks; what it must think then is found here. */
#include "db/inside.h"
#include "property/world.h"

int64_t now_of(const struct world *w) { return disk_os(w->disk)->now(disk_os(w->disk)); }
static int64_t uptime_of(const struct world *w) { return disk_os(w->disk)->monotonic(disk_os(w->disk)); }

static bool is_long(int64_t us) { return us > WHOLE_DAY_US || us < -WHOLE_DAY_US; }

/* What a look at this moment makes of the guard. */
static int64_t until_after(const struct guard *g, int64_t now, int64_t monotonic) {
  int64_t until = g->until;
  if (is_long((now - g->now) - (monotonic - g->monotonic))) until = monotonic + WHOLE_DAY_US;
  return until && monotonic >= until ? 0 : until;
}

bool guard_holds(struct world *w) { return until_after(&w->guard, now_of(w), uptime_of(w)) != 0; }

void guard_watch(struct world *w) {
  const struct retention *r = &w->store.db->retention;
  struct guard *g = &w->guard;
  if (r->monotonic != g->monotonic) {
    require(r->now <= now_of(w) && r->monotonic <= uptime_of(w), "the store looks at the clock as it is");
    g->until = until_after(g, r->now, r->monotonic);
    g->now = r->now;
    g->monotonic = r->monotonic;
  }
  require((g->until != 0) == (r->guarded_until != 0), "the clock is %s, the store thinks otherwise",
          g->until ? "doubted" : "trusted");
}

static void trust(struct guard *g, int64_t now) {
  if (g->trusts && g->trusted[g->trusts - 1] == now) return;
  if (g->trusts == TRUSTED_MOST) g->trusts = 0;
  g->trusted[g->trusts++] = now;
}

/* The time that was written down last tells how long the store was away; it must be one at which the clock
 * was trusted. A policy with no such time was set under a clock that was doubted. */
void guard_open(struct world *w) {
  const struct retention *r = &w->store.db->retention;
  struct guard *g = &w->guard;
  int64_t seen = r->policy.seen;
  bool known = seen == 0;
  for (size_t i = 0; i < g->trusts && !known; i++) known = g->trusted[i] == seen;
  require(known, "the time in RETENTION is one at which the clock was trusted");
  g->now = r->now;
  g->monotonic = r->monotonic;
  bool away = seen ? is_long(r->now - seen) : !policy_empty(&r->policy);
  require(away == (r->guarded_until != 0), "a store that was away for %lld us opens with its clock %s",
          (long long)(seen ? r->now - seen : 0), away ? "trusted" : "doubted");
  g->until = r->guarded_until;
  if (!away)
    trust(g, r->now); /* the step may have begun with a clock that was doubted, and goes on with this one */
}

void guard_trust(struct world *w) {
  if (!guard_holds(w)) trust(&w->guard, now_of(w));
}

void guard_confirm(struct world *w) { trust(&w->guard, now_of(w)); }

void guard_confirmed(struct world *w) {
  const struct retention *r = &w->store.db->retention;
  w->guard.now = r->now;
  w->guard.monotonic = r->monotonic;
  w->guard.until = 0;
}

static bool is_in_doubt(const struct model *m, const struct pending *p) {
  for (size_t i = 0; i < m->events && p->producer < 0 && p->acknowledged; i++)
    if (m->event[i].batch == p->batch && m->event[i].due) return true;
  return false;
}

/* A batch without a producer that may be lost and may be thinned could not be told from the outside: it is
 * flushed before. */
void retention_begin(struct world *w) {
  bool doubt = false;
  tally_error error;
  model_mark_due(&w->model, now_of(w), guard_holds(w));
  for (size_t i = 0; i < w->model.pendings && !doubt; i++)
    doubt = is_in_doubt(&w->model, &w->model.pending[i]);
  if (!doubt) return;
  int result = tally_flush(&w->store, &error);
  require(result == 0, "a flush before retention: %s", result ? error.text : "");
  model_settle(&w->model);
}

static void count_thinned(const struct world *w, size_t *thinned) {
  for (size_t i = 0; i < w->model.events; i++) *thinned += w->model.event[i].thinned;
}

void retention_end(struct world *w) {
  bool any = false;
  for (size_t i = 0; i < w->model.events && !any; i++) any = w->model.event[i].due != 0;
  if (any) {
    size_t events = w->model.events, before = 0, after = 0;
    count_thinned(w, &before);
    check_all_events(w);
    count_thinned(w, &after);
    w->dropped += events - w->model.events;
    w->thinned += after > before ? after - before : 0;
  }
  model_unmark(&w->model);
}
