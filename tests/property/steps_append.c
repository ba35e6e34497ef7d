/* steps_append.c - the steps that bring events, or try to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "property/world.h"

#define ITEMS_MOST 3

/* A new batch, and what the store must say of it. */
struct offer {
  tally_batch *bytes;
  struct pending pending;
  int64_t late; /* the first row that is older than rows are kept, -1: none */
};

/* ------------------------------------------------------------------ batches */

/* Mostly of the last minutes; late by hours, days or months; now and then a little ahead. */
static int64_t some_time(struct world *w, int64_t around) {
  switch (below(w, 12)) {
  case 0:
    return around - (int64_t)below(w, 150 * (uint64_t)DAY_US);
  case 1:
    return around - (int64_t)below(w, 3 * (uint64_t)DAY_US);
  case 2: /* at most a day ahead is taken */
    return around + (int64_t)below(w, (once_in(w, 4) ? 24 : 2) * (uint64_t)HOUR_US);
  default:
    return around - (int64_t)below(w, HOUR_US / 2);
  }
}

static void fill(struct world *w, struct event *e, int64_t around) {
  static const int32_t statuses[] = {200, 200, 200, 201, 301, 404, 429, 500, 42, 700};
  *e = (struct event){.timestamp = some_time(w, around),
                      .serial = w->serial++,
                      .user = once_in(w, 20) ? NOBODY : w->user[below(w, 1 + below(w, USERS))],
                      .service = once_in(w, 20) ? -1 : (int32_t)below(w, SERVICES),
                      .endpoint = (int32_t)below(w, ENDPOINTS + 1) - 1,
                      .status = statuses[below(w, 10)],
                      .tokens = (int32_t)below(w, 4000) - 50,
                      .duration = (int32_t)below(w, 900),
                      .cost = (int64_t)below(w, 200000) * 100000,
                      .batch = w->batch,
                      .hidden = true};
  if (once_in(w, 2)) e->timestamp -= e->timestamp % 1000000; /* ties */
  for (int c = TALLY_COL_DURATION_MS; c <= TALLY_COL_COST; c++)
    if (!once_in(w, 12)) e->present |= 1u << c;
  if (!(e->present >> TALLY_COL_STATUS_CODE & 1)) e->status = 0;
  if (!(e->present >> TALLY_COL_TOKENS_USED & 1)) e->tokens = 0;
  if (!(e->present >> TALLY_COL_DURATION_MS & 1)) e->duration = 0;
  if (!(e->present >> TALLY_COL_COST & 1)) e->cost = 0;
  if (once_in(w, 3)) e->metadata = (uint32_t)e->serial + 1;
}

static void add_event(tally_batch *b, const struct event *e) {
  char service[12], endpoint[12], metadata[40];
  tally_error error;
  (void)snprintf(service, sizeof service, "svc-%d", e->service % 10);
  (void)snprintf(endpoint, sizeof endpoint, "/v1/%d", e->endpoint % 10);
  tally_event event = {.timestamp = e->timestamp,
                       .request_size = e->serial,
                       .duration_ms = e->duration,
                       .status_code = e->status,
                       .tokens_used = e->tokens,
                       .cost = e->cost,
                       .present = e->present | 1u << TALLY_COL_REQUEST_SIZE};
  if (e->user >= 0) event.user_id = (tally_text){user_text(e->user), strlen(user_text(e->user))};
  if (e->service >= 0) event.service_name = (tally_text){service, strlen(service)};
  if (e->endpoint >= 0) event.endpoint = (tally_text){endpoint, strlen(endpoint)};
  if (e->metadata) {
    int n = snprintf(metadata, sizeof metadata, "{\"r\":\"m%u\"}", e->metadata);
    event.metadata = (tally_text){metadata, (size_t)n};
  }
  int result = tally_batch_add(b, &event, &error);
  require(result == 0, "an event is added: %s", result ? error.text : "");
}

static bool is_late(const struct world *w, const struct event *e) {
  return is_due(&w->model.rules, DROP, e->service, e->timestamp, now_of(w));
}

/* A batch of new events; they are hidden in the model until it is acknowledged. */
static void make_batch(struct world *w, tally_append_item *item, struct offer *o) {
  tally_error error;
  int64_t around = now_of(w);
  bool careless = once_in(w, 6);                                          /* of what retention keeps */
  if (once_in(w, 8)) around -= (int64_t)below(w, 120 * (uint64_t)DAY_US); /* all of it late */
  uint64_t rows = 1 + below(w, 1 + below(w, 40));
  o->late = -1;
  for (uint64_t i = 0; i < rows; i++) {
    struct event *e = model_add(&w->model);
    fill(w, e, around);
    if (!careless && is_late(w, e)) e->timestamp = now_of(w) - (int64_t)below(w, HOUR_US);
    if (o->late < 0 && is_late(w, e)) o->late = (int64_t)i;
    add_event(o->bytes, e);
  }
  require(tally_batch_finish(o->bytes, &item->bytes, &item->size, &error) == 0, "a batch is finished");
  item->options.durability = once_in(w, 2) ? TALLY_DISK : TALLY_OS;
}

static void keep_repeat(struct world *w, const tally_append_item *item, const struct pending *p) {
  unsigned at = w->repeats < REPEATS ? w->repeats++ : (unsigned)below(w, REPEATS);
  struct repeat *r = &w->repeat[at];
  free(r->bytes);
  *r = (struct repeat){malloc(item->size), item->size, p->producer, p->after};
  if (r->bytes) memcpy(r->bytes, item->bytes, item->size);
}

/* ------------------------------------------------------------------ steps */

static bool of_batch(const struct event *e, const void *arg) { return e->batch == *(const uint32_t *)arg; }

static void show_batch(struct model *m, uint32_t batch) {
  for (size_t i = 0; i < m->events; i++)
    if (of_batch(&m->event[i], &batch)) m->event[i].hidden = false;
}

static void choose_producer(struct world *w, struct pending *p, tally_append_item *item,
                            struct producer marks[PRODUCERS]) {
  *p = (struct pending){.batch = w->batch, .producer = (int)below(w, PRODUCERS + 1) - 1};
  if (p->producer < 0) return;
  struct producer *m = &marks[p->producer];
  p->before = *m;
  if (!m->epoch || once_in(w, 40))
    *m = (struct producer){m->epoch + 1, 1};
  else
    m->sequence++;
  p->after = *m;
  item->options.producer = producer_name(p->producer);
  item->options.epoch = m->epoch;
  item->options.sequence = m->sequence;
}

static void take_receipt(struct world *w, const tally_append_item *item, struct pending *p) {
  require(!item->receipt.duplicate, "a new batch is no duplicate");
  show_batch(&w->model, p->batch);
  p->acknowledged = true;
  model_pend(&w->model, p);
  if (p->producer >= 0) w->model.producer[p->producer] = p->after;
  if (p->producer >= 0) keep_repeat(w, item, p);
}

/* Refused before any byte of it is written: it can never come to light. */
static void take_refusal(struct world *w, const tally_append_item *item, const struct offer *o) {
  require(o->late >= 0, "a batch is refused: %s", item->error.text);
  require(item->error.row == o->late, "row %lld is too late, not %lld", (long long)o->late,
          (long long)item->error.row);
  model_drop(&w->model, of_batch, &o->pending.batch);
}

/* What the store said of each batch of a group goes into the model. The result of the last one that a fault
 * must be the reason of. */
static int take_results(struct world *w, const tally_append_item *item, struct offer *o, size_t count,
                        tally_error *error) {
  bool durable = false;
  int result = 0;
  for (size_t i = 0; i < count; i++) {
    if (item[i].result == TALLY_TOO_LATE) {
      take_refusal(w, &item[i], &o[i]);
      continue;
    }
    if (item[i].result) {
      model_pend(&w->model, &o[i].pending);
      result = item[i].result;
      *error = item[i].error;
      continue;
    }
    require(o[i].late < 0, "row %lld of a batch was too late", (long long)o[i].late);
    model_forget_failed(&w->model, o[0].pending.batch);
    take_receipt(w, &item[i], &o[i].pending);
    durable = durable || item[i].options.durability == TALLY_DISK;
  }
  if (durable) model_settle(&w->model);
  return result;
}

void step_append(struct world *w) {
  tally_append_item item[ITEMS_MOST] = {0};
  struct offer o[ITEMS_MOST];
  struct producer marks[PRODUCERS];
  size_t count = once_in(w, 5) ? 1 + below(w, ITEMS_MOST) : 1;
  memcpy(marks, w->model.producer, sizeof marks);
  for (size_t i = 0; i < count; i++) {
    o[i].bytes = tally_batch_new();
    w->batch++;
    choose_producer(w, &o[i].pending, &item[i], marks);
    make_batch(w, &item[i], &o[i]);
    int producer = o[i].pending.producer;
    if (o[i].late >= 0 && producer >= 0) marks[producer] = o[i].pending.before; /* it uses up no sequence */
  }
  arm(w);
  tally_append_group(&w->store, item, count);
  tally_error error = {0};
  int result = take_results(w, item, o, count, &error);
  for (size_t i = 0; i < count; i++) tally_batch_free(o[i].bytes);
  settle(w, result, &error);
}

/* A repeat is a duplicate, whatever became of its rows since. */
void step_repeat(struct world *w) {
  if (!w->repeats) return;
  const struct repeat *r = &w->repeat[below(w, w->repeats)];
  tally_append_options o = {.producer = producer_name(r->producer),
                            .epoch = r->mark.epoch,
                            .sequence = r->mark.sequence,
                            .durability = once_in(w, 2) ? TALLY_DISK : TALLY_OS};
  tally_receipt receipt;
  tally_error error;
  arm(w);
  int result = tally_append(&w->store, r->bytes, r->size, &o, &receipt, &error);
  if (!result) require(receipt.duplicate, "a repeat of %s is a duplicate", o.producer);
  settle(w, result, &error);
}

/* A gap, an epoch that is over, bytes that are no batch, an event of the future: nothing of it is in. */
void step_refused(struct world *w) {
  int producer = (int)below(w, PRODUCERS);
  struct producer m = w->model.producer[producer];
  uint64_t kind = below(w, 4);
  if (kind == 1 && m.epoch < 2) kind = 0;
  static const int codes[] = {TALLY_GAP, TALLY_STALE_EPOCH, TALLY_INVALID_BATCH, TALLY_INVALID_ROW};
  tally_batch *b = tally_batch_new();
  int64_t now = disk_os(w->disk)->now(disk_os(w->disk));
  struct event e;
  fill(w, &e, now);
  if (is_late(w, &e)) e.timestamp = now;
  if (kind == 3) e.timestamp = now + 2 * DAY_US;
  add_event(b, &e);
  const void *bytes;
  size_t size;
  tally_error error;
  require(tally_batch_finish(b, &bytes, &size, &error) == 0, "a batch is finished");
  tally_append_options o = {.producer = producer_name(producer),
                            .epoch = m.epoch ? m.epoch : 1,
                            .sequence = m.sequence + 1 + (kind == 0 ? 1 + below(w, 5) : 0)};
  if (kind == 1) o.epoch--, o.sequence = UINT64_C(1) << 40;
  int result = tally_append(&w->store, bytes, kind == 2 ? size / 2 : size, &o, NULL, &error);
  require(result == codes[kind], "refused with %s, not %s", tally_error_name(result),
          tally_error_name(codes[kind]));
  if (kind == 0) require(error.sequence == m.sequence + 1, "a gap names the next sequence");
  tally_batch_free(b);
}
