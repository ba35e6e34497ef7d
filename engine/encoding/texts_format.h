/* texts_format.h - what reading and writing of text sequences share (docs/format/integers-and-texts.md).
 *
 * A sequence of count strings is one scheme byte and
 *   RAW       v size of the lengths, the lengths (ints), the bytes of all strings
 *   LZ4       v size of the lengths, the lengths (ints), the bytes as one LZ4 block
 *   TEMPLATE  see template.h
 *   CONST     the bytes of the string that all of them are
 *   DECIMAL   v size of the mantissas, the mantissas (ints), the numbers of decimals (ints)
 *   PATTERN   1 length L of every string, 1 case (0: a-f, 1: A-F), (L + 7) / 8 bytes: bit p % 8 of byte p / 8
 * is set if position p varies, the bytes of the other positions, the varying positions of all strings as
 * hexadecimal digits, two to a byte, the first in the upper half DICT      v entries, v size of the entries,
 * the entries (texts), the entry of each string (ints) (v: varint; sizes are in bytes). No string at all: the
 * byte RAW alone. */
#ifndef ENCODING_TEXTS_FORMAT_H
#define ENCODING_TEXTS_FORMAT_H

#include "encoding/texts.h"

enum text_scheme {
  TEXT_RAW,
  TEXT_LZ4,
  TEXT_TEMPLATE,
  TEXT_CONST,
  TEXT_DECIMAL,
  TEXT_PATTERN,
  TEXT_DICT,
  TEXT_SCHEMES
};

/* What may stand where, so that nesting ends. */
#define TEXT_ALLOW_ALL ((1u << TEXT_SCHEMES) - 1)
#define TEXT_ALLOW_COLUMN (TEXT_ALLOW_ALL & ~(1u << TEXT_TEMPLATE)) /* a template's columns and literals */
#define TEXT_ALLOW_ENTRY (TEXT_ALLOW_COLUMN & ~(1u << TEXT_DICT))   /* entries of DICT */

#define DECIMAL_DIGITS 18u /* of a mantissa at most, so that it fits an int64 */

/* Strings: number i is bytes[at[i]..at[i + 1]). */
struct text_list {
  const uint64_t *at;
  uint32_t count;
  const char *bytes;
};
static inline const char *text_of(const struct text_list *l, uint32_t i) { return l->bytes + l->at[i]; }
static inline size_t text_size(const struct text_list *l, uint32_t i) {
  return (size_t)(l->at[i + 1] - l->at[i]);
}
static inline size_t text_total(const struct text_list *l) { return (size_t)(l->at[l->count] - l->at[0]); }

/* The number that a decimal text stands for, if printing it gives the same text: -?(0|[1-9][0-9]*)(\.[0-9]+)?
 * with at most DECIMAL_DIGITS digits, and not a negative zero. */
bool decimal_text_parse(const char *text, size_t size, int64_t *mantissa, unsigned *places);
/* Prints it to text, which has room for DECIMAL_TEXT_MAX bytes; returns their number. places <=
 * DECIMAL_DIGITS. */
#define DECIMAL_TEXT_MAX 24u
size_t decimal_text_print(int64_t mantissa, unsigned places, char *text);

/* Appends the smallest allowed encoding to out; level counts the nesting from 0. */
void text_list_encode(const struct text_list *list, unsigned allowed, unsigned level, struct buffer *out,
                      struct ints_scratch *scratch);
/* Strings [first, first + n) of `count`. */
struct text_range {
  uint32_t count, first, n;
};
/* Appends the strings of the range to bytes, which may grow by max_bytes at most, and their offsets in it to
 * at[0..n]. */
bool text_list_decode(const void *encoded, size_t size, struct text_range range, unsigned allowed,
                      unsigned level, size_t max_bytes, uint64_t *at, struct buffer *bytes,
                      struct ints_scratch *scratch);

/* `size` more bytes of b, never NULL if there is memory (an empty buffer has none, buffer_add() gives NULL).
 */
static inline uint8_t *text_room(struct buffer *b, size_t size) {
  return size < SIZE_MAX && buffer_reserve(b, size + 1) ? buffer_add(b, size) : NULL;
}

/* `size` bytes of a sequence within another one: v size, then the bytes. */
static inline void write_part(struct buffer *out, const struct buffer *part) {
  write_varint(out, part->size);
  buffer_append(out, part->data, part->size);
}

#endif
