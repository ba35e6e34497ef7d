/* decimal_compare.c - numbers of any length against each other and against columns; see decimal.h. */
#include "model/decimal.h"
#include "model/decimal_digits.h"

bool decimal_is_number(const char *text, size_t size) {
  struct digits d;
  return digits_read(text, size, &d);
}

/* Both not zero. By magnitude, then digit by digit; a missing digit is 0. */
static int compare_absolute(const struct digits *a, const struct digits *b) {
  if (a->magnitude != b->magnitude) return a->magnitude < b->magnitude ? -1 : 1;
  const char *at_a = a->first, *at_b = b->first;
  size_t left_a = a->count, left_b = b->count;
  while (left_a || left_b) {
    unsigned digit_a = digits_next(&at_a, &left_a), digit_b = digits_next(&at_b, &left_b);
    if (digit_a != digit_b) return digit_a < digit_b ? -1 : 1;
  }
  return 0;
}

static int sign(const struct digits *d) { return !d->count ? 0 : d->negative ? -1 : 1; }

int decimal_compare(const char *a, size_t a_size, const char *b, size_t b_size) {
  struct digits x, y;
  if (!digits_read(a, a_size, &x) || !digits_read(b, b_size, &y)) return 0;
  int sign_x = sign(&x), sign_y = sign(&y);
  if (sign_x != sign_y) return sign_x < sign_y ? -1 : 1;
  return sign_x * (sign_x ? compare_absolute(&x, &y) : 0);
}

void decimal_bound(const char *text, size_t size, int scale, int64_t *floor, bool *exact, int *outside) {
  struct digits d;
  if (!digits_read(text, size, &d)) d = (struct digits){.first = text};
  struct digits_cut cut = digits_cut(&d, scale);
  /* the magnitude of the floor: below zero what was cut off counts */
  uint64_t most = d.negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
  uint64_t integer = cut.integer + (d.negative && cut.inexact ? 1 : 0);
  if (cut.large || integer > most) {
    *floor = d.negative ? INT64_MIN : INT64_MAX;
    *exact = false;
    *outside = d.negative ? -1 : 1;
    return;
  }
  *floor = d.negative ? (int64_t)(0 - integer) : (int64_t)integer;
  *exact = !cut.inexact;
  *outside = 0;
}
