/* worker.h - one thread's share of a query: parts, vector by vector, into groups and accumulators. */
#ifndef QUERY_WORKER_H
#define QUERY_WORKER_H

#include "query/execute.h"

struct worker {
  const struct plan *plan;
  struct tally_up up;
  struct scanner *scanner;
  uint64_t *keys;    /* word w of row i: keys[w * VECTOR_ROWS + i] */
  uint64_t *codes;   /* of one part of the keys */
  uint32_t *numbers; /* group of each row */
};

/* Free in any case. */
int worker_init(struct worker *worker, const struct plan *plan, tally_error *error);
void worker_free(struct worker *worker);
/* Adds up part `index` in the way that the plan chose. */
int worker_part(struct worker *worker, size_t index, tally_error *error);

#endif
