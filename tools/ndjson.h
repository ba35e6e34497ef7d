/* ndjson.h - events out of newline-delimited JSON.
 *
 * Rules:
 *  1. A record is one JSON object (RFC 8259) and the rest of the line it ends on, which is white space. As a
 *     rule that is one line; line breaks between its tokens are accepted.
 *  2. Keys are column names; another key is refused unless it is ignored, and so is one that is repeated.
 *     null is NULL. What stands under an ignored key must be JSON, and nothing else.
 *  3. A text is a string. An integer is a number whose value is one, however it is written (200, 200.0, 2e2).
 *     A timestamp is a string or such a number, a cost a string or any number, by its text.
 *  4. Metadata is an object, kept as its text (each CR or LF between its tokens becomes a space), or a
 *     string that holds one.
 *  5. A string with \u0000 or a lone surrogate is refused: text cannot hold it.
 *  6. A record that is not well formed ends at its first line end, so that one broken line spoils no other.
 *     (No string holds a line end, so nothing that was a value can be taken for a record.) */
#ifndef TOOLS_NDJSON_H
#define TOOLS_NDJSON_H

#include "base/bytes.h"
#include "tools/csv.h"
#include "tools/ingest_record.h"
#include "tools/ingest_value.h"

#define NDJSON_DEPTH 1024u /* levels of a record; metadata has a limit of its own */
#define NDJSON_GUESSES 16u

struct ndjson {
  const struct ignore *ignore;
  struct value_options *values;
  char *text;
  size_t size;
  bool final;                /* nothing comes behind the text */
  size_t at;                 /* where to look for the next record */
  uint64_t line;             /* and its line */
  int guess[NDJSON_GUESSES]; /* the column of the i-th key of the last record */
  struct buffer scratch;     /* unescaped texts of the current record */
};

/* A reader of records; borrows ignore and values. Free with ndjson_free. */
void ndjson_init(struct ndjson *ndjson, const struct ignore *ignore, struct value_options *values);
void ndjson_free(struct ndjson *ndjson);
/* As csv_text. */
void ndjson_text(struct ndjson *ndjson, char *text, size_t size, bool final, size_t at);
/* As csv_next. */
enum record_kind ndjson_next(struct ndjson *ndjson, struct record *record, struct problem *problem);

/* ---- the grammar (ndjson_token.c) */

enum token_kind { TOKEN_NULL, TOKEN_STRING, TOKEN_NUMBER, TOKEN_BOOLEAN, TOKEN_ARRAY, TOKEN_OBJECT };

/* A value. Of a string, data is what stands between its quotes, still escaped. */
struct token {
  enum token_kind kind;
  const char *data;
  size_t size;
  bool escaped;
};

/* A place in the text; *end is a NUL byte. Once `wrong` is set nothing moves any more. */
struct cursor {
  const char *at, *end;
  const char *wrong; /* what is wrong at `at`; at the end: the text may go on */
};

static inline bool cursor_wrong(struct cursor *c, const char *what) {
  c->wrong = what;
  return false;
}
static inline void cursor_skip_space(struct cursor *c) {
  while (*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t') c->at++;
}
/* The string whose opening quote is here; false if it is none. */
bool token_string(struct cursor *c, struct token *token);
/* The value that starts here. */
bool token_value(struct cursor *c, struct token *token);

#endif
