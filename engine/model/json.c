/* json.c - validating a JSON object; see json.h. One pass and no recursion: what is open is a stack of
 * bits, one a level, of which METADATA_DEPTH fit an integer. */
#include "model/json.h"

#include <string.h>

#include "base/utf8.h"
#include "model/json_text.h"
#include "model/schema.h"

struct scan {
  const char *at, *end;
  const char *wrong; /* NULL as long as all is well */
};

static bool wrong(struct scan *s, const char *what) {
  s->wrong = what;
  return false;
}

/* The next byte; 0 at the end, which no grammar accepts anywhere. */
static inline char peek(const struct scan *s) { return s->at < s->end ? *s->at : '\0'; }

static inline void skip_space(struct scan *s) { s->at = json_skip_space(s->at, s->end); }

/* ------------------------------------------------------------------ strings */

static bool scan_escape(struct scan *s) {
  const char *p = s->at + 1; /* behind the backslash */
  if (p == s->end) return wrong(s, "a string is not closed");
  if (*p != 'u') {
    if (!strchr("\"\\/bfnrt", *p) || !*p) return wrong(s, "there is no such escape in JSON");
    s->at = p + 1;
    return true;
  }
  if (s->end - p < 5) return wrong(s, "\\u needs four hexadecimal digits");
  for (int i = 1; i <= 4; i++)
    if (json_hex_digit(p[i]) < 0) return wrong(s, "\\u needs four hexadecimal digits");
  s->at = p + 5;
  return true;
}

/* A run of bytes from 0x80 on: characters that are not ASCII, none of which reaches beyond it. */
static bool scan_foreign(struct scan *s) {
  const char *p = s->at;
  while (p < s->end && (signed char)*p < 0) p++;
  size_t size = (size_t)(p - s->at), good = utf8_prefix(s->at, size);
  s->at += good;
  return good == size || wrong(s, "not valid UTF-8");
}

/* At the opening quote; ends behind the closing one. */
static bool scan_string(struct scan *s) {
  s->at++;
  for (;;) {
    s->at = json_skip_plain(s->at, s->end);
    if (s->at == s->end) return wrong(s, "a string is not closed");
    if (*s->at == '"') {
      s->at++;
      return true;
    }
    if (*s->at == '\\') {
      if (!scan_escape(s)) return false;
    } else if ((signed char)*s->at < 0) {
      if (!scan_foreign(s)) return false;
    } else {
      return wrong(s, "a control character in a string must be escaped");
    }
  }
}

/* "key": and the space behind it. */
static bool scan_key(struct scan *s) {
  if (peek(s) != '"') return wrong(s, "a key in double quotes is expected");
  if (!scan_string(s)) return false;
  skip_space(s);
  if (peek(s) != ':') return wrong(s, "a colon is expected");
  s->at++;
  skip_space(s);
  return true;
}

/* ------------------------------------------------------------------ other scalars */

static bool scan_digits(struct scan *s) {
  const char *start = s->at;
  while (s->at < s->end && json_is_digit(*s->at)) s->at++;
  return s->at > start || wrong(s, "a digit is expected");
}

static bool scan_number(struct scan *s) {
  if (peek(s) == '-') s->at++;
  if (peek(s) == '0')
    s->at++;
  else if (!scan_digits(s))
    return false;
  if (peek(s) == '.') {
    s->at++;
    if (!scan_digits(s)) return false;
  }
  if (peek(s) != 'e' && peek(s) != 'E') return true;
  s->at++;
  if (peek(s) == '+' || peek(s) == '-') s->at++;
  return scan_digits(s);
}

static bool scan_word(struct scan *s, const char *word, size_t size) {
  if ((size_t)(s->end - s->at) < size || memcmp(s->at, word, size) != 0)
    return wrong(s, "a value is expected");
  s->at += size;
  return true;
}

static bool scan_scalar(struct scan *s) {
  char c = peek(s);
  if (c == '"') return scan_string(s);
  if (c == '-' || json_is_digit(c)) return scan_number(s);
  if (c == 't') return scan_word(s, "true", 4);
  if (c == 'f') return scan_word(s, "false", 5);
  return scan_word(s, "null", 4);
}

/* ------------------------------------------------------------------ objects and arrays */

/* What is open: bit 0 of `objects` tells of the innermost whether it is an object, bit 1 of the one around
 * it, and so on. */
struct nest {
  uint64_t objects;
  int levels;
};

static inline char closing(const struct nest *n) { return n->objects & 1 ? '}' : ']'; }

static bool open_nest(struct scan *s, struct nest *n, char bracket) {
  if (n->levels == METADATA_DEPTH) return wrong(s, "more than 64 levels");
  n->objects = n->objects << 1 | (bracket == '{');
  n->levels++;
  s->at++;
  skip_space(s);
  return true;
}

/* Behind a value: closes whatever closes here, then takes the comma before the next item. */
static bool end_item(struct scan *s, struct nest *n) {
  skip_space(s);
  while (n->levels && peek(s) == closing(n)) {
    n->objects >>= 1;
    n->levels--;
    s->at++;
    skip_space(s);
  }
  if (!n->levels) return true;
  if (peek(s) != ',')
    return wrong(s, n->objects & 1 ? "a comma or } is expected" : "a comma or ] is expected");
  s->at++;
  skip_space(s);
  return true;
}

/* One item of what is open, from its first byte to that of the next item. *opened: a bracket was opened
 * just now, so it may close at once. */
static bool scan_item(struct scan *s, struct nest *n, bool *opened) {
  if (!*opened || peek(s) != closing(n)) {
    if (n->objects & 1 && !scan_key(s)) return false;
    char c = peek(s);
    *opened = c == '{' || c == '[';
    if (*opened) return open_nest(s, n, c);
    if (!scan_scalar(s)) return false;
  }
  *opened = false;
  return end_item(s, n);
}

static void scan_object(struct scan *s) {
  struct nest n = {0, 0};
  bool opened = true;
  skip_space(s);
  if (peek(s) != '{') {
    wrong(s, "it must start with {");
    return;
  }
  if (!open_nest(s, &n, '{')) return;
  while (n.levels)
    if (!scan_item(s, &n, &opened)) return;
  if (s->at != s->end) wrong(s, "something follows the object");
}

const char *json_object_check(const char *text, size_t size, size_t *offset) {
  struct scan s = {text, text + size, NULL};
  scan_object(&s);
  *offset = (size_t)(s.at - text);
  return s.wrong;
}
