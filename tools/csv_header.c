/* csv_header.c - the first record of a CSV file: which field is which column. */
#include "tools/csv.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"

bool ignore_has(const struct ignore *ignore, const char *name, size_t size) {
  for (size_t i = 0; i < ignore->count; i++)
    for (const char *p = ignore->list[i]; p;) {
      const char *comma = strchr(p, ',');
      size_t length = comma ? (size_t)(comma - p) : strlen(p);
      if (length == size && memcmp(p, name, size) == 0) return true;
      p = comma ? comma + 1 : NULL;
    }
  return false;
}

void csv_layout_free(struct csv_layout *layout) { buffer_free(&layout->names); }

/* Appends a field's name, unquoted, with its NUL. False without memory. */
static bool add_name(struct csv_layout *layout, const char *field, size_t size) {
  struct buffer *names = &layout->names;
  bool quoted = size >= 2 && field[0] == '"' && field[size - 1] == '"';
  if (!buffer_reserve(names, size + 1 + CSV_UNQUOTE_SLACK)) return false;
  layout->name[layout->count] = (uint32_t)names->size;
  char *to = (char *)names->data + names->size;
  if (quoted)
    size = csv_unquote_best()(field + 1, size - 2, to).size;
  else if (size)
    memcpy(to, field, size);
  to[size] = '\0';
  names->size += size + 1;
  return true;
}

/* Decides which column a field is. */
static bool add_column(struct csv_layout *layout, const struct ignore *ignore, uint64_t line,
                       struct problem *problem) {
  const char *name = (const char *)layout->names.data + layout->name[layout->count];
  size_t size = layout->names.size - layout->name[layout->count] - 1;
  int column = tally_column_number(name, size);
  if (ignore_has(ignore, name, size))
    column = -1;
  else if (column < 0) {
    problem_set(problem, line, NULL,
                "%s is no column of events, which are timestamp, user_id, service_name, endpoint, method, "
                "request_size, response_size, duration_ms, status_code, tokens_used, cost and metadata: "
                "correct the header, or leave the column out with --ignore",
                excerpt_of(name, size).text);
    return false;
  }
  for (uint32_t i = 0; i < layout->count && column >= 0; i++)
    if (layout->column[i] == column) {
      problem_set(problem, line, name, "the header has the column twice: name every column once");
      return false;
    }
  layout->column[layout->count++] = (int16_t)column;
  return true;
}

static enum record_kind add_columns(struct csv_layout *layout, const char *text, const uint32_t *separators,
                                    const struct csv_extent *extent, const struct ignore *ignore,
                                    struct problem *problem) {
  size_t start = 0;
  for (uint32_t i = 0; i < extent->fields; i++) {
    size_t end = i + 1 == extent->fields ? extent->text_end : separators[i];
    if (!add_name(layout, text + start, end - start)) return RECORD_FAILED;
    if (!add_column(layout, ignore, 1, problem)) return RECORD_BAD;
    start = (size_t)separators[i] + 1;
  }
  layout->usual = layout->count == TALLY_COLUMNS;
  layout->user = layout->count;
  for (uint32_t i = 0; i < layout->count; i++) {
    layout->usual = layout->usual && layout->column[i] == (int)i;
    if (layout->column[i] == TALLY_COL_USER_ID) layout->user = i;
  }
  for (uint32_t i = 0; i < layout->count; i++)
    if (layout->column[i] == TALLY_COL_TIMESTAMP) return RECORD_ROW;
  problem_set(problem, 1, "timestamp",
              "the header lacks it, but every event needs one: the first line must name the columns");
  return RECORD_BAD;
}

enum record_kind csv_header(const char *text, size_t size, bool final, const struct ignore *ignore,
                            struct csv_layout *layout, struct record *record, struct problem *problem) {
  *layout = (struct csv_layout){0};
  *record = (struct record){.line = 1};
  if (!size) {
    if (!final) return RECORD_MORE;
    problem_set(problem, 1, NULL, "there is no header: the first line must name the columns");
    return RECORD_BAD;
  }
  uint32_t separators[CSV_COLUMNS];
  struct csv_extent extent;
  if (!csv_record(text, 0, size, final, separators, CSV_COLUMNS, &extent)) return RECORD_MORE;
  record->end = extent.end;
  if (extent.fault) {
    problem_set(problem, 1 + count_lines(text, extent.fault_at), NULL,
                "a quote in the header is not where it may be: quote whole names, and close the quotes");
    return RECORD_BAD;
  }
  if (extent.fields > CSV_COLUMNS) {
    problem_set(problem, 1, NULL, "the header has %" PRIu32 " columns, the limit is %u: leave some out",
                extent.fields, CSV_COLUMNS);
    return RECORD_BAD;
  }
  return add_columns(layout, text, separators, &extent, ignore, problem);
}
