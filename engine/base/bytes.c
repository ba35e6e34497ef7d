/* bytes.c - readers and buffers; see bytes.h. */
#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

uint64_t read_varint(struct reader *r) {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    uint8_t byte = read8(r);
    if (shift == 63 && byte > 1) break;
    value |= (uint64_t)(byte & 0x7Fu) << shift;
    if (byte < 0x80) return r->bad ? 0 : value;
  }
  r->bad = true;
  return 0;
}

bool buffer_reserve(struct buffer *b, size_t more) {
  if (b->failed) return false;
  if (b->data && more <= b->capacity - b->size) return true;
  size_t need;
  if (__builtin_add_overflow(b->size, more, &need)) {
    b->failed = true;
    return false;
  }
  size_t capacity = b->capacity + b->capacity / 2;
  if (capacity < need) capacity = need < 64 ? 64 : need;
  uint8_t *data = mem_realloc(b->data, capacity);
  if (!data) {
    b->failed = true;
    return false;
  }
  b->data = data;
  b->capacity = capacity;
  return true;
}

uint8_t *buffer_add(struct buffer *b, size_t size) {
  if (!buffer_reserve(b, size)) return NULL;
  uint8_t *p = b->data + b->size;
  b->size += size;
  return p;
}

void buffer_append(struct buffer *b, const void *data, size_t size) {
  uint8_t *p = buffer_add(b, size);
  if (p) copy_few(p, data, size);
}

void buffer_text(struct buffer *b, const char *text) { buffer_append(b, text, strlen(text)); }

void buffer_printf(struct buffer *b, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  int n = vsnprintf(NULL, 0, format, args);
  va_end(args);
  if (n >= 0 && buffer_reserve(b, (size_t)n + 1)) {
    (void)vsnprintf((char *)b->data + b->size, (size_t)n + 1, format, again);
    b->size += (size_t)n;
  }
  va_end(again);
}

void write8(struct buffer *b, uint8_t v) { buffer_append(b, &v, sizeof v); }
void write16(struct buffer *b, uint16_t v) { buffer_append(b, &v, sizeof v); }
void write32(struct buffer *b, uint32_t v) { buffer_append(b, &v, sizeof v); }
void write64(struct buffer *b, uint64_t v) { buffer_append(b, &v, sizeof v); }

void write_varint(struct buffer *b, uint64_t v) {
  uint8_t bytes[10];
  size_t n = 0;
  for (; v >= 0x80; v >>= 7) bytes[n++] = (uint8_t)(v | 0x80u);
  bytes[n++] = (uint8_t)v;
  buffer_append(b, bytes, n);
}

void buffer_free(struct buffer *b) {
  mem_free(b->data);
  *b = (struct buffer){0};
}
