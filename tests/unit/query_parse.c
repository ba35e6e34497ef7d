/* query_parse.c - the texts of a request: what is read, and what is refused with which words. */
#include <criterion/criterion.h>
#include <inttypes.h>

#include "query/predicate_parse.h"
#include "query/request.h"
#include "query/time_text.h"
#include "query_fixture.h"

static struct budget budget;
static struct arena arena;
static struct time_zone zone;
#define NOW INT64_C(1709251200000000) /* 2024-03-01T00:00:00Z */

static void begin(const char *tz) {
  tally_error error;
  budget_init(&budget, 1u << 20, NULL);
  arena_init(&arena, &budget);
  cr_assert_eq(zone_open(&zone, tz, fixture_zone, NULL, NOW, &error), 0);
}

static void end(void) {
  arena_free(&arena);
  cr_assert_eq(budget_used(&budget), 0);
}

/* A predicate in a form of its own: column.path op [values]; # numeric, quotes around texts. */
static const char *shown(const struct predicate *p) {
  static const char *const operators[] = {
      "=", "!=", "<", "<=", ">", ">=", "in", "not in", "^=", "is null", "is not null"};
  static struct buffer out;
  buffer_clear(&out);
  buffer_text(&out, tally_column_name(p->ref.column));
  for (size_t i = 0; i < p->ref.depth; i++)
    buffer_printf(&out, ".<%.*s>", (int)p->ref.key[i].size, p->ref.key[i].data);
  buffer_printf(&out, " %s", operators[p->op]);
  for (size_t i = 0; i < p->count; i++) {
    const struct literal *l = &p->literals[i];
    if (p->ref.column == TALLY_COL_TIMESTAMP)
      buffer_printf(&out, " %" PRId64, l->value);
    else
      buffer_printf(&out, l->number ? " #%.*s" : " [%.*s]", (int)l->size, l->text);
  }
  write8(&out, 0);
  return (const char *)out.data;
}

static const char *parsed(const char *text) {
  static tally_error error;
  struct predicate_context context = {&arena, &zone, NOW};
  struct predicate predicate;
  int rc = predicate_parse(text, &context, &predicate, &error);
  cr_assert(rc == 0 || rc == TALLY_USAGE);
  return rc ? error.text : shown(&predicate);
}

Test(parse, predicates_are_read_as_the_contract_says) {
  static const char *const cases[][2] = {
      {"service_name=chat", "service_name = [chat]"},
      {"  service_name  =  chat  completion \t", "service_name = [chat  completion]"},
      {"service_name='  chat '", "service_name = [  chat ]"},
      {"service_name = ''", "service_name = []"},
      {"service_name = 'it''s'", "service_name = [it's]"},
      {"service_name = it's", "service_name = [it's]"},
      {"service_name = 'null'", "service_name = [null]"},
      {"service_name = nullable", "service_name = [nullable]"},
      {"service_name = a, b)", "service_name = [a, b)]"},
      {"service_name != = x", "service_name != [= x]"},
      {"service_name='=x'", "service_name = [=x]"},
      {"service_name<b", "service_name < [b]"},
      {"service_name <= b", "service_name <= [b]"},
      {"service_name>b", "service_name > [b]"},
      {"service_name>=b", "service_name >= [b]"},
      {"service_name!=b", "service_name != [b]"},
      {"endpoint^=/v1/", "endpoint ^= [/v1/]"},
      {"endpoint ^= ''", "endpoint ^= []"},
      {"method in (GET,POST , 'P,U)T' )", "method in [GET] [POST] [P,U)T]"},
      {"method IN(GET)", "method in [GET]"},
      {"method Not  In (a b, c)", "method not in [a b] [c]"},
      {"user_id IS NULL", "user_id is null"},
      {" user_id is  not\tNull ", "user_id is not null"},
      {"metadata is null", "metadata is null"},
      {"duration_ms < 1.5", "duration_ms < [1.5]"},
      {"duration_ms in (1, '2', -3)", "duration_ms in [1] [2] [-3]"},
      {"cost >= 12345678901234567890123456789.5e-3", "cost >= [12345678901234567890123456789.5e-3]"},
      {"metadata.region = eu", "metadata.<region> = [eu]"},
      {"metadata.a.b >= 1.5", "metadata.<a>.<b> >= #1.5"},
      {"metadata.a.b >= '1.5'", "metadata.<a>.<b> >= [1.5]"},
      {"metadata.\"a.b\".c = true", "metadata.<a.b>.<c> = [true]"},
      {"metadata.\"say \"\"x\"\"\" is null", "metadata.<say \"x\"> is null"},
      {"metadata.\"\" = 1", "metadata.<> = #1"},
      {"metadata.k in (1, '1', x)", "metadata.<k> in #1 [1] [x]"},
      {"metadata.k ^= 12", "metadata.<k> ^= [12]"},
      {"metadata.in in (1)", "metadata.<in> in #1"},
      {"metadata.x-y/z:w = 1", "metadata.<x-y/z:w> = #1"},
      {"timestamp >= 2024-02-01", "timestamp >= 1706745600000000"},
      {"timestamp in ('2024-02-01', 1970-01-01T00:00:00.000001Z)", "timestamp in 1706745600000000 1"},
      {"timestamp < now-1d", "timestamp < 1709164800000000"},
  };
  begin(NULL);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    cr_expect_str_eq(parsed(cases[i][0]), cases[i][1], "%s\n -> %s\n not %s", cases[i][0],
                     parsed(cases[i][0]), cases[i][1]);
  end();
}

Test(parse, predicates_that_are_wrong_say_why) {
  static const char *const cases[][2] = {
      {"durration_ms > 5",
       "--where 'durration_ms > 5': there is no column durration_ms (did you mean duration_ms?); the "
       "columns are timestamp, "},
      {"Cost > 5", "(did you mean cost?)"},
      {"frobnicate = 1", "there is no column frobnicate; the columns are"},
      {"", "a column's name is missing"},
      {"= 5", "a column's name is missing"},
      {"cost", "an operator is missing"},
      {"cost ~ 5", "'~ 5' is not an operator"},
      {"cost like 5", "'like 5' is not an operator"},
      {"cost is nul", "'is nul' is not an operator"},
      {"cost ! 5", "'! 5' is not an operator"},
      {"cost inn (5)", "'inn (5)' is not an operator"},
      {"cost =", "a value is missing"},
      {"service_name = null", "nothing compares to null"},
      {"service_name = NULL", "nothing compares to null"},
      {"service_name in (a, null)", "nothing compares to null"},
      {"service_name in ()", "a value is missing"},
      {"service_name in (a,)", "a value is missing"},
      {"service_name in (a", "no closing parenthesis"},
      {"service_name in a", "needs a list"},
      {"service_name in (a) b", "cannot read 'b' after the end"},
      {"service_name in ('a' b)", "cannot read 'b)' after a value of the list"},
      {"service_name = 'a' b", "cannot read 'b' after the end"},
      {"service_name = 'a", "no closing quote"},
      {"service_name is null x", "cannot read 'x' after the end"},
      {"service_name == a", "one ="},
      {"service_name <> a", "written !="},
      {"duration_ms = abc", "duration_ms is an integer, but 'abc' is not a number"},
      {"duration_ms = '5 '", "is not a number"},
      {"cost = 1,5", "cost is a decimal, but '1,5' is not a number"},
      {"cost ^= 1", "^= (starts with) needs a text, but cost is a decimal"},
      {"timestamp ^= 2024", "needs a text"},
      {"timestamp = yesterday", "'yesterday' is not a time"},
      {"timestamp = 2024-02-30", "is not a time"},
      {"metadata = 1", "metadata itself takes only"},
      {"metadata in (1)", "metadata itself takes only"},
      {"metadata. = 1", "a key is missing"},
      {"metadata.a. = 1", "a key is missing"},
      {"metadata.\"a = 1", "no closing quote"},
      {"cost.x = 1", "only metadata has keys"},
      {"service_name = \xFF", "not valid UTF-8"},
  };
  begin(NULL);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    cr_expect(strstr(parsed(cases[i][0]), cases[i][1]), "%s\n -> %s", cases[i][0], parsed(cases[i][0]));
  char deep[1024] = "metadata";
  for (int i = 0; i < 65; i++) strcat(deep, ".a");
  strcat(deep, " = 1");
  cr_expect(strstr(parsed(deep), "not that deep"));
  end();
}

static int64_t time_of(const char *text, tally_error *error) {
  int64_t us = -1;
  *error = (tally_error){0};
  return time_parse(piece_of(text), &zone, NOW, &us, error) ? INT64_MIN : us;
}

Test(parse, times_are_read_in_the_zone) {
  static const struct {
    const char *tz, *text, *expected; /* NULL: refused */
  } cases[] = {
      {NULL, "2024-02-01", "2024-02-01T00:00:00Z"},
      {NULL, " 2024-02-01 ", "2024-02-01T00:00:00Z"},
      {NULL, "2024-02-01T12:00:00.000001+02:00", "2024-02-01T10:00:00.000001Z"},
      {NULL, "2024-02-01 12:00:00-0030", "2024-02-01T12:30:00Z"},
      {NULL, "2024-02-01T12:00:00", "2024-02-01T12:00:00Z"},
      {NULL, "now", "2024-03-01T00:00:00Z"},
      {NULL, "NOW", "2024-03-01T00:00:00Z"},
      {NULL, "now-7d", "2024-02-23T00:00:00Z"},
      {NULL, "now - 1w", "2024-02-23T00:00:00Z"},
      {NULL, "now+1h", "2024-03-01T01:00:00Z"},
      {NULL, "now+90s", "2024-03-01T00:01:30Z"},
      {NULL, "now+5ms", "2024-03-01T00:00:00.005Z"},
      {NULL, "now+7us", "2024-03-01T00:00:00.000007Z"},
      {NULL, "now+2m", "2024-03-01T00:02:00Z"},
      {"+05:30", "2024-02-01", "2024-01-31T18:30:00Z"},
      {"-0330", "2024-02-01", "2024-02-01T03:30:00Z"},
      {"+02", "2024-02-01T12:00:00", "2024-02-01T10:00:00Z"},
      {"Test/Berlin", "2024-02-01", "2024-01-31T23:00:00Z"},
      {"Test/Berlin", "2024-07-01", "2024-06-30T22:00:00Z"},
      {"Test/Berlin", "2024-03-31T02:30:00", "2024-03-31T01:00:00Z"}, /* skipped: the first instant after */
      {"Test/Berlin", "2024-10-27T02:30:00", "2024-10-27T00:30:00Z"}, /* twice: the first */
      {"Test/Berlin", "2024-10-27T02:30:00Z", "2024-10-27T02:30:00Z"},
      {"Test/SaoPaulo", "2018-11-04", "2018-11-04T03:00:00Z"}, /* begins at 01:00 */
      {"Test/SaoPaulo", "2019-02-17", "2019-02-17T03:00:00Z"},
      {"Test/StJohns", "2010-11-07", "2010-11-07T02:30:00Z"}, /* again a minute later, but begun */
      {"Test/Apia", "2011-12-29", "2011-12-29T10:00:00Z"},
      {"Test/Apia", "2011-12-30", "2011-12-30T10:00:00Z"}, /* skipped: the first instant of the 31st */
      {"Test/Apia", "2011-12-31", "2011-12-30T10:00:00Z"},
      {NULL, "1969-12-31T23:59:59.999999Z", "1970-01-01T00:00:00Z-1"},
      {NULL, "1970-01-01T01:59:59.999999+02:00", "1970-01-01T00:00:00Z-1"},
      {NULL, "", NULL},
      {NULL, "now-", NULL},
      {NULL, "now-7", NULL},
      {NULL, "now-7mo", NULL},
      {NULL, "now-7y", NULL},
      {NULL, "now7d", NULL},
      {NULL, "now--7d", NULL},
      {NULL, "nowhere", NULL},
      {NULL, "2024-13-01", NULL},
      {NULL, "2024-02-30", NULL},
      {NULL, "2024-2-1", NULL},
      {NULL, "2024-02-01T25:00:00Z", NULL},
      {NULL, "2024-02-01T12:00:00.1234567Z", NULL},
      {NULL, "1706745600", NULL},
      {NULL, "2024-02-01x", NULL},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    tally_error error;
    begin(cases[i].tz);
    int64_t got = time_of(cases[i].text, &error);
    if (cases[i].expected)
      cr_expect_eq(got, strstr(cases[i].expected, "Z-1") ? -1 : fixture_time(cases[i].expected),
                   "%s in %s: %" PRId64, cases[i].text, cases[i].tz, got);
    else
      cr_expect(error.code == TALLY_USAGE && strstr(error.text, "is not a time"), "%s", cases[i].text);
    end();
  }
  tally_error error;
  begin(NULL);
  cr_expect(time_of("now-999999999999999999999w", &error) < 0);
  cr_expect(time_of("now+999999999999999999999w", &error) > INT64_C(253402300799999999));
  int64_t last = TIME_MAX - DAY_US / 24 + 1; /* 9999-12-31T23:00:00Z */
  cr_expect_eq(time_of("9999-12-31T23:59:59.999999-01:00", &error), last + 2 * (DAY_US / 24) - 1);
  cr_expect_eq(time_of("0000-03-01T00:00:00Z", &error), -719468 * DAY_US);
  cr_expect_eq(time_of("0000-03-01", &error), -719468 * DAY_US);
  cr_expect_eq(time_of("1900-02-29T00:00:00Z", &error), INT64_MIN);
  end();
}

Test(parse, zones_are_known_or_refused) {
  static const struct {
    const char *name, *error;
  } cases[] = {
      {"UTC", NULL},
      {"utc", NULL},
      {"Z", NULL},
      {"+05:30", NULL},
      {"-08", NULL},
      {"+0545", NULL},
      {"Test/Apia", NULL},
      {"Test/Nowhere", "no such time zone"},
      {"+5", "no such"},
      {"+24:00", "no such"},
      {"+05:", "no such"},
      {"+05:60", "no such"},
      {"+05:300", "no such"},
      {"", "no such"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    tally_error error = {0};
    struct time_zone z;
    int rc = zone_open(&z, cases[i].name, fixture_zone, NULL, NOW, &error);
    if (!cases[i].error)
      cr_expect_eq(rc, 0, "%s: %s", cases[i].name, error.text);
    else
      cr_expect(rc == TALLY_USAGE && strstr(error.text, cases[i].error), "%s: %s", cases[i].name, error.text);
    rc = zone_open(&z, cases[i].name, NULL, NULL, NOW, &error);
    cr_expect_eq(rc == 0, !cases[i].error && strncmp(cases[i].name, "Test", 4) != 0);
  }
}
