/* hash.h - XXH3, inlined: short keys are hashed on the hot paths. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdbool.h>
#include <string.h>

static inline uint64_t hash64(const void *data, size_t size) { return XXH3_64bits(data, size); }

/* XXH3-128 in its canonical (big-endian) form, as it stands in files and frames. */
struct digest {
  uint8_t bytes[16];
};
static inline struct digest digest_of(const void *data, size_t size, uint64_t seed) {
  struct digest d;
  XXH128_canonical_t c;
  XXH128_canonicalFromHash(&c, XXH3_128bits_withSeed(data, size, seed));
  memcpy(d.bytes, c.digest, sizeof d.bytes);
  return d;
}
static inline bool digest_equal(const struct digest *d, const void *stored) {
  return memcmp(d->bytes, stored, sizeof d->bytes) == 0;
}

/* A good 64-bit mixer for integer keys (the finaliser of SplitMix64, Steele et al. 2014). */
static inline uint64_t hash_mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

#endif
