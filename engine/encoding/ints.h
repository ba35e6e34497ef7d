/* ints.h - integer sequences in few bytes (docs/format/integers-and-texts.md).
 *
 * One interface, several schemes behind it, chosen by exact size (ties: the one that decodes faster):
 *   CONST  all values equal
 *   FOR    value = base + scale * (packed bits [+ exception]); scale is a power of ten that divides every
 *          difference from base (so 4-decimal costs pay for 4 decimals); exceptions are (position, high bits)
 *   DELTA  the first value, then FOR over the differences of neighbours
 *   DICT   the sorted distinct values (CONST, FOR or DELTA), then FOR over indexes
 *   RLE    run values (any other scheme), then FOR over run lengths, where runs are long
 * decode(encode(v)) == v for every sequence of int64, overflow of differences included (64-bit wrapping).
 * ints_open trusts no number: afterwards decoding cannot leave the bytes, whatever they are; a value that a
 * damaged sequence decodes to is unspecified, an access outside is impossible. */
#ifndef ENCODING_INTS_H
#define ENCODING_INTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "encoding/frame.h"

#define INTS_MAX 65536u /* the most values of one sequence; longer columns are cut into chunks (segment/) */

enum ints_scheme { INTS_CONST, INTS_FOR, INTS_DELTA, INTS_DICT, INTS_RLE, INTS_SCHEMES };

/* An opened sequence: borrowed bytes, checked. The members are encoding/'s own business. */
struct ints {
  uint32_t count;
  uint8_t scheme;
  int64_t first;          /* CONST: the value; DELTA: the first value */
  struct int_frame frame; /* FOR: values, DELTA: differences, DICT: indexes, RLE: run lengths */
  const uint8_t *values;  /* DICT: the dictionary, RLE: the run values, as a sequence that opens */
  size_t values_size;
  uint32_t values_count;
};

/* Working memory of an encoder or decoder, reused from call to call; zero it before its first use. The
 * members are encoding/'s own business. */
#define INTS_DEPTH 3  /* RLE of DICT of FOR */
#define TEXTS_DEPTH 3 /* TEMPLATE of DICT of RAW, in texts.h */
struct ints_scratch {
  bool thorough; /* set by the caller: take time to make it small */
  bool thrifty;  /* set by the caller: strings of more than TEXTS_THRIFTY bytes take no more memory than their
                    bytes */
  struct ints_level {
    struct buffer deltas, quotients, distinct, indexes, runs, nested;
  } ints[INTS_DEPTH];
  struct texts_level {
    struct buffer best, trial, numbers, table, at, bytes, nested;
  } texts[TEXTS_DEPTH];
  struct texts_templates {
    struct buffer templates, literals, marks, spans, rows, columns;
  } templates;
};
void ints_scratch_free(struct ints_scratch *s);
size_t ints_scratch_bytes(const struct ints_scratch *s); /* that it has */

/* Appends the encoding of v[0..count) to out, count 1..INTS_MAX. out->failed without memory. */
void ints_encode(const int64_t *v, uint32_t count, struct buffer *out, struct ints_scratch *scratch);
/* In a fraction of the time: CONST, FOR or DELTA, by a look at some of the values; on the benchmark's
 * events about a twentieth larger. min and max are those of the values. The same values give the same bytes.
 */
void ints_encode_quick(const int64_t *v, uint32_t count, int64_t min, int64_t max, struct buffer *out,
                       struct ints_scratch *scratch);
/* What the sequence before it in the same column was like; zero it before the first. */
struct ints_memory {
  uint64_t value_cost; /* sixty-fourths of a byte */
  uint8_t scheme, uses, for_bits, entropy;
  bool delta_beaten, base_is_least;
  bool runs; /* RLE was possible */
};
/* The same for the next chunk of a column: the scheme of the chunk before is taken without a look at the
 * others while it takes between 7/8 and 17/16 of what it took then, eight times at most. */
void ints_encode_next(const int64_t *v, uint32_t count, struct buffer *out, struct ints_scratch *scratch,
                      struct ints_memory *memory);
/* Checks the encoding of `count` values in exactly size bytes. False if it is not one. */
bool ints_open(const void *bytes, size_t size, uint32_t count, struct ints *ints);
/* Decodes values [first, first + count) of an opened sequence; the range must lie within it. FOR costs time
 * by `count`; DELTA and RLE by first + count at most; DICT by `count` and its entries. No allocation: nested
 * sequences decode in pieces on the stack (up to 64 KiB of it). */
void ints_decode(const struct ints *ints, uint32_t first, uint32_t count, int64_t *out);
/* Decodes the values at at[0..count), which ascend and lie within the sequence; false, with nothing done, for
 * DELTA and RLE, where that would take as long as all of them. */
bool ints_pick(const struct ints *ints, const uint16_t *at, uint32_t count, int64_t *out);
/* The sum of all values (wrapping), of CONST and FOR in less time than it takes to decode them. */
uint64_t ints_sum(const struct ints *ints);
/* Does every part decode to what the whole has there? Bytes that nobody wrote so may be otherwise: for who
 * checks the whole and trusts parts. */
bool ints_sound(const struct ints *ints);
/* DICT, CONST: the distinct values, sorted ascending, as an opened sequence of values->count values (so a
 * reader can prune by them); false for the other schemes. */
bool ints_distinct(const struct ints *ints, struct ints *values);
/* DICT: the index of each value in ints_distinct(), as an opened sequence; false for the other schemes. In a
 * damaged sequence an index may be out of range. */
bool ints_indexes(const struct ints *ints, struct ints *indexes);
/* The name of the scheme, for statistics. */
const char *ints_name(uint8_t scheme);

#endif
