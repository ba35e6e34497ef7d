/* batch_check.c - the second check of a batch: being meaningful; see batch.h.
 *
 * On the hot path of every append, so each column is first checked as a whole with loops that have no
 * branch per row (batch_within). Only a column that fails is looked at row by row. The lowest faulty row of
 * each column is kept; at the end the lowest of them, then the lowest column, is put into words. */
#include <inttypes.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/status.h"
#include "base/utf8.h"
#include "model/batch.h"
#include "model/json_shape.h"
#include "model/limits.h"

#define STEP 256u /* rows decoded at a time */

static int64_t value_at(const struct batch_column *c, uint32_t row) {
  int64_t value;
  batch_values(c, row, 1, &value);
  return value;
}

/* ------------------------------------------------------------------ numbers */

static uint32_t number_fault(const struct batch_column *c, uint32_t rows, int64_t low, int64_t high) {
  return batch_within(c, rows, low, high) ? rows : batch_first_outside(c, rows, low, high);
}

/* ------------------------------------------------------------------ texts */

/* Usual dictionaries: all ASCII, and no entry as long as would be too many characters of it. */
static bool dictionary_plain(const struct batch_column *c, uint32_t limit) {
  uint16_t longest = 0;
  for (uint32_t i = 0; i < c->entries; i++) {
    uint16_t size = load16(c->sizes + 2 * (size_t)i);
    longest = size > longest ? size : longest;
  }
  size_t characters;
  return longest <= limit && utf8_text(c->texts, c->texts_size, &characters) && characters == c->texts_size;
}

/* Sets the bit of each entry that is not text within the limit. Returns how many. */
static uint32_t dictionary_faults(const struct batch_column *c, uint32_t limit, uint64_t *bad) {
  uint32_t count = 0;
  const char *text = c->texts;
  for (uint32_t i = 0; i < c->entries; i++) {
    size_t size = load16(c->sizes + 2 * (size_t)i), characters;
    if (!utf8_text(text, size, &characters) || characters > limit) {
      bitmap_set(bad, i);
      count++;
    }
    text += size;
  }
  return count;
}

static const char *entry_text(const struct batch_column *c, uint32_t entry, size_t *size) {
  size_t at = 0;
  for (uint32_t i = 0; i < entry; i++) at += load16(c->sizes + 2 * (size_t)i);
  *size = load16(c->sizes + 2 * (size_t)entry);
  return c->texts + at;
}

/* The first row that is not NULL and uses an entry whose bit is set; rows if there is none. Indexes
 * beyond the dictionary are somebody else's fault. */
static uint32_t first_user(const struct batch_column *c, uint32_t rows, const uint64_t *bad) {
  int64_t values[STEP];
  for (uint32_t first = 0; first < rows; first += STEP) {
    uint32_t count = rows - first < STEP ? rows - first : STEP;
    batch_values(c, first, count, values);
    for (uint32_t i = 0; i < count; i++)
      if ((uint64_t)values[i] < c->entries && bitmap_get(bad, (size_t)values[i]) && batch_valid(c, first + i))
        return first + i;
  }
  return rows;
}

/* *unused is set if an entry is bad and no row uses it: then only the batch can be blamed. */
static uint32_t text_fault(const struct batch_column *c, int column, uint32_t rows, bool *unused) {
  uint32_t fault = number_fault(c, rows, 0, (int64_t)c->entries - 1);
  uint32_t limit = domain_characters(column_domain(column));
  if (dictionary_plain(c, limit)) return fault;
  uint64_t bad[TALLY_BATCH_ROWS / 64] = {0};
  if (!dictionary_faults(c, limit, bad)) return fault;
  uint32_t user = first_user(c, rows, bad);
  if (user == rows) *unused = true;
  return user < fault ? user : fault;
}

static int text_describe(const struct batch_column *c, int column, uint32_t row, tally_error *error) {
  int64_t index = value_at(c, row);
  if ((uint64_t)index >= c->entries)
    return limit_refuse(row, column, error,
                        "its text is entry %" PRId64 " of a dictionary of %" PRIu32
                        " entries: write the batch as docs/format/batch.md says",
                        index, c->entries);
  size_t size;
  const char *text = entry_text(c, (uint32_t)index, &size);
  return limit_text(row, column, text, size, error);
}

/* ------------------------------------------------------------------ metadata */

struct metadata_rows {
  uint32_t fault; /* the first faulty row, or rows */
  size_t at;      /* where its text starts; without a fault, where the last text ends */
};

/* One row's metadata: NULL rows have no bytes, the others a JSON object within what is left. */
static bool metadata_good(const struct batch *batch, struct json_shapes *shapes, uint32_t row, int64_t size,
                          size_t at) {
  if (!batch_valid(&batch->column[TALLY_COL_METADATA], row)) return size == 0;
  size_t wrong;
  return size > 0 && size <= METADATA_BYTES && (size_t)size <= batch->metadata_size - at &&
         !json_shapes_check(shapes, batch->metadata + at, (size_t)size, &wrong);
}

/* Which of up to 64 rows are to be looked at: those that are not NULL, or all if one that is NULL has bytes.
 */
static uint64_t metadata_looked_at(const struct batch_column *c, uint32_t first, uint32_t count,
                                   const int64_t *sizes) {
  const uint64_t all = UINT64_MAX >> (64 - count),
                 there = c->valid ? bytemap_bits(c->valid, first, count) : all;
  int64_t none = 0;
  for (uint32_t i = 0; i < count; i++) none |= sizes[i] & -(int64_t)(~there >> i & 1);
  return none ? all : there;
}

/* Rows from `end` on are of no interest: a fault was found there already. Few rows have metadata, and they
 * are found by their bits, as a branch on each row would be guessed wrongly time and again. */
static struct metadata_rows metadata_faults(const struct batch *batch, uint32_t end) {
  const struct batch_column *c = &batch->column[TALLY_COL_METADATA];
  int64_t sizes[STEP];
  struct json_shapes shapes;
  size_t at = 0;
  json_shapes_clear(&shapes);
  for (uint32_t first = 0; first < end; first += STEP) {
    uint32_t count = end - first < STEP ? end - first : STEP;
    batch_values(c, first, count, sizes);
    for (uint32_t i = 0; i < count; i += 64) {
      const uint32_t n = count - i < 64 ? count - i : 64;
      uint64_t rows = metadata_looked_at(c, first + i, n, sizes + i);
      for (; rows; rows &= rows - 1) {
        const uint32_t row = i + (uint32_t)__builtin_ctzll(rows);
        if (!metadata_good(batch, &shapes, first + row, sizes[row], at))
          return (struct metadata_rows){first + row, at};
        at += (size_t)sizes[row];
      }
    }
  }
  return (struct metadata_rows){end, at};
}

static int metadata_describe(const struct batch *batch, uint32_t row, size_t at, tally_error *error) {
  const struct batch_column *c = &batch->column[TALLY_COL_METADATA];
  int64_t size = value_at(c, row);
  if (!batch_valid(c, row))
    return limit_refuse(row, TALLY_COL_METADATA, error,
                        "it is NULL but has a size of %" PRId64
                        " bytes, not 0: write the batch as docs/format/batch.md says",
                        size);
  if (size < 0 || (size <= METADATA_BYTES && (uint64_t)size > batch->metadata_size - at))
    return limit_refuse(row, TALLY_COL_METADATA, error,
                        "a size of %" PRId64 " bytes, but only %zu are left in the batch: write the batch as "
                        "docs/format/batch.md says",
                        size, batch->metadata_size - at);
  return limit_metadata(row, batch->metadata + at, (size_t)size, error);
}

/* ------------------------------------------------------------------ all columns */

static uint32_t column_fault(const struct batch *batch, int column, int64_t latest, bool *unused) {
  const struct batch_column *c = &batch->column[column];
  switch (column_kind(column)) {
  case KIND_TIME:
    return number_fault(c, batch->rows, 0, latest < TIME_MAX ? latest : TIME_MAX);
  case KIND_TEXT:
    return text_fault(c, column, batch->rows, unused);
  case KIND_INT:
    return number_fault(c, batch->rows, INT32_MIN, INT32_MAX);
  default:
    return number_fault(c, batch->rows, -COST_MAX, COST_MAX);
  }
}

static int describe(const struct batch *batch, int column, uint32_t row, int64_t latest, tally_error *error) {
  const struct batch_column *c = &batch->column[column];
  switch (column_kind(column)) {
  case KIND_TIME:
    return limit_time(row, value_at(c, row), latest, error);
  case KIND_TEXT:
    return text_describe(c, column, row, error);
  case KIND_INT:
    return limit_int(row, column, value_at(c, row), error);
  default:
    return limit_cost(row, value_at(c, row), error);
  }
}

static int refuse_batch(tally_error *error, int column, const char *what) {
  fail(error, TALLY_INVALID_BATCH, "column %s: %s: write the batch as docs/format/batch.md says",
       tally_column_name(column), what);
  error->column = column;
  return TALLY_INVALID_BATCH;
}

int batch_check(const struct batch *batch, int64_t latest, tally_error *error) {
  uint32_t lowest = batch->rows;
  int at_column = -1, unused_column = -1;
  for (int column = 0; column < TALLY_COL_METADATA; column++) {
    if (batch->column[column].absent) continue;
    bool unused = false;
    uint32_t row = column_fault(batch, column, latest, &unused);
    if (row < lowest) {
      lowest = row;
      at_column = column;
    }
    if (unused && unused_column < 0) unused_column = column;
  }
  if (!batch->column[TALLY_COL_METADATA].absent) {
    struct metadata_rows m = metadata_faults(batch, lowest);
    if (m.fault < lowest) return metadata_describe(batch, m.fault, m.at, error);
    if (lowest == batch->rows && m.at != batch->metadata_size)
      return refuse_batch(error, TALLY_COL_METADATA, "bytes follow the text of the last row");
  }
  if (at_column >= 0) return describe(batch, at_column, lowest, latest, error);
  if (unused_column >= 0)
    return refuse_batch(error, unused_column, "a dictionary entry that no row uses is too long or not UTF-8");
  return TALLY_OK;
}
