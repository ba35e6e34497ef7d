/* texts.h - one domain's dictionary in memory: id -> text in pages that never move, text -> id in a hash
 * table of (hash, id) pairs. The catalog's own; threads as catalog.h says. */
#ifndef CATALOG_TEXTS_H
#define CATALOG_TEXTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <tally.h>

#include "base/budget.h"
#include "os/thread.h"

#define PAGE_IDS 4096u
#define PAGES (1u << 16) /* 2^28 texts a domain */

struct slot {
  uint32_t hash, id; /* id 0: empty */
};

struct dictionary {
  _Atomic uint32_t count;
  uint32_t persisted; /* ids in the file; writer's */
  char ***page;       /* PAGES page pointers; a page is PAGE_IDS pointers to u16 size + bytes */
  struct slot *slot;  /* mask + 1 of them, a power of two */
  uint32_t mask;
  char *block; /* the arena's current block */
  size_t block_left;
  char **blocks; /* all blocks, for freeing */
  size_t block_count;
  uint64_t taken; /* bytes taken from the budget */
  struct budget *budget;
  struct os_mutex lock; /* slot and mask: held by readers that look up, and by the writer that changes them */
};

int texts_init(struct dictionary *d, struct budget *budget, tally_error *error);
void texts_free(struct dictionary *d);
static inline uint32_t text_hash(uint64_t hash) { return (uint32_t)(hash ^ hash >> 32); }
/* The id, or 0. Writer, or under the lock. */
uint32_t texts_find(const struct dictionary *d, uint32_t hash, const char *text, size_t size);
/* The id that texts_find will most likely give, or 0, without a look at the text. Writer, or under the lock.
 */
static inline uint32_t texts_likely(const struct dictionary *d, uint32_t hash) {
  uint32_t i = hash & d->mask;
  while (d->slot[i].id && d->slot[i].hash != hash) i = (i + 1) & d->mask;
  return d->slot[i].id;
}
/* Gives a text that has none the next id. Writer. */
int texts_add(struct dictionary *d, uint32_t hash, const char *text, size_t size, uint32_t *id,
              tally_error *error);
/* Takes the next id without a text: it was erased. Writer. */
int texts_add_erased(struct dictionary *d, tally_error *error);
/* An id's text is found no more. Writer. */
void texts_forget(struct dictionary *d, uint32_t id);
/* Overwrites the text's bytes. When no reader asks for it any more. */
void texts_scrub(struct dictionary *d, uint32_t id);
bool texts_erased(const struct dictionary *d, uint32_t id);
tally_text texts_text(const struct dictionary *d, uint32_t id);
/* Where a text's address is. */
static inline char *const *texts_place(const struct dictionary *d, uint32_t id) {
  return &d->page[(id - 1) / PAGE_IDS][(id - 1) % PAGE_IDS];
}
/* Ask the processor for a text's address, and a while later for the text. */
static inline void texts_expect_place(const struct dictionary *d, uint32_t id) {
  __builtin_prefetch(texts_place(d, id));
}
#define EXPECTED_BYTES 15 /* of a stored text: what comes in millions, ids of users, mostly has no more */
static inline void texts_expect_text(const struct dictionary *d, uint32_t id) {
  const char *stored = *texts_place(d, id);
  __builtin_prefetch(stored);
  __builtin_prefetch(stored + EXPECTED_BYTES - 1); /* which may be in the next line */
}

#endif
