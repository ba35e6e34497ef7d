/* image.c - the bytes of a file on the disk in memory: as they read now, and as they are for certain. */
#include <stdlib.h>
#include <string.h>

#include "disk/inside.h"

void image_put(struct image *m, const void *from, uint64_t size, uint64_t offset) {
  uint64_t end = offset + size;
  if (end > m->room) {
    m->room = end * 2;
    m->data = disk_must(realloc(m->data, m->room));
  }
  if (!size) return;
  if (offset > m->stored) memset(m->data + m->stored, 0, offset - m->stored);
  memcpy(m->data + offset, from, size);
  if (end > m->stored) m->stored = end;
  if (end > m->size) m->size = end;
}

void image_get(const struct image *m, void *to, uint64_t size, uint64_t offset) {
  uint64_t there = offset < m->stored ? m->stored - offset : 0;
  if (there > size) there = size;
  if (there) memcpy(to, m->data + offset, there);
  memset((uint8_t *)to + there, 0, size - there);
}

void image_cut(struct image *m, uint64_t size) {
  m->size = size;
  if (m->stored > size) m->stored = size;
}

void image_copy(struct image *to, const struct image *from) {
  image_cut(to, 0);
  if (from->stored) image_put(to, from->data, from->stored, 0);
  to->size = from->size;
}

void node_soil(struct node *n, uint64_t from, uint64_t to) {
  if (!n->dirty || from < n->dirty_from) n->dirty_from = from;
  if (!n->dirty || to > n->dirty_to) n->dirty_to = to;
  n->dirty = true;
}

void node_safe(struct node *n) {
  if (!n->dirty) return;
  if (n->safe.stored > n->now.stored) n->safe.stored = n->now.stored;
  uint64_t end = n->dirty_to < n->now.stored ? n->dirty_to : n->now.stored;
  if (end > n->dirty_from)
    image_put(&n->safe, n->now.data + n->dirty_from, end - n->dirty_from, n->dirty_from);
  n->safe.size = n->now.size;
  n->dirty = false;
}

void node_lose(struct node *n) {
  n->lost = n->lost || n->dirty;
  n->dirty = false;
}
