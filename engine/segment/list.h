/* list.h - arrays inside the directory: pieces of at most LIST_PIECE values, each a varint size and then
 * that many bytes of integers (docs/format/integers-and-texts.md). */
#ifndef SEGMENT_LIST_H
#define SEGMENT_LIST_H

#include "base/bytes.h"
#include "encoding/ints.h"

#define LIST_PIECE 4096u

/* Writing: list_put each value, then list_end. */
struct list_writer {
  struct buffer *out;
  struct ints_scratch *scratch;
  struct buffer piece;
  uint32_t count;
  int64_t v[LIST_PIECE];
};
void list_flush(struct list_writer *l);
static inline void list_put(struct list_writer *l, int64_t v) {
  l->v[l->count++] = v;
  if (l->count == LIST_PIECE) list_flush(l);
}
static inline void list_end(struct list_writer *l) {
  if (l->count) list_flush(l);
}

/* Reading: list_start with the number of values, then list_next that many times. What is not a list sets
 * r->bad and reads as 0. */
struct list_reader {
  struct reader *r;
  uint32_t left, at, count;
  int64_t v[LIST_PIECE];
};
static inline void list_start(struct list_reader *l, uint32_t count) {
  l->left = count;
  l->at = l->count = 0;
}
void list_fill(struct list_reader *l);
static inline int64_t list_next(struct list_reader *l) {
  if (l->at == l->count) list_fill(l);
  return l->v[l->at++];
}
/* A value that must lie in [low, high]; otherwise bad, and low. */
static inline int64_t list_next_in(struct list_reader *l, int64_t low, int64_t high) {
  int64_t v = list_next(l);
  if (v >= low && v <= high) return v;
  l->r->bad = true;
  return low;
}

#endif
