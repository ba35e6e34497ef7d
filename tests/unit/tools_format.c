/* Laws of the output (contract section 4, Output), against literal bytes. */
#include "tools/display.h"
#include "tools/format.h"

#include "base/bytes.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define NONE                                                                                                 \
  { NULL, 0 }
#define TEXT(literal)                                                                                        \
  { literal, sizeof(literal) - 1 }

static const struct printer_options piped[] = {[FORMAT_TABLE] = {.format = FORMAT_TABLE},
                                               [FORMAT_CSV] = {.format = FORMAT_CSV},
                                               [FORMAT_TSV] = {.format = FORMAT_TSV},
                                               [FORMAT_JSON] = {.format = FORMAT_JSON},
                                               [FORMAT_NDJSON] = {.format = FORMAT_NDJSON}};

/* What the rows look like; static storage, NUL-terminated. */
static const char *print(const struct printer_options *options, const tally_result_column *columns,
                         size_t count, const tally_text *cells, size_t rows, bool complete) {
  static char text[1 << 16];
  tally_error error;
  struct printer *output = NULL;
  int fd = memfd_create("output", 0);
  cr_assert(fd >= 0);
  cr_assert_eq(printer_open(fd, options, columns, count, &output, &error), 0);
  for (size_t i = 0; i < rows; i++) cr_assert_eq(printer_row(output, cells + i * count, &error), 0);
  cr_assert_eq(printer_finish(output, complete, &error), 0);
  printer_close(output);
  ssize_t size = pread(fd, text, sizeof text - 1, 0);
  cr_assert(size >= 0);
  text[size] = '\0';
  close(fd);
  return text;
}

static const tally_result_column two[] = {{"service_name", TALLY_TYPE_TEXT}, {"count", TALLY_TYPE_INT}};
static const tally_result_column all[] = {{"t", TALLY_TYPE_TEXT}, {"i", TALLY_TYPE_INT},
                                          {"r", TALLY_TYPE_REAL}, {"c", TALLY_TYPE_COST},
                                          {"w", TALLY_TYPE_TIME}, {"m", TALLY_TYPE_JSON}};
static const tally_text all_cells[] = {TEXT("x"),
                                       TEXT("170141183460469231731687303715884105727"),
                                       TEXT("-0.500000"),
                                       TEXT("0.0124"),
                                       TEXT("2024-02-01T00:00:00.000000Z"),
                                       TEXT("{\"a\":1,\n\"b\":\"\\n\"}"),
                                       NONE,
                                       NONE,
                                       NONE,
                                       NONE,
                                       NONE,
                                       NONE};

Test(format, csv_quotes_by_rfc_4180_and_keeps_null_from_empty) {
  tally_text cells[] = {TEXT("plain"),       TEXT("1"), NONE,         NONE,      TEXT(""),       TEXT("2"),
                        TEXT("a,b"),         NONE,      TEXT("a\"b"), TEXT("3"), TEXT("a\r\nb"), TEXT("4"),
                        TEXT(" sp \t\\N é"), TEXT("5")};
  cr_assert_str_eq(print(&piped[FORMAT_CSV], two, 2, cells, 7, true), "service_name,count\n"
                                                                      "plain,1\n"
                                                                      ",\n"
                                                                      "\"\",2\n"
                                                                      "\"a,b\",\n"
                                                                      "\"a\"\"b\",3\n"
                                                                      "\"a\r\nb\",4\n"
                                                                      " sp \t\\N é,5\n");
  tally_result_column quoted[] = {{"metadata.\"a.b\"", TALLY_TYPE_TEXT}, {"p50:cost", TALLY_TYPE_COST}};
  cr_assert_str_eq(print(&piped[FORMAT_CSV], quoted, 2, NULL, 0, true),
                   "\"metadata.\"\"a.b\"\"\",p50:cost\n");
  cr_assert_str_eq(print(&piped[FORMAT_CSV], all, 6, all_cells, 2, true),
                   "t,i,r,c,w,m\n"
                   "x,170141183460469231731687303715884105727,-0.500000,0.0124,2024-02-01T00:00:00.000000Z,"
                   "\"{\"\"a\"\":1,\n\"\"b\"\":\"\"\\n\"\"}\"\n"
                   ",,,,,\n");
}

Test(format, tsv_escapes_four_characters_and_writes_null_as_backslash_n) {
  tally_text cells[] = {TEXT("a\tb"),
                        TEXT("1"),
                        NONE,
                        NONE,
                        TEXT(""),
                        TEXT("2"),
                        TEXT("\\N"),
                        TEXT("3"),
                        TEXT("l\nm\rn\\"),
                        NONE,
                        TEXT("\"q\",é\x01"),
                        TEXT("4")};
  cr_assert_str_eq(print(&piped[FORMAT_TSV], two, 2, cells, 6, true), "service_name\tcount\n"
                                                                      "a\\tb\t1\n"
                                                                      "\\N\t\\N\n"
                                                                      "\t2\n"
                                                                      "\\\\N\t3\n"
                                                                      "l\\nm\\rn\\\\\t\\N\n"
                                                                      "\"q\",é\x01\t4\n");
  cr_assert_str_eq(print(&piped[FORMAT_TSV], two, 2, NULL, 0, true), "service_name\tcount\n");
}

Test(format, json_types_follow_the_column) {
  cr_assert_str_eq(
      print(&piped[FORMAT_NDJSON], all, 6, all_cells, 2, true),
      "{\"t\":\"x\",\"i\":170141183460469231731687303715884105727,\"r\":-0.500000,\"c\":\"0.0124\","
      "\"w\":\"2024-02-01T00:00:00.000000Z\",\"m\":{\"a\":1, \"b\":\"\\n\"}}\n"
      "{\"t\":null,\"i\":null,\"r\":null,\"c\":null,\"w\":null,\"m\":null}\n");
  tally_text cells[] = {TEXT("a"), TEXT("1"), TEXT("b"), TEXT("2")};
  cr_assert_str_eq(print(&piped[FORMAT_JSON], two, 2, cells, 2, true),
                   "[\n{\"service_name\":\"a\",\"count\":1},\n{\"service_name\":\"b\",\"count\":2}\n]\n");
  cr_assert_str_eq(print(&piped[FORMAT_JSON], two, 2, NULL, 0, true), "[]\n");
  cr_assert_str_eq(print(&piped[FORMAT_NDJSON], two, 2, NULL, 0, true), "");
  /* What is not complete must not parse. */
  cr_assert_str_eq(print(&piped[FORMAT_JSON], two, 2, cells, 1, false),
                   "[\n{\"service_name\":\"a\",\"count\":1}\n");
}

Test(format, json_strings_are_escaped) {
  static const tally_result_column key[] = {{"metadata.\"a\\b\"", TALLY_TYPE_TEXT}};
  static const struct {
    tally_text cell;
    const char *printed;
  } cases[] = {
      {TEXT(""), "\"\""},
      {TEXT("\"\\/"), "\"\\\"\\\\/\""},
      {TEXT("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\""},
      {TEXT("\x01\x1f\x7f"), "\"\\u0001\\u001f\x7f\""},
      {TEXT("é日😀"), "\"é日😀\""},
      {TEXT("a\"b"), "\"a\\\"b\""},
      {TEXT("end\""), "\"end\\\"\""},
      {TEXT("\xff"
            "a\xc3"),
       "\"\xEF\xBF\xBD"
       "a\xEF\xBF\xBD\""},
      {TEXT("a\0b"), "\"a\\u0000b\""},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char expected[128];
    (void)snprintf(expected, sizeof expected, "{\"metadata.\\\"a\\\\b\\\"\":%s}\n", cases[i].printed);
    cr_assert_str_eq(print(&piped[FORMAT_NDJSON], key, 1, &cases[i].cell, 1, true), expected, "case %zu", i);
  }
}

Test(format, tables_are_aligned) {
  tally_text cells[] = {TEXT("chat"), TEXT("12"),           NONE,     TEXT("-1234567"), TEXT("日本"),
                        NONE,         TEXT("a\tb\x1b[31m"), TEXT("0")};
  cr_assert_str_eq(print(&piped[FORMAT_TABLE], two, 2, cells, 4, true), "service_name |    count\n"
                                                                        "-------------+---------\n"
                                                                        "chat         |       12\n"
                                                                        "             | -1234567\n"
                                                                        "日本         |\n"
                                                                        "a\\tb\\x1B[31m |        0\n");
  tally_result_column reversed[] = {{"count", TALLY_TYPE_INT}, {"service_name", TALLY_TYPE_TEXT}};
  tally_text back[] = {TEXT("1"), TEXT("x"), TEXT("22"), NONE};
  cr_assert_str_eq(print(&piped[FORMAT_TABLE], reversed, 2, back, 2, true), "count | service_name\n"
                                                                            "------+-------------\n"
                                                                            "    1 | x\n"
                                                                            "   22 |\n");
  cr_assert_str_eq(print(&piped[FORMAT_TABLE], two, 2, NULL, 0, true), "service_name | count\n"
                                                                       "-------------+------\n");
}

Test(format, tables_on_a_terminal_are_cut_counted_and_coloured) {
  tally_text cells[] = {TEXT("a very long name that has to give way"), TEXT("12345678")};
  struct printer_options o = {.format = FORMAT_TABLE, .terminal = true, .width = 40};
  cr_assert_str_eq(print(&o, two, 2, cells, 1, true),
                   "service_name                  |    count\n"
                   "------------------------------+---------\n"
                   "a very long name that has to… | 12345678\n"
                   "(1 row; … marks cut cells, csv or json show them whole)\n");
  o.width = 200;
  cr_assert_str_eq(print(&o, two, 2, cells, 0, true),
                   "service_name | count\n-------------+------\n(0 rows)\n");
  o.color = true;
  cr_assert_str_eq(print(&o, two, 2, cells, 0, false), "\033[1mservice_name\033[0m | \033[1mcount\033[0m\n"
                                                       "\033[2m-------------+------\033[0m\n"
                                                       "\033[2m(0 rows, incomplete)\033[0m\n");
}

/* Rows that are streamed keep the columns of the measured ones and are shown whole. */
Test(format, long_tables_stream_at_the_measured_widths) {
  tally_error error;
  struct printer *output = NULL;
  int fd = memfd_create("output", 0);
  cr_assert_eq(printer_open(fd, &piped[FORMAT_TABLE], two, 2, &output, &error), 0);
  tally_text narrow[] = {TEXT("n"), TEXT("1")}, wide[] = {TEXT("wider than the header is"), TEXT("2")};
  for (size_t i = 0; i < TABLE_MEASURED; i++) cr_assert_eq(printer_row(output, narrow, &error), 0);
  cr_assert_eq(printer_row(output, wide, &error), 0);
  cr_assert_eq(printer_row(output, narrow, &error), 0);
  cr_assert_eq(printer_finish(output, true, &error), 0);
  printer_close(output);
  static const char tail[] = "n            |     1\nwider than the header is |     2\nn            |     1\n";
  char end[sizeof tail] = "";
  off_t size = lseek(fd, 0, SEEK_END);
  cr_assert_eq(size, 21 * (off_t)(TABLE_MEASURED + 3) + 33);
  cr_assert_eq(pread(fd, end, sizeof tail - 1, size - (off_t)sizeof tail + 1), (ssize_t)sizeof tail - 1);
  cr_assert_str_eq(end, tail);
  close(fd);
}

static size_t written(int fd) { return (size_t)lseek(fd, 0, SEEK_END); }

Test(format, rows_that_come_slowly_are_written_as_they_come_and_others_together) {
  static const enum format formats[] = {FORMAT_CSV, FORMAT_TSV, FORMAT_JSON, FORMAT_NDJSON};
  for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
    tally_error error;
    struct printer *output = NULL;
    static const tally_text cells[] = {TEXT("chat"), TEXT("12")};
    int fd = memfd_create("output", 0);
    cr_assert(fd >= 0);
    cr_assert_eq(printer_open(fd, &piped[formats[f]], two, 2, &output, &error), 0);
    cr_assert_eq(printer_row(output, cells, &error), 0);
    size_t first = written(fd);
    cr_assert_gt(first, 0, "the first row is not held back");
    cr_assert_eq(printer_row(output, cells, &error), 0);
    cr_assert_eq(written(fd), first, "the second is");
    usleep(250000);
    cr_assert_eq(printer_row(output, cells, &error), 0);
    cr_assert_gt(written(fd), first, "a late row is written with those before it");
    cr_assert_eq(printer_finish(output, true, &error), 0);
    printer_close(output);
    close(fd);
  }
}

Test(format, a_broken_output_is_an_error_and_a_gone_reader_is_told_apart) {
  tally_error error;
  tally_text cells[] = {TEXT("a"), TEXT("1")};
  struct printer *output = NULL;
  int full = open("/dev/full", O_WRONLY);
  cr_assert_eq(printer_open(full, &piped[FORMAT_CSV], two, 2, &output, &error), 0);
  cr_assert_eq(printer_row(output, cells, &error), TALLY_IO, "the first row is written at once");
  printer_close(output);
  cr_assert_eq(printer_open(full, &piped[FORMAT_CSV], two, 2, &output, &error), 0);
  cr_assert_eq(printer_finish(output, true, &error), TALLY_IO);
  printer_close(output);
  close(full);
  int ends[2];
  cr_assert_eq(pipe(ends), 0);
  close(ends[0]);
  signal(SIGPIPE, SIG_IGN);
  cr_assert_eq(printer_open(ends[1], &piped[FORMAT_CSV], two, 2, &output, &error), 0);
  cr_assert_eq(printer_finish(output, true, &error), TALLY_CLOSED);
  printer_close(output);
  close(ends[1]);
}

Test(format, names_of_formats) {
  static const struct {
    const char *name;
    int number;
  } cases[] = {{"table", FORMAT_TABLE},
               {"csv", FORMAT_CSV},
               {"tsv", FORMAT_TSV},
               {"json", FORMAT_JSON},
               {"ndjson", FORMAT_NDJSON},
               {"CSV", -1},
               {"", -1},
               {"csvs", -1}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    cr_assert_eq(format_number(cases[i].name), cases[i].number, "%s", cases[i].name);
  }
}

Test(display, widths_and_escapes) {
  static const struct {
    tally_text text;
    size_t width;
    const char *shown;
  } cases[] = {
      {TEXT(""), 0, ""},
      {TEXT("abc"), 3, "abc"},
      {TEXT("é"), 1, "é"},
      {TEXT("e\xCC\x81"), 1, "e\xCC\x81"}, /* a combining accent */
      {TEXT("日本語"), 6, "日本語"},
      {TEXT("한글"), 4, "한글"},
      {TEXT("😀"), 2, "😀"},
      {TEXT("ａ"), 2, "ａ"},
      {TEXT("a\xE2\x80\x8D"), 1, "a\xE2\x80\x8D"}, /* zero width joiner */
      {TEXT("\n\r\t\x1b\x7f"), 14, "\\n\\r\\t\\x1B\\x7F"},
      {TEXT("\xC2\x9B"), 6, "\\u009B"},     /* CSI of 8 bits */
      {TEXT("\xE2\x80\xAE"), 6, "\\u202E"}, /* right-to-left override */
      {TEXT("\xff\xc3("), 9, "\\xFF\\xC3("},
      {TEXT("\xed\xa0\x80"), 12, "\\xED\\xA0\\x80"}, /* a surrogate */
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    tally_text t = cases[i].text;
    struct buffer out = {0};
    cr_assert_eq(display_width(t.data, t.size), cases[i].width, "case %zu", i);
    cr_assert_eq(display_append(&out, t.data, t.size, SIZE_MAX), cases[i].width, "case %zu", i);
    write8(&out, 0);
    cr_assert_str_eq((char *)out.data, cases[i].shown, "case %zu", i);
    buffer_free(&out);
  }
}

Test(display, a_cut_never_splits_a_character_and_never_exceeds_its_limit) {
  static const char text[] = "a日e\xCC\x81\n한b😀c";
  size_t size = sizeof text - 1, full = display_width(text, size);
  for (size_t limit = 1; limit <= full + 1; limit++) {
    struct buffer out = {0};
    size_t width = display_append(&out, text, size, limit);
    cr_assert_leq(width, limit);
    cr_assert_eq(width, display_width((char *)out.data, out.size));
    if (limit >= full) cr_assert_eq(out.size, size + 1, "one escape, nothing cut");
    buffer_free(&out);
  }
}
