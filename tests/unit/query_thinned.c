/* query_thinned.c - over thinned segments a query gives the answer that the rows gave, or says that it
 * cannot. */
#include <inttypes.h>

#include "query/query.h"
#include "scan_fixture.h"

/* January in two segments that are thinned into one, with hours that both have; February and a late memtable
 * with rows. */
struct stores {
  struct fixture f;
  struct segment *thinned;
  struct segment *segments[2];
  struct snapshot rows, rollups; /* the same events */
  atomic_bool cancelled;
  struct budget share;
};

static void stores_open(struct stores *s, uint64_t *random) {
  static const struct sample_shape shapes[] = {
      {3000, 30, 3, 3, 2, 4, false, JANUARY_START, JANUARY_START + 3 * DAY_US},
      {3000, 30, 3, 3, 2, 4, false, JANUARY_START + DAY_US, JANUARY_START + 5 * DAY_US},
      {3000, 30, 3, 3, 2, 4, false, FEBRUARY_START, FEBRUARY_START + 2 * DAY_US},
      {500, 30, 3, 3, 2, 4, false, JANUARY_START, FEBRUARY_START + 2 * DAY_US}};
  const uint32_t ids[DOMAINS] = {30, 3, 3, 2};
  tally_error error = {0};
  memset(s, 0, sizeof *s);
  fixture_begin(&s->f, ids);
  for (int i = 0; i < 4; i++) {
    struct rows rows;
    if (i == 3)
      sample_arrivals(random, &shapes[i], &rows);
    else
      sample_make(random, &shapes[i], &rows);
    if (i == 3)
      fixture_memtable(&s->f, rows, rows.count);
    else
      fixture_segment(&s->f, rows, i == 2 ? JANUARY + 1 : JANUARY);
  }
  struct segment_info info = {.id = 99, .month = JANUARY};
  int result = segment_thin(os_posix(), s->f.path, s->f.segments, 2, NULL, &s->f.budget, &info, &error);
  cr_assert_eq(result, 0, "%s", error.text);
  result = segment_open(os_posix(), s->f.path, &info, s->f.cache, &s->f.budget, &s->thinned, &error);
  cr_assert_eq(result, 0, "%s", error.text);
  s->segments[0] = s->thinned;
  s->segments[1] = s->f.segments[2];
  s->rows = s->rollups = s->f.snapshot;
  s->rollups.segments = s->segments;
  s->rollups.segment_count = 2;
  budget_init(&s->share, 64u << 20, NULL);
}

static void stores_close(struct stores *s) {
  cr_assert_eq(budget_used(&s->share), 0);
  segment_unref(s->thinned);
  fixture_end(&s->f);
}

static void put(struct buffer *out, tally_text cell, size_t column) {
  if (column) write8(out, '|');
  if (cell.data)
    buffer_append(out, cell.data, cell.size);
  else
    buffer_text(out, "\\N");
}

/* The answer as lines, or the error's name and text; free with free. */
static char *ask(struct stores *s, const struct snapshot *snapshot, const tally_query *query,
                 const tally_scan *scan) {
  struct query_environment environment = {.snapshot = snapshot,
                                          .budget = &s->share,
                                          .os = os_posix(),
                                          .now = FEBRUARY_START,
                                          .deadline = INT64_MAX,
                                          .cancelled = &s->cancelled};
  struct result *result = NULL;
  struct buffer out = {0};
  tally_error error = {0};
  int rc = query ? query_open(query, &environment, &result, &error)
                 : events_open(scan, &environment, &result, &error);
  for (size_t c = 0; !rc && c < result_columns(result); c++) {
    const char *name = result_column(result, c).name;
    put(&out, (tally_text){name, strlen(name)}, c);
  }
  while (!rc && (rc = result_next(result, 1, &error)) == TALLY_ROW) {
    rc = 0;
    write8(&out, '\n');
    for (size_t c = 0; c < result_columns(result); c++) put(&out, result_cell(result, c), c);
  }
  if (rc < 0) {
    buffer_clear(&out);
    buffer_printf(&out, "%s: %s", tally_error_name(rc), error.text);
  }
  write8(&out, 0);
  if (result) result_free(result);
  return (char *)out.data;
}

static bool refused(const char *answer) { return strncmp(answer, "no-raw-rows: ", 13) == 0; }

static const tally_query answered[] = {
    {.aggregates = "count,sum:cost,avg:duration_ms,error_rate,min:tokens_used,max:cost"},
    {.from = "2024-01-01", .to = "2024-02-01", .aggregates = "count"},
    {.group_by = "service_name", .bucket = "1d", .aggregates = "count,sum:tokens_used,sum:cost"},
    {.group_by = "endpoint,method",
     .bucket = "1h",
     .aggregates = "count,errors,min:duration_ms,max:duration_ms"},
    {.group_by = "user_id",
     .bucket = "1d",
     .aggregates = "count,sum:cost,count:status_code,errors,max:tokens_used"},
    {.group_by = "service_name,user_id", .bucket = "1w", .aggregates = "count,error_rate,min:cost"},
    {.bucket = "1d", .aggregates = "distinct:user_id,count:user_id"},
    {.bucket = "1h", .aggregates = "distinct:user_id", .tz = "+02:00"},
    {.bucket = "1d", .aggregates = "distinct:endpoint,count:method", .tz = "+02:00"},
    {.from = "2024-01-02T05:00:00Z",
     .to = "2024-01-04T17:00:00Z",
     .aggregates = "count,sum:cost,distinct:method"},
    {.from = "2024-01-02T05:00:00Z",
     .to = "2024-01-04T17:00:00Z",
     .group_by = "user_id",
     .aggregates = "count"},
    {.from = "2024-01-20", .aggregates = "p95:cost,distinct:metadata.region"}, /* no thinned rows there */
};

Test(query_thinned, answers_what_rollups_carry) {
  uint64_t random = sample_seed("query_thinned", 31);
  struct stores s;
  stores_open(&s, &random);
  for (size_t i = 0; i < sizeof answered / sizeof *answered; i++) {
    tally_query q = answered[i];
    q.limit = TALLY_NO_LIMIT;
    char *want = ask(&s, &s.rows, &q, NULL), *got = ask(&s, &s.rollups, &q, NULL);
    cr_assert_str_eq(got, want, "query %zu", i);
    cr_assert(strchr(want, '\n') != NULL);
    free(want);
    free(got);
  }
  stores_close(&s);
}

Test(query_thinned, refuses_the_rest_and_says_why) {
  static const char *const metadata[] = {"metadata.region = eu"}, *const status[] = {"status_code = 404"},
                           *const user[] = {"user_id is not null"},
                           *const gap[] = {"timestamp != 2024-01-02T00:00:00Z"};
  static const struct {
    tally_query query;
    const char *says;
  } list[] = {
      {{.aggregates = "count", .flags = TALLY_NO_ROLLUPS}, "leave --no-rollups away"},
      {{.aggregates = "count,p95:cost"}, "no rollup has p95:cost;"},
      {{.aggregates = "p95:duration_ms"}, "p95:duration_ms (but with --approximate)"},
      {{.aggregates = "distinct:status_code,min:timestamp"},
       "no rollup has distinct:status_code, min:timestamp;"},
      {{.aggregates = "count", .group_by = "status_code,metadata.region"},
       "no rollup has status_code as a group, metadata.region as a group;"},
      {{.aggregates = "count", .where = metadata, .where_count = 1}, "metadata in a predicate"},
      {{.aggregates = "count", .where = status, .where_count = 1}, "status_code below its class"},
      {{.aggregates = "count", .group_by = "endpoint", .where = user, .where_count = 1},
       "all that is asked at once"},
      {{.aggregates = "distinct:user_id", .group_by = "method"}, "all that is asked at once"},
      {{.aggregates = "count", .bucket = "15m"}, "buckets of whole hours"},
      {{.aggregates = "count", .bucket = "1d", .tz = "+05:30"}, "buckets of whole hours"},
      {{.aggregates = "count", .from = "2024-01-02T05:30:00Z", .to = "2024-01-04T17:00:01Z"},
       "ask for 2024-01-02T05:00:00Z to 2024-01-04T18:00:00Z"},
      {{.aggregates = "count", .where = gap, .where_count = 1}, ""},
  };
  uint64_t random = sample_seed("query_thinned", 32);
  struct stores s;
  stores_open(&s, &random);
  for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
    tally_query q = list[i].query;
    q.limit = TALLY_NO_LIMIT;
    char *got = ask(&s, &s.rollups, &q, NULL), *rows = ask(&s, &s.rows, &q, NULL);
    cr_assert(refused(got) && strstr(got, list[i].says) && strstr(got, "2024-01"), "query %zu: %s", i, got);
    cr_assert_not(refused(rows));
    free(got);
    free(rows);
  }
  tally_scan scan = {.limit = TALLY_NO_LIMIT};
  char *events = ask(&s, &s.rollups, NULL, &scan);
  cr_assert(refused(events), "%s", events);
  free(events);
  scan.from = "2024-02-01";
  char *later = ask(&s, &s.rollups, NULL, &scan), *want = ask(&s, &s.rows, NULL, &scan);
  cr_assert_str_eq(later, want, "thinned segments outside of the range do not count");
  free(later);
  free(want);
  stores_close(&s);
}

/* ---- random queries */

static const char *pick(uint64_t *random, const char *const *list, uint32_t count) {
  return list[sample_below(random, count)];
}
#define PICK(random, list) pick(random, list, sizeof(list) / sizeof *(list))

static void random_time(uint64_t *random, char text[32]) {
  static const char *const minutes[] = {"00:00", "00:00", "00:00", "00:00", "30:00", "00:01"};
  snprintf(text, 32, "2024-01-%02uT%02u:%sZ", 1 + sample_below(random, 7), sample_below(random, 24),
           PICK(random, minutes));
}

static void random_list(uint64_t *random, const char *const *list, uint32_t count, uint32_t most,
                        char text[200]) {
  text[0] = '\0';
  uint32_t n = sample_below(random, most + 1);
  for (uint32_t i = 0; i < n; i++) {
    const char *item = list[sample_below(random, count)];
    if (strstr(text, item)) continue;
    if (*text) strcat(text, ",");
    strcat(text, item);
  }
}

Test(query_thinned, answers_random_queries_as_the_rows_did, .timeout = 120) {
  static const char *const groups[] = {"service_name", "endpoint", "method", "user_id"};
  static const char *const aggregates[] = {
      "count",           "sum:cost",         "sum:tokens_used",   "avg:duration_ms",
      "min:cost",        "max:request_size", "count:user_id",     "errors",
      "error_rate",      "distinct:user_id", "distinct:endpoint", "count:cost",
      "sum:status_code", "min:tokens_used",  "max:status_code",   "distinct:service_name"};
  static const char *const buckets[] = {"1h", "2h", "1d", "1d", "1w", "1mo", "30m"};
  static const char *const zones[] = {"UTC", "UTC", "+02:00", "-07:00", "+05:30"};
  static const char *const predicates[] = {
      "status_code >= 400",       "status_code < 500", "status_code is null", "status_code != 200",
      "service_name is not null", "endpoint != ''",    "method is null",      "user_id > 'u'",
      "user_id is null"};
  uint64_t random = sample_seed("query_thinned", 33);
  struct stores s;
  unsigned answers = 0, refusals = 0;
  stores_open(&s, &random);
  for (int round = 0; round < 3000; round++) {
    char from[32], to[32], group[200], list[200];
    const char *where[2];
    tally_query q = {.limit = TALLY_NO_LIMIT};
    random_time(&random, from);
    random_time(&random, to);
    random_list(&random, groups, 4, 2, group);
    random_list(&random, aggregates, 16, 3, list);
    if (!*list) strcpy(list, "count");
    if (sample_below(&random, 2)) q.from = from;
    if (sample_below(&random, 2)) q.to = to;
    if (*group) q.group_by = group;
    if (sample_below(&random, 2)) q.bucket = PICK(&random, buckets);
    if (sample_below(&random, 2)) q.tz = PICK(&random, zones);
    for (uint32_t n = sample_below(&random, 3); n > 0; n--)
      where[q.where_count++] = PICK(&random, predicates);
    q.where = where;
    q.aggregates = list;
    char *want = ask(&s, &s.rows, &q, NULL), *got = ask(&s, &s.rollups, &q, NULL);
    if (refused(got))
      refusals++;
    else
      answers++;
    cr_assert(refused(got) || strcmp(got, want) == 0,
              "--from %s --to %s --group-by '%s' --bucket %s --tz %s --agg %s "
              "--where '%s' '%s'\n%s\nnot\n%s",
              q.from, q.to, group, q.bucket, q.tz, list, q.where_count ? where[0] : "",
              q.where_count > 1 ? where[1] : "", got, want);
    free(want);
    free(got);
  }
  fprintf(stderr, "query_thinned: %u answered, %u refused\n", answers, refusals);
  cr_assert(answers > 1000 && refusals > 500, "%u answered, %u refused", answers, refusals);
  stores_close(&s);
}

/* ---- percentiles */

/* The values of a column of an answer; of NULL -1. */
static size_t read_column(const char *answer, size_t column, double *values, size_t most) {
  size_t n = 0;
  for (const char *line = strchr(answer, '\n'); line && n < most; line = strchr(line + 1, '\n')) {
    const char *cell = line + 1;
    for (size_t c = 0; c < column; c++) cell = strchr(cell, '|') + 1;
    values[n++] = *cell == '\\' ? -1 : strtod(cell, NULL);
  }
  return n;
}

/* Percentiles over thinned segments lie within the bound that stands beside them, all else is exact. */
static void check_percentiles(struct stores *s, const tally_query *q, size_t column) {
  static double a[1000], b[1000];
  char *exact = ask(s, &s->rows, q, NULL), *near = ask(s, &s->rollups, q, NULL);
  size_t header = strcspn(exact, "\n");
  cr_assert(strncmp(exact, near, header + 1) == 0 && strstr(exact, "p50:duration_ms|p50:duration_ms.error|"),
            "%s", near);
  for (size_t c = column; c < column + 6; c++) {
    size_t n = read_column(exact, c, a, 1000), m = read_column(near, c, b, 1000);
    cr_assert(n == m && n > 0, "%s", near);
    for (size_t i = 0; i < n; i++) {
      double away = a[i] > b[i] ? a[i] - b[i] : b[i] - a[i];
      if (c == column + 1 || c == column + 3)
        cr_assert((a[i] == 0 && b[i] == 0.0078125) || (a[i] == -1 && b[i] == -1),
                  "the bound is told, and is 0 where rows are there");
      else
        cr_assert(away <= (c < column + 4 && a[i] > 0 ? a[i] / 128 : 0), "column %zu row %zu: %f, not %f", c,
                  i, b[i], a[i]);
    }
  }
  free(exact);
  free(near);
}

Test(query_thinned, percentiles_are_within_the_bound_that_they_state) {
  uint64_t random = sample_seed("query_thinned", 34);
  struct stores s;
  stores_open(&s, &random);
  static const char *const errors[] = {"status_code >= 400"}, *const endpoint[] = {"endpoint = ''"};
  tally_query q = {.aggregates = "p50:duration_ms,p99:duration_ms,sum:duration_ms,max:duration_ms",
                   .flags = TALLY_APPROXIMATE,
                   .limit = TALLY_NO_LIMIT,
                   .bucket = "1h"};
  check_percentiles(&s, &q, 1);
  q.bucket = NULL;
  q.group_by = "method";
  q.where = errors;
  q.where_count = 1;
  check_percentiles(&s, &q, 1);
  q.where = endpoint;
  q.from = "2024-01-02T05:00:00Z";
  q.to = "2024-01-03T00:00:00Z";
  check_percentiles(&s, &q, 1);
  q = (tally_query){.aggregates = "p50:duration_ms",
                    .flags = TALLY_APPROXIMATE,
                    .limit = TALLY_NO_LIMIT,
                    .from = "2024-02-01"};
  char *exact = ask(&s, &s.rows, &q, NULL), *near = ask(&s, &s.rollups, &q, NULL);
  cr_assert_str_eq(exact, near, "exact where no thinned segment is touched");
  free(exact);
  free(near);
  stores_close(&s);
}
