/* utf8.c - UTF-8 validation; see utf8.h. The ranges are table 3-7 of the Unicode standard. */
#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

/* The length of the character at p with n bytes left, 0 if it is none. */
static size_t character(const uint8_t *p, size_t n) {
  uint8_t a = p[0];
  if (a < 0x80) return a != 0;
  if (a < 0xC2 || a > 0xF4 || n < 2) return 0;
  uint8_t low = 0x80, high = 0xBF;
  if (a == 0xE0) low = 0xA0;
  if (a == 0xED) high = 0x9F;
  if (a == 0xF0) low = 0x90;
  if (a == 0xF4) high = 0x8F;
  if (p[1] < low || p[1] > high) return 0;
  size_t length = a < 0xE0 ? 2 : a < 0xF0 ? 3 : 4;
  if (n < length) return 0;
  for (size_t i = 2; i < length; i++)
    if ((p[i] & 0xC0) != 0x80) return 0;
  return length;
}

/* Eight bytes that are all ASCII and not NUL? */
static bool plain(uint64_t w) {
  const uint64_t high = 0x8080808080808080u, ones = 0x0101010101010101u;
  return ((w | (w - ones)) & high) == 0;
}

static size_t scan(const uint8_t *p, size_t size, size_t *characters) {
  size_t i = 0, count = 0;
  while (i < size) {
    uint64_t w;
    if (size - i >= 8 && (memcpy(&w, p + i, 8), plain(w))) {
      i += 8;
      count += 8;
      continue;
    }
    size_t n = character(p + i, size - i);
    if (!n) break;
    i += n;
    count++;
  }
  *characters = count;
  return i;
}

bool utf8_text(const char *data, size_t size, size_t *characters) {
  size_t count;
  bool ok = scan((const uint8_t *)data, size, &count) == size;
  if (characters) *characters = count;
  return ok;
}

size_t utf8_prefix(const char *data, size_t size) {
  size_t count;
  return scan((const uint8_t *)data, size, &count);
}
