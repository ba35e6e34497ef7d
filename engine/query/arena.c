/* arena.c - see arena.h. */
#include "query/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <string.h>

#include "aggregate/grow.h"

#define BLOCK_BYTES 2048u

struct arena_block {
  struct arena_block *next;
  size_t size, used; /* bytes behind this head */
  alignas(max_align_t) char bytes[];
};

static const char what[] = "request";

void arena_init(struct arena *arena, struct budget *budget) { *arena = (struct arena){budget, NULL}; }

void arena_free(struct arena *arena) {
  while (arena->blocks) {
    struct arena_block *block = arena->blocks;
    arena->blocks = block->next;
    grow_free(arena->budget, block, sizeof *block + block->size);
  }
}

void *arena_alloc(struct arena *arena, size_t count, size_t size, tally_error *error) {
  size_t bytes, align = alignof(max_align_t);
  if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 2) {
    grow_fail(arena->budget, what, error);
    return NULL;
  }
  bytes = (bytes + align - 1) / align * align;
  struct arena_block *block = arena->blocks;
  if (!block || block->size - block->used < bytes) {
    size_t room = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
    block = grow_zeroed(arena->budget, sizeof *block + room, what, error);
    if (!block) return NULL;
    block->size = room;
    block->next = arena->blocks;
    arena->blocks = block;
  }
  void *p = block->bytes + block->used;
  block->used += bytes;
  return p;
}

char *arena_copy(struct arena *arena, const char *text, size_t size, tally_error *error) {
  char *copy = arena_alloc(arena, size + 1, 1, error);
  if (copy && size) memcpy(copy, text, size);
  return copy;
}
