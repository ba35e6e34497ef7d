/* progress.c - see progress.h. */
#include "tools/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define EVERY 200000 /* microseconds */
#define SECOND 1000000

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * SECOND + t.tv_nsec / 1000;
}

void progress_start(struct progress *p, bool wanted, uint64_t total) {
  *p = (struct progress){.on = wanted && isatty(STDERR_FILENO), .total = total, .start = now()};
}

void progress_digits(char text[32], uint64_t n) {
  char digits[24];
  int count = snprintf(digits, sizeof digits, "%" PRIu64, n), at = 0;
  for (int i = 0; i < count; i++) {
    if (i && (count - i) % 3 == 0) text[at++] = ',';
    text[at++] = digits[i];
  }
  text[at] = '\0';
}

static void short_rate(char text[32], double rate) {
  if (rate >= 1e6)
    (void)snprintf(text, 32, "%.1f M", rate / 1e6);
  else if (rate >= 1e3)
    (void)snprintf(text, 32, "%.0f K", rate / 1e3);
  else
    (void)snprintf(text, 32, "%.0f", rate);
}

void progress_text(char text[PROGRESS_TEXT], uint64_t rows, uint64_t bytes, uint64_t total, int64_t elapsed) {
  char count[32], rate[32];
  double seconds = (double)(elapsed > 0 ? elapsed : 1) / SECOND;
  progress_digits(count, rows);
  short_rate(rate, (double)rows / seconds);
  int n = snprintf(text, PROGRESS_TEXT, "%s rows, %s rows/s", count, rate);
  if (!total || !bytes || n < 0) return;
  if (bytes > total) bytes = total;
  uint64_t left = (uint64_t)(seconds * (double)(total - bytes) / (double)bytes + 0.5);
  (void)snprintf(text + n, PROGRESS_TEXT - (size_t)n, ", %.0f %%, %" PRIu64 ":%02" PRIu64 " left",
                 100 * (double)bytes / (double)total, left / 60, left % 60);
}

int64_t progress_elapsed(const struct progress *p) { return now() - p->start; }

void progress_say(struct progress *p, const char *text) {
  if (!p->on) return;
  (void)fprintf(stderr, "\r%s\x1B[K", text);
  (void)fflush(stderr);
  p->drawn = now();
  p->shown = true;
}

void progress_update(struct progress *p, uint64_t rows, uint64_t bytes) {
  if (!p->on) return;
  int64_t at = now();
  if (at - p->drawn < EVERY) return;
  char text[PROGRESS_TEXT];
  progress_text(text, rows, bytes, p->total, at - p->start);
  progress_say(p, text);
}

void progress_clear(struct progress *p) {
  if (p->shown) (void)fputs("\r\x1B[K", stderr);
  p->shown = false;
}
