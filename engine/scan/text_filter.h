/* text_filter.h - the predicates on one text column, as a question about catalog ids.
 *
 * Where a predicate lists texts (=, in), or there are few texts in all, the ids that pass are known when the
 * scan is bound: `in`. Otherwise ids are judged when they are first met, and the answer is kept: two bits an
 * id, shared by all scanners of the scan, so the catalog is asked once a distinct text. NULL is id 0. */
#ifndef SCAN_TEXT_FILTER_H
#define SCAN_TEXT_FILTER_H

#include <stdatomic.h>

#include "catalog/catalog.h"
#include "scan/interval.h"

/* As intervals of ids these are looked at row by row; more are looked up in the memo. */
#define TEXT_INTERVALS 4u

struct text_test; /* one predicate */
struct text_filter {
  struct catalog *catalog;
  int domain;
  uint32_t ids;     /* ids 1..ids may occur */
  bool passes_null; /* IS NULL: then nothing else passes */
  bool listed;      /* `in` is exact */
  struct intervals in;
  struct text_test *tests;
  size_t count;
  _Atomic uint64_t
      *memo; /* id i: bits 2 * (i % 32) (known) and the next one (passes) of word i / 32; or NULL */
};

/* Binds all predicates on a text column. */
int text_filter_bind(struct hold *h, struct catalog *catalog, uint32_t ids, int column,
                     const struct predicate *const *predicates, size_t count, struct text_filter *f,
                     tally_error *error);
bool text_filter_judge(const struct text_filter *f, uint32_t id); /* and keeps the answer */

/* Does an id pass? */
static inline bool text_filter_passes(const struct text_filter *f, uint32_t id) {
  if (!f->memo) return intervals_have(&f->in, id);
  if (id > f->ids) return false;
  uint64_t word = atomic_load_explicit(&f->memo[id / 32], memory_order_relaxed) >> (id % 32 * 2);
  return word & 1 ? word >> 1 & 1 : text_filter_judge(f, id);
}
/* May any id of [low, high] pass? */
static inline bool text_filter_may(const struct text_filter *f, int64_t low, int64_t high) {
  return !f->listed || intervals_meet(&f->in, low, high);
}

#endif
