/* list.c - arrays inside the directory; see list.h. */
#include "segment/list.h"

void list_flush(struct list_writer *l) {
  buffer_clear(&l->piece);
  ints_encode(l->v, l->count, &l->piece, l->scratch);
  if (l->piece.failed) l->out->failed = true;
  write_varint(l->out, l->piece.size);
  buffer_append(l->out, l->piece.data, l->piece.size);
  l->count = 0;
}

void list_fill(struct list_reader *l) {
  l->at = 0;
  l->count = l->left < LIST_PIECE ? l->left : LIST_PIECE;
  l->left -= l->count;
  struct ints ints;
  uint64_t size = read_varint(l->r);
  const uint8_t *bytes = size <= reader_left(l->r) ? read_bytes(l->r, (size_t)size) : NULL;
  if (l->count && bytes && ints_open(bytes, (size_t)size, l->count, &ints)) {
    ints_decode(&ints, 0, l->count, l->v);
    return;
  }
  l->r->bad = true;
  l->count = LIST_PIECE; /* so that a caller that reads on stays inside v */
  memset(l->v, 0, sizeof l->v);
}
