/* block.c - reading blocks through the cache and verifying them; see inside.h and format.h. */
#include <inttypes.h>

#include "base/hash.h"
#include "base/status.h"
#include "segment/inside.h"

int block_read(const struct os *os, struct os_file *file, const char *path, uint64_t offset, void *to,
               size_t size, tally_error *error) {
  size_t got = 0;
  int number = os->read(os, file, to, size, offset, &got);
  if (number) return os_fail(error, number, "read", path);
  return got == size ? 0 : fail_corrupt(error, path, offset, "segment-block-cut-off");
}

int block_verify(const char *path, uint64_t segment, uint64_t offset, const uint8_t *bytes, size_t size,
                 tally_error *error) {
  if (size <= TRAILER_BYTES) return fail_corrupt(error, path, offset, "segment-block-size");
  const uint8_t *trailer = bytes + size - TRAILER_BYTES;
  if (trailer[TRAILER_SCHEME] != SCHEME_XXH3 || trailer[TRAILER_LENGTH] != TRAILER_BYTES)
    return fail_corrupt(error, path, offset, "segment-block-scheme");
  struct digest d = digest_of(bytes, size - TRAILER_BYTES, block_seed(segment, offset));
  if (!digest_equal(&d, trailer + TRAILER_DIGEST))
    return fail_corrupt(error, path, offset, "segment-block-checksum");
  return 0;
}

struct load {
  const struct segment *s;
  uint64_t offset;
  size_t size;
};

static int load_block(void *arg, uint8_t *to, tally_error *error) {
  const struct load *l = arg;
  struct segment_inside *in = l->s->inside;
  int result = block_read(in->os, in->file, in->path, l->offset, to, l->size, error);
  if (!result) result = block_verify(in->path, l->s->info.id, l->offset, to, l->size, error);
  if (result) atomic_store(&in->quarantined, true); /* an I/O error too: its rows cannot be had */
  return result;
}

int block_pin(struct segment *s, uint32_t index, struct block *b, tally_error *error) {
  struct segment_inside *in = s->inside;
  if (!in->file) return fail_corrupt(error, in->path, 0, "segment-file-is-there");
  struct load l = {s, in->directory.at[index], 0};
  l.size = (size_t)(in->directory.at[index + 1] - l.offset);
  int result = cache_pin(in->cache, s->info.id, l.offset, l.size, load_block, &l, &b->pinned, error);
  if (result) return result;
  b->payload = b->pinned->data;
  b->size = b->pinned->size - TRAILER_BYTES;
  b->offset = l.offset;
  return 0;
}

void block_release(struct block *b) { cache_release(b->pinned); }

int block_damage(const struct segment *s, const struct block *b, const char *check, tally_error *error) {
  atomic_store(&s->inside->quarantined, true);
  return fail_corrupt(error, s->inside->path, b->offset, check);
}
