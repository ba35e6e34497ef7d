/* batch_dictionary.c - see batch_dictionary.h.
 *
 * A slot holds 32 bits of the hash and the text's size, so that almost every probe that compares bytes
 * is a hit, and where the text is, so that a hit touches the slot and the text alone. */
#include "model/batch_dictionary.h"

#include "base/mem.h"

#define SLOTS_AT_FIRST 256u

void dictionary_free(struct dictionary *d) {
  mem_free(d->slots);
  mem_free(d->sizes);
  buffer_free(&d->texts);
  *d = (struct dictionary){0};
}

/* Clearing costs by the slots, so a table far larger than its entries is not worth keeping. */
void dictionary_clear(struct dictionary *d) {
  uint32_t slots = d->slots ? d->mask + 1 : 0;
  if (slots > SLOTS_AT_FIRST && d->entries < slots / 16) {
    mem_free(d->slots);
    d->slots = NULL;
    d->mask = 0;
  } else if (slots) {
    memset(d->slots, 0, slots * sizeof *d->slots);
  }
  d->entries = 0;
  buffer_clear(&d->texts);
}

static bool grow_slots(struct dictionary *d) {
  uint32_t old = d->slots ? d->mask + 1 : 0, count = old ? 2 * old : SLOTS_AT_FIRST, mask = count - 1;
  struct dictionary_slot *slots = mem_zalloc(count, sizeof *slots);
  if (!slots) return false;
  for (uint32_t i = 0; i < old; i++) {
    if (!d->slots[i].entry) continue;
    uint32_t to = d->slots[i].hash & mask;
    while (slots[to].entry) to = (to + 1) & mask;
    slots[to] = d->slots[i];
  }
  mem_free(d->slots);
  d->slots = slots;
  d->mask = mask;
  return true;
}

static bool grow_sizes(struct dictionary *d) {
  uint32_t capacity = d->sizes_capacity ? 2 * d->sizes_capacity : SLOTS_AT_FIRST / 2;
  uint16_t *more = mem_realloc_array(d->sizes, capacity, sizeof *more);
  if (!more) return false;
  d->sizes = more;
  d->sizes_capacity = capacity;
  return true;
}

bool dictionary_grow(struct dictionary *d) {
  if (d->entries == d->sizes_capacity && !grow_sizes(d)) return false;
  return d->entries < (d->mask + 1) / 2 || grow_slots(d);
}

/* Equality of short texts without a call: whole words, the last of them overlapping. */
static inline bool same_bytes(const uint8_t *a, const uint8_t *b, size_t size) {
  if (size >= 8) {
    for (size_t i = 0; i + 8 < size; i += 8)
      if (load64(a + i) != load64(b + i)) return false;
    return load64(a + size - 8) == load64(b + size - 8);
  }
  if (size >= 4) return load32(a) == load32(b) && load32(a + size - 4) == load32(b + size - 4);
  for (size_t i = 0; i < size; i++)
    if (a[i] != b[i]) return false;
  return true;
}

struct dictionary_place dictionary_find(const struct dictionary *d, const char *text, size_t size) {
  uint32_t hash = dictionary_hash(text, size);
  struct dictionary_place place = {hash & d->mask, hash, 0};
  for (;; place.slot = (place.slot + 1) & d->mask) {
    const struct dictionary_slot *s = &d->slots[place.slot];
    if (!s->entry) return place;
    if (s->hash == hash && s->size == size &&
        same_bytes(d->texts.data + s->start, (const uint8_t *)text, size)) {
      place.entry = s->entry;
      return place;
    }
  }
}

uint32_t dictionary_add(struct dictionary *d, struct dictionary_place place, const char *text, size_t size) {
  uint32_t entry = d->entries++;
  d->slots[place.slot] =
      (struct dictionary_slot){place.hash, entry + 1, (uint32_t)d->texts.size, (uint32_t)size};
  d->sizes[entry] = (uint16_t)size;
  buffer_append(&d->texts, text, size);
  return entry;
}
