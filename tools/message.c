/* message.c - what the tool says on stderr; see command.h. A message is one line and written at once. What it
 * quotes may come from data, so it is shown as display.h shows text. */
#include "tools/command.h"
#include "tools/display.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NEAREST_LENGTH 31u /* longer words have no neighbour */

static void write_message(const char *format, va_list args) {
  char text[2048];
  (void)vsnprintf(text, sizeof text, format, args);
  struct buffer line = {0};
  buffer_text(&line, "tally: ");
  display_append(&line, text, strlen(text), SIZE_MAX);
  buffer_text(&line, "\n");
  if (!line.failed) (void)fwrite(line.data, 1, line.size, stderr);
  buffer_free(&line);
}

void command_note(const struct globals *globals, const char *format, ...) {
  if (globals->quiet) return;
  va_list args;
  va_start(args, format);
  write_message(format, args);
  va_end(args);
}

void command_complain(const char *format, ...) {
  va_list args;
  va_start(args, format);
  write_message(format, args);
  va_end(args);
}

int command_usage(const char *command, const char *format, ...) {
  char text[1024];
  va_list args;
  va_start(args, format);
  (void)vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if (command) {
    command_complain("%s: %s (see 'tally %s --help')", command, text, command);
  } else {
    command_complain("%s (see 'tally --help')", text);
  }
  return EXIT_USAGE;
}

int command_failure(const char *command, const tally_error *error) {
  if (error->code == TALLY_USAGE) return command_usage(command, "%s", error->text);
  command_complain("%s: %s", tally_error_name(error->code), error->text);
  return EXIT_FAILED;
}

static size_t smallest(size_t a, size_t b, size_t c) {
  size_t ab = a < b ? a : b;
  return ab < c ? ab : c;
}

/* Edits (insert, delete, replace, swap neighbours) that turn a into b: the optimal string alignment form of
 * Damerau's distance. Both are at most NEAREST_LENGTH long. */
static size_t distance(const char *a, const char *b) {
  size_t rows[3][NEAREST_LENGTH + 1], size = strlen(b);
  for (size_t j = 0; j <= size; j++) rows[0][j] = j;
  size_t i = 1;
  for (; a[i - 1]; i++) {
    size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
    row[0] = i;
    for (size_t j = 1; j <= size; j++) {
      bool same = a[i - 1] == b[j - 1];
      row[j] = smallest(above[j] + 1, row[j - 1] + 1, above[j - 1] + !same);
      bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped && above2[j - 2] + 1 < row[j]) row[j] = above2[j - 2] + 1;
    }
  }
  return rows[(i - 1) % 3][size];
}

/* Near enough: a third of the letters wrong, or a name of which the text is the beginning (or the reverse).
 */
const char *command_nearest(const char *text, const char *const *names) {
  const char *nearest = NULL;
  size_t length = strlen(text), best = length / 3 + 1;
  if (length < 2 || length > NEAREST_LENGTH) return NULL;
  for (; *names; names++) {
    size_t own = strlen(*names);
    if (own > NEAREST_LENGTH) continue;
    size_t d = distance(text, *names);
    bool prefix = strncmp(text, *names, own < length ? own : length) == 0;
    if (prefix && own > 2 && d > 1) d = 1;
    if (d <= best && (!nearest || d < best)) {
      nearest = *names;
      best = d;
    }
  }
  return nearest;
}
