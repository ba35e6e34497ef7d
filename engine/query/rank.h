/* rank.h - the order of texts by bytes, as numbers: each text that occurs is marked, then ranked once, and
 * sorting rows becomes sorting small integers. */
#ifndef QUERY_RANK_H
#define QUERY_RANK_H

#include <stddef.h>
#include <stdint.h>
#include <tally.h>

#include "base/budget.h"

struct rank {
  struct budget *budget;
  tally_text (*text)(const void *arg, uint32_t id);
  const void *arg;
  uint32_t *of; /* by id: 0 not marked, else marked, then the rank from 1 */
  size_t of_count;
  uint32_t *ids; /* marked ones; then in order of their texts */
  size_t count, capacity;
  uint64_t *prefix; /* while sorting */
};

/* Ids are 1..most and have different texts, which hold no NUL byte. */
int rank_init(struct rank *rank, uint32_t most, tally_text (*text)(const void *arg, uint32_t id),
              const void *arg, struct budget *budget, tally_error *error);
void rank_free(struct rank *rank);
int rank_mark(struct rank *rank, uint32_t id, tally_error *error);
/* After the last mark: of[id] is the rank of each marked id, from 1. */
int rank_sort(struct rank *rank, tally_error *error);

#endif
