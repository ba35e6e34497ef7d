/* csv_index.c - see csv_index.h. */
#include "tools/csv_index.h"

#include "base/bytes.h"
#include "base/cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define BLOCK 64u
#define INLINE static inline __attribute__((always_inline))

/* Which bytes of a block are what. */
struct masks {
  uint64_t quote, separator, carriage_return;
};

/* What the next block has to know of those before it. */
struct scan {
  uint64_t inside;          /* all ones: its first byte is inside quotes */
  uint64_t after_separator; /* 1: the byte before it is a separator, or a record starts here */
  uint64_t after_close;     /* 1: the byte before it is a quote that may have closed a field */
  uint32_t *out;
  size_t count, capacity;
};

/* Bit i of the result is the parity of the bits 0 to i. */
INLINE uint64_t prefix_parity(uint64_t bits) {
  for (unsigned shift = 1; shift < 64; shift *= 2) bits ^= bits << shift;
  return bits;
}

/* The separators among the masks; false if a quote is out of place. */
INLINE bool block_separators(struct scan *s, struct masks m, uint64_t *separators) {
  if (!(m.quote | s->after_close)) {
    *separators = m.separator & ~s->inside;
    s->after_separator = *separators >> 63;
    return true;
  }
  uint64_t inside = prefix_parity(m.quote) ^ s->inside;
  uint64_t before = (inside << 1) | (s->inside & 1);
  uint64_t open = m.quote & ~before, close = m.quote & before;
  *separators = m.separator & ~inside;
  uint64_t may_open = (*separators << 1) | (close << 1) | s->after_separator | s->after_close;
  uint64_t behind_close = (close << 1) | s->after_close;
  uint64_t may_follow = m.separator | m.quote | m.carriage_return;
  s->inside = 0 - (inside >> 63);
  s->after_separator = *separators >> 63;
  s->after_close = close >> 63;
  return !(open & ~may_open) && !(behind_close & ~may_follow);
}

/* Writes the positions of the bits, eight at a time without asking for each whether it is there: what is
 * written behind the last one is overwritten by the next block. There is room for 64. */
INLINE void put_positions(struct scan *s, size_t base, uint64_t bits) {
  size_t count = (size_t)__builtin_popcountll(bits);
  uint32_t *out = s->out + s->count;
  s->count += count;
  for (size_t done = 0; done < count; done += 8)
    for (size_t i = 0; i < 8; i++, bits &= bits - 1)
      *out++ = (uint32_t)(base + (size_t)__builtin_ctzll(bits | UINT64_C(1) << 63));
}

/* The separators of a block, of whose bytes those in `there` exist; false: the index ends before it. Bytes
 * that do not exist may follow a quote, and separate nothing. */
INLINE bool take_block(struct scan *s, struct masks m, uint64_t there, uint64_t *separators) {
  m.quote &= there;
  m.separator |= ~there;
  if (s->capacity - s->count < BLOCK || !block_separators(s, m, separators)) return false;
  *separators &= there;
  return true;
}

/* The loop over all blocks, with the masks of one by LOAD, whose separators PUT writes. */
#define INDEX(LOAD, PUT)                                                                                     \
  struct scan s = {.after_separator = 1, .out = separators, .capacity = capacity};                           \
  uint64_t bits;                                                                                             \
  for (; to - from >= BLOCK; from += BLOCK) {                                                                \
    if (!take_block(&s, LOAD(text + from), ~UINT64_C(0), &bits)) return s.count;                             \
    PUT(&s, from, bits);                                                                                     \
  }                                                                                                          \
  if (from < to && take_block(&s, LOAD(text + from), ((uint64_t)1 << (to - from)) - 1, &bits))               \
    PUT(&s, from, bits);                                                                                     \
  return s.count

/* ------------------------------------------------------------------ eight bytes at a time */

#define EVERY_BYTE UINT64_C(0x0101010101010101)

/* Bit i: byte i of the word is c. */
INLINE uint64_t equal_bytes(uint64_t word, unsigned char c) {
  uint64_t x = word ^ (EVERY_BYTE * c);
  uint64_t differs = (((x & EVERY_BYTE * 0x7F) + EVERY_BYTE * 0x7F) | x) & EVERY_BYTE * 0x80;
  uint64_t same = (differs ^ EVERY_BYTE * 0x80) >> 7; /* 1 in the lowest bit of each byte that is c */
  return (same * UINT64_C(0x0102040810204080)) >> 56;
}

INLINE struct masks load_portable(const char *p) {
  struct masks m = {0, 0, 0};
  for (unsigned i = 0; i < BLOCK; i += 8) {
    uint64_t word = load64(p + i);
    m.quote |= equal_bytes(word, '"') << i;
    m.separator |= (equal_bytes(word, ',') | equal_bytes(word, '\n')) << i;
    m.carriage_return |= equal_bytes(word, '\r') << i;
  }
  return m;
}

size_t csv_index_portable(const char *text, size_t from, size_t to, uint32_t *separators, size_t capacity) {
  INDEX(load_portable, put_positions);
}

#if defined(__x86_64__)

/* ------------------------------------------------------------------ SSE2: every x86-64 has it */

INLINE uint64_t equal16(__m128i bytes, char c) {
  return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(c)));
}

INLINE struct masks load_sse2(const char *p) {
  struct masks m = {0, 0, 0};
  for (unsigned i = 0; i < BLOCK; i += 16) {
    __m128i bytes = _mm_loadu_si128((const void *)(p + i));
    m.quote |= equal16(bytes, '"') << i;
    m.separator |= (equal16(bytes, ',') | equal16(bytes, '\n')) << i;
    m.carriage_return |= equal16(bytes, '\r') << i;
  }
  return m;
}

size_t csv_index_sse2(const char *text, size_t from, size_t to, uint32_t *separators, size_t capacity) {
  INDEX(load_sse2, put_positions);
}

/* ------------------------------------------------------------------ AVX2 */

#define AVX2 __attribute__((target("avx2,bmi,popcnt")))

AVX2 INLINE uint64_t equal32(__m256i bytes, char c) {
  return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(c)));
}

AVX2 INLINE struct masks load_avx2(const char *p) {
  __m256i low = _mm256_loadu_si256((const void *)p), high = _mm256_loadu_si256((const void *)(p + 32));
  struct masks m;
  m.quote = equal32(low, '"') | equal32(high, '"') << 32;
  m.separator = (equal32(low, ',') | equal32(low, '\n')) | (equal32(high, ',') | equal32(high, '\n')) << 32;
  m.carriage_return = equal32(low, '\r') | equal32(high, '\r') << 32;
  return m;
}

AVX2 size_t csv_index_avx2(const char *text, size_t from, size_t to, uint32_t *separators, size_t capacity) {
  INDEX(load_avx2, put_positions);
}

/* ------------------------------------------------------------------ AVX-512 */

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vbmi2,bmi,popcnt")))

AVX512 INLINE struct masks load_avx512(const char *p) {
  __m512i bytes = _mm512_loadu_si512((const void *)p);
  struct masks m;
  m.quote = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('"'));
  m.separator = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(',')) |
                _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('\n'));
  m.carriage_return = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('\r'));
  return m;
}

/* The numbers of the bits are compressed as bytes, then widened, sixteen at a time: a block rarely has more.
 */
AVX512 INLINE void put_compressed(struct scan *s, size_t base, uint64_t bits) {
  const __m512i numbers =
      _mm512_set_epi8(63, 62, 61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48, 47, 46, 45, 44, 43, 42,
                      41, 40, 39, 38, 37, 36, 35, 34, 33, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20,
                      19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i start = _mm512_set1_epi32((int)(uint32_t)base);
  __m512i left = _mm512_maskz_compress_epi8(bits, numbers);
  size_t count = (size_t)__builtin_popcountll(bits);
  uint32_t *out = s->out + s->count;
  s->count += count;
  for (size_t done = 0; done < count; done += 16) {
    __m512i some = _mm512_cvtepu8_epi32(_mm512_castsi512_si128(left));
    _mm512_storeu_si512(out + done, _mm512_add_epi32(some, start));
    left = _mm512_shuffle_i64x2(left, left, 0x39); /* the next sixteen to the front */
  }
}

AVX512 size_t csv_index_avx512(const char *text, size_t from, size_t to, uint32_t *separators,
                               size_t capacity) {
  INDEX(load_avx512, put_compressed);
}

#endif

csv_index_fn *csv_index_best(void) {
#if defined(__x86_64__)
  if (cpu_has_avx512()) return csv_index_avx512;
  return cpu_has_avx2() ? csv_index_avx2 : csv_index_sse2;
#else
  return csv_index_portable;
#endif
}
