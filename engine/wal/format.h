/* format.h - the WAL's bytes: docs/format/wal.md. No I/O here.
 *
 * file header (64):
 *   0 u32 magic "TLWL"   4 u16 version   6 u16 0   8 u64 salt   16 u64 first sequence
 *   24 u64 durable (all up to it were durable when the file was made)   32 u64 file number   40 u64 0
 *   48 XXH3-128 of bytes 0..47, seed 0
 * record:
 *   0 u32 length (all of it)   4 u32 length check   8 u8 type (1)   9 u8 flags   10 u16 producer bytes
 *   12 u32 batch bytes   16 u64 sequence   24 u64 durable   32 u64 epoch   40 u64 producer's sequence
 *   48 fingerprint (16)   64 producer, batch   end: XXH3-128 of all before it, seed = salt + offset
 * The length check is the low half of XXH3-64 over (u64 salt, u64 offset, u32 length). A length of 0 is the
 * end: space that was allocated and not used is zero. */
#ifndef WAL_FORMAT_H
#define WAL_FORMAT_H

#include <tally.h>

#include "base/bytes.h"
#include "base/hash.h"

#define WAL_MAGIC 0x4C574C54u
#define WAL_VERSION 0x8001u /* development */
#define WAL_HEADER 64u
#define WAL_RECORD_HEAD 64u
#define WAL_TRAILER ((uint32_t)sizeof(struct digest))
#define WAL_RECORD_BYTES (WAL_RECORD_HEAD + 400u + 4u * 1024u * 1024u + WAL_TRAILER) /* the longest */
#define WAL_BATCH 1

enum { WAL_PRODUCER = 1, WAL_FINGERPRINT = 2 };

struct wal_header {
  uint64_t salt, first, durable, number;
};

/* One accepted batch. Borrowed bytes. */
struct wal_record {
  uint64_t sequence, durable;
  tally_text producer; /* NULL: none */
  uint64_t epoch, producer_sequence;
  bool has_fingerprint;
  uint8_t fingerprint[16];
  const uint8_t *batch;
  size_t batch_size;
};

void wal_header_write(const struct wal_header *header, uint8_t to[WAL_HEADER]);
/* NULL, or the check that failed. *version is set where the magic is right. */
const char *wal_header_read(const uint8_t from[WAL_HEADER], struct wal_header *header, uint16_t *version);

size_t wal_record_size(const struct wal_record *record);
/* Appends the record, which will stand at `offset` of the file. */
void wal_record_write(struct buffer *b, const struct wal_header *header, uint64_t offset,
                      const struct wal_record *record);
uint32_t wal_length_check(const struct wal_header *header, uint64_t offset, uint32_t length);
/* Reads the record of `length` bytes (its length already checked) at `offset`. NULL, or the check that
 * failed. */
const char *wal_record_read(const uint8_t *from, uint32_t length, const struct wal_header *header,
                            uint64_t offset, struct wal_record *record);

#endif
