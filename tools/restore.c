/* restore.c - the command restore: a store is made of a backup. It works on directories, not on a server. */
#include "tools/command.h"

const struct option command_restore_options[] = {{0}};
const char command_restore_help[] =
    "Usage: tally --db DIR restore BACKUP\n"
    "\n"
    "Make the store DIR, which must be absent or empty, of the backup in BACKUP. Every file is copied and\n"
    "every byte of it checked; where one is damaged nothing is left in DIR and the message names the file.\n"
    "The backup stays as it is. A producer goes on where the backup ends: batches that are in it are\n"
    "duplicates, later ones are asked for again.\n"
    "\n"
    "Examples:\n"
    "  tally --db ./store restore /backup/tally\n"
    "  tally --db ./store restore /backup/tally && tallyd --data ./store\n";

int command_restore(struct globals *globals, int argc, char **argv) {
  command_options_start();
  int option = command_option(globals, argc, argv, command_restore_options, command_restore_help);
  if (option != COMMAND_END) return command_option_exit(option);
  if (optind == argc) return command_usage("restore", "which backup? give its directory");
  if (optind + 1 < argc) return command_usage("restore", "unexpected '%s'", argv[optind + 1]);
  if (!globals->directory)
    return command_usage("restore",
                         "a restore makes a store in a directory of this machine: name it with --db");
  tally_error error = {0};
  if (tally_restore(argv[optind], globals->directory, &error) != 0) return command_failure("restore", &error);
  command_note(globals, "restored %s from %s; every checksum is right", globals->directory, argv[optind]);
  return EXIT_DONE;
}
