/* check.c - see check.h. */
#include "property/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct progress progress;

void require(bool ok, const char *format, ...) {
  if (ok) {
    progress.passed++;
    return;
  }
  va_list arguments;
  va_start(arguments, format);
  printf("FAILED at step %u (%s), TALLY_SEED=%llu --life %u: ", progress.step, progress.kind, progress.seed,
         progress.life);
  (void)vprintf(format, arguments);
  va_end(arguments);
  printf("\n%llu passed, 1 failed\n", progress.passed);
  (void)fflush(stdout);
  _Exit(1);
}

/* ------------------------------------------------------------------ cells */

void time_text(int64_t us, char text[40]) {
  time_t seconds = (time_t)(us / 1000000);
  struct tm tm;
  (void)gmtime_r(&seconds, &tm);
  size_t n = strftime(text, 40, "%Y-%m-%dT%H:%M:%S", &tm);
  (void)snprintf(text + n, 40 - n, ".%06dZ", (int)(us % 1000000));
}

static int64_t digits(const char *p, int count) {
  int64_t n = 0;
  while (count-- > 0) n = n * 10 + (*p++ - '0');
  return n;
}

#define DATE_SIZE 10

/* The begin of a day like 2024-01-02, by the C library; the last one is kept (see month_number). */
static int64_t day_of(const char *date) {
  static char last[DATE_SIZE];
  static int64_t begin;
  if (memcmp(last, date, DATE_SIZE) == 0) return begin;
  memcpy(last, date, DATE_SIZE);
  struct tm tm = {.tm_year = (int)digits(date, 4) - 1900,
                  .tm_mon = (int)digits(date + 5, 2) - 1,
                  .tm_mday = (int)digits(date + 8, 2)};
  return begin = (int64_t)timegm(&tm) * 1000000;
}

/* 2024-01-02T03:04:05Z or with six decimals. */
static int64_t time_of(tally_text t) {
  if (!t.data) return INT64_MIN;
  require(t.size >= 20, "a time as it prints: %.*s", (int)t.size, t.data);
  int64_t seconds = (digits(t.data + 11, 2) * 60 + digits(t.data + 14, 2)) * 60 + digits(t.data + 17, 2);
  return day_of(t.data) + seconds * 1000000 + (t.size > 20 ? digits(t.data + 20, 6) : 0);
}

/* A number with up to `decimals` decimals, in units of the last. */
static int64_t number_of(tally_text t, int decimals) {
  int64_t n = 0;
  bool minus = t.size && t.data[0] == '-', point = false;
  for (size_t i = minus; i < t.size; i++) {
    if (t.data[i] == '.') {
      point = true;
      continue;
    }
    n = n * 10 + (t.data[i] - '0');
    decimals -= point;
  }
  while (decimals-- > 0) n *= 10;
  return minus ? -n : n;
}

/* svc-2 -> 2 */
static int32_t numbered(tally_text t) { return t.data ? t.data[t.size - 1] - '0' : -1; }

const char *producer_name(int producer) {
  static const char *const names[PRODUCERS] = {"north", "east", "south", "west"};
  return names[producer];
}

/* ------------------------------------------------------------------ events */

struct event event_of(const tally_text cell[TALLY_COLUMNS]) {
  struct event e = {.timestamp = time_of(cell[TALLY_COL_TIMESTAMP]),
                    .user = user_number(cell[TALLY_COL_USER_ID]),
                    .service = numbered(cell[TALLY_COL_SERVICE_NAME]),
                    .endpoint = numbered(cell[TALLY_COL_ENDPOINT]),
                    .serial = (int32_t)number_of(cell[TALLY_COL_REQUEST_SIZE], 0),
                    .duration = (int32_t)number_of(cell[TALLY_COL_DURATION_MS], 0),
                    .status = (int32_t)number_of(cell[TALLY_COL_STATUS_CODE], 0),
                    .tokens = (int32_t)number_of(cell[TALLY_COL_TOKENS_USED], 0),
                    .cost = number_of(cell[TALLY_COL_COST], 9)};
  for (int column = 0; column < TALLY_COLUMNS; column++)
    if (cell[column].data) e.present |= 1u << column;
  if (cell[TALLY_COL_METADATA].data) /* {"r":"m12"} */
    e.metadata = (uint32_t)strtoul(cell[TALLY_COL_METADATA].data + 7, NULL, 10);
  return e;
}

static int by_serial(const void *a, const void *b) {
  const struct event *x = a, *y = b;
  return (x->serial > y->serial) - (x->serial < y->serial);
}

#define TOLD                                                                                                 \
  (1u << TALLY_COL_DURATION_MS | 1u << TALLY_COL_STATUS_CODE | 1u << TALLY_COL_TOKENS_USED |                 \
   1u << TALLY_COL_COST)

static bool may(const struct event *e, int stage) { return e->due >> stage & 1; }

void check_event(const struct event *f, struct event *e) {
  int32_t s = e->serial;
  bool renamed = e->maybe_renamed && f->user == PSEUDONYM && !f->metadata;
  require(f->user == e->user || renamed, "event %d: its user is %d, not %d", s, f->user, e->user);
  require(f->metadata == e->metadata || renamed, "event %d: its metadata is %u, not %u", s, f->metadata,
          e->metadata);
  require(f->timestamp == e->timestamp, "event %d: its timestamp", s);
  require(f->service == e->service && f->endpoint == e->endpoint, "event %d: its texts", s);
  require((f->present & TOLD) == (e->present & TOLD), "event %d: what is NULL", s);
  bool same =
      f->cost == e->cost && f->status == e->status && f->tokens == e->tokens && f->duration == e->duration;
  require(same, "event %d: its numbers", s);
}

/* An event of the model that has a row. */
static void check_found(const struct event *f, struct event *e) {
  require(!e->hidden, "event %d of a batch that failed is there", e->serial);
  require(!e->thinned, "event %d was thinned and has a row", e->serial);
  check_event(f, e);
  bool moved = f->archived && !e->archived;
  require(!moved || may(e, ARCHIVE), "event %d is in the archive before its time", e->serial);
  require(f->archived || !e->archived, "event %d is not in the archive any more", e->serial);
  e->archived = f->archived;
}

/* Its row is gone and it was due: what is due to be dropped is not thinned before. */
static void expire(struct event *e) {
  e->gone = may(e, DROP);
  e->thinned = !e->gone;
}

static bool in_month(const struct event *e, const void *arg) {
  return e->thinned && !e->hidden && month_number(e->timestamp) == *(const int32_t *)arg;
}
static bool is_dropped(const struct event *e, const void *arg) { return in_month(e, arg) && may(e, DROP); }

/* The thinned events of a month: all are there, or all but those whose time has come. */
static void check_thinned(tally_store *store, struct model *model, int32_t month) {
  uint64_t all = 0, due = 0, there = rows_thinned(store, month);
  for (size_t i = 0; i < model->events; i++) {
    all += in_month(&model->event[i], &month);
    due += is_dropped(&model->event[i], &month);
  }
  require(there == all || there == all - due,
          "month %d: rollups stand for %" PRIu64 " thinned events, of %" PRIu64 ", %" PRIu64 " of them due",
          month, there, all, due);
  if (there != all) model_drop(model, is_dropped, &month);
}

static bool is_gone(const struct event *e, const void *arg) {
  (void)arg;
  return e->gone;
}

void check_events(tally_store *store, const struct model *found, struct model *model) {
  size_t i = 0;
  int32_t least = INT32_MAX, most = INT32_MIN;
  for (size_t k = 0; k < model->events; k++) {
    struct event *e = &model->event[k];
    if (i < found->events && i)
      require(found->event[i].serial != found->event[i - 1].serial, "event %d twice", found->event[i].serial);
    int32_t month = month_number(e->timestamp);
    if (month < least) least = month;
    if (month > most) most = month;
    if (i < found->events && found->event[i].serial == e->serial) {
      check_found(&found->event[i++], e);
      continue;
    }
    bool gone = e->hidden || e->maybe_gone || e->thinned;
    require(gone || may(e, THIN) || may(e, DROP), "event %d is lost (or event %d is not the model's)",
            e->serial, i < found->events ? found->event[i].serial : -1);
    if (!gone) expire(e);
  }
  require(i == found->events, "event %d is not the model's, or is there twice",
          i < found->events ? found->event[i].serial : -1);
  model_drop(model, is_gone, NULL);
  for (int32_t month = least; month <= most && least != INT32_MAX; month++)
    check_thinned(store, model, month);
}

/* ------------------------------------------------------------------ restarts */

static bool is_there(const struct model *found, int32_t serial) {
  struct event key = {.serial = serial};
  return found->events && bsearch(&key, found->event, found->events, sizeof key, by_serial) != NULL;
}

static bool is_of_batch(const struct event *e, const void *arg) { return e->batch == *(const uint32_t *)arg; }

/* Did another batch with this one's place in its producer's order fail too? Then the mark does not say which
 * of them came to light. */
static bool has_rival(const struct model *model, const struct pending *p) {
  for (size_t i = 0; i < model->pendings; i++) {
    const struct pending *q = &model->pending[i];
    if (q->batch != p->batch && q->producer == p->producer && q->after.epoch == p->after.epoch &&
        q->after.sequence == p->after.sequence)
      return true;
  }
  return false;
}

/* Is the batch there? One with a producer tells by its mark; `sure`: it would have to show otherwise. */
static bool batch_there(const struct pending *p, const struct model *model, const struct model *found,
                        const struct producer mark[PRODUCERS], bool *sure) {
  bool there = false;
  *sure = p->producer >= 0;
  for (size_t i = 0; i < model->events; i++) {
    const struct event *e = &model->event[i];
    if (e->batch != p->batch) continue;
    there = there || e->thinned || is_there(found, e->serial);
    *sure = *sure || !(e->maybe_gone || may(e, THIN) || may(e, DROP));
  }
  if (p->producer < 0 || has_rival(model, p)) return there;
  struct producer m = mark[p->producer];
  return m.epoch > p->after.epoch || (m.epoch == p->after.epoch && m.sequence >= p->after.sequence);
}

static void read_marks(tally_store *store, struct producer mark[PRODUCERS]) {
  for (int i = 0; i < PRODUCERS; i++) {
    tally_mark m;
    require(tally_producer_mark(store, producer_name(i), 0, &m, NULL) == 0, "a mark");
    mark[i] = (struct producer){m.epoch, m.sequence};
  }
}

void settle_pending(struct model *model, const struct model *found, tally_store *store, bool power) {
  struct producer mark[PRODUCERS];
  bool ended = false, lost[PRODUCERS] = {false}; /* lost: a batch of that producer */
  read_marks(store, mark);
  for (size_t i = 0; i < model->pendings; i++) {
    const struct pending *p = &model->pending[i];
    bool sure, there = batch_there(p, model, found, mark, &sure);
    if (sure) require(there || power || !p->acknowledged, "batch %u was acknowledged and is lost", p->batch);
    require(!there || !ended, "batch %u is there, and one before it is lost", p->batch);
    if (there) {
      for (size_t k = 0; k < model->events; k++)
        if (model->event[k].batch == p->batch) model->event[k].hidden = false;
      if (p->producer >= 0) model->producer[p->producer] = p->after;
      continue;
    }
    if (p->acknowledged && p->producer >= 0 && !lost[p->producer]) {
      model->producer[p->producer] = p->before;
      lost[p->producer] = true;
    }
    ended = ended || (sure && p->acknowledged);
    model_drop(model, is_of_batch, &p->batch);
  }
  model->pendings = 0;
}

/* ------------------------------------------------------------------ answers */

void check_marks(tally_store *store, const struct model *model) {
  struct producer mark[PRODUCERS];
  read_marks(store, mark);
  for (int i = 0; i < PRODUCERS; i++)
    require(mark[i].epoch == model->producer[i].epoch && mark[i].sequence == model->producer[i].sequence,
            "the mark of %s is %" PRIu64 "/%" PRIu64 ", not %" PRIu64 "/%" PRIu64, producer_name(i),
            mark[i].epoch, mark[i].sequence, model->producer[i].epoch, model->producer[i].sequence);
}

#define SUMS "count,sum:tokens_used,count:tokens_used,sum:cost,errors,max:duration_ms,min:duration_ms"
#define TIMES ",count:metadata,min:timestamp,max:timestamp"
enum { COUNT, TOKENS, TOKENS_COUNT, COST, ERRORS, LONGEST, SHORTEST, METADATA, FIRST, LAST };

static void add_cell(struct group *g, int column, tally_text t) {
  int64_t n = column >= FIRST ? time_of(t) : number_of(t, column == COST ? 9 : 0);
  if (!t.data) return;
  switch (column) {
  case COUNT:
    g->count += n;
    break;
  case TOKENS:
    g->tokens += n;
    break;
  case TOKENS_COUNT:
    g->tokens_count += n;
    break;
  case COST:
    g->cost += n;
    break;
  case ERRORS:
    g->errors += n;
    break;
  case LONGEST:
    if (n > g->longest) g->longest = n;
    break;
  case SHORTEST:
    if (n < g->shortest) g->shortest = n;
    break;
  case METADATA:
    g->metadata_count += n;
    break;
  case FIRST:
    if (n < g->first) g->first = n;
    break;
  default:
    if (n > g->last) g->last = n;
  }
}

void take_row(const tally_cursor *c, const struct question *q, struct answer *a) {
  size_t at = 0;
  int64_t bucket = q->bucket ? time_of(tally_cursor_cell(c, at++)) : 0;
  int32_t user = q->by & BY_USER ? user_number(tally_cursor_cell(c, at++)) : 0;
  int32_t service = q->by & BY_SERVICE ? numbered(tally_cursor_cell(c, at++)) : 0;
  int32_t endpoint = q->by & BY_ENDPOINT ? numbered(tally_cursor_cell(c, at++)) : 0;
  struct group *g = answer_group(a, bucket, user, service, endpoint);
  for (int column = 0; at < tally_cursor_columns(c); column++)
    add_cell(g, column, tally_cursor_cell(c, at++));
}

struct words {
  char from[40], to[40], group[60], bucket[24], where[4][80];
  const char *list[4];
};
static struct words words; /* of the last question, for what is said of it */

static void request_of(const struct question *q, unsigned flags, struct words *w, tally_query *r) {
  tally_query_init(r);
  if (q->from != INT64_MIN) time_text(q->from, w->from), r->from = w->from;
  if (q->to != INT64_MAX) time_text(q->to, w->to), r->to = w->to;
  if (q->user != INT32_MIN)
    (void)snprintf(w->where[r->where_count++], 80,
                   q->user == NOBODY      ? "user_id is null"
                   : q->user == PSEUDONYM ? "user_id^=anon_"
                                          : "user_id=%s",
                   q->user >= 0 ? user_text(q->user) : "");
  if (q->service != INT32_MIN)
    (void)snprintf(w->where[r->where_count++], 80, "service_name=svc-%d", q->service);
  if (q->least_status) (void)snprintf(w->where[r->where_count++], 80, "status_code>=%d", q->least_status);
  if (q->with_tokens) (void)snprintf(w->where[r->where_count++], 80, "tokens_used is not null");
  for (size_t i = 0; i < r->where_count; i++) w->list[i] = w->where[i];
  r->where = w->list;
  (void)snprintf(w->group, sizeof w->group, "%s%s%s", q->by & BY_USER ? ",user_id" : "",
                 q->by & BY_SERVICE ? ",service_name" : "", q->by & BY_ENDPOINT ? ",endpoint" : "");
  if (q->by) r->group_by = w->group + 1;
  if (q->bucket) {
    (void)snprintf(w->bucket, sizeof w->bucket, "%" PRId64 "s", q->bucket / 1000000);
    if (q->bucket % INT64_C(3600000000) == 0)
      (void)snprintf(w->bucket, sizeof w->bucket, "%" PRId64 "h", q->bucket / INT64_C(3600000000));
    if (q->bucket == INT64_C(86400000000)) (void)snprintf(w->bucket, sizeof w->bucket, "1d");
    r->bucket = w->bucket;
  }
  r->aggregates = flags & WITH_TIMES ? SUMS TIMES : SUMS;
  r->flags = flags & WITHOUT_ROLLUPS ? TALLY_NO_ROLLUPS : 0;
}

void check_group(const struct group *f, const struct group *g, unsigned flags) {
  const struct words *w = &words;
  const char *at = w->group;
  require(f->bucket == g->bucket && f->user == g->user && f->service == g->service &&
              f->endpoint == g->endpoint,
          "a query by%s: groups differ: bucket %" PRId64 " user %d service %d endpoint %d, not %" PRId64
          " %d %d %d",
          at, f->bucket, f->user, f->service, f->endpoint, g->bucket, g->user, g->service, g->endpoint);
#define SAME(member)                                                                                         \
  require(f->member == g->member,                                                                            \
          "a query by%s [%s,%s) bucket %s where %s %s, flags %u: user %d, service %d, endpoint %d: " #member \
          " is %" PRId64 ", not %" PRId64,                                                                   \
          at, w->from, w->to, w->bucket, w->where[0], w->where[1], flags, g->user, g->service, g->endpoint,  \
          f->member, g->member)
  SAME(count);
  SAME(tokens);
  SAME(tokens_count);
  SAME(cost);
  SAME(errors);
  SAME(longest);
  SAME(shortest);
  if (!(flags & WITH_TIMES)) return;
  SAME(metadata_count);
  SAME(first);
  SAME(last);
#undef SAME
}

void ask(const struct question *q, unsigned flags, tally_query *request) {
  words = (struct words){0};
  request_of(q, flags, &words, request);
}

struct at_once at_once;

int guard_disk(void *arg, enum disk_call call, const char *path) {
  (void)arg;
  if (at_once.asking)
    require(false, "a question that is asked at once calls the disk (%d, %s)", (int)call, path);
  return 0;
}

static int read_answer(tally_store *store, const struct question *q, const tally_query *request,
                       struct answer *found, tally_error *error) {
  tally_cursor *cursor;
  int result = tally_query_open(store, request, &cursor, error);
  found->groups = 0;
  if (result) return result;
  while ((result = tally_cursor_next(cursor, error)) == TALLY_ROW) take_row(cursor, q, found);
  tally_cursor_close(cursor);
  return result;
}

static int read_answer_at_once(tally_store *store, const struct question *q, tally_query *request,
                               struct answer *found, tally_error *error) {
  request->flags |= TALLY_AT_ONCE;
  at_once.asking = true;
  int result = read_answer(store, q, request, found, error);
  at_once.asking = false;
  request->flags &= ~(unsigned)TALLY_AT_ONCE;
  ++*(result == TALLY_BUSY ? &at_once.refused : &at_once.answered);
  return result;
}

bool check_answer(tally_store *store, const struct model *model, const struct question *q, unsigned flags) {
  static struct answer found, right; /* their memory is used again */
  enum answers may_be = model_answers(model, q, flags & (WITH_TIMES | WITHOUT_ROLLUPS));
  tally_query request;
  tally_error error;
  ask(q, flags, &request);
  int result = TALLY_BUSY;
  if (flags & ASKED_AT_ONCE) result = read_answer_at_once(store, q, &request, &found, &error);
  if (result == TALLY_BUSY) result = read_answer(store, q, &request, &found, &error);
  if (result == TALLY_NO_RAW_ROWS)
    require(may_be != ANSWERED, "a query by%s [%s,%s) bucket %s where %s %s, flags %u: %s", words.group,
            words.from, words.to, words.bucket, words.where[0], words.where[1], flags, error.text);
  if (result == TALLY_NO_RAW_ROWS) return false;
  require(result == 0, "a query's rows: %s", result ? error.text : "");
  require(may_be != REFUSED, "a query by%s [%s,%s) bucket %s where %s %s, flags %u: rows are thinned",
          words.group, words.from, words.to, words.bucket, words.where[0], words.where[1], flags);
  model_answer(model, q, &right);
  for (size_t i = 0; i < found.groups && i < right.groups; i++)
    check_group(&found.group[i], &right.group[i], flags);
  require(found.groups == right.groups, "a query by%s has %zu groups, not %zu", words.group, found.groups,
          right.groups);
  return true;
}

void check_totals(tally_store *store, const struct model *model, unsigned flags) {
  struct question q = {.from = INT64_MIN,
                       .to = INT64_MAX,
                       .user = INT32_MIN,
                       .service = INT32_MIN,
                       .by = BY_USER | BY_SERVICE};
  (void)check_answer(store, model, &q, flags);
}

unsigned long long figure(tally_store *store, const char *name) {
  tally_cursor *c;
  tally_error error;
  unsigned long long value = 0;
  require(tally_stats_open(store, &c, &error) == 0, "stats");
  while (tally_cursor_next(c, &error) == TALLY_ROW) {
    tally_text n = tally_cursor_cell(c, 0);
    if (n.size == strlen(name) && memcmp(n.data, name, n.size) == 0)
      value = strtoull(tally_cursor_cell(c, 1).data, NULL, 10);
  }
  tally_cursor_close(c);
  return value;
}
