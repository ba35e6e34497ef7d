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
