/* log.h - log lines on stderr: one event a line, "TIME LEVEL text". Any thread.
 *
 * 1. A line is written by one write, so lines of several threads never mix.
 * 2. The time is RFC 3339 in UTC with milliseconds. A text holds no line break: control characters are
 *    printed as '?', because texts can quote what a peer sent.
 * 3. What a peer can cause is logged with log_peer, which lets at most LOG_PEER_LINES through a second and
 *    then says how many it left out: a hostile peer cannot fill the disk. */
#ifndef SERVER_LOG_H
#define SERVER_LOG_H

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
#define LOG_PEER_LINES 20

/* "error", "warn", "info", "debug", or NULL. */
const char *log_level_name(enum log_level level);
/* -1 if there is no such level. */
int log_level_number(const char *name);
/* Lines above `level` are dropped from now on. */
void log_set_level(enum log_level level);
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_peer(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
