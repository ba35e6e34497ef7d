/* arena.h - memory of a parsed request: many small pieces that die together. Budgeted. */
#ifndef QUERY_ARENA_H
#define QUERY_ARENA_H

#include <stddef.h>
#include <tally.h>

#include "base/budget.h"

struct arena_block;
struct arena {
  struct budget *budget;
  struct arena_block *blocks; /* newest first */
};

void arena_init(struct arena *arena, struct budget *budget);
void arena_free(struct arena *arena);
/* `count` zeroed elements of `size` bytes, aligned for any type; NULL with *error filled. Lives until
 * arena_free.
 */
void *arena_alloc(struct arena *arena, size_t count, size_t size, tally_error *error);
/* A NUL-terminated copy. */
char *arena_copy(struct arena *arena, const char *text, size_t size, tally_error *error);

#endif
