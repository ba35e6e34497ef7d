/* result.c - the interface of query.h over the kinds of results. An answer that has ended stays ended. */
#include "query/result.h"

#include "base/status.h"

size_t result_columns(const struct result *result) { return result->columns; }

tally_result_column result_column(const struct result *result, size_t column) {
  return result->column[column];
}

bool result_at_hand(const struct result *result) { return result->first + result->current < result->rows; }

static int make_rows(struct result *result, tally_error *error) {
  int code = result->state;
  result->first = 0;
  result->rows = 1;
  if (code == TALLY_ROW) code = result->next(result, &result->error);
  if (code != TALLY_ROW) result->rows = 0;
  if (code < 0) *error = result->error;
  if (code != TALLY_MEMORY_LIMIT || !result->resumes) result->state = code;
  return code;
}

int result_next(struct result *result, size_t most, tally_error *error) {
  bool at_hand = result_at_hand(result);
  result->first += result->current;
  int code = at_hand ? TALLY_ROW : make_rows(result, error);
  size_t left = result->rows - result->first;
  result->current = left < most ? left : most;
  return code;
}

bool result_ended(const struct result *result) { return result->state != TALLY_ROW; }

size_t result_rows(const struct result *result) { return result->current; }

const tally_text *result_cells(const struct result *result) {
  return result->first ? result->cells + result->first * result->columns : result->cells;
}

tally_text result_cell(const struct result *result, size_t column) {
  if (!result->current) return (tally_text){NULL, 0};
  return result->cells[(result->first + result->current - 1) * result->columns + column];
}

void result_rest(struct result *result) {
  result->first += result->current;
  result->current = 0;
  if (result->state == TALLY_ROW && result->rest) result->rest(result);
}

void result_free(struct result *result) {
  if (result) result->free(result);
}

int result_place(struct result *result, const struct buffer *text, tally_error *error) {
  if (text->failed) return fail_memory(error, "rows of the answer");
  const char *at = (const char *)text->data;
  for (size_t c = 0; c < result->rows * result->columns; c++) {
    tally_text *cell = &result->cells[c];
    if (cell->data || cell->size == 0) continue;
    cell->data = at;
    at += cell->size;
  }
  return 0;
}
