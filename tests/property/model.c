/* model.c - see model.h. */
#include "property/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *memory) {
  if (!memory) abort();
  return memory;
}

static void *grow(void *array, size_t count, size_t *room, size_t size) {
  if (count < *room) return array;
  *room = *room ? *room * 2 : 64;
  return must(realloc(array, *room * size));
}

/* ------------------------------------------------------------------ events */

void model_free(struct model *m) {
  free(m->event);
  free(m->pending);
  *m = (struct model){0};
}

void model_copy(struct model *to, const struct model *from) {
  *to = *from;
  to->room = to->events;
  to->pending_room = to->pendings;
  to->event = must(malloc((to->events + 1) * sizeof *to->event));
  to->pending = must(malloc((to->pendings + 1) * sizeof *to->pending));
  if (to->events) memcpy(to->event, from->event, to->events * sizeof *to->event);
  if (to->pendings) memcpy(to->pending, from->pending, to->pendings * sizeof *to->pending);
}

struct event *model_add(struct model *m) {
  m->event = grow(m->event, m->events, &m->room, sizeof *m->event);
  struct event *e = &m->event[m->events++];
  *e = (struct event){0};
  return e;
}

void model_pend(struct model *m, const struct pending *p) {
  m->pending = grow(m->pending, m->pendings, &m->pending_room, sizeof *m->pending);
  m->pending[m->pendings++] = *p;
}

void model_drop(struct model *m, bool (*drop)(const struct event *e, const void *arg), const void *arg) {
  size_t kept = 0;
  for (size_t i = 0; i < m->events; i++)
    if (!drop(&m->event[i], arg)) m->event[kept++] = m->event[i];
  m->events = kept;
}

static bool is_hidden(const struct event *e, const void *arg) {
  (void)arg;
  return e->hidden;
}

void model_settle(struct model *m) {
  m->pendings = 0;
  model_drop(m, is_hidden, NULL);
}

static bool failed_before(const struct event *e, const void *arg) {
  return e->hidden && e->batch < *(const uint32_t *)arg;
}

void model_forget_failed(struct model *m, uint32_t batch) {
  size_t kept = 0;
  for (size_t i = 0; i < m->pendings; i++)
    if (m->pending[i].acknowledged || m->pending[i].batch >= batch) m->pending[kept++] = m->pending[i];
  m->pendings = kept;
  model_drop(m, failed_before, &batch);
}

/* ------------------------------------------------------------------ retention */

static bool keep_equal(const struct keep *a, const struct keep *b) {
  for (int s = 0; s < STAGES_OF_AGE; s++)
    if (a->days[s] != b->days[s]) return false;
  return true;
}

bool rules_equal(const struct rules *a, const struct rules *b) {
  bool equal = keep_equal(&a->store, &b->store);
  for (int i = 0; i < SERVICES && equal; i++)
    equal = a->own[i] == b->own[i] && (!a->own[i] || keep_equal(&a->service[i], &b->service[i]));
  return equal;
}

bool rules_empty(const struct rules *r) {
  static const struct keep nothing;
  bool empty = keep_equal(&r->store, &nothing);
  for (int i = 0; i < SERVICES && empty; i++) empty = !r->own[i] || keep_equal(&r->service[i], &nothing);
  return empty;
}

static int64_t day_of(int64_t us) { return us / WHOLE_DAY_US - (us % WHOLE_DAY_US < 0); }

bool is_due(const struct rules *r, int stage, int32_t service, int64_t timestamp, int64_t now) {
  const struct keep *k = service >= 0 && r->own[service] ? &r->service[service] : &r->store;
  return k->days[stage] && day_of(timestamp) < day_of(now) - k->days[stage];
}

void model_mark_due(struct model *m, int64_t now, bool guarded) {
  for (size_t i = 0; i < m->events; i++) {
    struct event *e = &m->event[i];
    e->due = 0;
    for (int s = ARCHIVE; s < STAGES_OF_AGE && !e->hidden; s++)
      if ((!guarded || s == ARCHIVE) && is_due(&m->rules, s, e->service, e->timestamp, now))
        e->due = (uint8_t)(e->due | 1u << s);
  }
}

void model_unmark(struct model *m) {
  for (size_t i = 0; i < m->events; i++) m->event[i].due = 0;
}

/* ------------------------------------------------------------------ users */

static char (*texts)[USER_TEXT];
static size_t text_count, text_room;

const char *user_text(int32_t user) { return texts[user]; }

int32_t user_new(uint64_t random) {
  texts = grow(texts, text_count, &text_room, sizeof *texts);
  (void)snprintf(texts[text_count], sizeof *texts, "u%zu_%012llx", text_count,
                 (unsigned long long)(random & 0xffffffffffffu));
  return (int32_t)text_count++;
}

void users_forget(void) { text_count = 0; }

int32_t user_number(tally_text text) {
  if (!text.data) return NOBODY;
  if (text.size > 5 && memcmp(text.data, "anon_", 5) == 0) return PSEUDONYM;
  char copy[USER_TEXT];
  if (text.size >= sizeof copy || text.size < 2) return INT32_MIN;
  memcpy(copy, text.data, text.size);
  copy[text.size] = '\0';
  size_t number = strtoul(copy + 1, NULL, 10);
  return number < text_count && strcmp(texts[number], copy) == 0 ? (int32_t)number : INT32_MIN;
}

/* ------------------------------------------------------------------ answers */

static int order(const struct group *a, int64_t bucket, int32_t user, int32_t service, int32_t endpoint) {
  if (a->bucket != bucket) return a->bucket < bucket ? -1 : 1;
  if (a->user != user) return a->user < user ? -1 : 1;
  if (a->service != service) return a->service < service ? -1 : 1;
  return (a->endpoint > endpoint) - (a->endpoint < endpoint);
}

/* Groups are kept sorted. */
struct group *answer_group(struct answer *a, int64_t bucket, int32_t user, int32_t service,
                           int32_t endpoint) {
  size_t low = 0, high = a->groups;
  while (low < high) {
    size_t middle = (low + high) / 2;
    int o = order(&a->group[middle], bucket, user, service, endpoint);
    if (o == 0) return &a->group[middle];
    if (o < 0)
      low = middle + 1;
    else
      high = middle;
  }
  a->group = grow(a->group, a->groups, &a->room, sizeof *a->group);
  memmove(&a->group[low + 1], &a->group[low], (a->groups - low) * sizeof *a->group);
  a->groups++;
  a->group[low] = (struct group){.bucket = bucket,
                                 .user = user,
                                 .service = service,
                                 .endpoint = endpoint,
                                 .longest = INT64_MIN,
                                 .shortest = INT64_MAX,
                                 .first = INT64_MAX,
                                 .last = INT64_MIN};
  return &a->group[low];
}

void answer_free(struct answer *a) {
  free(a->group);
  *a = (struct answer){0};
}

static bool has(const struct event *e, int column) { return e->present >> column & 1; }

static bool asked(const struct event *e, const struct question *q) {
  if (e->hidden || e->timestamp < q->from || e->timestamp >= q->to) return false;
  if (q->user != INT32_MIN && e->user != q->user) return false;
  if (q->service != INT32_MIN && e->service != q->service) return false;
  if (q->least_status && !(has(e, TALLY_COL_STATUS_CODE) && e->status >= q->least_status)) return false;
  return !q->with_tokens || has(e, TALLY_COL_TOKENS_USED);
}

static void take(struct group *g, const struct event *e) {
  g->count++;
  if (has(e, TALLY_COL_TOKENS_USED)) g->tokens += e->tokens, g->tokens_count++;
  if (has(e, TALLY_COL_COST)) g->cost += e->cost;
  if (has(e, TALLY_COL_STATUS_CODE) && e->status >= 400) g->errors++;
  if (e->metadata) g->metadata_count++;
  if (has(e, TALLY_COL_DURATION_MS) && e->duration > g->longest) g->longest = e->duration;
  if (has(e, TALLY_COL_DURATION_MS) && e->duration < g->shortest) g->shortest = e->duration;
  if (e->timestamp < g->first) g->first = e->timestamp;
  if (e->timestamp > g->last) g->last = e->timestamp;
}

/* Does one kind of rollup have all that is asked? There is one by service, endpoint and class of status, and
 * one by service and user. */
static bool in_rollups(const struct question *q, bool rows) {
  bool by_texts = !(q->by & BY_USER) && q->user == INT32_MIN;
  bool by_users = !(q->by & BY_ENDPOINT) && !q->least_status;
  return !rows && (by_texts || by_users) && q->least_status % 100 == 0 && !q->with_tokens;
}

static bool is_whole(int64_t us) { return us == INT64_MIN || us == INT64_MAX || us % HOUR_US == 0; }

/* Two thinned events of one hour that the answer tells apart: one out of the range, or in another bucket. */
static bool are_parted(const struct event *e, const struct event *other, const struct question *q) {
  if (!other->thinned || other->timestamp / HOUR_US != e->timestamp / HOUR_US) return false;
  bool out = other->timestamp < q->from || other->timestamp >= q->to;
  return out || (q->bucket && other->timestamp / q->bucket != e->timestamp / q->bucket);
}

/* Must a question that rollups carry be refused for where its range or its buckets end? */
static bool is_parted(const struct model *m, const struct question *q) {
  for (size_t i = 0; i < m->events; i++) {
    if (!m->event[i].thinned || !asked(&m->event[i], q)) continue;
    for (size_t k = 0; k < m->events; k++)
      if (are_parted(&m->event[i], &m->event[k], q)) return true;
  }
  return false;
}

enum answers model_answers(const struct model *m, const struct question *q, bool rows) {
  bool carried = in_rollups(q, rows), any = false, any_asked = false;
  if (carried && q->bucket % HOUR_US == 0 && is_whole(q->from) && is_whole(q->to)) return ANSWERED;
  for (size_t i = 0; i < m->events; i++) {
    any = any || m->event[i].thinned;
    any_asked = any_asked || (m->event[i].thinned && asked(&m->event[i], q));
  }
  if (!any) return ANSWERED;
  return (any_asked && !carried) || is_parted(m, q) ? REFUSED : EITHER;
}

void model_answer(const struct model *m, const struct question *q, struct answer *a) {
  a->groups = 0;
  if (!q->by && !q->bucket) (void)answer_group(a, 0, 0, 0, 0);
  for (size_t i = 0; i < m->events; i++) {
    const struct event *e = &m->event[i];
    if (!asked(e, q)) continue;
    take(answer_group(a, q->bucket ? e->timestamp / q->bucket * q->bucket : 0, q->by & BY_USER ? e->user : 0,
                      q->by & BY_SERVICE ? e->service : 0, q->by & BY_ENDPOINT ? e->endpoint : 0),
         e);
  }
}
