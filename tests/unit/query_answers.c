/* query_answers.c - whole queries over a few events, with answers written by hand. */
#include "query_fixture.h"

/* Six requests of two days, and a correction. Texts are made so that ids are not in the order of bytes. */
static void add_events(struct fixture *f) {
  /*                   timestamp                   user  service  endpoint method rq rs dur status tok cost
   * metadata */
  fixture_add(f, 0,
              "2024-02-01T10:00:00Z|zoe|search|/v1/"
              "find|GET|100|2000|30|200|500|0.0124|{\"region\":\"eu\",\"n\":1.5}");
  fixture_add(
      f, 0,
      "2024-02-01T10:00:01Z|adam|chat|/v1/chat|POST|10|20|50|500|100|0.5|{\"region\":\"us\",\"n\":\"7\"}");
  fixture_add(
      f, 0,
      "2024-02-01T23:30:00Z|zoe|chat|/v1/chat|POST|10|20|40|200|200|0.25|{\"region\":\"e\\u0075\",\"n\":2}");
  fixture_add(f, 1, "2024-02-02T00:00:00Z|\"\"|chat|/v1/chat|POST||||429|||");
  fixture_add(f, 1, "2024-02-02T08:00:00Z||search||GET|1|2|10||-3||{\"region\":null}");
  fixture_add(f, 2, "2024-02-03T08:00:00.000001Z|adam|chat|/v1/chat|POST|10|20|60|200|-100|-0.5|");
}

struct query_case {
  tally_query query;
  const char *answer;
};

static void check(struct fixture *f, const tally_query *query, const char *expected) {
  tally_query q = *query;
  if (!q.limit) q.limit = TALLY_NO_LIMIT;
  char *got = fixture_query(f, &q);
  cr_expect_str_eq(got, expected, "group by %s, bucket %s, aggregates %s, order by %s\n%s\nexpected\n%s",
                   q.group_by, q.bucket, q.aggregates, q.order_by, got, expected);
  free(got);
}

/* Does the answer contain the text? */
static void check_has(struct fixture *f, const tally_query *query, const char *expected) {
  tally_query q = *query;
  if (!q.limit) q.limit = TALLY_NO_LIMIT;
  char *got = fixture_query(f, &q);
  cr_expect(strstr(got, expected), "%s\n%s", got, expected);
  free(got);
}

Test(answers, aggregates_over_everything) {
  const struct query_case cases[] = {
      {{0}, "count\n6\n"},
      {{.aggregates = "count, count:cost,sum:cost , avg:cost,min:cost,max:cost"},
       "count|count:cost|sum:cost|avg:cost|min:cost|max:cost\n6|4|0.2624|0.065600000|-0.5000|0.5000\n"},
      {{.aggregates = "sum:tokens_used,avg:tokens_used,count:user_id,distinct:user_id,errors,error_rate"},
       "sum:tokens_used|avg:tokens_used|count:user_id|distinct:user_id|errors|error_rate\n"
       "697|139.400000|5|3|2|0.400000\n"},
      {{.aggregates =
            "p50:duration_ms,p100:duration_ms,p0.000001:duration_ms,p60.000001:duration_ms,p60:duration_ms"},
       "p50:duration_ms|p100:duration_ms|p0.000001:duration_ms|p60.000001:duration_ms|p60:duration_ms\n"
       "40|60|10|50|40\n"},
      {{.aggregates = "min:timestamp,max:timestamp,count:timestamp,distinct:timestamp"},
       "min:timestamp|max:timestamp|count:timestamp|distinct:timestamp\n"
       "2024-02-01T10:00:00.000000Z|2024-02-03T08:00:00.000001Z|6|6\n"},
      {{.aggregates = "count:metadata,distinct:metadata,count:metadata.region,distinct:metadata.region"},
       "count:metadata|distinct:metadata|count:metadata.region|distinct:metadata.region\n4|4|3|2\n"},
      {{.aggregates = "sum:metadata.n,avg:metadata.n,max:metadata.n,p50:metadata.n,count:metadata.n"},
       "sum:metadata.n|avg:metadata.n|max:metadata.n|p50:metadata.n|count:metadata.n\n3.5|1.750000|2|1.5|"
       "3\n"},
      {{.aggregates = "sum:metadata.absent,distinct:metadata.absent,count:metadata.absent"},
       "sum:metadata.absent|distinct:metadata.absent|count:metadata.absent\n\\N|0|0\n"},
      {{.from = "2030-01-01",
        .aggregates = "count,sum:cost,distinct:user_id,error_rate,errors,p50:cost,min:timestamp"},
       "count|sum:cost|distinct:user_id|error_rate|errors|p50:cost|min:timestamp\n0|\\N|0|\\N|0|\\N|\\N\n"},
      {{.from = "2024-02-03", .to = "2024-02-01"}, "count\n0\n"},
      {{.from = "2024-02-02", .to = "2024-02-03"}, "count\n2\n"},
      {{.from = "2024-02-01T10:00:01Z", .to = "2024-02-02T00:00:00Z"}, "count\n2\n"},
      {{.aggregates = "count,count"}, "count|count\n6|6\n"},
      {{.limit = TALLY_NO_LIMIT, .flags = TALLY_APPROXIMATE}, "count\n6\n"},
  };
  struct fixture f;
  fixture_open(&f, 32u << 20);
  add_events(&f);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check(&f, &cases[i].query, cases[i].answer);
  fixture_close(&f);
}

Test(answers, groups_and_their_order) {
  const struct query_case cases[] = {
      {{.group_by = "service_name"}, "service_name|count\nchat|4\nsearch|2\n"},
      {{.group_by = " user_id , service_name ", .aggregates = "count,sum:cost"},
       "user_id|service_name|count|sum:cost\n|chat|1|\\N\nadam|chat|2|0.0000\nzoe|chat|1|0.2500\nzoe|search|"
       "1|0.0124\n"
       "\\N|search|1|\\N\n"},
      {{.group_by = "status_code"}, "status_code|count\n200|3\n429|1\n500|1\n\\N|1\n"},
      {{.group_by = "tokens_used"}, "tokens_used|count\n-100|1\n-3|1\n100|1\n200|1\n500|1\n\\N|1\n"},
      {{.group_by = "metadata.region"}, "metadata.region|count\neu|2\nus|1\n\\N|3\n"},
      {{.group_by = "metadata.n"}, "metadata.n|count\n1.5|1\n2|1\n7|1\n\\N|3\n"},
      {{.group_by = "service_name,service_name"},
       "service_name|service_name|count\nchat|chat|4\nsearch|search|2\n"},
      {{.group_by = "user_id", .order_by = "user_id desc"}, "user_id|count\nzoe|2\nadam|2\n|1\n\\N|1\n"},
      {{.group_by = "user_id", .order_by = "count"}, "user_id|count\n|1\n\\N|1\nadam|2\nzoe|2\n"},
      {{.group_by = "user_id", .order_by = "count desc"}, "user_id|count\nadam|2\nzoe|2\n|1\n\\N|1\n"},
      {{.group_by = "user_id", .order_by = "count desc", .limit = 3}, "user_id|count\nadam|2\nzoe|2\n|1\n"},
      {{.group_by = "user_id", .order_by = "count DESC, user_id desc", .limit = 1}, "user_id|count\nzoe|2\n"},
      {{.group_by = "user_id", .aggregates = "sum:cost", .order_by = "sum:cost"},
       "user_id|sum:cost\nadam|0.0000\nzoe|0.2624\n|\\N\n\\N|\\N\n"},
      {{.group_by = "user_id", .aggregates = "sum:cost", .order_by = "sum:cost desc"},
       "user_id|sum:cost\nzoe|0.2624\nadam|0.0000\n|\\N\n\\N|\\N\n"},
      {{.group_by = "user_id", .aggregates = "sum:cost", .order_by = "sum:cost asc", .limit = 3},
       "user_id|sum:cost\nadam|0.0000\nzoe|0.2624\n|\\N\n"},
      {{.group_by = "status_code", .order_by = "status_code desc"},
       "status_code|count\n500|1\n429|1\n200|3\n\\N|1\n"},
      {{.group_by = "user_id", .limit = 2}, "user_id|count\n|1\nadam|2\n"},
      {{.group_by = "user_id", .where = (const char *const[]){"user_id = nobody"}, .where_count = 1},
       "user_id|count\n"},
      {{.group_by = "user_id",
        .where = (const char *const[]){"service_name = chat", "timestamp < 2024-02-02", "cost > 0.25"},
        .where_count = 3},
       "user_id|count\nadam|1\n"},
      {{.where = (const char *const[]){"timestamp != 2024-02-02", "timestamp not in (2024-02-01T10:00:00Z)"},
        .where_count = 2},
       "count\n4\n"},
      {{.where = (const char *const[]){"timestamp = 2024-02-02"}, .where_count = 1}, "count\n1\n"},
      {{.where = (const char *const[]){"timestamp > 2024-02-02", "timestamp <= 2024-02-02T08:00:00Z"},
        .where_count = 2},
       "count\n1\n"},
  };
  struct fixture f;
  fixture_open(&f, 32u << 20);
  add_events(&f);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check(&f, &cases[i].query, cases[i].answer);
  tally_query none = {.limit = 1, .group_by = "user_id"};
  char *got;
  none.limit = 0;
  got = fixture_query(&f, &none);
  cr_expect_str_eq(got, "user_id|count\n");
  free(got);
  fixture_close(&f);
}

Test(answers, buckets_and_filling) {
  const struct query_case cases[] = {
      {{.bucket = "1d"},
       "bucket|count\n2024-02-01T00:00:00Z|3\n2024-02-02T00:00:00Z|2\n2024-02-03T00:00:00Z|1\n"},
      {{.bucket = "1d", .order_by = "bucket desc", .limit = 2},
       "bucket|count\n2024-02-03T00:00:00Z|1\n2024-02-02T00:00:00Z|2\n"},
      {{.bucket = "1d", .tz = "+01:00"},
       "bucket|count\n2024-02-01T00:00:00+01:00|2\n2024-02-02T00:00:00+01:00|3\n2024-02-03T00:00:00+01:00|"
       "1\n"},
      {{.bucket = "1d", .tz = "Test/Kathmandu", .aggregates = "sum:tokens_used"},
       "bucket|sum:tokens_used\n2024-02-01T00:00:00+05:45|600\n2024-02-02T00:00:00+05:45|197\n"
       "2024-02-03T00:00:00+05:45|-100\n"},
      {{.bucket = "1mo", .from = "2024-02-02"}, "bucket|count\n2024-02-01T00:00:00Z|3\n"},
      {{.bucket = "1w", .group_by = "service_name"},
       "bucket|service_name|count\n2024-01-29T00:00:00Z|chat|4\n2024-01-29T00:00:00Z|search|2\n"},
      {{.bucket = "2y"}, "bucket|count\n2024-01-01T00:00:00Z|6\n"},
      {{.bucket = "3mo", .tz = "Test/Berlin"}, "bucket|count\n2024-01-01T00:00:00+01:00|6\n"},
      {{.bucket = "500ms", .to = "2024-02-01T10:00:01.5Z"},
       "bucket|count\n2024-02-01T10:00:00.000000Z|1\n2024-02-01T10:00:01.000000Z|1\n"},
      {{.bucket = "1us", .from = "2024-02-03"}, "bucket|count\n2024-02-03T08:00:00.000001Z|1\n"},
      {{.bucket = "12h", .tz = "Test/Berlin", .to = "2024-02-02"},
       "bucket|count\n2024-02-01T01:00:00+01:00|2\n"},
      {{.bucket = "12h", .tz = "Test/Berlin", .to = "2024-02-02T00:00:00Z"},
       "bucket|count\n2024-02-01T01:00:00+01:00|2\n2024-02-01T13:00:00+01:00|1\n"},
      {{.bucket = "1d",
        .flags = TALLY_FILL,
        .from = "2024-01-31",
        .to = "2024-02-02T00:00:00.000001Z",
        .aggregates = "count,sum:cost,distinct:user_id,errors,count:cost,p50:cost"},
       "bucket|count|sum:cost|distinct:user_id|errors|count:cost|p50:cost\n"
       "2024-01-31T00:00:00Z|0|\\N|0|0|0|\\N\n2024-02-01T00:00:00Z|3|0.7624|2|1|3|0.2500\n"
       "2024-02-02T00:00:00Z|1|\\N|1|1|0|\\N\n"},
      {{.bucket = "1d",
        .flags = TALLY_FILL,
        .from = "2024-02-01",
        .to = "2024-02-03",
        .group_by = "method",
        .where = (const char *const[]){"duration_ms >= 30"},
        .where_count = 1},
       "bucket|method|count\n2024-02-01T00:00:00Z|GET|1\n2024-02-01T00:00:00Z|POST|2\n2024-02-02T00:00:00Z|"
       "GET|0\n"
       "2024-02-02T00:00:00Z|POST|0\n"},
      {{.bucket = "1d", .flags = TALLY_FILL, .from = "2030-02-01", .to = "2030-02-03", .group_by = "method"},
       "bucket|method|count\n"},
      {{.bucket = "1d", .flags = TALLY_FILL, .from = "2030-02-01", .to = "2030-02-03"},
       "bucket|count\n2030-02-01T00:00:00Z|0\n2030-02-02T00:00:00Z|0\n"},
      {{.bucket = "1d", .flags = TALLY_FILL, .from = "2030-02-03", .to = "2030-02-01"}, "bucket|count\n"},
      {{.bucket = "1d", .flags = TALLY_FILL, .from = "2011-12-29", .to = "2012-01-01", .tz = "Test/Apia"},
       "bucket|count\n2011-12-29T00:00:00-10:00|0\n2011-12-31T00:00:00+14:00|0\n"},
      {{.bucket = "1d", .flags = TALLY_FILL, .from = "2024-03-30", .to = "2024-04-02", .tz = "Test/Berlin"},
       "bucket|count\n2024-03-30T00:00:00+01:00|0\n2024-03-31T00:00:00+01:00|0\n2024-04-01T00:00:00+02:00|"
       "0\n"},
      {{.bucket = "2d",
        .flags = TALLY_FILL,
        .from = "2024-02-01",
        .to = "2024-02-05",
        .order_by = "count desc"},
       "bucket|count\n2024-02-01T00:00:00Z|5\n2024-02-03T00:00:00Z|1\n"},
  };
  struct fixture f;
  fixture_open(&f, 32u << 20);
  add_events(&f);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check(&f, &cases[i].query, cases[i].answer);
  check_has(&f, &(tally_query){.bucket = "1s", .flags = TALLY_FILL, .from = "2024-02-01", .to = "2024-02-20"},
            "too-large: --fill would give 1 groups in each of 1641600 buckets, more than 1000000 rows");
  check_has(&f,
            &(tally_query){.bucket = "1m",
                           .flags = TALLY_FILL,
                           .from = "2023-01-01",
                           .to = "2024-12-01",
                           .group_by = "user_id"},
            "too-large: --fill would give 4 groups in each of 1008000 buckets");
  fixture_close(&f);
}

Test(answers, requests_that_are_wrong_say_why) {
  const struct query_case cases[] = {
      {{.from = "tomorrow"}, "usage: --from: 'tomorrow' is not a time"},
      {{.to = "2024-02-31"}, "usage: --to: '2024-02-31' is not a time"},
      {{.tz = "Mars/Olympus"}, "usage: --tz 'Mars/Olympus': there is no such time zone"},
      {{.bucket = "5"}, "usage: --bucket '5': write a number from 1 and a unit"},
      {{.bucket = "0d"}, "usage: --bucket '0d'"},
      {{.aggregates = "median:cost"},
       "usage: --agg 'median:cost': there is no aggregate 'median'; the aggregates are"},
      {{.aggregates = "count,"}, "usage: --agg '': an aggregate is missing"},
      {{.aggregates = "sum"}, "usage: --agg 'sum': sum needs a column: sum:C"},
      {{.aggregates = "p50"}, "usage: --agg 'p50': p50 needs a column"},
      {{.aggregates = "errors:cost"}, "usage: --agg 'errors:cost': errors takes no column"},
      {{.aggregates = "sum:user_id"},
       "usage: --agg 'sum:user_id': sum takes the integer columns, cost and metadata "
       "keys, but user_id is a text"},
      {{.aggregates = "avg:timestamp"}, "timestamp is a time"},
      {{.aggregates = "p50:timestamp"}, "timestamp is a time"},
      {{.aggregates = "max:metadata"}, "metadata is a JSON object"},
      {{.aggregates = "sum:costs"}, "there is no column costs (did you mean cost?)"},
      {{.aggregates = "p0:cost"}, "usage: --agg 'p0:cost': 'p0' is not a percentile"},
      {{.aggregates = "p101:cost"}, "is not a percentile"},
      {{.aggregates = "p100.000001:cost"}, "is not a percentile"},
      {{.aggregates = "p99.1234567:cost"}, "is not a percentile"},
      {{.aggregates = "p5.:cost"}, "is not a percentile"},
      {{.aggregates = "p1e1:cost"}, "is not a percentile"},
      {{.aggregates = "p99999999999999999999999:cost"}, "is not a percentile"},
      {{.group_by = "cost"},
       "usage: --group-by 'cost': cost is a decimal: rows are grouped by text and integer"},
      {{.group_by = "timestamp"}, "for times use --bucket"},
      {{.group_by = "metadata"}, "metadata is a JSON object"},
      {{.group_by = "user_id,,method"}, "usage: --group-by '': a column's name is missing"},
      {{.group_by = "metadata.a b"}, "cannot read ' b' after the column's name: a key with such characters"},
      {{.group_by = "user_id", .order_by = "sum:cost"},
       "usage: --order-by 'sum:cost': 'sum:cost' is not a column of the answer; its columns are user_id, "
       "count"},
      {{.order_by = "bucket"}, "'bucket' is not a column of the answer"},
      {{.group_by = "user_id", .order_by = "user_id down"}, "'user_id down' is not a column"},
      {{.flags = TALLY_FILL, .bucket = "1d", .from = "2024-01-01"},
       "usage: --fill needs both --from and --to"},
      {{.flags = TALLY_FILL, .from = "2024-01-01", .to = "2024-01-01"}, "usage: --fill needs --bucket"},
      {{.flags = TALLY_FILL}, "usage: --fill needs --bucket, both --from and --to"},
  };
  struct fixture f;
  fixture_open(&f, 32u << 20);
  add_events(&f);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_has(&f, &cases[i].query, cases[i].answer);
  fixture_close(&f);
}

Test(answers, types_names_and_ends) {
  static const tally_type types[] = {TALLY_TYPE_TIME, TALLY_TYPE_TEXT, TALLY_TYPE_INT,  TALLY_TYPE_TEXT,
                                     TALLY_TYPE_INT,  TALLY_TYPE_REAL, TALLY_TYPE_COST, TALLY_TYPE_COST,
                                     TALLY_TYPE_REAL, TALLY_TYPE_TIME, TALLY_TYPE_COST, TALLY_TYPE_INT,
                                     TALLY_TYPE_INT,  TALLY_TYPE_INT};
  struct fixture f;
  fixture_open(&f, 32u << 20);
  add_events(&f);
  tally_query query = {.bucket = "1d",
                       .group_by = "user_id,status_code,metadata.n",
                       .aggregates =
                           "count,avg:tokens_used,avg:cost,p50:cost,error_rate,max:timestamp,sum:metadata.n,"
                           "distinct:cost,errors,P99.50:duration_ms",
                       .limit = 1};
  tally_error error;
  struct result *result;
  cr_assert_eq(query_open(&query, &f.environment, &result, &error), 0);
  cr_assert_eq(result_columns(result), sizeof types / sizeof *types);
  for (size_t c = 0; c < result_columns(result); c++)
    cr_expect_eq(result_column(result, c).type, types[c], "%s", result_column(result, c).name);
  cr_expect_str_eq(result_column(result, 13).name, "P99.50:duration_ms");
  cr_expect_eq(result_next(result, 9, &error), TALLY_ROW);
  cr_expect_eq(result_next(result, 9, &error), TALLY_OK);
  cr_expect_eq(result_next(result, 9, &error), TALLY_OK);
  result_free(result);

  atomic_store(&f.cancelled, true);
  cr_assert_eq(query_open(&query, &f.environment, &result, &error), 0);
  cr_expect_eq(result_next(result, 9, &error), TALLY_CANCELLED);
  atomic_store(&f.cancelled, false);
  cr_expect_eq(result_next(result, 9, &error), TALLY_CANCELLED, "the same code ever after");
  result_free(result);
  f.environment.deadline = -1;
  check_has(&f, &query, "deadline: the query took longer");
  f.environment.deadline = INT64_MAX;
  check_has(&f, &(tally_query){.flags = TALLY_EXPLAIN}, "measure|value\nsegments|0\n");
  check_has(&f, &(tally_query){.flags = TALLY_EXPLAIN}, "rows matched|6\n");
  fixture_close(&f);
}

Test(answers, memory_is_bounded) {
  struct fixture f;
  fixture_open(&f, 1000u << 10);
  for (int i = 0; i < 16000; i++) {
    char line[128];
    snprintf(line, sizeof line, "2024-02-01T00:00:00Z|user_%d|s|e|GET|1|2|%d|200|%d|1|{\"k\":\"%d\"}", i, i,
             i, i);
    fixture_add(&f, i / 4000, line);
  }
  check(&f, &(tally_query){.aggregates = "distinct:user_id,sum:tokens_used"},
        "distinct:user_id|sum:tokens_used\n16000|127992000\n");
  check_has(&f,
            &(tally_query){.group_by = "user_id,status_code,method",
                           .aggregates = "sum:cost,sum:tokens_used,min:cost"},
            "memory-limit: the table of groups of this query does not fit");
  check_has(&f, &(tally_query){.group_by = "metadata.k"}, "memory-limit: ");
  fixture_close(&f);
}
