/* wal.c - fuzzes the WAL's reader: what it reads is written again with the same bytes, and it ends where the
 * bytes do. */
#include "base/mem.h"
#include "fuzz/fuzz.h"
#include "wal/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct wal_reader reader;
  struct wal_record record;
  struct buffer again = {0};
  tally_error e = {0};
  fuzz_bound(2 * WAL_RECORD_BYTES, 0, size); /* the longest record; a buffer may have room for twice that */
  int result = wal_reader_open(fuzz_file(data, size), "wal", &reader, &e);
  if (result) {
    require(result == TALLY_CORRUPT || result == TALLY_VERSION, "%d: %s", result, e.text);
    return 0;
  }
  uint64_t offset = reader.offset, sequence = reader.next;
  uint8_t header[WAL_HEADER];
  wal_header_write(&reader.header, header);
  require(memcmp(header, data, WAL_HEADER) == 0, "the header is written again as it was read");
  while ((result = wal_reader_next(&reader, &record, &e)) == TALLY_ROW) {
    buffer_clear(&again);
    wal_record_write(&again, &reader.header, offset, &record);
    require(record.sequence == sequence++, "sequences rise by one");
    require(again.size == reader.offset - offset && memcmp(again.data, data + offset, again.size) == 0,
            "the record at %llu is written again as it was read", (unsigned long long)offset);
    offset = reader.offset;
    require(offset <= size, "a record ends in the file");
  }
  require(result == 0, "%s", e.text);
  uint64_t durable = reader.durable;
  require(wal_reader_survey(&reader, &e) == 0, "%s", e.text);
  require(reader.durable >= durable && reader.offset == offset, "a survey only raises the mark");
  wal_reader_close(&reader);
  buffer_free(&again);
  fuzz_unbound();
  return 0;
}

#define RECORDS 64u
#define LEAST (WAL_RECORD_HEAD + WAL_TRAILER)

/* Where records start; the last entry is where they end. */
static size_t find_records(const uint8_t *data, size_t size, size_t at[RECORDS + 1]) {
  size_t n = 0, offset = WAL_HEADER;
  at[0] = offset;
  while (n < RECORDS && offset + LEAST <= size) {
    uint32_t length = load32(data + offset);
    if (length < LEAST || length > size - offset) break;
    at[++n] = offset += length;
  }
  return n;
}

/* Makes lengths, sequences and checksums right, but those of the record `torn`. */
static void seal(uint8_t *data, size_t size, bool count, size_t torn) {
  if (size < WAL_HEADER) return;
  struct digest d = digest_of(data, 48, 0);
  memcpy(data + 48, d.bytes, sizeof d.bytes);
  struct wal_header h = {.salt = load64(data + 8), .first = load64(data + 16)};
  size_t at[RECORDS + 1], n = find_records(data, size, at);
  for (size_t i = 0; i < n; i++) {
    uint32_t length = (uint32_t)(at[i + 1] - at[i]);
    uint8_t *p = data + at[i];
    if (count) store64(p + 16, h.first + i);
    store32(p + 4, wal_length_check(&h, at[i], length));
    d = digest_of(p, length - WAL_TRAILER, h.salt + at[i]);
    if (i != torn) memcpy(p + length - WAL_TRAILER, d.bytes, sizeof d.bytes);
  }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed) {
  size_t at[RECORDS + 1], n = size < WAL_HEADER ? 0 : find_records(data, size, at);
  uint32_t what = fuzz_draw(&seed, 8);
  size_t i = n ? fuzz_draw(&seed, (uint32_t)n) : 0;
  if (n == 0 || what == 0) {
    size = LLVMFuzzerMutate(data, size, max);
  } else if (what == 1) {
    (void)fuzz_repeat(data, &size, max, at[i], at[i + 1]);
  } else if (what == 2) {
    fuzz_cut(data, &size, at[i], at[i + 1]);
  } else if (what == 3) {
    (void)fuzz_mutate(data, &size, max, 8, 48, true); /* the header's fields */
  } else {
    size_t from = at[i] + (what == 4 ? 8 : WAL_RECORD_HEAD), end = at[i + 1] - WAL_TRAILER;
    end = fuzz_mutate(data, &size, max, from, what == 4 ? at[i] + WAL_RECORD_HEAD : end, what == 4);
    if (what != 4) {
      uint32_t length = (uint32_t)(end + WAL_TRAILER - at[i]), name = load16(data + at[i] + 10);
      store32(data + at[i], length);
      if (length >= LEAST + name) store32(data + at[i] + 12, length - LEAST - name);
    }
  }
  seal(data, size, fuzz_draw(&seed, 8) != 0, fuzz_draw(&seed, 4) ? RECORDS : fuzz_draw(&seed, RECORDS));
  return size;
}
