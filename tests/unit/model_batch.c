/* Laws of the batch's bytes: model/batch.h and the builder of tally.h, against docs/format/batch.md. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "model/batch.h"
#include "model/batch_builder.h"
#include "support/allocations.h"
#include "unit/model_random.h"

#define BIT(column) (1u << (column))
#define TEXT(literal) ((tally_text){literal, sizeof(literal) - 1})
#define ALL_NUMBERS 0x7E0u /* request_size .. cost */

/* ------------------------------------------------------------------ events and their reading back */

static const char *const samples[] = {"",    "a",           "user_00000001",
                                      "x y", "caf\xC3\xA9", "\xF0\x9F\x98\x80\xF0\x9F\x98\x80",
                                      "GET", "POST",        "/v1/chat"};

static tally_text random_text(unsigned variety, char *room) {
  uint64_t pick = random_below(variety + 1);
  if (pick == 0) return (tally_text){NULL, 0};
  if (pick <= sizeof samples / sizeof *samples)
    return (tally_text){samples[pick - 1], strlen(samples[pick - 1])};
  return (tally_text){room, (size_t)sprintf(room, "t%" PRIu64, pick)};
}

/* How a random batch is: which columns may have values and how far they reach. */
struct shape {
  uint32_t columns, null_odds; /* a value is NULL once in null_odds; 0: never */
  unsigned variety, bits;
};

static struct shape random_shape(void) {
  struct shape s;
  s.columns = (uint32_t)random_next() | (random_below(3) ? UINT32_MAX : 0);
  s.null_odds = random_below(2) ? 0 : 1 + (uint32_t)random_below(6);
  s.variety = 1 + (unsigned)random_below(random_below(2) ? 12 : 3000);
  s.bits = (unsigned)random_below(64);
  return s;
}

static bool has(const struct shape *s, int column) {
  return (s->columns & BIT(column)) && !(s->null_odds && random_below(s->null_odds) == 0);
}

static int64_t random_bits(unsigned bits) { return (int64_t)(random_next() << (63 - bits)) >> (63 - bits); }

static tally_event random_event(const struct shape *s, char room[5][64]) {
  tally_event e = {0};
  e.timestamp = (int64_t)(random_next() >> (64 - (s->bits > 57 ? 57 : s->bits ? s->bits : 1)));
  tally_text *texts[4] = {&e.user_id, &e.service_name, &e.endpoint, &e.method};
  for (int i = 0; i < 4; i++)
    if (has(s, 1 + i)) *texts[i] = random_text(s->variety, room[i]);
  int32_t *numbers[5] = {&e.request_size, &e.response_size, &e.duration_ms, &e.status_code, &e.tokens_used};
  for (int i = 0; i < 5; i++) {
    *numbers[i] = (int32_t)random_bits(s->bits % 32);
    if (has(s, TALLY_COL_REQUEST_SIZE + i)) e.present |= BIT(TALLY_COL_REQUEST_SIZE + i);
  }
  e.cost = random_bits(s->bits % 63);
  if (e.cost > COST_MAX || e.cost < -COST_MAX) e.cost = 0;
  if (has(s, TALLY_COL_COST)) e.present |= BIT(TALLY_COL_COST);
  if (has(s, TALLY_COL_METADATA)) {
    static const char *const forms[] = {"{}", "{\"k\":%" PRIu64 "}",
                                        "{\"region\":\"eu\",\"req\":\"%08" PRIx64 "\"}"};
    const char *form = forms[random_below(3)];
    e.metadata = (tally_text){room[4], (size_t)snprintf(room[4], 64, form, random_next() >> 32)};
  }
  return e;
}

static void check_text(const struct batch_column *c, uint32_t row, tally_text expected, int column) {
  cr_assert_eq(batch_valid(c, row), expected.data != NULL, "row %u, column %d", row, column);
  if (!expected.data) return;
  int64_t index;
  batch_values(c, row, 1, &index);
  cr_assert_lt((uint64_t)index, c->entries);
  size_t at = 0;
  for (int64_t i = 0; i < index; i++) at += load16(c->sizes + 2 * i);
  cr_assert_eq(load16(c->sizes + 2 * index), expected.size, "row %u, column %d", row, column);
  cr_assert(memcmp(c->texts + at, expected.data, expected.size) == 0, "row %u, column %d", row, column);
}

static void check_number(const struct batch_column *c, uint32_t row, bool present, int64_t expected,
                         int column) {
  cr_assert_eq(batch_valid(c, row), present, "row %u, column %d", row, column);
  if (!present) return;
  int64_t value;
  batch_values(c, row, 1, &value);
  cr_assert_eq(value, expected, "row %u, column %d", row, column);
}

static size_t check_metadata(const struct batch *batch, uint32_t row, tally_text expected, size_t at) {
  const struct batch_column *c = &batch->column[TALLY_COL_METADATA];
  check_number(c, row, expected.data != NULL, (int64_t)expected.size, TALLY_COL_METADATA);
  if (!expected.data) return at;
  cr_assert(memcmp(batch->metadata + at, expected.data, expected.size) == 0, "row %u", row);
  return at + expected.size;
}

static void check_event(const struct batch *batch, uint32_t row, const tally_event *e, size_t *metadata_at) {
  const tally_text texts[4] = {e->user_id, e->service_name, e->endpoint, e->method};
  const int64_t numbers[6] = {e->request_size, e->response_size, e->duration_ms,
                              e->status_code,  e->tokens_used,   e->cost};
  check_number(&batch->column[0], row, true, e->timestamp, 0);
  for (int i = 0; i < 4; i++) check_text(&batch->column[1 + i], row, texts[i], 1 + i);
  for (int i = 0; i < 6; i++)
    check_number(&batch->column[5 + i], row, e->present & BIT(5 + i), numbers[i], 5 + i);
  *metadata_at = check_metadata(batch, row, e->metadata, *metadata_at);
}

/* batch_values in one piece, and in pieces, gives what it gives row by row. */
static void check_values(const struct batch *batch) {
  int64_t *all = malloc(batch->rows * sizeof *all), one;
  for (int column = 0; column < COLUMNS; column++) {
    const struct batch_column *c = &batch->column[column];
    if (c->absent) continue;
    uint32_t cut = (uint32_t)random_below(batch->rows + 1);
    batch_values(c, 0, cut, all);
    batch_values(c, cut, batch->rows - cut, all + cut);
    for (uint32_t i = 0; i < batch->rows; i++) {
      batch_values(c, i, 1, &one);
      cr_assert_eq(one, all[i]);
    }
  }
  free(all);
}

static void round_trip(tally_batch *b, struct batch_scratch *scratch, uint32_t rows) {
  struct shape shape = random_shape();
  tally_event *events = malloc(rows * sizeof *events);
  char(*rooms)[5][64] = malloc(rows * sizeof *rooms);
  tally_error error;
  tally_batch_reset(b);
  for (uint32_t i = 0; i < rows; i++) {
    events[i] = random_event(&shape, rooms[i]);
    int code = tally_batch_add(b, &events[i], &error);
    if (code == TALLY_INVALID_ROW) { /* method is short: some samples do not fit */
      cr_assert_eq(error.column, TALLY_COL_METHOD, "%s", error.text);
      events[i].method = (tally_text){NULL, 0};
      code = tally_batch_add(b, &events[i], &error);
    }
    cr_assert_eq(code, TALLY_OK, "%s", error.text);
    cr_assert_eq(tally_batch_rows(b), i + 1);
  }
  const void *bytes;
  size_t size;
  struct batch batch;
  cr_assert_eq(tally_batch_finish(b, &bytes, &size, &error), TALLY_OK, "%s", error.text);
  cr_assert_eq(batch_open(bytes, size, scratch, &batch, &error), TALLY_OK, "%s", error.text);
  cr_assert_eq(batch_check(&batch, INT64_MAX, &error), TALLY_OK, "%s", error.text);
  cr_assert_eq(batch.rows, rows);
  size_t at = 0;
  for (uint32_t i = 0; i < rows; i++) check_event(&batch, i, &events[i], &at);
  cr_assert_eq(at, batch.metadata_size);
  check_values(&batch);
  free(rooms);
  free(events);
}

Test(model_batch, what_goes_in_comes_out) {
  random_start();
  tally_batch *b = tally_batch_new();
  struct batch_scratch scratch = {0};
  for (int i = 0; i < 300; i++) round_trip(b, &scratch, 1 + (uint32_t)random_below(40));
  for (int i = 0; i < 15; i++) round_trip(b, &scratch, 1 + (uint32_t)random_below(5000));
  tally_batch_free(b);
  batch_scratch_free(&scratch);
}

/* ------------------------------------------------------------------ packing */

static tally_event plain_event(int64_t timestamp) {
  tally_event e = {.timestamp = timestamp, .present = 0};
  return e;
}

static struct batch open_built(tally_batch *b, struct batch_scratch *scratch, size_t *size) {
  const void *bytes;
  tally_error error;
  struct batch batch;
  cr_assert_eq(tally_batch_finish(b, &bytes, size, &error), TALLY_OK, "%s", error.text);
  cr_assert_eq(batch_open(bytes, *size, scratch, &batch, &error), TALLY_OK, "%s", error.text);
  cr_assert_eq(batch_check(&batch, INT64_MAX, &error), TALLY_OK, "%s", error.text);
  return batch;
}

/* Each column in its fewest bytes; finishing twice gives the same; adding behind it goes on. */
Test(model_batch, columns_are_packed) {
  tally_batch *b = tally_batch_new();
  struct batch_scratch scratch = {0};
  size_t size, again;
  tally_error error;
  tally_event e = plain_event(1700000000000000);
  e.present = BIT(TALLY_COL_REQUEST_SIZE) | BIT(TALLY_COL_STATUS_CODE) | BIT(TALLY_COL_COST);
  e.status_code = 200;
  e.request_size = -3;
  e.cost = -COST_MAX;
  cr_assert_eq(tally_batch_add(b, &e, &error), TALLY_OK);
  e.timestamp += 0xFFFFFF;
  e.request_size = 252;
  e.cost = COST_MAX;
  cr_assert_eq(tally_batch_add(b, &e, &error), TALLY_OK);
  struct batch batch = open_built(b, &scratch, &size);
  cr_assert_eq(batch.column[TALLY_COL_TIMESTAMP].width, 3);
  cr_assert_eq(batch.column[TALLY_COL_STATUS_CODE].width, 0);
  cr_assert_eq(batch.column[TALLY_COL_REQUEST_SIZE].width, 1);
  cr_assert_eq(batch.column[TALLY_COL_COST].width, 8);
  cr_assert_null(batch.column[TALLY_COL_REQUEST_SIZE].valid);
  for (int c = 0; c < COLUMNS; c++)
    cr_assert_eq(batch.column[c].absent, c != TALLY_COL_TIMESTAMP && !(e.present & BIT(c)));
  cr_assert_eq(size, 304 + 2 * (3 + 0 + 1 + 8));
  open_built(b, &scratch, &again);
  cr_assert_eq(size, again);
  e.present = 0;
  e.cost = INT64_MAX; /* NULL now, so without meaning */
  e.request_size = INT32_MIN;
  cr_assert_eq(tally_batch_add(b, &e, &error), TALLY_OK);
  batch = open_built(b, &scratch, &again);
  cr_assert_eq(load64(batch.column[TALLY_COL_COST].values + 2 * 8), 0, "NULL is stored as 0");
  cr_assert_eq(batch.column[TALLY_COL_REQUEST_SIZE].values[2], 0, "NULL is stored as 0");
  cr_assert_eq(batch.rows, 3);
  cr_assert(batch.column[TALLY_COL_COST].valid);
  cr_assert_eq(again, 304 + 3 * (3 + 0 + 1 + 8) + 3);
  tally_batch_reset(b);
  const void *bytes;
  cr_assert_eq(tally_batch_finish(b, &bytes, &size, &error), TALLY_USAGE);
  cr_assert_eq(tally_batch_finish(b, &bytes, &size, NULL), TALLY_USAGE);
  tally_batch_free(b);
  tally_batch_free(NULL);
  batch_scratch_free(&scratch);
}

/* Metadata is compressed only where that saves a tenth. */
Test(model_batch, metadata_is_compressed_where_it_pays) {
  random_start();
  tally_batch *b = tally_batch_new();
  struct batch_scratch scratch = {0};
  tally_error error;
  for (int pays = 0; pays < 2; pays++) {
    size_t raw = 0, size;
    tally_batch_reset(b);
    for (int i = 0; i < 1000; i++) {
      char text[64];
      int n = 0;
      n += sprintf(text, "{\"");
      for (int j = 0; j < 40; j++) text[n++] = pays ? 'x' : (char)('#' + random_below(57));
      n += sprintf(text + n, "\":0}");
      tally_event e = plain_event(i);
      e.metadata = (tally_text){text, (size_t)n};
      raw += (size_t)n;
      cr_assert_eq(tally_batch_add(b, &e, &error), TALLY_OK, "%s", error.text);
    }
    struct batch batch = open_built(b, &scratch, &size);
    cr_assert_eq(batch.metadata_size, raw);
    if (pays) cr_assert_lt(size, raw / 2);
    cr_assert_eq(batch.metadata >= (const char *)batch.bytes &&
                     batch.metadata < (const char *)batch.bytes + size,
                 !pays);
  }
  tally_batch_free(b);
  batch_scratch_free(&scratch);
}

/* ------------------------------------------------------------------ refusing rows in the builder */

static char *repeat(const char *unit, size_t count) {
  size_t size = strlen(unit);
  char *text = malloc(size * count + 1);
  for (size_t i = 0; i < count; i++) memcpy(text + i * size, unit, size);
  text[size * count] = '\0';
  return text;
}

static void set_text(tally_event *e, int column, tally_text text) {
  tally_text *texts[4] = {&e->user_id, &e->service_name, &e->endpoint, &e->method};
  *(column == TALLY_COL_METADATA ? &e->metadata : texts[column - 1]) = text;
}

static void check_refused(tally_batch *b, const tally_event *e, int column, const char *part) {
  tally_error error;
  uint32_t rows = tally_batch_rows(b);
  cr_assert_eq(tally_batch_add(b, e, &error), TALLY_INVALID_ROW, "column %d", column);
  cr_assert_eq(error.code, TALLY_INVALID_ROW);
  cr_assert_eq(error.row, rows);
  cr_assert_eq(error.column, column, "%s", error.text);
  cr_assert(strstr(error.text, part), "%s", error.text);
  cr_assert(strstr(error.text, tally_column_name(column)), "%s", error.text);
  cr_assert_eq(tally_batch_rows(b), rows);
}

static void check_text_limits(tally_batch *b, int column, size_t limit) {
  static const char *const units[] = {"x", "\xC3\xA9", "\xF0\x9F\x98\x80"};
  tally_error error;
  for (int i = 0; i < 3; i++) {
    tally_event e = plain_event(1);
    char *text = repeat(units[i], limit + 1);
    set_text(&e, column, (tally_text){text, strlen(text)});
    check_refused(b, &e, column, "characters, the limit is");
    set_text(&e, column, (tally_text){text, strlen(units[i]) * limit});
    cr_assert_eq(tally_batch_add(b, &e, &error), TALLY_OK, "%s", error.text);
    free(text);
  }
  tally_event e = plain_event(1);
  set_text(&e, column, (tally_text){"a\0b", 3});
  check_refused(b, &e, column, "byte 1 is NUL");
  set_text(&e, column, (tally_text){"ab\xC3", 3});
  check_refused(b, &e, column, "byte 2 is not valid UTF-8");
}

static void check_metadata_limits(tally_batch *b) {
  tally_error error;
  tally_event e = plain_event(1);
  e.metadata = TEXT("");
  check_refused(b, &e, TALLY_COL_METADATA, "JSON");
  e.metadata = TEXT("[1]");
  check_refused(b, &e, TALLY_COL_METADATA, "must start with {");
  size_t size = METADATA_BYTES + 1;
  char *text = malloc(size);
  memset(text, ' ', size);
  memcpy(text, "{}", 2);
  e.metadata = (tally_text){text, size};
  check_refused(b, &e, TALLY_COL_METADATA, "1048577 bytes, the limit is 1048576");
  e.metadata.size--;
  cr_assert_eq(tally_batch_add(b, &e, &error), TALLY_OK, "%s", error.text);
  free(text);
}

Test(model_batch, the_builder_refuses_what_breaks_a_limit_and_stays_as_it_was) {
  tally_batch *b = tally_batch_new();
  struct batch_scratch scratch = {0};
  tally_error error;
  static const size_t limits[] = {255, 100, 255, 10};
  for (int i = 0; i < 4; i++) check_text_limits(b, 1 + i, limits[i]);
  tally_event e = plain_event(-1);
  check_refused(b, &e, TALLY_COL_TIMESTAMP, "1970");
  e.timestamp = TIME_MAX + 1;
  check_refused(b, &e, TALLY_COL_TIMESTAMP, "9999");
  e.timestamp = TIME_MAX;
  cr_assert_eq(tally_batch_add(b, &e, &error), TALLY_OK);
  e.cost = COST_MAX + 1;
  cr_assert_eq(tally_batch_add(b, &e, &error), TALLY_OK, "cost is NULL here");
  e.present = ALL_NUMBERS;
  check_refused(b, &e, TALLY_COL_COST, "9,000,000,000");
  e.cost = -COST_MAX - 1;
  check_refused(b, &e, TALLY_COL_COST, "9,000,000,000");
  cr_assert_eq(tally_batch_add(b, &e, NULL), TALLY_INVALID_ROW);
  check_metadata_limits(b);

  /* new texts of a refused event leave no trace in the bytes */
  const void *bytes;
  size_t size, size_after;
  cr_assert_eq(tally_batch_finish(b, &bytes, &size, &error), TALLY_OK);
  e = plain_event(1);
  e.user_id = TEXT("never seen before");
  e.metadata = TEXT("{");
  check_refused(b, &e, TALLY_COL_METADATA, "JSON");
  e.method = TEXT("12345678901"); /* the lowest column is named */
  check_refused(b, &e, TALLY_COL_METHOD, "11 characters");
  cr_assert_eq(tally_batch_finish(b, &bytes, &size_after, &error), TALLY_OK);
  cr_assert_eq(size, size_after);
  struct batch batch = open_built(b, &scratch, &size);
  cr_assert_eq(batch.rows, tally_batch_rows(b));
  tally_batch_free(b);
  batch_scratch_free(&scratch);
}

Test(model_batch, a_full_batch_says_so_and_fits) {
  tally_batch *b = tally_batch_new();
  struct batch_scratch scratch = {0};
  tally_error error;
  size_t size;
  tally_event e = plain_event(5);
  for (uint32_t i = 0; i < TALLY_BATCH_ROWS; i++) cr_assert_eq(tally_batch_add(b, &e, &error), TALLY_OK);
  cr_assert_eq(tally_batch_add(b, &e, &error), TALLY_TOO_LARGE);
  cr_assert_eq(open_built(b, &scratch, &size).rows, TALLY_BATCH_ROWS);

  /* the largest row there is fits an empty batch; then bytes are the limit, whatever they hold */
  tally_batch_reset(b);
  char *text = repeat("\xF0\x9F\x98\x80", 255), *json = malloc(METADATA_BYTES);
  memset(json, ' ', METADATA_BYTES);
  memcpy(json, "{}", 2);
  e.user_id = e.endpoint = (tally_text){text, 1020};
  e.service_name = (tally_text){text, 400};
  e.method = (tally_text){text, 40};
  e.present = ALL_NUMBERS;
  e.metadata = (tally_text){json, METADATA_BYTES};
  uint32_t rows = 0;
  while (tally_batch_add(b, &e, &error) == TALLY_OK) rows++;
  cr_assert_eq(error.code, TALLY_TOO_LARGE, "%s", error.text);
  cr_assert_eq(rows, 3);
  cr_assert_eq(open_built(b, &scratch, &size).rows, rows);
  free(text);
  free(json);

  /* distinct texts with nothing to compress come close to the limit of bytes, never beyond it */
  tally_batch_reset(b);
  random_start();
  for (rows = 0;; rows++) {
    char room[64];
    e = plain_event((int64_t)random_below((uint64_t)TIME_MAX));
    e.user_id =
        (tally_text){room, (size_t)sprintf(room, "%032" PRIx64 "%016" PRIx64, random_next(), random_next())};
    e.present = ALL_NUMBERS;
    e.cost = random_next() & 1 ? COST_MAX : -COST_MAX;
    e.tokens_used = (int32_t)random_next();
    if (tally_batch_add(b, &e, &error)) break;
  }
  cr_assert_eq(error.code, TALLY_TOO_LARGE, "%s", error.text);
  cr_assert_eq(open_built(b, &scratch, &size).rows, rows);
  const struct dictionary *users = &b->dictionary[0];
  cr_assert_leq(size, batch_bound(rows, users->entries, users->texts.size, 0));
  cr_assert_leq(batch_bound(rows, users->entries, users->texts.size, 0), TALLY_BATCH_BYTES);
  cr_assert_gt(batch_bound(rows + 1, users->entries + 1, users->texts.size + 48, 0), TALLY_BATCH_BYTES);
  tally_batch_free(b);
  batch_scratch_free(&scratch);
}

/* Whichever allocation fails, the call says so, the rows that were there stay, and the next try works. */
Test(model_batch, every_allocation_may_fail) {
  struct batch_scratch scratch = {0};
  tally_error error;
  for (int limit = 0; limit < 60; limit++) {
    tally_batch *b = tally_batch_new();
    allocations_stop_after(limit);
    for (int i = 0; i < 1500; i++) {
      char user[24], json[32];
      tally_event e = plain_event(i);
      e.user_id = (tally_text){user, (size_t)sprintf(user, "user_%d", i)};
      e.metadata = (tally_text){json, (size_t)sprintf(json, "{\"i\":%d}", i)};
      int code = tally_batch_add(b, &e, &error);
      if (code) {
        cr_assert_eq(code, TALLY_NO_MEMORY, "%s", error.text);
        cr_assert_eq(tally_batch_rows(b), (uint32_t)i);
        allocations_left = 1000;
        cr_assert_eq(tally_batch_add(b, &e, &error), TALLY_OK, "%s", error.text);
      }
    }
    const void *bytes;
    size_t size;
    allocations_left = 0;
    cr_assert_eq(tally_batch_finish(b, &bytes, &size, &error), TALLY_NO_MEMORY);
    allocations_again();
    struct batch batch = open_built(b, &scratch, &size);
    cr_assert_eq(batch.rows, 1500);
    cr_assert_eq(batch.column[TALLY_COL_USER_ID].entries, 1500);
    if (limit == 0) {
      batch_scratch_free(&scratch);
      allocations_stop_after(0);
      cr_assert_eq(batch_open(batch.bytes, size, &scratch, &batch, &error), TALLY_NO_MEMORY);
      cr_assert_null(tally_batch_new());
      allocations_again();
      batch_scratch_free(&scratch);
    }
    tally_batch_free(b);
  }
  batch_scratch_free(&scratch);
}

Test(model_batch, columns_have_names) {
  for (int c = 0; c < COLUMNS; c++)
    cr_assert_eq(tally_column_number(tally_column_name(c), strlen(tally_column_name(c))), c);
  cr_assert_str_eq(tally_column_name(TALLY_COL_TOKENS_USED), "tokens_used");
  cr_assert_null(tally_column_name(-1));
  cr_assert_null(tally_column_name(COLUMNS));
  cr_assert_eq(tally_column_number("user", 4), -1);
  cr_assert_eq(tally_column_number("user_idx", 7), TALLY_COL_USER_ID);
  cr_assert_eq(tally_column_number("", 0), -1);
}
