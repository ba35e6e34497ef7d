/* log.c - log lines on stderr; see log.h. */
#include "server/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <uv.h>

static const char *const names[] = {"error", "warn", "info", "debug"};
static const char *const printed[] = {"ERROR", "WARN ", "INFO ", "DEBUG"};
static _Atomic int shown = LOG_INFO;

const char *log_level_name(enum log_level level) {
  return (size_t)level < sizeof names / sizeof *names ? names[level] : NULL;
}

int log_level_number(const char *name) {
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(names[i], name) == 0) return (int)i;
  return -1;
}

void log_set_level(enum log_level level) { atomic_store(&shown, (int)level); }

static size_t put_prefix(char *line, size_t size, enum log_level level) {
  uv_timeval64_t now = {0, 0};
  struct tm day;
  (void)uv_gettimeofday(&now);
  time_t seconds = (time_t)now.tv_sec;
  (void)gmtime_r(&seconds, &day);
  size_t n = strftime(line, size, "%Y-%m-%dT%H:%M:%S", &day);
  int more = snprintf(line + n, size - n, ".%03dZ %s ", (int)(now.tv_usec / 1000), printed[level]);
  return n + (more > 0 ? (size_t)more : 0);
}

static void write_line(enum log_level level, const char *format, va_list args) {
  char line[1536];
  size_t n = put_prefix(line, sizeof line, level);
  int more = vsnprintf(line + n, sizeof line - n - 1, format, args);
  size_t text = more < 0 ? 0 : (size_t)more;
  size_t end = n + text < sizeof line - 2 ? n + text : sizeof line - 2;
  for (size_t i = n; i < end; i++)
    if ((unsigned char)line[i] < 0x20 || line[i] == 0x7F) line[i] = '?';
  line[end] = '\n';
  (void)fwrite(line, 1, end + 1, stderr); /* stderr is unbuffered: one write */
}

void log_line(enum log_level level, const char *format, ...) {
  if ((int)level > atomic_load(&shown)) return;
  va_list args;
  va_start(args, format);
  write_line(level, format, args);
  va_end(args);
}

/* Counts the lines of this second; false when there were enough. Threads may race for the change of second:
 * then a few lines more get through, which is harmless. */
static bool peer_allowed(uint64_t *left_out) {
  static _Atomic uint64_t second, lines;
  uint64_t now = uv_hrtime() / 1000000000u;
  if (atomic_exchange(&second, now) != now) {
    uint64_t before = atomic_exchange(&lines, 0);
    *left_out = before > LOG_PEER_LINES ? before - LOG_PEER_LINES : 0;
  }
  return atomic_fetch_add(&lines, 1) < LOG_PEER_LINES;
}

void log_peer(enum log_level level, const char *format, ...) {
  if ((int)level > atomic_load(&shown)) return;
  uint64_t left_out = 0;
  bool allowed = peer_allowed(&left_out);
  if (left_out) log_line(level, "%" PRIu64 " more lines about connections were left out", left_out);
  if (!allowed) return;
  va_list args;
  va_start(args, format);
  write_line(level, format, args);
  va_end(args);
}
