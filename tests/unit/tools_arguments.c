/* Laws of the command line: options in any order, mistakes told with exit code 2. */
#include "tools/command.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_WORDS 16

/* Runs a command line given as words with one space between, stdout and stderr put into out and err. */
static int run(const char *line, struct globals *globals, char *out, char *err, size_t size) {
  char text[256], *argv[MAX_WORDS] = {"tally"}, *save = NULL;
  int argc = 1, files[2] = {memfd_create("out", 0), memfd_create("err", 0)}, saved[2] = {dup(1), dup(2)};
  (void)snprintf(text, sizeof text, "%s", line);
  for (char *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save)) argv[argc++] = w;
  fflush(stdout);
  fflush(stderr);
  for (int i = 0; i < 2; i++) cr_assert(dup2(files[i], i + 1) >= 0);
  int code = command_main(globals, argc, argv);
  char *texts[2] = {out, err};
  for (int i = 0; i < 2; i++) {
    cr_assert(dup2(saved[i], i + 1) >= 0);
    ssize_t n = pread(files[i], texts[i], size - 1, 0);
    texts[i][n > 0 ? n : 0] = '\0';
    close(files[i]);
    close(saved[i]);
  }
  return code;
}

Test(arguments, mistakes_exit_2_say_what_and_leave_stdout_empty) {
  static const struct {
    const char *line, *said;
  } cases[] = {
      {"", "Usage: tally"},
      {"quer", "unknown command 'quer'; did you mean 'query'?"},
      {"qurey", "did you mean 'query'?"},
      {"event", "did you mean 'events'?"},
      {"stat", "did you mean 'stats'?"},
      {"truncate", "unknown command 'truncate' (see"},
      {"compact all", "unexpected 'all'"},
      {"backup", "where to? give a directory"},
      {"backup a b", "unexpected 'b'"},
      {"backup a", "write it from the root"},
      {"restore", "which backup?"},
      {"restore a", "name it with --db"},
      {"--db x restore a b", "unexpected 'b'"},
      {"zzzz", "unknown command 'zzzz' (see"},
      {"--bogus query", "unknown option --bogus"},
      {"--formt csv query", "unknown option --formt; did you mean --format?"},
      {"query --grop-by x", "unknown option --grop-by; did you mean --group-by?"},
      {"query --no", "--no may mean several options"},
      {"query -x", "unknown option '-x'"},
      {"query --limit", "--limit needs a value"},
      {"query --fill=yes", "--fill takes no value"},
      {"query --limit -1", "--limit '-1' is no number of rows"},
      {"query --limit 1e3", "--limit '1e3' is no number of rows"},
      {"query --limit 18446744073709551615", "is no number of rows"},
      {"query --limit 18446744073709551616", "is no number of rows"},
      {"query --agg count --agg errors", "--agg is given twice"},
      {"query --format xml", "--format 'xml' is none of table, csv, tsv, json, ndjson"},
      {"query user_id = 4", "unexpected 'user_id'"},
      {"events --order up", "--order 'up' is none of asc, desc and none"},
      {"events --columns cost --columns method", "--columns is given twice"},
      {"events --bucket 1d", "unknown option --bucket"},
      {"stats now", "unexpected 'now'"},
      {"verify --deep", "unknown option --deep"},
      {"flush all", "unexpected 'all'"},
      {"shell x", "unexpected 'x'"},
      {"--server a:1 stats --db x", "--server and --db exclude each other"},
      {"--db= stats", "--db needs a directory"},
      {"--server= stats", "--server needs HOST:PORT"},
      {"help nothing", "unknown command 'nothing'"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct globals globals = {0};
    char out[8192], err[8192];
    cr_assert_eq(run(cases[i].line, &globals, out, err, sizeof out), EXIT_USAGE, "%s", cases[i].line);
    cr_assert_str_empty(out, "%s", cases[i].line);
    cr_assert(strstr(err, cases[i].said), "%s: %s", cases[i].line, err);
  }
}

Test(arguments, help_and_version_go_to_stdout) {
  static const struct {
    const char *line, *begin;
  } cases[] = {{"--help", "Usage: tally [GLOBAL"},     {"-h", "Usage: tally [GLOBAL"},
               {"help", "Usage: tally [GLOBAL"},       {"query --help", "Usage: tally query"},
               {"help events", "Usage: tally events"}, {"--quiet stats --help", "Usage: tally stats"},
               {"flush --help", "Usage: tally flush"}, {"verify -h", "Usage: tally verify"},
               {"shell --help", "Usage: tally shell"}, {"--version", "tally "},
               {"events --version", "tally "}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct globals globals = {0};
    char out[8192], err[8192];
    cr_assert_eq(run(cases[i].line, &globals, out, err, sizeof out), EXIT_DONE, "%s", cases[i].line);
    cr_assert_str_empty(err, "%s", cases[i].line);
    cr_assert_eq(strncmp(out, cases[i].begin, strlen(cases[i].begin)), 0, "%s", cases[i].line);
    bool examples = strstr(out, "Examples:") != NULL;
    cr_assert_eq(examples, cases[i].begin[0] == 'U', "every help has examples: %s", cases[i].line);
  }
}

/* The store does not exist, so the command fails behind its options: exit 1, and the options are taken. */
Test(arguments, global_options_stand_before_or_behind_the_command) {
  static const char *const lines[] = {
      "--db /nonexistent/store --format csv --quiet --no-color stats",
      "stats --db /nonexistent/store --format csv --quiet --no-color",
      "--db=/nonexistent/store stats --quiet --format=csv --no-color",
      "--quiet --no-color --format json --db /nonexistent/store query --format csv --limit 3 --fill",
  };
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    struct globals globals = {0};
    char out[8192], err[8192];
    cr_assert_eq(run(lines[i], &globals, out, err, sizeof out), EXIT_FAILED, "%s", lines[i]);
    cr_assert_str_eq(globals.directory, "/nonexistent/store");
    cr_assert_eq(globals.format, FORMAT_CSV);
    cr_assert(globals.quiet && globals.no_color && !globals.server);
  }
}

Test(arguments, the_server_is_the_option_then_the_variable_then_the_default) {
  struct globals globals = {0};
  unsetenv("TALLY_SERVER");
  cr_assert_str_eq(command_store_name(&globals), "127.0.0.1:7420");
  setenv("TALLY_SERVER", "", 1);
  cr_assert_str_eq(command_store_name(&globals), "127.0.0.1:7420");
  setenv("TALLY_SERVER", "h:1", 1);
  cr_assert_str_eq(command_store_name(&globals), "h:1");
  globals.server = "g:2";
  cr_assert_str_eq(command_store_name(&globals), "g:2");
  globals = (struct globals){.directory = "d"};
  cr_assert_str_eq(command_store_name(&globals), "d");
}

Test(arguments, whole_numbers) {
  static const struct {
    const char *text;
    bool valid;
    uint64_t number;
  } cases[] = {{"0", true, 0},
               {"007", true, 7},
               {"18446744073709551615", true, UINT64_MAX},
               {"18446744073709551616", false, 0},
               {"", false, 0},
               {"-1", false, 0},
               {"+1", false, 0},
               {" 1", false, 0},
               {"1 ", false, 0},
               {"1.0", false, 0},
               {"0x1", false, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    uint64_t number = 0;
    cr_assert_eq(command_number(cases[i].text, &number), cases[i].valid, "'%s'", cases[i].text);
    if (cases[i].valid) cr_assert_eq(number, cases[i].number);
  }
}

Test(arguments, the_nearest_name_is_near) {
  static const char *const names[] = {"query", "events", "stats", "group-by", "no-rollups", NULL};
  static const struct {
    const char *text, *nearest;
  } cases[] = {{"query", "query"},
               {"qeury", "query"},
               {"quer", "query"},
               {"querying", "query"},
               {"groupby", "group-by"},
               {"no-rollup", "no-rollups"},
               {"norollups", "no-rollups"},
               {"stat", "stats"},
               {"x", NULL},
               {"", NULL},
               {"delete", NULL},
               {"kompakt", NULL},
               {"a-word-that-is-longer-than-any-name-of-ours", NULL}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *near = command_nearest(cases[i].text, names);
    cr_assert_eq(near != NULL, cases[i].nearest != NULL, "%s: %s", cases[i].text, near ? near : "none");
    if (near) cr_assert_str_eq(near, cases[i].nearest);
  }
}
