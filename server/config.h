/* config.h - the settings of tallyd: where they come from and which of them a reload changes.
 *
 * 1. A setting's value comes from its flag (--query-timeout), else its environment variable
 *    (TALLY_QUERY_TIMEOUT), else the file (query_timeout = 5m), else its default. One table (config.c) lists
 *    the settings; flags, variables, file keys, checks and the help are made from it.
 * 2. A bad value is refused wherever it stands, with its place (flag, variable, or file and line).
 * 3. config_load fills *config only when everything is right, so a bad file leaves the old settings in force.
 * 4. A setting marked "reload" takes effect on SIGHUP, the others at the next start. */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <tally.h>

#define CONFIG_TEXT 1024 /* bytes of a text setting, its NUL included */

struct config {
  char data[CONFIG_TEXT];   /* the store's directory; empty: not set */
  char listen[CONFIG_TEXT]; /* HOST:PORT */
  uint64_t memory;          /* bytes: the engine's whole budget */
  uint64_t max_future;      /* the times are milliseconds */
  uint64_t flush_age;
  uint64_t query_threads;
  uint64_t log_level; /* enum log_level */
  uint64_t max_connections;
  uint64_t max_queries; /* of one connection at a time */
  uint64_t query_timeout;
  uint64_t hello_timeout;
  uint64_t frame_timeout;
  uint64_t idle_timeout; /* 0: never */
  uint64_t drain_timeout;
};

enum config_from { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENVIRONMENT, CONFIG_FLAG };

/* Where values stand besides the file. `flags[i]` belongs to setting i and is NULL where it was not given;
 * `environment` is getenv, or a test's. */
struct config_sources {
  const char **flags;
  char *(*environment)(const char *name);
  const char *file; /* NULL: none */
};

size_t config_settings(void);
const char *config_name(size_t setting); /* "query_timeout" */
const char *config_flag(size_t setting); /* "query-timeout" */
/* True if a reload changes it; false if it takes a restart. */
bool config_reloads(size_t setting);
/* The value as text, in the form it is written in a file. */
void config_print(const struct config *config, size_t setting, char *text, size_t size);
/* True if both have the same value there. */
bool config_same(const struct config *a, const struct config *b, size_t setting);
/* Copies the values that a reload changes. */
void config_adopt(struct config *config, const struct config *loaded);

/* Loads all sources. from[i] (config_settings() of them, may be NULL) tells where setting i came from.
 * TALLY_USAGE for a bad flag or variable, TALLY_NOT_FOUND or TALLY_IO for a file that cannot be read,
 * TALLY_CORRUPT for a file with faults ("FILE:LINE: reason"). Not thread-safe. */
int config_load(const struct config_sources *sources, struct config *config, enum config_from *from,
                tally_error *error);
/* The table of settings for --help. */
void config_help(FILE *out);

/* For config_file.c: sets one setting from its text; TALLY_USAGE says what is wrong with the text alone. */
int config_set(struct config *config, size_t setting, const char *text, tally_error *error);
/* Reads the file over *config (config_file.c). */
int config_read_file(const char *path, struct config *config, enum config_from *from, tally_error *error);

/* config_parse.c. All return TALLY_USAGE and say what is understood. */
/* "256MiB", "1GiB", "64KiB", "10MB", "1000" (bytes). */
int config_parse_size(const char *text, uint64_t *bytes, tally_error *error);
/* "250ms", "10s", "5m", "2h", "1d", "0". In milliseconds. */
int config_parse_duration(const char *text, uint64_t *milliseconds, tally_error *error);
int config_parse_count(const char *text, uint64_t *count, tally_error *error);
/* "HOST:PORT", "[::1]:PORT". `host` has CONFIG_TEXT bytes. */
int config_parse_address(const char *text, char *host, uint16_t *port, tally_error *error);
/* The shortest text that config_parse_size or config_parse_duration reads as the same value. */
void config_print_size(uint64_t bytes, char *text, size_t size);
void config_print_duration(uint64_t milliseconds, char *text, size_t size);

#endif
