/* text_filter.c - binding and judging; see text_filter.h. */
#include "scan/text_filter.h"

#include <stdlib.h>

#include "scan/compare.h"

#define EAGER_IDS 4096u /* domains of at most this many texts are judged at once */

struct text_test {
  enum operator op;
  tally_text text; /* comparisons and prefix */
  uint32_t *ids;   /* =, !=, in, not in: the literals' ids, ascending */
  uint32_t count;
};

static int compare_ids(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

static bool has_id(const struct text_test *t, uint32_t id) {
  return t->count && bsearch(&id, t->ids, t->count, sizeof id, compare_ids);
}

static bool test_text(const struct text_test *t, tally_text text) {
  if (t->op == OP_PREFIX) return compare_prefix(text, t->text);
  int order = compare_texts(text, t->text);
  return operator_holds(t->op, order);
}

/* Does the id of a text (not 0) satisfy every test? */
static bool test_id(const struct text_filter *f, uint32_t id) {
  tally_text text = {NULL, 0};
  for (size_t i = 0; i < f->count; i++) {
    const struct text_test *t = &f->tests[i];
    bool pass = true;
    switch (t->op) {
    case OP_EQ:
    case OP_IN:
      pass = has_id(t, id);
      break;
    case OP_NE:
    case OP_NOT_IN:
      pass = !has_id(t, id);
      break;
    case OP_IS_NULL:
      pass = false;
      break;
    case OP_IS_NOT_NULL:
      break;
    default:
      if (!text.data) text = catalog_text(f->catalog, f->domain, id);
      pass = test_text(t, text);
    }
    if (!pass) return false;
  }
  return true;
}

bool text_filter_judge(const struct text_filter *f, uint32_t id) {
  bool pass = id == 0 ? f->passes_null : f->listed ? intervals_have(&f->in, id) : test_id(f, id);
  uint64_t bits = (pass ? UINT64_C(3) : UINT64_C(1)) << (id % 32 * 2);
  atomic_fetch_or_explicit(&f->memo[id / 32], bits, memory_order_relaxed);
  return pass;
}

/* Looks the literals up; a text without an id is in no row. */
static int bind_ids(struct hold *h, const struct text_filter *f, const struct predicate *p,
                    struct text_test *t, tally_error *error) {
  void *memory;
  int result = hold_alloc(h, p->count, sizeof *t->ids, &memory, error);
  if (result) return result;
  t->ids = memory;
  for (size_t i = 0; i < p->count; i++) {
    uint32_t id = catalog_find(f->catalog, f->domain, p->literals[i].text, p->literals[i].size);
    if (id != CATALOG_NONE && id <= f->ids) t->ids[t->count++] = id;
  }
  if (t->count) qsort(t->ids, t->count, sizeof *t->ids, compare_ids);
  return 0;
}

static int bind_test(struct hold *h, const struct text_filter *f, const struct predicate *p,
                     struct text_test *t, tally_error *error) {
  *t = (struct text_test){.op = p->op};
  switch (p->op) {
  case OP_EQ:
  case OP_NE:
  case OP_IN:
  case OP_NOT_IN:
    return bind_ids(h, f, p, t, error);
  case OP_IS_NULL:
  case OP_IS_NOT_NULL:
    return 0;
  default:
    t->text = (tally_text){p->literals[0].text, p->literals[0].size};
    return 0;
  }
}

/* The shortest list of ids among the tests, NULL if none lists ids. */
static const struct text_test *shortest_list(const struct text_filter *f) {
  const struct text_test *best = NULL;
  for (size_t i = 0; i < f->count; i++)
    if ((f->tests[i].op == OP_EQ || f->tests[i].op == OP_IN) && (!best || f->tests[i].count < best->count))
      best = &f->tests[i];
  return best;
}

/* Judges the candidates (a list's ids, or all) and keeps those that pass as intervals. */
static int judge_all(struct hold *h, struct text_filter *f, const struct text_test *list,
                     tally_error *error) {
  uint32_t candidates = list ? list->count : f->ids, n = 0;
  void *memory;
  int result = hold_alloc(h, (size_t)candidates + 1, sizeof(int64_t), &memory, error);
  if (result) return result;
  int64_t *passing = memory;
  if (f->passes_null) passing[n++] = 0;
  for (uint32_t i = 0; i < candidates; i++) {
    uint32_t id = list ? list->ids[i] : i + 1;
    if (test_id(f, id)) passing[n++] = id;
  }
  f->listed = true;
  return intervals_of_points(h, passing, n, &f->in, error);
}

int text_filter_bind(struct hold *h, struct catalog *catalog, uint32_t ids, int column,
                     const struct predicate *const *predicates, size_t count, struct text_filter *f,
                     tally_error *error) {
  *f = (struct text_filter){.catalog = catalog, .domain = column_domain(column), .ids = ids, .count = count};
  void *memory;
  int result = hold_alloc(h, count, sizeof *f->tests, &memory, error);
  if (result) return result;
  f->tests = memory;
  f->passes_null = true;
  for (size_t i = 0; i < count && !result; i++) {
    result = bind_test(h, f, predicates[i], &f->tests[i], error);
    f->passes_null &= predicates[i]->op == OP_IS_NULL;
  }
  const struct text_test *list = shortest_list(f);
  if (!result && (list || ids <= EAGER_IDS)) result = judge_all(h, f, list, error);
  if (result || (f->listed && f->in.count <= TEXT_INTERVALS)) return result;
  result = hold_alloc(h, (size_t)ids / 32 + 1, sizeof *f->memo, &memory, error);
  if (!result) f->memo = memory;
  return result;
}
