/* order.c - see order.h. */
#include "wal/order.h"

#include "base/mem.h"
#include "base/status.h"
#include "wal/reader.h"
#include "wal/writer.h"

static int read_first(const struct os *os, const char *store, uint64_t number, uint64_t *first,
                      tally_error *error) {
  struct wal_reader reader;
  char *path = wal_path(store, number, ".wal");
  int result = path ? wal_reader_open(os, path, &reader, error) : fail_memory(error, "a list of WAL files");
  if (!result) {
    *first = reader.header.first;
    wal_reader_close(&reader);
  }
  mem_free(path);
  return result;
}

int wal_spans(const struct os *os, const char *store, const uint64_t *number, size_t count,
              struct wal_span **spans, tally_error *error) {
  struct wal_span *s = mem_zalloc(count + 1, sizeof *s);
  int result = s ? 0 : fail_memory(error, "a list of WAL files");
  for (size_t i = 0; i < count && !result; i++) {
    s[i].number = number[i];
    result = read_first(os, store, number[i], &s[i].first, error);
  }
  uint64_t end = UINT64_MAX;
  for (size_t i = count; i-- > 0 && !result;) {
    s[i].end = end;
    if (s[i].first < end) end = s[i].first;
  }
  if (result) mem_free(s);
  *spans = result ? NULL : s;
  return result;
}
