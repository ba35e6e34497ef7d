/* bytes.h - bounded reading and growing writing of little-endian bytes.
 *
 * A reader never reads beyond its end: a read that would sets `bad`, returns zero, and so does every
 * later one; check `bad` once after a group of reads. A buffer that cannot grow sets `failed`, and
 * every later write is dropped; check `failed` once at the end. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t load16(const void *p) {
  uint16_t v;
  memcpy(&v, p, sizeof v);
  return v;
}
static inline uint32_t load32(const void *p) {
  uint32_t v;
  memcpy(&v, p, sizeof v);
  return v;
}
static inline uint64_t load64(const void *p) {
  uint64_t v;
  memcpy(&v, p, sizeof v);
  return v;
}
static inline void store16(void *p, uint16_t v) { memcpy(p, &v, sizeof v); }
static inline void store32(void *p, uint32_t v) { memcpy(p, &v, sizeof v); }
static inline void store64(void *p, uint64_t v) { memcpy(p, &v, sizeof v); }

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Tally's formats are little-endian and so must the machine be"
#endif

/* memcpy of mostly few bytes, how many the compiler does not know: without a call. */
static inline void copy_few(void *to, const void *from, size_t size) {
  uint8_t *t = (uint8_t *)to;
  const uint8_t *f = (const uint8_t *)from;
  if (size > 16) {
    memcpy(t, f, size);
  } else if (size >= 8) {
    uint64_t first = load64(f), last = load64(f + size - 8);
    store64(t, first);
    store64(t + size - 8, last);
  } else if (size >= 4) {
    uint32_t first = load32(f), last = load32(f + size - 4);
    store32(t, first);
    store32(t + size - 4, last);
  } else if (size) {
    uint8_t first = f[0], middle = f[size / 2], last = f[size - 1];
    t[0] = first;
    t[size / 2] = middle;
    t[size - 1] = last;
  }
}

/* memcmp() == 0 of the few bytes that most texts have, without a call. */
static inline bool same_few(const void *a, const void *b, size_t size) {
  const uint8_t *x = (const uint8_t *)a, *y = (const uint8_t *)b;
  if (size > 16) return memcmp(x, y, size) == 0;
  if (size >= 8) return load64(x) == load64(y) && load64(x + size - 8) == load64(y + size - 8);
  if (size >= 4) return load32(x) == load32(y) && load32(x + size - 4) == load32(y + size - 4);
  for (size_t i = 0; i < size; i++)
    if (x[i] != y[i]) return false;
  return true;
}

struct reader {
  const uint8_t *at, *end;
  bool bad;
};

static inline struct reader reader_make(const void *data, size_t size) {
  static const uint8_t nothing[1];
  const uint8_t *at = data ? data : nothing; /* no bytes may come as NULL */
  return (struct reader){at, at + (data ? size : 0), false};
}
static inline size_t reader_left(const struct reader *r) { return (size_t)(r->end - r->at); }
/* `size` bytes, or NULL (and bad) if there are fewer. Size 0 gives a non-NULL pointer. */
static inline const uint8_t *read_bytes(struct reader *r, size_t size) {
  if (r->bad || size > reader_left(r)) {
    r->bad = true;
    return NULL;
  }
  const uint8_t *p = r->at;
  r->at += size;
  return p;
}
static inline uint8_t read8(struct reader *r) {
  const uint8_t *p = read_bytes(r, 1);
  return p ? *p : 0;
}
static inline uint16_t read16(struct reader *r) {
  const uint8_t *p = read_bytes(r, 2);
  return p ? load16(p) : 0;
}
static inline uint32_t read32(struct reader *r) {
  const uint8_t *p = read_bytes(r, 4);
  return p ? load32(p) : 0;
}
static inline uint64_t read64(struct reader *r) {
  const uint8_t *p = read_bytes(r, 8);
  return p ? load64(p) : 0;
}
/* LEB128, at most ten bytes; a longer or overflowing one is bad. */
uint64_t read_varint(struct reader *r);

struct buffer {
  uint8_t *data;
  size_t size, capacity;
  bool failed;
};

/* Room for `more` bytes behind size; false (and failed) without memory. */
bool buffer_reserve(struct buffer *b, size_t more);
/* Adds `size` uninitialised bytes; NULL (and failed) without memory. */
uint8_t *buffer_add(struct buffer *b, size_t size);
void buffer_append(struct buffer *b, const void *data, size_t size);
void buffer_text(struct buffer *b, const char *text); /* without its NUL */
void buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void write8(struct buffer *b, uint8_t v);
void write16(struct buffer *b, uint16_t v);
void write32(struct buffer *b, uint32_t v);
void write64(struct buffer *b, uint64_t v);
void write_varint(struct buffer *b, uint64_t v);
/* Empties it and keeps the memory, also after a failure. */
static inline void buffer_clear(struct buffer *b) {
  b->size = 0;
  b->failed = false;
}
void buffer_free(struct buffer *b); /* and makes it empty again */

static inline uint64_t zigzag(int64_t v) { return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63); }
static inline int64_t unzigzag(uint64_t v) { return (int64_t)(v >> 1) ^ -(int64_t)(v & 1); }

#endif
