/* cache.c - a hash table of blocks with a CLOCK ring; see cache.h.
 *
 * One mutex guards everything but the loading, which happens outside of it, and giving back pins. Entries
 * that hold a pin are passed over by the clock hand. An entry that found no room (`outside`) is in neither
 * table nor ring. */
#include "segment/cache.h"

#include <stdatomic.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"
#include "os/thread.h"

#define FIRST_SLOTS 1024u

struct entry {
  struct cache_block block; /* first: a pinned block is its entry */
  uint64_t segment, offset;
  _Atomic uint32_t pins; /* taken under the mutex; given back without, as the last touch of the entry */
  bool used, outside;
  struct entry *chain;       /* of its hash slot */
  struct entry *next, *last; /* the ring */
};

struct cache {
  struct os_mutex mutex;
  struct budget *budget;
  uint64_t limit, bytes, hits, misses;
  struct entry **slots;
  size_t slot_count, count; /* slot_count is a power of two */
  struct entry *hand;
};

/* What an entry costs; its data stands behind it. */
#define ENTRY_HEAD ((sizeof(struct entry) + 15) & ~(size_t)15)
static uint64_t entry_bytes(size_t size) { return ENTRY_HEAD + size; }

static struct entry **slot_of(struct cache *c, uint64_t segment, uint64_t offset) {
  return &c->slots[hash_mix(segment * UINT64_C(0x9E3779B97F4A7C15) ^ offset) & (c->slot_count - 1)];
}

int cache_new(uint64_t limit, struct budget *budget, struct cache **cache, tally_error *error) {
  struct cache *c = mem_zalloc(1, sizeof *c);
  if (c) c->slots = mem_zalloc(FIRST_SLOTS, sizeof(struct entry *));
  if (!c || !c->slots) {
    mem_free(c);
    return fail_memory(error, "the block cache");
  }
  os_mutex_init(&c->mutex);
  c->limit = limit;
  c->budget = budget;
  c->slot_count = FIRST_SLOTS;
  *cache = c;
  return 0;
}

static void ring_insert(struct cache *c, struct entry *e) {
  if (!c->hand) {
    c->hand = e->next = e->last = e;
    return;
  }
  e->next = c->hand;
  e->last = c->hand->last;
  e->last->next = e;
  c->hand->last = e;
}

static void ring_remove(struct cache *c, struct entry *e) {
  e->last->next = e->next;
  e->next->last = e->last;
  if (c->hand == e) c->hand = e->next == e ? NULL : e->next;
}

static void table_remove(struct cache *c, struct entry *e) {
  struct entry **p = slot_of(c, e->segment, e->offset);
  while (*p != e) p = &(*p)->chain;
  *p = e->chain;
  c->count--;
}

/* Doubles the table when it is full; without memory the chains grow longer instead. */
static void table_grow(struct cache *c) {
  if (c->count < c->slot_count) return;
  struct entry **old = c->slots, **slots = mem_zalloc(c->slot_count * 2, sizeof *slots);
  if (!slots) return;
  size_t count = c->slot_count;
  c->slots = slots;
  c->slot_count *= 2;
  for (size_t i = 0; i < count; i++)
    for (struct entry *e = old[i], *next; e; e = next) {
      next = e->chain;
      struct entry **slot = slot_of(c, e->segment, e->offset);
      e->chain = *slot;
      *slot = e;
    }
  mem_free(old);
}

static void drop(struct cache *c, struct entry *e) {
  uint64_t bytes = entry_bytes(e->block.size);
  table_remove(c, e);
  ring_remove(c, e);
  c->bytes -= bytes;
  budget_give(c->budget, bytes);
  mem_free(e);
}

/* Frees one block that is not pinned and was not used since the hand last passed; false if all are pinned. */
static bool evict_one(struct cache *c) {
  for (size_t steps = 2 * c->count; steps > 0 && c->hand; steps--) {
    struct entry *e = c->hand;
    c->hand = e->next;
    if (atomic_load_explicit(&e->pins, memory_order_acquire)) continue;
    if (e->used) {
      e->used = false;
      continue;
    }
    drop(c, e);
    return true;
  }
  return false;
}

/* Takes room for `bytes`, evicting as needed. */
static bool make_room(struct cache *c, uint64_t bytes) {
  if (bytes > c->limit) return false;
  while (c->bytes > c->limit - bytes)
    if (!evict_one(c)) return false;
  while (!budget_take(c->budget, bytes))
    if (!evict_one(c)) return false;
  c->bytes += bytes;
  return true;
}

static struct entry *find(struct cache *c, uint64_t segment, uint64_t offset) {
  struct entry *e = *slot_of(c, segment, offset);
  while (e && (e->segment != segment || e->offset != offset)) e = e->chain;
  return e;
}

static void pin(struct entry *e) {
  atomic_fetch_add_explicit(&e->pins, 1, memory_order_relaxed);
  e->used = true;
}

/* Puts a loaded entry into the cache, or gives the one that came first (then `loaded` is to be freed). */
static struct entry *enter(struct cache *c, struct entry *loaded) {
  struct entry *e = find(c, loaded->segment, loaded->offset);
  if (!e) {
    e = loaded;
    if (make_room(c, entry_bytes(e->block.size))) {
      table_grow(c);
      struct entry **slot = slot_of(c, e->segment, e->offset);
      e->chain = *slot;
      *slot = e;
      c->count++;
      ring_insert(c, e);
    } else {
      e->outside = true;
    }
  }
  pin(e);
  return e;
}

static int load_entry(uint64_t segment, uint64_t offset, size_t size, cache_load load, void *arg,
                      struct entry **entry, tally_error *error) {
  struct entry *e = size < SIZE_MAX - ENTRY_HEAD ? mem_alloc(ENTRY_HEAD + size) : NULL;
  if (!e) return fail_memory(error, "a block of a segment");
  uint8_t *data = (uint8_t *)e + ENTRY_HEAD;
  *e = (struct entry){.block = {.data = data, .size = size}, .segment = segment, .offset = offset};
  int result = load(arg, data, error);
  if (result)
    mem_free(e);
  else
    *entry = e;
  return result;
}

int cache_pin(struct cache *c, uint64_t segment, uint64_t offset, size_t size, cache_load load, void *arg,
              struct cache_block **block, tally_error *error) {
  os_lock(&c->mutex);
  struct entry *e = find(c, segment, offset);
  if (e) {
    pin(e);
    c->hits++;
  } else {
    c->misses++;
  }
  os_unlock(&c->mutex);
  if (!e && !os_may_wait()) return fail(error, TALLY_BUSY, "a block has to be read from its file");
  if (!e) {
    struct entry *loaded = NULL;
    int result = load_entry(segment, offset, size, load, arg, &loaded, error);
    if (result) return result;
    os_lock(&c->mutex);
    e = enter(c, loaded);
    os_unlock(&c->mutex);
    if (e != loaded) mem_free(loaded);
  }
  *block = &e->block;
  return 0;
}

void cache_release(struct cache_block *block) {
  struct entry *e = (struct entry *)block;
  if (e->outside) { /* nobody else can know of it */
    mem_free(e);
    return;
  }
  atomic_fetch_sub_explicit(&e->pins, 1, memory_order_release);
}

bool cache_shrink(struct cache *c, uint64_t bytes) {
  os_lock(&c->mutex);
  uint64_t before = c->bytes;
  while (before - c->bytes < bytes)
    if (!evict_one(c)) break;
  bool gave = c->bytes < before;
  os_unlock(&c->mutex);
  return gave;
}

struct cache_stats cache_stats(struct cache *c) {
  os_lock(&c->mutex);
  struct cache_stats stats = {c->bytes, c->hits, c->misses};
  os_unlock(&c->mutex);
  return stats;
}

void cache_free(struct cache *c) {
  if (!c) return;
  while (c->hand) drop(c, c->hand);
  os_mutex_destroy(&c->mutex);
  mem_free(c->slots);
  mem_free(c);
}
