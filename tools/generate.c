/* generate.c - `tally generate`: the synthetic workload of docs/generate.md as CSV.
 *
 * Two generators come of the seed: one for the arrivals alone, which are drawn twice (first for their sum, so
 * that they fill the days exactly; then one by one), and one for everything else. */
#include "tools/command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/status.h"
#include "model/civil.h"
#include "tools/generate_random.h"
#include "tools/generate_zipf.h"

#define OUTPUT_BYTES (1u << 20)
#define ROW_MOST 512u
#define ROWS_MOST UINT64_C(10000000000)
#define USERS_MOST UINT64_C(10000000)
#define EARLIER_MOST UINT64_C(60000000) /* microseconds */
#define GAP_BITS 30                     /* arrivals' gaps are in units of 2^-30 of the mean */
#define DAY_US INT64_C(86400000000)
#define TIME_MAX INT64_C(253402300799999999) /* the end of the year 9999 */

enum { OPTION_ROWS = COMMAND_OPTION, OPTION_DAYS, OPTION_USERS, OPTION_START, OPTION_SEED };

const struct option command_generate_options[] = {
    {"rows", required_argument, NULL, OPTION_ROWS},   {"days", required_argument, NULL, OPTION_DAYS},
    {"users", required_argument, NULL, OPTION_USERS}, {"start", required_argument, NULL, OPTION_START},
    {"seed", required_argument, NULL, OPTION_SEED},   {0}};

const char command_generate_help[] =
    "Usage: tally generate --rows N [--days D] [--users U] [--start T] [--seed K]\n"
    "\n"
    "Write synthetic usage events as CSV to the standard output: the same bytes for the same options,\n"
    "on any machine.\n"
    "\n"
    "Options:\n"
    "  --rows N    how many events (needed)\n"
    "  --days D    over how many days they are spread (default 91)\n"
    "  --users U   how many users there are (default 100000)\n"
    "  --start T   when they start, as 2024-02-01 or 2024-02-01T00:00:00Z (default 2024-01-01)\n"
    "  --seed K    another number gives other events (default 1)\n"
    "\n"
    "Examples:\n"
    "  tally generate --rows 1000000 > events.csv\n"
    "  tally generate --rows 100000 --days 7 | tally --db ./store ingest -\n";

struct service {
  const char *name;
  uint32_t price; /* dollars for ten million tokens, that is 10^-4 dollars for a thousand */
  bool tokens;
};

static const struct service services[12] = {
    {"chat", 300, true},     {"completion", 20, true}, {"vision", 150, true},  {"speech", 100, true},
    {"moderation", 0, true}, {"rerank", 10, true},     {"embedding", 1, true}, {"agent", 200, true},
    {"storage", 0, false},   {"auth", 0, false},       {"search", 60, false},  {"webhook", 40, false},
};

#define ENDPOINTS_EACH 5u

static const struct {
  const char *method, *path;
} routes[8] = {{"POST", "create"}, {"GET", "get"},    {"GET", "list"},    {"POST", "run"},
               {"PUT", "replace"}, {"PATCH", "edit"}, {"DELETE", "drop"}, {"POST", "batch"}};

static const char *const regions[3] = {"us-east-1", "eu-west-1", "ap-south-1"};

/* ------------------------------------------------------------------ options */

struct generate {
  uint64_t rows, days, users, seed;
  int64_t start; /* microseconds */
  bool has_rows;
};

static bool take_number(const char *option, const char *value, uint64_t least, uint64_t most, uint64_t *to) {
  if (command_number(value, to) && *to >= least && *to <= most) return true;
  command_usage("generate", "--%s is a number from %" PRIu64 " to %" PRIu64 ", not '%s'", option, least, most,
                value);
  return false;
}

static bool take_start(const char *value, int64_t *start) {
  int64_t days;
  bool has_offset;
  size_t size = strlen(value);
  if (date_parse(value, size, &days) && days >= 0) {
    *start = days * DAY_US;
    return true;
  }
  if (timestamp_parse(value, size, start, &has_offset) && has_offset) return true;
  command_usage("generate",
                "--start is a date like 2024-02-01 or a time like 2024-02-01T00:00:00Z, from 1970 on, "
                "not '%s'",
                value);
  return false;
}

static bool take_option(struct generate *g, int option) {
  switch (option) {
  case OPTION_ROWS:
    g->has_rows = true;
    return take_number("rows", optarg, 0, ROWS_MOST, &g->rows);
  case OPTION_DAYS:
    return take_number("days", optarg, 1, 36500, &g->days);
  case OPTION_USERS:
    return take_number("users", optarg, 1, USERS_MOST, &g->users);
  case OPTION_START:
    return take_start(optarg, &g->start);
  default:
    return take_number("seed", optarg, 0, UINT64_MAX, &g->seed);
  }
}

static int take_arguments(struct globals *globals, struct generate *g, int argc, char **argv) {
  command_options_start();
  for (;;) {
    int option = command_option(globals, argc, argv, command_generate_options, command_generate_help);
    if (option == COMMAND_END) break;
    if (option == COMMAND_HELP) return COMMAND_HELP;
    if (option == COMMAND_BAD || !take_option(g, option)) return EXIT_USAGE;
  }
  if (optind < argc)
    return command_usage("generate", "'%s' is too much: it takes options only", argv[optind]);
  if (!g->has_rows) return command_usage("generate", "--rows is needed: how many events?");
  if (g->start > TIME_MAX - (int64_t)g->days * DAY_US)
    return command_usage("generate", "the days reach beyond the year 9999: let them start earlier");
  return EXIT_DONE;
}

/* ------------------------------------------------------------------ text */

static char *put_text(char *p, const char *text) {
  size_t size = strlen(text);
  memcpy(p, text, size);
  return p + size;
}

static char *put_number(char *p, uint64_t n) {
  char digits[20];
  size_t at = sizeof digits;
  do digits[--at] = (char)('0' + n % 10);
  while (n /= 10);
  memcpy(p, digits + at, sizeof digits - at);
  return p + (sizeof digits - at);
}

/* With leading zeros. */
static char *put_digits(char *p, uint64_t n, int count) {
  for (int i = count - 1; i >= 0; i--, n /= 10) p[i] = (char)('0' + n % 10);
  return p + count;
}

static char *put_hex(char *p, uint32_t n) {
  for (int i = 7; i >= 0; i--, n >>= 4) p[i] = "0123456789abcdef"[n & 0xF];
  return p + 8;
}

/* The day that was printed last: most times are of the same one. */
struct date {
  int64_t day;
  char text[10];
};

static char *put_time(char *p, struct date *date, int64_t us) {
  int64_t day = us / DAY_US, year;
  if (day != date->day) {
    int month, of_month;
    days_to_civil(day, &year, &month, &of_month);
    char *text = put_digits(date->text, (uint64_t)year, 4);
    *text++ = '-';
    text = put_digits(text, (uint64_t)month, 2);
    *text++ = '-';
    put_digits(text, (uint64_t)of_month, 2);
    date->day = day;
  }
  uint64_t rest = (uint64_t)(us - day * DAY_US), second = rest / 1000000;
  memcpy(p, date->text, sizeof date->text);
  p += sizeof date->text;
  *p++ = 'T';
  p = put_digits(p, second / 3600, 2);
  *p++ = ':';
  p = put_digits(p, second / 60 % 60, 2);
  *p++ = ':';
  p = put_digits(p, second % 60, 2);
  *p++ = '.';
  p = put_digits(p, rest % 1000000, 6);
  *p++ = 'Z';
  return p;
}

/* ------------------------------------------------------------------ events */

struct workload {
  struct random_tables tables;
  struct zipf users;
  struct random arrivals, random;
  uint64_t sum, total; /* of the gaps up to here, and of all */
  int64_t start, span; /* microseconds */
  struct date date;
};

static uint64_t next_gap(struct workload *w) {
  return negative_log(&w->tables, random_next(&w->arrivals)) >> (56 - GAP_BITS);
}

static bool workload_init(struct workload *w, const struct generate *g) {
  random_tables_init(&w->tables);
  random_seed(g->seed, &w->arrivals, &w->random);
  w->start = g->start;
  w->span = (int64_t)g->days * DAY_US;
  w->date.day = -1;
  w->sum = w->total = 0;
  struct random again = w->arrivals;
  for (uint64_t i = 0; i <= g->rows; i++) w->total += next_gap(w); /* one more: the way to the end */
  if (!w->total) w->total = 1;
  w->arrivals = again;
  return zipf_init(&w->users, (size_t)g->users, &w->tables);
}

/* Gaps are exponential, so arrivals are those of a Poisson process that has this many of them in the span. */
static int64_t next_arrival(struct workload *w) {
  w->sum += next_gap(w);
  int64_t at = w->start + (int64_t)((uint128)(uint64_t)w->span * w->sum / w->total);
  if (random_below(&w->random, 100) < 2) at -= (int64_t)random_below(&w->random, EARLIER_MOST + 1);
  return at < 0 ? 0 : at;
}

static unsigned next_status(struct random *r) {
  uint64_t error = random_below(r, 1000); /* 3 %: 60 % of them 429, 20 % 500, 20 % 400 */
  return error >= 30 ? 200 : error < 18 ? 429 : error < 24 ? 500 : 400;
}

static uint64_t next_service(struct random *r) {
  uint64_t x = random_next(r), u = x >> 32, v = x & 0xFFFFFFFF;
  return (uint64_t)((uint128)u * v * 12 >> 64);
}

static char *put_metadata(char *p, struct random *r) {
  if (random_below(r, 10) >= 3) return p;
  p = put_text(p, "\"{\"\"region\"\":\"\"");
  p = put_text(p, regions[random_below(r, 3)]);
  p = put_text(p, "\"\",\"\"req\"\":\"\"");
  p = put_hex(p, (uint32_t)(random_next(r) >> 32));
  return put_text(p, "\"\"}\"");
}

static char *put_comma_number(char *p, uint64_t n) {
  *p++ = ',';
  return put_number(p, n > INT32_MAX ? INT32_MAX : n);
}

static char *put_event(char *p, struct workload *w) {
  struct random *r = &w->random;
  int64_t normal[4];
  p = put_time(p, &w->date, next_arrival(w));
  p = put_text(p, ",user_");
  p = put_hex(p, (uint32_t)zipf_next(&w->users, r) * UINT32_C(2654435761));
  uint64_t service = next_service(r), endpoint = service * ENDPOINTS_EACH + random_below(r, ENDPOINTS_EACH);
  *p++ = ',';
  p = put_text(p, services[service].name);
  p = put_text(p, ",/v1/");
  p = put_text(p, routes[endpoint % 8].path);
  *p++ = '/';
  p = put_number(p, endpoint);
  *p++ = ',';
  p = put_text(p, routes[endpoint % 8].method);
  random_normal(r, &w->tables, normal);
  random_normal(r, &w->tables, normal + 2);
  p = put_comma_number(p, log_normal(&w->tables, normal[0], 60, 10));
  p = put_comma_number(p, log_normal(&w->tables, normal[1], 70, 10));
  p = put_comma_number(p, log_normal(&w->tables, normal[2], 55, 9));
  p = put_comma_number(p, next_status(r));
  uint64_t tokens = services[service].tokens ? log_normal(&w->tables, normal[3], 60, 11) : 0;
  p = put_comma_number(p, tokens);
  uint64_t cost = (tokens * services[service].price + 500) / 1000; /* 10^-4 dollars */
  *p++ = ',';
  p = put_number(p, cost / 10000);
  *p++ = '.';
  p = put_digits(p, cost % 10000, 4);
  *p++ = ',';
  p = put_metadata(p, r);
  *p++ = '\n';
  return p;
}

/* ------------------------------------------------------------------ output */

/* EXIT_DONE, or EXIT_FAILED after a message; *closed: the reader has gone, which is no mistake. */
static int write_all(const char *data, size_t size, bool *closed) {
  while (size) {
    if (command_interrupted()) return EXIT_FAILED;
    ssize_t n = write(STDOUT_FILENO, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EPIPE) *closed = true;
    if (*closed) return EXIT_DONE;
    if (n < 0) {
      command_complain("cannot write the events: %s", strerror(errno));
      return EXIT_FAILED;
    }
    data += n;
    size -= (size_t)n;
  }
  return EXIT_DONE;
}

static int write_events(struct workload *w, uint64_t rows, char *output) {
  bool closed = false;
  char *p = output;
  for (int c = 0; c < TALLY_COLUMNS; c++) {
    p = put_text(p, tally_column_name(c));
    *p++ = c + 1 < TALLY_COLUMNS ? ',' : '\n';
  }
  for (uint64_t i = 0; i < rows && !closed; i++) {
    if ((size_t)(p - output) > OUTPUT_BYTES - ROW_MOST) {
      int code = write_all(output, (size_t)(p - output), &closed);
      if (code != EXIT_DONE) return code;
      p = output;
    }
    p = put_event(p, w);
  }
  return closed ? EXIT_DONE : write_all(output, (size_t)(p - output), &closed);
}

int command_generate(struct globals *globals, int argc, char **argv) {
  struct generate g = {.days = 91, .users = 100000, .seed = 1, .start = INT64_C(1704067200000000)};
  int code = take_arguments(globals, &g, argc, argv);
  if (code != EXIT_DONE) return code == COMMAND_HELP ? EXIT_DONE : code;
  struct workload *w = mem_zalloc(1, sizeof *w);
  char *output = mem_alloc(OUTPUT_BYTES);
  tally_error error;
  command_catch_interrupts(true);
  if (!w || !output || !workload_init(w, &g)) {
    fail_memory(&error, "the workload");
    code = command_failure("generate", &error);
  } else {
    code = write_events(w, g.rows, output);
  }
  command_catch_interrupts(false);
  if (w) zipf_free(&w->users);
  mem_free(w);
  mem_free(output);
  return code;
}
