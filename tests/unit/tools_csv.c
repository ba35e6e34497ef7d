/* tools_csv.c - the laws of tools/csv.h and csv_index.h: the grammar, what is NULL, where a problem is; and
 * that neither the way the text arrives nor the processor makes a difference. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cpu.h"
#include "base/hash.h"
#include "base/mem.h"
#include "tools/csv.h"

/* An index that finds nothing, so that every record is read byte by byte: the reference. */
static size_t no_index(const char *text, size_t from, size_t to, uint32_t *separators, size_t capacity) {
  (void)text, (void)from, (void)to, (void)separators, (void)capacity;
  return 0;
}

static csv_index_fn *const indexes[] = {
    csv_index_portable,
#if defined(__x86_64__)
    csv_index_sse2,
    csv_index_avx2,
    csv_index_avx512,
#endif
};

static size_t index_count(void) {
#if defined(__x86_64__)
  return !cpu_has_avx2() ? 2 : cpu_has_avx512() ? 4 : 3;
#else
  return 1;
#endif
}

static uint64_t random_state;
static uint64_t random_number(uint64_t limit) {
  random_state += 0x9E3779B97F4A7C15u;
  return hash_mix(random_state) % limit;
}
static void random_start(void) {
  const char *seed = getenv("TALLY_SEED");
  random_state = seed ? strtoull(seed, NULL, 10) : 20240101;
  printf("TALLY_SEED=%" PRIu64 "\n", random_state);
}

/* ------------------------------------------------------------------ dumps */

static void dump_text(struct buffer *out, const char *name, tally_text text) {
  if (text.data) buffer_printf(out, " %s=[%.*s]", name, (int)text.size, text.data);
}

static void dump_number(struct buffer *out, const tally_event *e, int column, int64_t value) {
  if (e->present & 1u << column) buffer_printf(out, " %s=%" PRId64, tally_column_name(column), value);
}

static void dump_event(struct buffer *out, const tally_event *e) {
  dump_number(out, e, TALLY_COL_TIMESTAMP, e->timestamp);
  dump_text(out, "user", e->user_id);
  dump_text(out, "service", e->service_name);
  dump_text(out, "endpoint", e->endpoint);
  dump_text(out, "method", e->method);
  dump_number(out, e, TALLY_COL_REQUEST_SIZE, e->request_size);
  dump_number(out, e, TALLY_COL_RESPONSE_SIZE, e->response_size);
  dump_number(out, e, TALLY_COL_DURATION_MS, e->duration_ms);
  dump_number(out, e, TALLY_COL_STATUS_CODE, e->status_code);
  dump_number(out, e, TALLY_COL_TOKENS_USED, e->tokens_used);
  dump_number(out, e, TALLY_COL_COST, e->cost);
  dump_text(out, "metadata", e->metadata);
}

static void dump_record(struct buffer *out, enum record_kind kind, const struct record *r,
                        const struct problem *p) {
  if (kind == RECORD_ROW) {
    buffer_printf(out, "%" PRIu64 ":", r->line);
    dump_event(out, &r->event);
  } else {
    buffer_printf(out, "%" PRIu64 "! %" PRIu64 " %s: %s", r->line, p->line, p->column, p->text);
  }
  buffer_text(out, "\n");
}

/* A copy of text[0, size) with the slack that readers need, filled with what would mislead them. */
static char *with_slack(const char *text, size_t size) {
  char *copy = mem_alloc(size + INGEST_SLACK);
  cr_assert(copy);
  memset(copy + size, '"', INGEST_SLACK);
  if (size) memcpy(copy, text, size);
  return copy;
}

/* What was said of the user to come, of a plain record that came at once, is its user. */
static void check_coming(const char *text, tally_text coming, size_t at, const struct record *r) {
  if (!coming.data || r->start != at || memchr(text + at, '"', r->end - at)) return;
  while (coming.size && (coming.data[coming.size - 1] == '\r')) coming.size--;
  cr_assert_eq(r->event.user_id.size, coming.size);
  if (coming.size) cr_assert_eq(r->event.user_id.data, coming.data);
}

/* Everything in the text, which becomes longer at `split`, as one line a record. */
static char *read_all(const char *text, size_t size, size_t split, csv_index_fn *index,
                      struct value_options *values) {
  static const struct ignore ignore = {{"skip_me,other"}, 1};
  struct csv_layout layout;
  struct record record;
  struct problem problem;
  struct buffer out = {0};
  char *whole = with_slack(text, size);
  enum record_kind kind = csv_header(whole, size, true, &ignore, &layout, &record, &problem);
  if (kind != RECORD_ROW) {
    dump_record(&out, kind, &record, &problem);
  } else {
    size_t start = record.end;
    if (split < start) split = start;
    char *part = with_slack(text, split);
    struct csv csv;
    csv_init(&csv, &layout, values, index);
    csv.line = 2;
    csv_text(&csv, part, split, false, start);
    for (;;) {
      const tally_text coming = csv_coming_user(&csv);
      const size_t at = csv.at;
      kind = csv_next(&csv, &record, &problem);
      if (kind == RECORD_END) break;
      if (kind == RECORD_ROW) check_coming(csv.text, coming, at, &record);
      if (kind == RECORD_MORE) {
        cr_assert(!csv.final);
        csv_text(&csv, whole, size, true, csv.at);
      } else {
        cr_assert(kind == RECORD_ROW || kind == RECORD_BAD);
        cr_assert(record.start < record.end && record.end <= size && record.end == csv.at);
        dump_record(&out, kind, &record, &problem);
      }
    }
    csv_free(&csv);
    mem_free(part);
  }
  csv_layout_free(&layout);
  mem_free(whole);
  write8(&out, 0);
  return (char *)out.data;
}

static struct value_options plain(void) { return (struct value_options){.time_unit = 1}; }

/* Reads the text in every way there is and expects the same of all of them. */
static void expect(const char *text, size_t size, const char *expected) {
  struct value_options values = plain();
  for (size_t i = 0; i <= index_count(); i++)
    for (size_t split = 0; split <= size; split++) {
      char *got = read_all(text, size, split, i ? indexes[i - 1] : no_index, &values);
      cr_assert_str_eq(got, expected, "index %zu, split at %zu:\n%s", i, split, got);
      mem_free(got);
    }
}
#define EXPECT(text, expected) expect(text, sizeof(text) - 1, expected)

/* ------------------------------------------------------------------ the grammar */

#define THREE "timestamp,user_id,cost\n"

Test(csv, reads_rfc_4180_in_every_split_and_with_every_index) {
  EXPECT(THREE "1,a,2\n2,b,0.5\n", "2: timestamp=1 user=[a] cost=2000000000\n"
                                   "3: timestamp=2 user=[b] cost=500000000\n");
  EXPECT("timestamp,user_id,cost\r\n1,a,2\r\n2,b,3\r\n",
         "2: timestamp=1 user=[a] cost=2000000000\n3: timestamp=2 user=[b] cost=3000000000\n");
  /* the last line may lack its end, or end in CR alone */
  EXPECT(THREE "1,a,2", "2: timestamp=1 user=[a] cost=2000000000\n");
  EXPECT(THREE "1,a,2\r", "2: timestamp=1 user=[a] cost=2000000000\n");
  EXPECT(THREE "1,a,", "2: timestamp=1 user=[a]\n");
  EXPECT(THREE "1,,\"\"", "2! 2 cost: '' is not a decimal number: write it as 0.0124\n");
  /* empty is NULL, quoted empty is not */
  EXPECT(THREE "1,,\n2,\"\",\n", "2: timestamp=1\n3: timestamp=2 user=[]\n");
  /* quotes, separators and line ends in quotes; lines go on counting */
  EXPECT(THREE "1,\"a \"\"b\"\", c\nd\r\ne\",\"1\"\n2,\"\"\"\"\"\",\n3,x\ry,\n",
         "2: timestamp=1 user=[a \"b\", c\nd\r\ne] cost=1000000000\n"
         "5: timestamp=2 user=[\"\"]\n6: timestamp=3 user=[x\ry]\n");
  /* blank lines hold no record */
  EXPECT(THREE "\n\r\n1,a,\n\n\n2,b,\n\r\n\n", "4: timestamp=1 user=[a]\n7: timestamp=2 user=[b]\n");
  /* columns in any order, quoted names, columns left out */
  EXPECT("\"user_id\",skip_me,timestamp,other\na,\"x\ny\",1,\nb,,2,\"\"\n",
         "2: timestamp=1 user=[a]\n4: timestamp=2 user=[b]\n");
  EXPECT("timestamp\n1\n\"2\"\n\n3", "2: timestamp=1\n3: timestamp=2\n5: timestamp=3\n");
}

Test(csv, reads_every_column) {
  EXPECT("timestamp,user_id,service_name,endpoint,method,request_size,response_size,duration_ms,status_code,"
         "tokens_used,cost,metadata\r\n"
         "2024-01-02T03:04:05.000006Z,u,s,/e,GET,1,-2,2147483647,-2147483648,0,-0.000000001,"
         "\"{\"\"a\"\":\"\"b\"\"}\"\r\n"
         "2024-01-02 03:04:05+01,,,,,,,,,,1e2,\r\n",
         "2: timestamp=1704164645000006 user=[u] service=[s] endpoint=[/e] method=[GET] request_size=1 "
         "response_size=-2 duration_ms=2147483647 status_code=-2147483648 tokens_used=0 cost=-1 "
         "metadata=[{\"a\":\"b\"}]\n"
         "3: timestamp=1704161045000000 cost=100000000000\n");
}

#define UNCLOSED                                                                                             \
  "the quote that is opened here is never closed: close it, or double it if it belongs to a quoted field"
#define BEHIND "text behind the closing quote of a field: double the quotes that belong to the field"
#define INSIDE "a quote inside an unquoted field: quote the whole field and double the quotes in it"
#define COUNT(n, m)                                                                                          \
  "the record has " #n " fields where the header has " #m                                                    \
  ": give every column a field, and quote fields that hold commas"

Test(csv, says_where_and_what_is_wrong_and_goes_on_behind_it) {
  EXPECT(THREE "1,\"a\"b,1\n2,c,\n", "2! 2 user_id: " BEHIND "\n3: timestamp=2 user=[c]\n");
  EXPECT(THREE "1,\"a\n\nb\" ,1\n2,c,\n", "2! 4 user_id: " BEHIND "\n5: timestamp=2 user=[c]\n");
  EXPECT(THREE "1,\"a\"\rb,1\n2,c,\n", "2! 2 user_id: " BEHIND "\n3: timestamp=2 user=[c]\n");
  EXPECT(THREE "1,\"a\"\"\"b,1\n2,c,\n", "2! 2 user_id: " BEHIND "\n3: timestamp=2 user=[c]\n");
  EXPECT(THREE "1,a\"b,1\n2,c,\n", "2! 2 user_id: " INSIDE "\n3: timestamp=2 user=[c]\n");
  EXPECT(THREE "1,a\"b\",1\n2,\"c\",\n", "2! 2 user_id: " INSIDE "\n3: timestamp=2 user=[c]\n");
  EXPECT(THREE "1, \"b\",1\n2,c,\n", "2! 2 user_id: " INSIDE "\n3: timestamp=2 user=[c]\n");
  EXPECT(THREE "1,a,1\n2,\"c,\n3,d,\n",
         "2: timestamp=1 user=[a] cost=1000000000\n3! 3 user_id: " UNCLOSED "\n");
  EXPECT(THREE "1,a,\"", "2! 2 cost: " UNCLOSED "\n");
  EXPECT(THREE "1,a\n2,c,\n", "2! 2 : " COUNT(2, 3) "\n3: timestamp=2 user=[c]\n");
  EXPECT(THREE "1,a,1,\n2,c,\n", "2! 2 : " COUNT(4, 3) "\n3: timestamp=2 user=[c]\n");
  EXPECT(THREE "1,\"x\n\",1,\n2,c,\n", "2! 2 : " COUNT(4, 3) "\n4: timestamp=2 user=[c]\n");
  EXPECT(THREE ",a,1\n2,c,\n", "2! 2 timestamp: it is empty, but every event needs one: fill it in\n"
                               "3: timestamp=2 user=[c]\n");
  EXPECT(THREE "1,\"a\n\n\",x\n2,c,\n",
         "2! 4 cost: 'x' is not a decimal number: write it as 0.0124\n5: timestamp=2 user=[c]\n");
}

#define INT(value) "timestamp,duration_ms\n1," value "\n"
#define NO_INT(value)                                                                                        \
  "2! 2 duration_ms: '" value "' is not an integer: write digits, with a minus in front if it is negative\n"
#define WIDE_INT(value)                                                                                      \
  "2! 2 duration_ms: '" value "' does not fit 32 bits: it must lie within -2147483648 and 2147483647\n"

Test(csv, takes_exactly_the_integers_of_32_bits) {
  EXPECT(INT("0"), "2: timestamp=1 duration_ms=0\n");
  EXPECT(INT("9"), "2: timestamp=1 duration_ms=9\n");
  EXPECT(INT("1234567"), "2: timestamp=1 duration_ms=1234567\n");
  EXPECT(INT("98765432"), "2: timestamp=1 duration_ms=98765432\n");
  EXPECT(INT("987654321"), "2: timestamp=1 duration_ms=987654321\n");
  EXPECT(INT("-0"), "2: timestamp=1 duration_ms=0\n");
  EXPECT(INT("007"), "2: timestamp=1 duration_ms=7\n");
  EXPECT(INT("000000000000000000000000000012"), "2: timestamp=1 duration_ms=12\n");
  EXPECT(INT("2147483647"), "2: timestamp=1 duration_ms=2147483647\n");
  EXPECT(INT("-2147483648"), "2: timestamp=1 duration_ms=-2147483648\n");
  EXPECT(INT("2147483648"), WIDE_INT("2147483648"));
  EXPECT(INT("-2147483649"), WIDE_INT("-2147483649"));
  EXPECT(INT("99999999999999999999999999"), WIDE_INT("99999999999999999999999999"));
  EXPECT(INT("+1"), NO_INT("+1"));
  EXPECT(INT("1.0"), NO_INT("1.0"));
  EXPECT(INT("1e3"), NO_INT("1e3"));
  EXPECT(INT("-"), NO_INT("-"));
  EXPECT(INT(" 1"), NO_INT(" 1"));
  EXPECT(INT("0x1"), NO_INT("0x1"));
  static const char wrong[] = "/:;aA .-+e_\x7F";
  for (size_t i = 0; i + 1 < sizeof wrong; i++)
    for (size_t size = 1; size <= 9; size++)
      for (size_t at = 0; at < size; at++) { /* one byte that is no digit, at every place */
        char digits[] = "123456789", text[64], expected[256];
        digits[at] = wrong[i];
        if (wrong[i] == '-' && at == 0 && size > 1) continue;
        int n = snprintf(text, sizeof text, "timestamp,duration_ms\n1,%.*s\n", (int)size, digits);
        (void)snprintf(expected, sizeof expected,
                       "2! 2 duration_ms: %s is not an integer: write digits, with a "
                       "minus in front if it is negative\n",
                       excerpt_of(digits, size).text);
        struct value_options values = plain();
        char *got = read_all(text, (size_t)n, (size_t)n, csv_index_portable, &values);
        cr_assert_str_eq(got, expected);
        mem_free(got);
      }
  EXPECT(INT("\"\""), NO_INT(""));
}

Test(csv, refuses_a_header_that_it_cannot_use) {
  EXPECT("", "1! 1 : there is no header: the first line must name the columns\n");
  EXPECT("timestamp,user_id,timestamp\n",
         "1! 1 timestamp: the header has the column twice: name every column once\n");
  EXPECT("user_id,cost\n1,2\n",
         "1! 1 timestamp: the header lacks it, but every event needs one: the first line "
         "must name the columns\n");
  EXPECT("timestamp,nonsense\n",
         "1! 1 : 'nonsense' is no column of events, which are timestamp, user_id, "
         "service_name, endpoint, method, request_size, response_size, duration_ms, "
         "status_code, tokens_used, cost and metadata: correct the header, or leave the "
         "column out with --ignore\n");
  EXPECT("timestamp,\"user_id\n",
         "1! 1 : a quote in the header is not where it may be: quote whole names, and "
         "close the quotes\n");
}

/* ------------------------------------------------------------------ random texts */

/* Mostly plain records, with pieces in them that meet the grammar everywhere. */
static void random_csv(struct buffer *b) {
  static const char *const pieces[] = {",",    "\n",   "\"",      "\"\"",       "\r\n",
                                       "\r",   "a",    "1",       "\",",        ",\"",
                                       "\n\n", "\"\n", "1,b,2\n", "1,\"b\",\n", "1,\"x\"\"y,\",2\n"};
  buffer_clear(b);
  buffer_text(b, THREE);
  uint64_t odd = random_number(4); /* how often something odd comes */
  for (uint64_t n = random_number(40); n; n--) {
    if (random_number(4) < odd)
      buffer_text(b, pieces[random_number(sizeof pieces / sizeof *pieces)]);
    else
      buffer_printf(b, "%" PRIu64 ",%s,%s\n", random_number(1000000),
                    random_number(2) ? "user" : "\"a,\"\"b\"", random_number(2) ? "" : "0.25");
  }
}

Test(csv, all_indexes_read_random_text_like_the_grammar_does, .timeout = 60) {
  random_start();
  struct buffer text = {0};
  struct value_options values = plain();
  for (int i = 0; i < 3000; i++) {
    random_csv(&text);
    size_t split = random_number(text.size + 1);
    char *expected = read_all((char *)text.data, text.size, text.size, no_index, &values);
    for (size_t k = 0; k <= index_count(); k++) {
      char *got = read_all((char *)text.data, text.size, split, k ? indexes[k - 1] : no_index, &values);
      cr_assert_str_eq(got, expected, "round %d, index %zu, split %zu of:\n%.*s", i, k, split, (int)text.size,
                       text.data);
      mem_free(got);
    }
    mem_free(expected);
  }
  buffer_free(&text);
}

/* A value of a column, or nothing; of an integer that is to be odd what is none, or longer than eight digits.
 */
static void random_field(struct buffer *out, int column, bool is_odd) {
  static const char *const odd[] = {"", "-5", "0123456789", "2147483648", "7x", "\"12\"", "+1", " 3"};
  uint64_t r = random_number(1u << 20);
  bool integer = column >= TALLY_COL_REQUEST_SIZE && column <= TALLY_COL_TOKENS_USED;
  if (column == TALLY_COL_TIMESTAMP)
    buffer_printf(out, "%" PRIu64, r);
  else if (integer && is_odd)
    buffer_text(out, odd[r % (sizeof odd / sizeof *odd)]);
  else if (integer)
    buffer_printf(out, "%" PRIu64, r >> random_number(20));
  else if (random_number(8) == 0)
    return;
  else if (column == TALLY_COL_COST)
    buffer_printf(out, "%" PRIu64 ".%" PRIu64, r % 100, r % 1000);
  else if (column == TALLY_COL_METADATA)
    buffer_printf(out, "\"{\"\"a\"\":%" PRIu64 "}\"", r);
  else
    buffer_printf(out, "t%" PRIu64, r % 50);
}

Test(csv, columns_in_their_order_are_read_as_in_any_other) {
  random_start();
  struct value_options values = plain();
  for (int round = 0; round < 300; round++) {
    struct buffer text[2] = {{0}, {0}};
    const int turn = 1 + (int)random_number(TALLY_COLUMNS - 1);
    const uint64_t rows = 1 + random_number(30);
    for (uint64_t row = 0; row <= rows; row++) {
      struct buffer field[TALLY_COLUMNS] = {{0}};
      const int odd = (int)random_number((uint64_t)4 * TALLY_COLUMNS); /* one, or none: the first is blamed */
      for (int c = 0; c < TALLY_COLUMNS; c++)
        row ? random_field(&field[c], c, c == odd) : buffer_text(&field[c], tally_column_name(c));
      for (int c = 0; c < TALLY_COLUMNS; c++)
        for (int k = 0; k < 2; k++) {
          const struct buffer *f = &field[k ? (c + turn) % TALLY_COLUMNS : c];
          buffer_append(&text[k], f->data, f->size);
          buffer_text(&text[k], c + 1 < TALLY_COLUMNS ? "," : "\n");
        }
      for (int c = 0; c < TALLY_COLUMNS; c++) buffer_free(&field[c]);
    }
    char *expected = read_all((char *)text[1].data, text[1].size, text[1].size, no_index, &values);
    for (size_t k = 0; k < index_count(); k++) {
      char *got = read_all((char *)text[0].data, text[0].size, text[0].size, indexes[k], &values);
      cr_assert_str_eq(got, expected, "round %d, index %zu of:\n%.*s", round, k, (int)text[0].size,
                       text[0].data);
      mem_free(got);
    }
    mem_free(expected);
    buffer_free(&text[0]);
    buffer_free(&text[1]);
  }
}

Test(csv, indexes_are_equal_at_every_length_and_capacity) {
  random_start();
  for (int i = 0; i < 3000; i++) {
    char text[700];
    uint32_t expected[256], got[256];
    size_t size = random_number(sizeof text - 64), from = random_number(size / 8 + 1);
    size_t capacity = 64 + random_number(192);
    for (size_t k = 0; k < sizeof text; k++) text[k] = ",,\n\"\r abc\""[random_number(i % 2 ? 9 : 3)];
    size_t count = csv_index_portable(text, from, size, expected, capacity);
    for (size_t k = 1; k < index_count(); k++) {
      cr_assert_eq(indexes[k](text, from, size, got, capacity), count, "round %d, index %zu", i, k);
      cr_assert_arr_eq(got, expected, count * sizeof *got);
    }
  }
}

Test(csv, unquotes_at_every_length) {
  random_start();
  for (int i = 0; i < 5000; i++) {
    char inside[512 + 32], plain_text[512], out[512 + CSV_UNQUOTE_SLACK];
    size_t size = 0, plain_size = 0, most = random_number(i % 2 ? 100 : 500);
    uint64_t lines = 0;
    while (size < most) {
      char c = random_number(4) ? 'x' : random_number(6) ? '"' : '\n';
      lines += c == '\n';
      plain_text[plain_size++] = inside[size++] = c;
      if (c == '"') inside[size++] = c;
    }
    memset(inside + size, '"', 32);
    csv_unquote_fn *const ways[] = {csv_unquote_portable, csv_unquote_best()};
    for (size_t k = 0; k < 2; k++) {
      struct csv_unquoted u = ways[k](inside, size, out);
      cr_assert_eq(u.size, plain_size);
      cr_assert_eq(u.lines, lines);
      cr_assert_arr_eq(out, plain_text, plain_size);
    }
  }
}

/* One to eight digits; false for any other field. */
static bool naive_integer(const char *field, size_t size, int32_t *value) {
  *value = 0;
  for (size_t i = 0; i < size; i++) {
    if (size > 8 || field[i] < '0' || field[i] > '9') return false;
    *value = *value * 10 + (field[i] - '0');
  }
  return size > 0;
}

Test(csv, integers_are_read_together_as_one_by_one) {
  random_start();
  unsigned good_ones = 0;
  for (int round = 0; round < 100000; round++) {
    char text[256];
    uint32_t separators[CSV_INTEGERS + 1];
    int32_t want[CSV_INTEGERS], got[CSV_INTEGERS];
    bool good = true;
    size_t at = random_number(round % 2 ? 12 : 60);
    memset(text, '0' + (int)random_number(10), sizeof text);
    text[at] = ',';
    for (int i = 0; i < CSV_INTEGERS; i++) {
      size_t size = random_number(40) ? 1 + random_number(8) : random_number(12);
      separators[i] = (uint32_t)at++;
      for (size_t k = 0; k < size; k++)
        text[at + k] = random_number(60) ? (char)('0' + random_number(10)) : (char)random_number(256);
      good &= naive_integer(text + at, size, &want[i]);
      at += size;
      text[at] = i + 1 < CSV_INTEGERS ? ',' : '\n';
    }
    separators[CSV_INTEGERS] = (uint32_t)at;
    good_ones += good;
    csv_integers_fn *const ways[] = {csv_integers_portable, csv_integers_best()};
    for (size_t k = 0; k < 2; k++) {
      cr_assert_eq(ways[k](text, separators, got), good, "way %zu, round %d: %.*s", k, round, (int)at, text);
      if (good) cr_assert_arr_eq(got, want, sizeof want);
    }
  }
  cr_assert_gt(good_ones, 20000);
}

Test(csv, takes_a_thousand_columns_and_texts_longer_than_the_index) {
  struct buffer text = {0};
  struct value_options values = plain();
  buffer_text(&text, "timestamp");
  for (int i = 1; i < (int)CSV_COLUMNS; i++) buffer_text(&text, ",other");
  for (int row = 0; row < 20; row++) {
    buffer_printf(&text, "\n%d", row);
    for (int i = 1; i < (int)CSV_COLUMNS; i++) buffer_text(&text, i % 100 ? "," : ",\"a,\"");
  }
  for (size_t k = 0; k < index_count(); k++) {
    char *got = read_all((char *)text.data, text.size, text.size / 2, indexes[k], &values);
    const char *p = got;
    for (int row = 0; row < 20; row++) {
      char line[64];
      int n = snprintf(line, sizeof line, "%d: timestamp=%d\n", row + 2, row);
      cr_assert(strncmp(p, line, (size_t)n) == 0, "%.60s", p);
      p += n;
    }
    cr_assert_eq(*p, '\0');
    mem_free(got);
  }
  buffer_free(&text);
}

Test(csv, escapes_and_cuts_what_it_quotes) {
  cr_assert_str_eq(excerpt_of("a\n\x01\xC3\xA9\xC3", 6).text, "'a\\x0A\\x01\xC3\xA9\\xC3'");
  char longer[300];
  memset(longer, 'x', sizeof longer);
  struct excerpt e = excerpt_of(longer, sizeof longer);
  cr_assert(strlen(e.text) < EXCERPT_SIZE && strstr(e.text, "x…'"));
  cr_assert_str_eq(excerpt_of("", 0).text, "''");
}
