/* bitmap.h - bit i of a bitmap is bit i % 64 of word i / 64 (in bytes: bit i % 8 of byte i / 8). */
#ifndef BASE_BITMAP_H
#define BASE_BITMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline size_t bitmap_words(size_t bits) { return (bits + 63) / 64; }
static inline size_t bitmap_bytes(size_t bits) { return (bits + 7) / 8; }
static inline bool bitmap_get(const uint64_t *b, size_t i) { return b[i / 64] >> (i % 64) & 1; }
static inline void bitmap_set(uint64_t *b, size_t i) { b[i / 64] |= (uint64_t)1 << (i % 64); }
static inline void bitmap_clear(uint64_t *b, size_t i) { b[i / 64] &= ~((uint64_t)1 << (i % 64)); }
static inline bool bytemap_get(const uint8_t *b, size_t i) { return b[i / 8] >> (i % 8) & 1; }
/* `count` bits of bytes, 1 to 64, from bit `first` on. */
uint64_t bytemap_bits(const uint8_t *b, size_t first, uint32_t count);
/* Bits set among the first `bits`. */
size_t bitmap_count(const uint64_t *b, size_t bits);

#endif
