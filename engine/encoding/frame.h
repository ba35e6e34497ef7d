/* frame.h - integers near each other: base + scale * packed bits, and exceptions.
 *
 *   value i = base + scale * q(i), wrapping at 64 bits, scale a power of ten
 *   q(i)    = packed value i, plus (for an exception) its signed high part * 2^width
 *
 * So a value far away on either side costs its own bits only, and base is the smallest of the usual values,
 * not of all. The frame is the part that FOR, DELTA, DICT and RLE of ints.h share. Its bytes
 * (docs/format/integers-and-texts.md):
 *   exponent and "has exceptions" are handed in: they stand in the caller's first byte
 *   1  width, 0 to 64
 *   v  zigzag varint: base
 *   with exceptions: v varint: their number, 1 to count; 1 their width, 1 to 64 (then width < 64)
 *   bits_size(count, width)                    packed low parts
 *   bits_size(exceptions, length of count - 1) their positions, ascending
 *   bits_size(exceptions, exception width)     their high parts, zigzag */
#ifndef ENCODING_FRAME_H
#define ENCODING_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/array.h"
#include "base/bytes.h"

/* An opened frame: borrowed bytes. */
struct int_frame {
  int64_t base;
  uint64_t scale;
  uint32_t count, exceptions;
  uint8_t width, exception_width;
  const uint8_t *packed, *positions, *highs;
};

/* How a frame is going to be written, and its exact size. */
struct int_frame_plan {
  int64_t base;
  size_t size;
  uint32_t exceptions;
  uint8_t exponent, width, exception_width;
};

/* What a sample says: a good base; roughly the bits that 64 values will take (before scaling); and how many
 * equally likely values would give as many equal pairs as there are in it. */
struct int_frame_guess {
  int64_t base;
  uint64_t bits;
  uint32_t alike;
};
struct int_frame_guess int_frame_guess(const int64_t *v, uint32_t count, int64_t min, int64_t max);
/* The smallest frame of v[0..count), whose least and greatest value are b's, with this base; any base is
 * right. Of many values, widths are compared near the one that is best for a sample. */
struct int_frame_plan int_frame_plan(const int64_t *v, uint32_t count, struct bounds b, int64_t base);
/* Bytes of so many exceptions of `high` bits among `count` values. */
size_t int_frame_exceptions_size(uint32_t exceptions, unsigned high, uint32_t count);
/* Appends it; `work` is overwritten. */
void int_frame_write(const int64_t *v, uint32_t count, const struct int_frame_plan *plan, struct buffer *out,
                     struct buffer *work);

/* Reads a frame of `count` values that fills the rest of the reader exactly. */
bool int_frame_open(struct reader *r, uint32_t count, unsigned exponent, bool exceptions,
                    struct int_frame *f);
/* Do the positions of its exceptions ascend, as they do in every frame that was written? Where not, a part
 * decodes to other values than the whole has there. Takes as long as to decode the exceptions. */
bool int_frame_sorted(const struct int_frame *f);
/* Values [first, first + count), which lie within it. */
void int_frame_decode(const struct int_frame *f, uint32_t first, uint32_t count, int64_t *out);
/* The values at at[0..count), which ascend and lie within it. */
void int_frame_pick(const struct int_frame *f, const uint16_t *at, uint32_t count, int64_t *out);
/* The sum of the first `count` of them (wrapping), in less time than it takes to decode them. */
uint64_t int_frame_sum(const struct int_frame *f, uint32_t count);

#endif
