/* ordering.h - the order of an answer's rows (contract, section 3).
 *
 * Rows are group numbers. By default: bucket ascending, then the group columns in the order given, texts by
 * bytes, integers by value, NULL last. Keys of --order-by come before that; NULL is last both ways. */
#ifndef QUERY_ORDERING_H
#define QUERY_ORDERING_H

#include "query/execute.h"

/* The rows of the answer: the first `limit` groups in order. */
struct ordering {
  uint32_t *rows;
  size_t count;    /* of the answer */
  size_t capacity; /* of rows */
};

/* The states of `total` are sealed. TALLY_MEMORY_LIMIT, TALLY_NO_MEMORY, TALLY_OVERFLOW. */
int ordering_make(struct ordering *ordering, const struct plan *plan, const struct tally_up *total,
                  tally_error *error);
void ordering_free(struct ordering *ordering, const struct plan *plan);

#endif
