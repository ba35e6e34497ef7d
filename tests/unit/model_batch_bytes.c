/* Laws of reading a batch's bytes without trust: naive writers are understood, damage is refused, and
 * the limits are checked row by row (docs/format/batch.md). */
#include <criterion/criterion.h>
#include <string.h>

#include "encoding/texts.h"
#include "model/batch.h"
#include "unit/model_random.h"

#define TEXT(literal) ((tally_text){literal, sizeof(literal) - 1})
#define PARTS 304u /* where the columns' parts start */

/* ------------------------------------------------------------------ a naive writer */

/* Width 8, base 0, one dictionary entry a row, metadata raw; as a stranger would write it from the page. */
struct naive {
  uint32_t rows;
  int64_t value[COLUMNS][8]; /* of the number columns; index or length of the others */
  uint8_t valid[COLUMNS];    /* bit i: row i is not NULL */
  uint8_t kind[COLUMNS];
  const char *text[COLUMNS][8]; /* dictionary entry i */
  uint16_t text_size[COLUMNS][8];
  uint32_t entries[COLUMNS];
  const char *metadata;
};

static bool packed; /* the naive writer packs all values and dictionaries */

static void put_part(struct buffer *parts, struct buffer *part) {
  cr_assert_not(part->failed);
  write32(parts, (uint32_t)part->size);
  buffer_append(parts, part->data, part->size);
  buffer_free(part);
}

static void packed_dictionary(const struct naive *n, int column, struct buffer *parts) {
  struct ints_scratch scratch = {0};
  struct buffer texts = {0}, part = {0};
  uint64_t at[9] = {0};
  for (uint32_t i = 0; i < n->entries[column]; i++) {
    buffer_append(&texts, n->text[column][i], n->text_size[column][i]);
    at[i + 1] = texts.size;
  }
  texts_encode(at, n->entries[column], (const char *)texts.data, &part, &scratch);
  put_part(parts, &part);
  buffer_free(&texts);
  ints_scratch_free(&scratch);
}

static void plain_dictionary(const struct naive *n, int column, struct buffer *parts) {
  for (uint32_t i = 0; i < n->entries[column]; i++) write16(parts, n->text_size[column][i]);
  for (uint32_t i = 0; i < n->entries[column]; i++)
    buffer_append(parts, n->text[column][i], n->text_size[column][i]);
}

static void naive_values(const struct naive *n, int column, struct buffer *parts) {
  struct ints_scratch scratch = {0};
  struct buffer part = {0};
  if (!packed) {
    for (uint32_t i = 0; i < n->rows; i++) write64(parts, (uint64_t)n->value[column][i]);
    return;
  }
  ints_encode(n->value[column], n->rows, &part, &scratch);
  put_part(parts, &part);
  ints_scratch_free(&scratch);
}

static void naive_column(const struct naive *n, int column, struct buffer *descriptors,
                         struct buffer *parts) {
  uint32_t texts = 0, raw = 0;
  bool dictionary = n->kind[column] && column_kind(column) == KIND_TEXT;
  if (n->kind[column] == 2) write8(parts, n->valid[column]);
  for (uint32_t i = 0; i < n->entries[column]; i++) texts += n->text_size[column][i];
  if (packed && dictionary)
    packed_dictionary(n, column, parts);
  else
    plain_dictionary(n, column, parts);
  if (n->kind[column]) naive_values(n, column, parts);
  if (column == TALLY_COL_METADATA && n->kind[column]) {
    raw = (uint32_t)strlen(n->metadata);
    buffer_text(parts, n->metadata);
    texts = raw;
  }
  write8(descriptors, n->kind[column]);
  write8(descriptors, n->kind[column] && !packed ? 8 : 0);
  write8(descriptors, 0);
  write8(descriptors, !packed || !n->kind[column] ? 0 : PACKED_VALUES | (dictionary ? PACKED_DICTIONARY : 0));
  write32(descriptors, n->entries[column]);
  write32(descriptors, texts);
  write32(descriptors, raw);
  write64(descriptors, 0);
}

static struct buffer naive_write(const struct naive *n) {
  struct buffer b = {0}, parts = {0};
  buffer_append(&b, "TLB1\1\0\0\0", 8);
  write32(&b, n->rows);
  write32(&b, 0);
  for (int column = 0; column < COLUMNS; column++) naive_column(n, column, &b, &parts);
  buffer_append(&b, parts.data, parts.size);
  store32(b.data + 12, (uint32_t)b.size);
  buffer_free(&parts);
  return b;
}

/* Three rows with a value of every kind, NULLs in the middle. */
static struct naive naive_make(void) {
  struct naive n = {.rows = 3, .metadata = "{\"a\":1}{}"};
  for (int c = 0; c < COLUMNS; c++) n.kind[c] = c == 0 ? 1 : 2;
  for (int c = 0; c < COLUMNS; c++) n.valid[c] = 5;
  for (int c = 1; c <= 4; c++) {
    n.entries[c] = 2;
    n.text[c][0] = "caf\xC3\xA9";
    n.text_size[c][0] = 5;
    n.text[c][1] = "";
    n.value[c][2] = 1;
  }
  for (int i = 0; i < 3; i++) n.value[0][i] = 1700000000000000 + i;
  for (int c = 5; c <= 9; c++) {
    n.value[c][0] = INT32_MIN;
    n.value[c][1] = INT64_MAX; /* NULL: without meaning */
    n.value[c][2] = INT32_MAX;
  }
  n.value[10][0] = -COST_MAX;
  n.value[10][2] = COST_MAX;
  n.value[11][0] = 7;
  n.value[11][2] = 2;
  return n;
}

static int read_naive(const struct naive *n, int64_t latest, tally_error *error) {
  struct buffer b = naive_write(n);
  struct batch_scratch scratch = {0};
  struct batch batch;
  int code = batch_open(b.data, b.size, &scratch, &batch, error);
  if (!code) code = batch_check(&batch, latest, error);
  batch_scratch_free(&scratch);
  buffer_free(&b);
  return code;
}

static void check_understood(void) {
  struct naive n = naive_make();
  struct buffer b = naive_write(&n);
  struct batch_scratch scratch = {0};
  struct batch batch;
  tally_error error;
  cr_assert_eq(batch_open(b.data, b.size, &scratch, &batch, &error), TALLY_OK, "%s", error.text);
  cr_assert_eq(batch_check(&batch, 1700000000000002, &error), TALLY_OK, "%s", error.text);
  cr_assert_eq(batch.rows, 3);
  int64_t v[3];
  for (int c = 0; c < COLUMNS; c++) {
    batch_values(&batch.column[c], 0, 3, v);
    for (uint32_t i = 0; i < 3; i++) {
      cr_assert_eq(batch_valid(&batch.column[c], i), c == 0 || i != 1);
      if (batch_valid(&batch.column[c], i)) cr_assert_eq(v[i], n.value[c][i]);
    }
  }
  cr_assert(memcmp(batch.metadata, n.metadata, strlen(n.metadata)) == 0);
  buffer_free(&b);
  batch_scratch_free(&scratch);
}

Test(model_batch_bytes, a_naive_batch_is_understood) {
  for (int i = 0; i < 2; i++) {
    packed = i;
    check_understood();
  }
}

/* ------------------------------------------------------------------ limits, by row and column */

static void check_row(const struct naive *n, int64_t latest, int64_t row, int column, const char *part) {
  tally_error error;
  cr_assert_eq(read_naive(n, latest, &error), TALLY_INVALID_ROW, "%s", part);
  cr_assert_eq(error.row, row, "%s", error.text);
  cr_assert_eq(error.column, column, "%s", error.text);
  cr_assert(strstr(error.text, part), "%s", error.text);
}

static void check_number_limits(void) {
  struct naive n = naive_make();
  check_row(&n, 1700000000000001, 2, 0, "max_future");
  check_row(&n, -5, 0, 0, "max_future");
  n.value[0][1] = -1;
  check_row(&n, INT64_MAX, 1, 0, "1970");
  n.value[0][1] = TIME_MAX + 1;
  check_row(&n, INT64_MAX, 1, 0, "9999");
  n.value[0][1] = TIME_MAX;
  tally_error error;
  cr_assert_eq(read_naive(&n, INT64_MAX, &error), TALLY_OK, "%s", error.text);
  for (int c = 5; c <= 9; c++) {
    n = naive_make();
    n.value[c][2] = (int64_t)INT32_MAX + 1;
    check_row(&n, INT64_MAX, 2, c, "32 bits");
    n.value[c][0] = (int64_t)INT32_MIN - 1;
    check_row(&n, INT64_MAX, 0, c, "32 bits");
  }
  n = naive_make();
  n.value[10][2] = COST_MAX + 1;
  check_row(&n, INT64_MAX, 2, 10, "9,000,000,000");
  n.value[10][0] = INT64_MIN;
  check_row(&n, INT64_MAX, 0, 10, "9,000,000,000");
}

static void check_text_limits(void) {
  static const uint16_t most[] = {255, 100, 255, 10};
  static char longer[1100];
  memset(longer, 'x', sizeof longer);
  for (int c = 1; c <= 4; c++) {
    struct naive n = naive_make();
    n.value[c][2] = 2;
    check_row(&n, INT64_MAX, 2, c, "dictionary");
    n.value[c][2] = -1;
    check_row(&n, INT64_MAX, 2, c, "dictionary");
    n = naive_make();
    n.text[c][1] = longer;
    n.text_size[c][1] = (uint16_t)(most[c - 1] + 1);
    check_row(&n, INT64_MAX, 2, c, "characters");
    n.text[c][0] = "\xFF";
    n.text_size[c][0] = 1;
    check_row(&n, INT64_MAX, 0, c, "UTF-8");
    n.text[c][0] = "\0";
    check_row(&n, INT64_MAX, 0, c, "NUL");
    n.text[c][0] = "ok";
    n.text_size[c][0] = 2;
    n.text_size[c][1]--;
    tally_error error;
    cr_assert_eq(read_naive(&n, INT64_MAX, &error), TALLY_OK, "%s", error.text);
    n.text_size[c][1]++;
    n.value[c][2] = 0; /* now no row uses the entry that is too long */
    cr_assert_eq(read_naive(&n, INT64_MAX, &error), TALLY_INVALID_BATCH);
    cr_assert_eq(error.column, c);
    cr_assert_eq(error.row, -1);
    n.value[11][0] = 6; /* a row's fault goes before it */
    check_row(&n, INT64_MAX, 0, 11, "JSON");
  }
}

static void check_metadata_limits(void) {
  struct naive n = naive_make();
  n.value[11][1] = 1;
  check_row(&n, INT64_MAX, 1, 11, "NULL");
  n = naive_make();
  n.value[11][2] = 3;
  check_row(&n, INT64_MAX, 2, 11, "left");
  n.value[11][2] = INT64_MIN;
  check_row(&n, INT64_MAX, 2, 11, "left");
  n.value[11][2] = METADATA_BYTES + 1;
  check_row(&n, INT64_MAX, 2, 11, "limit");
  n.value[11][2] = 0;
  check_row(&n, INT64_MAX, 2, 11, "JSON");
  n = naive_make();
  n.metadata = "{\"a\":1}{} ";
  tally_error error;
  cr_assert_eq(read_naive(&n, INT64_MAX, &error), TALLY_INVALID_BATCH);
  cr_assert(strstr(error.text, "metadata"), "%s", error.text);
}

static void check_limits(void) {
  check_number_limits();
  check_text_limits();
  check_metadata_limits();
  /* the lowest row, then the lowest column */
  struct naive n = naive_make();
  n.value[10][2] = INT64_MAX;
  n.value[7][2] = INT64_MAX;
  check_row(&n, INT64_MAX, 2, 7, "32 bits");
  n.value[11][0] = 6;
  check_row(&n, INT64_MAX, 0, 11, "JSON");
  n.value[10][0] = INT64_MAX;
  check_row(&n, INT64_MAX, 0, 10, "9,000,000,000");
  n.value[0][0] = -1;
  check_row(&n, INT64_MAX, 0, 0, "1970");
}

Test(model_batch_bytes, each_limit_is_refused_with_row_and_column) {
  for (int i = 0; i < 2; i++) {
    packed = i;
    check_limits();
  }
}

/* A number out of its range at a random row of a random width is found at exactly that row. */
Test(model_batch_bytes, the_first_faulty_row_is_found_in_long_columns) {
  random_start();
  enum { ROWS = 3000 };
  for (int width = 1; width <= 8; width++)
    for (int i = 0; i < 20; i++) {
      uint32_t row = (uint32_t)random_below(ROWS), last = (uint32_t)random_below(ROWS);
      uint8_t *values = calloc(ROWS, (size_t)width);
      for (size_t j = 0; j < ROWS * (size_t)width; j++)
        values[j] = j % (size_t)width ? 0 : (uint8_t)random_below(200);
      values[row * (size_t)width] = 201;
      if (last > row) values[last * (size_t)width] = 202;
      struct batch_column c = {.base = -100, .width = (uint8_t)width, .values = values};
      cr_assert(batch_within(&c, ROWS, -100, last > row ? 102 : 101), "width %d", width);
      cr_assert_not(batch_within(&c, ROWS, -100, 100));
      cr_assert_eq(batch_first_outside(&c, ROWS, -100, 101), last > row ? last : ROWS);
      cr_assert_eq(batch_first_outside(&c, ROWS, -100, 100), row, "width %d", width);
      cr_assert_not(batch_within(&c, ROWS, -99, 200));
      if (width > 1) {
        values[row * (size_t)width] = 0;
        values[row * (size_t)width + (size_t)width - 1] = 0x80;
        cr_assert_not(batch_within(&c, ROWS, -100, 200), "width %d", width);
        cr_assert_eq(batch_first_outside(&c, ROWS, -100, 200), row);
      }
      free(values);
    }
}

/* ------------------------------------------------------------------ damage */

static int read_bytes_of(const uint8_t *bytes, size_t size, tally_error *error) {
  uint8_t *copy = malloc(size ? size : 1); /* exactly so large, so that ASan sees a step outside */
  if (size) memcpy(copy, bytes, size);
  struct batch_scratch scratch = {0};
  struct batch batch;
  int code = batch_open(copy, size, &scratch, &batch, error);
  if (!code) code = batch_check(&batch, INT64_MAX, error);
  if (!code) {
    static int64_t v[TALLY_BATCH_ROWS];
    for (int c = 0; c < COLUMNS; c++)
      if (!batch.column[c].absent) batch_values(&batch.column[c], 0, batch.rows, v);
  }
  batch_scratch_free(&scratch);
  free(copy);
  return code;
}

static struct buffer built_batch(int rows) {
  tally_batch *b = tally_batch_new();
  tally_error error;
  for (int i = 0; i < rows; i++) {
    tally_event e = {.timestamp = 1700000000000000 + i * 100000, .present = i == 2 ? 0 : 0x7E0u};
    char user[24];
    e.user_id = (tally_text){user, (size_t)sprintf(user, "user_%04x", i / 2 * 40503 % 65536)};
    if (i != 3) e.service_name = TEXT("caf\xC3\xA9");
    e.cost = i * 1000;
    e.status_code = 200 + i * 300;
    if (i != 1) e.metadata = TEXT("{\"region\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}");
    cr_assert_eq(tally_batch_add(b, &e, &error), TALLY_OK, "%s", error.text);
  }
  const void *bytes;
  size_t size;
  cr_assert_eq(tally_batch_finish(b, &bytes, &size, &error), TALLY_OK);
  struct buffer copy = {0};
  buffer_append(&copy, bytes, size);
  tally_batch_free(b);
  return copy;
}

/* Every prefix, and every change of one byte, is refused or is a batch; bytes behind it are refused. */
static void damage(struct buffer *b) {
  tally_error error;
  cr_assert_eq(read_bytes_of(b->data, b->size, &error), TALLY_OK, "%s", error.text);
  for (size_t size = 0; size < b->size; size++) {
    cr_assert_eq(read_bytes_of(b->data, size, &error), TALLY_INVALID_BATCH, "cut to %zu", size);
    uint8_t stored[4];
    memcpy(stored, b->data + 12, 4);
    store32(b->data + 12, (uint32_t)size); /* a header that goes with the cut */
    int code = read_bytes_of(b->data, size, &error);
    cr_assert_eq(code, TALLY_INVALID_BATCH, "cut to %zu", size);
    memcpy(b->data + 12, stored, 4);
  }
  for (size_t at = 0; at < b->size; at++) {
    uint8_t stored = b->data[at];
    for (int value = 0; value < 256; value += at < PARTS ? 1 : 3) {
      b->data[at] = (uint8_t)value;
      int code = read_bytes_of(b->data, b->size, &error);
      cr_assert(code == TALLY_OK || code == TALLY_INVALID_BATCH || code == TALLY_INVALID_ROW);
      if (value != stored && at < 16 && !(packed && at == 8)) /* few packed rows may be a row more */
        cr_assert(code, "byte %zu of the header is %d", at, value);
      if (code == TALLY_INVALID_ROW) cr_assert(error.row >= 0 && error.column >= 0);
    }
    b->data[at] = stored;
  }
  size_t size = b->size;
  write8(b, 0);
  cr_assert_eq(read_bytes_of(b->data, b->size, &error), TALLY_INVALID_BATCH);
  store32(b->data + 12, (uint32_t)b->size);
  cr_assert_eq(read_bytes_of(b->data, b->size, &error), TALLY_INVALID_BATCH);
  cr_assert(strstr(error.text, "follow"), "%s", error.text);
  b->size = size;
}

Test(model_batch_bytes, damage_is_refused_or_harmless) {
  struct buffer built = built_batch(5);
  cr_assert_eq(built.data[16 + 24 * TALLY_COL_METADATA + 2], 1, "metadata is LZ4 here");
  damage(&built);
  buffer_free(&built);
  built = built_batch(120);
  cr_assert_eq(built.data[16 + 24 * TALLY_COL_USER_ID + 3], PACKED_VALUES | PACKED_DICTIONARY);
  damage(&built);
  buffer_free(&built);
  for (int i = 0; i < 2; i++) {
    packed = i;
    struct naive n = naive_make();
    struct buffer naive = naive_write(&n);
    damage(&naive);
    buffer_free(&naive);
  }
}

static void random_damage(const struct buffer *b) {
  tally_error error;
  uint8_t *copy = malloc(b->size);
  for (int i = 0; i < 30000; i++) {
    memcpy(copy, b->data, b->size);
    for (uint64_t changes = 1 + random_below(4); changes > 0; changes--) {
      size_t at = 16 + random_below(b->size - 16);
      copy[at] = random_below(2) ? (uint8_t)random_next() : (uint8_t)random_below(9);
    }
    read_bytes_of(copy, b->size, &error);
  }
  free(copy);
}

/* Random bytes over several places at once, which single changes cannot reach. */
Test(model_batch_bytes, random_damage_is_harmless) {
  random_start();
  for (int rows = 5; rows <= 120; rows += 115) {
    struct buffer b = built_batch(rows);
    random_damage(&b);
    buffer_free(&b);
  }
}

/* ------------------------------------------------------------------ descriptors */

static void check_descriptor(const struct buffer *b, int column, size_t at, size_t size, uint64_t value,
                             const char *part) {
  uint8_t *copy = malloc(b->size);
  memcpy(copy, b->data, b->size);
  memcpy(copy + 16 + 24 * (size_t)column + at, &value, size);
  tally_error error;
  cr_assert_eq(read_bytes_of(copy, b->size, &error), TALLY_INVALID_BATCH, "%s", part);
  cr_assert_eq(error.column, column, "%s", error.text);
  cr_assert(strstr(error.text, part), "%s", error.text);
  free(copy);
}

Test(model_batch_bytes, descriptors_are_checked_before_they_are_used) {
  struct naive n = naive_make();
  n.kind[TALLY_COL_COST] = 0;
  struct buffer b = naive_write(&n);
  check_descriptor(&b, 0, 0, 1, 0, "must be present");
  check_descriptor(&b, 0, 0, 1, 2, "NULL");
  check_descriptor(&b, 1, 0, 1, 3, "kind 3");
  check_descriptor(&b, 1, 1, 1, 9, "width 9");
  check_descriptor(&b, 1, 2, 1, 1, "form");
  check_descriptor(&b, 1, 3, 1, 4, "byte 3");
  check_descriptor(&b, 1, 4, 4, 4, "4 dictionary entries, but only 3 rows");
  check_descriptor(&b, 1, 8, 4, UINT32_MAX, "beyond the end");
  check_descriptor(&b, 1, 8, 4, 6, "add up to 5");
  check_descriptor(&b, 1, 12, 4, 1, "bytes 12-15");
  check_descriptor(&b, 5, 4, 4, 1, "dictionary");
  check_descriptor(&b, 5, 8, 4, 1, "bytes 8-11");
  check_descriptor(&b, 10, 16, 8, 1, "all zero");
  check_descriptor(&b, 10, 1, 1, 1, "all zero");
  check_descriptor(&b, 11, 2, 1, 2, "form 2");
  check_descriptor(&b, 11, 12, 4, BATCH_METADATA_RAW + 1, "limit");
  check_descriptor(&b, 11, 12, 4, 8, "not compressed");
  check_descriptor(&b, 11, 2, 1, 1, "LZ4");
  check_descriptor(&b, 11, 12, 4, 0, "not compressed");
  b.data[PARTS + 3 * 8] = 0xF; /* user_id's validity bitmap: a bit behind the last row */
  tally_error error;
  cr_assert_eq(read_bytes_of(b.data, b.size, &error), TALLY_INVALID_BATCH);
  cr_assert(strstr(error.text, "unused bits"), "%s", error.text);
  buffer_free(&b);

  struct buffer built = built_batch(5);
  uint32_t raw = load32(built.data + 16 + 24 * TALLY_COL_METADATA + 12);
  check_descriptor(&built, 11, 12, 4, raw + 1, "does not give");
  check_descriptor(&built, 11, 12, 4, raw - 1, "does not give");
  check_descriptor(&built, 11, 12, 4, 0, "use form 0");
  buffer_free(&built);

  packed = true;
  b = naive_write(&n);
  packed = false;
  check_descriptor(&b, 1, 1, 1, 1, "own width");
  check_descriptor(&b, 5, 16, 8, 1, "own width");
  check_descriptor(&b, 5, 3, 1, 3, "mean nothing");
  check_descriptor(&b, 11, 3, 1, 3, "mean nothing");
  check_descriptor(&b, 1, 8, 4, TALLY_BATCH_BYTES + 1, "limit");
  check_descriptor(&b, 1, 8, 4, 6, "6 bytes together");
  check_descriptor(&b, 1, 8, 4, 4, "4 bytes together");
  b.data[PARTS] ^= 0x40; /* the size of timestamp's packed values */
  cr_assert_eq(read_bytes_of(b.data, b.size, &error), TALLY_INVALID_BATCH);
  cr_assert(strstr(error.text, "beyond the end"), "%s", error.text);
  b.data[PARTS] ^= 0x40;
  b.data[PARTS + 4] = 7; /* their scheme */
  cr_assert_eq(read_bytes_of(b.data, b.size, &error), TALLY_INVALID_BATCH);
  cr_assert(strstr(error.text, "sequence of 3 integers"), "%s", error.text);
  buffer_free(&b);

  /* more bytes than the limit */
  static uint8_t huge[TALLY_BATCH_BYTES + 1] = "TLB1\1";
  store32(huge + 8, 1);
  store32(huge + 12, sizeof huge);
  cr_assert_eq(read_bytes_of(huge, sizeof huge, &error), TALLY_INVALID_BATCH);
  cr_assert(strstr(error.text, "limit"), "%s", error.text);
}

/* The worked example of docs/format/batch.md, byte for byte. */
Test(model_batch_bytes, the_documented_example_is_what_it_says) {
  tally_batch *b = tally_batch_new();
  tally_error error;
  tally_event e = {.timestamp = 1706745600000000, .present = 1u << TALLY_COL_STATUS_CODE};
  e.user_id = TEXT("ann");
  e.status_code = 200;
  e.metadata = TEXT("{\"a\":1}");
  cr_assert_eq(tally_batch_add(b, &e, &error), TALLY_OK);
  e.timestamp += 1000;
  e.user_id = (tally_text){NULL, 0};
  e.status_code = 429;
  e.metadata = (tally_text){NULL, 0};
  cr_assert_eq(tally_batch_add(b, &e, &error), TALLY_OK);
  uint8_t expected[326] = "TLB1\1\0\0\0\2\0\0\0\x46\1\0";
  memcpy(expected + 16, "\1\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x00\xC0\x35\xAD\x46\x10\x06", 23);
  memcpy(expected + 40, "\2\0\0\0\1\0\0\0\3", 9);
  memcpy(expected + 208, "\1\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xC8", 17);
  memcpy(expected + 280, "\2\1\0\0\0\0\0\0\7\0\0\0\7", 13);
  memcpy(expected + 304, "\0\0\xE8\3\1\3\0ann\0\xE5\1\7\0{\"a\":1}", 22);
  const void *bytes;
  size_t size;
  cr_assert_eq(tally_batch_finish(b, &bytes, &size, &error), TALLY_OK);
  cr_assert_eq(size, sizeof expected);
  cr_assert_eq(memcmp(bytes, expected, size), 0);
  tally_batch_free(b);
}
