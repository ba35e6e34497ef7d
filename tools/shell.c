/* shell.c - `tally shell`: commands as on the command line, on one open store, and backslash commands.
 *
 * On a terminal lines are edited; from a pipe or a file they are read as they are, errors do not end the run,
 * and the exit status is 1 if any command failed. Ctrl-C cancels what is typed or what runs; on a terminal
 * the shell goes on then, a script ends. */
#include "tools/command.h"
#include "tools/interrupt.h"
#include "tools/shell_edit.h"
#include "tools/shell_words.h"

#include "base/mem.h"
#include "base/status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WATCH_SECONDS 2u
#define WATCH_SECONDS_MAX 86400u

struct shell {
  struct globals globals;
  char *place;           /* what globals.server or globals.directory points to after \connect, or NULL */
  struct editor *editor; /* NULL: input is no terminal */
  uint64_t line;         /* of the input, where the text being read begins */
  char *last;            /* the last command, for \watch */
  bool timing, quit, failed;
};

const struct option command_shell_options[] = {{0}};

const char command_shell_help[] =
    "Usage: tally shell\n"
    "\n"
    "Work interactively: type commands as on the command line, without 'tally'. The store stays open.\n"
    "Quotes work as in a command line; a quote that is not closed goes on in the next line.\n"
    "Tab completes commands, options, columns and aggregates. Ctrl-C cancels, Ctrl-D quits.\n"
    "\n"
    "  \\connect [HOST:PORT|DIR]  go to another store; without one, tell which is open\n"
    "  \\format [FORMAT]          set the format: table, csv, tsv, json, ndjson\n"
    "  \\help [COMMAND]           this text, or a command's\n"
    "  \\timing [on|off]          tell how long each command takes\n"
    "  \\watch [SECONDS [TIMES]]  repeat the last command, every 2 seconds, until Ctrl-C\n"
    "  \\quit                     leave; also \\q, quit and exit\n"
    "\n"
    "The history is kept in $XDG_STATE_HOME/tally_history or ~/.tally_history. Commands may also come\n"
    "from a file or a pipe; then the exit status is 1 if any of them failed.\n"
    "\n"
    "Examples:\n"
    "  tally shell\n"
    "  tally --db ./store shell < report.tally\n"
    "  echo 'query --group-by service_name' | tally shell\n";

static int help_command(struct shell *shell, int argc, char **argv);

/* ---- running commands */

static double seconds_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* A command may change its copy of the global options, for itself alone. */
static int run_words(struct shell *s, struct words *words) {
  struct globals globals = s->globals;
  char *program[] = {"tally"};
  char **argv = mem_zalloc(words->count + 2, sizeof *argv);
  if (!argv) {
    command_complain("no-memory: there is no memory for the command");
    return EXIT_FAILED;
  }
  argv[0] = program[0];
  memcpy(argv + 1, words->items, words->count * sizeof *argv);
  double start = seconds_now();
  int code = command_main(&globals, (int)words->count + 1, argv);
  mem_free(argv);
  if (s->timing) (void)fprintf(stderr, "time: %.3f ms\n", (seconds_now() - start) * 1e3);
  return code;
}

static int run_last(struct shell *s) {
  struct words words;
  const char *rest;
  int code = EXIT_FAILED;
  if (words_split(&words, s->last, &rest) == WORDS_OK) code = run_words(s, &words);
  words_free(&words);
  return code;
}

/* ---- backslash commands: each returns an exit code */

static int connect_to(struct shell *s, const char *server, const char *directory) {
  tally_error error = {0};
  struct backend *backend = NULL;
  char *place = mem_strndup(server ? server : directory, strlen(server ? server : directory));
  if (!place) {
    fail_memory(&error, "the name of a store");
    return command_failure("shell", &error);
  }
  if (backend_open(server ? place : NULL, directory ? place : NULL, false, &backend, &error) != 0) {
    mem_free(place);
    return command_failure("shell", &error); /* and the old store stays open */
  }
  if (s->globals.shared && backend_close(s->globals.shared, &error) != 0) command_failure("shell", &error);
  mem_free(s->place);
  s->place = place;
  s->globals.shared = backend;
  s->globals.server = server ? place : NULL;
  s->globals.directory = directory ? place : NULL;
  return EXIT_DONE;
}

static bool names_directory(const char *word) {
  struct stat status;
  return strchr(word, '/') || (stat(word, &status) == 0 && S_ISDIR(status.st_mode));
}

static int connect_command(struct shell *s, int argc, char **argv) {
  if (argc == 1) {
    (void)fprintf(stderr, "connected to %s\n", command_store_name(&s->globals));
    return EXIT_DONE;
  }
  if (argc == 3 && strcmp(argv[1], "--db") == 0) return connect_to(s, NULL, argv[2]);
  if (argc == 3 && strcmp(argv[1], "--server") == 0) return connect_to(s, argv[2], NULL);
  if (argc != 2) return command_usage(NULL, "usage: \\connect [HOST:PORT|DIR]");
  bool directory = names_directory(argv[1]);
  return connect_to(s, directory ? NULL : argv[1], directory ? argv[1] : NULL);
}

static int format_command(struct shell *s, int argc, char **argv) {
  int format = argc == 2 ? format_number(argv[1]) : 0;
  if (argc > 2 || format < 0) return command_usage(NULL, "usage: \\format table|csv|tsv|json|ndjson");
  if (argc == 2) s->globals.format = (enum format)format;
  if (argc == 1) {
    bool chosen = s->globals.format != FORMAT_DEFAULT;
    (void)fprintf(stderr, "format: %s\n",
                  chosen ? format_names[s->globals.format - 1] : "table on a terminal, else tsv");
  }
  return EXIT_DONE;
}

static int timing_command(struct shell *s, int argc, char **argv) {
  bool on = argc == 2 && strcmp(argv[1], "on") == 0, off = argc == 2 && strcmp(argv[1], "off") == 0;
  if (argc > 2 || (argc == 2 && !on && !off)) return command_usage(NULL, "usage: \\timing [on|off]");
  s->timing = argc == 2 ? on : !s->timing;
  (void)fprintf(stderr, "timing is %s\n", s->timing ? "on" : "off");
  return EXIT_DONE;
}

static int quit_command(struct shell *s, int argc, char **argv) {
  (void)argv;
  if (argc > 1) return command_usage(NULL, "usage: \\quit");
  s->quit = true;
  return EXIT_DONE;
}

/* Waits and tells if no interrupt came. */
static bool wait_seconds(uint64_t seconds) {
  struct timespec left = {.tv_sec = (time_t)seconds};
  while (!command_interrupted() && nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
  return !command_interrupted();
}

static void tell_time(uint64_t seconds) {
  char text[64] = "";
  time_t now = time(NULL);
  struct tm local;
  if (localtime_r(&now, &local)) (void)strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local);
  (void)fprintf(stderr, "\n%s (every %llu s; Ctrl-C ends it)\n", text, (unsigned long long)seconds);
}

static int watch_command(struct shell *s, int argc, char **argv) {
  uint64_t seconds = WATCH_SECONDS, times = UINT64_MAX;
  bool sound = argc <= 3 && (argc < 2 || command_number(argv[1], &seconds)) &&
               (argc < 3 || command_number(argv[2], &times)) && seconds <= WATCH_SECONDS_MAX;
  if (!sound) return command_usage(NULL, "usage: \\watch [SECONDS [TIMES]]");
  if (!s->last) return command_usage(NULL, "\\watch repeats a command; there is none yet");
  int code = EXIT_DONE;
  for (uint64_t i = 0; i < times && code == EXIT_DONE; i++) {
    if (i && !wait_seconds(seconds)) break;
    if (s->editor) tell_time(seconds);
    code = run_last(s);
  }
  /* Ctrl-C is how one leaves it. */
  return command_interrupted() ? EXIT_DONE : code;
}

static const struct {
  const char *name;
  int (*run)(struct shell *s, int argc, char **argv);
} backslash_commands[] = {
    {"connect", connect_command}, {"c", connect_command}, {"format", format_command},
    {"help", help_command},       {"?", help_command},    {"h", help_command},
    {"quit", quit_command},       {"q", quit_command},    {"timing", timing_command},
    {"watch", watch_command},
};
enum { BACKSLASH_COMMANDS = sizeof backslash_commands / sizeof *backslash_commands };

static int help_command(struct shell *s, int argc, char **argv) {
  (void)s;
  if (argc == 1) return command_print(command_shell_help);
  const struct command *c = argc == 2 ? command_find(argv[1]) : NULL;
  return c ? command_print(c->help)
           : command_usage(NULL, "usage: \\help [COMMAND]; there is no such command");
}

static int run_backslash(struct shell *s, struct words *words) {
  const char *names[BACKSLASH_COMMANDS + 1] = {NULL};
  for (int i = 0; i < BACKSLASH_COMMANDS; i++) {
    names[i] = backslash_commands[i].name;
    if (words->count && strcmp(words->items[0], names[i]) == 0) {
      return backslash_commands[i].run(s, (int)words->count, words->items);
    }
  }
  const char *name = words->count ? words->items[0] : "";
  const char *near = command_nearest(name, names);
  return command_usage("shell", "unknown command \\%s%s%s%s", name, near ? "; did you mean \\" : "",
                       near ? near : "", near ? "?" : "");
}

/* ---- lines */

static bool is_quit(const struct words *w) {
  return w->count == 1 && (strcmp(w->items[0], "quit") == 0 || strcmp(w->items[0], "exit") == 0);
}

static int remember_and_run(struct shell *s, struct words *words, const char *text, size_t size) {
  if (is_quit(words)) return quit_command(s, 1, words->items);
  char *last = mem_strndup(text, size);
  if (last) {
    mem_free(s->last);
    s->last = last;
  }
  return run_words(s, words);
}

/* The next command of a text: a backslash stands before a name, not before the end of a line. */
struct next {
  const char *text, *rest;
  struct words words;
  enum words_result result;
  bool backslash;
};

static struct next next_command(const char *at) {
  struct next n = {.text = at + strspn(at, " \t")};
  n.rest = n.text;
  n.backslash = n.text[0] == '\\' && n.text[1] != '\n' && n.text[1];
  n.result = words_split(&n.words, n.text + n.backslash, &n.rest);
  return n;
}

static int run_next(struct shell *s, struct next *n) {
  if (n->result == WORDS_NO_MEMORY) {
    command_complain("no-memory: there is no memory for the command");
    return EXIT_FAILED;
  }
  if (n->backslash) return run_backslash(s, &n->words);
  return n->words.count ? remember_and_run(s, &n->words, n->text, (size_t)(n->rest - n->text)) : EXIT_DONE;
}

/* The command has said what was wrong; a script also wants to know where. */
static void tell_failure(struct shell *s) {
  s->failed = true;
  if (!s->editor) command_complain("input line %llu: this command failed", (unsigned long long)s->line);
}

/* Runs the commands of a text that is whole, up to an interrupt. */
static void run_text(struct shell *s, const char *text) {
  while (*text && !s->quit && !command_interrupted()) {
    struct next n = next_command(text);
    if (run_next(s, &n) != EXIT_DONE) tell_failure(s);
    text = n.result == WORDS_OK ? n.rest : "";
    words_free(&n.words);
  }
}

/* False if a quote is open at the end, or the last line ends in a backslash. */
static bool is_whole(const char *text) {
  for (enum words_result result = WORDS_OK; *text && result == WORDS_OK;) {
    struct next n = next_command(text);
    words_free(&n.words);
    if (n.result == WORDS_UNFINISHED) return false;
    result = n.result;
    text = n.rest;
  }
  return true;
}

/* A line without its end, or NULL. */
static char *read_line(struct shell *s, bool more) {
  if (s->editor) return editor_read(s->editor, more ? "     > " : "tally> ");
  char *line = NULL;
  size_t capacity = 0;
  if (!interrupt_wait_input(STDIN_FILENO)) return NULL;
  ssize_t size = getline(&line, &capacity, stdin);
  char *copy = NULL;
  if (size >= 0) {
    if (size && line[size - 1] == '\n') size--;
    copy = mem_strndup(line, (size_t)size);
  }
  free(line);
  return copy;
}

static void remember(struct shell *s, const struct buffer *text) {
  char *line = s->editor ? mem_strndup((const char *)text->data, strlen((const char *)text->data)) : NULL;
  if (!line) return;
  for (char *c = line; *c; c++) {
    if (*c == '\n') *c = ' ';
  }
  if (line[strspn(line, " ")]) editor_remember(s->editor, line);
  mem_free(line);
}

/* Adds a line; runs the text when it is whole, before that nothing of it. */
static void take_line(struct shell *s, struct buffer *text, const char *line) {
  buffer_text(text, line);
  write8(text, 0);
  if (text->failed) {
    command_complain("no-memory: there is no memory for the line");
    s->failed = true;
  } else if (!is_whole((const char *)text->data)) {
    text->data[text->size - 1] = '\n';
    return;
  } else {
    remember(s, text);
    run_text(s, (const char *)text->data);
  }
  buffer_clear(text);
}

static void read_and_run(struct shell *s) {
  struct buffer text = {0};
  uint64_t lines = 0;
  while (!s->quit && !interrupt_terminated()) {
    if (s->editor) interrupt_forget();
    char *line = read_line(s, text.size > 0);
    if (line) {
      lines++;
      if (!text.size) s->line = lines;
      take_line(s, &text, line);
      mem_free(line);
      continue;
    }
    if (!s->editor) {
      s->failed = s->failed || command_interrupted(); /* a script is not whole then */
      break;
    }
    if (!command_interrupted()) {
      (void)fputs("\n", stdout); /* Ctrl-D */
      break;
    }
    (void)fputs("^C\n", stderr);
    buffer_clear(&text);
  }
  if (text.size) {
    command_complain("the input ends inside of a quote");
    s->failed = true;
  }
  buffer_free(&text);
}

static int run_shell(struct shell *s) {
  tally_error error = {0};
  if (backend_open(s->globals.directory ? NULL : command_store_name(&s->globals), s->globals.directory, false,
                   &s->globals.shared, &error) != 0) {
    return command_failure("shell", &error);
  }
  if (isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1) {
    s->editor = editor_open();
    command_note(&s->globals, "connected to %s; \\help tells what there is", command_store_name(&s->globals));
  } else {
    /* What a command reads from stdin itself (ingest -) begins behind its line. */
    (void)setvbuf(stdin, NULL, _IONBF, 0);
  }
  read_and_run(s);
  editor_close(s->editor);
  int code = s->failed && !s->editor ? EXIT_FAILED : EXIT_DONE;
  if (backend_close(s->globals.shared, &error) != 0) code = command_failure("shell", &error);
  return code;
}

int command_shell(struct globals *globals, int argc, char **argv) {
  command_options_start();
  int option = command_option(globals, argc, argv, command_shell_options, command_shell_help);
  if (option != COMMAND_END) return command_option_exit(option);
  if (optind < argc)
    return command_usage("shell", "unexpected '%s'; commands are typed inside", argv[optind]);
  struct shell shell = {.globals = *globals};
  shell.globals.in_shell = true;
  command_catch_interrupts(true);
  interrupt_in_shell(true);
  int code = run_shell(&shell);
  interrupt_in_shell(false);
  command_catch_interrupts(false);
  mem_free(shell.place);
  mem_free(shell.last);
  return code;
}
