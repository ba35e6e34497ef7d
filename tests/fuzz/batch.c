/* batch.c - fuzzes batch_open and batch_check: bytes that they accept have the meaning that a writer gives.
 *
 * Every row of an accepted batch is within the limits of the schema, as the batch builder sees them; and made
 * into a batch again by the builder, the rows are the same. */
#include <stdlib.h>

#include "fuzz/fuzz.h"
#include "model/batch.h"

/* The texts of a column by the dictionary's indexes, or of metadata by rows. */
struct texts {
  size_t *at;
};

static void texts_of(const struct batch *b, int column, struct texts *t) {
  const struct batch_column *c = &b->column[column];
  bool metadata = column == TALLY_COL_METADATA;
  uint32_t n = metadata ? b->rows : c->entries;
  t->at = calloc(n + 1, sizeof *t->at);
  if (!t->at) abort();
  int64_t length = 0;
  for (uint32_t i = 0; i < n; i++) {
    if (metadata && !c->absent) batch_values(c, i, 1, &length);
    bool there = !metadata || batch_valid(c, i);
    t->at[i + 1] = t->at[i] + (!there ? 0 : metadata ? (size_t)length : load16(c->sizes + 2 * (size_t)i));
  }
  require(t->at[n] == (c->absent  ? 0
                       : metadata ? b->metadata_size
                                  : c->texts_size),
          "lengths of column %d add up", column);
}

static tally_text text_of(const struct batch *b, int column, const struct texts *t, uint32_t row) {
  const struct batch_column *c = &b->column[column];
  if (!batch_valid(c, row)) return (tally_text){NULL, 0};
  int64_t i = row;
  if (column != TALLY_COL_METADATA) batch_values(c, row, 1, &i);
  require(i >= 0 && i < (column == TALLY_COL_METADATA ? b->rows : c->entries), "index %lld of row %u",
          (long long)i, row);
  const char *texts = column == TALLY_COL_METADATA ? b->metadata : c->texts;
  return (tally_text){texts ? texts + t->at[i] : "", t->at[i + 1] - t->at[i]};
}

static const int text_columns[] = {TALLY_COL_USER_ID, TALLY_COL_SERVICE_NAME, TALLY_COL_ENDPOINT,
                                   TALLY_COL_METHOD, TALLY_COL_METADATA};

struct rows_of {
  const struct batch *batch;
  struct texts texts[5];
};

static void event_of(const struct rows_of *r, uint32_t row, tally_event *e) {
  const struct batch *b = r->batch;
  *e = (tally_event){0};
  tally_text *texts[] = {&e->user_id, &e->service_name, &e->endpoint, &e->method, &e->metadata};
  int32_t *numbers[] = {&e->request_size, &e->response_size, &e->duration_ms, &e->status_code,
                        &e->tokens_used};
  for (int i = 0; i < 5; i++) *texts[i] = text_of(b, text_columns[i], &r->texts[i], row);
  for (int c = 0; c < COLUMNS; c++) {
    int64_t v;
    if (column_kind(c) == KIND_TEXT || c == TALLY_COL_METADATA || !batch_valid(&b->column[c], row)) continue;
    batch_values(&b->column[c], row, 1, &v);
    if (c == TALLY_COL_TIMESTAMP)
      e->timestamp = v;
    else if (c == TALLY_COL_COST)
      e->cost = v;
    else
      require(v == (*numbers[c - TALLY_COL_REQUEST_SIZE] = (int32_t)v), "row %u column %d is 32 bits", row,
              c);
    e->present |= 1u << c;
  }
}

static bool same_text(tally_text a, tally_text b) {
  return !a.data == !b.data && a.size == b.size && (!a.size || memcmp(a.data, b.data, a.size) == 0);
}

static bool same_event(const tally_event *a, const tally_event *b) {
  return a->timestamp == b->timestamp && same_text(a->user_id, b->user_id) &&
         same_text(a->service_name, b->service_name) && same_text(a->endpoint, b->endpoint) &&
         same_text(a->method, b->method) && same_text(a->metadata, b->metadata) &&
         a->request_size == b->request_size && a->response_size == b->response_size &&
         a->duration_ms == b->duration_ms && a->status_code == b->status_code &&
         a->tokens_used == b->tokens_used && a->cost == b->cost &&
         (a->present | 1u << TALLY_COL_TIMESTAMP) == (b->present | 1u << TALLY_COL_TIMESTAMP);
}

static void begin_rows(const struct batch *b, struct rows_of *r) {
  r->batch = b;
  for (int i = 0; i < 5; i++) texts_of(b, text_columns[i], &r->texts[i]);
}
static void end_rows(struct rows_of *r) {
  for (int i = 0; i < 5; i++) free(r->texts[i].at);
}

static void check_meaning(const struct batch *b) {
  struct rows_of r, again;
  struct batch made;
  struct batch_scratch scratch = {0};
  tally_error e = {0};
  tally_batch *builder = tally_batch_new();
  if (!builder) abort();
  begin_rows(b, &r);
  const void *bytes;
  size_t size;
  int result = 0;
  for (uint32_t row = 0; row < b->rows && !result; row++) {
    tally_event event;
    event_of(&r, row, &event);
    result = tally_batch_add(builder, &event, &e);
    require(result == 0 || result == TALLY_TOO_LARGE, "a row that was accepted: %s", e.text);
  }
  if (!result) result = tally_batch_finish(builder, &bytes, &size, &e);
  if (!result) {
    require(batch_open(bytes, size, &scratch, &made, &e) == 0, "made again: %s", e.text);
    require(batch_check(&made, TIME_MAX, &e) == 0, "made again: %s", e.text);
    require(made.rows == b->rows, "rows made again: %u of %u", made.rows, b->rows);
    begin_rows(&made, &again);
    for (uint32_t row = 0; row < b->rows; row++) {
      tally_event x, y;
      event_of(&r, row, &x);
      event_of(&again, row, &y);
      require(same_event(&x, &y), "row %u made again is the same", row);
    }
    end_rows(&again);
  }
  end_rows(&r);
  batch_scratch_free(&scratch);
  tally_batch_free(builder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct batch_scratch scratch = {0};
  struct batch b;
  tally_error e = {0};
  fuzz_bound(4096, 255, size); /* LZ4 cannot make more of a byte */
  int result = batch_open(data, size, &scratch, &b, &e);
  if (!result) result = batch_check(&b, TIME_MAX, &e);
  require(!result || result == TALLY_INVALID_BATCH || result == TALLY_INVALID_ROW, "%d: %s", result, e.text);
  require(!result || *e.text, "a refusal has a text");
  fuzz_unbound();
  if (!result) check_meaning(&b);
  batch_scratch_free(&scratch);
  return 0;
}

/* The size in the header is that of the bytes, else nothing behind it is seen. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed) {
  size = LLVMFuzzerMutate(data, size, max);
  if (size >= 16 && fuzz_draw(&seed, 16)) {
    store32(data, 0x31424C54u);
    store16(data + 4, 1);
    store16(data + 6, 0);
    store32(data + 12, (uint32_t)size);
  }
  return size;
}
