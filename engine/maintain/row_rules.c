/* row_rules.c - see row_rules.h. */
#include "maintain/row_rules.h"

#include <string.h>

#include "base/bitmap.h"

static void put_bit(uint64_t *map, uint32_t i, bool value) {
  if (value)
    bitmap_set(map, i);
  else
    bitmap_clear(map, i);
}

/* ------------------------------------------------------------------ taking */

/* How many of the vector's rows from `next` on the memtable has room for. */
static uint32_t room(const struct memtable *m, const struct vector *v, uint32_t next) {
  uint32_t n = v->rows - next, free_rows = m->capacity - m->rows.count;
  if (n > free_rows) n = free_rows;
  uint64_t bytes = m->metadata_capacity - m->rows.metadata_at[m->rows.count];
  while (n && v->metadata_at[next + n] - v->metadata_at[next] > bytes) n--;
  return n;
}

static bool is_valid(const struct vector *v, int column, uint32_t i) {
  return !v->valid[column] || bitmap_get(v->valid[column], i);
}

static void take_numbers(struct memtable *m, const struct vector *v, int number, uint32_t next, uint32_t n) {
  int column = TALLY_COL_REQUEST_SIZE + number;
  uint32_t at = m->rows.count;
  const int64_t *value = v->value[column] + next;
  for (uint32_t i = 0; i < n; i++) put_bit(m->rows.valid[number], at + i, is_valid(v, column, next + i));
  if (number < INT_COLUMNS)
    for (uint32_t i = 0; i < n; i++) m->rows.number[number][at + i] = (int32_t)value[i];
  else
    memcpy(m->rows.cost + at, value, n * sizeof *value);
}

static void take_metadata(struct memtable *m, const struct vector *v, uint32_t next, uint32_t n) {
  uint32_t at = m->rows.count;
  uint64_t from = v->metadata_at[next], to = m->rows.metadata_at[at], size = v->metadata_at[next + n] - from;
  if (size) memcpy(m->rows.metadata + to, v->metadata + from, size);
  for (uint32_t i = 0; i < n; i++) {
    m->rows.metadata_at[at + i + 1] = to + v->metadata_at[next + i + 1] - from;
    put_bit(m->rows.valid[VALID_METADATA], at + i, is_valid(v, TALLY_COL_METADATA, next + i));
  }
}

void rows_take(struct memtable *m, const struct vector *v, uint32_t *next) {
  uint32_t n = room(m, v, *next), at = m->rows.count;
  const int64_t *timestamp = v->value[TALLY_COL_TIMESTAMP] + *next;
  memcpy(m->rows.timestamp + at, timestamp, n * sizeof *timestamp);
  for (int d = 0; d < DOMAINS; d++)
    for (uint32_t i = 0; i < n; i++)
      m->rows.text[d][at + i] = (uint32_t)v->value[domain_column(d)][*next + i];
  for (int number = 0; number <= INT_COLUMNS; number++) take_numbers(m, v, number, *next, n);
  take_metadata(m, v, *next, n);
  m->rows.count += n;
  *next += n;
}

/* ------------------------------------------------------------------ rules */

static const struct row_rule *rule_of(const struct rows *rows, uint32_t i, const struct row_rule *rules,
                                      size_t count) {
  uint32_t user = rows->text[column_domain(TALLY_COL_USER_ID)][i];
  uint32_t service = rows->text[column_domain(TALLY_COL_SERVICE_NAME)][i];
  for (size_t k = 0; k < count; k++) {
    const struct row_rule *r = &rules[k];
    if (rows->timestamp[i] >= r->from && rows->timestamp[i] < r->to && (!r->of_user || r->user == user) &&
        (!r->of_service || r->service == service))
      return r;
  }
  return NULL;
}

/* Row `to` becomes what row `from` is; to <= from, and all rows below `to` are done. */
static void move_row(struct rows *rows, uint32_t from, uint32_t to, bool metadata) {
  rows->timestamp[to] = rows->timestamp[from];
  for (int d = 0; d < DOMAINS; d++) rows->text[d][to] = rows->text[d][from];
  for (int c = 0; c < INT_COLUMNS; c++) rows->number[c][to] = rows->number[c][from];
  rows->cost[to] = rows->cost[from];
  for (int v = 0; v < INT_COLUMNS + 1; v++) put_bit(rows->valid[v], to, bitmap_get(rows->valid[v], from));
  put_bit(rows->valid[VALID_METADATA], to, metadata && bitmap_get(rows->valid[VALID_METADATA], from));
}

void rows_apply(struct memtable *m, uint32_t first, const struct row_rule *rules, size_t count,
                uint64_t *dropped, uint64_t *changed) {
  struct rows *rows = &m->rows;
  uint32_t to = first;
  uint64_t end = rows->metadata_at[first], next = end;
  for (uint32_t i = first; i < rows->count; i++) {
    uint64_t start = next; /* the offset behind row i - 1, which may be written over by now */
    next = rows->metadata_at[i + 1];
    const struct row_rule *rule = rule_of(rows, i, rules, count);
    enum row_action action = rule ? rule->action : ROW_KEEP;
    if (action == ROW_DROP) {
      ++*dropped;
      continue;
    }
    move_row(rows, i, to, action == ROW_KEEP);
    if (action == ROW_PSEUDONYM) {
      rows->text[column_domain(TALLY_COL_USER_ID)][to] = rule->pseudonym;
      ++*changed;
    } else {
      memmove(rows->metadata + end, rows->metadata + start, next - start);
      end += next - start;
    }
    rows->metadata_at[++to] = end;
  }
  rows->count = to;
}
