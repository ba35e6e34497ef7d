/* ask.c - how long queries take at the client: one connection, each query once to warm it and then several
 * times, the best and the median counted. What is timed goes from the request to the last row.
 *
 * usage: bench_ask --server HOST:PORT [--repeats N] [--filter NAME] [--no-rollups] [--user NAME | --heavy
 * NAME
 * --ordinary NAME] [--times | --answers]
 * Prints one JSON object a line: name, what it asks, rows, first_ms (the one that warms), best_ms, median_ms,
 * p99_ms; with --times also times_ms, all of them. With --answers nothing is timed, and the answers
 * themselves are printed: a line "# NAME", then each row's cells between tabs. The queries are for events of
 * `tally generate` with its default start. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/client.h"

#define REPEATS_MOST 1000

#define SUMS "count,sum:tokens_used,sum:cost"
#define MONTH .from = "2024-02-01", .to = "2024-03-01"
#define WEEK .from = "2024-02-08", .to = "2024-02-15"
#define DAY .from = "2024-02-14", .to = "2024-02-15"
#define MONTHS .from = "2024-01-01", .to = "2024-04-01"

struct question {
  const char *name, *what;
  enum user { NOBODY, HEAVY, ORDINARY } user;
  bool events;          /* not an aggregation but a scan, from the latest on */
  const char *where[2]; /* besides the user */
  tally_query query;
};

static const struct question questions[] = {
    {.name = "Q1",
     .what = "month: count, sums, average duration, error rate",
     .query = {MONTH, .aggregates = "count,sum:tokens_used,sum:cost,avg:duration_ms,error_rate"}},
    {.name = "Q2",
     .what = "service x day, three months: count, sums",
     .query = {MONTHS, .group_by = "service_name", .bucket = "1d", .aggregates = SUMS}},
    {.name = "Q3",
     .what = "the heaviest user, month, by service",
     .user = HEAVY,
     .query = {MONTH, .group_by = "service_name", .aggregates = SUMS}},
    {.name = "Q4",
     .what = "one user, hourly, 7 days",
     .user = ORDINARY,
     .query = {WEEK, .bucket = "1h", .aggregates = SUMS}},
    {.name = "Q4h",
     .what = "the heaviest user, hourly, 7 days",
     .user = HEAVY,
     .query = {WEEK, .bucket = "1h", .aggregates = SUMS}},
    {.name = "Q5",
     .what = "top 10 users by cost, month",
     .query = {MONTH, .group_by = "user_id", .aggregates = "sum:cost,count", .order_by = "sum:cost desc",
               .limit = 10}},
    {.name = "Q6",
     .what = "p50, p95, p99 of duration by service and hour, one day",
     .query = {DAY, .group_by = "service_name", .bucket = "1h",
               .aggregates = "p50:duration_ms,p95:duration_ms,p99:duration_ms"}},
    {.name = "Q7",
     .what = "errors by endpoint, one day",
     .query = {DAY, .group_by = "endpoint", .aggregates = "count,errors"}},
    {.name = "Q8",
     .what = "distinct users a day, three months",
     .query = {MONTHS, .bucket = "1d", .aggregates = "distinct:user_id"}},
    {.name = "Q9",
     .what = "service x user, month",
     .query = {MONTH, .group_by = "service_name,user_id", .aggregates = SUMS}},
    {.name = "Q10",
     .what = "latest 100 events of a user",
     .user = ORDINARY,
     .events = true,
     .query = {.limit = 100}},
    {.name = "Q10h",
     .what = "latest 100 events of the heaviest user",
     .user = HEAVY,
     .events = true,
     .query = {.limit = 100}},
    {.name = "Q11",
     .what = "5xx of one service in 5-minute buckets, one day",
     .where = {"status_code >= 500", "service_name = 'chat'"},
     .query = {DAY, .bucket = "5m", .aggregates = "count"}},
    {.name = "Q12",
     .what = "everything: count, sums, max",
     .query = {.aggregates = "count,sum:tokens_used,sum:cost,max:duration_ms"}},
    {.name = "month of a user",
     .what = "one ordinary user, month: count, sums",
     .user = ORDINARY,
     .query = {MONTH, .aggregates = SUMS}},
    {.name = "month of the heaviest",
     .what = "the heaviest user, month: count, sums",
     .user = HEAVY,
     .query = {MONTH, .aggregates = SUMS}},
};

static _Noreturn void give_up(const char *what, const char *why) {
  (void)fprintf(stderr, "bench_ask: %s: %s\n", what, why);
  exit(1);
}

static double seconds_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

struct ask {
  struct client *client;
  const char *server, *filter;
  unsigned long repeats;
  uint32_t flags;
  bool times, answers;
  char user[3][64]; /* predicates; of NOBODY: empty */
};

static void print_row(struct client_rows *rows) {
  for (size_t i = 0; i < client_rows_columns(rows); i++) {
    tally_text cell = client_rows_cell(rows, i);
    printf("%s%.*s", i ? "\t" : "", cell.data ? (int)cell.size : 2, cell.data ? cell.data : "\\N");
  }
  (void)putchar('\n');
}

/* Pulls every row, and prints it if `print`; keeps the first cell of the last one in `last` if that is not
 * NULL. */
static uint64_t pull(struct client_rows *rows, const char *name, bool print, char last[48]) {
  tally_error error;
  uint64_t count = 0;
  int code;
  while ((code = client_rows_next(rows, &error)) == TALLY_ROW) {
    count++;
    if (print) print_row(rows);
    tally_text cell = client_rows_cell(rows, 0);
    if (last && cell.data) (void)snprintf(last, 48, "%.*s", (int)cell.size, cell.data);
  }
  if (code) give_up(name, error.text);
  client_rows_close(rows);
  return count;
}

static uint64_t ask_once(struct ask *a, const struct question *q) {
  const char *where[3];
  size_t count = 0;
  struct client_rows *rows;
  tally_error error;
  int code;
  if (q->user != NOBODY) where[count++] = a->user[q->user];
  for (int i = 0; i < 2; i++)
    if (q->where[i]) where[count++] = q->where[i];
  if (q->events) {
    tally_scan scan = {
        .where = where, .where_count = count, .limit = q->query.limit, .flags = TALLY_ORDER_DESC};
    code = client_events(a->client, &scan, &rows, &error);
  } else {
    tally_query query = q->query;
    query.where = where;
    query.where_count = count;
    query.flags = a->flags;
    if (!query.limit) query.limit = TALLY_NO_LIMIT;
    code = client_query(a->client, &query, &rows, &error);
  }
  if (code) give_up(q->name, error.text);
  return pull(rows, q->name, a->answers, NULL);
}

static void ask(struct ask *a, const struct question *q) {
  double seconds[REPEATS_MOST], first = seconds_now();
  uint64_t rows = ask_once(a, q);
  first = seconds_now() - first;
  for (unsigned long i = 0; i < a->repeats; i++) {
    double start = seconds_now();
    ask_once(a, q);
    seconds[i] = seconds_now() - start;
  }
  qsort(seconds, a->repeats, sizeof *seconds, by_value);
  printf("{\"name\": \"%s\", \"what\": \"%s\", \"rows\": %llu, \"first_ms\": %.4f, \"best_ms\": %.4f, "
         "\"median_ms\": %.4f, \"p99_ms\": %.4f",
         q->name, q->what, (unsigned long long)rows, first * 1e3, seconds[0] * 1e3,
         seconds[a->repeats / 2] * 1e3, seconds[(a->repeats * 99 + 99) / 100 - 1] * 1e3);
  for (unsigned long i = 0; a->times && i < a->repeats; i++)
    printf("%s%.4f", i ? ", " : ", \"times_ms\": [", seconds[i] * 1e3);
  puts(a->times ? "]}" : "}");
  (void)fflush(stdout);
}

static void name_user(struct ask *a, int which, const char *name) {
  (void)snprintf(a->user[which], sizeof a->user[which], "user_id = '%s'", name);
}

/* The heaviest user, and the one of rank 1,000 (or the last there is). */
static void find_user(struct ask *a, int which, uint64_t rank) {
  tally_query query = {.group_by = "user_id", .aggregates = "count", .order_by = "count desc", .limit = rank};
  struct client_rows *rows;
  tally_error error;
  char name[48] = "";
  if (client_query(a->client, &query, &rows, &error)) give_up("finding a user", error.text);
  pull(rows, "finding a user", false, name);
  name_user(a, which, name);
}

static void take_arguments(struct ask *a, int argc, char **argv) {
  static const struct option options[] = {
      {"server", required_argument, NULL, 's'},   {"repeats", required_argument, NULL, 'r'},
      {"filter", required_argument, NULL, 'f'},   {"no-rollups", no_argument, NULL, 'n'},
      {"user", required_argument, NULL, 'u'},     {"heavy", required_argument, NULL, 'h'},
      {"ordinary", required_argument, NULL, 'o'}, {"times", no_argument, NULL, 't'},
      {"answers", no_argument, NULL, 'a'},        {0}};
  int option;
  while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
    if (option == 's') a->server = optarg;
    if (option == 'r') a->repeats = strtoul(optarg, NULL, 10);
    if (option == 'f') a->filter = optarg;
    if (option == 'u' || option == 'h') name_user(a, HEAVY, optarg);
    if (option == 'u' || option == 'o') name_user(a, ORDINARY, optarg);
    if (option == 'a') a->answers = true;
    if (option == 't') a->times = true;
    if (option == 'n') a->flags |= TALLY_NO_ROLLUPS;
    if (option == '?')
      give_up("usage", "bench_ask --server HOST:PORT [--repeats N] [--filter NAME] [--no-rollups]");
  }
  if (!a->server) give_up("usage", "--server is needed");
  if (a->repeats < 1 || a->repeats > REPEATS_MOST) give_up("usage", "--repeats is from 1 to 1000");
}

int main(int argc, char **argv) {
  struct ask a = {.repeats = 5};
  tally_error error;
  take_arguments(&a, argc, argv);
  if (client_open(a.server, NULL, &a.client, &error)) give_up("cannot connect", error.text);
  if (!*a.user[HEAVY]) find_user(&a, HEAVY, 1);
  if (!*a.user[ORDINARY]) find_user(&a, ORDINARY, 1000);
  for (size_t i = 0; i < sizeof questions / sizeof *questions; i++)
    if (!a.filter || strcmp(a.filter, questions[i].name) == 0) {
      if (a.answers) {
        printf("# %s\n", questions[i].name);
        ask_once(&a, &questions[i]);
      } else
        ask(&a, &questions[i]);
    }
  client_close(a.client);
  return 0;
}
