/* grow.h - memory that grows with the data: first promised by the query's budget, then allocated.
 *
 * Law: what a structure holds is at every moment taken from its budget, and given back when it is freed. */
#ifndef AGGREGATE_GROW_H
#define AGGREGATE_GROW_H

#include <stddef.h>
#include <tally.h>

#include "base/budget.h"

/* Moves `old` (old_bytes, NULL for 0) to room for new_bytes. On failure NULL, *error is TALLY_MEMORY_LIMIT or
 * TALLY_NO_MEMORY naming `what`, and `old` is as it was. New bytes are not initialised. */
void *grow_memory(struct budget *budget, void *old, size_t old_bytes, size_t new_bytes, const char *what,
                  tally_error *error);
/* The same for an array: room for `count` elements of `size` bytes. */
void *grow_array(struct budget *budget, void *old, size_t old_count, size_t count, size_t size,
                 const char *what, tally_error *error);
/* New zeroed memory; pages that are never touched cost nothing but their promise. */
void *grow_zeroed(struct budget *budget, size_t bytes, const char *what, tally_error *error);
/* Frees p and gives its bytes back; p may be NULL with 0 bytes. */
void grow_free(struct budget *budget, void *p, size_t bytes);
/* TALLY_MEMORY_LIMIT: `what` does not fit the budget. */
int grow_fail(struct budget *budget, const char *what, tally_error *error);

#endif
