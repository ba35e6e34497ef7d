/* event_row.c - see event_row.h. */
#include "query/event_row.h"

#include <string.h>

#include "base/bitmap.h"
#include "model/civil.h"
#include "model/decimal.h"

#define COST_DECIMALS 4 /* at least */

static bool wanted(uint32_t columns, int column) { return columns >> column & 1; }

struct event_row event_row_take(const struct vector *vector, uint32_t row, uint32_t columns) {
  struct event_row e = {0};
  for (int c = 0; c < COLUMNS; c++) {
    if (!wanted(columns, c)) continue;
    enum column_kind kind = column_kind(c);
    bool numeric = kind == KIND_INT || kind == KIND_COST || kind == KIND_JSON;
    if (numeric && vector->valid[c] && !bitmap_get(vector->valid[c], row)) continue;
    e.present |= 1u << c;
    switch (kind) {
    case KIND_TIME:
      e.timestamp = vector->value[c][row];
      break;
    case KIND_TEXT:
      e.text[column_domain(c)] = (uint32_t)vector->value[c][row];
      break;
    case KIND_INT:
      e.number[c - TALLY_COL_REQUEST_SIZE] = (int32_t)vector->value[c][row];
      break;
    case KIND_COST:
      e.cost = vector->value[c][row];
      break;
    case KIND_JSON:
      e.metadata_at = vector->metadata_at[row];
      e.metadata_size = (uint32_t)(vector->metadata_at[row + 1] - e.metadata_at);
    }
  }
  return e;
}

static int compare_int(int64_t a, int64_t b) { return (a > b) - (a < b); }

static int compare_bytes(const char *a, size_t a_size, const char *b, size_t b_size) {
  int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
  return order ? (order > 0) - (order < 0) : compare_int((int64_t)a_size, (int64_t)b_size);
}

static int compare_text(uint32_t a, uint32_t b, int domain, const struct event_space *space) {
  if (a == b) return 0;
  if (!a || !b) return a ? -1 : 1;
  tally_text x = catalog_text(space->catalog, domain, a), y = catalog_text(space->catalog, domain, b);
  return compare_bytes(x.data, x.size, y.data, y.size);
}

static int compare_column(const struct event_row *a, const struct event_row *b, int column,
                          const struct event_space *space) {
  enum column_kind kind = column_kind(column);
  if (kind == KIND_TIME) return compare_int(a->timestamp, b->timestamp);
  if (kind == KIND_TEXT)
    return compare_text(a->text[column_domain(column)], b->text[column_domain(column)], column_domain(column),
                        space);
  bool has_a = wanted(a->present, column), has_b = wanted(b->present, column);
  if (!has_a || !has_b) return has_a ? -1 : has_b ? 1 : 0;
  if (kind == KIND_INT)
    return compare_int(a->number[column - TALLY_COL_REQUEST_SIZE],
                       b->number[column - TALLY_COL_REQUEST_SIZE]);
  if (kind == KIND_COST) return compare_int(a->cost, b->cost);
  return compare_bytes(space->metadata + a->metadata_at, a->metadata_size, space->metadata + b->metadata_at,
                       b->metadata_size);
}

int event_row_compare(const struct event_row *a, const struct event_row *b, uint32_t columns,
                      const struct event_space *space) {
  for (int c = 0; c < COLUMNS; c++) {
    int order = wanted(columns, c) ? compare_column(a, b, c, space) : 0;
    if (order) return order;
  }
  return 0;
}

tally_text event_row_cell(const struct event_row *row, int column, const struct event_space *space,
                          struct buffer *text) {
  size_t from = text->size;
  enum column_kind kind = column_kind(column);
  if (kind == KIND_TEXT) {
    uint32_t id = row->text[column_domain(column)];
    return id ? catalog_text(space->catalog, column_domain(column), id) : (tally_text){NULL, 0};
  }
  bool present = wanted(row->present, column);
  if (present && kind == KIND_JSON)
    return (tally_text){space->metadata + row->metadata_at, row->metadata_size};
  if (kind == KIND_TIME) timestamp_print(text, row->timestamp, 0, true, 6);
  if (present && kind == KIND_INT) int128_print(text, row->number[column - TALLY_COL_REQUEST_SIZE]);
  if (present && kind == KIND_COST) decimal_print(text, row->cost, COST_DECIMALS);
  return result_printed(text->size - from);
}
