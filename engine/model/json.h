/* json.h - just as much JSON as metadata needs: validating a text (RFC 8259) and finding a key in a valid
 * one. Never allocates; recursion is bounded by METADATA_DEPTH. */
#ifndef MODEL_JSON_H
#define MODEL_JSON_H

#include <stdbool.h>
#include <stddef.h>

/* NULL if the text is one JSON object of at most METADATA_DEPTH levels (the object itself is level 1) in
 * valid UTF-8 with no NUL byte and nothing but white space around it; else a static sentence on what is
 * wrong, and *offset is where. Escapes in strings are checked for form; \u0000 and lone surrogates are
 * allowed. Hot path: ASCII strings are skipped eight bytes at a time or better. */
const char *json_object_check(const char *text, size_t size, size_t *offset);

enum json_kind { JSON_ABSENT, JSON_NULL, JSON_STRING, JSON_NUMBER, JSON_OTHER /* true false [..] {..} */ };
struct json_value {
  enum json_kind kind;
  const char *data; /* the stored text; of a string, what stands between its quotes, still escaped */
  size_t size;
  bool escaped; /* a string with a backslash in it */
};

/* A path: the keys from the outside in, unescaped. */
struct json_key {
  const char *data;
  size_t size;
};
/* The value at a path in a text that json_object_check accepted. Of repeated keys the last counts, at
 * every level (of {"a":{"b":1},"a":{}} the path a.b is absent). Keys compare after unescaping. */
struct json_value json_find(const char *text, size_t size, const struct json_key *path, size_t depth);

/* Unescapes a string's inside into out (at least size bytes long); the result is never longer. False if it
 * holds \u0000 or a lone surrogate: then the value counts as NULL. */
bool json_unescape(const char *data, size_t size, char *out, size_t *out_size);

#endif
