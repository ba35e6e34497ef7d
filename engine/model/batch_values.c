/* batch_values.c - the value loops of a batch, one per width; see batch.h.
 *
 * A value is an unaligned little-endian integer of 0 to 8 bytes. No load reaches beyond its value, so
 * the last row of the last column needs no special case. */
#include "base/bytes.h"
#include "base/kernel.h"
#include "model/batch.h"

static inline uint64_t load_1(const uint8_t *p) { return p[0]; }
static inline uint64_t load_2(const uint8_t *p) { return load16(p); }
static inline uint64_t load_3(const uint8_t *p) { return load16(p) | (uint64_t)p[2] << 16; }
static inline uint64_t load_4(const uint8_t *p) { return load32(p); }
static inline uint64_t load_5(const uint8_t *p) { return load32(p) | (uint64_t)p[4] << 32; }
static inline uint64_t load_6(const uint8_t *p) { return load32(p) | (uint64_t)load16(p + 4) << 32; }
static inline uint64_t load_7(const uint8_t *p) { return load32(p) | (uint64_t)load32(p + 3) << 24; }
static inline uint64_t load_8(const uint8_t *p) { return load64(p); }

#define VALUES(w)                                                                                            \
  KERNEL static void values_##w(const uint8_t *restrict p, uint32_t count, uint64_t base,                    \
                                int64_t *restrict out) {                                                     \
    for (uint32_t i = 0; i < count; i++) out[i] = (int64_t)(base + load_##w(p + (size_t)i * (w)));           \
  }
VALUES(1)
VALUES(2)
VALUES(3)
VALUES(4)
VALUES(5)
VALUES(6)
VALUES(7)
VALUES(8)
#undef VALUES

void batch_values(const struct batch_column *c, uint32_t first, uint32_t count, int64_t *out) {
  const uint64_t base = (uint64_t)c->base;
  const uint8_t *p = c->width ? c->values + (size_t)first * c->width : NULL;
  switch (c->width) {
#define CASE(w)                                                                                              \
  case w:                                                                                                    \
    values_##w(p, count, base, out);                                                                         \
    break;
    CASE(1)
    CASE(2)
    CASE(3)
    CASE(4)
    CASE(5)
    CASE(6)
    CASE(7)
    CASE(8)
#undef CASE
  default:
    for (uint32_t i = 0; i < count; i++) out[i] = c->base;
  }
}

/* The greatest unsigned value, in the type of the width where the compiler has vectors for it. */
#define GREATEST(type, w)                                                                                    \
  KERNEL static uint64_t greatest_##w(const uint8_t *p, uint32_t rows) {                                     \
    type greatest = 0;                                                                                       \
    for (uint32_t i = 0; i < rows; i++) {                                                                    \
      type v = (type)load_##w(p + (size_t)i * (w));                                                          \
      greatest = v > greatest ? v : greatest;                                                                \
    }                                                                                                        \
    return greatest;                                                                                         \
  }
GREATEST(uint8_t, 1)
GREATEST(uint16_t, 2)
GREATEST(uint32_t, 3)
GREATEST(uint32_t, 4)
GREATEST(uint64_t, 5)
GREATEST(uint64_t, 6)
GREATEST(uint64_t, 7)
#undef GREATEST

/* The greatest of value - low as unsigned: naive writers store negative numbers with base 0, so at
 * width 8 the plain value would say nothing. */
KERNEL static uint64_t greatest_distance(const uint8_t *p, uint32_t rows, uint64_t add) {
  uint64_t greatest = 0;
  for (uint32_t i = 0; i < rows; i++) {
    uint64_t v = load_8(p + (size_t)i * 8) + add;
    greatest = v > greatest ? v : greatest;
  }
  return greatest;
}

bool batch_within(const struct batch_column *c, uint32_t rows, int64_t low, int64_t high) {
  if (high < low) return false;
  uint64_t span = (uint64_t)high - (uint64_t)low;
  uint64_t start = (uint64_t)c->base - (uint64_t)low;
  if (c->width == 8) return greatest_distance(c->values, rows, start) <= span;
  if (start > span) return false;
  uint64_t greatest = 0;
  switch (c->width) {
#define CASE(w)                                                                                              \
  case w:                                                                                                    \
    greatest = greatest_##w(c->values, rows);                                                                \
    break;
    CASE(1)
    CASE(2)
    CASE(3)
    CASE(4)
    CASE(5)
    CASE(6)
    CASE(7)
#undef CASE
  default:
    break;
  }
  return greatest <= span - start;
}

uint32_t batch_first_outside(const struct batch_column *c, uint32_t rows, int64_t low, int64_t high) {
  enum { STEP = 256 };
  int64_t values[STEP];
  for (uint32_t first = 0; first < rows; first += STEP) {
    uint32_t count = rows - first < STEP ? rows - first : STEP;
    batch_values(c, first, count, values);
    for (uint32_t i = 0; i < count; i++)
      if ((values[i] < low || values[i] > high) && batch_valid(c, first + i)) return first + i;
  }
  return rows;
}
