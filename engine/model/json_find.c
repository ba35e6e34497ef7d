/* json_find.c - finding keys in valid JSON, and unescaping; see json.h.
 *
 * The text was accepted by json_object_check, so brackets match and strings end; every step is bounded
 * by the end all the same. */
#include <string.h>

#include "model/json.h"
#include "model/json_text.h"

/* ------------------------------------------------------------------ escapes */

/* The four hexadecimal digits at p, or -1. */
static int read_unit(const char *p, const char *end) {
  int unit = 0;
  if (end - p < 4) return -1;
  for (int i = 0; i < 4; i++) {
    int digit = json_hex_digit(p[i]);
    if (digit < 0) return -1;
    unit = unit * 16 + digit;
  }
  return unit;
}

/* The code point of the \u escape whose digits start at *p, which moves behind it; 0 if it is NUL or a lone
 * surrogate. */
static unsigned read_code_point(const char **p, const char *end) {
  int unit = read_unit(*p, end);
  if (unit <= 0 || (unit & 0xFC00) == 0xDC00) return 0;
  *p += 4;
  if ((unit & 0xFC00) != 0xD800) return (unsigned)unit;
  if (end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u') return 0;
  int low = read_unit(*p + 2, end);
  if (low < 0 || (low & 0xFC00) != 0xDC00) return 0;
  *p += 6;
  return 0x10000u + ((unsigned)(unit & 0x3FF) << 10) + (unsigned)(low & 0x3FF);
}

static size_t put_utf8(unsigned code, char *out) {
  if (code < 0x80) {
    out[0] = (char)code;
    return 1;
  }
  size_t size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  for (size_t i = size - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3F));
  out[0] = (char)(code | (0xF00u >> size & 0xFF));
  return size;
}

/* Reads the escape at *p (its backslash) into out; returns its bytes, 0 if it has no meaning as text. */
static size_t read_escape(const char **p, const char *end, char out[4]) {
  static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
  if (end - *p < 2) return 0;
  char name = (*p)[1];
  *p += 2;
  if (name == 'u') {
    unsigned code = read_code_point(p, end);
    return code ? put_utf8(code, out) : 0;
  }
  const char *at = memchr(names, name, sizeof names - 1);
  if (!at) return 0;
  out[0] = values[at - names];
  return 1;
}

bool json_unescape(const char *data, size_t size, char *out, size_t *out_size) {
  const char *p = data, *end = data + size;
  char *to = out;
  while (p < end) {
    const char *escape = memchr(p, '\\', (size_t)(end - p));
    size_t plain = (size_t)((escape ? escape : end) - p);
    memmove(to, p, plain);
    to += plain;
    p += plain;
    if (p == end) break;
    char bytes[4];
    size_t n = read_escape(&p, end, bytes);
    if (!n) return false;
    memcpy(to, bytes, n);
    to += n;
  }
  *out_size = (size_t)(to - out);
  return true;
}

/* Is the escaped text of a key this one? */
static bool escaped_equal(const char *p, const char *end, const struct json_key *key) {
  size_t at = 0;
  while (p < end) {
    char bytes[4] = {*p};
    size_t n = 1;
    if (*p == '\\')
      n = read_escape(&p, end, bytes);
    else
      p++;
    if (!n || n > key->size - at || memcmp(bytes, key->data + at, n) != 0) return false;
    at += n;
  }
  return at == key->size;
}

/* ------------------------------------------------------------------ walking */

/* From behind the opening quote to the closing one (or the end). */
static const char *string_end(const char *p, const char *end, bool *escaped) {
  *escaped = false;
  for (;;) {
    p = json_skip_plain(p, end);
    if (p >= end || *p == '"') return p;
    if (*p == '\\') {
      *escaped = true;
      p++;
      if (p == end) return p;
    }
    p++;
  }
}

/* Behind the object or array that starts at p. */
static const char *nest_end(const char *p, const char *end) {
  size_t depth = 0;
  bool escaped;
  while (p < end) {
    char c = *p++;
    if (c == '"') {
      p = string_end(p, end, &escaped);
      if (p < end) p++;
    } else if (c == '{' || c == '[') {
      depth++;
    } else if ((c == '}' || c == ']') && --depth == 0) {
      break;
    }
  }
  return p;
}

/* The value that starts at p; *next is behind it. */
static struct json_value read_value(const char *p, const char *end, const char **next) {
  struct json_value v = {JSON_OTHER, p, 0, false};
  const char *stop;
  if (*p == '"') {
    v.kind = JSON_STRING;
    v.data = p + 1;
    stop = string_end(p + 1, end, &v.escaped);
    *next = stop < end ? stop + 1 : stop;
  } else if (*p == '{' || *p == '[') {
    *next = stop = nest_end(p, end);
  } else {
    for (stop = p; stop < end && !json_is_space(*stop) && *stop != ',' && *stop != '}' && *stop != ']';)
      stop++;
    *next = stop;
    v.kind = *p == 'n' ? JSON_NULL : *p == 't' || *p == 'f' ? JSON_OTHER : JSON_NUMBER;
  }
  v.size = (size_t)(stop - v.data);
  return v;
}

static bool key_equal(const struct json_value *name, const struct json_key *key) {
  if (name->escaped) return escaped_equal(name->data, name->data + name->size, key);
  return name->size == key->size && memcmp(name->data, key->data, key->size) == 0;
}

/* The last member of that name of the object that starts at p. */
static struct json_value find_member(const char *p, const char *end, const struct json_key *key) {
  struct json_value found = {JSON_ABSENT, NULL, 0, false};
  p = json_skip_space(p + 1, end);
  while (p < end && *p == '"') {
    struct json_value name = read_value(p, end, &p);
    p = json_skip_space(p, end); /* at the colon */
    if (p < end) p = json_skip_space(p + 1, end);
    if (p == end) break;
    struct json_value value = read_value(p, end, &p);
    if (key_equal(&name, key)) found = value;
    p = json_skip_space(p, end); /* at the comma or the brace */
    if (p < end) p = json_skip_space(p + 1, end);
  }
  return found;
}

struct json_value json_find(const char *text, size_t size, const struct json_key *path, size_t depth) {
  const struct json_value absent = {JSON_ABSENT, NULL, 0, false};
  const char *end = text + size, *start = json_skip_space(text, end), *next;
  if (start == end) return absent;
  struct json_value value = read_value(start, end, &next);
  for (size_t i = 0; i < depth; i++) {
    if (value.kind != JSON_OTHER || *value.data != '{') return absent;
    value = find_member(value.data, value.data + value.size, &path[i]);
  }
  return value;
}
