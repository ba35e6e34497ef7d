/* edit.c - edits to bytes and back; see edit.h. */
#include "manifest/edit.h"

#define HEAD (1u + 4 * 8u + 4 * 4u + 3 * 4u)
#define SEGMENT_BYTES 60u
#define SEGMENT_THINNED 1u
#define SEGMENT_ARCHIVED 2u

void edit_write(const struct edit *e, struct buffer *b) {
  write8(b, e->checkpoint ? 0 : 1);
  write64(b, e->state.covered);
  write64(b, e->state.durable);
  write64(b, e->state.next_segment);
  write64(b, e->state.next_wal);
  for (int d = 0; d < DOMAINS; d++) write32(b, e->state.texts[d]);
  write32(b, e->added_count);
  write32(b, e->removed_count);
  write32(b, e->marks_size);
  for (uint32_t i = 0; i < e->added_count; i++) {
    const struct segment_info *s = &e->added[i];
    write64(b, s->id);
    write32(b, (uint32_t)s->month);
    write32(b, s->rows);
    write64(b, (uint64_t)s->min_timestamp);
    write64(b, (uint64_t)s->max_timestamp);
    write64(b, s->size);
    write32(b, (s->thinned ? SEGMENT_THINNED : 0) | (s->archived ? SEGMENT_ARCHIVED : 0));
    buffer_append(b, s->digest, sizeof s->digest);
  }
  for (uint32_t i = 0; i < e->removed_count; i++) write64(b, e->removed[i]);
  buffer_append(b, e->marks, e->marks_size);
}

const char *edit_read(const void *bytes, size_t size, struct edit_parts *p) {
  struct reader r = reader_make(bytes, size);
  uint8_t kind = read8(&r);
  *p = (struct edit_parts){.checkpoint = kind == 0};
  p->state.covered = read64(&r);
  p->state.durable = read64(&r);
  p->state.next_segment = read64(&r);
  p->state.next_wal = read64(&r);
  for (int d = 0; d < DOMAINS; d++) p->state.texts[d] = read32(&r);
  p->added_count = read32(&r);
  p->removed_count = read32(&r);
  uint32_t marks = read32(&r);
  if (r.bad || kind > 1) return "manifest edit head";
  uint64_t added = (uint64_t)p->added_count * SEGMENT_BYTES, removed = (uint64_t)p->removed_count * 8;
  if (HEAD + added + removed + marks != size) return "manifest edit's parts fill it";
  p->added = reader_make(read_bytes(&r, added), added);
  p->removed = reader_make(read_bytes(&r, removed), removed);
  p->marks = reader_make(read_bytes(&r, marks), marks);
  return NULL;
}

bool edit_next_added(struct edit_parts *p, struct segment_info *to) {
  struct segment_info s = {.id = read64(&p->added)};
  s.month = (int32_t)read32(&p->added);
  s.rows = read32(&p->added);
  s.min_timestamp = (int64_t)read64(&p->added);
  s.max_timestamp = (int64_t)read64(&p->added);
  s.size = read64(&p->added);
  uint32_t flags = read32(&p->added);
  s.thinned = flags & SEGMENT_THINNED;
  s.archived = flags & SEGMENT_ARCHIVED;
  const uint8_t *digest = read_bytes(&p->added, sizeof s.digest);
  if (digest) memcpy(s.digest, digest, sizeof s.digest);
  *to = s;
  return flags <= (SEGMENT_THINNED | SEGMENT_ARCHIVED) && s.rows > 0 &&
         (s.thinned || s.rows <= SEGMENT_ROWS) && s.min_timestamp <= s.max_timestamp;
}
