/* budget.c - memory budgets; see budget.h. */
#include "base/budget.h"

bool budget_take(struct budget *b, uint64_t bytes) {
  uint64_t used = atomic_load(&b->used);
  do {
    if (bytes > b->limit || used > b->limit - bytes) return false;
  } while (!atomic_compare_exchange_weak(&b->used, &used, used + bytes));
  if (!b->parent || budget_take(b->parent, bytes)) return true;
  while (b->reclaim && b->reclaim(b->reclaim_arg, bytes))
    if (budget_take(b->parent, bytes)) return true;
  atomic_fetch_sub(&b->used, bytes);
  return false;
}

void budget_give(struct budget *b, uint64_t bytes) {
  atomic_fetch_sub(&b->used, bytes);
  if (b->parent) budget_give(b->parent, bytes);
}

static uint64_t left(struct budget *b) {
  uint64_t used = budget_used(b);
  return used < b->limit ? b->limit - used : 0;
}

uint64_t budget_left(struct budget *b) {
  uint64_t own = left(b), above = b->parent ? left(b->parent) : own;
  return own < above ? own : above;
}
