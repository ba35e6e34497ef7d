/* scan_fixture.h - a snapshot of segments and memtables with a catalog, and a naive evaluator of predicates
 * on its rows, for the tests of scan. */
#ifndef TESTS_SCAN_FIXTURE_H
#define TESTS_SCAN_FIXTURE_H

#include <criterion/criterion.h>

#include "base/budget.h"
#include "model/decimal.h"
#include "sample_rows.h"
#include "scan/scan.h"

#define JANUARY 648 /* 2024-01 */
#define JANUARY_START INT64_C(1704067200000000)
#define FEBRUARY_START INT64_C(1706745600000000)

/* The text of an id, so that ids and texts can be told without the catalog. */
static inline tally_text fixture_text(int domain, uint32_t id, char text[64]) {
  static const char *const heads[] = {"user_", "s", "/v1/", "M"};
  if (id == 1)
    text[0] = '\0'; /* the empty string is a text */
  else if (id % 5 == 0)
    snprintf(text, 64, "%s%u", "a", id);
  else
    snprintf(text, 64, "%s%x", heads[domain], id * 2654435761u >> 20 << 12 | id);
  return (tally_text){text, strlen(text)};
}

#define PARTS_MOST 8
struct fixture {
  char path[256];
  struct budget budget;
  struct cache *cache;
  struct catalog *catalog;
  struct snapshot snapshot;
  struct segment *segments[PARTS_MOST];
  struct snapshot_rows memtables[PARTS_MOST];
  struct memtable memtable[PARTS_MOST];
  struct rows rows[PARTS_MOST]; /* of each part */
};

static inline void fixture_begin(struct fixture *f, const uint32_t ids[DOMAINS]) {
  tally_error error = {0};
  *f = (struct fixture){0};
  budget_init(&f->budget, 1u << 30, NULL);
  cr_assert_eq(cache_new(32u << 20, &f->budget, &f->cache, &error), 0);
  sample_directory(f->path);
  const uint32_t none[DOMAINS] = {0};
  int result = catalog_open(os_posix(), f->path, none, &f->budget, &f->catalog, &error);
  cr_assert_eq(result, 0, "%s", error.text);
  for (int d = 0; d < DOMAINS; d++)
    for (uint32_t i = 1; i <= ids[d]; i++) {
      char text[64];
      tally_text t = fixture_text(d, i, text);
      uint32_t id;
      const uint8_t size[2] = {(uint8_t)t.size, 0};
      cr_assert_eq(catalog_intern(f->catalog, d, 1, size, t.data, &id, &error), 0, "%s", error.text);
      cr_assert_eq(id, i);
    }
  f->snapshot.catalog = f->catalog;
  memcpy(f->snapshot.ids, ids, sizeof f->snapshot.ids);
  f->snapshot.segments = f->segments;
  f->snapshot.memtables = f->memtables;
}

/* Adds sorted rows as a segment; before any memtable. */
static inline void fixture_segment(struct fixture *f, struct rows rows, int32_t month) {
  tally_error error = {0};
  size_t i = f->snapshot.segment_count++;
  struct segment_info info = {.id = i + 1, .month = month};
  f->rows[i] = rows;
  int result = segment_write(os_posix(), f->path, &rows, &f->budget, &info, &error);
  cr_assert_eq(result, 0, "%s", error.text);
  result = segment_open(os_posix(), f->path, &info, f->cache, &f->budget, &f->segments[i], &error);
  cr_assert_eq(result, 0, "%s", error.text);
}

static inline void fixture_memtable(struct fixture *f, struct rows rows, uint32_t visible) {
  size_t i = f->snapshot.memtable_count++;
  struct rows *own = &f->rows[f->snapshot.segment_count + i];
  *own = rows;
  f->memtable[i].rows = rows;
  own->count = visible;
  struct snapshot_rows *m = &f->memtables[i];
  *m = (struct snapshot_rows){&f->memtable[i], visible, INT64_MAX, INT64_MIN};
  for (uint32_t k = 0; k < rows.count; k++) {
    if (rows.timestamp[k] < m->min_timestamp) m->min_timestamp = rows.timestamp[k];
    if (rows.timestamp[k] > m->max_timestamp) m->max_timestamp = rows.timestamp[k];
  }
}

static inline size_t fixture_parts(const struct fixture *f) {
  return f->snapshot.segment_count + f->snapshot.memtable_count;
}

static inline void fixture_end(struct fixture *f) {
  for (size_t i = 0; i < f->snapshot.segment_count; i++) segment_unref(f->segments[i]);
  for (size_t i = 0; i < fixture_parts(f); i++) sample_free(&f->rows[i]);
  catalog_close(f->catalog);
  cache_free(f->cache);
  cr_assert_eq(budget_used(&f->budget), 0, "every byte goes back to the budget");
  sample_remove_directory(f->path);
}

/* ---- the naive evaluator */

static inline int naive_order(const char *a, size_t na, const char *b, size_t nb) {
  for (size_t i = 0; i < na && i < nb; i++)
    if (a[i] != b[i]) return (unsigned char)a[i] < (unsigned char)b[i] ? -1 : 1;
  return na < nb ? -1 : na > nb;
}

/* Does order (of the value against the literal) satisfy op, for one literal? */
static inline bool naive_order_holds(enum operator op, int order) {
  switch (op) {
  case OP_EQ:
  case OP_IN:
    return order == 0;
  case OP_NE:
  case OP_NOT_IN:
    return order != 0;
  case OP_LT:
    return order < 0;
  case OP_LE:
    return order <= 0;
  case OP_GT:
    return order > 0;
  default:
    return order >= 0;
  }
}

static inline bool naive_literal_holds(enum operator op, bool number, const char *text, size_t size,
                                       const struct literal *l) {
  if (op == OP_PREFIX) return size >= l->size && naive_order(text, l->size, l->text, l->size) == 0;
  return naive_order_holds(op, number ? decimal_compare(text, size, l->text, l->size)
                                      : naive_order(text, size, l->text, l->size));
}

/* The value of a row as text; false if it is NULL. *json_number: a metadata value that is a number. */
static inline bool naive_text(const struct rows *r, uint32_t row, const struct column_ref *ref, char *text,
                              size_t *size, bool *json_number) {
  bool valid;
  int column = ref->column;
  *json_number = false;
  if (column == TALLY_COL_METADATA) {
    if (!bitmap_get(r->valid[VALID_METADATA], row)) return false;
    const char *json = r->metadata + r->metadata_at[row];
    size_t bytes = r->metadata_at[row + 1] - r->metadata_at[row];
    *size = 0;
    if (!ref->depth) return true;
    struct json_value v = json_find(json, bytes, ref->key, ref->depth);
    if (v.kind == JSON_ABSENT || v.kind == JSON_NULL) return false;
    *json_number = v.kind == JSON_NUMBER;
    if (v.kind == JSON_STRING) return json_unescape(v.data, v.size, text, size);
    memcpy(text, v.data, v.size);
    *size = v.size;
    return true;
  }
  int64_t v = sample_value(r, column, row, &valid);
  if (column_kind(column) == KIND_TEXT) {
    if (v == 0) return false;
    *size = fixture_text(column_domain(column), (uint32_t)v, text).size;
    return true;
  }
  if (column_kind(column) == KIND_COST)
    *size = (size_t)snprintf(text, 64, "%s%llu.%09llu", v < 0 ? "-" : "",
                             (unsigned long long)(v < 0 ? 0 - (uint64_t)v : (uint64_t)v) / 1000000000,
                             (unsigned long long)(v < 0 ? 0 - (uint64_t)v : (uint64_t)v) % 1000000000);
  else
    *size = (size_t)snprintf(text, 64, "%lld", (long long)v);
  return valid;
}

static inline bool naive_one(const struct predicate *p, const struct literal *l, const char *text,
                             size_t size, bool json_number, int64_t time) {
  enum column_kind kind = column_kind(p->ref.column);
  if (kind == KIND_TIME) return naive_order_holds(p->op, time < l->value ? -1 : time > l->value);
  if (kind == KIND_JSON && l->number && p->op != OP_PREFIX && !json_number) return false;
  bool number = kind == KIND_INT || kind == KIND_COST || (kind == KIND_JSON && l->number);
  return naive_literal_holds(p->op, number, text, size, l);
}

static inline bool naive_holds(const struct rows *r, uint32_t row, const struct predicate *p) {
  char text[4096];
  size_t size;
  bool json_number, there = naive_text(r, row, &p->ref, text, &size, &json_number);
  if (p->op == OP_IS_NULL) return !there;
  if (!there) return false;
  if (p->op == OP_IS_NOT_NULL) return true;
  bool any = p->op == OP_IN;
  for (size_t i = 0; i < p->count; i++)
    if (naive_one(p, &p->literals[i], text, size, json_number, r->timestamp[row]) == any) return any;
  return !any;
}

static inline bool naive_row(const struct rows *r, uint32_t row, const struct scan_request *q) {
  if (r->timestamp[row] < q->from || r->timestamp[row] >= q->to) return false;
  for (size_t i = 0; i < q->where_count; i++)
    if (!naive_holds(r, row, &q->where[i])) return false;
  return true;
}

#endif
