/* generate_zipf.c - see generate_zipf.h. Integer weights, inverted with a guide table (H.-C. Chen, Y. Asau,
 * "On Generating Random Variates from an Empirical Distribution", 1974). */
#include "tools/generate_zipf.h"

#include "base/mem.h"

#define SLICES 65536u
#define TOP 40 /* rank 1 weighs 2^40 */

/* 2^40 * rank^-1.05 */
static uint64_t weight(const struct random_tables *tables, uint64_t rank) {
  const int128 log2_rank_scale = 6196328019; /* log2(e) * 2^32 */
  uint64_t whole = negative_log(tables, 1), part = negative_log(tables, rank);
  int128 log2_rank = (int128)(whole - part) * log2_rank_scale >> 56; /* in units of 2^-32 */
  uint64_t w = power_of_two(tables, ((int64_t)TOP << 32) - (int64_t)(log2_rank * 105 / 100));
  return w ? w : 1;
}

bool zipf_init(struct zipf *z, size_t ranks, const struct random_tables *tables) {
  *z = (struct zipf){.count = ranks};
  z->cumulative = mem_realloc_array(NULL, ranks, sizeof *z->cumulative);
  z->guide = mem_realloc_array(NULL, SLICES + 1, sizeof *z->guide);
  if (!z->cumulative || !z->guide) return false;
  uint64_t sum = 0;
  for (size_t i = 0; i < ranks; i++) z->cumulative[i] = sum += weight(tables, i + 1);
  while (sum >> z->shift >= SLICES) z->shift++;
  size_t at = 0;
  for (uint64_t slice = 0; slice <= SLICES; slice++) {
    while (at + 1 < ranks && z->cumulative[at] <= slice << z->shift) at++;
    z->guide[slice] = (uint32_t)at;
  }
  return true;
}

void zipf_free(struct zipf *z) {
  mem_free(z->cumulative);
  mem_free(z->guide);
  *z = (struct zipf){0};
}

uint64_t zipf_next(const struct zipf *z, struct random *random) {
  uint64_t value = random_below(random, z->cumulative[z->count - 1]);
  size_t low = z->guide[value >> z->shift], high = z->guide[(value >> z->shift) + 1];
  while (low < high) { /* the first rank whose sum is above the value */
    size_t middle = low + (high - low) / 2;
    if (z->cumulative[middle] > value)
      high = middle;
    else
      low = middle + 1;
  }
  return low + 1;
}
