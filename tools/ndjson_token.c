/* ndjson_token.c - the values of JSON in a text that may not be whole yet; see ndjson.h. No recursion: what
 * is open is a stack of bits. */
#include "tools/ndjson.h"

#include <string.h>

#define HERE "the text ends within the record"

static bool expected(struct cursor *c, const char *what) {
  return cursor_wrong(c, c->at == c->end ? HERE : what);
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* ------------------------------------------------------------------ scalars */

#define EVERY_BYTE UINT64_C(0x0101010101010101)
#define EVERY_SIGN (EVERY_BYTE * 0x80)

/* Some byte of the word is a quote, a backslash or below 0x20 (or, rarely, seems so)? */
static inline bool special(uint64_t word) {
  uint64_t quote = word ^ EVERY_BYTE * '"', backslash = word ^ EVERY_BYTE * '\\';
  uint64_t low = (quote - EVERY_BYTE) & ~quote;
  low |= (backslash - EVERY_BYTE) & ~backslash;
  low |= (word - EVERY_BYTE * 0x20) & ~word;
  return (low & EVERY_SIGN) != 0;
}

static const char *skip_plain(const char *p, const char *end) {
  while (end - p >= 8 && !special(load64(p))) p += 8;
  while ((unsigned char)*p >= 0x20 && *p != '"' && *p != '\\') p++;
  return p;
}

static bool escape(struct cursor *c) {
  const char *p = c->at + 1; /* behind the backslash; the text ends in a NUL byte */
  c->at = p;
  if (!*p || !strchr("\"\\/bfnrtu", *p)) return expected(c, "there is no such escape in JSON");
  if (*p != 'u') {
    c->at = p + 1;
    return true;
  }
  for (c->at = p + 1; c->at < p + 5; c->at++)
    if (!*c->at || !strchr("0123456789abcdefABCDEF", *c->at))
      return expected(c, "\\u needs four hexadecimal digits");
  return true;
}

bool token_string(struct cursor *c, struct token *token) {
  if (*c->at != '"') return expected(c, "a string in double quotes is expected");
  *token = (struct token){TOKEN_STRING, ++c->at, 0, false};
  for (;;) {
    c->at = skip_plain(c->at, c->end);
    if (*c->at == '"') break;
    if (*c->at != '\\')
      return expected(c, "a string holds a control character: escape it, or close the string");
    token->escaped = true;
    if (!escape(c)) return false;
  }
  token->size = (size_t)(c->at++ - token->data);
  return true;
}

static bool digits(struct cursor *c) {
  if (!is_digit(*c->at)) return expected(c, "a digit is expected");
  while (is_digit(*c->at)) c->at++;
  return true;
}

static bool token_number(struct cursor *c, struct token *token) {
  *token = (struct token){TOKEN_NUMBER, c->at, 0, false};
  if (*c->at == '-') c->at++;
  const char *whole = c->at;
  if (!digits(c)) return false;
  if (*whole == '0' && c->at - whole > 1) return expected(c, "a number starts with a zero");
  if (*c->at == '.') {
    c->at++;
    if (!digits(c)) return false;
  }
  if (*c->at == 'e' || *c->at == 'E') {
    c->at++;
    if (*c->at == '+' || *c->at == '-') c->at++;
    if (!digits(c)) return false;
  }
  if (c->at == c->end) return expected(c, ""); /* it may go on */
  token->size = (size_t)(c->at - token->data);
  return true;
}

static bool token_word(struct cursor *c, const char *word, enum token_kind kind, struct token *token) {
  *token = (struct token){kind, c->at, strlen(word), false};
  for (; *word; word++, c->at++)
    if (*c->at != *word) return expected(c, "no value of JSON");
  return true;
}

static bool token_scalar(struct cursor *c, struct token *token) {
  switch (*c->at) {
  case '"':
    return token_string(c, token);
  case 't':
    return token_word(c, "true", TOKEN_BOOLEAN, token);
  case 'f':
    return token_word(c, "false", TOKEN_BOOLEAN, token);
  case 'n':
    return token_word(c, "null", TOKEN_NULL, token);
  default:
    if (*c->at == '-' || is_digit(*c->at)) return token_number(c, token);
    return expected(c, "a value is expected");
  }
}

/* ------------------------------------------------------------------ arrays and objects */

/* What is open. */
struct nest {
  uint64_t objects[NDJSON_DEPTH / 64]; /* bit i: level i is an object, not an array */
  size_t depth;
};

static bool in_object(const struct nest *n) {
  size_t top = n->depth - 1;
  return n->objects[top / 64] >> (top % 64) & 1;
}

static bool push(struct cursor *c, struct nest *n) {
  if (n->depth == NDJSON_DEPTH) return cursor_wrong(c, "it is nested too deeply");
  uint64_t bit = (uint64_t)1 << (n->depth % 64), *word = &n->objects[n->depth / 64];
  *word = *c->at == '{' ? *word | bit : *word & ~bit;
  n->depth++;
  c->at++;
  return true;
}

/* "key": */
static bool key(struct cursor *c) {
  struct token unused;
  cursor_skip_space(c);
  if (!token_string(c, &unused)) return false;
  cursor_skip_space(c);
  if (*c->at != ':') return expected(c, "a colon is expected behind a key");
  c->at++;
  return true;
}

/* Behind an opening bracket: closes it if it is empty, else goes to its first value. */
static bool first(struct cursor *c, struct nest *n, bool *closed) {
  cursor_skip_space(c);
  *closed = *c->at == (in_object(n) ? '}' : ']');
  if (*closed) return true;
  return !in_object(n) || key(c);
}

/* Behind a value: closes what ends here, or goes to the next value. False also at the very end. */
static bool next(struct cursor *c, struct nest *n) {
  while (n->depth) {
    cursor_skip_space(c);
    if (*c->at == ',') {
      c->at++;
      return !in_object(n) || key(c);
    }
    if (*c->at != (in_object(n) ? '}' : ']'))
      return expected(c, in_object(n) ? "a comma or } is expected" : "a comma or ] is expected");
    c->at++;
    n->depth--;
  }
  return false;
}

static bool token_nested(struct cursor *c, struct token *token) {
  struct nest n = {.depth = 0};
  struct token unused;
  *token = (struct token){*c->at == '{' ? TOKEN_OBJECT : TOKEN_ARRAY, c->at, 0, false};
  bool more = true;
  while (more) {
    cursor_skip_space(c);
    bool closed = true; /* nothing is left to read of the value here */
    if (*c->at == '{' || *c->at == '[') {
      if (!push(c, &n) || !first(c, &n, &closed)) return false;
    } else if (!token_scalar(c, &unused)) {
      return false;
    }
    if (closed) more = next(c, &n);
  }
  token->size = (size_t)(c->at - token->data);
  return !c->wrong;
}

bool token_value(struct cursor *c, struct token *token) {
  return *c->at == '{' || *c->at == '[' ? token_nested(c, token) : token_scalar(c, token);
}
