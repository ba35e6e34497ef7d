/* encoding_ints.c - the laws of engine/encoding/ints.h: identity, ranges, sizes, and damage.
 *
 * Random cases come from one seed, which is printed; TALLY_SEED repeats a run. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "encoding/bits.h"
#include "encoding/ints.h"
#include "support/allocations.h"

#define MOST INTS_MAX

static uint64_t state;
static struct ints_scratch scratch;
static struct buffer out;
static int64_t v[MOST], back[MOST], slice[MOST];

static uint64_t next(void) {
  state += 0x9E3779B97F4A7C15u; /* SplitMix64 */
  uint64_t x = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}
static uint64_t below(uint64_t n) { return next() % n; }

static void seed(void) {
  const char *given = getenv("TALLY_SEED");
  state = given ? strtoull(given, NULL, 10) : (uint64_t)(uintptr_t)&state ^ 0x1234567;
  fprintf(stderr, "TALLY_SEED=%" PRIu64 "\n", state);
}

static bool quick; /* encode() is ints_encode_quick */

static void done(void) {
  quick = false;
  ints_scratch_free(&scratch);
  buffer_free(&out);
}

/* A random magnitude: every bit length equally often. */
static uint64_t any_size(void) { return next() >> below(64); }

#define SHAPES 16
/* Fills v[0..n) with one of SHAPES kinds of sequences. */
static void fill(unsigned shape, uint32_t n) {
  uint64_t a = next(), range = any_size() | 1, x = any_size(), ten = 1;
  for (uint64_t e = below(19); e; e--) ten *= 10;
  static int64_t few[5000];
  uint64_t kinds = 1 + below(below(2) ? 5000 : 20), run = 1 + below(40);
  for (uint64_t i = 0; i < kinds; i++) few[i] = (int64_t)any_size();
  for (uint32_t i = 0; i < n; i++) {
    uint64_t value = 0;
    switch (shape) {
    case 0:
      value = a;
      break;
    case 1:
      value = a + below(range);
      break;
    case 2:
      value = a + (below(50) ? below(range) : next());
      break; /* outliers, both sides */
    case 3:
      value = x += below(range);
      break; /* sorted (it may wrap) */
    case 4:
      value = i % run ? (uint64_t)v[i - 1] : next() % range;
      break; /* runs of one length */
    case 5:
      value = below(run) ? (uint64_t)(i ? v[i - 1] : 5) : any_size();
      break; /* runs of many lengths */
    case 6:
      value = next();
      break;
    case 7:
      value = below(2) ? (uint64_t)INT64_MIN : (uint64_t)INT64_MAX;
      break;
    case 8:
      value = a % 1000 + ten * below(range % 1000 + 1);
      break; /* powers of ten */
    case 9:
      value = (uint64_t)few[below(kinds)];
      break;
    case 10:
      value = (uint64_t)few[below(below(kinds) + 1)];
      break; /* some far more often */
    case 11:
      value = a + i * x;
      break; /* steps, wrapping */
    case 12:
      value = 0 - ten * below(100);
      break;
    case 13:
      value = i == n / 2 ? (uint64_t)INT64_MIN : a % 100;
      break;
    case 14:
      value = below(run) ? (uint64_t)(i ? v[i - 1] : 5) : (uint64_t)few[below(kinds)];
      break; /* RLE of DICT */
    default:
      value = below(2) ? any_size() : 0 - any_size();
      break;
    }
    v[i] = (int64_t)value;
  }
}

static void encode_quick(uint32_t n) {
  int64_t min = v[0], max = v[0];
  for (uint32_t i = 1; i < n; i++) {
    min = v[i] < min ? v[i] : min;
    max = v[i] > max ? v[i] : max;
  }
  ints_encode_quick(v, n, min, max, &out, &scratch);
}

static struct ints encode(uint32_t n) {
  struct ints s;
  buffer_clear(&out);
  if (quick)
    encode_quick(n);
  else
    ints_encode(v, n, &out, &scratch);
  cr_assert(!out.failed);
  cr_assert(ints_open(out.data, out.size, n, &s), "own encoding refused, n %u", n);
  return s;
}

static uint32_t any_count(void) {
  switch (below(8)) {
  case 0:
    return 1 + (uint32_t)below(20);
  case 1:
    return 4096;
  case 2:
    return below(4) ? 1 : MOST;
  default:
    return 1 + (uint32_t)below(3000);
  }
}

/* Some places of n, ascending. */
static uint32_t some_places(uint32_t n, uint16_t at[INTS_MAX]) {
  const uint32_t most = 1 + (uint32_t)below(below(2) ? 3 : 1 + n / 4);
  uint32_t count = 0;
  for (uint32_t i = (uint32_t)below(most); i < n; i += 1 + (uint32_t)below(most)) at[count++] = (uint16_t)i;
  return count;
}

/* Single values are those of the whole; every scheme that can has them. */
static void check_pick(const struct ints *s, uint32_t n) {
  static uint16_t at[INTS_MAX];
  const uint32_t count = some_places(n, at);
  slice[count % MOST] = 77;
  const bool picked = ints_pick(s, at, count, slice);
  cr_assert_eq(picked, s->scheme != INTS_DELTA && s->scheme != INTS_RLE);
  for (uint32_t i = 0; picked && i < count; i++)
    cr_assert_eq(slice[i], v[at[i]], "n %u, %s, value %u", n, ints_name(s->scheme), at[i]);
  cr_assert(count == MOST || slice[count] == 77, "wrote behind the values");
}

static void check_identity(unsigned used[INTS_SCHEMES]) {
  for (unsigned round = 0; round < 1600; round++) {
    unsigned shape = round % SHAPES;
    uint32_t n = round < 20 * SHAPES ? 1 + round / SHAPES : any_count();
    fill(shape, n);
    struct ints s = encode(n);
    used[s.scheme]++;
    ints_decode(&s, 0, n, back);
    cr_assert(memcmp(v, back, n * sizeof *v) == 0, "shape %u, n %u, %s", shape, n, ints_name(s.scheme));
    for (unsigned k = 0; k < 6; k++) {
      uint32_t first = (uint32_t)below(n),
               count = (uint32_t)below(below(2) ? n - first + 1 : 1 + (n - first) / 7);
      slice[count % MOST] = 77;
      ints_decode(&s, first, count, slice);
      cr_assert(memcmp(v + first, slice, count * sizeof *v) == 0, "shape %u, n %u, %s, [%u, +%u)", shape, n,
                ints_name(s.scheme), first, count);
      cr_assert(count == MOST || slice[count] == 77, "wrote behind the range");
    }
    check_pick(&s, n);
  }
}

Test(ints, decode_inverts_encode_and_ranges_equal_slices, .fini = done) {
  seed();
  unsigned used[INTS_SCHEMES] = {0};
  check_identity(used);
  for (unsigned i = 0; i < INTS_SCHEMES; i++)
    cr_assert(used[i] > 0, "scheme %s was never chosen", ints_name((uint8_t)i));
}

Test(ints, decode_inverts_encode_in_a_hurry, .fini = done) {
  seed();
  unsigned used[INTS_SCHEMES] = {0};
  quick = true;
  check_identity(used);
  cr_assert(used[INTS_CONST] && used[INTS_FOR] && used[INTS_DELTA]);
}

/* Of what usual columns hold, a tenth more than the smallest; of anything, little more than its widest value
 * takes. */
Test(ints, sizes_in_a_hurry, .fini = done) {
  seed();
  const uint32_t n = 16384;
  int64_t time = 0;
  for (unsigned kind = 0; kind < 6; kind++) {
    for (uint32_t i = 0; i < n; i++) {
      time += i % 5000 == 77 ? -(int64_t)below(1000000000) : (int64_t)below(1000000);
      const int64_t values[] = {time,
                                (int64_t)below(5000) * 100000,
                                (int64_t)(next() >> (44 + below(20))),
                                below(50) ? 10 : 10 + (int64_t)below(90000),
                                (int64_t)below(60),
                                (int64_t)below(3) * 100 + 200};
      v[i] = values[kind];
    }
    quick = false;
    (void)encode(n);
    size_t smallest = out.size;
    quick = true;
    (void)encode(n);
    cr_assert(out.size <= smallest + smallest / 10 + (kind == 5 ? n : 20), "kind %u: %zu bytes against %zu",
              kind, out.size, smallest);
  }
  for (unsigned round = 0; round < 200; round++) {
    fill(round % SHAPES, n);
    (void)encode(n);
    cr_assert(out.size <= n * 8 + 16, "shape %u: %zu bytes", round % SHAPES, out.size);
  }
}

static int compare(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return x < y ? -1 : x > y;
}

Test(ints, distinct_is_the_sorted_set_of_values_and_indexes_point_into_it, .fini = done) {
  seed();
  unsigned seen = 0;
  for (unsigned round = 0; round < 300; round++) {
    uint32_t n = any_count();
    fill(round % 3 ? 9 + round % 2 : 0, n);
    struct ints s = encode(n), values, indexes;
    bool has = ints_distinct(&s, &values);
    cr_assert_eq(has, s.scheme == INTS_DICT || s.scheme == INTS_CONST);
    cr_assert_eq(ints_indexes(&s, &indexes), s.scheme == INTS_DICT);
    if (!has) continue;
    ints_decode(&values, 0, values.count, back);
    for (uint32_t i = 1; i < values.count; i++) cr_assert(back[i - 1] < back[i]);
    if (s.scheme == INTS_DICT) {
      seen++;
      ints_decode(&indexes, 0, n, slice);
      for (uint32_t i = 0; i < n; i++)
        cr_assert(slice[i] >= 0 && slice[i] < values.count && back[slice[i]] == v[i]);
    }
    memcpy(slice, v, n * sizeof *v);
    qsort(slice, n, sizeof *slice, compare);
    uint32_t kinds = 0;
    for (uint32_t i = 0; i < n; i++)
      if (i == 0 || slice[i] != slice[i - 1]) cr_assert_eq(slice[i], back[kinds++]);
    cr_assert_eq(kinds, values.count);
  }
  cr_assert(seen > 20);
}

/* The bytes of the best encoding of v[0..n). */
static size_t size_of(uint32_t n) {
  encode(n);
  return out.size;
}

Test(ints, sizes_are_what_the_data_needs, .fini = done) {
  seed();
  const uint32_t n = 4096;
  for (unsigned round = 0; round < 400; round++) {
    fill(round % SHAPES, n);
    cr_assert(size_of(n) <= n * 8 + 12, "never more than 8 bytes a value and a header");
  }
  for (unsigned width = 1; width <= 64; width++) {
    for (uint32_t i = 0; i < n; i++) v[i] = (int64_t)next() >> (64 - width);
    cr_assert(size_of(n) <= n * width / 8 + 13, "%u bits a value cost %zu bytes", width, out.size);
  }
  for (uint32_t i = 0; i < n; i++) v[i] = INT64_MIN;
  cr_assert(size_of(n) <= 11, "a constant");
  for (uint32_t i = 0; i < n; i++) v[i] = 3;
  cr_assert_eq(size_of(n), 2, "a small constant");
  for (uint32_t i = 0; i < n; i++) v[i] = 1700000000000000 + (int64_t)i * 250000;
  cr_assert(size_of(n) < 24, "even steps");
  for (uint32_t i = 0; i < n; i++) v[i] = (int64_t)below(5000) * 100000;
  cr_assert(size_of(n) <= n * 13 / 8 + 12, "4-decimal costs (at 9 decimals) pay for 4 decimals");
  for (uint32_t i = 0; i < n; i++) v[i] = below(100) ? (int64_t)below(1024) : (int64_t)next();
  cr_assert(size_of(n) <= n * 10 / 8 + n / 100 * 2 * 9 + 30,
            "rare outliers cost themselves, not their chunk");
  for (uint32_t i = 0; i < n; i++) v[i] = i == 9 ? -4000000000 : (int64_t)below(1024);
  cr_assert(size_of(n) <= n * 10 / 8 + 24, "nor does one far below");
  for (uint32_t i = 0; i < n; i++) v[i] = below(33) ? 200 : 400 + (int64_t)below(3) * 29;
  cr_assert(size_of(n) < n / 10, "status codes, 3 %% of them errors");
  for (uint32_t i = 0; i < n; i++) v[i] = (i / 300) * 12345;
  cr_assert(size_of(n) < 100, "long runs");
  int64_t ids[50];
  for (unsigned i = 0; i < 50; i++) ids[i] = (int64_t)next();
  for (uint32_t i = 0; i < n; i++) v[i] = ids[below(50)];
  cr_assert(size_of(n) <= n * 6 / 8 + 50 * 8 + 30, "50 distinct values cost 6 bits and themselves once");
}

/* Opens a copy of `size` bytes that ends where its allocation ends, and decodes it if it opens. */
static void try_bytes(const uint8_t *bytes, size_t size, uint32_t n) {
  uint8_t *copy = mem_alloc(size ? size : 1);
  memcpy(copy, bytes, size);
  static uint16_t at[INTS_MAX];
  struct ints s, nested;
  if (ints_open(copy, size, n, &s)) {
    ints_decode(&s, 0, n, back);
    uint32_t first = (uint32_t)below(n);
    ints_decode(&s, first, n - first, slice);
    (void)ints_pick(&s, at, some_places(n, at), slice);
    if (ints_distinct(&s, &nested)) ints_decode(&nested, 0, nested.count, slice);
    if (ints_indexes(&s, &nested)) ints_decode(&nested, 0, nested.count, slice);
  }
  mem_free(copy);
}

Test(ints, damaged_bytes_are_refused_or_decode_within_bounds, .fini = done) {
  seed();
  for (unsigned round = 0; round < 40 * SHAPES; round++) {
    uint32_t n = 1 + (uint32_t)below(round % 5 ? 90 : 700);
    fill(round % SHAPES, n);
    encode(n);
    struct ints s;
    for (size_t size = 0; size < out.size; size += 1 + out.size / 200) {
      cr_assert(!ints_open(out.data, size, n, &s), "a shortened encoding (%zu of %zu) opened", size,
                out.size);
      try_bytes(out.data, size, n);
    }
    for (unsigned k = 0; k < 60; k++) {
      size_t at = below(2) ? below(out.size) : below(out.size < 16 ? out.size : 16);
      uint8_t old = out.data[at];
      out.data[at] = (uint8_t)(below(2) ? old ^ 1u << below(8) : below(256));
      try_bytes(out.data, out.size, n);
      try_bytes(out.data, out.size, 1 + (uint32_t)below(MOST));
      if (below(3)) out.data[at] = old; /* sometimes damage adds up */
    }
    write8(&out, 0);
    cr_assert(!ints_open(out.data, out.size, 0, &s), "no values");
  }
  uint8_t noise[64];
  for (unsigned round = 0; round < 30000; round++) {
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (uint8_t)(i < 4 ? below(12) : next());
    try_bytes(noise, below(sizeof noise), 1 + (uint32_t)below(300));
  }
}

Test(ints, numbers_outside_of_the_format_are_refused) {
  static const struct {
    const char *what;
    uint32_t count;
    uint8_t size, bytes[20];
    bool opens;
  } cases[] = {
      {"CONST", 9, 2, {0, 6}, true},
      {"CONST with an exponent", 9, 2, {0x08, 6}, false},
      {"a byte too many", 9, 3, {0, 6, 0}, false},
      {"scheme 5", 9, 2, {5, 6}, false},
      {"FOR", 4, 4, {1, 2, 10, 0xE4}, true},
      {"more values than there are bits", 5, 4, {1, 2, 10, 0xE4}, false},
      {"width 65", 1, 12, {1, 65, 0}, false},
      {"one exception of 3 bits at position 2", 4, 8, {0x81, 2, 0, 1, 3, 0xE4, 2, 5}, true},
      {"no exception, against the first byte", 4, 6, {0x81, 2, 0, 0, 3, 0xE4}, false},
      {"more exceptions than values", 2, 9, {0x81, 0, 0, 16, 1, 0, 0, 0, 0, 0}, false},
      {"exceptions of no bits", 4, 7, {0x81, 2, 0, 1, 0, 0xE4, 2}, false},
      {"exceptions of 65 bits", 4, 17, {0x81, 2, 0, 1, 65, 0xE4, 2}, false},
      {"exceptions behind 64 bits", 1, 14, {0x81, 64, 0, 1, 1}, false},
      {"DELTA of one value", 1, 4, {2, 0, 0, 0}, false},
      {"DICT", 4, 9, {3, 3, 4, 1, 2, 10, 0x24, 2, 0}, false},
      {"DICT of three", 4, 10, {3, 3, 4, 1, 2, 10, 0x24, 2, 0, 0xE4}, true},
      {"DICT of none", 4, 6, {3, 0, 0, 0, 0, 0}, false},
      {"more entries than values", 2, 10, {3, 3, 4, 1, 2, 10, 0x24, 2, 0, 0x04}, false},
      {"more entries than the stack takes", 6000, 8, {3, 0x88, 0x27, 2, 0, 6, 0, 0}, false},
      {"DICT in DICT", 4, 13, {3, 2, 7, 3, 1, 2, 0, 6, 0, 0, 1, 0, 6}, false},
      {"RLE", 4, 9, {4, 2, 4, 1, 1, 10, 2, 0, 4}, true},
      {"RLE in RLE", 4, 10, {4, 1, 6, 4, 1, 2, 0, 6, 0, 2}, false},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct ints s;
    cr_assert_eq(ints_open(cases[i].bytes, cases[i].size, cases[i].count, &s), cases[i].opens, "%s",
                 cases[i].what);
    if (!cases[i].opens || s.scheme != INTS_DICT) continue;
    ints_decode(&s, 0, cases[i].count, back);
    cr_assert_eq(back[2], 7);
    cr_assert_eq(back[3], 7, "an index behind the last entry stands for that one");
  }
}

/* Chunk by chunk with the memory of the one before; its bytes are added to *chosen, the best choice's to
 * *best. */
static void encode_chunk(const int64_t *chunk, uint32_t n, struct ints_memory *memory, size_t *chosen,
                         size_t *best) {
  struct ints s;
  buffer_clear(&out);
  ints_encode(chunk, n, &out, &scratch);
  *best += out.size;
  buffer_clear(&out);
  ints_encode_next(chunk, n, &out, &scratch, memory);
  cr_assert(!out.failed && ints_open(out.data, out.size, n, &s));
  ints_decode(&s, 0, n, back);
  cr_assert_arr_eq(back, chunk, n * sizeof *chunk);
  cr_assert_leq(out.size, 8 * (size_t)n + 12);
  *chosen += out.size;
}

Test(ints, chunks_of_any_kind_one_after_the_other_read_back, .fini = done) {
  seed();
  size_t chosen = 0, best = 0;
  struct ints_memory memory = {0};
  for (unsigned round = 0, shape = 0; round < 2000; round++) {
    if (below(6) == 0) shape = (unsigned)below(SHAPES);
    uint32_t n = below(4) ? 4096 : any_count();
    fill(shape, n);
    encode_chunk(v, n, &memory, &chosen, &best);
  }
}

Test(ints, a_column_takes_at_most_an_eighth_more_than_with_the_best_choice_for_each_chunk, .fini = done) {
  seed();
  for (unsigned shape = 0; shape < SHAPES; shape++) {
    size_t chosen = 0, best = 0;
    for (unsigned column = 0; column < 12; column++) {
      struct ints_memory memory = {0};
      fill(shape, 16 * 4096);
      for (unsigned chunk = 0; chunk < 16; chunk++)
        encode_chunk(v + 4096 * chunk, 4096, &memory, &chosen, &best);
    }
    cr_assert_leq(chosen, best + best / 8, "shape %u: %zu bytes, the best choices take %zu", shape, chosen,
                  best);
  }
}

Test(ints, without_memory_the_buffer_has_failed_and_nothing_leaks, .fini = done) {
  seed();
  for (unsigned shape = 0; shape < SHAPES; shape++) {
    fill(shape, 2000);
    for (int limit = 0;; limit++) {
      done();
      allocations_stop_after(limit / 2);
      if (limit % 2 == 0)
        encode_quick(2000);
      else
        ints_encode(v, 2000, &out, &scratch);
      allocations_again();
      if (!out.failed && limit % 2) break;
      cr_assert(limit < 200);
    }
  }
}

Test(bits, packed_arrays_read_back_at_any_place_and_width) {
  seed();
  static uint64_t in[300], got[300];
  for (unsigned width = 0; width <= 64; width++) {
    for (unsigned round = 0; round < 12; round++) {
      uint32_t n = 1 + (uint32_t)below(300);
      for (uint32_t i = 0; i < n; i++) in[i] = next();
      size_t size = bits_size(n, width);
      uint8_t *packed = mem_alloc(size ? size : 1);
      bits_pack(in, n, width, packed);
      for (uint32_t i = 0; i < n; i++) {
        in[i] &= bits_mask(width);
        cr_assert_eq(bits_get(packed, n, width, i), in[i]);
      }
      uint32_t first = (uint32_t)below(n), count = (uint32_t)below(n - first + 1);
      bits_unpack(packed, n, width, first, count, 5, got);
      for (uint32_t i = 0; i < count; i++) cr_assert_eq(got[i], in[first + i] + 5, "width %u", width);
      memset(got, 0, sizeof got);
      if (width && count) bits_unpack_by_groups(packed, n, width, first, count, 5, got);
      for (uint32_t i = 0; width && i < count; i++)
        cr_assert_eq(got[i], in[first + i] + 5, "width %u by groups", width);
      mem_free(packed);
    }
  }
}

Test(bits, sums_are_those_of_the_values_from_any_width_and_end) {
  seed();
  static uint64_t in[1000];
  for (unsigned width = 0; width <= 64; width++) {
    uint32_t n = 1 + (uint32_t)below(1000);
    for (uint32_t i = 0; i < n; i++) in[i] = next() & bits_mask(width);
    size_t size = bits_size(n, width);
    uint8_t *packed = mem_alloc(size ? size : 1);
    bits_pack(in, n, width, packed);
    uint64_t sum = 0;
    for (uint32_t i = 0; i <= n; i++) {
      cr_assert_eq(bits_sum(packed, n, width, i), sum, "the first %u of %u of width %u", i, n, width);
      if (i < n) sum += in[i];
    }
    mem_free(packed);
  }
}

Test(ints, a_frame_s_sum_is_that_of_what_it_decodes_to, .fini = done) {
  seed();
  for (unsigned round = 0; round < 400; round++) {
    uint32_t n = 1 + (uint32_t)below(700);
    uint64_t step = below(2) ? 1 : 1000;
    for (uint32_t i = 0; i < n; i++) v[i] = (int64_t)((below(9) ? below(500) : next() >> below(64)) * step);
    struct int_frame_plan plan = int_frame_plan(v, n, array_bounds(v, n), v[below(n)]);
    buffer_clear(&out);
    struct buffer work = {0};
    int_frame_write(v, n, &plan, &out, &work);
    buffer_free(&work);
    struct reader r = reader_make(out.data, out.size);
    struct int_frame f;
    cr_assert(int_frame_open(&r, n, plan.exponent, plan.exceptions != 0, &f));
    uint64_t sum = 0;
    for (uint32_t i = 0; i <= n; i++) {
      cr_assert_eq(int_frame_sum(&f, i), sum, "the first %u of %u, %u exceptions", i, n, f.exceptions);
      if (i < n) sum += (uint64_t)v[i];
    }
  }
}

Test(ints, exceptions_whose_positions_do_not_ascend_are_told) {
  static const uint8_t shuffled[] = {0x81, 0,    2,    9,    7,    0x00, 0x4e, 0x41, 0x18, 0x47, 0x4d,
                                     0x69, 0x7b, 0x7d, 0x6e, 0x81, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02};
  static const uint8_t positions[] = {0x00, 0x18, 0x41, 0x47, 0x4d, 0x4e, 0x69, 0x7b, 0x7d};
  uint8_t sorted[sizeof shuffled], twice[sizeof shuffled];
  struct ints s;
  cr_assert(ints_open(shuffled, sizeof shuffled, 140, &s));
  cr_assert_not(ints_sound(&s));
  memcpy(sorted, shuffled, sizeof sorted);
  memcpy(sorted + 5, positions, sizeof positions);
  cr_assert(ints_open(sorted, sizeof sorted, 140, &s));
  cr_assert(ints_sound(&s));
  for (uint32_t first = 0; first < 140; first += 13)
    for (uint32_t n = 1; n <= 140 - first; n += 7) {
      ints_decode(&s, 0, 140, back);
      ints_decode(&s, first, n, slice);
      cr_assert_arr_eq(slice, back + first, n * sizeof *slice);
    }
  memcpy(twice, sorted, sizeof twice);
  twice[7] = twice[6];
  cr_assert(ints_open(twice, sizeof twice, 140, &s));
  cr_assert_not(ints_sound(&s), "one position twice");
}

Test(ints, runs_that_do_not_have_as_many_values_as_the_sequence_are_told) {
  static const uint8_t runs[] = {4, 2, 4, 1, 3, 10, 0x20, 1, 6, 2}; /* three times 5, four times 9 */
  struct ints s;
  for (uint32_t count = 2; count < 12; count++) {
    cr_assert(ints_open(runs, sizeof runs, count, &s));
    cr_assert_eq(ints_sound(&s), count == 7, "as %u values", count);
  }
  cr_assert(ints_open(runs, sizeof runs, 7, &s));
  ints_decode(&s, 0, 7, back);
  cr_assert_eq(back[2], 5);
  cr_assert_eq(back[3], 9);
}
