/* ndjson.c - records of NDJSON to events; see ndjson.h. */
#include "tools/ndjson.h"

#include <string.h>

#include "model/json.h"

void ndjson_init(struct ndjson *n, const struct ignore *ignore, struct value_options *values) {
  *n = (struct ndjson){.ignore = ignore, .values = values, .line = 1};
}

void ndjson_free(struct ndjson *n) { buffer_free(&n->scratch); }

void ndjson_text(struct ndjson *n, char *text, size_t size, bool final, size_t at) {
  n->text = text;
  n->size = size;
  n->final = final;
  n->at = at;
  text[size] = '\0';
}

/* A record being read. */
struct reading {
  struct ndjson *ndjson;
  struct cursor cursor;
  struct record *record;
  struct problem *problem;
  bool bad;     /* the problem is set: it stays the first one */
  size_t used;  /* bytes of scratch */
  unsigned key; /* how many keys there were */
  uint32_t seen;
  char reason[VALUE_REASON];
};

/* ------------------------------------------------------------------ problems */

static uint64_t line_of(const struct reading *r, const char *at) {
  const char *start = r->ndjson->text + r->record->start;
  return r->record->line + count_lines(start, (size_t)(at - start));
}

/* Notes a problem of the value or key at `at`; reading goes on, to find where the record ends. */
static void blame(struct reading *r, const char *at, const char *column, const char *text) {
  if (!r->bad) problem_set(r->problem, line_of(r, at), column, "%s", text);
  r->bad = true;
}

static void blame_key(struct reading *r, const char *at, const struct token *key) {
  if (!r->bad)
    problem_set(r->problem, line_of(r, at), NULL,
                "%s is no column of events: correct the key, or leave it out with --ignore",
                excerpt_of(key->data, key->size).text);
  r->bad = true;
}

/* ------------------------------------------------------------------ values */

/* The text of a string in scratch, or where it stands. False: the reason is set. */
static bool string_text(struct reading *r, const struct token *token, tally_text *text) {
  *text = (tally_text){token->data, token->size};
  if (!token->escaped) return true;
  struct buffer *scratch = &r->ndjson->scratch;
  size_t size;
  char *to = (char *)scratch->data + r->used;
  if (!json_unescape(token->data, token->size, to, &size)) {
    (void)strcpy(r->reason, "it holds \\u0000 or half of a surrogate pair, which text may not: remove it");
    return false;
  }
  *text = (tally_text){to, size};
  r->used += size;
  return true;
}

static bool plain_digits(const struct token *t) {
  return !memchr(t->data, '.', t->size) && !memchr(t->data, 'e', t->size) && !memchr(t->data, 'E', t->size);
}

static bool wrong_kind(struct reading *r, const char *what) {
  memcpy(r->reason, what, strlen(what) + 1);
  return false;
}

static bool set_time(struct reading *r, const struct token *token, int64_t *us) {
  tally_text text;
  if (token->kind == TOKEN_NUMBER && !plain_digits(token))
    return value_json_time(r->ndjson->values, token->data, token->size, us, r->reason);
  if (token->kind != TOKEN_NUMBER && token->kind != TOKEN_STRING)
    return wrong_kind(r, "a time must be a string or an integer");
  return string_text(r, token, &text) && value_time(r->ndjson->values, text.data, text.size, us, r->reason);
}

static bool set_int(struct reading *r, const struct token *token, int32_t *value) {
  if (token->kind != TOKEN_NUMBER) return wrong_kind(r, "an integer must be a JSON number or null");
  if (plain_digits(token)) return value_int(token->data, token->size, value, r->reason);
  return value_json_int(token->data, token->size, value, r->reason);
}

static bool set_cost(struct reading *r, const struct token *token, int64_t *units) {
  tally_text text;
  if (token->kind != TOKEN_NUMBER && token->kind != TOKEN_STRING)
    return wrong_kind(r, "a cost must be a number, a string that holds one, or null");
  return string_text(r, token, &text) &&
         value_cost(r->ndjson->values, text.data, text.size, units, r->reason);
}

static bool set_text(struct reading *r, const struct token *token, tally_text *text) {
  if (token->kind != TOKEN_STRING) return wrong_kind(r, "a text must be a string or null");
  return string_text(r, token, text);
}

/* An object's text with its line breaks made spaces. */
static bool object_text(struct reading *r, const struct token *token, tally_text *text) {
  *text = (tally_text){token->data, token->size};
  if (!memchr(token->data, '\n', token->size) && !memchr(token->data, '\r', token->size)) return true;
  char *to = (char *)r->ndjson->scratch.data + r->used;
  for (size_t i = 0; i < token->size; i++)
    to[i] = token->data[i] == '\n' || token->data[i] == '\r' ? ' ' : token->data[i];
  text->data = to;
  r->used += token->size;
  return true;
}

static bool set_metadata(struct reading *r, const struct token *token, tally_text *text) {
  if (token->kind == TOKEN_STRING) return string_text(r, token, text);
  if (token->kind == TOKEN_OBJECT) return object_text(r, token, text);
  return wrong_kind(r, "metadata must be an object, a string that holds one, or null");
}

static bool set_value(struct reading *r, int column, const struct token *token) {
  tally_event *e = &r->record->event;
  if (token->kind == TOKEN_NULL) return true;
  e->present |= 1u << column;
  switch (column) {
  case TALLY_COL_TIMESTAMP:
    return set_time(r, token, &e->timestamp);
  case TALLY_COL_USER_ID:
    return set_text(r, token, &e->user_id);
  case TALLY_COL_SERVICE_NAME:
    return set_text(r, token, &e->service_name);
  case TALLY_COL_ENDPOINT:
    return set_text(r, token, &e->endpoint);
  case TALLY_COL_METHOD:
    return set_text(r, token, &e->method);
  case TALLY_COL_REQUEST_SIZE:
    return set_int(r, token, &e->request_size);
  case TALLY_COL_RESPONSE_SIZE:
    return set_int(r, token, &e->response_size);
  case TALLY_COL_DURATION_MS:
    return set_int(r, token, &e->duration_ms);
  case TALLY_COL_STATUS_CODE:
    return set_int(r, token, &e->status_code);
  case TALLY_COL_TOKENS_USED:
    return set_int(r, token, &e->tokens_used);
  case TALLY_COL_COST:
    return set_cost(r, token, &e->cost);
  default:
    return set_metadata(r, token, &e->metadata);
  }
}

/* ------------------------------------------------------------------ keys */

enum { KEY_IGNORED = -1, KEY_UNKNOWN = -2 };

/* The column of a key. Records of one source name their keys in one order: the last record's is tried. */
static int key_column(struct reading *r, const struct token *key) {
  tally_text name = {key->data, key->size};
  int *guess = r->key < NDJSON_GUESSES ? &r->ndjson->guess[r->key] : NULL;
  r->key++;
  if (guess && !r->ndjson->ignore->count) {
    const char *known = tally_column_name(*guess);
    if (strncmp(known, key->data, key->size) == 0 && !known[key->size]) return *guess;
  }
  if (!string_text(r, key, &name)) return KEY_UNKNOWN;
  if (ignore_has(r->ndjson->ignore, name.data, name.size)) return KEY_IGNORED;
  int column = tally_column_number(name.data, name.size);
  if (column >= 0 && guess) *guess = column;
  return column >= 0 ? column : KEY_UNKNOWN;
}

static bool read_member(struct reading *r) {
  struct cursor *c = &r->cursor;
  struct token key, value;
  cursor_skip_space(c);
  const char *at = c->at;
  if (!token_string(c, &key)) return false;
  int column = key_column(r, &key);
  cursor_skip_space(c);
  if (*c->at != ':') return cursor_wrong(c, "a colon is expected behind a key");
  c->at++;
  cursor_skip_space(c);
  if (!token_value(c, &value)) return false;
  if (column == KEY_UNKNOWN) blame_key(r, at, &key);
  if (column < 0) return true;
  if (r->seen >> column & 1)
    blame(r, at, tally_column_name(column), "the record has the key twice: name every column once");
  else if (!set_value(r, column, &value))
    blame(r, value.data, tally_column_name(column), r->reason);
  r->seen |= 1u << column;
  return true;
}

/* From behind the opening brace to behind the closing one. */
static bool read_members(struct reading *r) {
  struct cursor *c = &r->cursor;
  cursor_skip_space(c);
  if (*c->at == '}') {
    c->at++;
    return true;
  }
  for (;;) {
    if (!read_member(r)) return false;
    cursor_skip_space(c);
    if (*c->at == '}') break;
    if (*c->at != ',') return cursor_wrong(c, "a comma or } is expected");
    c->at++;
  }
  c->at++;
  return true;
}

/* ------------------------------------------------------------------ records */

/* White space and the line end behind the object. */
static bool read_line_end(struct reading *r) {
  struct cursor *c = &r->cursor;
  while (*c->at == ' ' || *c->at == '\t' || *c->at == '\r') c->at++;
  if (*c->at == '\n') {
    c->at++;
    return true;
  }
  if (c->at == c->end) return r->ndjson->final;
  return cursor_wrong(c, "there is more behind the object: put every object on a line of its own");
}

static bool read_object(struct reading *r) {
  struct cursor *c = &r->cursor;
  if (*c->at != '{')
    return cursor_wrong(c, *c->at == '[' ? "an array is no record: put every object on a line of its own, as "
                                           "`jq -c '.[]'` does"
                                         : "a record must be a JSON object");
  c->at++;
  return read_members(r) && read_line_end(r);
}

/* The record is not well formed: it ends at its first line end. */
static enum record_kind read_broken(struct reading *r) {
  struct ndjson *n = r->ndjson;
  const char *start = n->text + r->record->start, *text = n->text + n->size;
  const char *end = memchr(start, '\n', (size_t)(text - start));
  if (!end && !n->final) return RECORD_MORE;
  struct cursor *c = &r->cursor;
  if (!r->bad) {
    bool cut = c->at == c->end;
    problem_set(r->problem, r->record->line, NULL, "not a JSON object: %s%s",
                cut ? "the text ends within it" : c->wrong,
                cut || strchr(c->wrong, ':') ? "" : ": correct it");
  }
  r->record->end = (size_t)((end ? end + 1 : text) - n->text);
  n->at = r->record->end;
  n->line += end != NULL;
  return RECORD_BAD;
}

static void skip_blank_lines(struct ndjson *n) {
  const char *p = n->text + n->at;
  for (; *p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'; p++) n->line += *p == '\n';
  n->at = (size_t)(p - n->text);
}

/* Strings are unescaped into scratch; all of them together are not longer than the text that is left. */
static bool reserve_scratch(struct ndjson *n) {
  n->scratch.failed = false;
  return buffer_reserve(&n->scratch, n->size - n->at + 8);
}

enum record_kind ndjson_next(struct ndjson *n, struct record *record, struct problem *problem) {
  skip_blank_lines(n);
  if (n->at == n->size) return n->final ? RECORD_END : RECORD_MORE;
  const char *start = n->text + n->at, *end = n->text + n->size;
  struct reading r = {.ndjson = n, .cursor = {start, end, NULL}, .record = record, .problem = problem};
  record->start = n->at;
  record->line = n->line;
  memset(&record->event, 0, sizeof record->event);
  if (!reserve_scratch(n)) return RECORD_FAILED;
  if (!read_object(&r)) {
    if (r.cursor.at == end && !n->final) return RECORD_MORE;
    return read_broken(&r);
  }
  if (!(record->event.present & 1u << TALLY_COL_TIMESTAMP))
    blame(&r, start, "timestamp", "it is missing, but every event needs one: fill it in");
  record->end = (size_t)(r.cursor.at - n->text);
  n->at = record->end;
  n->line += count_lines(start, record->end - record->start);
  return r.bad ? RECORD_BAD : RECORD_ROW;
}
