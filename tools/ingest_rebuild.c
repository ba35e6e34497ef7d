/* ingest_rebuild.c - reading the records of a batch again, because the store refuses some of them.
 *
 * A store refuses what a batch cannot know: times too far ahead of its clock, and times older than its
 * retention keeps. It names the first such row, but not where its limit is. So that a batch of a thousand of
 * them is not sent a thousand times:
 *  1. The others that must have failed the same check are left out with it: times at or after one that is too
 *     late for the clock, and times of the same service at or before one that is too old.
 *  2. What is left is put in the order of its times, the best ones first (the order of the rows in a batch
 * means nothing to the store). If a row is refused again it is the one next to the limit, and rule 1 leaves
 * out all others. */
#include "tools/ingest_send.h"

#include <stdlib.h>
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

/* Goes to the record of the row that was refused, which is below batch->rows. */
static int again_find(struct again *a, int64_t row) {
  const uint32_t *order = (const uint32_t *)(const void *)a->batch->order.data;
  bool ordered = a->batch->order.size > 0;
  for (int64_t i = 0;; i++) {
    enum record_kind kind = again_next(a);
    if (kind == RECORD_FAILED) return a->error->code;
    if (kind == RECORD_END)
      return fail(a->error, TALLY_PROTOCOL, "row %lld of a batch cannot be found again: report this",
                  (long long)row);
    if (ordered ? a->current == order[row] : i == row) return TALLY_OK;
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

/* ------------------------------------------------------------------ the rest in order */

/* A row that stays. */
struct kept {
  int64_t key; /* ascending: the best first */
  uint32_t place;
  size_t start, end;
  uint64_t line;
};

static int by_key(const void *left, const void *right) {
  const struct kept *a = left, *b = right;
  if (a->key != b->key) return a->key < b->key ? -1 : 1;
  return a->place < b->place ? -1 : 1;
}

/* Leaves out what is refused, and lists what stays. */
static int sift(struct again *a, const struct refused *r, struct buffer *kept,
                void (*skipped)(void *arg, const struct ingest_batch *batch, const struct problem *problem),
                void *arg) {
  enum record_kind kind;
  while ((kind = again_next(a)) == RECORD_ROW) {
    if (is_refused(r, a)) {
      struct problem problem;
      if (!batch_drop(a->batch, a->current)) return fail_memory(a->error, "a list of skipped rows");
      blame(a, r->error, &problem);
      skipped(arg, a->batch, &problem);
      continue;
    }
    int64_t time = a->record.event.timestamp;
    struct kept k = {0, a->current, a->record.start, a->record.end, a->record.line};
    if (future(r->error)) k.key = time;
    if (r->error->code == TALLY_TOO_LATE) k.key = -time;
    buffer_append(kept, &k, sizeof k);
    if (kept->failed) return fail_memory(a->error, "a list of rows");
  }
  return kind == RECORD_FAILED ? a->error->code : TALLY_OK;
}

/* Reads the one record again and adds it. */
static int add_kept(struct again *a, const struct kept *k, tally_batch *builder) {
  struct problem unused;
  char *end = (char *)a->batch->text.data + k->end, behind = *end;
  parser_text(&a->parser, (char *)a->batch->text.data, k->end, true, k->start, k->line);
  enum record_kind kind = parser_next(&a->parser, &a->record, &unused);
  if (kind == RECORD_ROW) kind = parser_add(&a->parser, builder, &a->record, &unused, a->error);
  *end = behind; /* the parser has put the end of its text there */
  if (kind == RECORD_ROW) return TALLY_OK;
  return kind == RECORD_FAILED && a->error->code ? a->error->code : fail_memory(a->error, "a record");
}

static int add_all(struct again *a, struct buffer *kept, tally_batch *builder) {
  struct kept *rows = (struct kept *)(void *)kept->data;
  size_t count = kept->size / sizeof *rows;
  if (count) qsort(rows, count, sizeof *rows, by_key);
  buffer_clear(&a->batch->order);
  for (size_t i = 0; i < count; i++) {
    a->error->code = TALLY_OK;
    int code = add_kept(a, &rows[i], builder);
    if (code) return code;
    buffer_append(&a->batch->order, &rows[i].place, sizeof rows[i].place);
  }
  return a->batch->order.failed ? fail_memory(a->error, "a list of rows") : TALLY_OK;
}

int batch_without_refused(struct ingest_batch *batch, struct source_options *options, tally_batch *builder,
                          const tally_error *refused,
                          void (*skipped)(void *arg, const struct ingest_batch *batch,
                                          const struct problem *problem),
                          void *arg, tally_error *error) {
  struct refused r;
  struct again a;
  struct buffer kept = {0};
  int code = find_refused(batch, options, refused, &r, error);
  if (code) return code;
  tally_batch_reset(builder);
  again_start(&a, batch, options, error);
  code = sift(&a, &r, &kept, skipped, arg);
  if (!code) code = add_all(&a, &kept, builder);
  parser_free(&a.parser);
  buffer_free(&kept);
  return code ? code : batch_build(batch, builder, error);
}
