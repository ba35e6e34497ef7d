/* display.h - text as a terminal shows it: columns wide, and nothing in it that steers the terminal.
 *
 * Control characters, line and paragraph separators, characters that turn the writing direction, and bytes
 * that are not UTF-8 are shown as escapes (\n, \x1B, \u202E), so stored text cannot move the cursor, colour
 * the screen or hide a column. */
#ifndef TOOLS_DISPLAY_H
#define TOOLS_DISPLAY_H

#include "base/bytes.h"

#include <stdbool.h>

/* One character as shown. */
struct shown {
  char bytes[12]; /* not NUL-terminated */
  unsigned char size;
  unsigned char width; /* 0 for a combining mark, 2 for an ideograph, else the length of what is shown */
};

/* Shows the character at *at (before end) and moves *at behind it. */
struct shown display_next(const char **at, const char *end);
/* Terminal columns that the text takes. */
size_t display_width(const char *text, size_t size);
/* Appends the text as shown. With more than `limit` columns it is cut and ends in "…" (limit at least 1).
 * Returns the columns written. */
size_t display_append(struct buffer *out, const char *text, size_t size, size_t limit);

#endif
