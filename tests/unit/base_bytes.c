/* Laws of base/bytes.h's copies and comparisons of few bytes. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/bytes.h"

#define MOST 40u

Test(bytes, texts_of_few_bytes_are_the_same_where_every_byte_is) {
  for (size_t size = 0; size <= MOST; size++) {
    uint8_t *a = malloc(size + 1), *b = malloc(size + 1); /* one byte behind that is not looked at */
    for (size_t i = 0; i <= size; i++) a[i] = b[i] = (uint8_t)(i * 37 + size);
    b[size]++;
    cr_assert(same_few(a, b, size), "%zu bytes", size);
    for (size_t i = 0; i < size; i++) {
      b[i] ^= 0x40;
      cr_assert_not(same_few(a, b, size), "%zu bytes, byte %zu", size, i);
      b[i] ^= 0x40;
    }
    free(a);
    free(b);
  }
}

Test(bytes, few_bytes_are_copied_and_no_more) {
  for (size_t size = 0; size <= MOST; size++) {
    uint8_t from[MOST + 1], to[MOST + 1];
    for (size_t i = 0; i <= MOST; i++) from[i] = (uint8_t)(i + 1);
    memset(to, 0, sizeof to);
    copy_few(to, from, size);
    for (size_t i = 0; i <= MOST; i++)
      cr_assert_eq(to[i], i < size ? i + 1 : 0, "%zu bytes, byte %zu", size, i);
  }
}
