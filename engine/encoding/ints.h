/* ints.h - integer sequences in few bytes (docs/format/segment.md, "Integers").
 *
 * One interface, several schemes behind it, chosen by exact size:
 *   CONST   all values equal
 *   FOR     value = base + scale * (packed bits [+ exception]); scale is a power of ten that divides
 *           every difference from base (so 4-decimal costs pay for 4 decimals); exceptions are (position,
 * high bits) DELTA   the first value, then FOR over zigzag deltas DICT    the sorted distinct values (as
 * FOR), then bit-packed indexes RLE     run values (nested) and run lengths (nested FOR), where runs are long
 * decode(encode(v)) == v for every sequence of int64, overflow of differences included (64-bit
 * wrapping). ints_open trusts no number: afterwards decoding cannot leave the bytes, whatever they are; a
 * value that a damaged sequence decodes to is unspecified, an access outside is impossible. */
#ifndef ENCODING_INTS_H
#define ENCODING_INTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define INTS_MAX 65536u /* the most values of one sequence... longer arrays are cut (segment/) */

enum ints_scheme { INTS_CONST, INTS_FOR, INTS_DELTA, INTS_DICT, INTS_RLE, INTS_SCHEMES };

/* An opened sequence: borrowed bytes, checked. The members are encoding/'s own business. */
struct ints {
  const uint8_t *at; /* payload behind the header */
  size_t size;
  uint32_t count;
  uint8_t scheme;
  uint8_t width;
  int64_t base;
  uint64_t scale;
  uint32_t exceptions;
  const uint8_t *packed, *exception_positions, *exception_bits;
  uint8_t exception_width;
  const uint8_t *nested[2];
  size_t nested_size[2];
  uint32_t nested_count; /* DICT: entries; RLE: runs */
};

/* Working memory of an encoder or decoder, reused from call to call; zero it before its first use. */
struct ints_scratch {
  struct buffer a, b, c, d;
};
void ints_scratch_free(struct ints_scratch *s);

/* Appends the encoding of v[0..count) to out, count 1..INTS_MAX. out->failed without memory. */
void ints_encode(const int64_t *v, uint32_t count, struct buffer *out, struct ints_scratch *scratch);
/* Checks the encoding of `count` values in exactly size bytes. False if it is not one. */
bool ints_open(const void *bytes, size_t size, uint32_t count, struct ints *ints);
/* Decodes values [first, first + count) of an opened sequence; the range must lie within it. FOR costs time
 * by `count`; DELTA and RLE by first + count at most. No allocation: nested sequences decode in pieces on the
 * stack. */
void ints_decode(const struct ints *ints, uint32_t first, uint32_t count, int64_t *out);
/* DICT, CONST: the distinct values, sorted ascending, as an opened sequence of *count values (so a reader can
 * prune by them); false for the other schemes. */
bool ints_distinct(const struct ints *ints, struct ints *values);
/* The name of the scheme, for statistics. */
const char *ints_name(uint8_t scheme);

#endif
