/* cost_write.c - encoding costs; see cost_write.h and price.h. */
#include "segment/cost_write.h"

static uint32_t span_first(const struct service_span *span, bool runs) {
  return runs ? span->first_run : span->first;
}
static uint32_t span_end(const struct service_span *span, bool runs) {
  return runs ? span->first_run + span->runs : span->first + span->rows;
}

void cost_find_parts(struct costs *c, const struct directory *d, bool runs, uint32_t first) {
  uint32_t low = 0, high = d->services;
  while (high - low > 1) { /* the span that holds `first` */
    uint32_t middle = low + (high - low) / 2;
    if (span_first(&d->span[middle], runs) <= first)
      low = middle;
    else
      high = middle;
  }
  uint32_t end = first + c->count;
  c->parts = 0;
  for (uint32_t i = low; i < d->services && span_first(&d->span[i], runs) < end; i++) {
    uint32_t from = span_first(&d->span[i], runs), to = span_end(&d->span[i], runs);
    if (c->parts == COST_PARTS) {
      c->parts = 0;
      return;
    }
    c->part[c->parts++] = (to < end ? to : end) - (from > first ? from : first);
  }
}

/* Prices are for tokens of 32 bits: no product leaves price.c's range. */
static bool tokens_in_range(const struct costs *c) {
  bool in = true;
  for (uint32_t i = 0; i < c->count; i++) in &= c->tokens[i] == (int32_t)c->tokens[i];
  return in;
}

/* The price of entries [first, first + count), judged by those that are single rows: a sum of rounded costs
 * is not the rounded cost of the sum. */
static bool fit_part(const struct costs *c, uint32_t first, uint32_t count, struct price *last,
                     struct price *price) {
  int64_t tokens[PRICE_SAMPLE], cost[PRICE_SAMPLE];
  uint32_t n = 0;
  for (uint32_t i = first; i < first + count && n < PRICE_SAMPLE; i++) {
    if (c->row && c->row[i + 1] - c->row[i] != 1) continue;
    tokens[n] = c->tokens[i];
    cost[n++] = c->cost[i];
  }
  if (n == 0) return false;
  if (price_misses(last, tokens, cost, n) > n / 16 && !price_fit(tokens, cost, n, last)) return false;
  *price = *last;
  return true;
}

/* Finds each part's price and leaves the differences in rest; false if most entries follow none. */
static bool fit_parts(const struct costs *c, struct price *last, struct price *prices, int64_t *rest) {
  uint32_t at = 0, priced = 0;
  if (c->parts == 0 || !tokens_in_range(c)) return false;
  memcpy(rest, c->cost, c->count * sizeof *rest);
  for (uint32_t i = 0; i < c->parts; i++) {
    if (fit_part(c, at, c->part[i], last, &prices[i])) {
      price_apply(&prices[i], c->tokens + at, c->part[i], -1, rest + at);
      priced += c->part[i];
    } else {
      prices[i] = (struct price){0};
    }
    at += c->part[i];
  }
  return priced > c->count / 2;
}

static void put_parts(struct buffer *out, const struct costs *c, const struct price *prices) {
  write8(out, COST_PRICED);
  write_varint(out, c->parts);
  for (uint32_t i = 0; i < c->parts; i++) {
    write_varint(out, c->part[i]);
    write_varint(out, zigzag(prices[i].mantissa));
    write8(out, prices[i].decimals);
    write8(out, prices[i].unit);
    write8(out, prices[i].rounding);
  }
}

/* About the bytes that plain costs take: the length of their range in units, for each. */
static size_t plain_guess(const struct costs *c, uint8_t unit) {
  int64_t min = c->cost[0], max = c->cost[0];
  for (uint32_t i = 1; i < c->count; i++) {
    if (c->cost[i] < min) min = c->cost[i];
    if (c->cost[i] > max) max = c->cost[i];
  }
  uint64_t range = (uint64_t)max - (uint64_t)min;
  for (; unit > 0; unit--) range /= 10;
  return (size_t)c->count * (64 - (unsigned)__builtin_clzll(range | 1)) / 8;
}

void cost_write(struct buffer *out, const struct costs *c, struct chunk_scratch *scratch) {
  struct price prices[COST_PARTS];
  size_t start = out->size, priced = SIZE_MAX;
  if (fit_parts(c, &scratch->price, prices, scratch->rest)) {
    if (c->nulls) chunk_compact(scratch->rest, c->valid, c->count);
    put_parts(out, c, prices);
    ints_encode_next(scratch->rest, c->count - c->nulls, out, &scratch->ints, &scratch->priced);
    priced = out->size - start;
  }
  if (priced <= plain_guess(c, scratch->price.unit) / 4) return; /* plain ones would not beat that */
  memcpy(scratch->rest, c->cost, c->count * sizeof *scratch->rest);
  if (c->nulls) chunk_compact(scratch->rest, c->valid, c->count);
  buffer_clear(&scratch->trial);
  write8(&scratch->trial, COST_PLAIN);
  ints_encode_next(scratch->rest, c->count - c->nulls, &scratch->trial, &scratch->ints, &scratch->plain);
  if (priced <= scratch->trial.size) return;
  out->size = start;
  buffer_append(out, scratch->trial.data, scratch->trial.size);
}
