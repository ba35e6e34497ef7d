/* batch_dictionary.c - see batch_dictionary.h.
 *
 * The sizes of texts change from row to row, so a branch on them is guessed wrongly time and again: where the
 * processor can, sixteen bytes are loaded under a mask instead. */
#include "model/batch_dictionary.h"

#include "base/cpu.h"
#include "base/hash.h"
#include "base/mem.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#define SLOTS_AT_FIRST 256u

/* ------------------------------------------------------------------ memory */

void dictionary_free(struct dictionary *d) {
  mem_free(d->slots);
  mem_free(d->keys);
  mem_free(d->sizes);
  buffer_free(&d->texts);
  *d = (struct dictionary){0};
}

/* Clearing costs by the slots, so a table far larger than its entries is not worth keeping. */
void dictionary_clear(struct dictionary *d) {
  uint32_t slots = d->slots ? d->mask + 1 : 0;
  if (slots > SLOTS_AT_FIRST && d->entries < slots / 32) {
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

static bool grow_entries(struct dictionary *d) {
  uint32_t capacity = d->capacity ? 2 * d->capacity : SLOTS_AT_FIRST / 4;
  uint16_t *sizes = mem_realloc_array(d->sizes, capacity, sizeof *sizes);
  if (!sizes) return false;
  d->sizes = sizes;
  struct dictionary_key *keys = mem_realloc_array(d->keys, capacity, sizeof *keys);
  if (!keys) return false;
  d->keys = keys;
  d->capacity = capacity;
  return true;
}

bool dictionary_grow(struct dictionary *d) {
  if (d->entries == d->capacity && !grow_entries(d)) return false;
  return d->entries < (d->mask + 1) / 4 || grow_slots(d);
}

/* ------------------------------------------------------------------ keys */

typedef struct dictionary_key key_fn(const char *text, size_t size); /* of a short text */

INLINE struct dictionary_key key_portable(const char *text, size_t size) {
  if (size > 8) return (struct dictionary_key){load64(text), load64(text + size - 8) >> 8 * (16 - size)};
  if (size == 8) return (struct dictionary_key){load64(text), 0};
  uint64_t low = 0;
  if (size >= 4)
    low = load32(text) | (uint64_t)load32(text + size - 4) << 8 * (size - 4);
  else
    for (size_t i = 0; i < size; i++) low |= (uint64_t)(uint8_t)text[i] << 8 * i;
  return (struct dictionary_key){low, 0};
}

/* The product of the two halves, folded, as in wyhash (Wang Yi). Nobody but the maker of a batch chooses its
 * texts, so nobody else can make them collide. */
INLINE uint32_t hash_of(struct dictionary_key key, size_t size) {
  __uint128_t product = (__uint128_t)(key.low ^ UINT64_C(0x9E3779B97F4A7C15)) *
                        (key.high ^ UINT64_C(0xD1B54A32D192ED03) ^ size);
  uint64_t folded = (uint64_t)product ^ (uint64_t)(product >> 64);
  return (uint32_t)(folded ^ folded >> 32);
}

INLINE struct dictionary_key key_of(const char *text, size_t size, key_fn *short_key) {
  return size <= DICTIONARY_SHORT ? short_key(text, size) : (struct dictionary_key){hash64(text, size), 0};
}

uint32_t dictionary_hash(const char *text, size_t size) {
  return hash_of(key_of(text, size, key_portable), size);
}

/* ------------------------------------------------------------------ finding */

static bool is_entry(const struct dictionary *d, uint32_t number, const tally_text *text,
                     struct dictionary_key key) {
  const struct dictionary_key *entry = &d->keys[number];
  if (entry->low != key.low || d->sizes[number] != text->size) return false;
  if (text->size <= DICTIONARY_SHORT) return entry->high == key.high;
  return memcmp(d->texts.data + entry->high, text->data, text->size) == 0;
}

INLINE void find(const struct dictionary *d, const tally_text *text, struct dictionary_place *place) {
  place->entry = 0;
  for (uint32_t slot = place->hash & d->mask;; slot = (slot + 1) & d->mask) {
    struct dictionary_slot s = d->slots[slot];
    place->slot = slot;
    if (!s.entry) return;
    if (s.hash == place->hash && is_entry(d, s.entry - 1, text, place->key)) {
      place->entry = s.entry;
      return;
    }
  }
}

/* The hashes come first, so that the slots of all texts are under way together. */
INLINE void find_all(const struct dictionary *d, const tally_text *text, struct dictionary_place *place,
                     key_fn *short_key) {
  for (int i = 0; i < DOMAINS; i++) {
    if (!text[i].data) continue;
    place[i].key = key_of(text[i].data, text[i].size, short_key);
    place[i].hash = hash_of(place[i].key, text[i].size);
  }
  for (int i = 0; i < DOMAINS; i++)
    if (text[i].data) find(&d[i], &text[i], &place[i]);
}

INLINE void expect(const struct dictionary *d, tally_text text, key_fn *short_key) {
  if (text.data && text.size <= DICTIONARY_SHORT && d->slots)
    __builtin_prefetch(&d->slots[hash_of(short_key(text.data, text.size), text.size) & d->mask]);
}

void dictionary_expect_portable(const struct dictionary *d, tally_text text) {
  expect(d, text, key_portable);
}

void dictionary_find_portable(const struct dictionary d[DOMAINS], const tally_text text[DOMAINS],
                              struct dictionary_place place[DOMAINS]) {
  find_all(d, text, place, key_portable);
}

#if defined(__x86_64__)

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,bmi2")))

AVX512 INLINE struct dictionary_key key_avx512(const char *text, size_t size) {
  __m128i bytes = _mm_maskz_loadu_epi8((__mmask16)_bzhi_u32(0xFFFF, (unsigned)size), text);
  return (struct dictionary_key){(uint64_t)_mm_cvtsi128_si64(bytes), (uint64_t)_mm_extract_epi64(bytes, 1)};
}

AVX512 void dictionary_find_avx512(const struct dictionary d[DOMAINS], const tally_text text[DOMAINS],
                                   struct dictionary_place place[DOMAINS]) {
  find_all(d, text, place, key_avx512);
}

AVX512 void dictionary_expect_avx512(const struct dictionary *d, tally_text text) {
  expect(d, text, key_avx512);
}

#endif

dictionary_find_fn *dictionary_find_best(void) {
#if defined(__x86_64__)
  if (cpu_has_avx512()) return dictionary_find_avx512;
#endif
  return dictionary_find_portable;
}

dictionary_expect_fn *dictionary_expect_best(void) {
#if defined(__x86_64__)
  if (cpu_has_avx512()) return dictionary_expect_avx512;
#endif
  return dictionary_expect_portable;
}

/* ------------------------------------------------------------------ adding */

uint32_t dictionary_add(struct dictionary *d, const struct dictionary_place *place, const tally_text *text) {
  uint32_t entry = d->entries++;
  d->slots[place->slot] = (struct dictionary_slot){place->hash, entry + 1};
  d->keys[entry] = place->key;
  if (text->size > DICTIONARY_SHORT) d->keys[entry].high = d->texts.size;
  d->sizes[entry] = (uint16_t)text->size;
  buffer_append(&d->texts, text->data, text->size);
  return entry;
}
