/* shell_words.h - a line of the shell cut into words, quoted as on a command line: '...' takes everything as
 * it is, in "..." a backslash keeps " and \, elsewhere it keeps any character. An unquoted # at the start of
 * a word begins a comment, an unquoted ; ends the command. Nothing else is special: status_code>=500 needs no
 * quotes. */
#ifndef TOOLS_SHELL_WORDS_H
#define TOOLS_SHELL_WORDS_H

#include "base/bytes.h"

#include <stddef.h>

struct words {
  struct buffer bytes; /* the words, each ended by NUL */
  char **items;        /* count of them, then NULL */
  size_t count;
};

enum words_result {
  WORDS_OK = 0,
  WORDS_UNFINISHED /* inside of a quote, or after a last backslash */,
  WORDS_NO_MEMORY
};

/* Cuts the first command of text; *rest is where the next one begins (its end if there is none). `words` is
 * to be given back with words_free whatever the result. */
enum words_result words_split(struct words *words, const char *text, const char **rest);
void words_free(struct words *words);

#endif
