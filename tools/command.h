/* command.h - what every command of the tool shares: the global options, the table of commands, options
 * parsed in one way, messages, exit codes.
 *
 * A command NAME consists of three symbols in one file, and a line in COMMAND_MAP:
 *   command_NAME          runs it; argv[0] is its name; returns an exit code
 *   command_NAME_options  its own long options (struct option of <getopt.h>, ends with a zero entry; flag is
 *                         NULL, val is from COMMAND_OPTION on or a printable character)
 *   command_NAME_help     its --help: usage line, options, examples; ends with a line feed
 * stdout carries data only; everything else goes to stderr. Commands also run inside `tally shell`: they
 * leave no state behind, never call exit(), and give back whatever they open. */
#ifndef TOOLS_COMMAND_H
#define TOOLS_COMMAND_H

#include "tools/backend.h"
#include "tools/format.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_SKIPPED = 3 };

struct globals {
  const char *server;    /* --server; NULL: $TALLY_SERVER or the default, unless directory is set */
  const char *directory; /* --db, or NULL */
  enum format format;
  bool quiet;    /* no notes, no progress; errors are still said */
  bool no_color; /* --no-color or NO_COLOR */
  bool in_shell;
  struct backend *shared; /* the shell's open store, NULL outside of it; use command_backend */
};

/* The commands and their one-line summaries, in the order of `tally --help`. */
#define COMMAND_MAP(X)                                                                                       \
  X(ingest, "load events from CSV or NDJSON")                                                                \
  X(query, "aggregate events over a range of time")                                                          \
  X(events, "print events as they are stored")                                                               \
  X(generate, "write synthetic events as CSV")                                                               \
  X(stats, "print figures about the store")                                                                  \
  X(flush, "write the rows in memory to segments now")                                                       \
  X(compact, "merge segments until each month has few")                                                      \
  X(verify, "read and check every file of the store")                                                        \
  X(backup, "copy the running store to a directory")                                                         \
  X(restore, "make a store of a backup")                                                                     \
  X(retention, "show or set how long events are kept")                                                       \
  X(erase, "erase a user's events, with a receipt")                                                          \
  X(pseudonymize, "give a user's events a random id")                                                        \
  X(shell, "work interactively")

#define COMMAND_DECLARE(name, summary)                                                                       \
  int command_##name(struct globals *globals, int argc, char **argv);                                        \
  extern const struct option command_##name##_options[];                                                     \
  extern const char command_##name##_help[];
COMMAND_MAP(COMMAND_DECLARE)
#undef COMMAND_DECLARE

/* ---- options */

#define COMMAND_OPTION 256 /* first `val` for a command's options */
enum { COMMAND_END = -1, COMMAND_BAD = -2, COMMAND_HELP = -3, COMMAND_BROKEN = -4 };

/* The next option of argv, like getopt_long (optarg, optind; options and operands may be mixed; "--" ends the
 * options). Global options are taken in on the way. Returns the option's val; COMMAND_END: the operands are
 * argv[optind] to argv[argc - 1]; COMMAND_BAD: the mistake was said; COMMAND_HELP: the help was printed;
 * COMMAND_BROKEN: it could not be. After these three return command_option_exit of them. Start each command
 * with command_options_start. */
void command_options_start(void);
int command_option(struct globals *globals, int argc, char **argv, const struct option *options,
                   const char *help);
int command_option_exit(int option);
/* The same for the global options before a command, up to the first operand; without help of its own it
 * prints command_help. */
int command_global_options(struct globals *globals, int argc, char **argv);
extern const struct option command_globals[];
/* A whole number without sign, all of text; false if it is anything else or too large. */
bool command_number(const char *text, uint64_t *number);

/* Prints the text of a --help on stdout; returns an exit code. */
int command_print(const char *text);
int command_help(void); /* the tool's own --help */
/* Runs a whole command line, argv[0] being the program: global options, a command, its arguments. Returns the
 * exit code. */
int command_main(struct globals *globals, int argc, char **argv);

struct command {
  const char *name, *summary, *help;
  const struct option *options;
  int (*run)(struct globals *globals, int argc, char **argv);
};
/* The table, ended by an entry without a name, and a lookup by name (NULL: none). */
extern const struct command command_table[];
const struct command *command_find(const char *name);

/* ---- messages, all to stderr as one line "tally: …" */

/* A note; silent with --quiet. */
void command_note(const struct globals *globals, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* An error or a warning. */
void command_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* An error, with a hint at `tally COMMAND --help`; returns EXIT_USAGE. */
int command_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Says an error of the engine or the server ("tally: no-space: …") and returns its exit code: EXIT_USAGE for
 * TALLY_USAGE, EXIT_FAILED for every other one. */
int command_failure(const char *command, const tally_error *error);
/* The entry of names (NULL-terminated) nearest to text if it is near enough to be meant, or NULL. */
const char *command_nearest(const char *text, const char *const *names);

/* ---- the store */

/* How messages name it: the first there is of --db, --server, $TALLY_SERVER, 127.0.0.1:7420. */
const char *command_store_name(const struct globals *globals);

/* The store that the global options name, opened; in the shell the one that is open there. 0, or a code
 * with *error filled. To be given back with command_backend_done. */
int command_backend(struct globals *globals, bool create, struct backend **backend, tally_error *error);
int command_backend_done(struct globals *globals, struct backend *backend, tally_error *error);

/* ---- Ctrl-C and SIGTERM */

/* Between (true) and (false) they set a flag instead of ending the process; calls nest. System calls that
 * wait return EINTR. A second Ctrl-C outside of the shell ends the process. */
void command_catch_interrupts(bool on);
bool command_interrupted(void);

#endif
