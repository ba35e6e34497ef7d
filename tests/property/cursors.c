/* cursors.c - cursors that stay open while other steps go on. Each gives, page by page, what there was when
 * it was opened, whatever was flushed, merged, archived, thinned, dropped or erased between its pages; or it
 * ends with snapshot-expired, where it holds rows in memory or an erasure had to wait for it. */
#include <stdlib.h>
#include <string.h>

#include "db/inside.h"
#include "property/world.h"

#define PAGE_MOST 10u
#define TIMEOUT_MS UINT64_C(4000000000) /* 46 days */

static int64_t uptime_of(const struct world *w) { return disk_os(w->disk)->monotonic(disk_os(w->disk)); }

/* ------------------------------------------------------------------ open and close */

static void close_held(struct held *h) {
  if (h->cursor) tally_cursor_close(h->cursor);
  model_free(&h->then);
  answer_free(&h->right);
  answer_free(&h->found);
  free(h->seen);
  *h = (struct held){.cursor = NULL};
}

void cursors_close(struct world *w) {
  for (int i = 0; i < HELD; i++) close_held(&w->held[i]);
}

void cursors_may_expire(struct world *w) {
  for (int i = 0; i < HELD; i++) w->held[i].may_expire = true;
}

bool cursors_any(const struct world *w) {
  for (int i = 0; i < HELD; i++)
    if (w->held[i].cursor) return true;
  return false;
}

/* The first hour behind all thinned events: from here on rows are there. */
static int64_t rows_begin(const struct model *m) {
  int64_t from = INT64_MIN;
  for (size_t i = 0; i < m->events; i++) {
    int64_t hour = m->event[i].timestamp / HOUR_US * HOUR_US + HOUR_US;
    if (m->event[i].thinned && hour > from) from = hour;
  }
  return from;
}

static int open_scan(struct world *w, struct held *h, tally_error *error) {
  char from[40], to[40];
  tally_scan scan;
  tally_scan_init(&scan);
  struct question *q = &h->question;
  if (!once_in(w, 4)) q->from = rows_begin(&w->model);
  if (q->from == INT64_MIN && once_in(w, 3))
    q->from = now_of(w) - (int64_t)below(w, 90 * (uint64_t)WHOLE_DAY_US);
  if (once_in(w, 4)) q->to = now_of(w) - (int64_t)below(w, 20 * (uint64_t)WHOLE_DAY_US);
  if (q->to <= q->from) q->to = INT64_MAX;
  if (q->from != INT64_MIN) time_text(q->from, from), scan.from = from;
  if (q->to != INT64_MAX) time_text(q->to, to), scan.to = to;
  h->ordered = !once_in(w, 4);
  h->backwards = h->ordered && once_in(w, 3);
  scan.flags = !h->ordered ? TALLY_ORDER_NONE : h->backwards ? TALLY_ORDER_DESC : 0;
  scan.timeout = TIMEOUT_MS;
  h->last = h->backwards ? INT64_MAX : INT64_MIN;
  h->seen = calloc(w->model.events + 1, sizeof *h->seen);
  require(h->seen != NULL, "memory");
  return tally_scan_open(&w->store, &scan, &h->cursor, error);
}

static int open_query(struct world *w, struct held *h, tally_error *error) {
  static const unsigned groups[] = {BY_USER, BY_USER | BY_SERVICE, BY_ENDPOINT | BY_SERVICE, BY_SERVICE};
  struct question *q = &h->question;
  tally_query query;
  q->by = groups[below(w, 4)];
  q->bucket = once_in(w, 2) ? WHOLE_DAY_US : HOUR_US;
  if (once_in(w, 2))
    q->from = (now_of(w) - (int64_t)below(w, 90 * (uint64_t)WHOLE_DAY_US)) / HOUR_US * HOUR_US;
  ask(q, 0, &query);
  query.timeout = TIMEOUT_MS;
  h->last = INT64_MIN;
  model_answer(&w->model, q, &h->right);
  return tally_query_open(&w->store, &query, &h->cursor, error);
}

/* Is any event of the range thinned? */
static bool any_thinned(const struct model *m, const struct question *q) {
  for (size_t i = 0; i < m->events; i++)
    if (m->event[i].thinned && m->event[i].timestamp >= q->from && m->event[i].timestamp < q->to) return true;
  return false;
}

/* Where memory is needed that two of them hold, the older one ends only after a second that is not the
 * test's: mostly one holds rows in memory, and others have them in segments. */
static void spare_memory(struct world *w) {
  bool holds = false;
  tally_error error;
  for (const struct db_snapshot *s = w->store.db->snapshots; s; s = s->next)
    holds = holds || s->view.memtable_count;
  if (!holds || once_in(w, 50)) return;
  int result = tally_flush(&w->store, &error);
  require(result == 0, "a flush before a cursor: %s", result ? error.text : "");
  model_settle(&w->model);
}

void step_cursor(struct world *w) {
  struct held *h = &w->held[below(w, HELD)];
  tally_error error;
  close_held(h);
  spare_memory(w);
  h->question =
      (struct question){.from = INT64_MIN, .to = INT64_MAX, .user = INT32_MIN, .service = INT32_MIN};
  h->scan = !once_in(w, 3);
  int result = (h->scan ? open_scan : open_query)(w, h, &error);
  if (h->scan && result == TALLY_NO_RAW_ROWS)
    require(model_answers(&w->model, &h->question, true) != ANSWERED, "a scan: %s", error.text);
  if (h->scan && result == TALLY_NO_RAW_ROWS) {
    close_held(h);
    return;
  }
  require(result == 0, "a cursor opens: %s", result ? error.text : "");
  model_copy(&h->then, &w->model);
  h->opened = uptime_of(w);
  h->step = progress.step;
  h->may_expire = w->store.db->snapshots->view.memtable_count > 0;
}

/* ------------------------------------------------------------------ pages */

static int by_serial(const void *a, const void *b) {
  const struct event *x = a, *y = b;
  return (x->serial > y->serial) - (x->serial < y->serial);
}

static bool is_asked(const struct held *h, const struct event *e) {
  return !e->hidden && !e->thinned && e->timestamp >= h->question.from && e->timestamp < h->question.to;
}

static void check_scanned(struct held *h) {
  tally_text cell[TALLY_COLUMNS];
  for (size_t i = 0; i < TALLY_COLUMNS; i++) cell[i] = tally_cursor_cell(h->cursor, i);
  struct event f = event_of(cell);
  struct event *e = h->then.events ? bsearch(&f, h->then.event, h->then.events, sizeof f, by_serial) : NULL;
  require(e && is_asked(h, e), "event %d was not there when the cursor was opened", f.serial);
  check_event(&f, e);
  size_t at = (size_t)(e - h->then.event);
  require(!h->seen[at], "event %d comes twice", f.serial);
  h->seen[at] = true;
  if (!h->ordered) return;
  require(h->backwards ? f.timestamp <= h->last : f.timestamp >= h->last, "event %d is out of order",
          f.serial);
  h->last = f.timestamp;
}

/* Pseudonyms are one group in the model: groups are compared when all have come. */
static void take_group(struct held *h) {
  struct answer one = {0};
  take_row(h->cursor, &h->question, &one);
  require(one.group[0].bucket >= h->last, "a query's buckets are in order");
  h->last = one.group[0].bucket;
  answer_free(&one);
  take_row(h->cursor, &h->question, &h->found);
}

static void check_scan_end(const struct held *h) {
  size_t rows = 0;
  require(!any_thinned(&h->then, &h->question), "a scan of thinned rows comes to its end");
  for (size_t i = 0; i < h->then.events; i++) rows += is_asked(h, &h->then.event[i]);
  require(h->rows == rows, "a cursor gave %zu rows, not %zu", h->rows, rows);
}

static void check_query_end(const struct held *h) {
  tally_query ignored;
  ask(&h->question, 0, &ignored); /* for what is said of it */
  require(h->found.groups == h->right.groups, "a cursor gave %zu groups, not %zu", h->found.groups,
          h->right.groups);
  for (size_t i = 0; i < h->right.groups; i++) check_group(&h->found.group[i], &h->right.group[i], 0);
}

static void read_page(struct world *w, struct held *h) {
  tally_error error;
  int result = TALLY_ROW;
  w->pages += h->step != progress.step;
  h->step = progress.step;
  for (uint64_t left = 1 + below(w, PAGE_MOST); left && result == TALLY_ROW; left--) {
    result = tally_cursor_next(h->cursor, &error);
    if (result != TALLY_ROW) break;
    if (h->scan)
      check_scanned(h);
    else
      take_group(h);
    h->rows++;
  }
  if (result == TALLY_ROW) return;
  bool late = uptime_of(w) - h->opened >= (int64_t)TIMEOUT_MS * 1000;
  w->expired += result == TALLY_SNAPSHOT_EXPIRED;
  if (result == 0)
    (h->scan ? check_scan_end : check_query_end)(h);
  else if (result == TALLY_NO_RAW_ROWS && h->scan)
    require(model_answers(&h->then, &h->question, true) != ANSWERED, "a scan: %s", error.text);
  else
    require((result == TALLY_SNAPSHOT_EXPIRED && h->may_expire) || (result == TALLY_DEADLINE && late),
            "a cursor ends: %s", error.text);
  close_held(h);
}

void cursors_read(struct world *w) {
  for (int i = 0; i < HELD; i++)
    if (w->held[i].cursor && !once_in(w, 3)) read_page(w, &w->held[i]);
}
