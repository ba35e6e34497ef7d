/* kept.c - see kept.h. */
#include "base/kept.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#define block_size malloc_usable_size
#else
static size_t block_size(void *block) {
  (void)block;
  return 0; /* not known: nothing is kept */
}
#endif

#define SLOTS 32u

static struct {
  size_t least;
  _Atomic size_t most;
  _Atomic(void *) slot[SLOTS];
  _Atomic size_t bytes; /* of the blocks in slots, or on their way into one */
  _Atomic unsigned next;
} kept;

void kept_allow(size_t least, size_t most) {
  kept.least = least;
  kept.most = most;
}

void kept_allow_most(size_t most) { kept.most = most; }

static void *swap_out(unsigned i) {
  void *block = atomic_load_explicit(&kept.slot[i], memory_order_relaxed);
  return block ? atomic_exchange(&kept.slot[i], NULL) : NULL;
}

/* Puts a block that is counted into slot i; one that was there goes. */
static void swap_in(unsigned i, void *block) {
  void *old = atomic_exchange(&kept.slot[i], block);
  if (!old) return;
  atomic_fetch_sub(&kept.bytes, block_size(old));
  free(old);
}

void *kept_take(size_t size) {
  if (!kept.most || size < kept.least) return NULL;
  for (unsigned i = 0; i < SLOTS; i++) {
    void *block = swap_out(i);
    if (!block) continue;
    size_t has = block_size(block);
    if (has >= size && has - size <= size / 4) {
      atomic_fetch_sub(&kept.bytes, has);
      return block;
    }
    swap_in(i, block);
  }
  return NULL;
}

bool kept_put(void *block) {
  const size_t most = kept.most;
  if (!most) return false;
  size_t has = block_size(block);
  if (has < kept.least || has > most / 2) return false;
  size_t bytes = atomic_fetch_add(&kept.bytes, has) + has;
  for (unsigned tries = 0; bytes > most && tries < SLOTS; tries++) {
    void *old = swap_out(atomic_fetch_add(&kept.next, 1) % SLOTS);
    if (!old) continue;
    bytes = atomic_fetch_sub(&kept.bytes, block_size(old)) - block_size(old);
    free(old);
  }
  if (bytes > most) {
    atomic_fetch_sub(&kept.bytes, has);
    return false;
  }
  for (unsigned i = 0; i < SLOTS; i++) {
    void *none = NULL;
    if (atomic_compare_exchange_strong(&kept.slot[i], &none, block)) return true;
  }
  swap_in(atomic_fetch_add(&kept.next, 1) % SLOTS, block);
  return true;
}

void kept_drop(void) {
  for (unsigned i = 0; i < SLOTS; i++) {
    void *block = swap_out(i);
    if (!block) continue;
    atomic_fetch_sub(&kept.bytes, block_size(block));
    free(block);
  }
}

void *kept_move(void *old, size_t size) {
  void *block = kept_take(size);
  if (!block || !old) return block;
  size_t has = block_size(old);
  memcpy(block, old, has < size ? has : size);
  if (!kept_put(old)) free(old);
  return block;
}
