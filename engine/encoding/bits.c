/* bits.c - packing and unpacking; see bits.h.
 *
 * Eight values of one width fill exactly `width` bytes, so a group of eight always starts on a byte, and the
 * shifts inside of it are constants once the width is one: unpack_groups() is compiled once for every width.
 * Loads go up to OVERREAD bytes behind a group; groups nearer than that to the end of the array are copied to
 * a padded buffer first. */
#include "encoding/bits.h"

#include "base/array.h"
#include "base/cpu.h"
#include "base/kernel.h"

#define GROUP 8u        /* values */
#define OVERREAD 16u    /* bytes behind a group that its loads may touch: 8, with AVX2 16 */
#define FEW 3u          /* values that are sooner got one by one */
#define LANE_WIDEST 57u /* a value and the bits before it in its first byte fit eight bytes */
#define PIECE 256u      /* values summed up at a time */
#define INLINE static inline __attribute__((always_inline))

/* Value j of the group at p, for a constant width. */
INLINE uint64_t group_value(const uint8_t *p, unsigned width, unsigned j) {
  unsigned bit = j * width, shift = bit % 8;
  uint64_t value = load64(p + bit / 8) >> shift;
  if (shift + width > 64) value |= (uint64_t)p[bit / 8 + 8] << (64 - shift);
  return value & bits_mask(width);
}

INLINE void unpack_width(const uint8_t *p, size_t groups, unsigned width, uint64_t base, uint64_t *out) {
  for (size_t g = 0; g < groups; g++, p += width, out += GROUP) {
    out[0] = base + group_value(p, width, 0);
    out[1] = base + group_value(p, width, 1);
    out[2] = base + group_value(p, width, 2);
    out[3] = base + group_value(p, width, 3);
    out[4] = base + group_value(p, width, 4);
    out[5] = base + group_value(p, width, 5);
    out[6] = base + group_value(p, width, 6);
    out[7] = base + group_value(p, width, 7);
  }
}

#define WIDTH(w)                                                                                             \
  case w:                                                                                                    \
    unpack_width(p, groups, w, base, out);                                                                   \
    break;
#define WIDTHS(w)                                                                                            \
  WIDTH(w) WIDTH(w + 1) WIDTH(w + 2) WIDTH(w + 3) WIDTH(w + 4) WIDTH(w + 5) WIDTH(w + 6) WIDTH(w + 7)

static void unpack_groups(const uint8_t *p, size_t groups, unsigned width, uint64_t base, uint64_t *out) {
  switch (width) { WIDTHS(1) WIDTHS(9) WIDTHS(17) WIDTHS(25) WIDTHS(33) WIDTHS(41) WIDTHS(49) WIDTHS(57) }
}

/* ---- with AVX2 */

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2_LEAST 4u /* groups: fewer are not worth the preparation */

/* How the values 4h to 4h + 3 of a group come into the four lanes of a vector: two loads of 16 bytes, which
 * have two values each; a shuffle that brings each value's bytes into its lane; a shift. */
struct quarter {
  __m256i shuffle, shift;
  size_t low, high; /* where the loads begin */
};

__attribute__((target("avx2"))) static struct quarter quarter_make(unsigned width, unsigned h) {
  struct quarter q = {.low = 4 * h * width / 8, .high = (4 * h + 2) * width / 8};
  uint8_t shuffle[32];
  uint64_t shift[4];
  for (unsigned j = 0; j < 4; j++) {
    unsigned bit = (4 * h + j) * width;
    size_t from = bit / 8 - (j < 2 ? q.low : q.high);
    for (unsigned k = 0; k < 8; k++) shuffle[8 * j + k] = (uint8_t)(from + k);
    shift[j] = bit % 8;
  }
  q.shuffle = _mm256_loadu_si256((const __m256i *)(const void *)shuffle);
  q.shift = _mm256_loadu_si256((const __m256i *)(const void *)shift);
  return q;
}

__attribute__((target("avx2"))) static inline __m256i quarter_values(const uint8_t *p,
                                                                     const struct quarter *q) {
  __m128i low = _mm_loadu_si128((const __m128i *)(const void *)(p + q->low));
  __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(p + q->high));
  __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
  return _mm256_srlv_epi64(_mm256_shuffle_epi8(both, q->shuffle), q->shift);
}

__attribute__((target("avx2"))) static void unpack_groups_avx2(const uint8_t *p, size_t groups,
                                                               unsigned width, uint64_t base, uint64_t *out) {
  const struct quarter first = quarter_make(width, 0), second = quarter_make(width, 1);
  const __m256i mask = _mm256_set1_epi64x((int64_t)bits_mask(width)),
                bases = _mm256_set1_epi64x((int64_t)base);
  for (; groups > 0; groups--, p += width, out += GROUP) {
    __m256i a = _mm256_and_si256(quarter_values(p, &first), mask);
    __m256i b = _mm256_and_si256(quarter_values(p, &second), mask);
    _mm256_storeu_si256((__m256i *)(void *)out, _mm256_add_epi64(a, bases));
    _mm256_storeu_si256((__m256i *)(void *)(out + 4), _mm256_add_epi64(b, bases));
  }
}

static bool is_fast(size_t groups, unsigned width) {
  return groups >= AVX2_LEAST && width <= LANE_WIDEST && cpu_has_avx2();
}

/* ---- with AVX-512 */

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vbmi,avx512vl")))
#define HALF_WIDEST 31u /* eight values, and the bits before them in their first byte, fit 32 bytes */

/* Where the eight bytes are that each of eight values begins in, the first one at bit `start` of a byte; and
 * at which of their bits. */
struct lanes {
  __m512i bytes, shift, mask, base;
};

AVX512 static struct lanes lanes_make(unsigned start, unsigned width, uint64_t base) {
  const __m512i places = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i bits =
      _mm512_add_epi64(_mm512_mullo_epi64(places, _mm512_set1_epi64(width)), _mm512_set1_epi64(start));
  const __m512i first = _mm512_mullo_epi64(_mm512_srli_epi64(bits, 3), _mm512_set1_epi64(0x0101010101010101));
  return (struct lanes){.bytes = _mm512_add_epi8(first, _mm512_set1_epi64(0x0706050403020100)),
                        .shift = _mm512_and_si512(bits, _mm512_set1_epi64(7)),
                        .mask = _mm512_set1_epi64((int64_t)bits_mask(width)),
                        .base = _mm512_set1_epi64((int64_t)base)};
}

AVX512 INLINE __m512i lanes_values(const struct lanes *l, __m512i bytes) {
  __m512i v = _mm512_srlv_epi64(_mm512_permutexvar_epi8(l->bytes, bytes), l->shift);
  return _mm512_add_epi64(_mm512_and_si512(v, l->mask), l->base);
}

/* Any values of an array, eight at a time; bytes behind its end are not loaded. */
AVX512 static void unpack_avx512(const uint8_t *packed, uint32_t total, unsigned width, uint32_t first,
                                 uint32_t count, uint64_t base, uint64_t *out) {
  const size_t start = (size_t)first * width;
  const uint8_t *p = packed + start / 8;
  size_t left = bits_size(total, width) - start / 8;
  const struct lanes lanes = lanes_make(start % 8, width, base);
  if (width <= HALF_WIDEST)
    for (; count >= GROUP && left >= 32; count -= GROUP, out += GROUP, p += width, left -= width) {
      __m512i bytes = _mm512_zextsi256_si512(_mm256_loadu_si256((const __m256i *)(const void *)p));
      _mm512_storeu_si512(out, lanes_values(&lanes, bytes));
    }
  for (; count >= GROUP && left >= 64; count -= GROUP, out += GROUP, p += width, left -= width)
    _mm512_storeu_si512(out, lanes_values(&lanes, _mm512_loadu_si512(p)));
  for (; count; out += GROUP, p += width, left -= width) {
    uint32_t n = count < GROUP ? count : GROUP;
    __mmask64 there = left < 64 ? ((uint64_t)1 << left) - 1 : ~(uint64_t)0;
    __m512i bytes = _mm512_maskz_loadu_epi8(there, p);
    _mm512_mask_storeu_epi64(out, (__mmask8)((1u << n) - 1), lanes_values(&lanes, bytes));
    count -= n;
  }
}

/* The sum of values, eight at a time, as long as 64 bytes may be loaded; *done says how many. */
AVX512 static uint64_t sum_avx512(const uint8_t *packed, size_t size, unsigned width, uint32_t count,
                                  uint32_t *done) {
  const struct lanes lanes = lanes_make(0, width, 0);
  __m512i sum = _mm512_setzero_si512();
  size_t groups = size < 64 ? 0 : (size - 64) / width + 1, whole = count / GROUP;
  if (groups > whole) groups = whole;
  for (size_t g = 0; g < groups; g++, packed += width)
    sum = _mm512_add_epi64(sum, lanes_values(&lanes, _mm512_loadu_si512(packed)));
  *done = (uint32_t)groups * GROUP;
  return (uint64_t)_mm512_reduce_add_epi64(sum);
}
#else
#define unpack_groups_avx2 unpack_groups
#define unpack_avx512(packed, total, width, first, count, base, out) (void)0
#define sum_avx512(packed, size, width, count, done) (*(done) = 0)
static bool is_fast(size_t groups, unsigned width) { return groups == SIZE_MAX && width == 0; }
#endif

uint64_t bits_get(const uint8_t *packed, uint32_t total, unsigned width, uint32_t i) {
  if (width == 0) return 0;
  size_t size = bits_size(total, width), bit = (size_t)i * width, at = bit / 8;
  uint8_t near_end[16] = {0};
  const uint8_t *p = packed + at;
  if (size - at < 9) {
    memcpy(near_end, p, size - at);
    p = near_end;
  }
  unsigned shift = bit % 8;
  uint64_t value = load64(p) >> shift;
  if (shift + width > 64) value |= (uint64_t)p[8] << (64 - shift);
  return value & bits_mask(width);
}

/* Groups that are followed by OVERREAD bytes. */
static void unpack_inside(const uint8_t *p, size_t groups, unsigned width, uint64_t base, uint64_t *out) {
  if (is_fast(groups, width))
    unpack_groups_avx2(p, groups, width, base, out);
  else
    unpack_groups(p, groups, width, base, out);
}

/* One group, wherever it stands in an array of which `size` bytes are left. */
static void unpack_group(const uint8_t *p, size_t size, unsigned width, uint64_t base, uint64_t out[GROUP]) {
  uint8_t padded[64 + OVERREAD] = {0};
  if (size < width + OVERREAD) p = memcpy(padded, p, size < width ? size : width);
  unpack_groups(p, 1, width, base, out);
}

/* Groups near the end of an array of which `size` bytes are left: from a padded copy, up to 64 bytes a time.
 */
static void unpack_end(const uint8_t *p, size_t size, size_t groups, unsigned width, uint64_t base,
                       uint64_t *out) {
  uint8_t padded[64 + OVERREAD] = {0};
  while (groups) {
    size_t n = groups < 64 / width ? groups : 64 / width, bytes = n * width;
    memcpy(padded, p, bytes < size ? bytes : size);
    unpack_inside(padded, n, width, base, out);
    p += bytes;
    size -= bytes;
    out += n * GROUP;
    groups -= n;
  }
}

void bits_unpack_by_groups(const uint8_t *packed, uint32_t total, unsigned width, uint32_t first,
                           uint32_t count, uint64_t base, uint64_t *out) {
  const uint8_t *p = packed + (size_t)(first / GROUP) * width;
  size_t left = bits_size(total, width) - (size_t)(p - packed);
  uint64_t group[GROUP];
  uint32_t skip = first % GROUP;
  if (skip) {
    uint32_t n = count < GROUP - skip ? count : GROUP - skip;
    unpack_group(p, left, width, base, group);
    memcpy(out, group + skip, n * sizeof *out);
    out += n;
    count -= n;
    if (!count) return;
    p += width;
    left -= width;
  }
  size_t groups = count / GROUP, safe = left < OVERREAD ? 0 : (left - OVERREAD) / width;
  if (safe > groups) safe = groups;
  unpack_inside(p, safe, width, base, out);
  size_t bytes = safe * width, end = groups * width;
  unpack_end(p + bytes, left - bytes, groups - safe, width, base, out + safe * GROUP);
  if (count % GROUP == 0) return;
  unpack_group(p + end, left - end, width, base, group);
  memcpy(out + groups * GROUP, group, count % GROUP * sizeof *out);
}

KERNEL static void fill(uint64_t value, uint32_t count, uint64_t *out) {
  for (uint32_t i = 0; i < count; i++) out[i] = value;
}

void bits_fill(uint64_t value, uint32_t count, uint64_t *out) { fill(value, count, out); }

void bits_unpack(const uint8_t *packed, uint32_t total, unsigned width, uint32_t first, uint32_t count,
                 uint64_t base, uint64_t *out) {
  if (width == 0)
    fill(base, count, out);
  else if (count <= FEW)
    for (uint32_t i = 0; i < count; i++) out[i] = base + bits_get(packed, total, width, first + i);
  else if (width <= LANE_WIDEST && cpu_has_avx512())
    unpack_avx512(packed, total, width, first, count, base, out);
  else
    bits_unpack_by_groups(packed, total, width, first, count, base, out);
}

uint64_t bits_sum(const uint8_t *packed, uint32_t total, unsigned width, uint32_t count) {
  uint64_t sum = 0, piece[PIECE];
  uint32_t done = 0;
  if (width == 0) return 0;
  if (width <= LANE_WIDEST && cpu_has_avx512())
    sum = sum_avx512(packed, bits_size(total, width), width, count, &done);
  for (uint32_t n; done < count; done += n) {
    n = count - done < PIECE ? count - done : PIECE;
    bits_unpack(packed, total, width, done, n, 0, piece);
    sum += array_sum((const int64_t *)piece, n);
  }
  return sum;
}

KERNEL static uint64_t union_of(const int64_t *v, uint32_t count) {
  uint64_t bits = 0;
  for (uint32_t i = 0; i < count; i++) bits |= (uint64_t)v[i];
  return bits;
}

/* A kernel of its own would be seen outside of the library: its copies take no visibility from the build. */
uint64_t bits_union(const int64_t *v, uint32_t count) { return union_of(v, count); }

/* Groups of eight values of a constant width are eight-byte words with shifts that are constants too. */
INLINE void pack_width(const uint64_t *v, size_t groups, unsigned width, uint8_t *out) {
  const uint64_t mask = bits_mask(width);
  for (size_t g = 0; g < groups; g++, v += GROUP, out += width) {
    uint64_t word = 0;
    unsigned fill = 0, at = 0;
    for (unsigned j = 0; j < GROUP; j++) {
      uint64_t value = v[j] & mask;
      word |= value << fill;
      fill += width;
      if (fill < 64) continue;
      store64(out + at, word);
      at += 8;
      fill -= 64;
      word = fill ? value >> (width - fill) : 0;
    }
    memcpy(out + at, &word, (fill + 7) / 8);
  }
}

#undef WIDTH
#define WIDTH(w)                                                                                             \
  case w:                                                                                                    \
    pack_width(values, groups, w, out);                                                                      \
    break;

static void pack_groups(const uint64_t *values, size_t groups, unsigned width, uint8_t *out) {
  switch (width) { WIDTHS(1) WIDTHS(9) WIDTHS(17) WIDTHS(25) WIDTHS(33) WIDTHS(41) WIDTHS(49) WIDTHS(57) }
}

void bits_pack(const uint64_t *values, uint32_t count, unsigned width, uint8_t *out) {
  if (width == 0) return;
  size_t groups = count / GROUP;
  uint32_t rest = count % GROUP;
  pack_groups(values, groups, width, out);
  if (!rest) return;
  uint64_t last[GROUP] = {0};
  uint8_t packed[64];
  memcpy(last, values + groups * GROUP, rest * sizeof *last);
  pack_groups(last, 1, width, packed);
  memcpy(out + groups * width, packed, bits_size(rest, width));
}
