/* compact.c - merging segments, one merge at a time, and the thread that does it in the background; see
 * maintain/compact_choose.h for the policy. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/status.h"
#include "db/inside.h"
#include "maintain/compact_choose.h"
#include "maintain/order.h"

/* ------------------------------------------------------------------ what there is */

struct version *version_take(struct db *db) {
  os_lock(&db->lock);
  struct version *v = db->version;
  v->references++;
  os_unlock(&db->lock);
  return v;
}

static int by_time(const void *a, const void *b) {
  const struct segment_info *x = &(*(const struct segment *const *)a)->info,
                            *y = &(*(const struct segment *const *)b)->info;
  if (x->month != y->month) return x->month < y->month ? -1 : 1;
  if (x->archived != y->archived) return x->archived ? -1 : 1;
  if (x->min_timestamp != y->min_timestamp) return x->min_timestamp < y->min_timestamp ? -1 : 1;
  return x->id < y->id ? -1 : x->id > y->id;
}

/* A month that is over, and in which nothing was written for as long as rows may wait in memory. */
static bool quiet(struct db *db, int32_t month) {
  if (db->os->now(db->os) < month_start(month + 1) + DAY_US) return false;
  int64_t now = db->os->monotonic(db->os), since = db->opened;
  os_lock(&db->lock);
  for (size_t i = 0; i < db->month_count; i++)
    if (db->month[i].month == month) since = db->month[i].flushed;
  os_unlock(&db->lock);
  return now - since >= db->options.flush_age;
}

void month_flushed(struct db *db, int32_t month) {
  size_t i = 0;
  db->rewritten_behind = 0;
  while (i < db->month_count && db->month[i].month != month) i++;
  if (i == db->month_count) {
    struct month_age *grown = mem_realloc_array(db->month, db->month_count + 1, sizeof *grown);
    if (!grown) return; /* the month settles early: harmless */
    db->month = grown;
    db->month[db->month_count++].month = month;
  }
  db->month[i].flushed = db->os->monotonic(db->os);
}

static bool tried(const struct db *db, uint64_t id) {
  for (size_t i = 0; i < db->tried_count; i++)
    if (db->tried[i] == id) return true;
  return false;
}

static struct candidate candidate_of(const struct db *db, const struct segment *s) {
  uint64_t bytes = segment_metadata_total(s), as_rows = bytes * db->memtable_rows / step_metadata(db);
  return (struct candidate){s->info.min_timestamp, s->info.max_timestamp,
                            as_rows > s->info.rows ? as_rows : s->info.rows, tried(db, s->info.id)};
}

static const struct segment *find(const struct version *v, uint64_t id) {
  for (size_t i = 0; i < v->count; i++)
    if (v->segment[i]->info.id == id) return v->segment[i];
  return NULL;
}

/* Remembers what a merge made that is not to be merged again, and forgets what is gone. Without memory for
 * that it is merged once more. */
static void remember(struct db *db, struct segment *const *input, size_t inputs,
                     const struct segment_info *made, uint64_t count) {
  struct version *v = version_take(db);
  struct candidate *before = mem_zalloc(inputs + count + 1, sizeof *before);
  size_t kept = 0;
  for (size_t i = 0; i < db->tried_count; i++)
    if (find(v, db->tried[i])) db->tried[kept++] = db->tried[i];
  db->tried_count = kept;
  uint64_t *grown = before ? mem_realloc_array(db->tried, kept + count + 1, sizeof *grown) : NULL;
  if (grown) {
    struct candidate *after = before + inputs;
    db->tried = grown;
    for (size_t i = 0; i < inputs; i++) before[i] = candidate_of(db, input[i]);
    for (uint64_t i = 0; i < count; i++) {
      const struct segment *s = find(v, made[i].id);
      if (s) after[i] = candidate_of(db, s);
    }
    compact_mark_tried(before, (uint32_t)inputs, after, (uint32_t)count, db->memtable_rows);
    for (uint64_t i = 0; i < count; i++)
      if (after[i].tried) grown[db->tried_count++] = made[i].id;
  }
  mem_free(before);
  version_unref(db, v);
}

/* The inputs of the next merge, borrowed from the version: their number, 0 if there is nothing to do. */
static size_t choose(struct db *db, struct segment **sorted, size_t count, bool settle,
                     struct segment **input) {
  struct candidate *candidate = mem_alloc((count + 1) * sizeof *candidate);
  size_t inputs = 0;
  for (size_t first = 0, end; candidate && first < count && !inputs; first = end) {
    int32_t month = sorted[first]->info.month;
    bool archived = sorted[first]->info.archived;
    for (end = first;
         end < count && sorted[end]->info.month == month && sorted[end]->info.archived == archived; end++)
      candidate[end - first] = candidate_of(db, sorted[end]);
    struct compaction c =
        compact_choose(candidate, (uint32_t)(end - first), db->memtable_rows, settle || quiet(db, month));
    for (; inputs < c.count; inputs++) input[inputs] = sorted[first + c.input[inputs]];
  }
  mem_free(candidate);
  return inputs;
}

/* ------------------------------------------------------------------ jobs before the background */

#define LOOK_US INT64_C(1000000)

void job_begin(struct db *db) { atomic_fetch_add(&db->jobs, 1); }
void job_end(struct db *db) { atomic_fetch_sub(&db->jobs, 1); }

/* A compaction's next step may come within the second after one. */
static bool job_at_work(struct db *db) {
  int64_t ended = atomic_load(&db->step_ended);
  return atomic_load(&db->jobs) || (ended && db->os->monotonic(db->os) - ended < LOOK_US);
}

/* ------------------------------------------------------------------ merges */

/* Should rows go round for a reason that nobody thought of, that ends: no more than this many times the rows
 * that there are is rewritten by one job, or by the background between two flushes. */
#define REWRITES_MOST 32u

static bool rewritten_enough(struct segment *const *segment, size_t count, uint64_t rewritten) {
  uint64_t rows = 0;
  for (size_t i = 0; i < count; i++) rows += segment[i]->info.rows;
  return rewritten / REWRITES_MOST > rows;
}

int compact_next(struct db *db, struct db_compaction *job, bool *worked, struct rewrite_report *report,
                 tally_error *error) {
  *worked = false;
  struct segment *input[COMPACT_MOST];
  _Atomic uint64_t *rewritten = job ? &job->rewritten : &db->rewritten_behind;
  os_lock(&db->maintaining);
  if (!job && atomic_load(&db->jobs)) { /* one came meanwhile */
    os_unlock(&db->maintaining);
    return 0;
  }
  struct version *v = version_take(db);
  struct segment **sorted = mem_alloc((v->count + 1) * sizeof(struct segment *));
  int result = sorted ? db_writable(db, error) : fail_memory(error, "compaction");
  if (!result) result = db_go_on(db, error);
  if (!result) {
    size_t count = 0;
    /* Damaged ones wait for their file to be put back. */
    for (size_t i = 0; i < v->count; i++)
      if ((!job || v->segment[i]->arrived <= job->until) && !segment_quarantined(v->segment[i]) &&
          !v->segment[i]->info.thinned)
        sorted[count++] = v->segment[i];
    qsort((void *)sorted, count, sizeof *sorted, by_time);
    size_t inputs =
        rewritten_enough(sorted, count, *rewritten) ? 0 : choose(db, sorted, count, job != NULL, input);
    if (inputs) {
      struct segment_info *made = NULL;
      struct rewrite_rules rules = {.archived = input[0]->info.archived};
      result = rewrite_segments(db, input, inputs, &rules, report, &made, error);
      *worked = result == 0;
      if (*worked) *rewritten += report->rows;
      if (*worked) remember(db, input, inputs, made, report->outputs);
      mem_free(made);
    }
  }
  mem_free((void *)sorted);
  version_unref(db, v);
  os_unlock(&db->maintaining);
  return result;
}

/* ------------------------------------------------------------------ the job */

struct db_compaction db_compact_begin(struct db *db) {
  os_lock(&db->lock);
  struct db_compaction c = {db, db->versions, 0};
  os_unlock(&db->lock);
  return c;
}

int db_compact_next(struct db_compaction *c, struct rewrite_report *report, tally_error *error) {
  bool worked;
  job_begin(c->db);
  int result = compact_next(c->db, c, &worked, report, error);
  atomic_store(&c->db->step_ended, c->db->os->monotonic(c->db->os));
  job_end(c->db);
  return result ? result : worked ? TALLY_ROW : TALLY_OK;
}

/* ------------------------------------------------------------------ in the background */

#define RETRY_US INT64_C(60000000)

/* Looks when the version has changed, and each minute for months that have become quiet. */
void *maintainer_run(void *arg) {
  struct db *db = arg;
  uint64_t seen = UINT64_MAX;
  int64_t next_look = 0;
  os_thread_stand_back(OS_AFTER_ALL);
  for (;;) {
    os_lock(&db->lock);
    bool rests = job_at_work(db);
    if (!db->closing && (rests || db->versions == seen)) (void)os_wait_for(&db->changed, &db->lock, LOOK_US);
    bool closing = db->closing, changed = db->versions != seen && !db->maintenance_failed;
    if (!rests) seen = db->versions;
    os_unlock(&db->lock);
    if (closing) return NULL;
    if (rests) continue;
    int64_t now = db->os->monotonic(db->os);
    if (now < next_look && !changed) continue;
    bool worked;
    struct rewrite_report report;
    tally_error error;
    int result = compact_next(db, NULL, &worked, &report, &error);
    if (!result && !worked) result = retention_in_background(db, &worked, &error);
    os_lock(&db->lock);
    db->maintenance_failed = result == TALLY_CANCELLED ? 0 : result;
    if (db->maintenance_failed) db->maintenance_error = error;
    os_unlock(&db->lock);
    next_look = now + RETRY_US;
  }
}
