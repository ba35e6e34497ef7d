/* Laws of model/decimal.h. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model/decimal.h"
#include "model/schema.h"
#include "unit/model_random.h"

#define UNTOUCHED INT64_C(-77)

struct vector {
  const char *text;
  enum decimal_result exact;
  int64_t units; /* of the exact reading, if DECIMAL_OK */
  enum decimal_result rounded;
  int64_t rounded_units;
};

#define BOTH(text, units)                                                                                    \
  { text, DECIMAL_OK, units, DECIMAL_OK, units }
#define NEITHER(text, result)                                                                                \
  { text, result, 0, result, 0 }
#define ROUNDS(text, units)                                                                                  \
  { text, DECIMAL_INEXACT, 0, DECIMAL_OK, units }

static const struct vector vectors[] = {
    BOTH("0", 0),
    BOTH("-0", 0),
    BOTH("0.0", 0),
    BOTH(".5", 500000000),
    BOTH("5.", 5000000000),
    BOTH("+1.25", 1250000000),
    BOTH("-1.25", -1250000000),
    BOTH("0.0124", 12400000),
    BOTH("0.000000001", 1),
    BOTH("0.0000000010000000000000000000000000000000000", 1),
    BOTH("000000000000000000000000000000000000000000012", 12000000000),
    BOTH("1e0", 1000000000),
    BOTH("1E-9", 1),
    BOTH("1.5e-7", 150),
    BOTH("15e+3", 15000000000000),
    BOTH("9000000000", COST_MAX),
    BOTH("-9e9", -COST_MAX),
    BOTH("9000000000.000000000000000000", COST_MAX),
    BOTH("0e99999999999999999999999999999", 0),
    BOTH("0.000e-99999999999999999999999999999", 0),
    BOTH("0.00000000000000000000000000000000000000012e40", 1200000000),
    BOTH("8999999999.999999999", COST_MAX - 1),
    BOTH("8999999999999999999e-9", COST_MAX - 1),
    BOTH("10000000000000000000000000000000000000000e-40", 1000000000),
    NEITHER("", DECIMAL_SYNTAX),
    NEITHER("-", DECIMAL_SYNTAX),
    NEITHER("+", DECIMAL_SYNTAX),
    NEITHER(".", DECIMAL_SYNTAX),
    NEITHER("-.", DECIMAL_SYNTAX),
    NEITHER("e5", DECIMAL_SYNTAX),
    NEITHER(".e5", DECIMAL_SYNTAX),
    NEITHER("1e", DECIMAL_SYNTAX),
    NEITHER("1e+", DECIMAL_SYNTAX),
    NEITHER("1e5.", DECIMAL_SYNTAX),
    NEITHER("1 ", DECIMAL_SYNTAX),
    NEITHER(" 1", DECIMAL_SYNTAX),
    NEITHER("1.2.3", DECIMAL_SYNTAX),
    NEITHER("--1", DECIMAL_SYNTAX),
    NEITHER("+-1", DECIMAL_SYNTAX),
    NEITHER("0x10", DECIMAL_SYNTAX),
    NEITHER("1,5", DECIMAL_SYNTAX),
    NEITHER("nan", DECIMAL_SYNTAX),
    NEITHER("inf", DECIMAL_SYNTAX),
    NEITHER("9000000000.000000001", DECIMAL_RANGE),
    NEITHER("-9000000000.000000001", DECIMAL_RANGE),
    NEITHER("9000000001", DECIMAL_RANGE),
    NEITHER("10000000000", DECIMAL_RANGE),
    NEITHER("18446744074", DECIMAL_RANGE),
    NEITHER("18446744073.709551616", DECIMAL_RANGE),
    NEITHER("1e10", DECIMAL_RANGE),
    NEITHER("1e99999999999999999999999999999", DECIMAL_RANGE),
    NEITHER("-123456789012345678901234567890123456789012345678901234567890", DECIMAL_RANGE),
    ROUNDS("0.0000000001", 0),
    ROUNDS("0.0000000005", 0),
    ROUNDS("0.00000000050000000000000000000000000001", 1),
    ROUNDS("0.0000000015", 2),
    ROUNDS("0.0000000025", 2),
    ROUNDS("-0.0000000025", -2),
    ROUNDS("-0.0000000035", -4),
    ROUNDS("0.0000000024999999999999999999999999999999", 2),
    ROUNDS("5e-10", 0),
    ROUNDS("15e-10", 2),
    ROUNDS("1e-99999999999999999999999999999", 0),
    ROUNDS("8999999999.9999999994", COST_MAX - 1),
    ROUNDS("8999999999.9999999996", COST_MAX),
    {"9000000000.0000000001", DECIMAL_RANGE, 0, DECIMAL_OK, COST_MAX},
    {"9000000000.0000000006", DECIMAL_RANGE, 0, DECIMAL_RANGE, 0},
};

static void check_parse(const char *text, size_t size, bool half_even, enum decimal_result result,
                        int64_t units) {
  int64_t got = UNTOUCHED;
  cr_assert_eq(decimal_parse(text, size, half_even, &got), result, "%s, half_even %d", text, half_even);
  cr_assert_eq(got, result == DECIMAL_OK ? units : UNTOUCHED, "%s: %" PRId64, text, got);
}

Test(model_decimal, reads_every_form_exactly_or_says_why_not) {
  for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
    const struct vector *v = &vectors[i];
    check_parse(v->text, strlen(v->text), false, v->exact, v->units);
    check_parse(v->text, strlen(v->text), true, v->rounded, v->rounded_units);
  }
  /* far more digits than any number type */
  static char huge[100001];
  memset(huge, '0', 100000);
  memcpy(huge, "1.", 2);
  check_parse(huge, 100000, false, DECIMAL_OK, COST_UNIT);
  huge[99999] = '5';
  check_parse(huge, 100000, false, DECIMAL_INEXACT, 0);
  check_parse(huge, 100000, true, DECIMAL_OK, COST_UNIT);
}

/* The printed form, also with an exponent and padding, reads back as the same units. */
Test(model_decimal, parse_is_the_inverse_of_print) {
  random_start();
  struct buffer b = {0};
  for (int i = 0; i < 200000; i++) {
    int64_t units = random_int64();
    if (units > COST_MAX || units < -COST_MAX) continue;
    buffer_clear(&b);
    decimal_print(&b, units, (int)random_below(10));
    check_parse((const char *)b.data, b.size, i % 2, DECIMAL_OK, units);
    int64_t json;
    cr_assert(decimal_from_json((const char *)b.data, b.size, &json));
    cr_assert_eq(json, units);
    buffer_clear(&b);
    int128_print(&b, units);
    buffer_text(&b, i % 2 ? "e-9" : "00000E-14");
    check_parse((const char *)b.data, b.size, i % 2, DECIMAL_OK, units);
  }
  buffer_free(&b);
}

static void check_print(int128 units, int min, const char *expected) {
  struct buffer b = {0};
  decimal_print(&b, units, min);
  write8(&b, 0);
  cr_assert_str_eq((char *)b.data, expected);
  buffer_free(&b);
}

Test(model_decimal, prints_between_min_and_nine_decimals) {
  check_print(12400000, 4, "0.0124");
  check_print(150, 4, "0.00000015");
  check_print(0, 4, "0.0000");
  check_print(0, 0, "0");
  check_print(-1250000000, 0, "-1.25");
  check_print(-1, 0, "-0.000000001");
  check_print(100000000000, 0, "100");
  check_print(1, 9, "0.000000001");
  check_print(COST_MAX, 4, "9000000000.0000");
  check_print(INT128_MAX, 0, "170141183460469231731687303715.884105727");
  check_print(INT128_MIN, 0, "-170141183460469231731687303715.884105728");
  struct buffer b = {0};
  int128_print(&b, INT128_MIN);
  buffer_text(&b, " ");
  int128_print(&b, INT128_MAX);
  buffer_text(&b, " ");
  int128_print(&b, 0);
  buffer_text(&b, " ");
  int128_print(&b, (int128)10000000000000000000u * 3 + 7);
  write8(&b, 0);
  cr_assert_str_eq((char *)b.data, "-170141183460469231731687303715884105728 "
                                   "170141183460469231731687303715884105727 0 30000000000000000007");
  buffer_free(&b);
}

static void check_integer(uint64_t v) {
  char want[40], got[INT128_PUT_MOST + 1];
  (void)snprintf(want, sizeof want, "-%" PRIu64, v);
  *int128_put(got, (int128)v) = '\0';
  cr_assert_str_eq(got, want + 1);
  *int128_put(got, -(int128)v) = '\0';
  cr_assert_str_eq(got, v ? want : "0");
}

Test(model_decimal, integers_of_every_length_print_as_they_are) {
  uint64_t power = 1;
  for (int digits = 1; digits <= 20; digits++, power *= 10) {
    check_integer(power - 1);
    check_integer(power);
    check_integer(power + 1);
    check_integer(power * 7 / 3);
  }
  check_integer(UINT64_MAX);
  for (unsigned bit = 0; bit < 64; bit++) check_integer((UINT64_C(1) << bit) - 1);
  char longest[DECIMAL_PUT_MOST];
  cr_assert_eq(int128_put(longest, INT128_MIN) - longest, INT128_PUT_MOST);
  cr_assert_leq(decimal_put(longest, INT128_MIN, 9) - longest, DECIMAL_PUT_MOST);
}

Test(model_decimal, every_group_of_four_digits_prints_as_it_is_on_either_side_of_a_word) {
  for (uint64_t v = 0; v < 10000; v++) {
    check_integer(v);
    check_integer(v * 10000 + 9999 - v);
    check_integer(v * 100000000 + v);
    check_integer(v * 1000000000000 + 99999999);
  }
}

/* Digits are stored eight at a time: what follows them up to the room's end may be written, and nothing else.
 */
Test(model_decimal, no_byte_behind_the_room_is_written) {
  char room[DECIMAL_PUT_MOST + 8];
  int128 v = 1;
  for (int digits = 1; digits <= 38; digits++, v *= 10)
    for (int min = 0; min <= 9; min++)
      for (int sign = -1; sign <= 1; sign += 2) {
        memset(room, '#', sizeof room);
        (void)decimal_put(room, sign * v, min);
        cr_assert_eq(memcmp(room + DECIMAL_PUT_MOST, "########", 8), 0);
        memset(room, '#', sizeof room);
        (void)int128_put(room, sign * v);
        cr_assert_eq(memcmp(room + INT128_PUT_MOST, "########", 8), 0);
      }
}

static void check_ratio(int128 numerator, uint64_t denominator, int scale, int decimals,
                        const char *expected) {
  struct buffer b = {0};
  ratio_print(&b, numerator, denominator, scale, decimals);
  write8(&b, 0);
  cr_assert_str_eq((char *)b.data, expected);
  buffer_free(&b);
}

Test(model_decimal, ratios_round_half_to_even) {
  check_ratio(1, 3, 0, 6, "0.333333");
  check_ratio(2, 3, 0, 6, "0.666667");
  check_ratio(-2, 3, 0, 6, "-0.666667");
  check_ratio(1, 2000000, 0, 6, "0.000000");
  check_ratio(-1, 2000000, 0, 6, "0.000000");
  check_ratio(3, 2000000, 0, 6, "0.000002");
  check_ratio(5, 2000000, 0, 6, "0.000002");
  check_ratio(-3, 2000000, 0, 6, "-0.000002");
  check_ratio(1999999, 2000000, 0, 6, "1.000000");
  check_ratio(19999999, 2, 0, 0, "10000000");
  check_ratio(5, 2, 0, 0, "2");
  check_ratio(7, 2, 0, 0, "4");
  check_ratio(1, 2, 0, 0, "0");
  check_ratio(2500000000, 2, 9, 9, "1.250000000");
  check_ratio(1, 2, 9, 9, "0.000000000");
  check_ratio(INT128_MAX, 1, 0, 6, "170141183460469231731687303715884105727.000000");
  check_ratio(INT128_MIN, 1, 0, 18, "-170141183460469231731687303715884105728.000000000000000000");
  check_ratio(INT128_MAX, UINT64_MAX, 0, 9, "9223372036854775808.500000000");
  check_ratio(INT128_MIN, UINT64_MAX, 18, 18, "-9.223372036854775809"); /* just over the half */
}

Test(model_decimal, takes_jsons_numbers_and_no_others) {
  static const char *const good[] = {"0",      "-0",  "1",    "-1.5", "1e3",  "1E+3",
                                     "1.5e-3", "0.5", "10.0", "1e-9", "0e77", "0.0000000010"};
  static const char *const bad[] = {"",    "+1",   "01", "-01", ".5", "5.",           "5.e1", "-",    "1e",
                                    "1e+", "true", "1 ", "00",  "-a", "0.0000000001", "1e10", "\"1\""};
  int64_t units;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    cr_assert(decimal_from_json(good[i], strlen(good[i]), &units), "%s", good[i]);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    cr_assert_not(decimal_from_json(bad[i], strlen(bad[i]), &units), "%s", bad[i]);
}

/* ------------------------------------------------------------------ comparing */

/* A number as sign and fixed-point digit strings: 60 digits on either side of the dot. */
struct plain {
  int sign;
  char digits[121];
};

enum { SIDE = 60 };

static struct plain plain_make(bool negative, const char *digits, int point, int exponent) {
  struct plain p = {0};
  memset(p.digits, '0', 2 * SIDE);
  bool zero = true;
  for (int i = 0; digits[i]; i++) {
    int at = SIDE - (point + exponent) + i;
    cr_assert(at >= 0 && at < 2 * SIDE);
    p.digits[at] = digits[i];
    zero = zero && digits[i] == '0';
  }
  p.sign = zero ? 0 : negative ? -1 : 1;
  return p;
}

/* A random text and what it says: up to 12 digits, a dot anywhere, an exponent within +-20. Few
 * different digits, so that equal values in different forms are common. */
static struct plain random_number(char *text) {
  char digits[13] = {0};
  int count = 1 + (int)random_below(12), point = (int)random_below((uint64_t)count + 1);
  for (int i = 0; i < count; i++) digits[i] = (char)('0' + (random_below(3) ? 0 : random_below(3) * 4 + 1));
  bool negative = random_below(2);
  int exponent = random_below(2) ? (int)random_below(41) - 20 : 0;
  int n = sprintf(text, "%s%.*s%s%s",
                  negative          ? "-"
                  : random_below(4) ? ""
                                    : "+",
                  point, digits, point < count || random_below(2) ? "." : "", digits + point);
  if (exponent) sprintf(text + n, "%c%+d", random_below(2) ? 'e' : 'E', exponent);
  return plain_make(negative, digits, point, exponent);
}

static int plain_compare(const struct plain *a, const struct plain *b) {
  if (a->sign != b->sign) return a->sign < b->sign ? -1 : 1;
  int order = strcmp(a->digits, b->digits);
  return a->sign * (order > 0) - a->sign * (order < 0);
}

Test(model_decimal, compares_like_digit_strings) {
  random_start();
  char a[64], b[64];
  int equal = 0;
  for (int i = 0; i < 200000; i++) {
    struct plain x = random_number(a), y = random_number(b);
    cr_assert(decimal_is_number(a, strlen(a)), "%s", a);
    int expected = plain_compare(&x, &y);
    cr_assert_eq(decimal_compare(a, strlen(a), b, strlen(b)), expected, "%s with %s", a, b);
    cr_assert_eq(decimal_compare(b, strlen(b), a, strlen(a)), -expected, "%s with %s", b, a);
    equal += expected == 0;
  }
  cr_assert_gt(equal, 1000);
  static const char *const ascending[] = {"-1e99999999999",
                                          "-1e1000001",
                                          "-1.0000000000000000000000001",
                                          "-1",
                                          "-1e-1000001",
                                          "0e5",
                                          "1e-99999999999",
                                          "1e-1000001",
                                          "0.1",
                                          "1",
                                          "1.0000000000000000000000001",
                                          "123456789012345678901234567890123456789",
                                          "123456789012345678901234567890123456789.5",
                                          "1e1000000",
                                          "1e1000001"};
  size_t count = sizeof ascending / sizeof *ascending;
  for (size_t i = 0; i < count; i++)
    for (size_t j = 0; j < count; j++)
      cr_assert_eq(decimal_compare(ascending[i], strlen(ascending[i]), ascending[j], strlen(ascending[j])),
                   (i > j) - (i < j), "%s with %s", ascending[i], ascending[j]);
}

static void check_bound(const char *text, int scale, int64_t floor, bool exact, int outside) {
  int64_t got = UNTOUCHED;
  bool is_exact = !exact;
  int is_outside = 7;
  decimal_bound(text, strlen(text), scale, &got, &is_exact, &is_outside);
  cr_assert_eq(got, floor, "%s: %" PRId64, text, got);
  cr_assert_eq(is_exact, exact, "%s", text);
  cr_assert_eq(is_outside, outside, "%s", text);
}

Test(model_decimal, bounds_are_floors) {
  check_bound("0", 0, 0, true, 0);
  check_bound("1.5", 0, 1, false, 0);
  check_bound("-1.5", 0, -2, false, 0);
  check_bound("-1", 0, -1, true, 0);
  check_bound("-0.00000000000000000000001", 0, -1, false, 0);
  check_bound("1e-30", 0, 0, false, 0);
  check_bound("1.5", 9, 1500000000, true, 0);
  check_bound("-1e-10", 9, -1, false, 0);
  check_bound("9223372036854775807", 0, INT64_MAX, true, 0);
  check_bound("9223372036854775807.5", 0, INT64_MAX, false, 0);
  check_bound("9223372036854775808", 0, INT64_MAX, false, 1);
  check_bound("-9223372036854775808", 0, INT64_MIN, true, 0);
  check_bound("-9223372036854775808.5", 0, INT64_MIN, false, -1);
  check_bound("9999999999999999999", 0, INT64_MAX, false, 1);
  check_bound("18446744073709551616", 0, INT64_MAX, false, 1);
  check_bound("1e400", 0, INT64_MAX, false, 1);
  check_bound("-1e99999999999999999999", 9, INT64_MIN, false, -1);
  check_bound("9223372036.854775807", 9, INT64_MAX, true, 0);
  check_bound("9223372036.854775808", 9, INT64_MAX, false, 1);
}
