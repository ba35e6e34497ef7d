/* batch_dictionary.h - the distinct texts of the text columns of a batch that is being built: text -> number
 * in order of first appearance, by open addressing with linear probing. Texts are at most 65,535 bytes long,
 * all of a column together less than 4 GiB. */
#ifndef MODEL_BATCH_DICTIONARY_H
#define MODEL_BATCH_DICTIONARY_H

#include <stdbool.h>
#include <stdint.h>
#include <tally.h>

#include "base/bytes.h"
#include "model/schema.h"

/* A probe looks at the hash alone; what it finds is then compared by key. Nearly all texts are short. */
#define DICTIONARY_SHORT 16u

struct dictionary_slot {
  uint32_t hash;  /* of the text; its low bits are the slot where probing starts */
  uint32_t entry; /* number + 1; 0: the slot is free */
};

/* A short text itself, zeros behind it. Of a longer one: low is 64 bits of hash; high is, of an entry, where
 * it is in `texts`. */
struct dictionary_key {
  uint64_t low, high;
};

struct dictionary {
  struct dictionary_slot *slots;
  uint32_t mask; /* slots - 1; they are a power of two and at least four times the entries; without slots 0 */
  uint32_t entries, capacity; /* capacity: of the arrays of entries */
  struct dictionary_key *keys;
  uint16_t *sizes;     /* bytes of each entry's text */
  struct buffer texts; /* the entries' bytes, one after the other */
};

/* Where a text is, or would go. Good until the next call that changes the dictionary. */
struct dictionary_place {
  struct dictionary_key key;
  uint32_t slot, hash;
  uint32_t entry; /* number + 1, or 0: the text is new */
};

void dictionary_free(struct dictionary *d);
/* Empties it and keeps the memory, unless that is much too large for what was in it. */
void dictionary_clear(struct dictionary *d);
bool dictionary_grow(struct dictionary *d);
/* Makes room for one more entry, so that finding and adding it cannot fail. False without memory. */
static inline bool dictionary_reserve(struct dictionary *d) {
  return (d->entries < d->capacity && d->entries < (d->mask + 1) / 4) || dictionary_grow(d);
}

/* Finds the texts of a row, each in its column's dictionary, after dictionary_reserve; those without data are
 * left out, and so are their places. The implementations give equal places. dictionary_find_best: the fastest
 * that this processor has. */
typedef void dictionary_find_fn(const struct dictionary d[DOMAINS], const tally_text text[DOMAINS],
                                struct dictionary_place place[DOMAINS]);
dictionary_find_fn dictionary_find_portable;
#if defined(__x86_64__)
dictionary_find_fn dictionary_find_avx512; /* only where dictionary_find_best gives it */
#endif
dictionary_find_fn *dictionary_find_best(void);
uint32_t dictionary_hash(const char *text, size_t size);

/* Asks the processor for the slot where a text that is going to be looked for is most likely found. A text
 * without data, or a long one, is passed over. */
typedef void dictionary_expect_fn(const struct dictionary *d, tally_text text);
dictionary_expect_fn dictionary_expect_portable;
#if defined(__x86_64__)
dictionary_expect_fn dictionary_expect_avx512; /* only where dictionary_expect_best gives it */
#endif
dictionary_expect_fn *dictionary_expect_best(void);

/* Adds a text that was not found; room for its bytes must be reserved in d->texts. Returns its number. */
uint32_t dictionary_add(struct dictionary *d, const struct dictionary_place *place, const tally_text *text);

#endif
