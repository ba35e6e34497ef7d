/* bits.h - arrays of unsigned integers of one width, packed without gaps.
 *
 * Value i stands at bits [i * width, (i + 1) * width) of the array; bit b is bit b % 8 of byte b / 8. So any
 * range decodes at random access. The array is exactly bits_size() bytes long, unused bits at its end are 0,
 * and nothing behind it is read. */
#ifndef ENCODING_BITS_H
#define ENCODING_BITS_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/* The bits that x needs: 0 for 0, 64 for UINT64_MAX. */
static inline unsigned bits_length(uint64_t x) { return x ? 64u - (unsigned)__builtin_clzll(x) : 0; }
static inline uint64_t bits_mask(unsigned width) {
  return width < 64 ? ((uint64_t)1 << width) - 1 : UINT64_MAX;
}
/* Bytes of `count` values; width is 0 to 64. */
static inline size_t bits_size(uint32_t count, unsigned width) { return ((size_t)count * width + 7) / 8; }
/* Bytes that write_varint() writes. */
static inline size_t varint_size(uint64_t v) { return (bits_length(v | 1) + 6) / 7; }

/* All bits that any of the values has. */
uint64_t bits_union(const int64_t *v, uint32_t count);
/* Packs the low `width` bits of each value into out[0 .. bits_size(count, width)). */
void bits_pack(const uint64_t *values, uint32_t count, unsigned width, uint8_t *out);
/* out[i] = base + value first + i (wrapping), for i < count; `total` is the count of the whole array, and
 * first + count <= total. */
void bits_unpack(const uint8_t *packed, uint32_t total, unsigned width, uint32_t first, uint32_t count,
                 uint64_t base, uint64_t *out);
/* The same on processors without AVX-512; width and count are not 0. */
void bits_unpack_by_groups(const uint8_t *packed, uint32_t total, unsigned width, uint32_t first,
                           uint32_t count, uint64_t base, uint64_t *out);
/* The sum of the first `count` values (wrapping); count <= total. */
uint64_t bits_sum(const uint8_t *packed, uint32_t total, unsigned width, uint32_t count);
/* `count` times the same value. */
void bits_fill(uint64_t value, uint32_t count, uint64_t *out);
/* One value; i < total. */
uint64_t bits_get(const uint8_t *packed, uint32_t total, unsigned width, uint32_t i);

#endif
