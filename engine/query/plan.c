/* plan.c - see plan.h. */
#include "query/plan.h"

#include "base/status.h"
#include "query/partial.h"
#include "query/thinned.h"

#define INTERNED_BITS 32
#define DENSE_ALWAYS 16 /* bits: a table of 256 KiB is worth it for any query */
#define DENSE_SHARE 8   /* a dense table takes at most this part of the budget */

int plan_alive(const struct query_environment *environment, tally_error *error) {
  if (atomic_load_explicit(environment->cancelled, memory_order_relaxed))
    return fail(error, TALLY_CANCELLED, "the query was cancelled");
  if (environment->os->monotonic(environment->os) > environment->deadline)
    return fail(error, TALLY_DEADLINE,
                "the query took longer than its timeout: ask for a shorter range, or allow "
                "it more time");
  return 0;
}

/* ------------------------------------------------------------------ sources and states */

static size_t add_source(struct plan *plan, enum source_kind kind, struct column_ref ref) {
  for (size_t i = 0; i < plan->source_count; i++)
    if (plan->source[i].kind == kind && (kind == SOURCE_ROWS || column_equal(&plan->source[i].ref, &ref)))
      return i;
  plan->source[plan->source_count] = (struct source){kind, ref};
  return plan->source_count++;
}

/* What an aggregate reads. A timestamp is never NULL, so counting it is counting rows. */
static size_t output_source(struct plan *plan, const struct output *o) {
  bool count = o->aggregate.function == AGGREGATE_COUNT,
       distinct = o->aggregate.function == AGGREGATE_DISTINCT;
  if (o->of_rows || (count && o->ref.column == TALLY_COL_TIMESTAMP))
    return add_source(plan, SOURCE_ROWS, (struct column_ref){0});
  if (o->ref.key)
    return add_source(plan, count ? SOURCE_HAS_KEY : distinct ? SOURCE_KEY_TEXT : SOURCE_KEY_NUMBER, o->ref);
  if (o->ref.column == TALLY_COL_METADATA)
    return add_source(plan, count ? SOURCE_HAS_DOCUMENT : SOURCE_DOCUMENT, o->ref);
  return add_source(plan, SOURCE_COLUMN, o->ref);
}

/* Percentiles that may be approximate have a state of their own: its values are not those that sums need. */
static bool keeps_apart(const struct plan *plan, uint32_t a, uint32_t b) {
  return (plan->request->flags & TALLY_APPROXIMATE) && (a ^ b) & NEED_VALUES;
}

static size_t add_state(struct plan *plan, size_t source, uint32_t needs) {
  size_t i = 0;
  while (i < plan->state_count &&
         (plan->state[i].source != source || keeps_apart(plan, plan->state[i].needs, needs)))
    i++;
  if (i == plan->state_count) {
    const struct source *s = &plan->source[source];
    bool text = s->kind == SOURCE_COLUMN && column_kind(s->ref.column) == KIND_TEXT;
    uint32_t ids = text ? plan->environment->snapshot->ids[column_domain(s->ref.column)] : 0;
    plan->state[plan->state_count++] = (struct plan_state){source, 0, ids};
  }
  plan->state[i].needs |= needs;
  return i;
}

static int plan_states(struct plan *plan, tally_error *error) {
  const struct request *r = plan->request;
  plan->source = arena_alloc(plan->arena, r->output_count + r->group_count + 1, sizeof *plan->source, error);
  plan->state = arena_alloc(plan->arena, r->output_count + 1, sizeof *plan->state, error);
  plan->output_state = arena_alloc(plan->arena, r->output_count, sizeof *plan->output_state, error);
  plan->group_source = arena_alloc(plan->arena, r->group_count, sizeof *plan->group_source, error);
  if (!plan->source || !plan->state || !plan->output_state || !plan->group_source) return error->code;
  bool rows = false;
  for (size_t i = 0; i < r->output_count; i++) {
    size_t source = output_source(plan, &r->output[i]);
    bool of_rows = plan->source[source].kind == SOURCE_ROWS;
    uint32_t needs = of_rows ? NEED_ROWS : aggregate_needs(r->output[i].aggregate.function);
    plan->output_state[i] = add_state(plan, source, needs);
    rows = rows || (needs & (NEED_ROWS | NEED_NULLS));
  }
  if (rows)
    plan->rows_state = add_state(plan, add_source(plan, SOURCE_ROWS, (struct column_ref){0}), NEED_ROWS);
  for (size_t i = 0; i < r->group_count; i++)
    plan->group_source[i] =
        r->group[i].ref.key ? add_source(plan, SOURCE_KEY_TEXT, r->group[i].ref) : NO_SOURCE;
  return 0;
}

bool plan_by_columns(const struct plan *plan) {
  bool columns = true;
  for (size_t g = 0; g < plan->request->group_count; g++) columns &= plan->group_source[g] == NO_SOURCE;
  return columns;
}

/* ------------------------------------------------------------------ parts */

static int open_scan(struct plan *plan, tally_error *error) {
  const struct request *r = plan->request;
  if (r->scan_from >= r->scan_to) return 0;
  uint32_t columns = r->has_bucket ? 1u << TALLY_COL_TIMESTAMP : 0;
  for (size_t i = 0; i < plan->source_count; i++) columns |= source_columns(&plan->source[i]);
  for (size_t i = 0; i < r->group_count; i++) columns |= 1u << r->group[i].ref.column;
  struct scan_request scan = {.from = r->scan_from,
                              .to = r->scan_to,
                              .where = r->where,
                              .where_count = r->where_count,
                              .columns = columns,
                              .left_out = partial_left_out(plan->environment, r->flags)};
  int rc = scan_new(plan->environment->snapshot, &scan, plan->environment->budget, &plan->scan, error);
  if (rc) return rc;
  plan->part_count = scan_parts(plan->scan);
  plan->part = arena_alloc(plan->arena, plan->part_count, sizeof *plan->part, error);
  return plan->part ? 0 : error->code;
}

/* Does an index level carry what a state needs? */
static bool state_in_index(const struct plan *plan, const struct plan_state *state, enum index_level level) {
  const struct source *s = &plan->source[state->source];
  if (s->kind == SOURCE_ROWS) return true;
  if (s->kind != SOURCE_COLUMN) return false;
  int column = s->ref.column;
  if (column_kind(column) == KIND_TEXT)
    return (column == TALLY_COL_SERVICE_NAME && level >= INDEX_SERVICE) ||
           (column == TALLY_COL_USER_ID && level == INDEX_RUN);
  if (column_kind(column) != KIND_INT && column_kind(column) != KIND_COST) return false;
  if (state->needs & (NEED_VALUES | NEED_DISTINCT)) return false;
  if (level != INDEX_RUN) return true;
  if (column == TALLY_COL_STATUS_CODE) return !(state->needs & ~(uint32_t)(NEED_ERRORS | NEED_NULLS));
  bool summed = column == TALLY_COL_TOKENS_USED || column == TALLY_COL_COST;
  return summed && !(state->needs & ~(uint32_t)(NEED_SUM | NEED_NULLS));
}

static bool level_suffices(const struct plan *plan, enum index_level level) {
  const struct request *r = plan->request;
  if (r->flags & TALLY_NO_ROLLUPS) return false;
  for (size_t i = 0; i < r->group_count; i++) {
    int column = r->group[i].ref.column;
    bool there = (column == TALLY_COL_SERVICE_NAME && level >= INDEX_SERVICE) ||
                 (column == TALLY_COL_USER_ID && level == INDEX_RUN);
    if (!there) return false;
  }
  for (size_t i = 0; i < plan->state_count; i++)
    if (!state_in_index(plan, &plan->state[i], level)) return false;
  return true;
}

/* ------------------------------------------------------------------ rollups */

static bool rollup_column(int column) {
  return column == TALLY_COL_SERVICE_NAME || column == TALLY_COL_ENDPOINT || column == TALLY_COL_METHOD;
}

/* Do entries, or sets of users, carry what a state needs? */
static bool state_in_rollup(struct plan *plan, const struct plan_state *state) {
  const struct source *s = &plan->source[state->source];
  const int column = s->ref.column;
  if (s->kind != SOURCE_ROWS && s->kind != SOURCE_COLUMN) return false;
  if (s->kind == SOURCE_COLUMN && column == TALLY_COL_USER_ID) {
    plan->by_users = true;
    return state->needs == NEED_DISTINCT && plan->request->group_count == 0;
  }
  plan->by_entries = true;
  if (s->kind == SOURCE_ROWS) return true;
  if (column_kind(column) == KIND_TEXT) return true;
  if (column_kind(column) != KIND_INT && column_kind(column) != KIND_COST) return false;
  plan->measures |= 1u << (column - TALLY_COL_REQUEST_SIZE);
  plan->bounds = plan->bounds || (state->needs & NEED_RANGE);
  return !(state->needs & (NEED_VALUES | NEED_DISTINCT));
}

static void plan_rollups(struct plan *plan) {
  const struct request *r = plan->request;
  plan->in_rollups = !(r->flags & TALLY_NO_ROLLUPS);
  for (size_t i = 0; i < r->group_count; i++)
    plan->in_rollups = plan->in_rollups && rollup_column(r->group[i].ref.column);
  for (size_t i = 0; i < plan->state_count && plan->in_rollups; i++)
    plan->in_rollups = state_in_rollup(plan, &plan->state[i]);
}

/* The stretch of a part that has rows that a level may answer; empty if it may answer nothing. */
static struct stretch level_stretch(const struct plan *plan, size_t index, enum rollup_level level) {
  const struct segment *s = index < plan->environment->snapshot->segment_count
                                ? plan->environment->snapshot->segments[index]
                                : NULL;
  struct stretch none = {0, 0}, stretch;
  if (!s || !plan->in_rollups || (plan->by_users && level == ROLLUP_HOUR)) return none;
  if (plan->by_entries && !scan_rollup_covers(plan->scan, index, level)) return none;
  if (plan->by_users && !scan_users_cover(plan->scan, index)) return none;
  if (plan->bounds && !s->rollup_bounds[level]) return none;
  if (plan->has_map && !bucket_map_unites(&plan->buckets, rollup_width(level))) return none;
  scan_rollup_stretch(plan->scan, index, level, &stretch.from, &stretch.to);
  return stretch.from < stretch.to ? stretch : none;
}

/* Days where they may answer, hours around them. */
static bool find_stretches(const struct plan *plan, size_t index, struct plan_part *p) {
  struct stretch days = level_stretch(plan, index, ROLLUP_DAY),
                 hours = level_stretch(plan, index, ROLLUP_HOUR);
  bool no_days = days.from == days.to;
  if (hours.from == hours.to) hours = days;
  if (no_days) days = (struct stretch){hours.from, hours.from};
  p->days = days;
  p->hours = hours;
  if (days.from < hours.from) p->hours.from = days.from; /* both reach beyond the part's rows */
  if (days.to > hours.to) p->hours.to = days.to;
  return p->hours.from < p->hours.to;
}

/* Are some of the part's rows outside of the stretches? */
bool plan_ragged(const struct plan_part *p) { return p->from < p->hours.from || p->to > p->hours.to; }

/* At most this many entries and users are read. */
static uint64_t rollup_cost(const struct plan *plan, size_t index, const struct plan_part *p) {
  const struct segment *s = plan->environment->snapshot->segments[index];
  bool hours = p->hours.from < p->days.from || p->days.to < p->hours.to;
  uint64_t cost = 0;
  if (plan->by_entries) cost = (hours ? s->rollup_entries[ROLLUP_HOUR] : 0) + s->rollup_entries[ROLLUP_DAY];
  for (uint32_t i = 0; plan->by_users && i < s->user_sets; i++) cost += s->user_set[i].users;
  return cost;
}

/* ------------------------------------------------------------------ ways */

static void choose_rows(struct plan *plan, size_t index) {
  plan->part[index].way = PART_ROWS;
  plan->work += scan_part_rows(plan->scan, index);
}

/* The first level of the index that suffices and covers, but for the runs, if there are more of them than
 * entries of rollups; then rollups; then rows. */
static int choose_way(struct plan *plan, size_t index, const bool suffices[INDEX_LEVELS],
                      tally_error *error) {
  struct plan_part *p = &plan->part[index];
  bool bucketed = plan->request->has_bucket && !p->one_bucket;
  bool rollups = !scan_thinned(plan->scan, index) && find_stretches(plan, index, p);
  uint64_t entries = rollups ? rollup_cost(plan, index, p) : 0;
  plan->rows_most += scan_part_rows(plan->scan, index);
  for (int level = INDEX_SEGMENT; level <= INDEX_RUN && !bucketed; level++) {
    if (!suffices[level] || !scan_index_covers(plan->scan, index, (enum index_level)level)) continue;
    uint64_t runs = level == INDEX_RUN ? plan->environment->snapshot->segments[index]->runs : 0;
    if (rollups && !plan_ragged(p) && entries < runs) break;
    p->way = PART_INDEX;
    p->level = (enum index_level)level;
    plan->work += runs;
    return 0;
  }
  if (scan_thinned(plan->scan, index)) return thinned_plan(plan, index, error);
  if (!rollups) {
    choose_rows(plan, index);
    return 0;
  }
  p->way = PART_ROLLUP;
  plan->work += entries;
  if (plan_ragged(p)) plan->work += scan_part_rows(plan->scan, index) / 4; /* little more than their times */
  return 0;
}

/* The buckets of everything that may be read, and of what is to be filled. */
static int plan_buckets(struct plan *plan, struct time_zone *zone, tally_error *error) {
  const struct request *r = plan->request;
  int64_t first = INT64_MAX, last = INT64_MIN;
  for (size_t i = 0; i < plan->part_count; i++) {
    if (plan->part[i].way == PART_PRUNED) continue;
    if (plan->part[i].from < first) first = plan->part[i].from;
    if (plan->part[i].to - 1 > last) last = plan->part[i].to - 1;
  }
  if (plan_filling(r) && r->from < r->to) {
    if (r->from < first) first = r->from;
    if (r->to - 1 > last) last = r->to - 1;
  }
  if (first > last) return 0;
  plan->has_map = true;
  return bucket_map_init(&plan->buckets, &r->bucket, zone, first, last, plan->environment->budget, error);
}

static int plan_parts(struct plan *plan, struct time_zone *zone, tally_error *error) {
  bool suffices[INDEX_LEVELS];
  for (int level = INDEX_SEGMENT; level <= INDEX_RUN; level++)
    suffices[level] = level_suffices(plan, (enum index_level)level);
  plan_rollups(plan);
  thinned_suffices(plan);
  for (size_t i = 0; i < plan->part_count; i++) {
    struct plan_part *p = &plan->part[i];
    bool there = scan_part_range(plan->scan, i, &p->from, &p->to) && p->from < p->to;
    p->way = there ? PART_ROWS : PART_PRUNED;
  }
  int rc = plan->request->has_bucket ? plan_buckets(plan, zone, error) : 0;
  for (size_t i = 0; i < plan->part_count && !rc; i++) {
    struct plan_part *p = &plan->part[i];
    if (p->way == PART_PRUNED) continue;
    if (plan->has_map) {
      p->bucket = bucket_map_number(&plan->buckets, p->from);
      p->one_bucket = p->bucket == bucket_map_number(&plan->buckets, p->to - 1);
    }
    rc = choose_way(plan, i, suffices, error);
  }
  return rc;
}

/* ------------------------------------------------------------------ keys */

static uint32_t bits_for(uint64_t most) { return most ? 64 - (uint32_t)__builtin_clzll(most) : 0; }

/* What the values of an integer column are in a part. */
static void part_range(const struct snapshot *snapshot, size_t part, int column, int64_t *least,
                       int64_t *greatest) {
  int number = column - TALLY_COL_REQUEST_SIZE;
  *least = INT32_MIN;
  *greatest = INT32_MAX;
  if (part < snapshot->segment_count) {
    const struct segment *s = snapshot->segments[part];
    if (!s->sums_fit) return;
    *least = s->total.measure[number].nonnull ? s->total.measure[number].min : 0;
    *greatest = s->total.measure[number].nonnull ? s->total.measure[number].max : 0;
    return;
  }
  const struct snapshot_rows *m = &snapshot->memtables[part - snapshot->segment_count];
  int32_t low = 0, high = 0; /* NULLs have the value 0 */
  for (uint32_t i = 0; i < m->rows; i++) {
    int32_t value = m->memtable->rows.number[number][i];
    low = value < low ? value : low;
    high = value > high ? value : high;
  }
  *least = low;
  *greatest = high;
}

/* Bits for the codes of an integer column in all parts: few make a table of all possible keys small. */
static uint32_t integer_bits(struct plan *plan, size_t group) {
  int64_t least = INT64_MAX, greatest = INT64_MIN;
  for (size_t i = 0; i < plan->part_count; i++) {
    int64_t low, high;
    if (plan->part[i].way == PART_PRUNED) continue;
    part_range(plan->environment->snapshot, i, plan->request->group[group].ref.column, &low, &high);
    least = low < least ? low : least;
    greatest = high > greatest ? high : greatest;
  }
  if (least > greatest) return 0;
  plan->group_base[group] = least;
  return bits_for(plan_integer_code(plan, group, greatest));
}

static uint32_t group_bits(struct plan *plan, size_t group) {
  const struct column_ref *ref = &plan->request->group[group].ref;
  if (ref->key) return INTERNED_BITS;
  if (column_kind(ref->column) == KIND_INT) return integer_bits(plan, group);
  return bits_for(plan->environment->snapshot->ids[column_domain(ref->column)]);
}

static int plan_keys(struct plan *plan, tally_error *error) {
  const struct request *r = plan->request;
  struct key_layout *layout = &plan->layout;
  layout->parts = r->group_count + r->has_bucket;
  layout->part = arena_alloc(plan->arena, layout->parts, sizeof *layout->part, error);
  plan->group_base = arena_alloc(plan->arena, r->group_count, sizeof *plan->group_base, error);
  if (!layout->part || !plan->group_base) return error->code;
  if (r->has_bucket) layout->part[0].bits = plan->has_map ? bits_for(plan->buckets.count - 1) : 0;
  for (size_t i = 0; i < r->group_count; i++)
    layout->part[plan_group_part(plan, i)].bits = group_bits(plan, i);
  key_layout_place(layout);
  uint64_t bytes = layout->bits <= DENSE_BITS ? sizeof(uint32_t) << layout->bits : 0;
  bool pays =
      layout->bits <= DENSE_ALWAYS || (layout->bits <= DENSE_BITS && plan->rows_most >> layout->bits > 0);
  if (layout->bits && pays && bytes <= plan->environment->budget->limit / DENSE_SHARE)
    plan->dense_bits = layout->bits;
  return 0;
}

int plan_make(struct plan *plan, struct request *request, const struct query_environment *environment,
              tally_error *error) {
  *plan = (struct plan){.request = request, .environment = environment, .arena = &request->arena};
  int rc = plan_states(plan, error);
  if (!rc) rc = open_scan(plan, error);
  if (!rc) rc = plan_parts(plan, &request->zone, error);
  return rc ? rc : plan_keys(plan, error);
}

void plan_free(struct plan *plan) {
  if (plan->scan) scan_free(plan->scan);
  if (plan->has_map) bucket_map_free(&plan->buckets);
  *plan = (struct plan){0};
}
