/* cost_write.c - encoding cost chunks; see cost_write.h and price.h. */
#include "segment/cost_write.h"

#include "segment/price.h"

struct part {
  uint32_t rows;
  struct price price;
};

/* The services that rows [first, first + count) belong to, as parts; 0 if there are too many. */
static uint32_t find_parts(const struct directory *d, uint32_t first, uint32_t count, struct part *parts) {
  uint32_t low = 0, high = d->services;
  while (high - low > 1) { /* the span that holds `first` */
    uint32_t middle = low + (high - low) / 2;
    if (d->span[middle].first <= first)
      low = middle;
    else
      high = middle;
  }
  uint32_t n = 0, end = first + count;
  for (uint32_t i = low; i < d->services && d->span[i].first < end; i++) {
    if (n == COST_PARTS) return 0;
    uint32_t from = d->span[i].first > first ? d->span[i].first : first;
    uint32_t to = d->span[i].first + d->span[i].rows < end ? d->span[i].first + d->span[i].rows : end;
    parts[n++] = (struct part){.rows = to - from};
  }
  return n;
}

/* Finds each part's price and leaves the differences in scratch->rest; false if most rows follow none. */
static bool fit_parts(struct part *parts, uint32_t n, const struct rows *rows, uint32_t first, uint32_t count,
                      struct chunk_scratch *scratch) {
  uint32_t row = 0, priced = 0;
  const int32_t *tokens = rows->number[TALLY_COL_TOKENS_USED - TALLY_COL_REQUEST_SIZE] + first;
  for (uint32_t i = 0; i < count; i++) scratch->tokens[i] = tokens[i];
  memcpy(scratch->rest, rows->cost + first, count * sizeof *scratch->rest);
  for (uint32_t i = 0; i < n; i++) {
    if (price_fit(scratch->tokens + row, scratch->rest + row, parts[i].rows, &parts[i].price)) {
      price_apply(&parts[i].price, scratch->tokens + row, parts[i].rows, -1, scratch->rest + row);
      priced += parts[i].rows;
    } else {
      parts[i].price = (struct price){0};
    }
    row += parts[i].rows;
  }
  return priced > count / 2;
}

static void put_parts(struct buffer *out, const struct part *parts, uint32_t n) {
  write8(out, COST_PRICED);
  write_varint(out, n);
  for (uint32_t i = 0; i < n; i++) {
    write_varint(out, parts[i].rows);
    write_varint(out, zigzag(parts[i].price.mantissa));
    write8(out, parts[i].price.decimals);
    write8(out, parts[i].price.unit);
    write8(out, parts[i].price.rounding);
  }
}

void cost_write(struct buffer *out, const struct rows *rows, uint32_t first, uint32_t count, uint32_t nulls,
                const struct directory *d, struct chunk_scratch *scratch) {
  struct part parts[COST_PARTS];
  size_t start = out->size, priced = SIZE_MAX;
  uint32_t n = find_parts(d, first, count, parts);
  if (n && fit_parts(parts, n, rows, first, count, scratch)) {
    if (nulls) chunk_compact(scratch->rest, rows->valid[VALID_COST] + first / 64, count);
    put_parts(out, parts, n);
    ints_encode(scratch->rest, count - nulls, out, &scratch->ints);
    priced = out->size - start;
  }
  if (priced <= count / 16) return; /* half a bit a row: plain values would not beat that */
  buffer_clear(&scratch->trial);
  write8(&scratch->trial, COST_PLAIN);
  ints_encode(scratch->values, count - nulls, &scratch->trial, &scratch->ints);
  if (scratch->trial.failed || priced <= scratch->trial.size) return;
  out->size = start;
  buffer_append(out, scratch->trial.data, scratch->trial.size);
}
