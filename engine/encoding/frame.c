/* frame.c - reading frames, and writing them as planned; see frame.h. The planning is in frame_plan.c. */
#include "encoding/frame.h"

#include "base/kernel.h"
#include "encoding/bits.h"
#include "encoding/powers.h"

#define PIECE 64u /* exceptions decoded at a time */

static unsigned position_width(uint32_t count) { return bits_length(count - 1); }

bool int_frame_open(struct reader *r, uint32_t count, unsigned exponent, bool exceptions,
                    struct int_frame *f) {
  *f = (struct int_frame){.count = count, .scale = ten_to_the(exponent)};
  f->width = read8(r);
  f->base = unzigzag(read_varint(r));
  if (f->width > 64) return false;
  if (exceptions) {
    uint64_t n = read_varint(r);
    f->exception_width = read8(r);
    if (n == 0 || n > count || f->width == 64 || f->exception_width == 0 || f->exception_width > 64)
      return false;
    f->exceptions = (uint32_t)n;
  }
  f->packed = read_bytes(r, bits_size(count, f->width));
  f->positions = read_bytes(r, bits_size(f->exceptions, position_width(count)));
  f->highs = read_bytes(r, bits_size(f->exceptions, f->exception_width));
  return !r->bad && reader_left(r) == 0;
}

/* The first exception at or behind position `first`. */
static uint32_t first_exception(const struct int_frame *f, uint32_t first) {
  unsigned width = position_width(f->count);
  uint32_t low = 0, high = f->exceptions;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (bits_get(f->positions, f->exceptions, width, middle) < first)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* Adds the high parts, of which there are at most `count`. Positions of damaged bytes may be in any order:
 * each is checked. */
static void add_exceptions(const struct int_frame *f, uint32_t first, uint32_t count, int64_t *out) {
  uint64_t positions[PIECE], highs[PIECE];
  uint32_t e = first ? first_exception(f, first) : 0;
  uint32_t end = f->exceptions - e < count ? f->exceptions : e + count;
  while (e < end) {
    uint32_t n = end - e < PIECE ? end - e : PIECE;
    bits_unpack(f->positions, f->exceptions, position_width(f->count), e, n, 0, positions);
    bits_unpack(f->highs, f->exceptions, f->exception_width, e, n, 0, highs);
    for (uint32_t i = 0; i < n; i++) {
      uint64_t at = positions[i] - first;
      if (at >= count) return;
      out[at] = (int64_t)((uint64_t)out[at] + f->scale * ((uint64_t)unzigzag(highs[i]) << f->width));
    }
    e += n;
  }
}

bool int_frame_sorted(const struct int_frame *f) {
  uint64_t positions[PIECE], next = 0, falls = 0;
  for (uint32_t e = 0; e < f->exceptions; e += PIECE) {
    uint32_t n = f->exceptions - e < PIECE ? f->exceptions - e : PIECE;
    bits_unpack(f->positions, f->exceptions, position_width(f->count), e, n, 0, positions);
    for (uint32_t i = 0; i < n; i++) {
      falls |= positions[i] < next;
      next = positions[i] + 1;
    }
  }
  return !falls;
}

void int_frame_decode(const struct int_frame *f, uint32_t first, uint32_t count, int64_t *out) {
  uint64_t base = (uint64_t)f->base, *unsigned_out = (uint64_t *)out;
  if (f->scale == 1) {
    bits_unpack(f->packed, f->count, f->width, first, count, base, unsigned_out);
  } else {
    bits_unpack(f->packed, f->count, f->width, first, count, 0, unsigned_out);
    for (uint32_t i = 0; i < count; i++) unsigned_out[i] = base + f->scale * unsigned_out[i];
  }
  if (f->exceptions) add_exceptions(f, first, count, out);
}

/* Places and positions ascend both; positions of damaged bytes that do not are passed over. */
static void pick_exceptions(const struct int_frame *f, const uint16_t *at, uint32_t count, int64_t *out) {
  uint64_t positions[PIECE], highs[PIECE];
  uint32_t e = first_exception(f, at[0]);
  for (uint32_t i = 0, n; e < f->exceptions && i < count; e += n) {
    n = f->exceptions - e < PIECE ? f->exceptions - e : PIECE;
    bits_unpack(f->positions, f->exceptions, position_width(f->count), e, n, 0, positions);
    bits_unpack(f->highs, f->exceptions, f->exception_width, e, n, 0, highs);
    for (uint32_t k = 0; k < n; k++) {
      while (i < count && at[i] < positions[k]) i++;
      if (i < count && at[i] == positions[k])
        out[i] = (int64_t)((uint64_t)out[i] + f->scale * ((uint64_t)unzigzag(highs[k]) << f->width));
    }
  }
}

void int_frame_pick(const struct int_frame *f, const uint16_t *at, uint32_t count, int64_t *out) {
  if (count == 0) return;
  for (uint32_t i = 0; i < count; i++)
    out[i] = (int64_t)((uint64_t)f->base + f->scale * bits_get(f->packed, f->count, f->width, at[i]));
  if (f->exceptions) pick_exceptions(f, at, count, out);
}

uint64_t int_frame_sum(const struct int_frame *f, uint32_t count) {
  uint64_t quotients = bits_sum(f->packed, f->count, f->width, count), highs[PIECE], high = 0;
  uint32_t exceptions = !f->exceptions ? 0 : count < f->count ? first_exception(f, count) : f->exceptions;
  for (uint32_t e = 0, n; e < exceptions; e += n) {
    n = exceptions - e < PIECE ? exceptions - e : PIECE;
    bits_unpack(f->highs, f->exceptions, f->exception_width, e, n, 0, highs);
    for (uint32_t i = 0; i < n; i++) high += (uint64_t)unzigzag(highs[i]);
  }
  if (exceptions) quotients += high << f->width; /* of less than 64 bits, as there are exceptions */
  return count * (uint64_t)f->base + f->scale * quotients;
}

/* ---- writing ---- */

size_t int_frame_exceptions_size(uint32_t exceptions, unsigned high, uint32_t count) {
  if (!exceptions) return 0;
  return varint_size(exceptions) + 1 + bits_size(exceptions, position_width(count)) +
         bits_size(exceptions, high);
}

KERNEL static void subtract(const int64_t *restrict v, uint32_t count, uint64_t base, uint64_t *restrict q) {
  for (uint32_t i = 0; i < count; i++) q[i] = (uint64_t)v[i] - base;
}

KERNEL static void divide(const int64_t *restrict v, uint32_t count, uint64_t base, unsigned exponent,
                          uint64_t inverse, uint64_t *restrict q) {
  for (uint32_t i = 0; i < count; i++)
    q[i] = (uint64_t)((int64_t)((uint64_t)v[i] - base) >> exponent) * inverse;
}

/* The quotients, and room behind them for the positions and high parts of the exceptions, and one more. */
static uint64_t *quotients_of(const int64_t *v, uint32_t count, const struct int_frame_plan *plan,
                              struct buffer *work) {
  buffer_clear(work);
  size_t room = count + 2 * (plan->exceptions + (size_t)1);
  uint64_t *q = (uint64_t *)(void *)buffer_add(work, room * sizeof *q);
  if (!q) return NULL;
  uint64_t base = (uint64_t)plan->base;
  if (plan->exponent == 0)
    subtract(v, count, base, q);
  else
    divide(v, count, base, plan->exponent, inverse_of_five_to_the(plan->exponent), q);
  return q;
}

/* Which of 64 quotients have more than `width` bits: where high parts are not 0, which compilers make no
 * vectors of as a comparison. */
KERNEL static uint64_t longer_ones(const uint64_t *q, unsigned width) {
  uint64_t word = 0;
  for (uint64_t i = 0; i < 64; i++) {
    const uint64_t high = q[i] >> width;
    word |= (high | (0 - high)) >> 63 << i;
  }
  return word;
}

/* The places of quotients of more than `width` bits, which are few; one place behind them is overwritten. */
static void find_exceptions(const uint64_t *q, uint32_t count, unsigned width, uint64_t *positions) {
  uint32_t first = 0;
  for (; first + 64 <= count; first += 64)
    for (uint64_t word = longer_ones(q + first, width); word; word &= word - 1)
      *positions++ = first + (uint32_t)__builtin_ctzll(word);
  for (; first < count; first++) {
    *positions = first;
    positions += q[first] >> width != 0;
  }
}

static void write_parts(const uint64_t *q, uint32_t count, const struct int_frame_plan *plan,
                        uint64_t *positions, struct buffer *out) {
  uint32_t n = plan->exceptions;
  unsigned place = position_width(count);
  write8(out, plan->width);
  write_varint(out, zigzag(plan->base));
  if (n) {
    write_varint(out, n);
    write8(out, plan->exception_width);
  }
  size_t low = bits_size(count, plan->width), at = bits_size(n, place);
  uint8_t *p = buffer_add(out, low + at + bits_size(n, plan->exception_width));
  if (!p) return;
  bits_pack(q, count, plan->width, p);
  if (!n) return;
  uint64_t *highs = positions + n;
  for (uint32_t i = 0; i < n; i++) highs[i] = zigzag((int64_t)q[positions[i]] >> plan->width);
  bits_pack(positions, n, place, p + low);
  bits_pack(highs, n, plan->exception_width, p + low + at);
}

void int_frame_write(const int64_t *v, uint32_t count, const struct int_frame_plan *plan, struct buffer *out,
                     struct buffer *work) {
  uint64_t *q = quotients_of(v, count, plan, work);
  if (!q) {
    out->failed = true;
    return;
  }
  if (plan->exceptions) find_exceptions(q, count, plan->width, q + count);
  write_parts(q, count, plan, q + count, out);
}
