/* batch_dictionary.h - the distinct texts of one column of a batch that is being built: text -> number
 * in order of first appearance, by open addressing with linear probing. Texts are at most 65,535 bytes long,
 * all of them together less than 4 GiB. */
#ifndef MODEL_BATCH_DICTIONARY_H
#define MODEL_BATCH_DICTIONARY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/hash.h"

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

/* Nearly all texts are short: their first and last bytes are multiplied, and the product's halves folded, as
 * in wyhash (Wang Yi). Nobody but the maker of a batch chooses its texts, so nobody else can make them
 * collide. */
static inline uint32_t dictionary_hash(const char *text, size_t size) {
  uint64_t first, last;
  if (size > 16) return (uint32_t)hash64(text, size);
  if (size >= 8) {
    first = load64(text);
    last = load64(text + size - 8);
  } else if (size >= 4) {
    first = load32(text);
    last = load32(text + size - 4);
  } else {
    first = size ? (uint8_t)text[0] : 0;
    last = size ? (uint64_t)(uint8_t)text[size / 2] << 8 | (uint8_t)text[size - 1] : 0;
  }
  __uint128_t product = (__uint128_t)(first ^ UINT64_C(0x9E3779B97F4A7C15)) *
                        (last ^ UINT64_C(0xD1B54A32D192ED03) ^ (uint64_t)size << 56);
  uint64_t folded = (uint64_t)product ^ (uint64_t)(product >> 64);
  return (uint32_t)(folded ^ folded >> 32);
}

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
