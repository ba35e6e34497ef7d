/* shell_words.c - see shell_words.h. */
#include "tools/shell_words.h"

#include "base/mem.h"

#include <string.h>

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* Copies a quoted part behind its opening mark; NULL if it has no end. */
static const char *copy_quoted(struct buffer *out, const char *at, char mark) {
  for (; *at && *at != mark; at++) {
    if (mark == '"' && *at == '\\' && (at[1] == '"' || at[1] == '\\')) at++;
    write8(out, (uint8_t)*at);
  }
  return *at ? at + 1 : NULL;
}

/* Copies a word and its NUL; NULL if it is not finished. */
static const char *copy_word(struct buffer *out, const char *at) {
  while (at && *at && !is_blank(*at) && *at != ';') {
    if (*at == '\'' || *at == '"') {
      at = copy_quoted(out, at + 1, *at);
    } else if (*at == '\\') {
      if (!at[1]) return NULL;
      if (at[1] != '\n') write8(out, (uint8_t)at[1]); /* a line that goes on */
      at += 2;
    } else {
      write8(out, (uint8_t)*at++);
    }
  }
  write8(out, 0);
  return at;
}

static bool list_words(struct words *words) {
  words->items = mem_zalloc(words->count + 1, sizeof *words->items);
  if (!words->items) return false;
  char *at = (char *)words->bytes.data;
  for (size_t i = 0; i < words->count; i++) {
    words->items[i] = at;
    at += strlen(at) + 1;
  }
  return true;
}

enum words_result words_split(struct words *words, const char *text, const char **rest) {
  *words = (struct words){0};
  const char *at = text;
  for (;;) {
    while (is_blank(*at) || (at[0] == '\\' && at[1] == '\n')) at += *at == '\\' ? 2 : 1;
    if (*at == '#') at += strcspn(at, "\n");
    if (*at == '\n') continue;
    if (!*at || *at == ';') break;
    at = copy_word(&words->bytes, at);
    if (!at) return WORDS_UNFINISHED;
    words->count++;
  }
  *rest = *at ? at + 1 : at;
  return words->bytes.failed || !list_words(words) ? WORDS_NO_MEMORY : WORDS_OK;
}

void words_free(struct words *words) {
  buffer_free(&words->bytes);
  mem_free(words->items);
  *words = (struct words){0};
}
