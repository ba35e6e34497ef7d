/* csv_integers.c - the integers of a record together; see csv_digits.h. */
#include "base/cpu.h"
#include "tools/csv_digits.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

bool csv_integers_portable(const char *text, const uint32_t *separators, int32_t to[CSV_INTEGERS]) {
  bool good = true;
  for (int i = 0; i < CSV_INTEGERS; i++) {
    size_t start = separators[i] + (size_t)1;
    good = good && few_digits(text + start, separators[i + 1] - start, &to[i]);
  }
  return good;
}

#if defined(__x86_64__)

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl")))
#define FIELDS ((1u << CSV_INTEGERS) - 1)

/* The eight bytes in front of a field's end. */
static inline long long load_end(const char *text, uint32_t end) { return (long long)load64(text + end - 8); }

/* Digits are added up in pairs, fours and eights, as eight_digits does. */
AVX512 bool csv_integers_avx512(const char *text, const uint32_t *separators, int32_t to[CSV_INTEGERS]) {
  if (separators[1] < 8) return csv_integers_portable(text, separators, to);
  const __m256i start = _mm256_maskz_loadu_epi32(FIELDS, separators),
                end = _mm256_maskz_loadu_epi32(FIELDS, separators + 1);
  const __m256i more =
      _mm256_sub_epi32(_mm256_sub_epi32(end, start), _mm256_set1_epi32(2)); /* than a digit */
  if (_mm256_mask_cmpgt_epu32_mask(FIELDS, more, _mm256_set1_epi32(7))) return false;
  /* What stands in front of the field becomes zeros. */
  const __m512i others =
      _mm512_slli_epi64(_mm512_cvtepu32_epi64(_mm256_sub_epi32(_mm256_set1_epi32(7), more)), 3);
  const uint32_t *at = separators + 1;
  const __m512i ends = _mm512_set_epi64(0, 0, 0, load_end(text, at[4]), load_end(text, at[3]),
                                        load_end(text, at[2]), load_end(text, at[1]), load_end(text, at[0]));
  __m512i digits = _mm512_sub_epi8(ends, _mm512_set1_epi8('0'));
  digits = _mm512_sllv_epi64(_mm512_srlv_epi64(digits, others), others);
  const __mmask64 bytes = (UINT64_C(1) << 8 * CSV_INTEGERS) - 1;
  if (_mm512_mask_cmpgt_epu8_mask(bytes, digits, _mm512_set1_epi8(9))) return false;
  const __m512i pairs = _mm512_maddubs_epi16(digits, _mm512_set1_epi16(0x010A)),
                fours = _mm512_madd_epi16(pairs, _mm512_set1_epi32(0x00010064)),
                high = _mm512_mul_epu32(fours, _mm512_set1_epi64(10000)),
                eights = _mm512_add_epi64(high, _mm512_srli_epi64(fours, 32));
  _mm256_mask_storeu_epi32(to, FIELDS, _mm512_cvtepi64_epi32(eights));
  return true;
}

#endif

csv_integers_fn *csv_integers_best(void) {
#if defined(__x86_64__)
  if (cpu_has_avx512()) return csv_integers_avx512;
#endif
  return csv_integers_portable;
}
