/* maintain.c - the commands that work on the store's files: their words go to the store as they are, what it
 * did comes back as rows. */
#include "tools/answer.h"

#include <getopt.h>

const struct option command_compact_options[] = {{0}};
const char command_compact_help[] =
    "Usage: tally compact\n"
    "\n"
    "Merge segments now until each month has few, one after the other in time; the store does this by\n"
    "itself for months that are over, and where many segments have come together. Ingest and queries go\n"
    "on meanwhile. Each merge is a row: month, segments, rows and bytes before and after.\n"
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
