/* status.c - filling errors; see status.h. */
#include "base/status.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
  int code;
  const char *name;
} names[] = {
#define ENTRY(name, number, text, meaning) {TALLY_##name, text},
    TALLY_ERROR_MAP(ENTRY)
#undef ENTRY
};

const char *tally_error_name(int code) {
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (names[i].code == code) return names[i].name;
  return code == TALLY_OK ? "ok" : "unknown";
}

int tally_error_code(const char *name) {
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(names[i].name, name) == 0) return names[i].code;
  return 0;
}

/* vsnprintf may cut inside a character: drop its first bytes. */
static void cut_at_character(char *text, size_t size) {
  size_t n = strlen(text);
  if (n + 1 < size) return;
  size_t i = n;
  while (i > 0 && ((unsigned char)text[i - 1] & 0xC0u) == 0x80u) i--;
  if (i > 0 && (unsigned char)text[i - 1] >= 0xC0u) text[i - 1] = '\0';
}

static void fill(tally_error *error, int code, const char *format, va_list args) {
  error->code = code;
  error->column = -1;
  error->row = -1;
  error->sequence = 0;
  (void)vsnprintf(error->text, sizeof error->text, format, args);
  cut_at_character(error->text, sizeof error->text);
}

int fail(tally_error *error, int code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  fill(error, code, format, args);
  va_end(args);
  return code;
}

int fail_memory(tally_error *error, const char *what) {
  return fail(error, TALLY_NO_MEMORY, "no memory for %s: free some memory or lower the budget", what);
}

int fail_corrupt(tally_error *error, const char *file, uint64_t offset, const char *check) {
  return fail(error, TALLY_CORRUPT,
              "%s is damaged at offset %" PRIu64
              " (check: %s): restore it from a backup; `tally verify` lists all damage",
              file, offset, check);
}

int error_where(tally_error *error, const char *format, ...) {
  char old[sizeof error->text];
  memcpy(old, error->text, sizeof old);
  va_list args;
  va_start(args, format);
  int n = vsnprintf(error->text, sizeof error->text, format, args);
  va_end(args);
  size_t at = n < 0 ? 0 : (size_t)n;
  static const char colon[] = ": ";
  for (const char *p = colon; *p && at + 1 < sizeof error->text; p++) error->text[at++] = *p;
  for (const char *p = old; *p && at + 1 < sizeof error->text; p++) error->text[at++] = *p;
  if (at < sizeof error->text) error->text[at] = '\0';
  cut_at_character(error->text, sizeof error->text);
  return error->code;
}
