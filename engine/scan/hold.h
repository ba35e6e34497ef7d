/* hold.h - memory of a scan or a scanner: taken from its budget, given back all at once. */
#ifndef SCAN_HOLD_H
#define SCAN_HOLD_H

#include <tally.h>

#include "base/budget.h"
#include "base/bytes.h"

struct hold {
  struct budget *budget;
  struct held *list;
};

/* Zeroed memory that lives until hold_free: TALLY_MEMORY_LIMIT, TALLY_NO_MEMORY. */
int hold_alloc(struct hold *h, size_t count, size_t size, void **to, tally_error *error);
/* The same, but not zeroed. */
int hold_take(struct hold *h, size_t size, void **to, tally_error *error);
void hold_free(struct hold *h);
/* Gives a buffer at least this capacity, keeping its bytes. Its memory is given back with hold_buffer_free.
 */
int hold_reserve(struct hold *h, struct buffer *b, size_t capacity, tally_error *error);
void hold_buffer_free(struct hold *h, struct buffer *b);

#endif
