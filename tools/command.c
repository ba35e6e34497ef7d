/* command.c - the table of commands, the command line, and the store they work on; see command.h. */
#include "tools/command.h"

#include "base/bytes.h"
#include "base/status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_SERVER "127.0.0.1:7420"

#define COMMAND_ENTRY(name, summary)                                                                         \
  {#name, summary, command_##name##_help, command_##name##_options, command_##name},
const struct command command_table[] = {COMMAND_MAP(COMMAND_ENTRY){0}};
#undef COMMAND_ENTRY

const struct command *command_find(const char *name) {
  for (const struct command *c = command_table; c->name; c++) {
    if (strcmp(c->name, name) == 0) return c;
  }
  return NULL;
}

/* ---- help */

int command_print(const char *text) {
  for (size_t left = strlen(text); left;) {
    ssize_t n = write(STDOUT_FILENO, text, left);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EPIPE) return EXIT_DONE;
    if (n <= 0) {
      command_complain("cannot write the output: %s", strerror(errno));
      return EXIT_FAILED;
    }
    text += n;
    left -= (size_t)n;
  }
  return EXIT_DONE;
}

static const char help_head[] = "Usage: tally [GLOBAL OPTIONS] COMMAND ...\n"
                                "\n"
                                "Load usage events into a Tally store and ask it questions.\n"
                                "\n"
                                "Commands:\n";

static const char help_tail[] =
    "\n"
    "Global options, before or after the command:\n"
    "  --server HOST:PORT  work on this server (default $TALLY_SERVER, else " DEFAULT_SERVER ")\n"
    "  --db DIR            open the store in DIR in this process instead\n"
    "  --format FORMAT     table, csv, tsv, json or ndjson (default: table on a terminal, else tsv)\n"
    "  --quiet             no notes and no progress, errors only\n"
    "  --no-color          no colours, as with $NO_COLOR\n"
    "  --help, --version\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 wrong usage, 3 ingest finished with rows skipped.\n"
    "\n"
    "Examples:\n"
    "  tally generate --rows 100000 | tally --db ./store ingest -\n"
    "  tally --db ./store query --group-by service_name --agg count,sum:cost\n"
    "  tally query --from now-7d --bucket 1d --where 'user_id=u42' --agg sum:tokens_used\n"
    "\n"
    "'tally COMMAND --help' tells more about a command.\n";

static int print_help(int (*print)(const char *text)) {
  struct buffer text = {0};
  buffer_text(&text, help_head);
  for (const struct command *c = command_table; c->name; c++) {
    buffer_printf(&text, "  %-14s%s\n", c->name, c->summary);
  }
  buffer_append(&text, help_tail, sizeof help_tail); /* with its NUL */
  int code = text.failed ? EXIT_FAILED : print((const char *)text.data);
  buffer_free(&text);
  return code;
}

static int print_stderr(const char *text) {
  (void)fputs(text, stderr);
  return EXIT_USAGE;
}

int command_help(void) { return print_help(command_print); }

/* ---- the command line */

static int unknown_command(const char *name) {
  const char *names[sizeof command_table / sizeof *command_table];
  size_t count = 0;
  for (const struct command *c = command_table; c->name; c++) names[count++] = c->name;
  names[count] = NULL;
  const char *near = command_nearest(name, names);
  if (near) return command_usage(NULL, "unknown command '%s'; did you mean '%s'?", name, near);
  return command_usage(NULL, "unknown command '%s'", name);
}

/* `tally help [COMMAND]`, for those who try it. */
static int run_help(int argc, char **argv) {
  if (argc < 2) return command_help();
  const struct command *c = command_find(argv[1]);
  return c ? command_print(c->help) : unknown_command(argv[1]);
}

int command_main(struct globals *globals, int argc, char **argv) {
  int code = command_global_options(globals, argc, argv);
  if (code != COMMAND_END) return command_option_exit(code);
  argc -= optind;
  argv += optind;
  if (argc == 0) {
    if (globals->in_shell) return command_usage(NULL, "no command given");
    return print_help(print_stderr);
  }
  if (strcmp(argv[0], "help") == 0) return run_help(argc, argv);
  const struct command *c = command_find(argv[0]);
  if (!c) return unknown_command(argv[0]);
  if (globals->in_shell && c->run == command_shell) return command_usage(NULL, "this is the shell already");
  return c->run(globals, argc, argv);
}

/* ---- the store */

static const char *server_address(const struct globals *globals) {
  if (globals->server) return globals->server;
  const char *server = getenv("TALLY_SERVER");
  return server && *server ? server : DEFAULT_SERVER;
}

const char *command_store_name(const struct globals *globals) {
  return globals->directory ? globals->directory : server_address(globals);
}

int command_backend(struct globals *globals, bool create, struct backend **backend, tally_error *error) {
  if (globals->shared) {
    *backend = globals->shared;
    return 0;
  }
  if (globals->in_shell) {
    return fail(error, TALLY_CONNECTION, "there is no connection; make one with \\connect");
  }
  if (globals->directory) return backend_open(NULL, globals->directory, create, backend, error);
  return backend_open(server_address(globals), NULL, false, backend, error);
}

int command_backend_done(struct globals *globals, struct backend *backend, tally_error *error) {
  return backend == globals->shared ? 0 : backend_close(backend, error);
}
