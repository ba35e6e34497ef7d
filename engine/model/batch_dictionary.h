/* batch_dictionary.h - the distinct texts of one column of a batch that is being built: text -> number
 * in order of first appearance, by open addressing with linear probing. */
#ifndef MODEL_BATCH_DICTIONARY_H
#define MODEL_BATCH_DICTIONARY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

struct dictionary_slot {
  uint32_t tag;   /* high half of the text's hash */
  uint32_t entry; /* number + 1; 0: the slot is free */
};

struct dictionary {
  struct dictionary_slot *slots;
  uint32_t mask;     /* slots in use - 1; they are a power of two and at least twice the entries */
  uint32_t capacity; /* slots allocated */
  uint32_t *ends;    /* where each entry's text ends */
  uint32_t ends_capacity;
  uint32_t entries;
  struct buffer texts; /* the entries' bytes, one after the other */
};

/* Where a text is, or would go. Good until the next call that changes the dictionary. */
struct dictionary_place {
  uint32_t slot, tag;
  uint32_t entry; /* number + 1, or 0: the text is new */
};

void dictionary_free(struct dictionary *d);
/* Empties it and keeps the memory. */
void dictionary_clear(struct dictionary *d);
/* Makes room for one more entry, so that finding and adding it cannot fail. False without memory. */
bool dictionary_reserve(struct dictionary *d);
/* After dictionary_reserve. */
struct dictionary_place dictionary_find(const struct dictionary *d, const char *text, size_t size);
/* Adds the text that dictionary_find did not find; room for its bytes must be reserved in d->texts.
 * Returns its number. */
uint32_t dictionary_add(struct dictionary *d, struct dictionary_place place, const char *text, size_t size);

static inline uint32_t dictionary_start(const struct dictionary *d, uint32_t entry) {
  return entry ? d->ends[entry - 1] : 0;
}

#endif
