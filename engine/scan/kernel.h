/* kernel.h - selections: bit i of a selection of a chunk says that row i is still in. */
#ifndef SCAN_KERNEL_H
#define SCAN_KERNEL_H

#include "base/bitmap.h"
#include "scan/text_filter.h"

#define SELECTION_WORDS 64u /* CHUNK_ROWS bits */

/* Sets bits [from, to). */
void select_range(uint64_t *selection, uint32_t from, uint32_t to);
/* Keeps the rows of [first, first + count), first a multiple of 64, whose value is in the set; rows outside
 * of it must not be selected. */
void select_intervals(uint64_t *selection, uint32_t first, uint32_t count, const int64_t *values,
                      const struct intervals *in);
void select_texts(uint64_t *selection, uint32_t first, uint32_t count, const int64_t *ids,
                  const struct text_filter *f);
/* Keeps those of rows [0, count) whose id is in a few intervals. Made for ids that are rare. */
void select_ids(uint64_t *selection, uint32_t count, const uint32_t *ids, const struct intervals *few);
/* Keeps the rows whose bit in valid (bit 0 is row `first`) is set, or, with null, is clear. */
void select_valid(uint64_t *selection, uint32_t first, uint32_t count, const uint64_t *valid, bool null);
/* The selected rows in order; gives their number. */
uint32_t select_list(const uint64_t *selection, uint32_t rows, uint16_t *list);
/* The first selected row and the one behind the last; false if there is none. */
bool select_bounds(const uint64_t *selection, uint32_t *first, uint32_t *end);
/* Are rows [first, end), which are some, all selected? */
bool select_solid(const uint64_t *selection, uint32_t first, uint32_t end);
/* Sets bits [at, at + count) of to from the bits of `from` (bit 0 on), or all of them if from is NULL. */
void select_append(uint64_t *to, uint32_t at, const uint64_t *from, uint32_t count);

#endif
