/* query.c - the commands query, events, stats, verify and flush: options to requests, in the contract's own
 * texts; the store checks them. */
#include "tools/answer.h"
#include "tools/command.h"

#include "base/mem.h"

#include <string.h>

enum {
  OPT_FROM = COMMAND_OPTION,
  OPT_TO,
  OPT_WHERE,
  OPT_GROUP_BY,
  OPT_BUCKET,
  OPT_TZ,
  OPT_FILL,
  OPT_APPROXIMATE,
  OPT_AGG,
  OPT_ORDER_BY,
  OPT_LIMIT,
  OPT_EXPLAIN,
  OPT_NO_ROLLUPS,
  OPT_PARTIAL,
  OPT_COLUMNS,
  OPT_ORDER
};

const struct option command_query_options[] = {{"from", required_argument, NULL, OPT_FROM},
                                               {"to", required_argument, NULL, OPT_TO},
                                               {"where", required_argument, NULL, OPT_WHERE},
                                               {"group-by", required_argument, NULL, OPT_GROUP_BY},
                                               {"bucket", required_argument, NULL, OPT_BUCKET},
                                               {"tz", required_argument, NULL, OPT_TZ},
                                               {"fill", no_argument, NULL, OPT_FILL},
                                               {"approximate", no_argument, NULL, OPT_APPROXIMATE},
                                               {"agg", required_argument, NULL, OPT_AGG},
                                               {"order-by", required_argument, NULL, OPT_ORDER_BY},
                                               {"limit", required_argument, NULL, OPT_LIMIT},
                                               {"explain", no_argument, NULL, OPT_EXPLAIN},
                                               {"no-rollups", no_argument, NULL, OPT_NO_ROLLUPS},
                                               {"partial", no_argument, NULL, OPT_PARTIAL},
                                               {0}};

const char command_query_help[] =
    "Usage: tally query [--from T] [--to T] [--where P]... [--group-by C,...] [--bucket B] [--tz ZONE]\n"
    "                   [--fill] [--approximate] [--agg A,...] [--order-by 'K [desc],...'] [--limit N]\n"
    "                   [--explain] [--no-rollups] [--partial]\n"
    "\n"
    "Aggregate the events of [from, to). Answers are exact.\n"
    "\n"
    "  --from T, --to T  2024-02-01T00:00:00Z, 2024-02-01 (midnight in --tz), now, now-7d; absent: open\n"
    "  --where P         C=V C!=V C<V C<=V C>V C>=V, C in (V,V), C not in (V,V), C is null, C is not null,\n"
    "                    C^=PREFIX; repeatable, all must hold; quote values with '...'\n"
    "  --group-by C,...  text and integer columns and metadata.KEY\n"
    "  --bucket B        N and us, ms, s, m, h, d, w, mo or y: 5m, 1d, 1mo\n"
    "  --tz ZONE         calendar of buckets and dates: Europe/Berlin, +05:30 (default UTC)\n"
    "  --fill            also buckets without events (needs --bucket, --from and --to)\n"
    "  --agg A,...       count, count:C, sum:C, avg:C, min:C, max:C, pQ:C (p95:duration_ms), distinct:C,\n"
    "                    errors, error_rate (default count)\n"
    "  --order-by K,...  a group column, bucket or an aggregate as written, each with asc or desc\n"
    "  --limit N         the first N rows\n"
    "  --approximate     percentiles with a bound of their error where only rollups are left\n"
    "  --no-rollups      answer from raw rows alone\n"
    "  --partial         leave out segments that are damaged, and say so on stderr, instead of refusing\n"
    "  --explain         how the answer is found instead of the answer\n"
    "\n"
    "Columns: timestamp user_id service_name endpoint method request_size response_size duration_ms\n"
    "         status_code tokens_used cost metadata metadata.KEY\n"
    "\n"
    "Examples:\n"
    "  tally query --from 2024-02-01 --to 2024-03-01 --group-by service_name --agg count,sum:cost\n"
    "  tally query --from now-1d --bucket 1h --agg count,error_rate,p99:duration_ms\n"
    "  tally query --where 'status_code>=500' --where \"service_name in (chat, 'embed')\" --bucket 5m\n"
    "  tally query --from 2024-02-01 --group-by user_id --agg sum:cost --order-by 'sum:cost desc' --limit "
    "10\n"
    "  tally query --group-by metadata.region --agg sum:metadata.credits --format json\n";

const struct option command_events_options[] = {{"from", required_argument, NULL, OPT_FROM},
                                                {"to", required_argument, NULL, OPT_TO},
                                                {"where", required_argument, NULL, OPT_WHERE},
                                                {"tz", required_argument, NULL, OPT_TZ},
                                                {"columns", required_argument, NULL, OPT_COLUMNS},
                                                {"order", required_argument, NULL, OPT_ORDER},
                                                {"limit", required_argument, NULL, OPT_LIMIT},
                                                {"partial", no_argument, NULL, OPT_PARTIAL},
                                                {0}};

const char command_events_help[] =
    "Usage: tally events [--from T] [--to T] [--where P]... [--columns C,...] [--order asc|desc|none]\n"
    "                    [--limit N] [--tz ZONE] [--partial]\n"
    "\n"
    "Print the events of [from, to) as they are stored.\n"
    "\n"
    "  --from T, --to T  as in 'tally query --help'\n"
    "  --where P         as in 'tally query --help'; repeatable, all must hold\n"
    "  --columns C,...   which columns, in which order (default all)\n"
    "  --order O         asc (default): by timestamp, then by the other columns; desc: the exact reverse;\n"
    "                    none: as found, which is fastest and needs no memory\n"
    "  --limit N         the first N rows\n"
    "  --tz ZONE         where the dates of --from and --to begin (default UTC)\n"
    "  --partial         leave out segments that are damaged, and say so on stderr, instead of refusing\n"
    "\n"
    "Examples:\n"
    "  tally events --where 'user_id=u42' --order desc --limit 100\n"
    "  tally events --from 2024-02-01 --to 2024-02-02 --columns timestamp,endpoint,cost\n"
    "  tally events --order none --format csv > all.csv\n";

const struct option command_stats_options[] = {{0}};
const char command_stats_help[] =
    "Usage: tally stats\n"
    "\n"
    "Print figures about the store, one a row: its rows, files, bytes and memory.\n"
    "\n"
    "Examples:\n"
    "  tally stats\n"
    "  tally --db ./store stats --format json\n";

const struct option command_flush_options[] = {{0}};
const char command_flush_help[] =
    "Usage: tally flush\n"
    "\n"
    "Write all rows that are in memory to segments, now. Nothing is lost without it: acknowledged rows\n"
    "are in the log. It returns when the segments are on disk.\n"
    "\n"
    "Examples:\n"
    "  tally flush\n"
    "  tally --db ./store flush\n";

const struct option command_verify_options[] = {{0}};
const char command_verify_help[] =
    "Usage: tally verify\n"
    "\n"
    "Read every file of the store and check it. Each problem found is a row: file, offset, problem.\n"
    "Exit status 1 if there is any. What was checked is told on stderr. A segment with a problem is\n"
    "quarantined (queries that may need its rows are refused); one that is whole again is not any more.\n"
    "\n"
    "Examples:\n"
    "  tally verify\n"
    "  tally --db ./store verify --format json\n";

/* ---- what query and events share */

struct texts {
  const char **where;
  size_t where_count;
  uint64_t limit;
};

static int refuse_operand(const char *command, const char *operand) {
  return command_usage(command, "unexpected '%s'; a value with spaces needs quotes", operand);
}

static int take_limit(const char *command, const char *text, uint64_t *limit) {
  if (command_number(text, limit) && *limit != TALLY_NO_LIMIT) return 0;
  command_usage(command, "--limit '%s' is no number of rows", text);
  return COMMAND_BAD;
}

/* Takes a list that may be given once, so that a second one does not silently replace it. */
static int take_list(const char *command, const char *option, const char **list) {
  if (*list) {
    command_usage(command, "--%s is given twice; write one list with commas", option);
    return COMMAND_BAD;
  }
  *list = optarg;
  return 0;
}

/* ---- query */

static int take_query_option(int option, tally_query *q, struct texts *t) {
  switch (option) {
  case OPT_FROM:
    q->from = optarg;
    return 0;
  case OPT_TO:
    q->to = optarg;
    return 0;
  case OPT_WHERE:
    t->where[t->where_count++] = optarg;
    return 0;
  case OPT_GROUP_BY:
    return take_list("query", "group-by", &q->group_by);
  case OPT_BUCKET:
    q->bucket = optarg;
    return 0;
  case OPT_TZ:
    q->tz = optarg;
    return 0;
  case OPT_FILL:
    q->flags |= TALLY_FILL;
    return 0;
  case OPT_APPROXIMATE:
    q->flags |= TALLY_APPROXIMATE;
    return 0;
  case OPT_AGG:
    return take_list("query", "agg", &q->aggregates);
  case OPT_ORDER_BY:
    return take_list("query", "order-by", &q->order_by);
  case OPT_LIMIT:
    return take_limit("query", optarg, &q->limit);
  case OPT_EXPLAIN:
    q->flags |= TALLY_EXPLAIN;
    return 0;
  case OPT_PARTIAL:
    q->flags |= TALLY_PARTIAL;
    return 0;
  default:
    q->flags |= TALLY_NO_ROLLUPS;
    return 0;
  }
}

static int run_query(struct globals *globals, int argc, char **argv, struct texts *t) {
  tally_query query;
  tally_query_init(&query);
  command_options_start();
  for (;;) {
    int option = command_option(globals, argc, argv, command_query_options, command_query_help);
    if (option == COMMAND_END) break;
    if (option < 0) return command_option_exit(option);
    if (take_query_option(option, &query, t) != 0) return EXIT_USAGE;
  }
  if (optind < argc) return refuse_operand("query", argv[optind]);
  query.where = t->where;
  query.where_count = t->where_count;
  struct request request = {.kind = ANSWER_QUERY, .query = &query};
  return answer_print(globals, "query", &request, NULL);
}

/* Runs with room for as many predicates as there are arguments. */
static int with_texts(struct globals *globals, int argc, char **argv,
                      int (*run)(struct globals *globals, int argc, char **argv, struct texts *t)) {
  struct texts t = {.where = mem_zalloc((size_t)argc, sizeof(char *))};
  if (!t.where) {
    command_complain("no-memory: there is no memory for the options");
    return EXIT_FAILED;
  }
  int code = run(globals, argc, argv, &t);
  mem_free((void *)t.where);
  return code;
}

int command_query(struct globals *globals, int argc, char **argv) {
  return with_texts(globals, argc, argv, run_query);
}

/* ---- events */

static int take_order(const char *text, uint32_t *flags) {
  *flags &= ~(uint32_t)(TALLY_ORDER_DESC | TALLY_ORDER_NONE);
  if (strcmp(text, "asc") == 0) return 0;
  if (strcmp(text, "desc") == 0) {
    *flags |= TALLY_ORDER_DESC;
  } else if (strcmp(text, "none") == 0) {
    *flags |= TALLY_ORDER_NONE;
  } else {
    command_usage("events", "--order '%s' is none of asc, desc and none", text);
    return COMMAND_BAD;
  }
  return 0;
}

static int take_events_option(int option, tally_scan *s, struct texts *t) {
  switch (option) {
  case OPT_FROM:
    s->from = optarg;
    return 0;
  case OPT_TO:
    s->to = optarg;
    return 0;
  case OPT_WHERE:
    t->where[t->where_count++] = optarg;
    return 0;
  case OPT_TZ:
    s->tz = optarg;
    return 0;
  case OPT_COLUMNS:
    return take_list("events", "columns", &s->columns);
  case OPT_ORDER:
    return take_order(optarg, &s->flags);
  case OPT_PARTIAL:
    s->flags |= TALLY_PARTIAL;
    return 0;
  default:
    return take_limit("events", optarg, &s->limit);
  }
}

static int run_events(struct globals *globals, int argc, char **argv, struct texts *t) {
  tally_scan scan;
  tally_scan_init(&scan);
  command_options_start();
  for (;;) {
    int option = command_option(globals, argc, argv, command_events_options, command_events_help);
    if (option == COMMAND_END) break;
    if (option < 0) return command_option_exit(option);
    if (take_events_option(option, &scan, t) != 0) return EXIT_USAGE;
  }
  if (optind < argc) return refuse_operand("events", argv[optind]);
  scan.where = t->where;
  scan.where_count = t->where_count;
  struct request request = {.kind = ANSWER_EVENTS, .scan = &scan};
  return answer_print(globals, "events", &request, NULL);
}

int command_events(struct globals *globals, int argc, char **argv) {
  return with_texts(globals, argc, argv, run_events);
}

/* ---- the commands without options: 0 to go on, else *exit_code holds */

static bool no_arguments(struct globals *globals, int argc, char **argv, const char *help, int *exit_code) {
  command_options_start();
  int option = command_option(globals, argc, argv, command_stats_options, help);
  *exit_code = option == COMMAND_END ? EXIT_DONE : command_option_exit(option);
  if (option == COMMAND_END && optind < argc) *exit_code = refuse_operand(argv[0], argv[optind]);
  return option == COMMAND_END && *exit_code == EXIT_DONE;
}

int command_stats(struct globals *globals, int argc, char **argv) {
  int code;
  if (!no_arguments(globals, argc, argv, command_stats_help, &code)) return code;
  struct request request = {.kind = ANSWER_STATS};
  return answer_print(globals, "stats", &request, NULL);
}

int command_verify(struct globals *globals, int argc, char **argv) {
  int code;
  if (!no_arguments(globals, argc, argv, command_verify_help, &code)) return code;
  struct request request = {.kind = ANSWER_VERIFY};
  uint64_t problems = 0;
  code = answer_print(globals, "verify", &request, &problems);
  if (code != EXIT_DONE) return code;
  command_note(globals,
               "read and checked every block of segments, catalog, manifest and log at %s: %llu problem%s",
               command_store_name(globals), (unsigned long long)problems, problems == 1 ? "" : "s");
  return problems ? EXIT_FAILED : EXIT_DONE;
}

int command_flush(struct globals *globals, int argc, char **argv) {
  int code;
  if (!no_arguments(globals, argc, argv, command_flush_help, &code)) return code;
  tally_error error = {0};
  struct backend *backend = NULL;
  if (command_backend(globals, false, &backend, &error) != 0) return command_failure("flush", &error);
  code = backend_flush(backend, &error) == 0 ? EXIT_DONE : command_failure("flush", &error);
  if (command_backend_done(globals, backend, &error) != 0) {
    if (code == EXIT_DONE) code = command_failure("flush", &error);
  }
  return code;
}
