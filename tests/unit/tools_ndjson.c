/* tools_ndjson.c - the laws of tools/ndjson.h, and of tools/ingest_value.h where they are not those of the
 * engine's own numbers and times. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"
#include "model/civil.h"
#include "tools/ndjson.h"

static struct value_options plain(void) { return (struct value_options){.time_unit = 1}; }

static void dump_text(struct buffer *out, const char *name, tally_text text) {
  if (text.data) buffer_printf(out, " %s=[%.*s]", name, (int)text.size, text.data);
}

static void dump(struct buffer *out, enum record_kind kind, const struct record *r, const struct problem *p) {
  const tally_event *e = &r->event;
  if (kind == RECORD_BAD) {
    buffer_printf(out, "%" PRIu64 "! %" PRIu64 " %s: %s\n", r->line, p->line, p->column, p->text);
    return;
  }
  buffer_printf(out, "%" PRIu64 ": t=%" PRId64, r->line, e->timestamp);
  dump_text(out, "user", e->user_id);
  dump_text(out, "service", e->service_name);
  if (e->present & 1u << TALLY_COL_DURATION_MS) buffer_printf(out, " ms=%" PRId32, e->duration_ms);
  if (e->present & 1u << TALLY_COL_COST) buffer_printf(out, " cost=%" PRId64, e->cost);
  dump_text(out, "metadata", e->metadata);
  buffer_text(out, "\n");
}

/* Every byte behind the part that was read would mislead the reader. */
static char *with_slack(const char *text, size_t size) {
  char *copy = mem_alloc(size + INGEST_SLACK);
  cr_assert(copy);
  memset(copy + size, '}', INGEST_SLACK);
  if (size) memcpy(copy, text, size);
  return copy;
}

static char *read_all(const char *text, size_t size, size_t split, struct value_options *values) {
  static const struct ignore ignore = {{"skip_me"}, 1}, none = {{NULL}, 0};
  struct buffer out = {0};
  char *part = with_slack(text, split), *whole = with_slack(text, size);
  struct ndjson n;
  struct record record;
  struct problem problem;
  ndjson_init(&n, strstr(text, "skip_me") ? &ignore : &none, values);
  ndjson_text(&n, part, split, false, 0);
  for (;;) {
    enum record_kind kind = ndjson_next(&n, &record, &problem);
    if (kind == RECORD_END) break;
    if (kind == RECORD_MORE) {
      cr_assert(!n.final);
      ndjson_text(&n, whole, size, true, n.at);
      continue;
    }
    cr_assert(kind == RECORD_ROW || kind == RECORD_BAD);
    cr_assert(record.start < record.end && record.end == n.at && record.end <= size);
    dump(&out, kind, &record, &problem);
  }
  ndjson_free(&n);
  mem_free(part);
  mem_free(whole);
  write8(&out, 0);
  return (char *)out.data;
}

static void expect(const char *text, size_t size, const char *expected) {
  struct value_options values = plain();
  for (size_t split = 0; split <= size; split++) {
    char *got = read_all(text, size, split, &values);
    cr_assert_str_eq(got, expected, "split at %zu:\n%s", split, got);
    mem_free(got);
  }
}
#define EXPECT(text, expected) expect(text, sizeof(text) - 1, expected)

Test(ndjson, reads_objects_in_every_split) {
  EXPECT("{\"timestamp\":1,\"user_id\":\"a\"}\n{\"user_id\":null,\"timestamp\":\"2\"}\r\n",
         "1: t=1 user=[a]\n2: t=2\n");
  EXPECT("", "");
  EXPECT(" \n\r\n\t{ \"timestamp\" : 1 , \"user_id\" : \"\" } \t\r\n\n", "3: t=1 user=[]\n");
  EXPECT("{\"timestamp\":1}", "1: t=1\n");
  /* escapes of every kind, in keys too */
  EXPECT("{\"timestam\\u0070\":1,\"user_id\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00z\"}\n",
         "1: t=1 user=[\"\\/\b\f\n\r\t\xC3\xA9\xF0\x9F\x98\x80z]\n");
  /* values under ignored keys are JSON of any kind */
  EXPECT(
      "{\"timestamp\":1,\"skip_me\":{\"a\":[1,{},[],\"x\\\"\",true,false,null,-1.5e-7]},\"user_id\":\"u\"}\n"
      "{\"skip_me\":[],\"timestamp\":2,\"skip_me\":2}\n",
      "1: t=1 user=[u]\n2: t=2\n");
}

Test(ndjson, takes_integers_by_value_and_costs_by_text) {
  EXPECT("{\"timestamp\":1,\"duration_ms\":200.0}\n", "1: t=1 ms=200\n");
  EXPECT("{\"timestamp\":1.5e3,\"duration_ms\":-2e2}\n", "1: t=1500 ms=-200\n");
  EXPECT("{\"timestamp\":1,\"duration_ms\":2147483647.000}\n", "1: t=1 ms=2147483647\n");
  EXPECT("{\"timestamp\":1,\"cost\":0.000000001}\n", "1: t=1 cost=1\n");
  EXPECT("{\"timestamp\":1,\"cost\":\"1e-9\"}\n", "1: t=1 cost=1\n");
  EXPECT("{\"timestamp\":1,\"cost\":8999999999.999999999}\n", "1: t=1 cost=8999999999999999999\n");
  EXPECT("{\"timestamp\":1,\"duration_ms\":1.5}\n",
         "1! 1 duration_ms: '1.5' is not an integer: round it at its source\n");
  EXPECT("{\"timestamp\":1,\"duration_ms\":1e30}\n",
         "1! 1 duration_ms: '1e30' does not fit 32 bits: it must lie "
         "within -2147483648 and 2147483647\n");
  EXPECT("{\"timestamp\":1,\"duration_ms\":\"1\"}\n",
         "1! 1 duration_ms: an integer must be a JSON number or null\n");
  EXPECT("{\"timestamp\":true}\n", "1! 1 timestamp: a time must be a string or an integer\n");
  EXPECT("{\"timestamp\":1e99}\n",
         "1! 1 timestamp: '1e99' is outside the years 1970 to 9999: correct it, or its unit (--time-unit)\n");
}

Test(ndjson, keeps_metadata_byte_for_byte_but_for_line_breaks) {
  EXPECT("{\"timestamp\":1,\"metadata\":{ \"b\" : [1.50, \"\\u0041\"],\"b\":{} }}\n",
         "1: t=1 metadata=[{ \"b\" : [1.50, \"\\u0041\"],\"b\":{} }]\n");
  EXPECT("{\"timestamp\":1,\"metadata\":{\n\"a\":\r\n1}\n}\n{\"timestamp\":2}\n",
         "1: t=1 metadata=[{ \"a\":  1}]\n5: t=2\n");
  EXPECT("{\"timestamp\":1,\"metadata\":\"{\\\"a\\\": 1}\"}\n", "1: t=1 metadata=[{\"a\": 1}]\n");
  EXPECT("{\"timestamp\":1,\"metadata\":[1]}\n{\"timestamp\":2}\n",
         "1! 1 metadata: metadata must be an object, a string that holds one, or null\n2: t=2\n");
}

#define BROKEN(what) "not a JSON object: " what

Test(ndjson, says_what_is_wrong_and_goes_on_behind_it) {
  EXPECT("{\"timestamp\":1,\"x\":1}\n{\"timestamp\":2}\n",
         "1! 1 : 'x' is no column of events: correct the key, or leave it out with --ignore\n2: t=2\n");
  EXPECT("{\"timestamp\":1,\"timestamp\":1}\n{\"timestamp\":2}\n",
         "1! 1 timestamp: the record has the key twice: name every column once\n2: t=2\n");
  EXPECT("{}\n{\"timestamp\":2}\n",
         "1! 1 timestamp: it is missing, but every event needs one: fill it in\n2: t=2\n");
  EXPECT("{\"timestamp\":null}\n", "1! 1 timestamp: it is missing, but every event needs one: fill it in\n");
  EXPECT("{\"timestamp\":1,\"user_id\":7}\n", "1! 1 user_id: a text must be a string or null\n");
  EXPECT("{\"timestamp\":1,\"user_id\":\"\\u0000\"}\n",
         "1! 1 user_id: it holds \\u0000 or half of a surrogate pair, which text may not: remove it\n");
  EXPECT("{\"timestamp\":1,\"user_id\":\"\\ud800x\"}\n",
         "1! 1 user_id: it holds \\u0000 or half of a surrogate pair, which text may not: remove it\n");
  /* a record over several lines: the line of the value, and the end of the object */
  EXPECT("{\"timestamp\":1,\n\n\"user_id\":7\n}\n{\"timestamp\":2}\n",
         "1! 3 user_id: a text must be a string or null\n5: t=2\n");
  /* what is not well formed ends at its first line end */
  EXPECT("{\"timestamp\":1\n{\"timestamp\":2}\n",
         "1! 1 : " BROKEN("a comma or } is expected: correct it") "\n2: t=2\n");
  EXPECT("{\"timestamp\":1} x\n{\"timestamp\":2}\n",
         "1! 1 : " BROKEN(
             "there is more behind the object: put every object on a line of its own") "\n2: t=2\n");
  EXPECT(
      "[{\"timestamp\":1}]\n{\"timestamp\":2}\n",
      "1! 1 : " BROKEN(
          "an array is no record: put every object on a line of its own, as `jq -c '.[]'` does") "\n"
                                                                                                 "2: t=2\n");
  EXPECT("{\"timestamp\":01}\n", "1! 1 : " BROKEN("a number starts with a zero: correct it") "\n");
  EXPECT("{\"timestamp\":1,}\n", "1! 1 : " BROKEN("a string in double quotes is expected: correct it") "\n");
  EXPECT("{\"timestamp\":nul}\n", "1! 1 : " BROKEN("no value of JSON: correct it") "\n");
  EXPECT("{\"timestamp\":1,\"user_id\":\"a\tb\"}\n",
         "1! 1 : " BROKEN("a string holds a control character: escape it, or close the string") "\n");
  EXPECT("{\"timestamp\":1,\"user_id\":\"\\x\"}\n",
         "1! 1 : " BROKEN("there is no such escape in JSON: correct it") "\n");
  EXPECT("{\"timestamp\":1,\"user_id\":\"\\u12g4\"}\n",
         "1! 1 : " BROKEN("\\u needs four hexadecimal digits: correct it") "\n");
  EXPECT("{\"timestamp\":1,\"user_id\":", "1! 1 : " BROKEN("the text ends within it") "\n");
  EXPECT("{\"timestamp\":1\0}\n", "1! 1 : " BROKEN("a comma or } is expected: correct it") "\n");
  EXPECT("{\"timestamp\":1,\"metadata\":{\"a\":[1}}\n",
         "1! 1 : " BROKEN("a comma or ] is expected: correct it") "\n");
}

Test(ndjson, nests_to_a_limit) {
  struct value_options values = plain();
  for (int depth = (int)NDJSON_DEPTH; depth <= (int)NDJSON_DEPTH + 1; depth++) {
    struct buffer text = {0};
    buffer_text(&text, "{\"timestamp\":1,\"skip_me\":");
    for (int i = 0; i < depth; i++) buffer_text(&text, i % 3 ? "[" : "{\"a\":");
    buffer_text(&text, "1");
    for (int i = depth - 1; i >= 0; i--) buffer_text(&text, i % 3 ? "]" : "}");
    buffer_append(&text, "}\n", 3);
    char *got = read_all((char *)text.data, text.size - 1, text.size - 1, &values);
    cr_assert_str_eq(got, depth == (int)NDJSON_DEPTH
                              ? "1: t=1\n"
                              : "1! 1 : not a JSON object: it is nested too deeply: correct it\n");
    mem_free(got);
    buffer_free(&text);
  }
}

/* Random damage never reads out of bounds (the sanitizers look), never stands still, and gives the same in
 * every split. */
Test(ndjson, damaged_text_reads_the_same_in_every_split, .timeout = 60) {
  const char *seed = getenv("TALLY_SEED");
  uint64_t state = seed ? strtoull(seed, NULL, 10) : 7;
  printf("TALLY_SEED=%" PRIu64 "\n", state);
  static const char sample[] =
      "{\"timestamp\":\"2024-01-01T00:00:00Z\",\"user_id\":\"a\\u00e9\",\"cost\":1.5,"
      "\"metadata\":{\"a\":[1,\"b\"]}}\n{\"timestamp\":2,\"duration_ms\":3}\n";
  static const char odd[] = "\"\\{}[],:\n 1eux";
  struct value_options values = plain();
  for (int i = 0; i < 4000; i++) {
    char text[sizeof sample];
    memcpy(text, sample, sizeof sample);
    for (uint64_t n = 1 + hash_mix(state++) % 3; n; n--) {
      size_t at = hash_mix(state++) % (sizeof sample - 1);
      text[at] = odd[hash_mix(state++) % (sizeof odd - 1)];
    }
    size_t size = sizeof sample - 1;
    char *expected = read_all(text, size, size, &values);
    char *got = read_all(text, size, hash_mix(state++) % (size + 1), &values);
    cr_assert_str_eq(got, expected, "round %d of:\n%s", i, text);
    mem_free(expected);
    mem_free(got);
  }
}

/* ------------------------------------------------------------------ times */

static void expect_time(struct value_options *values, const char *text, int64_t expected,
                        const char *refusal) {
  int64_t us = -1;
  char reason[VALUE_REASON] = "";
  bool good = value_time(values, text, strlen(text), &us, reason);
  cr_assert_eq(good, refusal == NULL, "%s: %s", text, reason);
  if (good)
    cr_assert_eq(us, expected, "%s gives %" PRId64, text, us);
  else
    cr_assert(strstr(reason, refusal), "%s: %s", text, reason);
}

Test(ndjson, times_have_an_offset_or_a_zone_or_are_integers_of_a_unit) {
  struct value_options v = plain();
  const int64_t day = 86400000000;
  expect_time(&v, "1970-01-02T00:00:00Z", day, NULL);
  expect_time(&v, "1970-01-02 00:00:00z", day, NULL);
  expect_time(&v, "1970-01-02T05:30:00.1230000+0530", day + 123000, NULL);
  expect_time(&v, "1970-01-02T00:00:00.0000001Z", 0, "is not a time");
  expect_time(&v, "1970-01-02", 0, "is not a time");
  expect_time(&v, "1970-01-02T00:00:00", 0, "no offset");
  expect_time(&v, "12345", 12345, NULL);
  expect_time(&v, "-5", -5, NULL); /* the batch refuses what is before 1970 */
  expect_time(&v, "1.5", 0, "is not a time");
  expect_time(&v, "", 0, "is not a time");
  v.time_unit = 1000;
  expect_time(&v, "1704067200123", 1704067200123000, NULL);
  v.time_unit = 1000000;
  expect_time(&v, "1704067200", 1704067200000000, NULL);
  expect_time(&v, "99999999999999999999", 0, "outside");
  expect_time(&v, "9223372036854775807", 0, "outside");
}

/* Times that follow each other are read in a shorter way; it must give what timestamp_parse gives. */
Test(ndjson, times_of_one_day_read_like_single_ones) {
  struct value_options v = plain();
  uint64_t state = 3;
  for (int i = 0; i < 200000; i++) {
    char text[32], reason[VALUE_REASON];
    uint64_t r = hash_mix(state++);
    (void)snprintf(text, sizeof text, "20%02u-02-%02uT%02u:%02u:%02u.%06uZ", 23 + (unsigned)(r % 2),
                   28 + (unsigned)(r >> 1 & 1), (unsigned)(r >> 8) % 25, (unsigned)(r >> 16) % 61,
                   (unsigned)(r >> 24) % 61, (unsigned)(r >> 32) % 1000000);
    if (i % 4 == 0) text[r >> 56 & 15] = "0123456789:.-TZtz /"[(r >> 40) % 19];
    if (i % 4 == 1) text[26 - (r >> 56 & 15)] = "0123456789:.-TZtz /"[(r >> 40) % 19];
    int64_t expected = 0, got = 0;
    bool has_offset, good = timestamp_parse(text, strlen(text), &expected, &has_offset) && has_offset;
    cr_assert_eq(value_time(&v, text, strlen(text), &got, reason), good, "%s", text);
    if (good) cr_assert_eq(got, expected, "%s", text);
  }
}

Test(ndjson, local_times_take_the_first_of_two_and_no_skipped_one) {
  struct value_options v = plain();
  cr_assert_eq(value_zone(&v, "+05:30"), 0);
  expect_time(&v, "1970-01-01T05:30:00", 0, NULL);
  cr_assert_eq(value_zone(&v, "UTC"), 0);
  expect_time(&v, "1970-01-01T05:30:00", 19800000000, NULL);
  cr_assert_eq(value_zone(&v, "Europe/Berlin"), 0);
  expect_time(&v, "2024-01-15T12:00:00", 1705316400000000, NULL);   /* +01:00 */
  expect_time(&v, "2024-07-15T12:00:00.5", 1721037600500000, NULL); /* +02:00 */
  expect_time(&v, "2024-07-15T12:00:00Z", 1721044800000000, NULL);  /* its own offset counts */
  expect_time(&v, "2024-03-31T01:59:59.999999", 1711846799999999, NULL);
  expect_time(&v, "2024-03-31T02:00:00", 0, "does not exist in Europe/Berlin");
  expect_time(&v, "2024-03-31T02:59:59.999999", 0, "does not exist in Europe/Berlin");
  expect_time(&v, "2024-03-31T03:00:00", 1711846800000000, NULL);
  expect_time(&v, "2024-10-27T02:00:00", 1729987200000000, NULL); /* the first: still +02:00 */
  expect_time(&v, "2024-10-27T02:59:59.999999", 1729990799999999, NULL);
  expect_time(&v, "2024-10-27T03:00:00", 1729994400000000, NULL);
  /* the other way round, with another period in between */
  expect_time(&v, "2024-01-15T12:00:00", 1705316400000000, NULL);
  expect_time(&v, "2024-10-27T02:30:00", 1729989000000000, NULL);
  expect_time(&v, "2024-12-01T00:00:00", 1733007600000000, NULL);
  expect_time(&v, "2024-10-27T02:30:00", 1729989000000000, NULL); /* out of the period behind it as well */
  cr_assert_eq(value_zone(&v, "Europe/Nowhere"), TALLY_NOT_FOUND);
  cr_assert_eq(value_zone(&v, "+25:00"), TALLY_NOT_FOUND);
}
