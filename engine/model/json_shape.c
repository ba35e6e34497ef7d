/* json_shape.c - see json_shape.h. */
#include "model/json_shape.h"

#include <stdbool.h>
#include <string.h>

#include "model/json.h"
#include "model/json_text.h"

#define BLOCK 16u      /* bytes compared at a time */
#define MISSES_MOST 8u /* then the shape is not asked any more */

_Static_assert(JSON_SHAPE_LEAST >= BLOCK, "the last block begins within the text");

void json_shapes_clear(struct json_shapes *shapes) {
  for (unsigned i = 0; i < JSON_SHAPES; i++) shapes->of[i].size = shapes->of[i].misses = 0;
}

/* Does a byte of the block stand where it must not? */
static inline unsigned block_differs(const char *text, const struct json_shape *s, size_t at) {
#ifdef __SSE2__
  const __m128i c = _mm_loadu_si128((const __m128i *)(const void *)(text + at)),
                same = _mm_loadu_si128((const __m128i *)(const void *)(s->text + at)),
                low = _mm_loadu_si128((const __m128i *)(const void *)(s->low + at)),
                high = _mm_loadu_si128((const __m128i *)(const void *)(s->high + at));
  const __m128i outside = _mm_or_si128(_mm_cmplt_epi8(c, low), _mm_cmpgt_epi8(c, high)),
                special = _mm_or_si128(_mm_cmpeq_epi8(c, _mm_set1_epi8('"')),
                                       _mm_cmpeq_epi8(c, _mm_set1_epi8('\\')));
  return (unsigned)_mm_movemask_epi8(
      _mm_andnot_si128(_mm_cmpeq_epi8(c, same), _mm_or_si128(outside, special)));
#else
  unsigned differs = 0;
  for (unsigned i = 0; i < BLOCK; i++) {
    const signed char c = (signed char)text[at + i];
    const bool within = (c >= s->low[at + i]) & (c <= s->high[at + i]) & (c != '"') & (c != '\\');
    differs |= (c != (signed char)s->text[at + i]) & !within;
  }
  return differs;
#endif
}

/* The last block may overlap the one before it. */
static bool has_shape(const struct json_shape *s, const char *text, size_t size) {
  if (s->size != size) return false;
  unsigned differs = block_differs(text, s, size - BLOCK);
  for (size_t at = 0; at + BLOCK < size; at += BLOCK) differs |= block_differs(text, s, at);
  return !differs;
}

/* A digit outside of strings: the first of several before the point must not become a 0. */
static void learn_digit(struct json_shape *s, const char *text, size_t i) {
  const char before = text[i - 1]; /* there is one, as well as one behind: the object's braces */
  const bool first = !json_is_digit(before) && !strchr(".eE+", before);
  s->low[i] = first && json_is_digit(text[i + 1]) ? '1' : '0';
  s->high[i] = '9';
}

/* From a text that was accepted. One with escapes, or with characters beyond ASCII, is no shape. */
static void learn(struct json_shape *s, const char *text, size_t size) {
  bool inside = false;
  s->size = 0;
  for (size_t i = 0; i < size; i++) {
    const char c = text[i];
    if (c == '\\' || (signed char)c < 0) return;
    s->low[i] = 1;
    s->high[i] = 0;
    if (c == '"') {
      inside = !inside;
    } else if (inside) {
      s->low[i] = ' ';
      s->high[i] = INT8_MAX;
    } else if (json_is_digit(c)) {
      learn_digit(s, text, i);
    }
  }
  memcpy(s->text, text, size);
  s->size = (uint32_t)size;
}

const char *json_shapes_check(struct json_shapes *shapes, const char *text, size_t size, size_t *offset) {
  struct json_shape *s = &shapes->of[size % JSON_SHAPES];
  if (size < JSON_SHAPE_LEAST || size > JSON_SHAPE_MOST || s->misses == MISSES_MOST)
    return json_object_check(text, size, offset);
  if (has_shape(s, text, size)) {
    s->misses = 0;
    return NULL;
  }
  const char *wrong = json_object_check(text, size, offset);
  s->misses++;
  if (!wrong) learn(s, text, size);
  return wrong;
}
