/* ingest.c - `tally ingest`: its options, its messages, and the loop from the source to the sender. */
#include "tools/command.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "base/utf8.h"
#include "tools/ingest_send.h"
#include "tools/ingest_source.h"
#include "tools/progress.h"

#define SKIPPED_SHOWN 20u
#define PRODUCER_CHARACTERS 100u

enum {
  OPTION_INPUT = COMMAND_OPTION,
  OPTION_PRODUCER,
  OPTION_EPOCH,
  OPTION_BATCH_ROWS,
  OPTION_DURABILITY,
  OPTION_ON_ERROR,
  OPTION_IGNORE,
  OPTION_TZ,
  OPTION_TIME_UNIT,
  OPTION_COST_ROUNDING,
  OPTION_RETRY_FOR,
};

const struct option command_ingest_options[] = {
    {"input", required_argument, NULL, OPTION_INPUT},
    {"producer", required_argument, NULL, OPTION_PRODUCER},
    {"epoch", required_argument, NULL, OPTION_EPOCH},
    {"batch-rows", required_argument, NULL, OPTION_BATCH_ROWS},
    {"durability", required_argument, NULL, OPTION_DURABILITY},
    {"on-error", required_argument, NULL, OPTION_ON_ERROR},
    {"ignore", required_argument, NULL, OPTION_IGNORE},
    {"tz", required_argument, NULL, OPTION_TZ},
    {"time-unit", required_argument, NULL, OPTION_TIME_UNIT},
    {"cost-rounding", required_argument, NULL, OPTION_COST_ROUNDING},
    {"retry-for", required_argument, NULL, OPTION_RETRY_FOR},
    {0}};

const char command_ingest_help[] =
    "Usage: tally ingest [OPTIONS] FILE... | -\n"
    "\n"
    "Load events from CSV or NDJSON files, or from the standard input (-). With --producer every row\n"
    "is in exactly once: run the same command again after any failure, it goes on where it stopped.\n"
    "\n"
    "Options:\n"
    "  --input csv|ndjson       what the files are (default: by their first character)\n"
    "  --producer NAME          name this input, 1 to 100 characters, so that nothing is taken in twice\n"
    "  --epoch N                number of the input under that name (default 1); one unchanged input each\n"
    "  --batch-rows N           rows of a batch, 1 to 65536 (default 16384)\n"
    "  --durability disk|os     acknowledge after fdatasync (default), or after write\n"
    "  --on-error stop|skip     at a bad row: stop (default), or report it and leave it out\n"
    "  --ignore COLUMN,...      columns or keys to leave out\n"
    "  --tz ZONE                the zone of times without an offset (default: they are refused)\n"
    "  --time-unit us|ms|s      the unit of times that are integers (default us)\n"
    "  --cost-rounding refuse|half-even\n"
    "                           what to do with more than nine decimals (default refuse)\n"
    "  --retry-for DURATION     how long to try after a lost connection (default 10s)\n"
    "\n"
    "Columns: timestamp (needed), user_id, service_name, endpoint, method, request_size, response_size,\n"
    "duration_ms, status_code, tokens_used, cost, metadata.\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 wrong usage, 3 done with rows skipped.\n"
    "\n"
    "Examples:\n"
    "  tally --db ./store ingest events.csv\n"
    "  tally ingest --producer billing-export --epoch 202402 february.csv\n"
    "  zcat events.csv.gz | tally ingest --on-error skip -\n";

/* ------------------------------------------------------------------ options */

struct ingest {
  struct globals *globals;
  struct source_options source;
  struct send_options send;
  bool has_epoch;
  const char *const *paths;
  size_t path_count;
  struct progress progress;
  uint64_t shown; /* skipped rows that were said */
};

/* The place of a word in a NULL-terminated list; -1 after a message. */
static int one_of(const char *option, const char *value, const char *const *words) {
  for (int i = 0; words[i]; i++)
    if (strcmp(words[i], value) == 0) return i;
  char list[128] = "";
  for (int i = 0; words[i]; i++) {
    size_t n = strlen(list);
    (void)snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "", words[i]);
  }
  command_usage("ingest", "--%s is one of %s, not '%s'", option, list, value);
  return -1;
}

static bool take_word(const char *option, const char *value, const char *const *words, int *place) {
  *place = one_of(option, value, words);
  return *place >= 0;
}

static bool take_count(const char *option, const char *value, uint64_t most, uint64_t *number) {
  if (command_number(value, number) && *number >= 1 && *number <= most) return true;
  command_usage("ingest", "--%s is a number from 1 to %" PRIu64 ", not '%s'", option, most, value);
  return false;
}

static bool take_producer(struct ingest *in, const char *value) {
  size_t characters;
  if (utf8_text(value, strlen(value), &characters) && characters >= 1 && characters <= PRODUCER_CHARACTERS) {
    in->send.producer = value;
    return true;
  }
  command_usage("ingest", "--producer is a name of 1 to %u characters of UTF-8", PRODUCER_CHARACTERS);
  return false;
}

static bool take_ignore(struct ingest *in, const char *value) {
  struct ignore *ignore = &in->source.ignore;
  if (ignore->count == IGNORE_LISTS) {
    command_usage("ingest", "--ignore is given more than %u times: list the columns with commas",
                  IGNORE_LISTS);
    return false;
  }
  ignore->list[ignore->count++] = value;
  return true;
}

static bool take_zone(struct ingest *in, const char *value) {
  if (value_zone(&in->source.values, value) == TALLY_OK) return true;
  command_usage("ingest", "there is no time zone '%s': name one like Europe/Berlin, UTC or +05:30", value);
  return false;
}

/* Digits and ms, s, m or h. */
static bool take_duration(const char *value, int64_t *microseconds) {
  static const struct {
    const char *unit;
    uint64_t microseconds;
  } units[] = {{"ms", 1000}, {"s", 1000000}, {"m", 60000000}, {"h", 3600000000}};
  char digits[16];
  size_t n = strspn(value, "0123456789");
  if (n >= 1 && n < sizeof digits) {
    uint64_t number;
    memcpy(digits, value, n);
    digits[n] = '\0';
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
      if (strcmp(units[i].unit, value + n) == 0 && command_number(digits, &number) && number <= 1000000000) {
        *microseconds = (int64_t)(number * units[i].microseconds);
        return true;
      }
  }
  command_usage("ingest", "--retry-for is a time like 500ms, 10s, 5m or 1h, not '%s'", value);
  return false;
}

static bool take_option(struct ingest *in, int option) {
  static const char *const formats[] = {"csv", "ndjson", NULL}, *const durabilities[] = {"disk", "os", NULL},
                           *const reactions[] = {"stop", "skip", NULL},
                           *const time_units[] = {"us", "ms", "s", NULL},
                           *const roundings[] = {"refuse", "half-even", NULL};
  static const int64_t unit_sizes[] = {1, 1000, 1000000};
  int place = 0;
  uint64_t number = 0;
  bool good;
  switch (option) {
  case OPTION_INPUT:
    good = take_word("input", optarg, formats, &place);
    in->source.format = place == 0 ? INPUT_CSV : INPUT_NDJSON;
    return good;
  case OPTION_PRODUCER:
    return take_producer(in, optarg);
  case OPTION_EPOCH:
    in->has_epoch = true;
    return take_count("epoch", optarg, INT64_MAX, &in->send.epoch);
  case OPTION_BATCH_ROWS:
    good = take_count("batch-rows", optarg, TALLY_BATCH_ROWS, &number);
    in->source.batch_rows = (uint32_t)number;
    return good;
  case OPTION_DURABILITY:
    good = take_word("durability", optarg, durabilities, &place);
    in->send.durability = place == 0 ? TALLY_DISK : TALLY_OS;
    return good;
  case OPTION_ON_ERROR:
    good = take_word("on-error", optarg, reactions, &place);
    in->source.skip = place == 1;
    return good;
  case OPTION_IGNORE:
    return take_ignore(in, optarg);
  case OPTION_TZ:
    return take_zone(in, optarg);
  case OPTION_TIME_UNIT:
    good = take_word("time-unit", optarg, time_units, &place);
    if (good) in->source.values.time_unit = unit_sizes[place];
    return good;
  case OPTION_COST_ROUNDING:
    good = take_word("cost-rounding", optarg, roundings, &place);
    in->source.values.half_even = place == 1;
    return good;
  default:
    return take_duration(optarg, &in->send.retry_for);
  }
}

/* EXIT_DONE: go on with in->paths. COMMAND_HELP: the help was printed. */
static int take_arguments(struct ingest *in, int argc, char **argv) {
  command_options_start();
  for (;;) {
    int option = command_option(in->globals, argc, argv, command_ingest_options, command_ingest_help);
    if (option == COMMAND_END) break;
    if (option == COMMAND_HELP) return COMMAND_HELP;
    if (option == COMMAND_BAD || !take_option(in, option)) return EXIT_USAGE;
  }
  in->paths = (const char *const *)(argv + optind);
  in->path_count = (size_t)(argc - optind);
  if (!in->path_count) return command_usage("ingest", "name a FILE, or - for the standard input");
  if (in->has_epoch && !in->send.producer)
    return command_usage("ingest", "--epoch numbers the inputs of a --producer: name it as well");
  size_t standard = 0;
  for (size_t i = 0; i < in->path_count; i++) standard += strcmp(in->paths[i], "-") == 0;
  if (standard > 1) return command_usage("ingest", "the standard input (-) can be read only once");
  return EXIT_DONE;
}

/* ------------------------------------------------------------------ messages */

static void say(struct ingest *in, const struct source_file *file, const struct problem *problem,
                const char *what) {
  progress_clear(&in->progress);
  command_complain("%s%s, line %" PRIu64 "%s%s: %s", what, file->name, problem->line,
                   *problem->column ? ", column " : "", problem->column, problem->text);
}

static void say_skipped(void *arg, const struct ingest_batch *batch, const struct problem *problem) {
  struct ingest *in = arg;
  if (in->shown < SKIPPED_SHOWN) say(in, batch->file, problem, "skipped: ");
  if (++in->shown == SKIPPED_SHOWN + 1) command_complain("more skipped rows are only counted");
}

static void say_batch_skipped(struct ingest *in, const struct ingest_batch *batch) {
  uint32_t skipped = batch_skipped(batch);
  for (uint32_t i = 0; i < skipped && in->shown <= SKIPPED_SHOWN; i++)
    say_skipped(in, batch, &batch->problems[i < batch->problem_count ? i : 0]);
}

/* How to go on after a problem; the batch of its record starts at first_line. */
static void say_cure(const struct ingest *in, const struct send_counts *counts, const char *file,
                     uint64_t first_line, bool whole) {
  const char *skip = in->source.skip || whole ? "" : ", or leave such rows out with --on-error skip";
  const char *what = whole ? "file" : "line";
  if (in->send.producer)
    command_complain("what is in stays in: correct the %s and run the same command again, it goes on where "
                     "it stopped%s",
                     what, skip);
  else if (!counts->rows)
    command_complain("nothing of this input is in: correct the %s and run the command again%s", what, skip);
  else
    command_complain("%" PRIu64 " rows are in and stay in, those in front of line %" PRIu64
                     " of %s: correct the %s and ingest what follows, with the header%s",
                     counts->rows, first_line, file, what, skip);
}

static void say_refusal(struct ingest *in, const struct sender *sender) {
  const struct send_refusal *r = &sender->refusal;
  say(in, r->file, &r->problem, "");
  if (in->source.skip) return;
  if (in->send.producer || !sender->counts.rows)
    say_cure(in, &sender->counts, r->file->name, r->first_line, false);
  else
    command_complain("%" PRIu64 " rows are in and stay in, those from line %" PRIu64 " to %" PRIu64
                     " of %s are not: correct the line and ingest those, with the header",
                     sender->counts.rows, r->first_line, r->last_line, r->file->name);
}

/* Ends with the line that the contract promises. */
static void say_counts(struct ingest *in, const struct send_counts *c) {
  progress_clear(&in->progress);
  (void)fprintf(stderr,
                "ingested %" PRIu64 " rows in %" PRIu64 " batches, %" PRIu64 " duplicate batches, %" PRIu64
                " rows skipped\n",
                c->rows, c->batches, c->duplicates, c->skipped);
}

/* ------------------------------------------------------------------ running */

static int fail_send(struct ingest *in, const struct sender *sender, const tally_error *error) {
  progress_clear(&in->progress);
  if (sender->refusal.set) {
    say_refusal(in, sender);
    return EXIT_FAILED;
  }
  command_failure("ingest", error);
  return EXIT_FAILED;
}

/* The source has no batch to give. Waits for those under way. */
static int end_run(struct ingest *in, struct sender *sender, enum source_result result,
                   const struct ingest_batch *batch, const struct problem *problem, tally_error *error) {
  tally_error why = *error;
  int code = sender_finish(sender, result == SOURCE_END, error);
  if (code) return fail_send(in, sender, error);
  if (result == SOURCE_END) return sender->counts.skipped ? EXIT_SKIPPED : EXIT_DONE;
  progress_clear(&in->progress);
  if (result == SOURCE_PROBLEM) {
    say(in, batch->file, problem, "");
    say_cure(in, &sender->counts, batch->file->name, batch->line, problem->whole);
  } else if (why.code == TALLY_CANCELLED) {
    command_complain("interrupted%s", in->send.producer ? ": run the same command again to go on" : "");
  } else {
    command_failure("ingest", &why);
  }
  return EXIT_FAILED;
}

static int run(struct ingest *in, struct source *source, struct sender *sender, tally_error *error) {
  for (;;) {
    struct problem problem;
    struct ingest_batch *batch = sender_batch(sender);
    if (!batch) {
      fail_memory(error, "a batch");
      return fail_send(in, sender, error);
    }
    enum source_result result = source_next(source, batch, &problem, error);
    if (result != SOURCE_BATCH) {
      int code = end_run(in, sender, result, batch, &problem, error);
      sender_give_back(sender, batch);
      return code;
    }
    say_batch_skipped(in, batch);
    if (sender_put(sender, batch, error)) return fail_send(in, sender, error);
    progress_update(&in->progress, sender->counts.rows, source->bytes);
  }
}

static int ingest(struct ingest *in, struct backend *backend, tally_error *error) {
  struct source source;
  struct sender sender;
  int code = sender_init(&sender, backend, &in->send, error);
  if (code) {
    sender_free(&sender);
    return command_failure("ingest", error);
  }
  if (source_init(&source, &in->source, in->paths, in->path_count, error)) {
    code = command_failure("ingest", error);
  } else {
    code = run(in, &source, &sender, error);
    say_counts(in, &sender.counts);
  }
  sender_free(&sender);
  source_free(&source);
  return code;
}

/* Looks at all files before anything is done. */
static int check_files(struct ingest *in, uint64_t *total, tally_error *error) {
  bool known = true;
  *total = 0;
  for (size_t i = 0; i < in->path_count; i++) {
    uint64_t size;
    if (input_check(in->paths[i], &size, error)) return command_failure("ingest", error);
    known = known && size;
    *total += size;
  }
  if (!known) *total = 0;
  return EXIT_DONE;
}

int command_ingest(struct globals *globals, int argc, char **argv) {
  struct ingest in = {
      .globals = globals,
      .source = {.batch_rows = 16384, .values = {.time_unit = 1}, .stop = command_interrupted},
      .send = {.epoch = 1,
               .durability = TALLY_DISK,
               .retry_for = 10000000,
               .stop = command_interrupted,
               .skipped = say_skipped}};
  in.send.source = &in.source;
  in.send.arg = &in;
  int code = take_arguments(&in, argc, argv);
  if (code != EXIT_DONE) return code == COMMAND_HELP ? EXIT_DONE : code;
  tally_error error;
  uint64_t total;
  code = check_files(&in, &total, &error);
  if (code != EXIT_DONE) return code;
  struct backend *backend;
  if (command_backend(globals, true, &backend, &error)) return command_failure("ingest", &error);
  progress_start(&in.progress, !globals->quiet, total);
  command_catch_interrupts(true);
  code = ingest(&in, backend, &error);
  command_catch_interrupts(false);
  if (command_backend_done(globals, backend, &error)) code = command_failure("ingest", &error);
  return code;
}
