/* format.c - WAL headers and records to bytes and back; see format.h. */
#include "wal/format.h"

void wal_header_write(const struct wal_header *h, uint8_t to[WAL_HEADER]) {
  memset(to, 0, WAL_HEADER);
  store32(to, WAL_MAGIC);
  store16(to + 4, WAL_VERSION);
  store64(to + 8, h->salt);
  store64(to + 16, h->first);
  store64(to + 24, h->durable);
  store64(to + 32, h->number);
  struct digest d = digest_of(to, 48, 0);
  memcpy(to + 48, d.bytes, sizeof d.bytes);
}

const char *wal_header_read(const uint8_t from[WAL_HEADER], struct wal_header *h, uint16_t *version) {
  *version = 0;
  if (load32(from) != WAL_MAGIC) return "WAL magic";
  *version = load16(from + 4);
  if (*version != WAL_VERSION) return "WAL version";
  struct digest d = digest_of(from, 48, 0);
  if (!digest_equal(&d, from + 48)) return "WAL header checksum";
  if (load16(from + 6) || load64(from + 40)) return "WAL header's reserved bytes";
  *h = (struct wal_header){load64(from + 8), load64(from + 16), load64(from + 24), load64(from + 32)};
  return NULL;
}

size_t wal_record_size(const struct wal_record *r) {
  return WAL_RECORD_HEAD + (r->producer.data ? r->producer.size : 0) + r->batch_size + WAL_TRAILER;
}

uint32_t wal_length_check(const struct wal_header *h, uint64_t offset, uint32_t length) {
  uint8_t key[20];
  store64(key, h->salt);
  store64(key + 8, offset);
  store32(key + 16, length);
  return (uint32_t)hash64(key, sizeof key);
}

void wal_record_write(struct buffer *b, const struct wal_header *h, uint64_t offset,
                      const struct wal_record *r) {
  size_t start = b->size, length = wal_record_size(r), name = r->producer.data ? r->producer.size : 0;
  if (!buffer_reserve(b, length)) return;
  write32(b, (uint32_t)length);
  write32(b, wal_length_check(h, offset, (uint32_t)length));
  write8(b, WAL_BATCH);
  write8(b, (uint8_t)((r->producer.data ? WAL_PRODUCER : 0) | (r->has_fingerprint ? WAL_FINGERPRINT : 0)));
  write16(b, (uint16_t)name);
  write32(b, (uint32_t)r->batch_size);
  write64(b, r->sequence);
  write64(b, r->durable);
  write64(b, r->epoch);
  write64(b, r->producer_sequence);
  static const uint8_t none[16];
  buffer_append(b, r->has_fingerprint ? r->fingerprint : none, 16);
  buffer_append(b, r->producer.data, name);
  buffer_append(b, r->batch, r->batch_size);
  struct digest d = digest_of(b->data + start, b->size - start, h->salt + offset);
  buffer_append(b, d.bytes, sizeof d.bytes);
}

const char *wal_record_read(const uint8_t *from, uint32_t length, const struct wal_header *h, uint64_t offset,
                            struct wal_record *r) {
  struct digest d = digest_of(from, length - WAL_TRAILER, h->salt + offset);
  if (!digest_equal(&d, from + length - WAL_TRAILER)) return "WAL record checksum";
  uint8_t flags = from[9];
  size_t name = load16(from + 10), batch = load32(from + 12);
  if (from[8] != WAL_BATCH || flags > (WAL_PRODUCER | WAL_FINGERPRINT)) return "WAL record type";
  if (!(flags & WAL_PRODUCER) && name) return "WAL record without a producer has no name of one";
  if (!(flags & WAL_FINGERPRINT) && (load64(from + 48) | load64(from + 56)) != 0)
    return "WAL record without a fingerprint has zeros for it";
  if (WAL_RECORD_HEAD + name + batch + WAL_TRAILER != length) return "WAL record's parts fill it";
  *r = (struct wal_record){.sequence = load64(from + 16),
                           .durable = load64(from + 24),
                           .epoch = load64(from + 32),
                           .producer_sequence = load64(from + 40),
                           .has_fingerprint = flags & WAL_FINGERPRINT,
                           .batch = from + WAL_RECORD_HEAD + name,
                           .batch_size = batch};
  if (flags & WAL_PRODUCER) r->producer = (tally_text){(const char *)from + WAL_RECORD_HEAD, name};
  memcpy(r->fingerprint, from + 48, 16);
  return NULL;
}
