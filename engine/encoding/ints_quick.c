/* ints_quick.c - ints_encode_quick of ints.h: for batches on their way, whose bytes are sent and logged once.
 */
#include "base/array.h"
#include "encoding/bits.h"
#include "encoding/ints.h"
#include "encoding/ints_format.h"

#define SAMPLE 64u /* values, and differences, that decide between FOR and DELTA */

static uint64_t bits_of_sample(const int64_t *some, uint32_t n) {
  struct bounds b = array_bounds(some, n);
  return int_frame_guess(some, n, b.min, b.max).bits;
}

/* Do differences of neighbours need a bit a value less than the values? */
static bool delta_pays(const int64_t *v, uint32_t count) {
  int64_t values[SAMPLE] = {0}, differences[SAMPLE] = {0};
  uint32_t step = (count - 1) / SAMPLE + 1, n = 0;
  for (uint32_t i = 1; i < count; i += step, n++) {
    values[n] = v[i];
    differences[n] = (int64_t)((uint64_t)v[i] - (uint64_t)v[i - 1]);
  }
  return bits_of_sample(differences, n) + SAMPLE < bits_of_sample(values, n);
}

static void write_frame(uint8_t scheme, const int64_t *v, uint32_t count, struct bounds b, int64_t first,
                        struct buffer *out, struct ints_scratch *scratch) {
  struct int_frame_plan plan = int_frame_plan(v, count, b, int_frame_guess(v, count, b.min, b.max).base);
  write8(out, (uint8_t)(scheme | plan.exponent << 3 | (plan.exceptions ? 128 : 0)));
  if (scheme == INTS_DELTA) write_varint(out, zigzag(first));
  int_frame_write(v, count, &plan, out, &scratch->ints->quotients);
}

void ints_encode_quick(const int64_t *v, uint32_t count, int64_t min, int64_t max, struct buffer *out,
                       struct ints_scratch *scratch) {
  if (min == max) {
    write8(out, INTS_CONST);
    write_varint(out, zigzag(min));
    return;
  }
  if (count <= 2 || !delta_pays(v, count)) {
    write_frame(INTS_FOR, v, count, (struct bounds){min, max}, 0, out, scratch);
    return;
  }
  struct buffer *deltas = &scratch->ints->deltas;
  buffer_clear(deltas);
  int64_t *d = (int64_t *)(void *)buffer_add(deltas, (count - 1) * sizeof *d);
  if (!d) {
    out->failed = true;
    return;
  }
  array_differences(v, count, d);
  write_frame(INTS_DELTA, d, count - 1, array_bounds(d, count - 1), v[0], out, scratch);
}
