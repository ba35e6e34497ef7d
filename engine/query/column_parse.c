/* column_parse.c - see column_parse.h. */
#include "query/column_parse.h"

#include <string.h>

#include "base/status.h"

#define NAME_MOST 32 /* longer names are not near any column's */

static bool ends_name(char c) { return is_space(c) || strchr("=!<>^,()'\".", c) != NULL; }

/* The edit distance of two short texts (Wagner and Fischer 1974), by rows. */
static size_t distance(const char *a, size_t a_size, const char *b, size_t b_size) {
  size_t row[NAME_MOST + 1];
  for (size_t j = 0; j <= b_size; j++) row[j] = j;
  for (size_t i = 1; i <= a_size; i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b_size; j++) {
      size_t change = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      size_t gap = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
      row[j] = change < gap ? change : gap;
    }
  }
  return row[b_size];
}

/* The column whose name is nearest, or that begins with the name; NULL if none is near. */
static const char *nearest(struct piece name) {
  size_t size = piece_size(name), best = size / 3 + 1;
  const char *found = NULL;
  if (size == 0 || size > NAME_MOST) return NULL;
  for (int c = 0; c < COLUMNS; c++) {
    const char *column = tally_column_name(c);
    if (size >= 3 && strncmp(column, name.at, size) == 0) return column;
    size_t d = distance(name.at, size, column, strlen(column));
    if (d > best || (d == best && found)) continue;
    best = d;
    found = column;
  }
  return found;
}

static int no_column(struct piece name, tally_error *error) {
  const char *near = nearest(name);
  return fail(
      error, TALLY_USAGE,
      "there is no column " PIECE_FORMAT
      "%s%s%s; the columns are timestamp, user_id, service_name, endpoint, "
      "method, request_size, response_size, duration_ms, status_code, tokens_used, cost, metadata and "
      "metadata.KEY",
      PIECE_ARGS(name), near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
}

/* Takes a key after a dot. */
static int take_key(struct piece *text, struct arena *arena, struct json_key *key, tally_error *error) {
  char *out = arena_alloc(arena, piece_size(*text) + 1, 1, error);
  if (!out) return error->code;
  *key = (struct json_key){out, 0};
  if (text->at < text->end && *text->at == '"') {
    for (text->at++; text->at < text->end; text->at++) {
      if (*text->at == '"') {
        if (text->at + 1 == text->end || text->at[1] != '"') {
          text->at++;
          return 0;
        }
        text->at++;
      }
      out[key->size++] = *text->at;
    }
    return fail(error, TALLY_USAGE, "the key after metadata has no closing quote (\")");
  }
  while (text->at < text->end && !ends_name(*text->at)) out[key->size++] = *text->at++;
  if (key->size == 0)
    return fail(
        error, TALLY_USAGE,
        "a key is missing after the dot: write metadata.KEY, or metadata.\"KEY\" for a key with other "
        "characters");
  return 0;
}

static int take_path(struct piece *text, struct arena *arena, struct column_ref *ref, tally_error *error) {
  struct json_key path[METADATA_DEPTH];
  while (text->at < text->end && *text->at == '.') {
    if (ref->depth == METADATA_DEPTH)
      return fail(error, TALLY_USAGE, "more than %d keys: metadata is not that deep", METADATA_DEPTH);
    text->at++;
    int rc = take_key(text, arena, &path[ref->depth++], error);
    if (rc) return rc;
  }
  struct json_key *copy = arena_alloc(arena, ref->depth, sizeof *copy, error);
  if (!copy) return error->code;
  memcpy(copy, path, ref->depth * sizeof *copy);
  ref->key = copy;
  return 0;
}

int column_take(struct piece *text, struct arena *arena, struct column_ref *ref, tally_error *error) {
  struct piece name = {text->at, text->at};
  while (name.end < text->end && !ends_name(*name.end)) name.end++;
  if (name.at == name.end) return fail(error, TALLY_USAGE, "a column's name is missing");
  *ref = (struct column_ref){tally_column_number(name.at, piece_size(name)), NULL, 0};
  if (ref->column < 0) return no_column(name, error);
  text->at = name.end;
  if (text->at == text->end || *text->at != '.') return 0;
  if (ref->column != TALLY_COL_METADATA)
    return fail(error, TALLY_USAGE, "only metadata has keys, " PIECE_FORMAT " has none", PIECE_ARGS(name));
  return take_path(text, arena, ref, error);
}

int column_parse(struct piece text, struct arena *arena, struct column_ref *ref, tally_error *error) {
  struct piece rest = text;
  int rc = column_take(&rest, arena, ref, error);
  if (rc) return rc;
  if (rest.at != rest.end)
    return fail(error, TALLY_USAGE, "cannot read '" PIECE_FORMAT "' after the column's name%s",
                PIECE_ARGS(rest), ref->key ? ": a key with such characters is written metadata.\"KEY\"" : "");
  return 0;
}

const char *column_kind_name(const struct column_ref *ref) {
  if (ref->key) return "a metadata key";
  switch (column_kind(ref->column)) {
  case KIND_TIME:
    return "a time";
  case KIND_TEXT:
    return "a text";
  case KIND_INT:
    return "an integer";
  case KIND_COST:
    return "a decimal";
  case KIND_JSON:
    return "a JSON object";
  }
  return "";
}

bool column_equal(const struct column_ref *a, const struct column_ref *b) {
  if (a->column != b->column || a->depth != b->depth) return false;
  for (size_t i = 0; i < a->depth; i++)
    if (a->key[i].size != b->key[i].size || memcmp(a->key[i].data, b->key[i].data, a->key[i].size) != 0)
      return false;
  return true;
}
