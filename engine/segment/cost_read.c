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

/* The parts of the prices that have some of the entries [first, first + n). */
struct walk {
  struct reader at;
  uint64_t parts, begin, first, stop;
};

static struct walk walk_begin(struct reader prices, uint32_t first, uint32_t n) {
  struct walk w = {.at = prices, .first = first, .stop = (uint64_t)first + n};
  w.parts = read_varint(&w.at);
  return w;
}

/* The next part: its price, and which of the n entries it has. */
static bool walk_next(struct walk *w, struct price *price, uint32_t *from, uint32_t *count) {
  for (; w->parts > 0 && w->begin < w->stop; w->parts--) {
    uint64_t begin = w->begin, end = begin + read_part(&w->at, price);
    w->begin = end;
    if (end <= w->first) continue;
    if (begin < w->first) begin = w->first;
    *from = (uint32_t)(begin - w->first);
    *count = (uint32_t)((end < w->stop ? end : w->stop) - begin);
    w->parts--;
    return true;
  }
  return false;
}

void cost_apply_prices(struct reader prices, uint32_t first, uint32_t n, const int64_t *tokens,
                       int64_t *cost) {
  struct walk w = walk_begin(prices, first, n);
  struct price price;
  for (uint32_t from, count; walk_next(&w, &price, &from, &count);)
    price_apply(&price, tokens + from, count, 1, cost + from);
}

uint64_t cost_sum_prices(struct reader prices, uint32_t first, uint32_t n, const int64_t *tokens,
                         struct bounds bounds) {
  struct walk w = walk_begin(prices, first, n);
  struct price price;
  uint64_t sum = 0;
  for (uint32_t from, count; walk_next(&w, &price, &from, &count);)
    sum += price_sum(&price, tokens + from, count, bounds);
  return sum;
}
