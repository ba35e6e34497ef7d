/* cache.h - blocks of segments in memory, verified when they enter, evicted when the budget wants it.
 *
 * Any thread. A block that is pinned stays until it is released; blocks are immutable. Eviction is CLOCK
 * (second chance). cache_shrink gives memory back to the budget, so that others' needs come before the
 * cache's. */
#ifndef SEGMENT_CACHE_H
#define SEGMENT_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tally.h>

#include "base/budget.h"

struct cache;
struct cache_block {
  const uint8_t *data;
  size_t size;
  _Atomic uint32_t sound; /* for whoever decodes it: 0 as it enters; bits of its parts that were found to mean
                             something, which later readers need not look at again */
};

/* A cache of at most `limit` bytes, taken from budget as they are used. */
int cache_new(uint64_t limit, struct budget *budget, struct cache **cache, tally_error *error);
void cache_free(struct cache *cache); /* no block may be pinned */

/* Loads the bytes of a block: fills `to` (size bytes) and verifies it. */
typedef int (*cache_load)(void *arg, uint8_t *to, tally_error *error);
/* Pins block (segment, offset) of `size` bytes, loading it if it is not there. Two threads that want the same
 * absent block may both load it; one copy stays. If the budget has no room the block is loaded outside the
 * cache and freed at release. */
int cache_pin(struct cache *cache, uint64_t segment, uint64_t offset, size_t size, cache_load load, void *arg,
              struct cache_block **block, tally_error *error);
void cache_release(struct cache_block *block);
/* Gives at least that much back, if so much is not pinned; false if it gave nothing. */
bool cache_shrink(struct cache *cache, uint64_t bytes);
struct cache_stats {
  uint64_t bytes, hits, misses;
};
struct cache_stats cache_stats(struct cache *cache);

#endif
