/* row_sums.c - see row_sums.h. */
#include "maintain/row_sums.h"

#include "base/bitmap.h"
#include "base/hash.h"

/* A row as the bytes that are hashed: no gaps, so that equal rows have equal bytes. */
struct row_bytes {
  int64_t timestamp, cost;
  uint64_t metadata; /* hash of its text */
  uint32_t text[DOMAINS];
  int32_t number[INT_COLUMNS];
  uint32_t valid; /* a bit for each map of struct rows */
};
_Static_assert(sizeof(struct row_bytes) == 3 * 8 + 4 * DOMAINS + 4 * INT_COLUMNS + 4, "no gaps");

static uint64_t row_hash(const struct rows *rows, uint32_t i) {
  struct row_bytes b = {.timestamp = rows->timestamp[i], .cost = rows->cost[i]};
  for (int d = 0; d < DOMAINS; d++) b.text[d] = rows->text[d][i];
  for (int c = 0; c < INT_COLUMNS; c++) b.number[c] = rows->number[c][i];
  for (unsigned v = 0; v < INT_COLUMNS + 2; v++) b.valid |= (uint32_t)bitmap_get(rows->valid[v], i) << v;
  uint64_t at = rows->metadata_at[i], size = rows->metadata_at[i + 1] - at;
  if (size) b.metadata = hash64(rows->metadata + at, size);
  return hash64(&b, sizeof b);
}

void row_sums_add(struct row_sums *sums, const struct rows *rows, uint32_t first) {
  sums->rows += rows->count - first;
  for (int c = 0; c < INT_COLUMNS; c++) {
    int64_t sum = 0; /* at most 2^32 rows of 32 bits */
    for (uint32_t i = first; i < rows->count; i++) sum += rows->number[c][i];
    sums->number[c] += sum;
  }
  for (uint32_t i = first; i < rows->count; i++) sums->cost += rows->cost[i];
  for (uint32_t i = first; i < rows->count; i++) sums->hash += row_hash(rows, i);
}

bool row_sums_equal(const struct row_sums *a, const struct row_sums *b) {
  bool equal = a->rows == b->rows && a->cost == b->cost && a->hash == b->hash;
  for (int c = 0; c < INT_COLUMNS; c++) equal = equal && a->number[c] == b->number[c];
  return equal;
}
