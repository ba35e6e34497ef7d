/* batch_dictionary.h - the distinct texts of one column of a batch that is being built: text -> number
 * in order of first appearance, by open addressing with linear probing. Texts are at most 65,535 bytes long,
 * all of them together less than 4 GiB. */
#ifndef MODEL_BATCH_DICTIONARY_H
#define MODEL_BATCH_DICTIONARY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

/* All that a probe needs before it looks at the text itself. */
struct dictionary_slot {
  uint32_t hash;        /* of the text; its low bits are the slot where probing starts */
  uint32_t entry;       /* number + 1; 0: the slot is free */
  uint32_t start, size; /* where the text is in `texts` */
};

struct dictionary {
  struct dictionary_slot *slots;
  uint32_t mask;   /* slots - 1; they are a power of two and at least twice the entries; without slots 0 */
  uint16_t *sizes; /* bytes of each entry's text */
  uint32_t sizes_capacity;
  uint32_t entries;
  struct buffer texts; /* the entries' bytes, one after the other */
};

/* Where a text is, or would go. Good until the next call that changes the dictionary. */
struct dictionary_place {
  uint32_t slot, hash;
  uint32_t entry; /* number + 1, or 0: the text is new */
};

void dictionary_free(struct dictionary *d);
/* Empties it and keeps the memory, unless that is much too large for what was in it. */
void dictionary_clear(struct dictionary *d);
bool dictionary_grow(struct dictionary *d);
/* Makes room for one more entry, so that finding and adding it cannot fail. False without memory. */
static inline bool dictionary_reserve(struct dictionary *d) {
  return (d->entries < d->sizes_capacity && d->entries < (d->mask + 1) / 2) || dictionary_grow(d);
}
/* After dictionary_reserve. */
struct dictionary_place dictionary_find(const struct dictionary *d, const char *text, size_t size);
/* Adds the text that dictionary_find did not find; room for its bytes must be reserved in d->texts.
 * Returns its number. */
uint32_t dictionary_add(struct dictionary *d, struct dictionary_place place, const char *text, size_t size);

#endif
