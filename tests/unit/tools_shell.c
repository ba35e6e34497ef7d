/* Laws of the shell's lines: quoting as on a command line, and what Tab offers. */
#include "tools/shell_complete.h"
#include "tools/shell_words.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* The words of a text's first command, joined by '|'. */
static const char *joined(const char *text, const char **rest) {
  static char out[256];
  struct words words;
  enum words_result result = words_split(&words, text, rest);
  out[0] = '\0';
  if (result == WORDS_UNFINISHED) (void)snprintf(out, sizeof out, "<unfinished>");
  for (size_t i = 0; result == WORDS_OK && i < words.count; i++) {
    (void)snprintf(out + strlen(out), sizeof out - strlen(out), "%s%s", i ? "|" : "", words.items[i]);
  }
  if (result == WORDS_OK) cr_assert_null(words.items[words.count]);
  words_free(&words);
  return out;
}

Test(shell, words_are_quoted_as_on_a_command_line) {
  static const struct {
    const char *text, *words, *rest;
  } cases[] = {
      {"", "", ""},
      {"  \t ", "", ""},
      {"query", "query", ""},
      {" query  --fill ", "query|--fill", ""},
      {"query --where status_code>=500", "query|--where|status_code>=500", ""},
      {"q --where 'a b'", "q|--where|a b", ""},
      {"q 'a\"b\\'", "q|a\"b\\", ""},
      {"q \"a'b\"", "q|a'b", ""},
      {"q \"a\\\"b\\\\c\\d\"", "q|a\"b\\c\\d", ""},
      {"q a\\ b", "q|a b", ""},
      {"q --where=user_id='it''s'", "q|--where=user_id=its", ""},
      {"q ''", "q|", ""},
      {"q \"\" x", "q||x", ""},
      {"q 'two\nlines'", "q|two\nlines", ""},
      {"q a \\\n b", "q|a|b", ""},
      {"q a\\\nb", "q|ab", ""},
      {"q # comment", "q", ""},
      {"# comment 'open", "", ""},
      {"q a#b", "q|a#b", ""},
      {"q; r", "q", " r"},
      {"q a;r", "q|a", "r"},
      {"q ';' x", "q|;|x", ""},
      {";", "", ""},
      {"q 'é日'", "q|é日", ""},
      {"q 'open", "<unfinished>", NULL},
      {"q \"open", "<unfinished>", NULL},
      {"q \"open\\\"", "<unfinished>", NULL},
      {"q \\", "<unfinished>", NULL},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *rest = NULL;
    cr_assert_str_eq(joined(cases[i].text, &rest), cases[i].words, "case %zu: %s", i, cases[i].text);
    if (cases[i].rest) cr_assert_str_eq(rest, cases[i].rest, "case %zu", i);
  }
}

/* Completions of a line as "typed common: item item". */
static const char *offered(const char *line) {
  static char out[1024];
  struct completions c = complete_line(line, strlen(line));
  (void)snprintf(out, sizeof out, "%.*s>%.*s:", (int)c.typed, line + strlen(line) - c.typed, (int)c.common,
                 c.count ? c.items[0] : "");
  for (size_t i = 0; i < c.count; i++) {
    (void)snprintf(out + strlen(out), sizeof out - strlen(out), " %s", c.items[i]);
  }
  if (c.files) (void)snprintf(out + strlen(out), sizeof out - strlen(out), " files");
  return out;
}

Test(shell, tab_offers_what_may_stand_there) {
  static const struct {
    const char *line, *offered;
  } cases[] = {
      {"qu", "qu>query: query"},
      {"  st", "st>stats: stats"},
      {"sh", "sh>:"},
      {"\\", "\\>\\: \\connect \\format \\help \\quit \\timing \\watch"},
      {"\\f", "\\f>\\format: \\format"},
      {"\\format ", ">: table csv tsv json ndjson"},
      {"\\timing o", "o>o: on off"},
      {"\\help ev", "ev>events: events"},
      {"query --gr", "gr>group-by: group-by"},
      {"query --fi", "fi>fill: fill"},
      {"query --f", "f>f: from fill format"},
      {"query --group-by se", "se>service_name: service_name"},
      {"query --group-by user_id,me", "me>met: method metadata"},
      {"query --group-by=du", "du>duration_ms: duration_ms"},
      {"query --agg er", "er>error: errors error_rate"},
      {"query --agg count,su", "su>sum:: sum:"},
      {"query --agg count,sum:co", "co>cost: cost"},
      {"query --agg p95:dur", "dur>duration_ms: duration_ms"},
      {"query --where 'sta", "sta>status_code: status_code"},
      {"query --where \"en", "en>endpoint: endpoint"},
      {"query --format nd", "nd>ndjson: ndjson"},
      {"events --order d", "d>desc: desc"},
      {"query --limit 1", ">:"},
      {"nonsense --fo", ">:"},
      {"stats ", ">:"},
      {"ingest da", ">: files"},
      {"ingest --on-error s", "s>s: stop skip"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    cr_assert_str_eq(offered(cases[i].line), cases[i].offered, "%s", cases[i].line);
  }
}
