/* retention.c - the command retention: its words go to the store as they are. */
#include <getopt.h>
#include <string.h>

#include "tools/answer.h"

enum { OPT_SERVICE = COMMAND_OPTION, OPT_ARCHIVE, OPT_THIN, OPT_DROP, OPT_DRY_RUN };

const struct option command_retention_options[] = {
    {"service", required_argument, NULL, OPT_SERVICE}, {"archive", required_argument, NULL, OPT_ARCHIVE},
    {"thin", required_argument, NULL, OPT_THIN},       {"drop", required_argument, NULL, OPT_DROP},
    {"dry-run", no_argument, NULL, OPT_DRY_RUN},       {0}};
const char command_retention_help[] =
    "Usage: tally retention [show]\n"
    "       tally retention set [--service S] [--archive AGE] [--thin AGE] [--drop AGE]\n"
    "       tally retention clear [--service S]\n"
    "       tally retention apply [--dry-run]\n"
    "       tally retention confirm\n"
    "\n"
    "How long events are kept, for the store and for services with ages of their own. By default for ever.\n"
    "\n"
    "  --archive AGE   older events move to the folder archive, packed smaller; they answer as before\n"
    "  --thin AGE      of older events only sums by hour and day are kept; --dry-run first: this is for "
    "good\n"
    "  --drop AGE      older events are gone; events older than that are refused as too-late\n"
    "  --service S     for this service; its ages take the place of the store's, all three\n"
    "  --dry-run       tell what apply would do\n"
    "\n"
    "An AGE is 30d, 12w, 1y (365 days) or never; days are those of UTC. `set` replaces all three ages. The\n"
    "store applies them by itself, about once an hour; `apply` does it now. After the clock has jumped, or "
    "the\n"
    "store was closed, for more than a day nothing is thinned or dropped for 24 hours, or until `confirm`.\n"
    "\n"
    "Examples:\n"
    "  tally retention set --archive 30d --thin 90d --drop 1y\n"
    "  tally retention set --service chat --drop 2y\n"
    "  tally retention apply --dry-run\n";

struct words {
  const char *word[12];
  size_t count;
};

static void add(struct words *w, const char *word) { w->word[w->count++] = word; }

/* Each option once; 0, or COMMAND_BAD. */
static int take(int option, struct words *w, unsigned *given) {
  static const char *const name[] = {"--service", "--archive", "--thin", "--drop", "--dry-run"};
  unsigned bit = 1u << (option - OPT_SERVICE);
  if (*given & bit) {
    command_usage("retention", "%s is given twice", name[option - OPT_SERVICE]);
    return COMMAND_BAD;
  }
  *given |= bit;
  add(w, name[option - OPT_SERVICE]);
  if (option != OPT_DRY_RUN) add(w, optarg);
  return 0;
}

int command_retention(struct globals *globals, int argc, char **argv) {
  struct words options = {.count = 0}, w = {.count = 0};
  unsigned given = 0;
  command_options_start();
  for (;;) {
    int option = command_option(globals, argc, argv, command_retention_options, command_retention_help);
    if (option == COMMAND_END) break;
    if (option < 0) return command_option_exit(option);
    if (take(option, &options, &given) != 0) return EXIT_USAGE;
  }
  if (optind + 1 < argc) return command_usage("retention", "unexpected '%s'", argv[optind + 1]);
  const char *verb = optind < argc ? argv[optind] : "show";
  unsigned ages = given & ~(1u << (OPT_DRY_RUN - OPT_SERVICE)), dry = given & ~ages;
  bool applies = strcmp(verb, "apply") == 0, sets = strcmp(verb, "set") == 0,
       clears = strcmp(verb, "clear") == 0;
  if (!applies && !sets && !clears && strcmp(verb, "show") != 0 && strcmp(verb, "confirm") != 0)
    return command_usage("retention", "'%s' is none of show, set, clear, apply and confirm", verb);
  if ((dry && !applies) || (ages && !sets && !(clears && ages == 1)))
    return command_usage("retention", "%s does not take %s", verb, options.word[0]);
  add(&w, applies ? "retention-apply" : "retention");
  if (!applies) add(&w, verb);
  for (size_t i = 0; i < options.count; i++) add(&w, options.word[i]);
  struct request request = {.kind = ANSWER_JOB, .words = w.word, .word_count = w.count};
  return answer_print(globals, "retention", &request, NULL);
}
