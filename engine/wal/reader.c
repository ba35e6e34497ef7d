/* reader.c - the WAL's reading end; see reader.h. */
#include "wal/reader.h"

#include "base/mem.h"
#include "base/status.h"

int wal_reader_open(const struct os *os, const char *path, struct wal_reader *r, tally_error *error) {
  *r = (struct wal_reader){.os = os, .path = path, .offset = WAL_HEADER};
  int number = os->open(os, path, OS_READ, &r->file);
  if (!number) number = os->size(os, r->file, &r->size);
  uint8_t header[WAL_HEADER] = {0};
  size_t got = 0;
  if (!number) number = os->read(os, r->file, header, sizeof header, 0, &got);
  int result = 0;
  uint16_t version;
  const char *bad;
  if (number)
    result = os_fail(error, number, "read", path);
  else if (got < sizeof header)
    result = fail_corrupt(error, path, 0, "WAL header is whole");
  else if ((bad = wal_header_read(header, &r->header, &version)) != NULL)
    result = version && version != WAL_VERSION
                 ? fail(error, TALLY_VERSION,
                        "%s has format version %u, this program reads %u: use the version that wrote it",
                        path, version, WAL_VERSION)
                 : fail_corrupt(error, path, 0, bad);
  if (result) {
    wal_reader_close(r);
    return result;
  }
  r->next = r->header.first;
  r->durable = r->header.durable;
  return 0;
}

/* Reads the record at `offset` into the buffer. *bad: why there is none; *end: there is nothing but zeros or
 * the file's end. */
static int read_at(struct wal_reader *r, uint64_t offset, struct wal_record *record, uint32_t *length,
                   const char **bad, bool *end, tally_error *error) {
  uint8_t head[8] = {0};
  size_t got = 0;
  *bad = NULL;
  int number = r->os->read(r->os, r->file, head, sizeof head, offset, &got);
  if (number) return os_fail(error, number, "read", r->path);
  *end = got == 0 || load64(head) == 0;
  if (*end) return 0;
  *length = load32(head);
  if (got < sizeof head || *length < WAL_RECORD_HEAD + WAL_TRAILER || *length > WAL_RECORD_BYTES ||
      load32(head + 4) != wal_length_check(&r->header, offset, *length)) {
    *bad = "WAL record length";
    return 0;
  }
  buffer_clear(&r->buffer);
  uint8_t *bytes = buffer_add(&r->buffer, *length);
  if (!bytes) return fail_memory(error, "a WAL record");
  number = r->os->read(r->os, r->file, bytes, *length, offset, &got);
  if (number) return os_fail(error, number, "read", r->path);
  *bad = got < *length ? "WAL record is whole" : wal_record_read(bytes, *length, &r->header, offset, record);
  return 0;
}

int wal_reader_next(struct wal_reader *r, struct wal_record *record, tally_error *error) {
  uint32_t length = 0;
  bool end;
  int result = read_at(r, r->offset, record, &length, &r->bad, &end, error);
  if (result || end || r->bad) return result;
  if (record->sequence != r->next) {
    r->bad = "WAL sequences follow each other";
    return 0;
  }
  r->offset += length;
  r->next++;
  if (record->durable > r->durable) r->durable = record->durable;
  return TALLY_ROW;
}

/* Looks at every byte behind the bad one for a record that is whole; the length check (32 bits) and the
 * digest (128) keep chance finds out. Sequences below the bad one would be leftovers and do not count. */
int wal_reader_survey(struct wal_reader *r, tally_error *error) {
  enum { WINDOW = 1 << 20 };
  uint8_t *window = mem_alloc(WINDOW);
  if (!window) return fail_memory(error, "recovery");
  int result = 0;
  for (uint64_t offset = r->offset + 1; offset < r->size && !result;) {
    size_t got = 0;
    int number = r->os->read(r->os, r->file, window, WINDOW, offset, &got);
    if (number) result = os_fail(error, number, "read", r->path);
    if (got < 8) break;
    uint64_t next = offset + got - 7;
    for (size_t i = 0; i + 8 <= got && !result; i++) {
      uint32_t length = load32(window + i);
      if (length < WAL_RECORD_HEAD + WAL_TRAILER || length > WAL_RECORD_BYTES) continue;
      if (load32(window + i + 4) != wal_length_check(&r->header, offset + i, length)) continue;
      struct wal_record record;
      const char *bad;
      bool end;
      result = read_at(r, offset + i, &record, &length, &bad, &end, error);
      if (result || bad || end) continue;
      if (record.sequence >= r->next && record.durable > r->durable) r->durable = record.durable;
      next = offset + i + length;
      break;
    }
    offset = next;
  }
  mem_free(window);
  return result;
}

void wal_reader_close(struct wal_reader *r) {
  if (r->file) r->os->close(r->os, r->file);
  r->file = NULL;
  buffer_free(&r->buffer);
}
