/* Laws of server/config.h: what is understood, which source wins, and that a bad file changes nothing. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/config.h"
#include "server/log.h"

#define REFUSED UINT64_MAX

struct number {
  const char *text;
  uint64_t value;
};

typedef int (*parser)(const char *text, uint64_t *value, tally_error *error);

static void check_numbers(const char *what, parser parse, const struct number *cases, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint64_t value = 77;
    tally_error error = {0};
    int code = parse(cases[i].text, &value, &error);
    if (cases[i].value == REFUSED) {
      cr_expect_eq(code, TALLY_USAGE, "%s '%s' is taken as %lu", what, cases[i].text, value);
      cr_expect(*error.text, "%s '%s' is refused without a word", what, cases[i].text);
    } else {
      cr_expect_eq(code, 0, "%s '%s': %s", what, cases[i].text, error.text);
      cr_expect_eq(value, cases[i].value, "%s '%s' is %lu", what, cases[i].text, value);
    }
  }
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

Test(config, sizes_and_durations_are_read_with_their_units_and_printed_so_that_they_read_back) {
  static const struct number sizes[] = {{"0", 0},
                                        {"1000", 1000},
                                        {"7B", 7},
                                        {"64KiB", 65536},
                                        {"256MiB", 256u << 20},
                                        {"1GiB", 1u << 30},
                                        {"2TiB", (uint64_t)2 << 40},
                                        {"10MB", 10000000},
                                        {"18446744073709551616", REFUSED},
                                        {"16777216TiB", REFUSED},
                                        {"", REFUSED},
                                        {"MiB", REFUSED},
                                        {"1 MiB", REFUSED},
                                        {"1mib", REFUSED},
                                        {"-1", REFUSED},
                                        {"1.5GiB", REFUSED},
                                        {"1MiBx", REFUSED}};
  static const struct number durations[] = {
      {"0", 0},         {"250ms", 250},   {"10s", 10000},  {"5m", 300000},    {"2h", 7200000},
      {"1d", 86400000}, {"0s", 0},        {"10", REFUSED}, {"", REFUSED},     {"s", REFUSED},
      {"1 s", REFUSED}, {"-1s", REFUSED}, {"1w", REFUSED}, {"1.5s", REFUSED}, {"300000000000d", REFUSED}};
  static const struct number counts[] = {
      {"0", 0}, {"10500", 10500}, {"", REFUSED}, {"1k", REFUSED}, {"-1", REFUSED}};
  check_numbers("size", config_parse_size, sizes, COUNT(sizes));
  check_numbers("duration", config_parse_duration, durations, COUNT(durations));
  check_numbers("count", config_parse_count, counts, COUNT(counts));

  for (uint64_t value = 0; value < (uint64_t)1 << 50; value = value * 3 + 1024) {
    char text[40];
    uint64_t back = 0;
    tally_error error;
    config_print_size(value, text, sizeof text);
    cr_expect(config_parse_size(text, &back, &error) == 0 && back == value, "size %lu prints as %s", value,
              text);
    config_print_duration(value, text, sizeof text);
    cr_expect(config_parse_duration(text, &back, &error) == 0 && back == value, "time %lu prints as %s",
              value, text);
  }
}

Test(config, addresses_are_a_host_and_a_port) {
  static const struct {
    const char *text, *host; /* NULL: refused */
    uint16_t port;
  } cases[] = {{"127.0.0.1:7420", "127.0.0.1", 7420},
               {"localhost:0", "localhost", 0},
               {"[::1]:65535", "::1", 65535},
               {"0.0.0.0:1", "0.0.0.0", 1},
               {"127.0.0.1", NULL, 0},
               {":7420", NULL, 0},
               {"[]:7420", NULL, 0},
               {"::1:7420", NULL, 0},
               {"host:", NULL, 0},
               {"host:65536", NULL, 0},
               {"host:-1", NULL, 0},
               {"host:7420x", NULL, 0},
               {"", NULL, 0},
               {":", NULL, 0}};
  for (size_t i = 0; i < COUNT(cases); i++) {
    char host[CONFIG_TEXT];
    uint16_t port = 0;
    tally_error error;
    int code = config_parse_address(cases[i].text, host, &port, &error);
    if (!cases[i].host) {
      cr_expect_eq(code, TALLY_USAGE, "'%s' is taken", cases[i].text);
    } else {
      cr_expect_eq(code, 0, "'%s': %s", cases[i].text, error.text);
      cr_expect_str_eq(host, cases[i].host);
      cr_expect_eq(port, cases[i].port);
    }
  }
}

static const char *flags[64];
static const char *environment_memory, *environment_level;

static char *environment(const char *name) {
  const char *value = strcmp(name, "TALLY_MEMORY") == 0      ? environment_memory
                      : strcmp(name, "TALLY_LOG_LEVEL") == 0 ? environment_level
                                                             : NULL;
  return (char *)(uintptr_t)value;
}

static char path[64];

static const char *file_of(const char *text) {
  (void)snprintf(path, sizeof path, "/tmp/tallyd_config_%d", (int)getpid());
  FILE *file = fopen(path, "w");
  cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
  return path;
}

static int load(const char *text, struct config *config, enum config_from *from, tally_error *error) {
  struct config_sources sources = {flags, environment, text ? file_of(text) : NULL};
  int code = config_load(&sources, config, from, error);
  if (text) (void)remove(path);
  return code;
}

static size_t setting(const char *name) {
  size_t i = 0;
  while (i < config_settings() && strcmp(config_name(i), name) != 0) i++;
  cr_assert_lt(i, config_settings(), "%s is no setting", name);
  return i;
}

Test(config, flags_beat_the_environment_which_beats_the_file_which_beats_the_defaults) {
  struct config config;
  enum config_from from[64];
  tally_error error;
  size_t memory = setting("memory");
  cr_assert_eq(load(NULL, &config, from, &error), 0, "%s", error.text);
  cr_expect_eq(config.memory, 256u << 20);
  cr_expect_str_eq(config.listen, "127.0.0.1:7420");
  cr_expect_eq(config.max_connections, 10500);
  cr_expect_eq(from[memory], CONFIG_DEFAULT);

  const char *file =
      "# settings\nmemory = 512MiB\nlisten = \"[::1]:99\" # quoted or not\ndata = /var/lib/tally\n"
      "query_timeout = 1m\n";
  cr_assert_eq(load(file, &config, from, &error), 0, "%s", error.text);
  cr_expect_eq(config.memory, 512u << 20);
  cr_expect_str_eq(config.listen, "[::1]:99");
  cr_expect_str_eq(config.data, "/var/lib/tally");
  cr_expect_eq(config.query_timeout, 60000);
  cr_expect_eq(from[memory], CONFIG_FILE);
  cr_expect_eq(from[setting("max_queries")], CONFIG_DEFAULT);

  environment_memory = "1GiB";
  environment_level = ""; /* set but empty: as if it were not set */
  cr_assert_eq(load(file, &config, from, &error), 0, "%s", error.text);
  cr_expect_eq(config.memory, 1u << 30);
  cr_expect_eq(config.log_level, LOG_INFO);
  cr_expect_eq(from[memory], CONFIG_ENVIRONMENT);

  flags[memory] = "2GiB";
  cr_assert_eq(load(file, &config, from, &error), 0, "%s", error.text);
  cr_expect_eq(config.memory, (uint64_t)2 << 30);
  cr_expect_eq(from[memory], CONFIG_FLAG);
}

Test(config, a_bad_value_is_refused_with_its_place_and_changes_nothing) {
  static const struct {
    const char *text;
    int line;
    const char *says;
  } files[] = {{"memory = 1GiB\n\nlog_level = loud\n", 3, "log level"},
               {"memory = 79MiB\n", 1, "out of bounds: write 80MiB to"},
               {"max_connections = 0\n", 1, "out of bounds"},
               {"\nquery_timeout = 30\n", 2, "as in 30s"},
               {"listen = nowhere\n", 1, "HOST:PORT"},
               {"memroy = 1GiB\n", 1, "memroy"},
               {"memory 1GiB\n", 1, "name = value"},
               {"memory = \"1GiB\n", 2, "name = value"},
               {"memory = {\n", 1, "name = value"}};
  struct config config, before;
  tally_error error;
  memset(&config, 0x5A, sizeof config);
  before = config;
  for (size_t i = 0; i < COUNT(files); i++) {
    char place[128];
    memset(&error, 0, sizeof error);
    cr_expect_eq(load(files[i].text, &config, NULL, &error), TALLY_CORRUPT, "'%s' is taken", files[i].text);
    (void)snprintf(place, sizeof place, "%s:%d: ", path, files[i].line);
    cr_expect(strstr(error.text, place), "'%s' gives '%s'", files[i].text, error.text);
    cr_expect(strstr(error.text, files[i].says), "'%s' gives '%s'", files[i].text, error.text);
    cr_expect_eq(memcmp(&config, &before, sizeof config), 0, "'%s' changed something", files[i].text);
  }
  struct config_sources missing = {flags, environment, "/nonexistent/tallyd.conf"};
  cr_expect_eq(config_load(&missing, &config, NULL, &error), TALLY_NOT_FOUND);
  missing.file = "/tmp";
  cr_expect_eq(config_load(&missing, &config, NULL, &error), TALLY_IO);

  environment_memory = "1";
  cr_expect_eq(load(NULL, &config, NULL, &error), TALLY_USAGE);
  cr_expect(strstr(error.text, "TALLY_MEMORY"), "%s", error.text);
  environment_memory = NULL;
  flags[setting("idle_timeout")] = "soon";
  cr_expect_eq(load(NULL, &config, NULL, &error), TALLY_USAGE);
  cr_expect(strstr(error.text, "--idle-timeout"), "%s", error.text);
  cr_expect_eq(memcmp(&config, &before, sizeof config), 0);
}

Test(config, a_reload_adopts_exactly_the_settings_that_are_marked_for_it) {
  struct config old, new;
  tally_error error;
  cr_assert_eq(load("", &old, NULL, &error), 0, "%s", error.text);
  cr_assert_eq(
      load("data = x\nlisten = h:1\nmemory = 1GiB\nmax_future = 2d\nflush_age = 1m\nquery_threads = 9\n"
           "log_level = debug\nmax_connections = 3\nmax_queries = 4\nquery_timeout = 6s\n"
           "hello_timeout = 7s\nframe_timeout = 8s\nidle_timeout = 9s\ndrain_timeout = 11s\n",
           &new, NULL, &error),
      0, "%s", error.text);
  for (size_t i = 0; i < config_settings(); i++) {
    struct config reloaded = old;
    cr_expect(!config_same(&old, &new, i), "%s is the same in both", config_name(i));
    config_adopt(&reloaded, &new);
    cr_expect(config_same(&reloaded, config_reloads(i) ? &new : &old, i), "%s", config_name(i));
  }
}
