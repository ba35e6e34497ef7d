/* retention.c - rows grow old: archived, thinned to rollups, gone, as the policy says; driven by the store's
 * clock and never by an event's time.
 *
 * 1. Cuts lie at the begin of a UTC day: a row is old when its whole day is. So a segment on a cut is
 * rewritten once a day at most, and rollups are cut where their buckets are.
 * 2. After a jump of the clock by more than a day against the monotonic one, or a stop of more than a day,
 * nothing is thinned or dropped for 24 hours, unless the operator confirms the clock. Archiving goes on.
 * 3. One piece of work at a time: a month's expired segments go; or one segment is cut; or a month's old rows
 * are thinned; or a month's segments are archived. Each is one edit. */
#include <inttypes.h>

#include "base/mem.h"
#include "base/status.h"
#include "db/inside.h"
#include "maintain/order.h"
#include "maintain/reading.h"

#define GUARD_US DAY_US
#define LOOK_US INT64_C(3600000000) /* between two looks at all segments */
#define SERVICE_DOMAIN column_domain(TALLY_COL_SERVICE_NAME)
#define INPUTS_MOST 64u

/* ------------------------------------------------------------------ clock and policy */

static int64_t day_begin(int64_t us) { return us - ((us % DAY_US) + DAY_US) % DAY_US; }

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

/* ------------------------------------------------------------------ what is too late */

static int64_t cut_of(const struct ages *a, enum retention_stage stage, int64_t now) {
  return a->age[stage] ? day_begin(now - a->age[stage]) : INT64_MIN;
}

/* The cut of each entry of the batch's dictionary of services, NULL's at the end. */
static int64_t *cuts_of_batch(struct db *db, const struct batch_column *c, int64_t *most) {
  struct retention *r = &db->retention;
  int64_t *cut = mem_alloc((c->entries + 1) * sizeof *cut), now = db->os->now(db->os);
  const char *text = c->texts;
  *most = INT64_MIN;
  if (!cut) return NULL;
  os_lock(&r->lock);
  for (uint32_t i = 0; i <= c->entries; i++) {
    size_t size = i < c->entries ? load16(c->sizes + 2 * (size_t)i) : 0;
    cut[i] = cut_of(policy_ages(&r->policy, i < c->entries ? text : NULL, size), STAGE_DROP, now);
    if (i < c->entries) text += size;
    if (cut[i] > *most) *most = cut[i];
  }
  os_unlock(&r->lock);
  return cut;
}

#define PIECE 1024u

static uint32_t first_late(const struct batch *batch, const int64_t *cut) {
  const struct batch_column *service = &batch->column[TALLY_COL_SERVICE_NAME];
  int64_t timestamp[PIECE], index[PIECE];
  for (uint32_t first = 0; first < batch->rows; first += PIECE) {
    uint32_t n = batch->rows - first < PIECE ? batch->rows - first : PIECE;
    batch_values(&batch->column[TALLY_COL_TIMESTAMP], first, n, timestamp);
    if (!service->absent) batch_values(service, first, n, index);
    for (uint32_t i = 0; i < n; i++) {
      uint32_t entry = batch_valid(service, first + i) ? (uint32_t)index[i] : service->entries;
      if (timestamp[i] < cut[entry]) return first + i;
    }
  }
  return batch->rows;
}

int retention_check(struct db *db, const struct batch *batch, tally_error *error) {
  if (!atomic_load(&db->retention.drops)) return 0;
  const struct batch_column *time = &batch->column[TALLY_COL_TIMESTAMP];
  int64_t most;
  int64_t *cut = cuts_of_batch(db, &batch->column[TALLY_COL_SERVICE_NAME], &most);
  if (!cut) return fail_memory(error, "a batch");
  uint32_t row = batch_within(time, batch->rows, most, TIME_MAX) ? batch->rows : first_late(batch, cut);
  mem_free(cut);
  if (row == batch->rows) return 0;
  int result = fail(error, TALLY_TOO_LATE,
                    "row %" PRIu32 ", column timestamp: the event is older than retention keeps rows of its "
                    "service: leave it out, or keep rows longer (`tally retention set`)",
                    row);
  error->row = row;
  error->column = TALLY_COL_TIMESTAMP;
  return result;
}

/* ------------------------------------------------------------------ what is due */

/* Cuts of each service of a segment, at the time of the look. */
struct look {
  struct db *db;
  int64_t now;
  bool guarded;
};

static int64_t cut_of_service(const struct look *l, uint32_t service, enum retention_stage stage) {
  struct retention *r = &l->db->retention;
  tally_text t = service ? catalog_text(l->db->catalog, SERVICE_DOMAIN, service) : (tally_text){NULL, 0};
  os_lock(&r->lock);
  int64_t cut = cut_of(policy_ages(&r->policy, t.data, t.size), stage, l->now);
  os_unlock(&r->lock);
  return cut;
}

/* The least and the greatest cut of the services of a segment. */
static void cuts_of_segment(const struct look *l, const struct segment *s, enum retention_stage stage,
                            int64_t *least, int64_t *most) {
  *least = INT64_MAX;
  *most = INT64_MIN;
  for (uint32_t i = 0; i < s->services; i++) {
    int64_t cut = cut_of_service(l, s->span[i].service, stage);
    if (cut < *least) *least = cut;
    if (cut > *most) *most = cut;
  }
}

static bool all_before(const struct look *l, const struct segment *s, enum retention_stage stage) {
  int64_t least, most;
  cuts_of_segment(l, s, stage, &least, &most);
  return s->info.max_timestamp < least;
}

/* Rules for the rows of a segment's services: before their cut, or from it on. */
static int rules_of(const struct look *l, struct segment *const *s, size_t count, enum retention_stage stage,
                    bool before, enum row_action action, struct row_rule **rules, size_t *rule_count,
                    tally_error *error) {
  size_t n = 0;
  for (size_t i = 0; i < count; i++) n += s[i]->services;
  struct row_rule *r = mem_alloc((n + 1) * sizeof *r);
  if (!r) return fail_memory(error, "retention");
  *rule_count = 0;
  for (size_t i = 0; i < count; i++)
    for (uint32_t k = 0; k < s[i]->services; k++) {
      uint32_t service = s[i]->span[k].service;
      bool known = false;
      for (size_t j = 0; j < *rule_count && !known; j++) known = r[j].service == service;
      if (known) continue;
      int64_t cut = cut_of_service(l, service, stage);
      r[(*rule_count)++] = (struct row_rule){.from = before ? INT64_MIN : cut,
                                             .to = before ? cut : INT64_MAX,
                                             .of_service = true,
                                             .service = service,
                                             .action = action};
    }
  *rules = r;
  return 0;
}

/* The cuts of a segment's services; change->cut is to be freed. */
static int change_of(const struct look *l, const struct segment *s, enum retention_stage stage,
                     struct thin_change *change, tally_error *error) {
  struct thin_cut *cut = mem_alloc((s->services + 1) * sizeof *cut);
  if (!cut) return fail_memory(error, "retention");
  for (uint32_t i = 0; i < s->services; i++)
    cut[i] = (struct thin_cut){s->span[i].service, cut_of_service(l, s->span[i].service, stage)};
  *change = (struct thin_change){.cut = cut, .cuts = s->services};
  return 0;
}

static int count_thinned(const struct look *l, struct segment *s, enum retention_stage stage, uint64_t *rows,
                         tally_error *error) {
  struct thin_change change = {0};
  int result = change_of(l, s, stage, &change, error);
  if (!result) result = thinned_before(l->db, s, &change, rows, error);
  mem_free((void *)change.cut);
  return result;
}

/* Rows of a segment before the cuts of their services. */
static int count_before(const struct look *l, struct segment *s, enum retention_stage stage, uint64_t *rows,
                        tally_error *error) {
  int64_t least, most;
  *rows = 0;
  cuts_of_segment(l, s, stage, &least, &most);
  if (s->info.min_timestamp >= most) return 0;
  if (s->info.thinned) return count_thinned(l, s, stage, rows, error);
  struct snapshot one = {.catalog = l->db->catalog, .segments = &s, .segment_count = 1};
  for (int d = 0; d < DOMAINS; d++) one.ids[d] = catalog_count(l->db->catalog, d);
  struct row_rule *rules = NULL;
  size_t count = 0;
  struct reading r = {0};
  int result = rules_of(l, &s, 1, stage, true, ROW_DROP, &rules, &count, error);
  if (!result)
    result =
        reading_begin(&r, &one, s->info.min_timestamp, most,
                      1u << TALLY_COL_TIMESTAMP | 1u << TALLY_COL_SERVICE_NAME, &l->db->work_budget, error);
  while (!result && (result = reading_next(&r, error)) == TALLY_ROW) {
    const int64_t *time = r.vector->value[TALLY_COL_TIMESTAMP],
                  *service = r.vector->value[TALLY_COL_SERVICE_NAME];
    for (uint32_t i = 0, k = 0; i < r.vector->rows; i++) {
      while (rules[k].service != (uint32_t)service[i]) k = k + 1 < count ? k + 1 : 0;
      *rows += time[i] < rules[k].to;
    }
    result = 0;
  }
  reading_end(&r);
  mem_free(rules);
  return result;
}

/* ------------------------------------------------------------------ pieces of work */

/* Segments of one month, and what is to be done with them. */
struct work {
  enum retention_stage stage;
  bool part; /* only some rows of the one segment */
  struct segment *input[INPUTS_MOST];
  size_t inputs;
  uint64_t rows;
};

/* All of the month's segments whose every row has reached the stage. */
static void choose_whole(const struct look *l, struct segment **s, size_t count, enum retention_stage stage,
                         struct work *w) {
  w->stage = stage;
  for (size_t i = 0; i < count && w->inputs < INPUTS_MOST; i++) {
    bool done = (stage == STAGE_THIN && s[i]->info.thinned) ||
                (stage == STAGE_ARCHIVE && (s[i]->info.archived || s[i]->info.thinned));
    if (done || !all_before(l, s[i], stage)) continue;
    w->input[w->inputs++] = s[i];
    w->rows += s[i]->info.rows;
  }
}

/* One segment with some rows that have reached the stage. */
static int choose_part(const struct look *l, struct segment **s, size_t count, enum retention_stage stage,
                       struct work *w, tally_error *error) {
  for (size_t i = 0; i < count && !w->inputs; i++) {
    if (stage == STAGE_THIN && s[i]->info.thinned) continue;
    int result = count_before(l, s[i], stage, &w->rows, error);
    if (result) return result;
    if (!w->rows) continue;
    w->stage = stage;
    w->part = true;
    w->input[w->inputs++] = s[i];
  }
  return 0;
}

/* The next piece in a month's segments; none: w->inputs is 0. */
static int choose(const struct look *l, struct segment **s, size_t count, struct work *w,
                  tally_error *error) {
  *w = (struct work){0};
  int result = 0;
  if (!l->guarded) {
    choose_whole(l, s, count, STAGE_DROP, w);
    if (!w->inputs) result = choose_part(l, s, count, STAGE_DROP, w, error);
    if (!result && !w->inputs) choose_whole(l, s, count, STAGE_THIN, w);
    if (!result && !w->inputs) result = choose_part(l, s, count, STAGE_THIN, w, error);
  }
  if (!result && !w->inputs) choose_whole(l, s, count, STAGE_ARCHIVE, w);
  return result;
}

static uint64_t bytes_of_inputs(const struct work *w) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < w->inputs; i++) bytes += w->input[i]->info.size;
  return bytes;
}

/* One segment loses the rows that have reached the stage. */
static int cut_segment(const struct look *l, struct work *w, uint64_t *bytes_after, tally_error *error) {
  struct row_rule *rules = NULL;
  struct rewrite_report made;
  struct rewrite_rules all = {.archived = w->input[0]->info.archived};
  int result = rules_of(l, w->input, 1, w->stage, true, ROW_DROP, &rules, &all.count, error);
  all.rule = rules;
  if (!result) result = rewrite_segments(l->db, w->input, 1, &all, &made, NULL, error);
  if (!result) *bytes_after = made.bytes_after;
  mem_free(rules);
  return result;
}

/* The same of a thinned one. */
static int cut_thinned(const struct look *l, struct work *w, uint64_t *bytes_after, tally_error *error) {
  struct db *db = l->db;
  struct segment_info made = {.month = w->input[0]->info.month};
  struct thin_change change = {0};
  int result = change_of(l, w->input[0], w->stage, &change, error);
  made.id = atomic_fetch_add(&db->next_segment, 1);
  if (!result) result = segment_thin(db->os, db->path, w->input, 1, &change, &db->work_budget, &made, error);
  if (!result) result = exchange(db, w->input, 1, &made, made.rows != 0, error);
  if (!result) *bytes_after = made.size;
  mem_free((void *)change.cut);
  return result;
}

static int archive(const struct look *l, struct work *w, uint64_t *bytes_after, tally_error *error) {
  struct rewrite_report made;
  int result = rewrite_segments(l->db, w->input, w->inputs, &(struct rewrite_rules){.archived = true}, &made,
                                NULL, error);
  if (!result) *bytes_after = made.bytes_after;
  return result;
}

/* Thins whole segments, with the thinned ones that the month has already. */
static int thin(const struct look *l, struct segment **s, size_t count, struct work *w, uint64_t *bytes_after,
                tally_error *error) {
  struct db *db = l->db;
  struct segment_info made = {.month = w->input[0]->info.month};
  for (size_t i = 0; i < count && w->inputs < INPUTS_MOST; i++)
    if (s[i]->info.thinned) w->input[w->inputs++] = s[i];
  made.id = atomic_fetch_add(&db->next_segment, 1);
  int result = segment_thin(db->os, db->path, w->input, w->inputs, NULL, &db->work_budget, &made, error);
  if (!result) result = exchange(db, w->input, w->inputs, &made, 1, error);
  if (!result) *bytes_after = made.size;
  return result;
}

/* One segment is split: what has reached the stage, which is thinned with the month's thinned ones, and the
 * rest. */
static int thin_part(const struct look *l, struct segment **s, size_t count, struct work *w,
                     uint64_t *bytes_after, tally_error *error) {
  struct db *db = l->db;
  struct row_rule *rules[2] = {NULL, NULL};
  struct segment_info *made[2] = {NULL, NULL};
  struct rewrite_report report[2] = {{0}, {0}};
  int result = 0;
  for (int part = 0; part < 2 && !result; part++) { /* 0: from the cut on, 1: before it */
    struct rewrite_rules all = {.archived = w->input[0]->info.archived};
    result = rules_of(l, w->input, 1, STAGE_THIN, part == 0, ROW_DROP, &rules[part], &all.count, error);
    all.rule = rules[part];
    if (!result) result = rewrite_files(db, w->input, 1, &all, &report[part], &made[part], error);
  }
  struct segment *old[INPUTS_MOST] = {NULL};
  size_t olds = 0;
  for (uint32_t i = 0; i < report[1].outputs && !result && olds < INPUTS_MOST; i++) {
    result = segment_open(db->os, db->path, &made[1][i], db->cache, &db->work_budget, &old[olds], error);
    olds += result == 0;
  }
  size_t opened = olds;
  for (size_t i = 0; i < count && olds < INPUTS_MOST; i++)
    if (s[i]->info.thinned) old[olds++] = s[i];
  struct segment_info thinned = {.month = w->input[0]->info.month};
  bool written = false;
  if (!result) {
    thinned.id = atomic_fetch_add(&db->next_segment, 1);
    result = segment_thin(db->os, db->path, old, olds, NULL, &db->work_budget, &thinned, error);
    written = result == 0;
  }
  struct segment_info *added = mem_alloc((report[0].outputs + 1) * sizeof *added);
  if (!result && !added) result = fail_memory(error, "retention");
  if (!result) {
    if (report[0].outputs) memcpy(added, made[0], report[0].outputs * sizeof *added);
    added[report[0].outputs] = thinned;
    for (size_t i = opened; i < olds && w->inputs < INPUTS_MOST; i++) w->input[w->inputs++] = old[i];
    result = exchange(db, w->input, w->inputs, added, (uint32_t)report[0].outputs + 1, error);
    written = false; /* published, or removed */
    report[0].outputs = result ? 0 : report[0].outputs;
    *bytes_after = report[0].bytes_after + thinned.size;
  }
  if (written) segment_remove(db->os, db->path, &thinned);
  for (size_t i = 0; i < opened; i++) segment_unref(old[i]);
  for (uint32_t i = 0; i < report[1].outputs; i++) segment_remove(db->os, db->path, &made[1][i]);
  for (uint32_t i = 0; result && made[0] && i < report[0].outputs; i++)
    segment_remove(db->os, db->path, &made[0][i]);
  for (int part = 0; part < 2; part++) mem_free(rules[part]), mem_free(made[part]);
  mem_free(added);
  return result;
}

static int do_work(const struct look *l, struct segment **s, size_t count, struct work *w,
                   struct retention_report *report, tally_error *error) {
  *report = (struct retention_report){.what = stage_name[w->stage],
                                      .month = w->input[0]->info.month,
                                      .segments = w->inputs,
                                      .rows = w->rows,
                                      .bytes_before = bytes_of_inputs(w)};
  switch (w->stage) {
  case STAGE_ARCHIVE:
    return archive(l, w, &report->bytes_after, error);
  case STAGE_THIN:
    return (w->part ? thin_part : thin)(l, s, count, w, &report->bytes_after, error);
  case STAGE_DROP:
    if (w->part)
      return (w->input[0]->info.thinned ? cut_thinned : cut_segment)(l, w, &report->bytes_after, error);
    return exchange(l->db, w->input, w->inputs, NULL, 0, error);
  default:
    return 0;
  }
}

/* ------------------------------------------------------------------ all */

static int by_month(const void *a, const void *b) {
  const struct segment *const *x = a, *const *y = b;
  if ((*x)->info.month != (*y)->info.month) return (*x)->info.month < (*y)->info.month ? -1 : 1;
  return (*x)->info.id < (*y)->info.id ? -1 : (*x)->info.id > (*y)->info.id;
}

/* What becomes of a segment's rows: each goes to the last stage whose cut is behind it, or stays. */
struct fates {
  uint64_t rows[STAGES];
  int64_t last, least_cut; /* of the rows that are neither dropped nor thinned: time, cut of the archive */
};

/* The latest stage of a row's time; STAGES: none. */
static int fate_of(const int64_t cut[STAGES], int64_t time) {
  int stage = STAGE_DROP;
  while (stage >= STAGE_ARCHIVE && time >= cut[stage]) stage--;
  return stage < STAGE_ARCHIVE ? STAGES : stage;
}

static int read_fates(const struct look *l, struct segment *s, struct fates *fates, tally_error *error) {
  struct snapshot one = {.catalog = l->db->catalog, .segments = &s, .segment_count = 1};
  for (int d = 0; d < DOMAINS; d++) one.ids[d] = catalog_count(l->db->catalog, d);
  struct reading r = {0};
  uint32_t known = UINT32_MAX; /* the service that `cut` is of */
  int64_t cut[STAGES] = {0};
  int result =
      reading_begin(&r, &one, s->info.min_timestamp, s->info.max_timestamp + 1,
                    1u << TALLY_COL_TIMESTAMP | 1u << TALLY_COL_SERVICE_NAME, &l->db->work_budget, error);
  while (!result && (result = reading_next(&r, error)) == TALLY_ROW) {
    const int64_t *time = r.vector->value[TALLY_COL_TIMESTAMP],
                  *service = r.vector->value[TALLY_COL_SERVICE_NAME];
    for (uint32_t i = 0; i < r.vector->rows; i++) {
      for (int stage = 0; known != (uint32_t)service[i] && stage < STAGES; stage++)
        cut[stage] = cut_of_service(l, (uint32_t)service[i], (enum retention_stage)stage);
      known = (uint32_t)service[i];
      int fate = fate_of(cut, time[i]);
      if (fate != STAGES) fates->rows[fate]++;
      if (fate == STAGE_THIN || fate == STAGE_DROP) continue;
      if (time[i] > fates->last) fates->last = time[i];
      if (cut[STAGE_ARCHIVE] < fates->least_cut) fates->least_cut = cut[STAGE_ARCHIVE];
    }
    result = 0;
  }
  reading_end(&r);
  return result;
}

/* Of a segment that is thinned, only what is dropped is told; another goes to the archive as a whole. */
static int fates_of(const struct look *l, struct segment *s, struct fates *fates, tally_error *error) {
  *fates = (struct fates){.last = INT64_MIN, .least_cut = INT64_MAX};
  bool any = false;
  for (int stage = STAGE_ARCHIVE; stage < STAGES; stage++) {
    int64_t least, most;
    cuts_of_segment(l, s, (enum retention_stage)stage, &least, &most);
    any = any || s->info.min_timestamp < most;
  }
  if (!any) return 0;
  if (s->info.thinned) return count_before(l, s, STAGE_DROP, &fates->rows[STAGE_DROP], error);
  int result = read_fates(l, s, fates, error);
  if (s->info.archived || fates->last >= fates->least_cut) fates->rows[STAGE_ARCHIVE] = 0;
  return result;
}

/* Tells of what is due in a month without doing it. */
static int tell(const struct look *l, struct segment **s, size_t count,
                int (*did)(void *arg, const struct retention_report *report), void *arg, tally_error *error) {
  for (size_t i = 0; i < count; i++) {
    struct fates fates;
    int result = fates_of(l, s[i], &fates, error);
    if (result) return result;
    for (int stage = STAGE_DROP; stage >= STAGE_ARCHIVE; stage--) {
      if (!fates.rows[stage]) continue;
      struct retention_report report = {.what = stage_name[stage],
                                        .month = s[i]->info.month,
                                        .segments = 1,
                                        .rows = fates.rows[stage],
                                        .bytes_before = s[i]->info.size};
      if (did(arg, &report)) return fail_memory(error, "a report");
    }
  }
  return 0;
}

/* Looks at all months: does the first piece that is due, or (dry) tells of all. Has `maintaining`. */
static int look_at_all(struct db *db, const struct look *l, bool dry, bool *worked,
                       int (*did)(void *arg, const struct retention_report *report), void *arg,
                       tally_error *error) {
  struct version *v = version_take(db);
  struct segment **s = mem_alloc((v->count + 1) * sizeof(struct segment *));
  int result = s ? 0 : fail_memory(error, "retention");
  size_t count = 0;
  *worked = false;
  for (size_t i = 0; s && i < v->count; i++)
    if (!segment_quarantined(v->segment[i])) s[count++] = v->segment[i];
  if (s) qsort((void *)s, count, sizeof *s, by_month);
  for (size_t first = 0, end; !result && first < count && !*worked; first = end) {
    for (end = first; end < count && s[end]->info.month == s[first]->info.month; end++) {
    }
    struct work w;
    if (dry) {
      result = tell(l, s + first, end - first, did, arg, error);
      continue;
    }
    result = choose(l, s + first, end - first, &w, error);
    if (result || !w.inputs) continue;
    struct retention_report report;
    result = do_work(l, s + first, end - first, &w, &report, error);
    *worked = result == 0;
    if (!result && did && did(arg, &report)) result = fail_memory(error, "a report");
  }
  mem_free((void *)s);
  version_unref(db, v);
  return result;
}

static struct look look_begin(struct db *db) {
  struct retention *r = &db->retention;
  os_lock(&r->lock);
  look_at_clock(db);
  struct look l = {db, r->now, r->guarded_until != 0};
  os_unlock(&r->lock);
  return l;
}

int db_retention_apply(struct db *db, bool dry, int (*did)(void *arg, const struct retention_report *report),
                       void *arg, tally_error *error) {
  int result = dry ? 0 : db_flush(db, error); /* rows in memory grow old too */
  if (!result && !dry) result = retention_note_clock(db, error);
  if (result) return result;
  struct look l = look_begin(db);
  if (l.guarded && !dry)
    return fail(
        error, TALLY_BUSY,
        "the clock has jumped by more than a day, or the store was closed for so long: nothing is thinned "
        "or dropped for 24 hours; look at the clock, then say `tally retention confirm`");
  l.guarded = false;
  bool worked = true;
  while (!result && worked) {
    os_lock(&db->maintaining);
    result = look_at_all(db, &l, dry, &worked, did, arg, error);
    os_unlock(&db->maintaining);
  }
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
  struct look l = look_begin(db);
  os_lock(&db->maintaining);
  result = look_at_all(db, &l, false, worked, NULL, NULL, error);
  os_unlock(&db->maintaining);
  os_lock(&r->lock);
  if (!*worked) r->next_look = db->os->monotonic(db->os) + LOOK_US;
  os_unlock(&r->lock);
  return result;
}
