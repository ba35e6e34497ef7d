/* maintain.c - the commands that work on the store's files: their words go to the store as they are, what it
 * did comes back as rows. */
#include "tools/answer.h"

#include <getopt.h>

enum { OPT_FROM = COMMAND_OPTION, OPT_TO, OPT_CHECK, OPT_IN };

const struct option command_compact_options[] = {{0}};
const char command_compact_help[] =
    "Usage: tally compact\n"
    "\n"
    "Merge segments now until each month has few, one after the other in time; the store does this by\n"
    "itself for months that are over, and where many segments have come together. Ingest and queries go\n"
    "on meanwhile. Each merge is a row, as it ends: month, segments, rows and bytes before and after.\n"
    "Ctrl-C ends it behind the merge at work; what was merged stays so.\n"
    "\n"
    "Examples:\n"
    "  tally compact\n"
    "  tally --db ./store compact --format json\n";

/* Sends a job without operands or options of its own. */
static int plain_job(struct globals *globals, int argc, char **argv, const char *help) {
  command_options_start();
  int option = command_option(globals, argc, argv, command_compact_options, help);
  if (option != COMMAND_END) return command_option_exit(option);
  if (optind < argc) return command_usage(argv[0], "unexpected '%s'", argv[optind]);
  const char *words[] = {argv[0]};
  struct request request = {.kind = ANSWER_JOB, .words = words, .word_count = 1};
  return answer_print(globals, argv[0], &request, NULL);
}

int command_compact(struct globals *globals, int argc, char **argv) {
  return plain_job(globals, argc, argv, command_compact_help);
}

/* ------------------------------------------------------------------ erase, pseudonymize */

const struct option command_erase_options[] = {{"from", required_argument, NULL, OPT_FROM},
                                               {"to", required_argument, NULL, OPT_TO},
                                               {"check", no_argument, NULL, OPT_CHECK},
                                               {"in", required_argument, NULL, OPT_IN},
                                               {0}};
const char command_erase_help[] =
    "Usage: tally erase [--from T] [--to T] [--in BACKUP] USER\n"
    "       tally erase --check [--in BACKUP] USER\n"
    "\n"
    "Erase a user: rows, metadata and the id itself go from segments, write-ahead log and catalog. Totals\n"
    "of all others stay. The answer is a receipt, a JSON object: rows, files with their hashes before and\n"
    "after, times. It comes when nothing holds the old rows any more: queries that began before are\n"
    "waited for. Cut off at any moment, the same command does what is left.\n"
    "\n"
    "  --from T, --to T   only rows of this range; the id stays known\n"
    "  --check            erase nothing; look for the text in every byte and every decoded block of the "
    "store;\n"
    "                     exit status 1 if it is found\n"
    "  --in BACKUP        work on a backup's directory instead\n"
    "\n"
    "Events that arrive while the command works are erased with the others, or belong to a new id that has\n"
    "nothing to do with the old one. Backups keep what they held: use --in for each.\n"
    "\n"
    "Examples:\n"
    "  tally erase user_4c6be67e > receipt.json\n"
    "  tally erase --check user_4c6be67e\n"
    "  tally erase --to 2024-02-01 user_4c6be67e\n";

const struct option command_pseudonymize_options[] = {{"from", required_argument, NULL, OPT_FROM},
                                                      {"to", required_argument, NULL, OPT_TO},
                                                      {"in", required_argument, NULL, OPT_IN},
                                                      {0}};
const char command_pseudonymize_help[] =
    "Usage: tally pseudonymize [--from T] [--to T] [--in BACKUP] USER\n"
    "\n"
    "Give a user's rows a random id and take their metadata away; every number stays, so every total does.\n"
    "The old id goes from segments, write-ahead log and catalog. The answer is a receipt, a JSON object; "
    "the\n"
    "new id does not stand in it. Cut off at any moment, the same command does what is left, with another "
    "id.\n"
    "\n"
    "  --from T, --to T   only rows of this range; the old id stays known\n"
    "  --in BACKUP        work on a backup's directory instead\n"
    "\n"
    "Examples:\n"
    "  tally pseudonymize user_4c6be67e > receipt.json\n";

/* The job's words: its name, the options given, the user. */
struct erase_words {
  const char *word[8];
  size_t count;
  const char *in;
  bool check;
};

static void add_word(struct erase_words *w, const char *word) { w->word[w->count++] = word; }

/* Each option once; 0, or COMMAND_BAD. */
static int take_erase_option(const char *command, int option, struct erase_words *w, unsigned *given) {
  unsigned bit = 1u << (option - OPT_FROM);
  if (*given & bit) {
    command_usage(command, "an option is given twice");
    return COMMAND_BAD;
  }
  *given |= bit;
  if (option == OPT_IN) w->in = optarg;
  if (option == OPT_CHECK) w->check = true;
  if (option == OPT_FROM || option == OPT_TO) {
    add_word(w, option == OPT_FROM ? "--from" : "--to");
    add_word(w, optarg);
  }
  return 0;
}

static int run_erase(struct globals *globals, const char *command, struct erase_words *w) {
  struct globals there = *globals;
  if (w->in) {
    there.directory = w->in;
    there.server = NULL;
    there.shared = NULL;
  }
  uint64_t rows = 0;
  struct request request = {.kind = ANSWER_JOB, .words = w->word, .word_count = w->count, .bare = !w->check};
  int code = answer_print(&there, command, &request, &rows);
  if (code != EXIT_DONE || !w->check) return code;
  command_note(globals, "looked at every byte and every decoded block: %llu place%s",
               (unsigned long long)rows, rows == 1 ? "" : "s");
  return rows ? EXIT_FAILED : EXIT_DONE;
}

static int erase_command(struct globals *globals, int argc, char **argv, const struct option *options,
                         const char *help) {
  struct erase_words w = {.word = {argv[0]}, .count = 1};
  unsigned given = 0;
  command_options_start();
  for (;;) {
    int option = command_option(globals, argc, argv, options, help);
    if (option == COMMAND_END) break;
    if (option < 0) return command_option_exit(option);
    if (take_erase_option(argv[0], option, &w, &given) != 0) return EXIT_USAGE;
  }
  if (optind + 1 != argc)
    return command_usage(argv[0], optind < argc ? "one user at a time" : "whom? give a user's id");
  if (w.check && w.count > 1)
    return command_usage(argv[0], "--check looks everywhere: leave --from and --to away");
  if (w.in && (globals->server || globals->directory))
    return command_usage(argv[0], "--in names the place of work: leave --server and --db away");
  if (w.check) w.word[0] = "erase-check";
  add_word(&w, argv[optind]);
  return run_erase(globals, argv[0], &w);
}

int command_erase(struct globals *globals, int argc, char **argv) {
  return erase_command(globals, argc, argv, command_erase_options, command_erase_help);
}

int command_pseudonymize(struct globals *globals, int argc, char **argv) {
  return erase_command(globals, argc, argv, command_pseudonymize_options, command_pseudonymize_help);
}

/* ------------------------------------------------------------------ backup */

const struct option command_backup_options[] = {{0}};
const char command_backup_help[] =
    "Usage: tally backup DIR\n"
    "\n"
    "Make or renew a backup of the store in DIR, a directory on the store's machine (with a server: the\n"
    "server's; an absolute path is meant there). The backup has every event that was acknowledged before; "
    "it\n"
    "is a store by itself. Segments are hard links where the file system gives them, copies elsewhere, and\n"
    "what an earlier backup in DIR has is kept. Every file that is new in it is read again and checked.\n"
    "Ingest and queries go on meanwhile.\n"
    "\n"
    "Examples:\n"
    "  tally backup /backup/tally\n"
    "  tally --db ./store backup ./copy --format json\n";

int command_backup(struct globals *globals, int argc, char **argv) {
  command_options_start();
  int option = command_option(globals, argc, argv, command_backup_options, command_backup_help);
  if (option != COMMAND_END) return command_option_exit(option);
  if (optind == argc) return command_usage("backup", "where to? give a directory");
  if (optind + 1 < argc) return command_usage("backup", "unexpected '%s'", argv[optind + 1]);
  if (!globals->directory && argv[optind][0] != '/')
    return command_usage("backup", "'%s' is a path on the server's machine: write it from the root",
                         argv[optind]);
  const char *words[] = {"backup", argv[optind]};
  struct request request = {.kind = ANSWER_JOB, .words = words, .word_count = 2};
  return answer_print(globals, "backup", &request, NULL);
}
