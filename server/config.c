/* config.c - the table of settings and how their sources are laid over each other; see config.h. */
#include "server/config.h"

#include <inttypes.h>
#include <string.h>

#include "base/status.h"
#include "server/log.h"

enum kind { KIND_TEXT, KIND_ADDRESS, KIND_SIZE, KIND_DURATION, KIND_COUNT, KIND_LEVEL };

struct setting {
  const char *name, *flag, *variable;
  enum kind kind;
  bool reload;
  size_t offset; /* of its member in struct config */
  const char *initial;
  uint64_t least, most; /* of numbers; durations in ms */
  const char *help;
};

#define AT(member) offsetof(struct config, member)
#define DAY_MS 86400000u

static const struct setting settings[] = {
    {"data", "data", "TALLY_DATA", KIND_TEXT, false, AT(data), "", 0, 0,
     "directory of the store; made if it is not there"},
    {"listen", "listen", "TALLY_LISTEN", KIND_ADDRESS, false, AT(listen), "127.0.0.1:7420", 0, 0,
     "address to serve on, HOST:PORT; port 0 takes a free one"},
    {"memory", "memory", "TALLY_MEMORY", KIND_SIZE, false, AT(memory), "256MiB", 80u << 20, (uint64_t)1 << 46,
     "memory of the engine"},
    {"max_future", "max-future", "TALLY_MAX_FUTURE", KIND_DURATION, false, AT(max_future), "1d", 1,
     36500u * (uint64_t)DAY_MS, "how far ahead of the clock an event may be"},
    {"flush_age", "flush-age", "TALLY_FLUSH_AGE", KIND_DURATION, false, AT(flush_age), "15m", 1000, DAY_MS,
     "rows in memory for longer are written to segments"},
    {"query_threads", "query-threads", "TALLY_QUERY_THREADS", KIND_COUNT, false, AT(query_threads), "4", 1,
     64, "threads that answer queries"},
    {"log_level", "log-level", "TALLY_LOG_LEVEL", KIND_LEVEL, true, AT(log_level), "info", 0, 0,
     "error, warn, info or debug"},
    {"max_connections", "max-connections", "TALLY_MAX_CONNECTIONS", KIND_COUNT, true, AT(max_connections),
     "10500", 1, 1000000, "further ones are told busy"},
    {"max_queries", "max-queries", "TALLY_MAX_QUERIES", KIND_COUNT, true, AT(max_queries), "8", 1, 64,
     "queries of one connection at a time"},
    {"query_timeout", "query-timeout", "TALLY_QUERY_TIMEOUT", KIND_DURATION, true, AT(query_timeout), "5m", 1,
     DAY_MS, "longest a query may take; also if it names none"},
    {"hello_timeout", "hello-timeout", "TALLY_HELLO_TIMEOUT", KIND_DURATION, true, AT(hello_timeout), "10s",
     1, 3600000, "a new connection must say hello within this"},
    {"frame_timeout", "frame-timeout", "TALLY_FRAME_TIMEOUT", KIND_DURATION, true, AT(frame_timeout), "60s",
     1, 3600000, "a frame that began must be complete within this"},
    {"idle_timeout", "idle-timeout", "TALLY_IDLE_TIMEOUT", KIND_DURATION, true, AT(idle_timeout), "0", 0,
     365u * (uint64_t)DAY_MS, "connections idle for longer are closed; 0: never"},
    {"drain_timeout", "drain-timeout", "TALLY_DRAIN_TIMEOUT", KIND_DURATION, true, AT(drain_timeout), "10s",
     1, 3600000, "after SIGTERM what is under way has this long"},
};

#define SETTINGS (sizeof settings / sizeof *settings)

size_t config_settings(void) { return SETTINGS; }
const char *config_name(size_t i) { return settings[i].name; }
const char *config_flag(size_t i) { return settings[i].flag; }
bool config_reloads(size_t i) { return settings[i].reload; }

static bool is_text(const struct setting *s) { return s->kind == KIND_TEXT || s->kind == KIND_ADDRESS; }
static const char *text_at(const struct config *c, size_t i) { return (const char *)c + settings[i].offset; }
static uint64_t number_at(const struct config *c, size_t i) {
  uint64_t value;
  memcpy(&value, (const char *)c + settings[i].offset, sizeof value);
  return value;
}

bool config_same(const struct config *a, const struct config *b, size_t i) {
  if (is_text(&settings[i])) return strcmp(text_at(a, i), text_at(b, i)) == 0;
  return number_at(a, i) == number_at(b, i);
}

/* Texts all take a restart, so what is adopted is a number. */
void config_adopt(struct config *config, const struct config *loaded) {
  for (size_t i = 0; i < SETTINGS; i++)
    if (settings[i].reload)
      memcpy((char *)config + settings[i].offset, (const char *)loaded + settings[i].offset,
             sizeof(uint64_t));
}

static void print_number(enum kind kind, uint64_t value, char *text, size_t size) {
  if (kind == KIND_SIZE)
    config_print_size(value, text, size);
  else if (kind == KIND_DURATION)
    config_print_duration(value, text, size);
  else if (kind == KIND_LEVEL)
    (void)snprintf(text, size, "%s", log_level_name((enum log_level)value));
  else
    (void)snprintf(text, size, "%" PRIu64, value);
}

void config_print(const struct config *config, size_t i, char *text, size_t size) {
  if (is_text(&settings[i]))
    (void)snprintf(text, size, "\"%s\"", text_at(config, i));
  else
    print_number(settings[i].kind, number_at(config, i), text, size);
}

static int set_text(char *place, enum kind kind, const char *text, tally_error *error) {
  char host[CONFIG_TEXT];
  uint16_t port;
  if (strlen(text) >= CONFIG_TEXT)
    return fail(error, TALLY_USAGE, "the text is longer than %d bytes: shorten it", CONFIG_TEXT - 1);
  int code = kind == KIND_ADDRESS ? config_parse_address(text, host, &port, error) : TALLY_OK;
  if (code == TALLY_OK) memcpy(place, text, strlen(text) + 1);
  return code;
}

static int parse_level(const char *text, uint64_t *value, tally_error *error) {
  int level = log_level_number(text);
  if (level < 0)
    return fail(error, TALLY_USAGE, "'%.100s' is no log level: write error, warn, info or debug", text);
  *value = (uint64_t)level;
  return TALLY_OK;
}

static int check_bounds(const struct setting *s, uint64_t value, const char *text, tally_error *error) {
  if (s->kind == KIND_LEVEL || (value >= s->least && value <= s->most)) return TALLY_OK;
  char least[32], most[32];
  print_number(s->kind, s->least, least, sizeof least);
  print_number(s->kind, s->most, most, sizeof most);
  return fail(error, TALLY_USAGE, "%.100s is out of bounds: write %s to %s", text, least, most);
}

int config_set(struct config *config, size_t i, const char *text, tally_error *error) {
  const struct setting *s = &settings[i];
  char *place = (char *)config + s->offset;
  if (is_text(s)) return set_text(place, s->kind, text, error);
  uint64_t value = 0;
  int code = s->kind == KIND_SIZE       ? config_parse_size(text, &value, error)
             : s->kind == KIND_DURATION ? config_parse_duration(text, &value, error)
             : s->kind == KIND_LEVEL    ? parse_level(text, &value, error)
                                        : config_parse_count(text, &value, error);
  if (code == TALLY_OK) code = check_bounds(s, value, text, error);
  if (code == TALLY_OK) memcpy(place, &value, sizeof value);
  return code;
}

static int load_defaults(struct config *config, enum config_from *from, tally_error *error) {
  memset(config, 0, sizeof *config);
  for (size_t i = 0; i < SETTINGS; i++) {
    from[i] = CONFIG_DEFAULT;
    int code = config_set(config, i, settings[i].initial, error);
    if (code != TALLY_OK) return error_where(error, "default of %s", settings[i].name);
  }
  return TALLY_OK;
}

/* A variable that is set but empty counts as not set, as in `TALLY_LISTEN= tallyd`. */
static int load_environment(const struct config_sources *sources, struct config *config,
                            enum config_from *from, tally_error *error) {
  for (size_t i = 0; i < SETTINGS; i++) {
    const char *text = sources->environment(settings[i].variable);
    if (!text || !*text) continue;
    if (config_set(config, i, text, error) != TALLY_OK)
      return error_where(error, "environment variable %s", settings[i].variable);
    from[i] = CONFIG_ENVIRONMENT;
  }
  return TALLY_OK;
}

static int load_flags(const struct config_sources *sources, struct config *config, enum config_from *from,
                      tally_error *error) {
  for (size_t i = 0; i < SETTINGS; i++) {
    if (!sources->flags[i]) continue;
    if (config_set(config, i, sources->flags[i], error) != TALLY_OK)
      return error_where(error, "option --%s", settings[i].flag);
    from[i] = CONFIG_FLAG;
  }
  return TALLY_OK;
}

int config_load(const struct config_sources *sources, struct config *config, enum config_from *from,
                tally_error *error) {
  struct config loaded;
  enum config_from origins[SETTINGS];
  int code = load_defaults(&loaded, origins, error);
  if (code == TALLY_OK && sources->file) code = config_read_file(sources->file, &loaded, origins, error);
  if (code == TALLY_OK) code = load_environment(sources, &loaded, origins, error);
  if (code == TALLY_OK) code = load_flags(sources, &loaded, origins, error);
  if (code != TALLY_OK) return code;
  *config = loaded;
  if (from) memcpy(from, origins, sizeof origins);
  return TALLY_OK;
}

void config_help(FILE *out) {
  static const char *const values[] = {"TEXT", "HOST:PORT", "SIZE", "TIME", "N", "LEVEL"};
  for (size_t i = 0; i < SETTINGS; i++) {
    const struct setting *s = &settings[i];
    char option[64];
    (void)snprintf(option, sizeof option, "--%s %s", s->flag, i == 0 ? "DIR" : values[s->kind]);
    (void)fprintf(out, "  %-26s %s%s%s%s%s\n", option, s->help, *s->initial ? " (" : "", s->initial,
                  *s->initial ? ")" : "", s->reload ? " *" : "");
  }
}
