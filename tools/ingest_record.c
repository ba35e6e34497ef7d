/* ingest_record.c - see ingest_record.h. */
#include "tools/ingest_record.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

void problem_set(struct problem *problem, uint64_t line, const char *column, const char *format, ...) {
  problem->line = line;
  problem->whole = false;
  problem->column[0] = '\0';
  if (column) (void)snprintf(problem->column, sizeof problem->column, "%s", column);
  va_list args;
  va_start(args, format);
  (void)vsnprintf(problem->text, sizeof problem->text, format, args);
  va_end(args);
}

/* The bytes of the character at p that can be shown as it is; 0: it is to be escaped. */
static size_t shown(const char *p, size_t left) {
  unsigned char c = (unsigned char)*p;
  if (c < 0x20 || c == 0x7F) return 0;
  if (c < 0x80) return 1;
  for (size_t n = 2; n <= 4 && n <= left; n++)
    if (utf8_text(p, n, NULL)) return n;
  return 0;
}

struct excerpt excerpt_of(const char *data, size_t size) {
  enum { MOST = EXCERPT_SIZE - 12 }; /* room for an escape, the cut and the quote */
  struct excerpt e;
  size_t at = 0, i = 0;
  e.text[at++] = '\'';
  while (i < size && at < MOST) {
    size_t n = shown(data + i, size - i);
    if (n) {
      memcpy(e.text + at, data + i, n);
      at += n;
      i += n;
    } else {
      at += (size_t)snprintf(e.text + at, sizeof e.text - at, "\\x%02X", (unsigned)(unsigned char)data[i++]);
    }
  }
  (void)snprintf(e.text + at, sizeof e.text - at, "%s'", i < size ? "…" : "");
  return e;
}

uint64_t count_lines(const char *data, size_t size) {
  uint64_t lines = 0;
  const char *end = data + size;
  for (const char *p = data; p < end && (p = memchr(p, '\n', (size_t)(end - p))); p++) lines++;
  return lines;
}
