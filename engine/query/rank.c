/* rank.c - see rank.h. Sorts by eight bytes at a time, as big-endian integers: radix sort on the first eight,
 * then each range of equal ones on what follows their common prefix. A text that ends is padded with NULs,
 * which sort first and occur in no text. */
#include "query/rank.h"

#include <string.h>

#include "aggregate/grow.h"
#include "aggregate/radix.h"

#define WORD 8

static const char what[] = "sorting of texts";

int rank_init(struct rank *rank, uint32_t most, tally_text (*text)(const void *arg, uint32_t id),
              const void *arg, struct budget *budget, tally_error *error) {
  *rank = (struct rank){.budget = budget, .text = text, .arg = arg, .of_count = (size_t)most + 1};
  rank->of = grow_zeroed(budget, rank->of_count * sizeof *rank->of, what, error);
  return rank->of ? 0 : error->code;
}

void rank_free(struct rank *rank) {
  if (!rank->budget) return;
  if (rank->of) grow_free(rank->budget, rank->of, rank->of_count * sizeof *rank->of);
  grow_free(rank->budget, rank->ids, rank->capacity * sizeof *rank->ids);
  *rank = (struct rank){0};
}

int rank_mark(struct rank *rank, uint32_t id, tally_error *error) {
  if (rank->of[id]) return 0;
  if (rank->count == rank->capacity) {
    size_t room = rank->capacity ? rank->capacity * 2 : 64;
    void *p = grow_array(rank->budget, rank->ids, rank->capacity, room, sizeof *rank->ids, what, error);
    if (!p) return error->code;
    rank->ids = p;
    rank->capacity = room;
  }
  rank->of[id] = 1;
  rank->ids[rank->count++] = id;
  return 0;
}

/* Eight bytes of a text from `at` on. */
static uint64_t word_at(tally_text text, size_t at) {
  uint64_t word = 0;
  if (at < text.size) memcpy(&word, text.data + at, text.size - at < WORD ? text.size - at : WORD);
  return __builtin_bswap64(word);
}

/* How many bytes all texts of a range have in common; the first `known` are. */
static size_t common_prefix(const struct rank *rank, const uint32_t *order, size_t n, size_t known) {
  tally_text first = rank->text(rank->arg, rank->ids[order[0]]);
  size_t common = first.size;
  for (size_t i = 1; i < n && common > known; i++) {
    tally_text text = rank->text(rank->arg, rank->ids[order[i]]);
    size_t j = known, end = text.size < common ? text.size : common;
    while (j < end && text.data[j] == first.data[j]) j++;
    common = j;
  }
  return common;
}

/* Sorts a range of different texts; the first `at` bytes are equal in all. Each level takes at least one text
 * away from the rest. */
static void sort_range(struct rank *rank, uint32_t *order, uint32_t *scratch, size_t n, size_t at) {
  at = common_prefix(rank, order, n, at);
  for (size_t i = 0; i < n; i++)
    rank->prefix[order[i]] = word_at(rank->text(rank->arg, rank->ids[order[i]]), at);
  radix_order(order, scratch, n, rank->prefix);
  for (size_t i = 0, end; i < n; i = end) {
    end = i + 1;
    while (end < n && rank->prefix[order[end]] == rank->prefix[order[i]]) end++;
    if (end - i > 1) sort_range(rank, order + i, scratch, end - i, at + WORD);
  }
}

int rank_sort(struct rank *rank, tally_error *error) {
  size_t n = rank->count, bytes = n * (sizeof *rank->prefix + 3 * sizeof(uint32_t));
  if (n == 0) return 0;
  rank->prefix = grow_memory(rank->budget, NULL, 0, bytes, what, error);
  if (!rank->prefix) return error->code;
  uint32_t *order = (uint32_t *)(rank->prefix + n), *scratch = order + n, *sorted = scratch + n;
  for (size_t i = 0; i < n; i++) order[i] = (uint32_t)i;
  sort_range(rank, order, scratch, n, 0);
  for (size_t i = 0; i < n; i++) sorted[i] = rank->ids[order[i]];
  memcpy(rank->ids, sorted, n * sizeof *sorted);
  for (size_t i = 0; i < n; i++) rank->of[rank->ids[i]] = (uint32_t)i + 1;
  grow_free(rank->budget, rank->prefix, bytes);
  rank->prefix = NULL;
  return 0;
}
