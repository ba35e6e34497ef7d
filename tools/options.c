/* options.c - options of one command and the global ones, taken in any order; see command.h. */
#include "tools/command.h"

#include <stdio.h>
#include <string.h>

#define OPTIONS_MAX 48u

enum {
  GLOBAL_SERVER = 1,
  GLOBAL_DB,
  GLOBAL_FORMAT,
  GLOBAL_QUIET,
  GLOBAL_NO_COLOR,
  GLOBAL_HELP,
  GLOBAL_VERSION
};

const struct option command_globals[] = {
    {"server", required_argument, NULL, GLOBAL_SERVER}, {"db", required_argument, NULL, GLOBAL_DB},
    {"format", required_argument, NULL, GLOBAL_FORMAT}, {"quiet", no_argument, NULL, GLOBAL_QUIET},
    {"no-color", no_argument, NULL, GLOBAL_NO_COLOR},   {"help", no_argument, NULL, GLOBAL_HELP},
    {"version", no_argument, NULL, GLOBAL_VERSION},     {0}};

bool command_number(const char *text, uint64_t *number) {
  uint64_t n = 0;
  if (!*text) return false;
  for (; *text; text++) {
    if (*text < '0' || *text > '9') return false;
    if (__builtin_mul_overflow(n, (uint64_t)10, &n)) return false;
    if (__builtin_add_overflow(n, (uint64_t)(*text - '0'), &n)) return false;
  }
  *number = n;
  return true;
}

static int take_store(struct globals *g, const char *command, const char **place, const char *value) {
  if (g->in_shell) {
    command_usage(command, "the shell has its store open; go to another one with \\connect");
    return COMMAND_BAD;
  }
  if (!*value) {
    command_usage(command, "%s", place == &g->server ? "--server needs HOST:PORT" : "--db needs a directory");
    return COMMAND_BAD;
  }
  *place = value;
  if (g->server && g->directory) {
    command_usage(command, "--server and --db exclude each other; give one of them");
    return COMMAND_BAD;
  }
  return 0;
}

static int take_format(struct globals *g, const char *command, const char *value) {
  int format = format_number(value);
  if (format < 0) {
    command_usage(command, "--format '%s' is none of table, csv, tsv, json, ndjson", value);
    return COMMAND_BAD;
  }
  g->format = (enum format)format;
  return 0;
}

/* 0: taken; COMMAND_BAD; COMMAND_HELP or COMMAND_BROKEN: something was printed, or could not be, instead of
 * running the command. */
static int take_global(struct globals *g, const char *command, int option, const char *help) {
  switch (option) {
  case GLOBAL_SERVER:
    return take_store(g, command, &g->server, optarg);
  case GLOBAL_DB:
    return take_store(g, command, &g->directory, optarg);
  case GLOBAL_FORMAT:
    return take_format(g, command, optarg);
  case GLOBAL_QUIET:
    g->quiet = true;
    return 0;
  case GLOBAL_NO_COLOR:
    g->no_color = true;
    return 0;
  case GLOBAL_VERSION: {
    char text[64];
    (void)snprintf(text, sizeof text, "tally %s\n", tally_version());
    return command_print(text) == EXIT_DONE ? COMMAND_HELP : COMMAND_BROKEN;
  }
  default:
    return (help ? command_print(help) : command_help()) == EXIT_DONE ? COMMAND_HELP : COMMAND_BROKEN;
  }
}

/* How many options begin with that name; *nearest is the one that may be meant. */
static size_t similar_options(const char *name, const struct option *all, const char **nearest) {
  const char *names[OPTIONS_MAX + 1];
  size_t count = 0, begin = 0;
  for (; all[count].name; count++) {
    names[count] = all[count].name;
    begin += strncmp(name, all[count].name, strlen(name)) == 0;
  }
  names[count] = NULL;
  *nearest = command_nearest(name, names);
  return begin;
}

/* Says what is wrong with the option that getopt_long refused. */
static int refuse_option(const char *command, int result, char **argv, const struct option *all) {
  const char *text = argv[optind - 1];
  if (strncmp(text, "--", 2) != 0) {
    command_usage(command, "unknown option '-%c'; options are words after two dashes", optopt);
    return COMMAND_BAD;
  }
  if (result == ':') {
    command_usage(command, "%s needs a value", text);
    return COMMAND_BAD;
  }
  char name[64];
  (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(text + 2, "="), text + 2);
  if (optopt) {
    command_usage(command, "--%s takes no value", name);
    return COMMAND_BAD;
  }
  const char *nearest = NULL;
  if (similar_options(name, all, &nearest) > 1) {
    command_usage(command, "--%s may mean several options; write it in full", name);
  } else if (nearest) {
    command_usage(command, "unknown option --%s; did you mean --%s?", name, nearest);
  } else {
    command_usage(command, "unknown option --%s", name);
  }
  return COMMAND_BAD;
}

int command_option_exit(int option) {
  return option == COMMAND_HELP ? EXIT_DONE : option == COMMAND_BROKEN ? EXIT_FAILED : EXIT_USAGE;
}

void command_options_start(void) {
  optind = 0; /* glibc: also forget the place inside of argv */
  opterr = 0;
}

static void merge_options(struct option *all, const struct option *own) {
  size_t count = 0;
  for (; own && own->name && count < OPTIONS_MAX - 8; own++) all[count++] = *own;
  for (const struct option *g = command_globals; g->name; g++) all[count++] = *g;
  all[count] = (struct option){0};
}

/* One option of argv; stops at the first operand if `own` is NULL. */
static int next_option(struct globals *globals, int argc, char **argv, const struct option *own,
                       const char *help) {
  struct option all[OPTIONS_MAX];
  const char *command = own ? argv[0] : NULL;
  merge_options(all, own);
  for (;;) {
    optopt = 0;
    int option = getopt_long(argc, argv, own ? ":h" : "+:h", all, NULL);
    if (option == -1) return COMMAND_END;
    if (option == '?' || option == ':') return refuse_option(command, option, argv, all);
    if (option > GLOBAL_VERSION && option != 'h') return option;
    int code = take_global(globals, command, option, help);
    if (code != 0) return code;
  }
}

int command_option(struct globals *globals, int argc, char **argv, const struct option *options,
                   const char *help) {
  return next_option(globals, argc, argv, options, help);
}

int command_global_options(struct globals *globals, int argc, char **argv) {
  command_options_start();
  return next_option(globals, argc, argv, NULL, NULL);
}
