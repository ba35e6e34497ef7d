/* thinned.c - see thinned.h. */
#include "query/thinned.h"

#include "base/bytes.h"
#include "base/status.h"
#include "segment/segment.h"

/* The kinds of rollups, as bits. */
enum { OF_TEXTS = 1u, OF_USERS = 2u };

/* The kinds that have a column as a key; status_code only in a predicate on whole classes. */
static unsigned kinds_by(const struct column_ref *ref) {
  if (ref->key) return 0;
  return ref->column == TALLY_COL_SERVICE_NAME                                  ? OF_TEXTS | OF_USERS
         : ref->column == TALLY_COL_USER_ID                                     ? OF_USERS
         : ref->column == TALLY_COL_ENDPOINT || ref->column == TALLY_COL_METHOD ? OF_TEXTS
                                                                                : 0;
}

static bool may_approximate(const struct request *r) { return (r->flags & TALLY_APPROXIMATE) != 0; }

/* The kinds that carry what a state needs. */
static unsigned kinds_of_state(const struct plan *plan, const struct plan_state *state) {
  const struct source *s = &plan->source[state->source];
  const int column = s->ref.column;
  if (s->kind == SOURCE_ROWS) return OF_TEXTS | OF_USERS;
  if (s->kind != SOURCE_COLUMN) return 0;
  if (column_kind(column) == KIND_TEXT) return kinds_by(&s->ref);
  if ((column_kind(column) != KIND_INT && column_kind(column) != KIND_COST) || (state->needs & NEED_DISTINCT))
    return 0;
  if (!(state->needs & NEED_VALUES)) return OF_TEXTS | OF_USERS;
  return column == TALLY_COL_DURATION_MS && may_approximate(plan->request) ? OF_TEXTS : 0;
}

void thinned_suffices(struct plan *plan) {
  const struct request *r = plan->request;
  unsigned kinds = r->flags & TALLY_NO_ROLLUPS ? 0 : OF_TEXTS | OF_USERS;
  for (size_t i = 0; i < r->group_count; i++) kinds &= kinds_by(&r->group[i].ref);
  for (size_t i = 0; i < plan->state_count; i++) {
    const struct plan_state *state = &plan->state[i];
    const struct source *s = &plan->source[state->source];
    kinds &= kinds_of_state(plan, state);
    if (state->needs & NEED_VALUES) plan->histograms = true;
    if (s->kind != SOURCE_COLUMN || column_kind(s->ref.column) < KIND_INT || s->ref.column > TALLY_COL_COST)
      continue;
    plan->measures |= 1u << (s->ref.column - TALLY_COL_REQUEST_SIZE);
    plan->bounds = plan->bounds || (state->needs & NEED_RANGE);
  }
  plan->in_texts = kinds & OF_TEXTS;
  plan->in_users = kinds & OF_USERS;
}

/* ------------------------------------------------------------------ refusing */

/* Appends a name to a list in a message. */
static void put_name(struct buffer *text, struct piece name, const char *more) {
  buffer_printf(text, "%s" PIECE_FORMAT "%s", text->size ? ", " : "", PIECE_ARGS(name), more);
}

/* What no kind of rollup carries, in the request's words. */
static void put_missing(const struct plan *plan, struct buffer *text) {
  const struct request *r = plan->request;
  for (size_t i = 0; i < r->group_count; i++)
    if (!kinds_by(&r->group[i].ref)) put_name(text, r->group[i].name, " as a group");
  for (size_t i = 0; i < r->where_count; i++) {
    const struct column_ref *ref = &r->where[i].ref;
    bool classes = !ref->key && ref->column == TALLY_COL_STATUS_CODE;
    if (ref->column == TALLY_COL_TIMESTAMP || kinds_by(ref) || (classes && scan_whole_classes(plan->scan)))
      continue;
    put_name(text, piece_of(tally_column_name(ref->column)),
             classes ? " below its class" : " in a predicate");
  }
  for (size_t i = 0; i < r->output_count; i++) {
    const struct plan_state one = {plan->state[plan->output_state[i]].source,
                                   aggregate_needs(r->output[i].aggregate.function), 0};
    if (kinds_of_state(plan, &one)) continue;
    const struct source *s = &plan->source[one.source];
    bool percentile =
        s->kind == SOURCE_COLUMN && s->ref.column == TALLY_COL_DURATION_MS && one.needs == NEED_VALUES;
    put_name(text, r->output[i].name, percentile ? " (but with --approximate)" : "");
  }
}

/* The nearest range outward, in whole hours. */
static void put_range(struct buffer *text, int64_t from, int64_t to) {
  const int64_t hour = rollup_width(ROLLUP_HOUR);
  timestamp_print(text, from / hour * hour, 0, true, 0);
  buffer_text(text, " to ");
  timestamp_print(text, (to + hour - 1) / hour * hour, 0, true, 0);
}

enum obstacle { NOT_CARRIED, RAGGED, BUCKETS };

static int refuse(const struct plan *plan, size_t index, enum obstacle obstacle, tally_error *error) {
  const struct segment *s = scan_thinned(plan->scan, index);
  const struct plan_part *p = &plan->part[index];
  struct buffer what = {0};
  if (obstacle == NOT_CARRIED && plan->request->flags & TALLY_NO_ROLLUPS) {
    buffer_text(&what, "leave --no-rollups away");
  } else if (obstacle == NOT_CARRIED) {
    struct buffer missing = {0};
    put_missing(plan, &missing);
    if (missing.size)
      buffer_printf(&what, "no rollup has %.*s", (int)missing.size, (const char *)missing.data);
    else
      buffer_text(&what, "no rollup has all that is asked at once");
    buffer_text(
        &what,
        "; there is one by service_name, endpoint, method and class of status_code, and one by service_name "
        "and user_id");
    buffer_free(&missing);
  } else if (obstacle == RAGGED) {
    buffer_text(&what, "rollups answer whole hours of UTC: ask for ");
    put_range(&what, p->from, p->to);
  } else {
    buffer_text(&what, "rollups answer buckets of whole hours of UTC: take such a --bucket, or another --tz");
  }
  int code = what.failed ? fail_memory(error, "a message")
                         : fail(error, TALLY_NO_RAW_ROWS,
                                "retention has removed the rows of %04d-%02d and kept their rollups: %.*s",
                                1970 + s->info.month / 12, 1 + s->info.month % 12, (int)what.size,
                                (const char *)what.data);
  buffer_free(&what);
  return code;
}

/* ------------------------------------------------------------------ planning */

static struct stretch stretch_of(const struct plan *plan, size_t index, enum rollup_level level) {
  struct stretch stretch = {0, 0};
  if (!plan->has_map || bucket_map_unites(&plan->buckets, rollup_width(level)))
    scan_rollup_stretch(plan->scan, index, level, &stretch.from, &stretch.to);
  return stretch;
}

int thinned_plan(struct plan *plan, size_t index, tally_error *error) {
  struct plan_part *p = &plan->part[index];
  bool texts = plan->in_texts && scan_rollup_covers(plan->scan, index, ROLLUP_HOUR);
  bool users = plan->in_users && scan_rollup_covers(plan->scan, index, ROLLUP_USER_HOUR);
  if (!texts && !users) return refuse(plan, index, NOT_CARRIED, error);
  if (plan->has_map && !bucket_map_unites(&plan->buckets, rollup_width(ROLLUP_HOUR)))
    return refuse(plan, index, BUCKETS, error);
  p->way = PART_ROLLUP;
  p->users = !texts;
  p->hours = stretch_of(plan, index, ROLLUP_HOUR);
  p->days = stretch_of(plan, index, ROLLUP_DAY);
  if (p->days.from >= p->days.to || plan->histograms)
    p->days = (struct stretch){p->hours.from, p->hours.from};
  if (p->days.from < p->hours.from) p->hours.from = p->days.from; /* both reach beyond the part's rows */
  if (p->days.to > p->hours.to) p->hours.to = p->days.to;
  if (plan_ragged(p)) return refuse(plan, index, RAGGED, error);
  plan->approximate = plan->approximate || plan->histograms;
  return 0;
}
