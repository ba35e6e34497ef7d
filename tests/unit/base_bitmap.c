/* Laws of base/bitmap.h's bits of bytes. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/hash.h"

#define BITS 200u

Test(bitmap, bits_of_bytes_are_those_that_are_got_one_by_one) {
  uint64_t state = 20261201;
  for (int round = 0; round < 200; round++) {
    const size_t bits = 1 + hash_mix(++state) % BITS, bytes = bitmap_bytes(bits);
    uint8_t *map = malloc(bytes); /* and no byte behind it */
    for (size_t i = 0; i < bytes; i++) map[i] = (uint8_t)hash_mix(++state);
    for (size_t first = 0; first < bits; first++)
      for (uint32_t count = 1; count <= 64 && first + count <= bits; count++) {
        uint64_t want = 0;
        for (uint32_t i = 0; i < count; i++) want |= (uint64_t)bytemap_get(map, first + i) << i;
        cr_assert_eq(bytemap_bits(map, first, count), want, "%u bits from %zu", count, first);
      }
    free(map);
  }
}
