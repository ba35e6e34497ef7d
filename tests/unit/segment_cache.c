/* segment_cache.c - the block cache: loads once, evicts what is not pinned, gives back what it took, and
 * holds under threads. */
#include "segment_fixture.h"

#include "os/thread.h"

struct source {
  uint64_t key;
  _Atomic unsigned loads;
  bool fails;
};

static int load(void *arg, uint8_t *to, tally_error *error) {
  struct source *s = arg;
  s->loads++;
  if (s->fails) {
    error->code = TALLY_IO;
    return TALLY_IO;
  }
  memset(to, (int)(s->key & 0xFF), 1000);
  return 0;
}

Test(segment, cache_keeps_used_blocks_and_its_budget) {
  struct budget budget;
  struct cache *cache;
  tally_error error = {0};
  budget_init(&budget, 1u << 20, NULL);
  cr_assert_eq(cache_new(20000, &budget, &cache, &error), 0);
  struct cache_block *block, *pinned;
  struct source s = {.key = 5};
  cr_assert_eq(cache_pin(cache, 1, 5, 1000, load, &s, &pinned, &error), 0);
  for (uint64_t key = 100; key < 400; key++) {
    struct source other = {.key = key};
    cr_assert_eq(cache_pin(cache, 2, key, 1000, load, &other, &block, &error), 0);
    cr_assert(block->size == 1000 && block->data[999] == (key & 0xFF));
    cr_assert(!block->sound, "nothing is known of a block that comes in");
    block->sound = 1;
    cache_release(block);
    cr_assert_leq(cache_stats(cache).bytes, 20000);
    cr_assert_eq(budget_used(&budget), cache_stats(cache).bytes);
  }
  cr_assert_eq(pinned->data[0], 5, "a pinned block stays");
  pinned->sound = 1;
  cr_assert_eq(cache_pin(cache, 1, 5, 1000, load, &s, &block, &error), 0);
  cr_assert_eq(block, pinned);
  cr_assert(block->sound, "it is the same block");
  cr_assert_eq(s.loads, 1);
  cache_release(block);
  s.fails = true;
  cr_assert_eq(cache_pin(cache, 3, 5, 1000, load, &s, &block, &error), TALLY_IO);
  s.fails = false;
  cache_release(pinned);
  uint64_t before = cache_stats(cache).bytes;
  cache_shrink(cache, 5000);
  cr_assert_leq(cache_stats(cache).bytes + 5000, before);
  /* Others have taken all: blocks are lent from outside of the cache. */
  cache_shrink(cache, UINT64_MAX);
  cr_assert_eq(cache_stats(cache).bytes, 0);
  cr_assert_eq(cache_pin(cache, 1, 5, 1000, load, &s, &block, &error), 0);
  cr_assert(s.loads == 3 && !block->sound, "what was known went with it");
  cache_release(block);
  cache_shrink(cache, UINT64_MAX);
  cr_assert(budget_take(&budget, 1u << 20));
  cr_assert_eq(cache_pin(cache, 1, 6, 1000, load, &s, &block, &error), 0);
  cr_assert_eq(block->data[10], 5);
  cr_assert_eq(cache_stats(cache).bytes, 0);
  cache_release(block);
  budget_give(&budget, 1u << 20);
  cache_free(cache);
  cr_assert_eq(budget_used(&budget), 0);
}

struct worker {
  struct cache *cache;
  uint64_t random;
  unsigned wrong;
  struct os_thread thread;
};

static void *work(void *arg) {
  struct worker *w = arg;
  tally_error error = {0};
  for (int i = 0; i < 3000; i++) {
    uint64_t key = sample_below(&w->random, 60);
    struct source s = {.key = key};
    struct cache_block *block;
    if (cache_pin(w->cache, 9, key, 1000, load, &s, &block, &error)) {
      w->wrong++;
      continue;
    }
    for (size_t k = 0; k < block->size; k += 99) w->wrong += block->data[k] != key;
    cache_release(block);
    if (i % 500 == 0) cache_shrink(w->cache, 3000);
  }
  return NULL;
}

Test(segment, cache_holds_under_threads) {
  struct budget budget;
  struct cache *cache;
  tally_error error = {0};
  budget_init(&budget, 25000, NULL);
  cr_assert_eq(cache_new(30000, &budget, &cache, &error), 0);
  struct worker w[4];
  for (int i = 0; i < 4; i++) {
    w[i] = (struct worker){.cache = cache, .random = (uint64_t)i};
    cr_assert_eq(os_thread_start(&w[i].thread, work, &w[i]), 0);
  }
  for (int i = 0; i < 4; i++) {
    os_thread_join(&w[i].thread);
    cr_assert_eq(w[i].wrong, 0);
  }
  cr_assert_eq(cache_stats(cache).hits + cache_stats(cache).misses, 4 * 3000);
  cache_free(cache);
  cr_assert_eq(budget_used(&budget), 0);
}
