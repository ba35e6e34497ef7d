/* cost_read.h - the prices in front of costs that are stored as differences (docs/format/segment.md,
 * "Costs"). */
#ifndef SEGMENT_COST_READ_H
#define SEGMENT_COST_READ_H

#include <stdbool.h>
#include <stdint.h>

#include "base/array.h"
#include "base/bytes.h"

/* Reads the prices of `count` entries; false if they are not prices or cover another number of entries. */
bool cost_read_prices(struct reader *r, uint32_t count);
/* Adds what those prices predict to cost[0..n), the entries [first, first + n); tokens are theirs. The reader
 * stands where cost_read_prices began, which must have returned true. */
void cost_apply_prices(struct reader prices, uint32_t first, uint32_t n, const int64_t *tokens,
                       int64_t *cost);
/* The sum of what that would add, modulo 2^64; the tokens are within `bounds`. */
uint64_t cost_sum_prices(struct reader prices, uint32_t first, uint32_t n, const int64_t *tokens,
                         struct bounds bounds);

#endif
