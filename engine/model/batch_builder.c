/* batch_builder.c - adding events to a batch; the public functions of tally.h.
 *
 * Adding has three steps, so that a refusal leaves no trace: check every value (in column order: the
 * lowest column is named), reserve all memory, then commit, which cannot fail. A text that is in the
 * dictionary was checked when it came in, so the usual event costs one probe per text. */
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "model/batch.h"
#include "model/batch_builder.h"
#include "model/limits.h"

_Static_assert(BATCH_METADATA_RAW >= TALLY_BATCH_BYTES, "a batch within its bytes is within that limit too");

#define ROWS_AT_FIRST 1024u
/* Arrays start at different places of a page; equal places would all fall into one set of the cache. */
#define SKEW 192u

#define ALL_DOMAINS ((1u << DOMAINS) - 1)

/* What the check of an event found out, for the commit. */
struct checked {
  tally_text text[DOMAINS];
  struct dictionary_place place[DOMAINS];
  uint32_t mask;
  uint32_t fresh;          /* bit d: the text of domain d is new */
  uint64_t entries, texts; /* how many are, and their bytes */
};

tally_batch *tally_batch_new(void) {
  tally_batch *batch = mem_zalloc(1, sizeof *batch);
  if (!batch) return NULL;
  batch->in_all = ALL_COLUMNS;
  batch->unready = ALL_DOMAINS;
  batch->find = dictionary_find_best();
  batch->expect = dictionary_expect_best();
  return batch;
}

void tally_batch_free(tally_batch *batch) {
  if (!batch) return;
  for (int i = 0; i < DOMAINS; i++) dictionary_free(&batch->dictionary[i]);
  buffer_free(&batch->metadata);
  buffer_free(&batch->out);
  buffer_free(&batch->work);
  buffer_free(&batch->packed);
  ints_scratch_free(&batch->scratch);
  mem_free(batch->memory);
  mem_free(batch);
}

void tally_batch_reset(tally_batch *batch) {
  batch->rows = 0;
  batch->in_all = ALL_COLUMNS;
  batch->in_any = 0;
  for (int i = 0; i < DOMAINS; i++) dictionary_clear(&batch->dictionary[i]);
  batch->entries = batch->texts = 0;
  batch->unready = ALL_DOMAINS;
  buffer_clear(&batch->metadata);
  buffer_clear(&batch->out);
  json_shapes_clear(&batch->shapes);
}

uint32_t tally_batch_rows(const tally_batch *batch) { return batch->rows; }

/* ------------------------------------------------------------------ memory */

/* Takes `bytes` at *at, copies what the array holds there, and points it to its new place. */
static void *move_array(uint8_t **at, const void *old, size_t used, size_t bytes) {
  void *array = *at;
  if (used) memcpy(array, old, used);
  *at += bytes + SKEW;
  return array;
}

static bool grow_rows(tally_batch *b) {
  size_t capacity = b->capacity ? 2 * (size_t)b->capacity : ROWS_AT_FIRST, rows = b->rows;
  size_t row_size = sizeof **b->wide * 2 + sizeof **b->narrow * (COLUMNS - 2) + sizeof *b->mask;
  uint8_t *memory = mem_alloc(capacity * row_size + SKEW * (COLUMNS + 1));
  if (!memory) return false;
  uint8_t *at = memory;
  for (int c = 0; c < COLUMNS; c++) {
    if (column_wide(c))
      b->wide[c] = move_array(&at, b->wide[c], rows * sizeof **b->wide, capacity * sizeof **b->wide);
    else
      b->narrow[c] = move_array(&at, b->narrow[c], rows * sizeof **b->narrow, capacity * sizeof **b->narrow);
  }
  b->mask = move_array(&at, b->mask, rows * sizeof *b->mask, capacity * sizeof *b->mask);
  mem_free(b->memory);
  b->memory = memory;
  b->capacity = (uint32_t)capacity;
  return true;
}

static bool reserve(tally_batch *b) {
  if (b->rows == b->capacity && !grow_rows(b)) return false;
  if (!b->unready) return true;
  for (int i = 0; i < DOMAINS; i++)
    if (!dictionary_reserve(&b->dictionary[i])) return false;
  b->unready = 0;
  return true;
}

static inline bool reserve_bytes(struct buffer *buffer, size_t more) {
  if (more <= buffer->capacity - buffer->size) return true;
  buffer->failed = false;
  return buffer_reserve(buffer, more);
}

/* ------------------------------------------------------------------ checking */

#define INLINE static inline __attribute__((always_inline))

INLINE int check_text(tally_batch *b, int domain, struct checked *checked, tally_error *error) {
  const tally_text *text = &checked->text[domain];
  if (!text->data) return TALLY_OK;
  int column = domain_column(domain);
  checked->mask |= 1u << column;
  if (checked->place[domain].entry) return TALLY_OK;
  checked->fresh |= 1u << domain;
  checked->entries++;
  checked->texts += text->size;
  return limit_text(b->rows, column, text->data, text->size, error);
}

static int check_metadata(tally_batch *b, const tally_text *text, tally_error *error) {
  size_t wrong;
  if (text->size <= METADATA_BYTES && !json_shapes_check(&b->shapes, text->data, text->size, &wrong))
    return TALLY_OK;
  return limit_metadata(b->rows, text->data, text->size, error);
}

/* The functions that judge a value, and say what is wrong with it, are called for what is not plainly good.
 */
static int check_event(tally_batch *b, const tally_event *event, struct checked *checked,
                       tally_error *error) {
  const uint32_t numbers = (1u << (TALLY_COL_COST + 1)) - (1u << TALLY_COL_REQUEST_SIZE);
  checked->mask = (1u << TALLY_COL_TIMESTAMP) | (event->present & numbers);
  checked->text[0] = event->user_id;
  checked->text[1] = event->service_name;
  checked->text[2] = event->endpoint;
  checked->text[3] = event->method;
  checked->fresh = 0;
  checked->entries = checked->texts = 0;
  b->find(b->dictionary, checked->text, checked->place);
  int code = TALLY_OK;
  if ((uint64_t)event->timestamp > (uint64_t)TIME_MAX)
    code = limit_time(b->rows, event->timestamp, INT64_MAX, error);
  if (!code) code = check_text(b, 0, checked, error);
  if (!code) code = check_text(b, 1, checked, error);
  if (!code) code = check_text(b, 2, checked, error);
  if (!code) code = check_text(b, 3, checked, error);
  if (!code && event->present & 1u << TALLY_COL_COST && (event->cost < -COST_MAX || event->cost > COST_MAX))
    code = limit_cost(b->rows, event->cost, error);
  if (!code && event->metadata.data) {
    checked->mask |= 1u << TALLY_COL_METADATA;
    code = check_metadata(b, &event->metadata, error);
  }
  return code;
}
_Static_assert(DOMAINS == 4, "check_event and commit name each");

static size_t metadata_size(const tally_event *event) {
  return event->metadata.data ? event->metadata.size : 0;
}

static bool reserve_texts(tally_batch *b, const struct checked *checked) {
  for (int i = 0; i < DOMAINS; i++)
    if (checked->fresh >> i & 1 && !reserve_bytes(&b->dictionary[i].texts, checked->text[i].size))
      return false;
  return true;
}

/* Room in the batch for the event, and memory for its bytes? */
static int check_room(tally_batch *b, const tally_event *event, const struct checked *checked,
                      tally_error *error) {
  uint64_t entries = b->entries + checked->entries;
  uint64_t metadata = b->metadata.size + metadata_size(event);
  if (batch_bound((uint64_t)b->rows + 1, entries, b->texts + checked->texts, metadata) > TALLY_BATCH_BYTES)
    return fail(error, TALLY_TOO_LARGE, "the batch's %u rows leave no room for this one: finish it first",
                b->rows);
  bool room =
      reserve_bytes(&b->metadata, metadata_size(event)) && (!checked->fresh || reserve_texts(b, checked));
  return room ? TALLY_OK : fail_memory(error, "a batch");
}

/* ------------------------------------------------------------------ adding */

INLINE void commit_text(tally_batch *b, int domain, const struct checked *checked) {
  const tally_text *text = &checked->text[domain];
  const struct dictionary_place *place = &checked->place[domain];
  uint32_t number = 0;
  if (text->data)
    number = place->entry ? place->entry - 1 : dictionary_add(&b->dictionary[domain], place, text);
  b->narrow[domain_column(domain)][b->rows] = (int32_t)number;
}

static void commit(tally_batch *b, const tally_event *event, const struct checked *checked) {
  uint32_t row = b->rows;
  b->wide[TALLY_COL_TIMESTAMP][row] = event->timestamp;
  b->wide[TALLY_COL_COST][row] = event->cost;
  commit_text(b, 0, checked);
  commit_text(b, 1, checked);
  commit_text(b, 2, checked);
  commit_text(b, 3, checked);
  b->narrow[TALLY_COL_REQUEST_SIZE][row] = event->request_size;
  b->narrow[TALLY_COL_RESPONSE_SIZE][row] = event->response_size;
  b->narrow[TALLY_COL_DURATION_MS][row] = event->duration_ms;
  b->narrow[TALLY_COL_STATUS_CODE][row] = event->status_code;
  b->narrow[TALLY_COL_TOKENS_USED][row] = event->tokens_used;
  b->narrow[TALLY_COL_METADATA][row] = (int32_t)metadata_size(event);
  if (event->metadata.data) buffer_append(&b->metadata, event->metadata.data, event->metadata.size);
  b->mask[row] = (uint16_t)checked->mask;
  b->in_all &= checked->mask;
  b->in_any |= checked->mask;
  b->entries += checked->entries;
  b->texts += checked->texts;
  b->unready |= checked->fresh;
  b->rows = row + 1;
}

int tally_batch_add(tally_batch *batch, const tally_event *event, tally_error *error) {
  tally_error unwanted;
  if (!error) error = &unwanted;
  if (batch->rows == TALLY_BATCH_ROWS)
    return fail(error, TALLY_TOO_LARGE, "the batch has %u rows, the most there can be: finish it first",
                TALLY_BATCH_ROWS);
  if (!reserve(batch)) return fail_memory(error, "a batch");
  struct checked checked;
  int code = check_event(batch, event, &checked, error);
  if (!code) code = check_room(batch, event, &checked, error);
  if (!code) commit(batch, event, &checked);
  return code;
}

int tally_batch_finish(tally_batch *batch, const void **bytes, size_t *size, tally_error *error) {
  tally_error unwanted;
  if (!error) error = &unwanted;
  if (!batch->rows) return fail(error, TALLY_USAGE, "the batch is empty: add an event before finishing it");
  if (!batch_pack(batch)) return fail_memory(error, "the bytes of a batch");
  *bytes = batch->out.data;
  *size = batch->out.size;
  return TALLY_OK;
}
