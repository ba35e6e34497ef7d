/* encoding_texts.c - the laws of engine/encoding/texts.h: identity, sizes, the memory bound, and damage.
 *
 * Random cases come from one seed, which is printed; TALLY_SEED repeats a run. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "encoding/texts.h"
#include "encoding/texts_format.h"
#include "support/allocations.h"

#define MOST 6000u

static uint64_t state;
static struct ints_scratch scratch;
static struct buffer text, out, back;
static uint64_t at[MOST + 1], back_at[MOST + 1];
static uint32_t count;

static uint64_t next(void) {
  state += 0x9E3779B97F4A7C15u; /* SplitMix64 */
  uint64_t x = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}
static uint32_t below(uint32_t n) { return (uint32_t)(next() % n); }

static void seed(void) {
  const char *given = getenv("TALLY_SEED");
  state = given ? strtoull(given, NULL, 10) : (uint64_t)(uintptr_t)&state ^ 0x1234567;
  fprintf(stderr, "TALLY_SEED=%" PRIu64 "\n", state);
}

static void done(void) {
  ints_scratch_free(&scratch);
  buffer_free(&text);
  buffer_free(&out);
  buffer_free(&back);
}

/* ---- rows ---- */

static void add_hex(unsigned digits, bool upper) {
  while (digits--) write8(&text, (uint8_t)(upper ? "0123456789ABCDEF" : "0123456789abcdef")[below(16)]);
}

static void add_noise(uint32_t size) {
  static const char alphabet[] = "{}[]\"\"\"\"\\\\::,,  abctruefalsenull0123456789.-+eE\n\x7F\xC3\xA9";
  while (size--) write8(&text, below(30) ? (uint8_t)alphabet[below(sizeof alphabet)] : (uint8_t)next());
}

/* A JSON object with optional members, of all kinds of values. */
static void add_object(void) {
  buffer_text(&text, "{");
  if (below(9)) buffer_printf(&text, "\"n\":%" PRId64 ",", (int64_t)next() >> below(64));
  if (below(9)) buffer_printf(&text, "\"price\": %u.%02u ,", below(100), below(100));
  if (below(3))
    buffer_printf(&text, "\"deep\":{\"a\":[%u,%s,\"x%u\"]},", below(5), below(2) ? "true" : "null", below(3));
  if (below(9)) {
    buffer_text(&text, "\"id\":\"");
    add_hex(below(20) ? 16 : below(30), false);
    buffer_text(&text, "\",");
  }
  if (!below(5)) buffer_text(&text, "\"odd\":1.5e-07,\"say \\\"hi\\\"\":\"a\\\\\\\"b\\u00e9\",");
  if (!below(50)) add_noise(below(60));
  buffer_printf(&text, "\"who\":\"user %u\"}", below(400));
}

#define SHAPES 14
static void add_row(unsigned shape, uint32_t i) {
  static const char *const regions[] = {"eu-west-1", "us-east-1", "ap-southeast-2"};
  switch (shape) {
  case 0:
    break;
  case 1:
    buffer_text(&text, "always the same");
    break;
  case 2:
    buffer_printf(&text, "{\"region\":\"%s\",\"req\":\"", regions[below(3)]);
    add_hex(8, false);
    buffer_text(&text, "\"}");
    break;
  case 3:
    add_object();
    break;
  case 4:
    add_noise(below(80));
    break;
  case 5:
    add_hex(1 + i % 2 * 0 + (uint32_t)(count % 31), count % 2);
    break; /* one length and case a list */
  case 6:  /* a UUID */
    add_hex(8, false), buffer_text(&text, "-"), add_hex(4, false), buffer_text(&text, "-4"),
        add_hex(3, false);
    buffer_text(&text, "-"), add_hex(12, false);
    break;
  case 7:
    buffer_printf(&text, "%" PRId64, (int64_t)next() >> below(64));
    break;
  case 8:
    buffer_printf(&text, "%s%u.%0*u", below(9) ? "" : "-", below(20), 1 + (int)below(9), below(1000));
    break;
  case 9:
    buffer_printf(&text, "entry number %u of a few", below(90));
    break;
  case 10:
    buffer_printf(&text, "%0*u", 1 + (int)below(25), below(3));
    break; /* zeros before, zeros alone */
  case 11:
    buffer_printf(&text, "/v1/users/%u/items?page=%u&q=%s", below(100000), below(9), regions[below(3)]);
    break;
  case 12:
    for (uint32_t n = below(8) ? 3 : below(200); n; n--) buffer_text(&text, "[\"\",0,");
    break;
  default:
    add_row(below(SHAPES - 1), i);
    break;
  }
}

static void fill(unsigned shape, uint32_t n) {
  buffer_clear(&text);
  count = n;
  at[0] = 0;
  for (uint32_t i = 0; i < n; i++) {
    add_row(shape, i);
    at[i + 1] = text.size;
  }
  cr_assert(!text.failed);
}

static size_t encode(void) {
  buffer_clear(&out);
  texts_encode(at, count, (const char *)text.data, &out, &scratch);
  cr_assert(!out.failed);
  return out.size;
}

static uint32_t any_count(void) {
  switch (below(6)) {
  case 0:
    return below(12);
  case 1:
    return 1 + below(MOST);
  default:
    return 1 + below(700);
  }
}

/* A range of the strings, also an empty one, is what stands there in all of them. */
static void check_some(void) {
  uint32_t first = below(count + 1), n = below(below(2) ? count - first + 1 : 1 + (count - first) / 9);
  cr_assert(texts_decode_some(out.data, out.size, count, first, n, text.size, back_at, &back, &scratch),
            "%u of %u from %u, %s", n, count, first, texts_name(out.data, out.size));
  cr_assert_eq(back.size, at[first + n] - at[first]);
  cr_assert(back.size == 0 || memcmp(back.data, text.data + at[first], back.size) == 0,
            "%u of %u from %u, %s", n, count, first, texts_name(out.data, out.size));
  for (uint32_t i = 0; i <= n; i++) cr_assert_eq(back_at[i], at[first + i] - at[first]);
}

Test(texts, decode_inverts_encode, .fini = done) {
  seed();
  unsigned used[TEXT_SCHEMES] = {0};
  for (unsigned round = 0; round < 60 * SHAPES; round++) {
    fill(round % SHAPES, any_count());
    encode();
    used[out.data[0]]++;
    cr_assert(texts_decode(out.data, out.size, count, text.size, back_at, &back, &scratch),
              "shape %u, %u rows, %s", round % SHAPES, count, texts_name(out.data, out.size));
    cr_assert_eq(back.size, text.size);
    cr_assert(text.size == 0 || memcmp(back.data, text.data, text.size) == 0, "shape %u", round % SHAPES);
    cr_assert(memcmp(at, back_at, (count + 1) * sizeof *at) == 0);
    for (unsigned k = 0; k < 4; k++) check_some();
    cr_assert(text.size == 0 ||
                  !texts_decode(out.data, out.size, count, text.size - 1, back_at, &back, &scratch),
              "went over the limit");
    cr_assert(text.size == 0 ||
                  !texts_decode(out.data, out.size, count, next() % text.size, back_at, &back, &scratch),
              "went over the limit");
    cr_assert(back.size <= text.size);
    for (size_t size = 0; size < out.size && round % 4 == 0; size += 1 + out.size / 40)
      if (out.data[0] != TEXT_CONST)
        cr_assert(!texts_decode(out.data, size, count, text.size, back_at, &back, &scratch),
                  "shortened to %zu", size);
  }
  for (unsigned i = 0; i < TEXT_SCHEMES; i++) {
    uint8_t scheme = (uint8_t)i;
    cr_assert(used[i] > 0, "%s was never chosen", texts_name(&scheme, 1));
  }
}

Test(texts, thrifty_encoding_decodes_too_and_takes_no_memory_but_its_output, .fini = done) {
  seed();
  struct ints_scratch thrifty = {.thrifty = true};
  for (unsigned shape = 0; shape < SHAPES; shape++) {
    fill(shape, MOST);
    if (text.size == 0) continue;
    size_t piece = text.size;
    while (text.size <= TEXTS_THRIFTY) { /* the last string becomes a long one */
      cr_assert(buffer_reserve(&text, piece));
      buffer_append(&text, text.data, piece);
      at[count] = text.size;
    }
    buffer_clear(&out);
    texts_encode(at, count, (const char *)text.data, &out, &thrifty);
    cr_assert(!out.failed);
    cr_assert_eq(thrifty.texts[0].trial.capacity, 0, "shape %u", shape);
    cr_assert(texts_decode(out.data, out.size, count, text.size, back_at, &back, &scratch), "shape %u",
              shape);
    cr_assert(back.size == text.size && memcmp(back.data, text.data, text.size) == 0, "shape %u", shape);
    cr_assert(memcmp(at, back_at, (count + 1) * sizeof *at) == 0);
  }
  ints_scratch_free(&thrifty);
}

Test(texts, strings_may_start_anywhere_in_their_bytes, .fini = done) {
  seed();
  fill(3, 500);
  encode();
  struct buffer whole = out;
  out = (struct buffer){0};
  count = 200;
  texts_encode(at + 300, count, (const char *)text.data, &out, &scratch);
  cr_assert(texts_decode(out.data, out.size, count, SIZE_MAX, back_at, &back, &scratch));
  cr_assert_eq(back.size, at[500] - at[300]);
  cr_assert(memcmp(back.data, text.data + at[300], back.size) == 0);
  buffer_free(&whole);
}

Test(texts, sizes_are_what_the_structure_needs, .fini = done) {
  seed();
  fill(2, 1229); /* the rows with metadata of a chunk of the benchmark's data */
  cr_assert(encode() * 10 < 1229 * 44, "region and 8 digits: %.2f bytes a row", (double)out.size / 1229);
  fill(6, 1000);
  cr_assert(encode() <= 1000 * 27 / 2 + 60, "a UUID without its version costs 27 digits, half a byte each");
  fill(1, 4096);
  cr_assert_eq(encode(), 1 + 15, "one text for all costs itself");
  fill(0, 4096);
  cr_assert_eq(encode(), 1, "nothing costs nothing");
  fill(9, 4096);
  cr_assert(encode() < 4096 * 7 / 8 + 700, "90 texts cost 7 bits a row and themselves once");
  fill(4, 3000);
  cr_assert(encode() <= text.size + 3000 + 20, "what has no structure costs its bytes and lengths");
  buffer_clear(&text);
  count = 2000;
  for (uint32_t i = 0; i < count; i++) {
    buffer_printf(&text, "{\"us\":%u,\"cost\":%u.%04u}", 1000 + below(1000), below(4), below(10000));
    at[i + 1] = text.size;
  }
  cr_assert(encode() < count * 27 / 8 + 80, "numbers cost their bits: %.2f bytes a row",
            (double)out.size / count);
}

Test(texts, decimals_print_as_they_were_or_are_no_decimals) {
  static const char *const no[] = {"",
                                   "-",
                                   ".",
                                   "-.",
                                   "1.",
                                   ".5",
                                   "-0",
                                   "-0.00",
                                   "00",
                                   "01.5",
                                   "1e5",
                                   "+1",
                                   "1.2.3",
                                   " 1",
                                   "1 ",
                                   "1234567890123456789",
                                   "0.123456789012345678",
                                   "--1",
                                   "1-",
                                   "0x1"};
  static const char *const yes[] = {"0",
                                    "0.0",
                                    "0.000",
                                    "-1",
                                    "10",
                                    "-0.01",
                                    "123456789012345678",
                                    "0.12345678901234567",
                                    "-99999999999999999.9",
                                    "1.50",
                                    "100.00"};
  int64_t mantissa;
  unsigned places;
  char printed[DECIMAL_TEXT_MAX];
  for (size_t i = 0; i < sizeof no / sizeof *no; i++)
    cr_assert(!decimal_text_parse(no[i], strlen(no[i]), &mantissa, &places), "%s", no[i]);
  for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
    cr_assert(decimal_text_parse(yes[i], strlen(yes[i]), &mantissa, &places), "%s", yes[i]);
    size_t size = decimal_text_print(mantissa, places, printed);
    cr_assert(size == strlen(yes[i]) && memcmp(printed, yes[i], size) == 0, "%s", yes[i]);
  }
  cr_assert(decimal_text_print(INT64_MIN, DECIMAL_DIGITS, printed) <= sizeof printed);
}

Test(texts, nothing_is_read_behind_the_last_string, .fini = done) {
  static const char *const ends[] = {"{\"a\":\"b\\", "\"",       "\"\\", "{\"a\"",    "{\"a\" ",
                                     "{\"a\":",      "{\"a\":-", "12",   "\"01234567"};
  for (size_t e = 0; e < sizeof ends / sizeof *ends; e++) {
    size_t size = strlen(ends[e]);
    buffer_clear(&text); /* a number before each but the last, so that a template pays */
    count = 40;
    for (uint32_t i = 0; i < count; i++) {
      if (i + 1 < count) buffer_printf(&text, "%u", 1000 + i * 7919 % 9000);
      buffer_append(&text, ends[e], size);
      at[i + 1] = text.size;
    }
    buffer_clear(&out);
    char *exact = mem_alloc(at[count]);
    memcpy(exact, text.data, at[count]);
    texts_encode(at, count, exact, &out, &scratch);
    cr_assert(texts_decode(out.data, out.size, count, at[count], back_at, &back, &scratch));
    cr_assert(memcmp(back.data, text.data, at[count]) == 0);
    mem_free(exact);
  }
}

Test(texts, a_template_names_a_column_once, .fini = done) {
  /* a literal of nothing, one or two places at its beginning, column 0, one row, the value "a" */
  static const uint8_t once[] = {2, 1, 1, 1, 3, 2, 0, 2, 2, 0, 0, 2, 0, 0, 2, 0, 0, 2, 3, 'a'};
  static const uint8_t twice[] = {2, 1, 1, 1, 3, 2, 0, 4, 2, 0, 0, 2, 0, 0, 2, 0, 0, 2, 3, 'a'};
  cr_assert(texts_decode(once, sizeof once, 1, 10, back_at, &back, &scratch));
  cr_assert(back.size == 1 && back.data[0] == 'a');
  cr_assert(!texts_decode(twice, sizeof twice, 1, 10, back_at, &back, &scratch));
}

static size_t largest; /* allocation seen */
static int note_size(size_t size) {
  if (size > largest) largest = size;
  return 1;
}

/* Decodes a copy that ends where its allocation ends, within a small limit. */
static void try_bytes(const uint8_t *bytes, size_t size, uint32_t rows, size_t limit) {
  uint8_t *copy = mem_alloc(size ? size : 1);
  memcpy(copy, bytes, size);
  largest = 0;
  mem_test_hook = note_size;
  uint32_t first = below(rows + 1), n = below(rows - first + 1);
  if (texts_decode_some(copy, size, rows, first, n, limit, back_at, &back, &scratch))
    cr_assert(back.size <= limit && back_at[0] == 0 && back_at[n] == back.size);
  bool decoded = texts_decode(copy, size, rows, limit, back_at, &back, &scratch);
  mem_test_hook = NULL;
  cr_assert(largest <= 2 * (8 * (limit + 3 * (size_t)rows + 2000) + 8 * 256 * 129),
            "took %zu bytes for a limit of %zu", largest, limit);
  if (decoded) {
    cr_assert(back.size <= limit && back_at[0] == 0 && back_at[rows] == back.size);
    for (uint32_t i = 0; i < rows; i++) cr_assert(back_at[i] <= back_at[i + 1]);
  }
  mem_free(copy);
}

Test(texts, damaged_bytes_are_refused_or_decode_within_the_limit, .fini = done) {
  seed();
  for (unsigned round = 0; round < 12 * SHAPES; round++) {
    fill(round % SHAPES, 1 + below(round % 7 ? 60 : 600));
    encode();
    for (unsigned k = 0; k < 120; k++) {
      size_t i = below(2) ? below((uint32_t)out.size) : below(out.size < 40 ? (uint32_t)out.size : 40);
      uint8_t old = out.data[i];
      out.data[i] = (uint8_t)(below(2) ? old ^ 1u << below(8) : below(256));
      try_bytes(out.data, out.size, count, text.size + below(50));
      try_bytes(out.data, out.size, below(MOST), 1000);
      if (below(4)) out.data[i] = old; /* sometimes damage adds up */
    }
    for (size_t size = 0; size < out.size; size += 1 + out.size / 30)
      try_bytes(out.data, size, count, text.size);
  }
  uint8_t noise[80];
  for (unsigned round = 0; round < 20000; round++) {
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (uint8_t)(below(3) ? below(12) : next());
    try_bytes(noise, below(sizeof noise), below(40), 500);
  }
}

Test(texts, without_memory_the_buffer_has_failed_and_nothing_leaks, .fini = done) {
  seed();
  for (unsigned shape = 0; shape < SHAPES; shape++) {
    fill(shape, 300);
    encode();
    struct buffer whole = out, partial = {0};
    out = (struct buffer){0};
    for (int limit = 0;; limit++) { /* decoding */
      ints_scratch_free(&scratch);
      buffer_free(&partial);
      allocations_stop_after(limit);
      bool decoded = texts_decode(whole.data, whole.size, count, text.size, back_at, &partial, &scratch);
      allocations_again();
      if (decoded) break;
      cr_assert(partial.failed, "shape %u: refused good bytes without saying that memory was short", shape);
      cr_assert(limit < 300);
    }
    for (int limit = 0;; limit++) { /* encoding */
      ints_scratch_free(&scratch);
      buffer_free(&partial);
      allocations_stop_after(limit);
      texts_encode(at, count, (const char *)text.data, &partial, &scratch);
      allocations_again();
      if (!partial.failed) break;
      cr_assert(limit < 1000);
    }
    cr_assert(partial.size == whole.size && memcmp(partial.data, whole.data, whole.size) == 0,
              "the encoding depends on something else than the strings");
    buffer_free(&partial);
    buffer_free(&whole);
  }
}
