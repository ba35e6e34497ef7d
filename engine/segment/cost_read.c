/* cost_read.c - reading and applying prices; see cost_read.h. */
#include "segment/cost_read.h"

#include "segment/price.h"

/* One part: how many entries, at which price. */
static uint64_t read_part(struct reader *r, struct price *price) {
  uint64_t entries = read_varint(r);
  price->mantissa = unzigzag(read_varint(r));
  price->decimals = read8(r);
  price->unit = read8(r);
  price->rounding = read8(r);
  return entries;
}

bool cost_read_prices(struct reader *r, uint32_t count) {
  uint64_t parts = read_varint(r), at = 0;
  struct price price;
  for (uint64_t i = 0; i < parts; i++) {
    uint64_t entries = read_part(r, &price);
    if (r->bad || entries == 0 || entries > count - at || !price_valid(&price)) return false;
    at += entries;
  }
  return !r->bad && at == count;
}

void cost_apply_prices(struct reader r, uint32_t first, uint32_t n, const int64_t *tokens, int64_t *cost) {
  uint64_t parts = read_varint(&r), at = 0, stop = (uint64_t)first + n;
  struct price price;
  for (uint64_t i = 0; i < parts && at < stop; i++) {
    uint64_t end = at + read_part(&r, &price);
    uint64_t from = at > first ? at : first, to = end < stop ? end : stop;
    if (from < to)
      price_apply(&price, tokens + (from - first), (uint32_t)(to - from), 1, cost + (from - first));
    at = end;
  }
}
