/* main.c - tallyd's command line: options, settings, signals, and the order of start and stop.
 *
 * Start: settings, store (recovered), threads and listener, the ready line on stdout. Stop (SIGTERM, SIGINT):
 * the server drains, its threads end, the store is synced and closed. Exit: 0 stopped as asked, 1 failed,
 * 2 wrong usage. Usage errors are plain lines, everything after that is a line of the log. */
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "base/status.h"
#include "proto/zone.h"
#include "server/config.h"
#include "server/log.h"
#include "server/server.h"
#include "server/trim.h"

enum { EXIT_STOPPED = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

#define SETTINGS_MAX 64
#define ENGINE_LEAST (64u << 20) /* what tally_options.memory must be at least */
#define FILES_BESIDES 512u       /* file descriptors of the store and the process */

enum { OPTION_CONFIG = 1000, OPTION_CHECK, OPTION_HELP, OPTION_VERSION, OPTION_SETTING };

struct program {
  const char *flags[SETTINGS_MAX];
  struct config_sources sources;
  bool check;
  struct config config;
  enum config_from from[SETTINGS_MAX];
  uv_loop_t loop;
  uv_signal_t terminate, interrupt, hang_up;
  struct server server;
};

/* ------------------------------------------------------------------ command line */

static void print_help(void) {
  (void)printf(
      "tallyd %s - the server of Tally, a time-series store for usage events\n\n"
      "usage: tallyd --data DIR [--listen HOST:PORT] [--memory SIZE] [--config FILE] ...\n\n"
      "  --config FILE              settings file: lines of `name = value`; also TALLY_CONFIG\n"
      "  --check-config             test the settings file, print the settings, and exit\n"
      "  --help, --version\n\n"
      "Settings (default). Each is a flag, an environment variable (--query-timeout: TALLY_QUERY_TIMEOUT)\n"
      "and a name in the file (query_timeout); the first of these that is set counts.\n"
      "SIGHUP reads the file again for those marked *; the others take a restart.\n\n",
      tally_version());
  config_help(stdout);
  (void)printf("\nSizes: 64KiB, 256MiB, 1GiB. Times: 250ms, 10s, 5m, 2h, 1d.\n\n"
               "Signals: SIGTERM and SIGINT finish what is under way, sync and exit 0; SIGHUP reloads.\n"
               "Exit: 0 stopped as asked, 1 failed, 2 wrong usage.\n\n"
               "Examples:\n"
               "  tallyd --data /var/lib/tally\n"
               "  tallyd --data ./store --listen 127.0.0.1:0 --memory 1GiB --log-level debug\n"
               "  tallyd --config /etc/tallyd.conf --check-config\n"
               "  TALLY_DATA=/var/lib/tally TALLY_LISTEN=0.0.0.0:7420 tallyd\n");
}

static int usage(const char *text) {
  (void)fprintf(stderr, "tallyd: %s\nTry 'tallyd --help'.\n", text);
  return EXIT_USAGE;
}

static int usage_about(const char *what, const char *argument) {
  char text[256];
  (void)snprintf(text, sizeof text, "%s '%.150s'", what, argument);
  return usage(text);
}

static void fill_options(struct option *options, size_t settings) {
  for (size_t i = 0; i < settings; i++)
    options[i] = (struct option){config_flag(i), required_argument, NULL, OPTION_SETTING + (int)i};
  options[settings] = (struct option){"config", required_argument, NULL, OPTION_CONFIG};
  options[settings + 1] = (struct option){"check-config", no_argument, NULL, OPTION_CHECK};
  options[settings + 2] = (struct option){"help", no_argument, NULL, OPTION_HELP};
  options[settings + 3] = (struct option){"version", no_argument, NULL, OPTION_VERSION};
}

/* -1: go on; else the exit code. */
static int parse_arguments(struct program *program, int count, char **arguments) {
  struct option options[SETTINGS_MAX + 5] = {{0}};
  int chosen;
  fill_options(options, config_settings());
  opterr = 0;
  while ((chosen = getopt_long(count, arguments, ":", options, NULL)) != -1) {
    if (chosen == ':') return usage_about("a value is missing after", arguments[optind - 1]);
    if (chosen == '?') return usage_about("there is no option", arguments[optind - 1]);
    if (chosen == OPTION_HELP) {
      print_help();
      return EXIT_STOPPED;
    }
    if (chosen == OPTION_VERSION) {
      (void)printf("tallyd %s\n", tally_version());
      return EXIT_STOPPED;
    }
    if (chosen == OPTION_CHECK)
      program->check = true;
    else if (chosen == OPTION_CONFIG)
      program->sources.file = optarg;
    else
      program->flags[chosen - OPTION_SETTING] = optarg;
  }
  if (optind < count) return usage_about("there is nothing to do with", arguments[optind]);
  return -1;
}

/* ------------------------------------------------------------------ settings */

static int report(const tally_error *error) {
  if (error->code == TALLY_USAGE) return usage(error->text);
  log_line(LOG_ERROR, "%s", error->text);
  return EXIT_FAILED;
}

static int check_config(struct program *program) {
  static const char *const origins[] = {"default", "file", "environment", "flag"};
  if (!program->sources.file) return usage("--check-config needs --config FILE (or TALLY_CONFIG)");
  (void)printf("%s is right\n", program->sources.file);
  for (size_t i = 0; i < config_settings(); i++) {
    char value[CONFIG_TEXT + 2];
    config_print(&program->config, i, value, sizeof value);
    (void)printf("%s = %s # %s\n", config_name(i), value, origins[program->from[i]]);
  }
  return EXIT_STOPPED;
}

/* -1: go on; else the exit code. */
static int load_settings(struct program *program) {
  tally_error error;
  const char *file = getenv("TALLY_CONFIG");
  if (!program->sources.file && file && *file) program->sources.file = file;
  program->sources.flags = program->flags;
  program->sources.environment = getenv;
  if (config_load(&program->sources, &program->config, program->from, &error) != TALLY_OK)
    return report(&error);
  if (program->check) return check_config(program);
  if (!program->config.data[0])
    return usage(
        "no directory for the store: write --data DIR (or set TALLY_DATA, or data in the settings file)");
  log_set_level((enum log_level)program->config.log_level);
  return -1;
}

/* As many files as connections need: the soft limit is raised as far as the hard one lets it. */
static void raise_file_limit(uint64_t connections) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < connections + FILES_BESIDES)
    log_line(LOG_WARN,
             "the system lets this process open %" PRIu64 " files, max_connections = %" PRIu64
             " needs %" PRIu64 ": raise the limit (ulimit -n, LimitNOFILE) or lower the setting",
             (uint64_t)limit.rlim_cur, connections, connections + FILES_BESIDES);
}

/* ------------------------------------------------------------------ signals */

static void on_stop(uv_signal_t *handle, int number) {
  struct program *program = handle->data;
  log_line(LOG_INFO, "%s: %s", number == SIGTERM ? "SIGTERM" : "SIGINT",
           program->server.draining ? "stopping without waiting" : "stopping when what is under way is done");
  server_drain(&program->server);
}

static void log_change(struct program *program, const struct config *loaded, size_t setting) {
  char old[CONFIG_TEXT + 2], new[CONFIG_TEXT + 2];
  config_print(&program->server.config, setting, old, sizeof old);
  config_print(loaded, setting, new, sizeof new);
  if (config_reloads(setting))
    log_line(LOG_INFO, "%s is now %s, was %s", config_name(setting), new, old);
  else
    log_line(LOG_WARN, "%s = %s takes effect after a restart, until then it is %s", config_name(setting), new,
             old);
}

static void on_reload(uv_signal_t *handle, int number) {
  struct program *program = handle->data;
  struct config loaded;
  tally_error error;
  (void)number;
  zone_forget(); /* the system's time-zone rules may have changed too */
  if (config_load(&program->sources, &loaded, NULL, &error) != TALLY_OK) {
    log_line(LOG_ERROR, "SIGHUP: %s; the settings stay as they were", error.text);
    return;
  }
  for (size_t i = 0; i < config_settings(); i++)
    if (!config_same(&program->server.config, &loaded, i)) log_change(program, &loaded, i);
  server_reload(&program->server, &loaded);
  if (program->sources.file)
    log_line(LOG_INFO, "SIGHUP: settings loaded from %s", program->sources.file);
  else
    log_line(LOG_INFO, "SIGHUP: there is no settings file, nothing has changed");
}

static void watch(struct program *program, uv_signal_t *handle, uv_signal_cb action, int number) {
  handle->data = program;
  if (uv_signal_init(&program->loop, handle) != 0 || uv_signal_start(handle, action, number) != 0)
    log_line(LOG_WARN, "signal %d cannot be watched", number);
}

static void on_end(struct server *server) {
  struct program *program = server->owner;
  uv_close((uv_handle_t *)&program->terminate, NULL);
  uv_close((uv_handle_t *)&program->interrupt, NULL);
  uv_close((uv_handle_t *)&program->hang_up, NULL);
}

/* ------------------------------------------------------------------ running */

static int open_store(const struct config *config, struct store **store, tally_error *error) {
  tally_options options;
  uint64_t intake = server_intake_share(config);
  tally_options_init(&options);
  options.memory = config->memory > intake + ENGINE_LEAST ? config->memory - intake : ENGINE_LEAST;
  options.create = true;
  options.max_future = (int64_t)config->max_future * 1000;
  options.flush_age = (int64_t)config->flush_age * 1000;
  options.query_timeout = config->query_timeout;
  options.zone = zone_period;
  return store_engine_open(config->data, &options, store, error);
}

static void print_ready(const struct config *config, uint16_t port) {
  size_t host = (size_t)(strrchr(config->listen, ':') - config->listen);
  (void)printf("tallyd %s ready on %.*s:%u, data %s (pid %d)\n", tally_version(), (int)host, config->listen,
               port, config->data, (int)uv_os_getpid());
  (void)fflush(stdout);
}

static int serve(struct program *program, struct store *store) {
  tally_error error;
  uint16_t port = 0;
  int result = uv_loop_init(&program->loop);
  if (result) {
    log_line(LOG_ERROR, "the event loop cannot be set up: %s", uv_strerror(result));
    return EXIT_FAILED;
  }
  program->server.on_end = on_end;
  program->server.owner = program;
  if (server_start(&program->server, &program->loop, &program->config, store, &port, &error) != TALLY_OK) {
    log_line(LOG_ERROR, "%s", error.text);
    return EXIT_FAILED;
  }
  watch(program, &program->terminate, on_stop, SIGTERM);
  watch(program, &program->interrupt, on_stop, SIGINT);
  watch(program, &program->hang_up, on_reload, SIGHUP);
  print_ready(&program->config, port);
  log_line(LOG_INFO, "serving %s on port %u", program->config.data, port);
  (void)uv_run(&program->loop, UV_RUN_DEFAULT);
  server_free(&program->server);
  (void)uv_loop_close(&program->loop);
  return EXIT_STOPPED;
}

static int close_store(struct store *store, int code) {
  tally_error error;
  if (store->operations->close(store, &error) != TALLY_OK) {
    log_line(LOG_ERROR, "the store was not closed as it should be: %s", error.text);
    return EXIT_FAILED;
  }
  log_line(LOG_INFO, "the store is synced and closed");
  return code;
}

/* Queries allocate and free on many threads. With glibc's arena for each of them, and its threshold for
 * mapped blocks that grows with every free, memory that the budget counts as free stayed resident: twice the
 * budget after a few hundred queries. Gaps between blocks that are not mapped each are the rest of it: with
 * blocks of up to 4 MiB they grew to 40 MiB beside a budget of 128 MiB, so a small budget maps smaller ones.
 * A mapped block's pages are made anew each time it is allocated, so some that were freed are kept. */
static void tame_allocator(uint64_t memory) {
  uint64_t mapped = memory / 256 < 4u << 20 ? memory / 256 : 4u << 20;
  mem_keep(mapped, memory / KEPT_LEAST);
#ifdef M_ARENA_MAX
  (void)mallopt(M_ARENA_MAX, 2);
  (void)mallopt(M_MMAP_THRESHOLD, (int)mapped);
  (void)mallopt(M_TRIM_THRESHOLD, 16 << 20);
#endif
}

int main(int count, char **arguments) {
  static struct program program;
  struct store *store;
  tally_error error;
  int code = parse_arguments(&program, count, arguments);
  if (code == -1) code = load_settings(&program);
  if (code != -1) return code;
  tame_allocator(program.config.memory);
  (void)signal(SIGPIPE, SIG_IGN);
  (void)signal(SIGHUP, SIG_IGN); /* until the loop runs */
  raise_file_limit(program.config.max_connections);
  if (open_store(&program.config, &store, &error) != TALLY_OK) {
    log_line(LOG_ERROR, "%s", error.text);
    return EXIT_FAILED;
  }
  return close_store(store, serve(&program, store));
}
