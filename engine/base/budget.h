/* budget.h - bytes of memory promised out of a fixed amount. Any thread.
 *
 * A budget may have a parent: what is taken from the child is taken from the parent too, so a query's
 * share is also part of the queries' share. */
#ifndef BASE_BUDGET_H
#define BASE_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct budget {
  _Atomic uint64_t used;
  uint64_t limit;
  struct budget *parent;
  /* Where the parent has no room: asked to free that much elsewhere (a cache), and again while it frees
   * something and others take that first; false: nothing is left to free. NULL: nobody is asked. */
  bool (*reclaim)(void *arg, uint64_t bytes);
  void *reclaim_arg;
};

static inline void budget_init(struct budget *b, uint64_t limit, struct budget *parent) {
  atomic_init(&b->used, 0);
  b->limit = limit;
  b->parent = parent;
  b->reclaim = NULL;
  b->reclaim_arg = NULL;
}
/* Takes `bytes`; false, and nothing is taken, if the limit (or a parent's) would be passed. */
bool budget_take(struct budget *b, uint64_t bytes);
void budget_give(struct budget *b, uint64_t bytes);
/* What it and its parent have left now (others may take it first). */
uint64_t budget_left(struct budget *b);
static inline uint64_t budget_used(struct budget *b) { return atomic_load(&b->used); }

#endif
