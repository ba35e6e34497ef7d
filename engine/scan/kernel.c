/* kernel.c - loops over the values of a chunk; see kernel.h. */
#include "scan/kernel.h"

#include "base/cpu.h"

void select_range(uint64_t *selection, uint32_t from, uint32_t to) {
  for (uint32_t i = from; i < to;) {
    uint32_t in = i % 64, n = 64 - in < to - i ? 64 - in : to - i;
    selection[i / 64] |= (n == 64 ? ~UINT64_C(0) : (UINT64_C(1) << n) - 1) << in;
    i += n;
  }
}

/* Bit i: v[i] is in [low, low + reach]. */
static inline uint64_t compare_word(const int64_t *v, uint32_t n, uint64_t low, uint64_t reach) {
  uint64_t word = 0;
  for (uint32_t i = 0; i < n; i++) word |= (uint64_t)((uint64_t)v[i] - low <= reach) << i;
  return word;
}

/* Bit i: v[i] is in one of the few intervals. */
static inline uint64_t intervals_word(const int64_t *v, uint32_t n, const struct intervals *few) {
  uint64_t pass = 0;
  for (uint32_t k = 0; k < few->count; k++) {
    const struct interval *in = &few->at[k];
    pass |= compare_word(v, n, (uint64_t)in->low, (uint64_t)in->high - (uint64_t)in->low);
  }
  return pass;
}

static void select_words(uint64_t *word, uint32_t words, const int64_t *v, const struct intervals *few) {
  for (uint32_t i = 0; i < words; i++)
    if (word[i]) word[i] &= intervals_word(v + (size_t)64 * i, 64, few);
}

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f,avx512dq")))

/* Eight comparisons give eight bits at once, which the compiler does not see by itself. */
AVX512 static uint64_t compare_word_avx512(const int64_t *v, const struct interval *in) {
  const __m512i low = _mm512_set1_epi64(in->low),
                reach = _mm512_set1_epi64((int64_t)((uint64_t)in->high - (uint64_t)in->low));
  uint64_t word = 0;
  for (unsigned i = 0; i < 64; i += 8) {
    __m512i from_low = _mm512_sub_epi64(_mm512_loadu_si512(v + i), low);
    word |= (uint64_t)_mm512_cmple_epu64_mask(from_low, reach) << i;
  }
  return word;
}

AVX512 static void select_words_avx512(uint64_t *word, uint32_t words, const int64_t *v,
                                       const struct intervals *few) {
  for (uint32_t i = 0; i < words; i++) {
    if (!word[i]) continue;
    uint64_t pass = 0;
    for (uint32_t k = 0; k < few->count; k++) pass |= compare_word_avx512(v + (size_t)64 * i, &few->at[k]);
    word[i] &= pass;
  }
}
#else
#define select_words_avx512 select_words
#endif

/* The values of a word that are still in are looked for among many intervals. */
static uint64_t search_word(const int64_t *v, uint64_t word, const struct intervals *in) {
  uint64_t out = 0;
  for (; word; word &= word - 1) {
    uint32_t i = (uint32_t)__builtin_ctzll(word);
    out |= (uint64_t)intervals_have(in, v[i]) << i;
  }
  return out;
}

void select_intervals(uint64_t *selection, uint32_t first, uint32_t count, const int64_t *values,
                      const struct intervals *in) {
  uint64_t *word = selection + first / 64;
  uint32_t words = count / 64, rest = count % 64;
  if (in->count > TEXT_INTERVALS) {
    for (uint32_t i = 0; i < count; i += 64, word++) *word = search_word(values + i, *word, in);
    return;
  }
  if (cpu_has_avx512())
    select_words_avx512(word, words, values, in);
  else
    select_words(word, words, values, in);
  if (rest) word[words] &= intervals_word(values + (size_t)64 * words, rest, in);
}

void select_texts(uint64_t *selection, uint32_t first, uint32_t count, const int64_t *ids,
                  const struct text_filter *f) {
  if (!f->memo) {
    select_intervals(selection, first, count, ids, &f->in);
    return;
  }
  uint64_t *word = selection + first / 64;
  for (uint32_t i = 0; i < count; i += 64, word++) {
    uint64_t pass = 0;
    for (uint64_t left = *word; left; left &= left - 1) {
      uint32_t k = (uint32_t)__builtin_ctzll(left);
      pass |= (uint64_t)text_filter_passes(f, (uint32_t)ids[i + k]) << k;
    }
    *word = pass;
  }
}

/* Is any of 64 ids in [low, low + reach]? Nearly always not: no bits are gathered then. */
static inline bool any_of_word(const uint32_t *id, uint32_t low, uint32_t reach) {
  uint32_t any = 0;
  for (uint32_t i = 0; i < 64; i++) any |= id[i] - low <= reach;
  return any;
}

static uint64_t id_word(const uint32_t *id, uint32_t n, uint32_t low, uint32_t reach) {
  uint64_t word = 0;
  if (n == 64 && !any_of_word(id, low, reach)) return 0;
  for (uint32_t i = 0; i < n; i++) word |= (uint64_t)(id[i] - low <= reach) << i;
  return word;
}

void select_ids(uint64_t *selection, uint32_t count, const uint32_t *ids, const struct intervals *few) {
  uint64_t *word = selection;
  for (uint32_t i = 0; i < count; i += 64, word++) {
    uint32_t n = count - i < 64 ? count - i : 64;
    uint64_t pass = 0;
    for (uint32_t k = 0; *word && k < few->count; k++) {
      const struct interval *in = &few->at[k];
      if (in->high < 0 || in->low > UINT32_MAX) continue;
      uint32_t low = in->low < 0 ? 0 : (uint32_t)in->low;
      uint32_t high = in->high > UINT32_MAX ? UINT32_MAX : (uint32_t)in->high;
      pass |= id_word(ids + i, n, low, high - low);
    }
    *word &= pass;
  }
}

void select_valid(uint64_t *selection, uint32_t first, uint32_t count, const uint64_t *valid, bool null) {
  uint64_t *word = selection + first / 64;
  for (uint32_t i = 0; i < count; i += 64, word++) *word &= null ? ~valid[i / 64] : valid[i / 64];
}

bool select_solid(const uint64_t *selection, uint32_t first, uint32_t end) {
  uint32_t low = first / 64, high = (end - 1) / 64;
  uint64_t begin = ~UINT64_C(0) << first % 64, rest = ~UINT64_C(0) >> (63 - (end - 1) % 64), gaps = 0;
  if (low == high) return !(~selection[low] & begin & rest);
  for (uint32_t w = low + 1; w < high; w++) gaps |= ~selection[w];
  return !(gaps | (~selection[low] & begin) | (~selection[high] & rest));
}

uint32_t select_list(const uint64_t *selection, uint32_t rows, uint16_t *list) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < rows; i += 64)
    for (uint64_t word = selection[i / 64]; word; word &= word - 1)
      list[n++] = (uint16_t)(i + (uint32_t)__builtin_ctzll(word));
  return n;
}

bool select_bounds(const uint64_t *selection, uint32_t *first, uint32_t *end) {
  uint32_t low = 0, high = SELECTION_WORDS;
  while (low < high && !selection[low]) low++;
  if (low == high) return false;
  while (!selection[high - 1]) high--;
  *first = low * 64 + (uint32_t)__builtin_ctzll(selection[low]);
  *end = high * 64 - (uint32_t)__builtin_clzll(selection[high - 1]);
  return true;
}

void select_append(uint64_t *to, uint32_t at, const uint64_t *from, uint32_t count) {
  if (!from) {
    select_range(to, at, at + count);
    return;
  }
  for (uint32_t i = 0; i < count; i += 64) {
    uint32_t n = count - i < 64 ? count - i : 64, in = (at + i) % 64;
    uint64_t word = n == 64 ? from[i / 64] : from[i / 64] & ((UINT64_C(1) << n) - 1);
    to[(at + i) / 64] |= word << in;
    if (in + n > 64) to[(at + i) / 64 + 1] |= word >> (64 - in);
  }
}
