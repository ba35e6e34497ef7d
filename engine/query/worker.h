/* worker.h - one thread's share of a query: parts, vector by vector, into groups and accumulators. */
#ifndef QUERY_WORKER_H
#define QUERY_WORKER_H

#include "query/execute.h"
#include "query/keys.h"

struct worker {
  const struct plan *plan;
  struct tally_up up;
  struct scanner *scanner;
  struct keys keys;
  bool adds_up;    /* chunks of one group may be added up without their rows */
  uint32_t summed; /* measures (bits) whose sums that takes */
};

/* Free in any case. */
int worker_init(struct worker *worker, const struct plan *plan, tally_error *error);
void worker_free(struct worker *worker);
/* What a thread takes at a time: a part, or a piece of one whose rows or runs are read. */
struct task {
  size_t part;
  uint32_t piece, pieces;
  bool of_services; /* pieces are of services, else of chunks */
};
/* Adds it up in the way that the plan chose for the part. */
int worker_task(struct worker *worker, const struct task *task, tally_error *error);

#endif
