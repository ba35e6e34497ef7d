/* key_filter.c - judging values inside metadata; see key_filter.h. */
#include "scan/key_filter.h"

#include "model/decimal.h"
#include "scan/compare.h"

struct key_value {
  enum json_kind kind; /* JSON_NULL stands for every NULL */
  tally_text text;
};

/* The value at the predicate's path, unescaped. */
static int find_value(const struct predicate *p, tally_text metadata, struct hold *h, struct buffer *scratch,
                      struct key_value *value, tally_error *error) {
  *value = (struct key_value){.kind = JSON_NULL};
  if (!metadata.data) return 0;
  struct json_value v = json_find(metadata.data, metadata.size, p->ref.key, p->ref.depth);
  if (v.kind == JSON_ABSENT || v.kind == JSON_NULL) return 0;
  if (v.kind == JSON_STRING && v.escaped) {
    int result = hold_reserve(h, scratch, v.size, error);
    if (result) return result;
    size_t size;
    if (!json_unescape(v.data, v.size, (char *)scratch->data, &size)) return 0;
    *value = (struct key_value){JSON_STRING, {(const char *)scratch->data, size}};
    return 0;
  }
  *value = (struct key_value){v.kind, {v.data, v.size}};
  return 0;
}

/* Does a value that is not NULL satisfy `op` against one literal? */
static bool holds(const struct key_value *v, enum operator op, const struct literal *l) {
  tally_text text = {l->text, l->size};
  if (op == OP_PREFIX) return compare_prefix(v->text, text);
  int order;
  if (l->number) {
    if (v->kind != JSON_NUMBER) return false;
    order = decimal_compare(v->text.data, v->text.size, l->text, l->size);
  } else {
    order = compare_texts(v->text, text);
  }
  return operator_holds(op, order);
}

/* IN holds if it holds for one literal, everything else if it holds for all. */
static bool holds_for_list(const struct key_value *v, const struct predicate *p) {
  bool any = p->op == OP_IN;
  for (size_t i = 0; i < p->count; i++)
    if (holds(v, p->op, &p->literals[i]) == any) return any;
  return !any;
}

int key_filter_passes(const struct predicate *p, tally_text metadata, struct hold *h, struct buffer *scratch,
                      bool *passes, tally_error *error) {
  struct key_value v;
  int result = find_value(p, metadata, h, scratch, &v, error);
  if (result) return result;
  bool null = v.kind == JSON_NULL;
  *passes = p->op == OP_IS_NULL ? null : p->op == OP_IS_NOT_NULL ? !null : !null && holds_for_list(&v, p);
  return 0;
}
