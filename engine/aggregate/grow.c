/* grow.c - budgeted memory; see grow.h. */
#include "aggregate/grow.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"

int grow_fail(struct budget *budget, const char *what, tally_error *error) {
  return fail(error, TALLY_MEMORY_LIMIT,
              "the %s of this query does not fit into its share of memory (%" PRIu64
              " bytes): ask for a shorter range, fewer groups or a limit, or give the store more memory",
              what, budget->limit);
}

/* Takes bytes of the budget; says who has them if it cannot: this query, or all that the store does. */
static int take(struct budget *budget, uint64_t bytes, const char *what, tally_error *error) {
  if (budget_take(budget, bytes)) return 0;
  uint64_t used = budget_used(budget);
  if (bytes > budget->limit || used > budget->limit - bytes) return grow_fail(budget, what, error);
  return fail(
      error, TALLY_MEMORY_LIMIT,
      "the %s of this query needs %" PRIu64 " bytes more than the %" PRIu64
      " that it has; ingest, merges and other queries use the rest of the store's memory: ask again, ask "
      "for less at a time, or give the store more memory",
      what, bytes, used);
}

void *grow_memory(struct budget *budget, void *old, size_t old_bytes, size_t new_bytes, const char *what,
                  tally_error *error) {
  size_t more = new_bytes > old_bytes ? new_bytes - old_bytes : 0;
  if (take(budget, more, what, error)) return NULL;
  void *p = mem_realloc(old, new_bytes);
  if (!p) {
    budget_give(budget, more);
    fail_memory(error, what);
    return NULL;
  }
  if (new_bytes < old_bytes) budget_give(budget, old_bytes - new_bytes);
  return p;
}

void *grow_array(struct budget *budget, void *old, size_t old_count, size_t count, size_t size,
                 const char *what, tally_error *error) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) {
    grow_fail(budget, what, error);
    return NULL;
  }
  return grow_memory(budget, old, old_count * size, bytes, what, error);
}

/* Written at once: tables of groups are read before they are written, here and there, and a page of the
 * heap's zeros that is read first is made twice. */
void *grow_zeroed(struct budget *budget, size_t bytes, const char *what, tally_error *error) {
  if (take(budget, bytes, what, error)) return NULL;
  void *p = mem_alloc(bytes);
  if (p) return memset(p, 0, bytes);
  budget_give(budget, bytes);
  fail_memory(error, what);
  return NULL;
}

void grow_free(struct budget *budget, void *p, size_t bytes) {
  mem_free(p);
  if (bytes) budget_give(budget, bytes);
}
