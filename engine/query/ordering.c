/* ordering.c - see ordering.h.
 *
 * Every key of a row becomes a 64-bit integer (an aggregate: two) whose ascending order is the wanted one,
 * with NULL as UINT64_MAX; rows are sorted by them from the last key to the first with a stable radix sort.
 * With a limit and --order-by, rows are first sorted by those keys alone, so that only rows that can be in
 * the answer need the default order, which ranks texts. */
#include "query/ordering.h"

#include "aggregate/grow.h"
#include "aggregate/radix.h"
#include "query/rank.h"

#define LAST UINT64_MAX /* NULL */

static const char what[] = "sorting of the answer";

struct sorter {
  const struct plan *plan;
  const struct tally_up *total;
  uint32_t *rows, *scratch;
  size_t count;
  uint64_t *high, *low; /* keys by group number */
};

/* ------------------------------------------------------------------ texts */

struct text_space {
  const struct catalog *catalog;
  int domain;
  const struct intern *intern; /* instead of the catalog */
};

static struct text_space space_of(const struct plan *plan, const struct tally_up *total, size_t group) {
  if (plan->group_source[group] != NO_SOURCE) return (struct text_space){.intern = &total->sources.intern};
  return (struct text_space){plan->environment->snapshot->catalog,
                             column_domain(plan->request->group[group].ref.column), NULL};
}

static tally_text space_text(const void *arg, uint32_t id) {
  const struct text_space *space = arg;
  return space->intern ? intern_text(space->intern, id) : catalog_text(space->catalog, space->domain, id);
}

tally_text ordering_text(const struct plan *plan, const struct tally_up *total, size_t group, uint32_t id) {
  struct text_space space = space_of(plan, total, group);
  return space_text(&space, id);
}

/* ------------------------------------------------------------------ keys */

static uint64_t code_of(const struct sorter *s, uint32_t row, size_t part) {
  return key_code(groups_key(&s->total->groups, row), s->plan->layout.part[part]);
}

static void sort_rows(struct sorter *s, const uint64_t *keys) {
  radix_order(s->rows, s->scratch, s->count, keys);
}

static void sort_by_bucket(struct sorter *s, bool descending) {
  for (size_t i = 0; i < s->count; i++) {
    uint64_t code = code_of(s, s->rows[i], 0);
    s->low[s->rows[i]] = descending ? ~code : code;
  }
  sort_rows(s, s->low);
}

/* An integer's code keeps its order; 0 is NULL. */
static void sort_by_integer(struct sorter *s, size_t part, bool descending) {
  for (size_t i = 0; i < s->count; i++) {
    uint64_t code = code_of(s, s->rows[i], part);
    s->low[s->rows[i]] = code == 0 ? LAST : descending ? LAST - code : code;
  }
  sort_rows(s, s->low);
}

static int sort_by_text(struct sorter *s, size_t group, bool descending, tally_error *error) {
  struct text_space space = space_of(s->plan, s->total, group);
  size_t part = plan_group_part(s->plan, group);
  uint32_t most = space.intern ? space.intern->count : s->plan->environment->snapshot->ids[space.domain];
  struct rank rank;
  int rc = rank_init(&rank, most, space_text, &space, s->plan->environment->budget, error);
  for (size_t i = 0; i < s->count && !rc; i++) {
    uint32_t id = (uint32_t)code_of(s, s->rows[i], part);
    if (id) rc = rank_mark(&rank, id, error);
  }
  if (!rc) rc = rank_sort(&rank, error);
  for (size_t i = 0; i < s->count && !rc; i++) {
    uint64_t id = code_of(s, s->rows[i], part);
    s->low[s->rows[i]] = id == 0 ? LAST : descending ? LAST - rank.of[id] : rank.of[id];
  }
  rank_free(&rank);
  if (!rc) sort_rows(s, s->low);
  return rc;
}

static int sort_by_group(struct sorter *s, size_t group, bool descending, tally_error *error) {
  const struct column_ref *ref = &s->plan->request->group[group].ref;
  if (ref->key || column_kind(ref->column) == KIND_TEXT) return sort_by_text(s, group, descending, error);
  sort_by_integer(s, plan_group_part(s->plan, group), descending);
  return 0;
}

/* 128-bit values as two words; the greatest pair is NULL's (no aggregate comes near it). */
static int sort_by_output(struct sorter *s, size_t output, bool descending, tally_error *error) {
  for (size_t i = 0; i < s->count; i++) {
    struct number number;
    uint32_t row = s->rows[i];
    int rc = execute_result(s->plan, s->total, output, row, &number, error);
    if (rc) return rc;
    uint128 key = (uint128)number.value ^ ((uint128)1 << 127);
    if (descending) key = ~key;
    s->high[row] = number.null ? LAST : (uint64_t)(key >> 64);
    s->low[row] = number.null ? LAST : (uint64_t)key;
  }
  sort_rows(s, s->low);
  sort_rows(s, s->high);
  return 0;
}

/* ------------------------------------------------------------------ the order */

static int sort_by_default(struct sorter *s, tally_error *error) {
  const struct request *r = s->plan->request;
  for (size_t g = r->group_count; g-- > 0;) {
    int rc = sort_by_group(s, g, false, error);
    if (rc) return rc;
  }
  if (r->has_bucket) sort_by_bucket(s, false);
  return 0;
}

static int sort_by_request(struct sorter *s, tally_error *error) {
  const struct request *r = s->plan->request;
  int rc = 0;
  for (size_t k = r->order_count; k-- > 0 && !rc;) {
    const struct order_key *key = &r->order[k];
    switch (key->what) {
    case ORDER_BUCKET:
      sort_by_bucket(s, key->descending);
      break;
    case ORDER_GROUP:
      rc = sort_by_group(s, key->index, key->descending, error);
      break;
    case ORDER_OUTPUT:
      rc = sort_by_output(s, key->index, key->descending, error);
      break;
    }
  }
  return rc;
}

/* Are two rows equal in every key of --order-by? */
static int equal_keys(const struct sorter *s, uint32_t a, uint32_t b, bool *equal, tally_error *error) {
  const struct request *r = s->plan->request;
  *equal = true;
  for (size_t k = 0; k < r->order_count && *equal; k++) {
    const struct order_key *key = &r->order[k];
    if (key->what != ORDER_OUTPUT) {
      size_t part = key->what == ORDER_BUCKET ? 0 : plan_group_part(s->plan, key->index);
      *equal = code_of(s, a, part) == code_of(s, b, part);
      continue;
    }
    struct number x, y;
    int rc = execute_result(s->plan, s->total, key->index, a, &x, error);
    if (!rc) rc = execute_result(s->plan, s->total, key->index, b, &y, error);
    if (rc) return rc;
    *equal = x.null == y.null && (x.null || x.value == y.value);
  }
  return 0;
}

/* Leaves only rows that can be among the first `limit`. */
static int cut(struct sorter *s, size_t limit, tally_error *error) {
  int rc = sort_by_request(s, error);
  if (rc) return rc;
  bool equal = true;
  size_t count = limit;
  while (count < s->count) {
    rc = equal_keys(s, s->rows[limit - 1], s->rows[count], &equal, error);
    if (rc || !equal) break;
    count++;
  }
  s->count = count;
  return rc;
}

static int sort_all(struct sorter *s, tally_error *error) {
  const struct request *r = s->plan->request;
  int rc = 0;
  for (size_t i = 0; i < s->count; i++) s->rows[i] = (uint32_t)i;
  if (r->order_count && r->limit > 0 && r->limit < s->count) rc = cut(s, (size_t)r->limit, error);
  if (!rc) rc = sort_by_default(s, error);
  return rc ? rc : sort_by_request(s, error);
}

int ordering_make(struct ordering *ordering, const struct plan *plan, const struct tally_up *total,
                  tally_error *error) {
  struct budget *budget = plan->environment->budget;
  size_t n = total->groups.count, bytes = n * (2 * sizeof(uint64_t) + sizeof(uint32_t));
  *ordering = (struct ordering){0};
  if (n == 0) return 0;
  ordering->rows = grow_array(budget, NULL, 0, n, sizeof *ordering->rows, what, error);
  if (!ordering->rows) return error->code;
  ordering->capacity = n;
  uint64_t *keys = grow_memory(budget, NULL, 0, bytes, what, error);
  if (!keys) return error->code;
  struct sorter s = {plan, total, ordering->rows, (uint32_t *)(keys + 2 * n), n, keys, keys + n};
  int rc = n > 1 ? sort_all(&s, error) : (ordering->rows[0] = 0, 0);
  grow_free(budget, keys, bytes);
  ordering->count = s.count < plan->request->limit ? s.count : (size_t)plan->request->limit;
  return rc;
}

void ordering_free(struct ordering *ordering, const struct plan *plan) {
  grow_free(plan->environment->budget, ordering->rows, ordering->capacity * sizeof *ordering->rows);
  *ordering = (struct ordering){0};
}
