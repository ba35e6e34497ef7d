/* see.c - what only the inside of a store tells: the rows that are there beside thinned ranges, where a scan
 * from outside is refused; which of them are in the archive; how many events a thinned segment stands for. */
#include <stdlib.h>

#include "api/inside.h"
#include "base/mem.h"
#include "db/inside.h"
#include "property/check.h"
#include "query/query.h"

/* The C library's calendar, so that the engine's own is not asked about itself. It is slow, and is asked for
 * every event at every check: so for each month once. */
int32_t month_number(int64_t timestamp) {
  enum { MONTHS = 200 * 12 };
  static int64_t begin[MONTHS + 1]; /* of the months from 1970 on */
  for (int32_t i = 0; i <= MONTHS && !begin[MONTHS]; i++) {
    struct tm tm = {.tm_year = 70, .tm_mon = i, .tm_mday = 1};
    begin[i] = (int64_t)timegm(&tm) * 1000000;
  }
  if (timestamp < 0 || timestamp >= begin[MONTHS]) require(false, "a time of 200 years from 1970 on");
  int32_t month =
      (int32_t)(timestamp / (30 * DAY_US + 21 * HOUR_US / 2)); /* nearly the mean: one off at most */
  return month + (timestamp >= begin[month + 1]) - (timestamp < begin[month]);
}

uint64_t rows_thinned(tally_store *store, int32_t month) {
  const struct version *v = store->db->version;
  uint64_t rows = 0;
  for (size_t i = 0; i < v->count; i++)
    if (v->segment[i]->info.thinned && v->segment[i]->info.month == month) rows += v->segment[i]->info.rows;
  return rows;
}

static int by_serial(const void *a, const void *b) {
  const struct event *x = a, *y = b;
  return (x->serial > y->serial) - (x->serial < y->serial);
}

/* The events of a snapshot, which has no thinned segments. */
static void take_events(tally_store *store, const struct snapshot *view, bool archived, struct model *found) {
  const struct os *os = db_os(store->db);
  struct budget budget;
  const atomic_bool never = false;
  tally_scan scan;
  tally_error error;
  struct result *rows;
  budget_init(&budget, 64u << 20, NULL);
  struct query_environment e = {.snapshot = view,
                                .budget = &budget,
                                .os = os,
                                .now = os->now(os),
                                .deadline = INT64_MAX,
                                .cancelled = &never};
  tally_scan_init(&scan);
  int result = events_open(&scan, &e, &rows, &error);
  require(result == 0, "events: %s", result ? error.text : "");
  int64_t before = INT64_MIN;
  while ((result = result_next(rows, 1, &error)) == TALLY_ROW) {
    tally_text cell[TALLY_COLUMNS];
    for (size_t i = 0; i < TALLY_COLUMNS; i++) cell[i] = result_cell(rows, i);
    struct event *f = model_add(found);
    *f = event_of(cell);
    f->archived = archived;
    require(f->timestamp >= before, "events come in the order of time");
    before = f->timestamp;
  }
  require(result == 0, "all events: %s", result ? error.text : "");
  result_free(rows);
}

void read_events(tally_store *store, struct model *found) {
  struct db_snapshot *all;
  tally_error error;
  *found = (struct model){0};
  require(db_snapshot_take(store->db, &all, &error) == 0, "a snapshot");
  struct snapshot view = *db_snapshot_view(all);
  struct segment **segments = view.segments, **some = mem_alloc((view.segment_count + 1) * sizeof *some);
  size_t count = view.segment_count;
  require(some != NULL, "memory");
  for (int archived = 0; archived < 2; archived++) {
    view.segments = some;
    view.segment_count = 0;
    for (size_t i = 0; i < count; i++)
      if (!segments[i]->info.thinned && segments[i]->info.archived == archived)
        some[view.segment_count++] = segments[i];
    if (archived) view.memtable_count = 0;
    if (view.segment_count || view.memtable_count) take_events(store, &view, archived, found);
  }
  mem_free((void *)some);
  db_snapshot_release(all);
  if (found->events) qsort(found->event, found->events, sizeof *found->event, by_serial);
}
