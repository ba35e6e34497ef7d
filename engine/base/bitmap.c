/* bitmap.c - see bitmap.h. */
#include "base/bitmap.h"

#include "base/kernel.h"

/* A copy for a processor that counts the bits of a word by itself does so. */
KERNEL static size_t count_bits(const uint64_t *b, size_t bits) {
  size_t n = 0, words = bits / 64;
  for (size_t i = 0; i < words; i++) n += (size_t)__builtin_popcountll(b[i]);
  if (bits % 64) n += (size_t)__builtin_popcountll(b[words] & (((uint64_t)1 << (bits % 64)) - 1));
  return n;
}

size_t bitmap_count(const uint64_t *b, size_t bits) { return count_bits(b, bits); }

uint64_t bytemap_bits(const uint8_t *b, size_t first, uint32_t count) {
  const uint8_t *p = b + first / 8;
  const unsigned skip = first % 8;
  const size_t bytes = bitmap_bytes(skip + count), most = bytes < 8 ? bytes : 8;
  uint64_t bits = 0;
  for (size_t i = 0; i < most; i++) bits |= (uint64_t)p[i] << 8 * i;
  bits >>= skip;
  if (bytes > 8) bits |= (uint64_t)p[8] << (64 - skip); /* then some were skipped */
  return count < 64 ? bits & ((UINT64_C(1) << count) - 1) : bits;
}
