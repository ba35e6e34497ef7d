/* progress.h - a line on the terminal that says how far an ingest is. */
#ifndef TOOLS_PROGRESS_H
#define TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
  bool on, shown;
  uint64_t total;       /* bytes; 0: not known */
  int64_t start, drawn; /* monotonic microseconds */
};

/* On only if stderr is a terminal and `wanted`. */
void progress_start(struct progress *progress, bool wanted, uint64_t total);
/* Draws the line anew if the last time was long enough ago: rows that are in, bytes of input that were read.
 */
void progress_update(struct progress *progress, uint64_t rows, uint64_t bytes);
/* Draws any text as the line. */
void progress_say(struct progress *progress, const char *text);
int64_t progress_elapsed(const struct progress *progress); /* microseconds since progress_start */
/* Takes the line away, so that something else can be written. */
void progress_clear(struct progress *progress);

/* The line's text, for `elapsed` microseconds: "1,234,567 rows, 1.2 M rows/s, 45 %, 0:12 left". */
#define PROGRESS_TEXT 128
void progress_digits(char text[32], uint64_t n); /* 1234567: "1,234,567" */
void progress_text(char text[PROGRESS_TEXT], uint64_t rows, uint64_t bytes, uint64_t total, int64_t elapsed);

#endif
