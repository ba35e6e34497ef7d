/* csv_unquote.c - the insides of quoted fields; see csv.h. */
#include <string.h>

#include "base/cpu.h"
#include "tools/csv.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* The length of the bytes before the first quote among 16, 16 if there is none; copies all 16. */
static inline size_t copy_plain(const char *from, char *to) {
#if defined(__x86_64__)
  __m128i bytes = _mm_loadu_si128((const void *)from);
  _mm_storeu_si128((void *)to, bytes);
  unsigned quotes = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')));
  return (size_t)__builtin_ctz(quotes | 0x10000u);
#else
  size_t n = 0;
  for (; n < 16 && from[n] != '"'; n++) to[n] = from[n];
  return n;
#endif
}

static size_t copy_unquoted(const char *inside, size_t size, char *to) {
  const char *end = inside + size;
  char *out = to;
  while (inside < end) {
    size_t n = copy_plain(inside, out), left = (size_t)(end - inside);
    if (n >= left) return (size_t)(out + left - to);
    out += n;
    inside += n;
    if (n == 16) continue;
    *out++ = '"';
    inside += 2;
  }
  return (size_t)(out - to);
}

struct csv_unquoted csv_unquote_portable(const char *inside, size_t size, char *to) {
  uint64_t lines = memchr(inside, '\n', size) ? count_lines(inside, size) : 0;
  return (struct csv_unquoted){copy_unquoted(inside, size, to), lines};
}

#if defined(__x86_64__)

/* 64 bytes at a time: the second one of each pair of quotes is squeezed out. */
__attribute__((target("avx512f,avx512bw,avx512vbmi2,bmi2,popcnt"))) struct csv_unquoted csv_unquote_avx512(
    const char *inside, size_t size, char *to) {
  struct csv_unquoted u = {0, 0};
  bool second = false; /* the next quote is one of a pair that has begun */
  for (size_t at = 0; at < size; at += 64) {
    __mmask64 there = size - at < 64 ? ((uint64_t)1 << (size - at)) - 1 : ~(uint64_t)0;
    __m512i bytes = _mm512_maskz_loadu_epi8(there, inside + at);
    uint64_t quotes = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('"'));
    u.lines += (uint64_t)_mm_popcnt_u64(_mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('\n')));
    uint64_t every_other = second ? 0x5555555555555555 : 0xAAAAAAAAAAAAAAAA;
    uint64_t kept = there & ~_pdep_u64(every_other, quotes);
    _mm512_storeu_si512(to + u.size, _mm512_maskz_compress_epi8(kept, bytes));
    u.size += (size_t)_mm_popcnt_u64(kept);
    second ^= _mm_popcnt_u64(quotes) & 1;
  }
  return u;
}

#endif

csv_unquote_fn *csv_unquote_best(void) {
#if defined(__x86_64__)
  if (cpu_has_avx512()) return csv_unquote_avx512;
#endif
  return csv_unquote_portable;
}
