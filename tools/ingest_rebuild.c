/* ingest_rebuild.c - reading the records of a batch again, because the store refuses some of them.
 *
 * A store refuses what a batch cannot know: times too far ahead of its clock, and times older than its
 * retention keeps. It names the first such row. The others that must have failed the same check are left out
 * with it, so that a batch of a thousand of them is not sent a thousand times: times at or after one that is
 * too late for the clock, and times of the same service at or before one that is too old. */
#include "tools/ingest_send.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"

#define FUTURE_TEXT                                                                                          \
  "it is further ahead of the store's clock than max_future allows: correct it, or the clock, or raise "     \
  "max_future"
#define LATE_TEXT "it is older than what the store's retention keeps: leave it out, or keep more"

/* The records of a batch, one after the other. */
struct again {
  struct ingest_batch *batch;
  struct parser parser;
  struct record record;
  uint32_t next, current; /* places of records */
  tally_error *error;
};

static void again_start(struct again *a, struct ingest_batch *b, struct source_options *options,
                        tally_error *error) {
  *a = (struct again){.batch = b, .error = error};
  parser_init(&a->parser, b->file, options);
  parser_text(&a->parser, (char *)b->text.data, b->end, true, b->first, b->line);
}

/* The next record that is in the batch: RECORD_ROW, RECORD_END or RECORD_FAILED. */
static enum record_kind again_next(struct again *a) {
  struct problem unused;
  for (;;) {
    enum record_kind kind = parser_next(&a->parser, &a->record, &unused);
    if (kind == RECORD_FAILED) fail_memory(a->error, "a record");
    if (kind == RECORD_END || kind == RECORD_FAILED) return kind;
    a->current = a->next++;
    if (!batch_dropped(a->batch, a->current)) return RECORD_ROW;
  }
}

/* Goes to the row that was refused. */
static int again_find(struct again *a, int64_t row) {
  for (int64_t i = 0;; i++) {
    enum record_kind kind = again_next(a);
    if (kind == RECORD_FAILED) return a->error->code;
    if (kind == RECORD_END)
      return fail(a->error, TALLY_PROTOCOL, "the store refuses row %lld of a batch of %u: report this",
                  (long long)row, a->batch->rows);
    if (i == row) return TALLY_OK;
  }
}

/* What the store refuses. */
struct refused {
  const tally_error *error;
  uint32_t place;
  int64_t timestamp;
  tally_text service; /* in storage */
  char storage[512];
};

static bool future(const tally_error *e) {
  return e->code == TALLY_INVALID_ROW && e->column == TALLY_COL_TIMESTAMP;
}

static void remember(struct refused *r, const struct again *a, const tally_error *error) {
  const tally_text *service = &a->record.event.service_name;
  *r = (struct refused){.error = error, .place = a->current, .timestamp = a->record.event.timestamp};
  if (service->data && service->size <= sizeof r->storage) {
    memcpy(r->storage, service->data, service->size);
    r->service = (tally_text){r->storage, service->size};
  }
}

static bool same_service(const struct refused *r, const tally_event *event) {
  if (!r->service.data || !event->service_name.data) return !r->service.data && !event->service_name.data;
  return r->service.size == event->service_name.size &&
         memcmp(r->service.data, event->service_name.data, r->service.size) == 0;
}

static bool is_refused(const struct refused *r, const struct again *a) {
  const tally_event *event = &a->record.event;
  if (a->current == r->place) return true;
  if (future(r->error)) return event->timestamp >= r->timestamp;
  return r->error->code == TALLY_TOO_LATE && event->timestamp <= r->timestamp && same_service(r, event);
}

static void blame(struct again *a, const tally_error *refused, struct problem *problem) {
  bool late = refused->code == TALLY_TOO_LATE;
  int column = late ? TALLY_COL_TIMESTAMP : refused->column;
  const char *reason = future(refused) ? FUTURE_TEXT : late ? LATE_TEXT : refused->text;
  if (a->batch->file->format == INPUT_CSV)
    csv_blame(&a->parser.as.csv, &a->record, column, reason, problem);
  else
    problem_set(problem, a->record.line, column < 0 ? NULL : tally_column_name(column), "%s", reason);
}

int batch_blame(struct ingest_batch *batch, struct source_options *options, const tally_error *refused,
                struct problem *problem, tally_error *error) {
  struct again a;
  again_start(&a, batch, options, error);
  int code = again_find(&a, refused->row);
  if (!code) blame(&a, refused, problem);
  parser_free(&a.parser);
  return code;
}

static int find_refused(struct ingest_batch *batch, struct source_options *options,
                        const tally_error *refused, struct refused *r, tally_error *error) {
  struct again a;
  again_start(&a, batch, options, error);
  int code = again_find(&a, refused->row);
  if (!code) remember(r, &a, refused);
  parser_free(&a.parser);
  return code;
}

int batch_without_refused(struct ingest_batch *batch, struct source_options *options, tally_batch *builder,
                          const tally_error *refused,
                          void (*skipped)(void *arg, const struct ingest_batch *batch,
                                          const struct problem *problem),
                          void *arg, tally_error *error) {
  struct refused r;
  struct again a;
  struct problem problem;
  enum record_kind kind;
  int code = find_refused(batch, options, refused, &r, error);
  if (code) return code;
  tally_batch_reset(builder);
  again_start(&a, batch, options, error);
  while ((kind = again_next(&a)) == RECORD_ROW) {
    if (!is_refused(&r, &a)) {
      if (parser_add(&a.parser, builder, &a.record, &problem, error) == RECORD_ROW) continue;
      kind = RECORD_FAILED; /* the row was good before: no memory */
      break;
    }
    if (!batch_drop(batch, a.current)) {
      fail_memory(error, "a list of skipped rows");
      kind = RECORD_FAILED;
      break;
    }
    blame(&a, refused, &problem);
    skipped(arg, batch, &problem);
  }
  parser_free(&a.parser);
  return kind == RECORD_FAILED ? error->code : batch_build(batch, builder, error);
}
