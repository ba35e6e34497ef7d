/* order.h - the order in which a segment stores rows: (month, service, user, timestamp), ties by arrival.
 *
 * Least-significant-digit radix sort over row numbers: each pass is a stable counting sort, and passes over
 * digits in which all rows agree are left out (Knuth, TAOCP 3, 5.2.5). */
#ifndef MAINTAIN_ORDER_H
#define MAINTAIN_ORDER_H

#include <tally.h>

#include "model/rows.h"

/* Months since 1970-01 of a timestamp, and the first microsecond of a month. */
int32_t month_of(int64_t timestamp);
int64_t month_start(int32_t month);

/* Fills order[0..rows->count) with row numbers in storage order. Each array of `scratch` has
 * room for count words. */
struct order_scratch {
  uint64_t *entry[2];
};
void order_rows(const struct rows *rows, uint32_t *order, const struct order_scratch *scratch);

#endif
