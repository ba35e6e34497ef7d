/* batch_dictionary.c - see batch_dictionary.h.
 *
 * A slot holds 32 bits of the hash, so that almost every probe that compares bytes is a hit. Clearing
 * costs by the entries that were there, not by the greatest dictionary there ever was: the number of slots
 * in use shrinks with the need, their memory is kept. */
#include "model/batch_dictionary.h"

#include "base/hash.h"
#include "base/mem.h"

#define SLOTS_AT_LEAST 256u

void dictionary_free(struct dictionary *d) {
  mem_free(d->slots);
  mem_free(d->ends);
  buffer_free(&d->texts);
  *d = (struct dictionary){0};
}

void dictionary_clear(struct dictionary *d) {
  uint32_t slots = SLOTS_AT_LEAST;
  while (slots < d->capacity && slots / 4 < d->entries) slots *= 2;
  if (d->slots) {
    memset(d->slots, 0, slots * sizeof *d->slots);
    d->mask = slots - 1;
  }
  d->entries = 0;
  buffer_clear(&d->texts);
}

/* Puts every entry into an empty table again. */
static void fill_slots(struct dictionary *d) {
  for (uint32_t i = 0; i < d->entries; i++) {
    uint32_t start = dictionary_start(d, i);
    uint64_t hash = hash64(d->texts.data + start, d->ends[i] - start);
    uint32_t slot = (uint32_t)hash & d->mask;
    while (d->slots[slot].entry) slot = (slot + 1) & d->mask;
    d->slots[slot] = (struct dictionary_slot){(uint32_t)(hash >> 32), i + 1};
  }
}

static bool grow_slots(struct dictionary *d) {
  uint32_t slots = d->slots ? 2 * (d->mask + 1) : SLOTS_AT_LEAST;
  if (slots > d->capacity) {
    struct dictionary_slot *more = mem_realloc_array(d->slots, slots, sizeof *more);
    if (!more) return false;
    d->slots = more;
    d->capacity = slots;
  }
  memset(d->slots, 0, slots * sizeof *d->slots);
  d->mask = slots - 1;
  fill_slots(d);
  return true;
}

static bool grow_ends(struct dictionary *d) {
  uint32_t capacity = d->ends_capacity ? 2 * d->ends_capacity : SLOTS_AT_LEAST / 2;
  uint32_t *more = mem_realloc_array(d->ends, capacity, sizeof *more);
  if (!more) return false;
  d->ends = more;
  d->ends_capacity = capacity;
  d->texts.failed = false;
  return buffer_reserve(&d->texts, 1); /* so that even the empty text has an address */
}

bool dictionary_reserve(struct dictionary *d) {
  if (d->entries == d->ends_capacity && !grow_ends(d)) return false;
  return (d->slots && d->entries < (d->mask + 1) / 2) || grow_slots(d);
}

struct dictionary_place dictionary_find(const struct dictionary *d, const char *text, size_t size) {
  uint64_t hash = hash64(text, size);
  struct dictionary_place place = {(uint32_t)hash & d->mask, (uint32_t)(hash >> 32), 0};
  for (;; place.slot = (place.slot + 1) & d->mask) {
    struct dictionary_slot s = d->slots[place.slot];
    if (!s.entry) return place;
    if (s.tag != place.tag) continue;
    uint32_t start = dictionary_start(d, s.entry - 1);
    if (d->ends[s.entry - 1] - start == size && memcmp(d->texts.data + start, text, size) == 0) {
      place.entry = s.entry;
      return place;
    }
  }
}

uint32_t dictionary_add(struct dictionary *d, struct dictionary_place place, const char *text, size_t size) {
  buffer_append(&d->texts, text, size);
  d->ends[d->entries] = (uint32_t)d->texts.size;
  d->slots[place.slot] = (struct dictionary_slot){place.tag, d->entries + 1};
  return d->entries++;
}
