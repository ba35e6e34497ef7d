/* part.c - parts inside a block; see part.h. */
#include "segment/part.h"

#include <string.h>

void part_end(struct buffer *out, size_t start) {
  uint8_t varint[10];
  size_t size = out->size - start, n = 0;
  for (size_t v = size; v >= 0x80; v >>= 7) varint[n++] = (uint8_t)(v | 0x80u);
  varint[n] = (uint8_t)(size >> 7 * n);
  n++;
  if (!buffer_add(out, n) || out->failed) return;
  memmove(out->data + start + n, out->data + start, size);
  memcpy(out->data + start, varint, n);
}

void part_put(struct buffer *out, const int64_t *v, uint32_t count, struct ints_scratch *scratch,
              struct ints_memory *memory) {
  size_t start = out->size;
  ints_encode_next(v, count, out, scratch, memory);
  part_end(out, start);
}

bool part_take(struct reader *r, struct reader *part) {
  uint64_t size = read_varint(r);
  if (size > reader_left(r)) r->bad = true;
  const uint8_t *bytes = r->bad ? NULL : read_bytes(r, (size_t)size);
  if (!bytes) return false;
  *part = reader_make(bytes, (size_t)size);
  return true;
}

bool part_open(struct reader *r, uint32_t count, struct ints *ints) {
  struct reader part;
  return part_take(r, &part) && ints_open(part.at, reader_left(&part), count, ints);
}
