/* oracle.c - what a store must hold after what it was told: see world.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "faults/world.h"
#include "maintain/restore.h"

#define THINNED "2024-01-20" /* between what is thinned and what keeps its rows */
#define SERIALS (BATCHES * 8)
#define ANON (USERS + 1)

/* ------------------------------------------------------------------ rows */

struct found {
  bool there[SERIALS], anonymous[SERIALS];
  unsigned rows;
};

static bool is_text(tally_text t, const char *text) {
  return t.data && t.size == strlen(text) && memcmp(t.data, text, t.size) == 0;
}

static int64_t number_of(tally_text t, int decimals) {
  int64_t n = 0;
  bool point = false;
  for (size_t i = 0; t.data && i < t.size; i++) {
    if (t.data[i] == '.') {
      point = true;
      continue;
    }
    n = n * 10 + (t.data[i] - '0');
    decimals -= point;
  }
  while (decimals-- > 0) n *= 10;
  return n;
}

static bool is_pseudonym(tally_text t) { return t.data && t.size > 5 && memcmp(t.data, "anon_", 5) == 0; }

static void check_row(const tally_cursor *c, struct found *f) {
  tally_text serial_text = tally_cursor_cell(c, TALLY_COL_REQUEST_SIZE);
  int32_t serial = (int32_t)number_of(serial_text, 0);
  check(serial_text.data && serial_exists(serial), "event %d was never sent", serial);
  check(!f->there[serial], "event %d is there twice", serial);
  f->there[serial] = true;
  f->rows++;
  struct event e = event_of(serial);
  tally_text user = tally_cursor_cell(c, TALLY_COL_USER_ID);
  f->anonymous[serial] = is_pseudonym(user);
  if (e.user == NOBODY) {
    check(!user.data, "event %d has no user", serial);
  } else {
    bool renamed = e.user == RENAMED && f->anonymous[serial];
    check(renamed || is_text(user, user_text(e.user)), "event %d is of user %.*s", serial, (int)user.size,
          user.data ? user.data : "");
  }
  char text[48];
  (void)snprintf(text, sizeof text, "svc-%d", e.service);
  check(is_text(tally_cursor_cell(c, TALLY_COL_SERVICE_NAME), text), "event %d: its service", serial);
  check(number_of(tally_cursor_cell(c, TALLY_COL_TOKENS_USED), 0) == e.tokens &&
            number_of(tally_cursor_cell(c, TALLY_COL_COST), 9) == e.cost,
        "event %d: its numbers", serial);
  (void)snprintf(text, sizeof text, "{\"n\":%d}", serial);
  tally_text metadata = tally_cursor_cell(c, TALLY_COL_METADATA);
  if (e.metadata && !f->anonymous[serial])
    check(is_text(metadata, text), "event %d: its metadata", serial);
  else
    check(!metadata.data, "event %d has metadata", serial);
  time_t seconds = (time_t)(e.timestamp / 1000000);
  struct tm tm;
  size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &tm));
  (void)snprintf(text + n, sizeof text - n, ".%06dZ", (int)(e.timestamp % 1000000));
  check(is_text(tally_cursor_cell(c, TALLY_COL_TIMESTAMP), text), "event %d: its time is not %s", serial,
        text);
}

static void read_rows(struct world *w, struct found *f) {
  tally_scan scan;
  tally_cursor *c;
  tally_error e;
  *f = (struct found){.rows = 0};
  tally_scan_init(&scan);
  scan.from = THINNED;
  scan.flags = TALLY_ORDER_NONE;
  int result = tally_scan_open(&w->store, &scan, &c, &e);
  check(result == 0, "a scan: %s", e.text);
  while ((result = tally_cursor_next(c, &e)) == TALLY_ROW) check_row(c, f);
  check(result == 0, "a scan's rows: %s", e.text);
  tally_cursor_close(c);
}

static bool is_raw(const struct event *e) { return e->age >= AGE_ARCHIVED; }

/* Each row of the batch is there as the jobs left it, or (`in` false) none is. */
static void check_batch(const struct world *w, const struct found *f, unsigned batch, bool in) {
  const uint8_t *job = w->history.job;
  for (unsigned row = 0; row < batch_rows(batch); row++) {
    struct event e = batch_event(batch, row);
    if (!is_raw(&e)) continue;
    int32_t s = e.serial;
    bool there = f->there[s];
    if (!in) {
      check(!there, "event %d is there, its batch %u is not in", s, batch);
    } else if (e.user == ERASED) {
      check(there ? job[JOB_ERASE] != DONE : job[JOB_ERASE] != NOT_BEGUN, "event %d of the erased user: %d",
            s, there);
    } else {
      check(there, "event %d of batch %u is lost", s, batch);
      if (e.user == RENAMED)
        check(f->anonymous[s] ? job[JOB_PSEUDONYMIZE] != NOT_BEGUN : job[JOB_PSEUDONYMIZE] != DONE,
              "event %d of the renamed user: %d", s, f->anonymous[s]);
    }
  }
}

/* ------------------------------------------------------------------ which batches are in */

static bool is_in(struct world *w, const struct found *f, unsigned batch) {
  tally_append_options o = {0};
  batch_name(batch, &o);
  if (!o.producer) return f->there[batch_event(batch, 0).serial];
  tally_mark mark;
  tally_error e;
  int result = tally_producer_mark(&w->store, o.producer, o.epoch, &mark, &e);
  check(result == 0, "a mark: %s", e.text);
  return mark.epoch == o.epoch && mark.sequence >= o.sequence;
}

static unsigned long long count_old(struct world *w) {
  tally_query q;
  tally_cursor *c;
  tally_error e;
  tally_query_init(&q);
  q.to = THINNED;
  int result = tally_query_open(&w->store, &q, &c, &e);
  check(result == 0, "a query: %s", e.text);
  result = tally_cursor_next(c, &e);
  check(result == TALLY_ROW, "a query's row: %s", e.text);
  unsigned long long n = (unsigned long long)number_of(tally_cursor_cell(c, 0), 0);
  tally_cursor_close(c);
  return n;
}

/* Of the range in which rows may be thinned or gone there are only counts. */
static void check_old(struct world *w, const bool in[BATCHES]) {
  const uint8_t *job = w->history.job;
  unsigned long long least = 0, most = 0, there = count_old(w);
  for (unsigned b = 0; b < BATCHES; b++)
    for (unsigned row = 0; in[b] && row < batch_rows(b); row++) {
      struct event e = batch_event(b, row);
      if (is_raw(&e)) continue;
      bool dropped = e.age == AGE_DROPPED;
      least += !dropped || job[JOB_RETENTION] == NOT_BEGUN;
      most += !dropped || job[JOB_RETENTION] != DONE;
    }
  check(there >= least && there <= most, "%llu old events are there, not %llu to %llu", there, least, most);
}

void oracle_opened(struct world *w, bool power) {
  struct found f;
  bool in[BATCHES];
  read_rows(w, &f);
  for (unsigned b = 0; b < BATCHES; b++) {
    uint8_t *fate = &w->history.fate[b];
    in[b] = is_in(w, &f, b);
    check(in[b] || *fate != DURABLE, "batch %u was acknowledged and is lost", b);
    check(in[b] || *fate != WRITTEN || power, "batch %u was acknowledged and is lost with the process", b);
    check(!in[b] || *fate != UNSENT, "batch %u was never sent", b);
    check_batch(w, &f, b, in[b]);
    *fate = in[b] ? DURABLE : UNSENT;
  }
  check_old(w, in);
}

void oracle_visible(struct world *w) {
  struct found f;
  bool in[BATCHES];
  read_rows(w, &f);
  for (unsigned b = 0; b < BATCHES; b++) {
    in[b] = w->history.fate[b] >= WRITTEN;
    check(is_in(w, &f, b) == in[b], "batch %u: its mark or its rows", b);
    check_batch(w, &f, b, in[b]);
  }
  check_old(w, in);
}

/* ------------------------------------------------------------------ totals */

struct sums {
  int64_t count, tokens, cost;
};

static int user_of(tally_text t) {
  if (!t.data) return NOBODY;
  if (is_pseudonym(t)) return ANON;
  for (int u = 0; u < USERS; u++)
    if (is_text(t, user_text(u))) return u;
  check(false, "user %.*s was never sent", (int)t.size, t.data);
  return -1;
}

/* As the answer says: an event's user may have been erased or renamed. -1: it is gone. */
static int user_now(const struct world *w, const struct event *e) {
  const uint8_t *job = w->history.job;
  if (e->age == AGE_DROPPED && job[JOB_RETENTION] == DONE) return -1;
  if (e->user == RENAMED && job[JOB_PSEUDONYMIZE] == DONE) return ANON;
  if (e->user != ERASED || job[JOB_ERASE] != DONE) return e->user;
  return e->age == AGE_THINNED && job[JOB_RETENTION] == DONE ? NOBODY : -1;
}

static void right_sums(const struct world *w, struct sums right[SERVICES][USERS + 2]) {
  for (unsigned b = 0; b < BATCHES; b++)
    for (unsigned row = 0; w->history.fate[b] >= WRITTEN && row < batch_rows(b); row++) {
      struct event e = batch_event(b, row);
      int user = user_now(w, &e);
      if (user < 0) continue;
      struct sums *s = &right[e.service][user];
      s->count++;
      s->tokens += e.tokens;
      s->cost += e.cost;
    }
}

void oracle_exact(struct world *w) {
  struct sums right[SERVICES][USERS + 2] = {0}, there[SERVICES][USERS + 2] = {0};
  tally_query q;
  tally_cursor *c;
  tally_error e;
  oracle_visible(w);
  right_sums(w, right);
  tally_query_init(&q);
  q.group_by = "service_name,user_id";
  q.aggregates = "count,sum:tokens_used,sum:cost";
  int result = tally_query_open(&w->store, &q, &c, &e);
  check(result == 0, "totals: %s", e.text);
  while ((result = tally_cursor_next(c, &e)) == TALLY_ROW) {
    tally_text service = tally_cursor_cell(c, 0);
    check(service.data && service.size == 5, "a service that was sent");
    struct sums *s = &there[service.data[4] - '0'][user_of(tally_cursor_cell(c, 1))];
    s->count += number_of(tally_cursor_cell(c, 2), 0);
    s->tokens += number_of(tally_cursor_cell(c, 3), 0);
    s->cost += number_of(tally_cursor_cell(c, 4), 9);
  }
  check(result == 0, "totals: %s", e.text);
  tally_cursor_close(c);
  for (int s = 0; s < SERVICES; s++)
    for (int u = 0; u < USERS + 2; u++)
      check(memcmp(&right[s][u], &there[s][u], sizeof right[s][u]) == 0,
            "service %d, user %d: %" PRId64 " events, tokens %" PRId64 ", cost %" PRId64 ", not %" PRId64
            ", %" PRId64 ", %" PRId64,
            s, u, there[s][u].count, there[s][u].tokens, there[s][u].cost, right[s][u].count,
            right[s][u].tokens, right[s][u].cost);
}

/* ------------------------------------------------------------------ files */

struct hygiene {
  unsigned segments, manifests, catalogs;
  char odd[200];
};

static void see_file(void *arg, const char *path, const uint8_t *bytes, size_t size) {
  struct hygiene *h = arg;
  (void)bytes, (void)size;
  const char *end = strrchr(path, '.');
  h->segments += end && strcmp(end, ".seg") == 0;
  h->manifests += strstr(path, "MANIFEST-") != NULL;
  h->catalogs += strstr(path, "/catalog") != NULL;
  if (end && strcmp(end, ".tmp") == 0) (void)snprintf(h->odd, sizeof h->odd, "%s", path);
}

static unsigned figure(struct world *w, const char *name) {
  tally_cursor *c;
  unsigned value = 0;
  check(tally_stats_open(&w->store, &c, NULL) == 0, "stats");
  while (tally_cursor_next(c, NULL) == TALLY_ROW)
    if (is_text(tally_cursor_cell(c, 0), name)) value = (unsigned)number_of(tally_cursor_cell(c, 1), 0);
  tally_cursor_close(c);
  return value;
}

void oracle_files(struct world *w) {
  struct hygiene h = {0};
  disk_each(w->disk, STORE, see_file, &h);
  check(!*h.odd, "%s is left over", h.odd);
  unsigned known = figure(w, "segments");
  check(h.segments == known, "%u segment files, the store knows %u", h.segments, known);
  check(h.manifests == 1, "%u manifests", h.manifests);
  check(figure(w, "segments_quarantined") == 0, "a segment is quarantined");
}

/* ------------------------------------------------------------------ backups */

void oracle_store(struct world *w, const char *path) {
  struct world r = {.disk = w->disk, .history = w->backed_up};
  tally_error e;
  tally_options o;
  tally_options_init(&o);
  o.manual = true;
  o.memory = 64u << 20;
  int result = db_open(disk_os(w->disk), path, &o, &r.store.db, &e);
  check(result == 0, "a restored store opens: %s", e.text);
  for (unsigned b = 0; b < w->history.tried; b++) /* a renewal that was cut off may have brought more */
    if (r.history.fate[b] == UNSENT) r.history.fate[b] = SENT;
  oracle_opened(&r, true);
  (void)db_close(r.store.db, &e);
}

void oracle_backup(struct world *w, const char *path) {
  struct budget budget;
  tally_error e;
  budget_init(&budget, 64u << 20, NULL);
  struct copier to = {.os = disk_os(w->disk), .store = "/checked", .budget = &budget};
  int result = cache_new(1u << 20, &budget, &to.cache, &e);
  if (!result) result = restore(&to, path, &e);
  check(result == 0, "a backup restores: %s", e.text);
  cache_free(to.cache);
  oracle_store(w, "/checked");
  disk_remove_tree(w->disk, "/checked");
}
