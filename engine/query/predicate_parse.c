/* predicate_parse.c - see predicate_parse.h. */
#include "query/predicate_parse.h"

#include <string.h>

#include "base/status.h"
#include "base/utf8.h"
#include "model/decimal.h"
#include "query/time_text.h"

/* A value's text, unquoted. */
struct value {
  const char *text;
  size_t size;
  bool quoted;
};

/* Takes '…' from the start of *text. */
static int take_quoted(struct piece *text, struct arena *arena, struct value *value, tally_error *error) {
  char *out = arena_alloc(arena, piece_size(*text) + 1, 1, error);
  if (!out) return error->code;
  *value = (struct value){out, 0, true};
  for (text->at++; text->at < text->end; text->at++) {
    if (*text->at == '\'') {
      if (text->at + 1 == text->end || text->at[1] != '\'') {
        text->at++;
        return 0;
      }
      text->at++;
    }
    out[value->size++] = *text->at;
  }
  return fail(error, TALLY_USAGE, "the value has no closing quote ('); a quote inside is written ''");
}

static int check_unquoted(struct piece p, tally_error *error) {
  if (p.at == p.end) return fail(error, TALLY_USAGE, "a value is missing; the empty text is written ''");
  if (piece_is(p, "null"))
    return fail(error, TALLY_USAGE,
                "nothing compares to null: write `is null` or `is not null`, or 'null' for "
                "the text");
  return 0;
}

/* Takes a value up to the end of the text, or in a list up to , or ). */
static int take_value(struct piece *text, bool in_list, struct arena *arena, struct value *value,
                      tally_error *error) {
  *text = piece_skip(*text);
  if (text->at < text->end && *text->at == '\'') return take_quoted(text, arena, value, error);
  struct piece p = *text;
  if (in_list) {
    p.end = p.at;
    while (p.end < text->end && *p.end != ',' && *p.end != ')') p.end++;
  }
  text->at = p.end;
  p = piece_trim(p);
  int rc = check_unquoted(p, error);
  if (rc) return rc;
  *value = (struct value){arena_copy(arena, p.at, piece_size(p), error), piece_size(p), false};
  return value->text ? 0 : error->code;
}

/* A value as the literal that its column needs. */
static int make_literal(const struct predicate_context *context, const struct predicate *predicate,
                        const struct value *value, struct literal *literal, tally_error *error) {
  struct piece text = {value->text, value->text + value->size};
  *literal = (struct literal){.text = value->text, .size = value->size};
  if (predicate->ref.key) {
    literal->number =
        !value->quoted && predicate->op != OP_PREFIX && decimal_is_number(value->text, value->size);
    return 0;
  }
  switch (column_kind(predicate->ref.column)) {
  case KIND_TIME:
    return time_parse(text, context->zone, context->now, &literal->value, error);
  case KIND_INT:
  case KIND_COST:
    if (decimal_is_number(value->text, value->size)) return 0;
    return fail(error, TALLY_USAGE, "%s is %s, but '" PIECE_FORMAT "' is not a number",
                tally_column_name(predicate->ref.column), column_kind_name(&predicate->ref),
                PIECE_ARGS(text));
  case KIND_TEXT:
  case KIND_JSON:
    break;
  }
  return 0;
}

static int check_operator(const struct predicate *p, tally_error *error) {
  if (p->op == OP_IS_NULL || p->op == OP_IS_NOT_NULL) return 0;
  enum column_kind kind = column_kind(p->ref.column);
  if (kind == KIND_JSON && !p->ref.key)
    return fail(error, TALLY_USAGE,
                "metadata itself takes only `is null` and `is not null`; a key of it is "
                "written metadata.KEY");
  if (p->op == OP_PREFIX && kind != KIND_TEXT && kind != KIND_JSON)
    return fail(error, TALLY_USAGE, "^= (starts with) needs a text, but %s is %s",
                tally_column_name(p->ref.column), column_kind_name(&p->ref));
  return 0;
}

static int no_operator(struct piece text, tally_error *error) {
  if (text.at == text.end)
    return fail(error, TALLY_USAGE,
                "an operator is missing after the column: = != < <= > >= ^= in (…) not in (…) "
                "is null, is not null");
  return fail(error, TALLY_USAGE,
              "'" PIECE_FORMAT
              "' is not an operator with its value: = != < <= > >= ^= in (…) not in (…) is null, is not "
              "null",
              PIECE_ARGS(text));
}

/* Takes an operator of signs; longer ones come first in the table. */
static bool take_sign(struct piece *text, enum operator* op) {
  static const struct {
    const char *sign;
    enum operator op;
  } signs[] = {{"!=", OP_NE}, {"<=", OP_LE}, {">=", OP_GE}, {"^=", OP_PREFIX},
               {"=", OP_EQ},  {"<", OP_LT},  {">", OP_GT}};
  for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
    size_t n = strlen(signs[i].sign);
    if (piece_size(*text) < n || memcmp(text->at, signs[i].sign, n) != 0) continue;
    text->at += n;
    *op = signs[i].op;
    return true;
  }
  return false;
}

/* == and <> would be read as a value that begins with = or >. */
static int check_sign(struct piece rest, enum operator op, tally_error *error) {
  char next = rest.at < rest.end ? *rest.at : ' ';
  if (op == OP_EQ && next == '=') return fail(error, TALLY_USAGE, "equality is written with one =");
  if (op == OP_LT && next == '>') return fail(error, TALLY_USAGE, "`not equal` is written !=");
  return 0;
}

static int parse_end(struct piece text, tally_error *error) {
  text = piece_trim(text);
  if (text.at == text.end) return 0;
  return fail(error, TALLY_USAGE, "cannot read '" PIECE_FORMAT "' after the end of the predicate",
              PIECE_ARGS(text));
}

static int parse_one(struct piece text, const struct predicate_context *context, struct predicate *predicate,
                     tally_error *error) {
  struct value value;
  int rc = take_value(&text, false, context->arena, &value, error);
  if (!rc) rc = parse_end(text, error);
  if (rc) return rc;
  struct literal *literal = arena_alloc(context->arena, 1, sizeof *literal, error);
  if (!literal) return error->code;
  predicate->literals = literal;
  predicate->count = 1;
  return make_literal(context, predicate, &value, literal, error);
}

/* The most values that a list can have: commas, quoted ones too, and one. */
static size_t list_most(struct piece text) {
  size_t n = 1;
  for (const char *p = text.at; p < text.end; p++) n += *p == ',';
  return n;
}

/* (V, V, …) */
static int parse_list(struct piece text, const struct predicate_context *context, struct predicate *predicate,
                      tally_error *error) {
  text = piece_skip(text);
  if (text.at == text.end || *text.at != '(') return fail(error, TALLY_USAGE, "`in` needs a list: (V, V, …)");
  text.at++;
  struct literal *literals = arena_alloc(context->arena, list_most(text), sizeof *literals, error);
  if (!literals) return error->code;
  predicate->literals = literals;
  for (;;) {
    struct value value;
    int rc = take_value(&text, true, context->arena, &value, error);
    if (!rc) rc = make_literal(context, predicate, &value, &literals[predicate->count++], error);
    if (rc) return rc;
    text = piece_skip(text);
    if (text.at == text.end) return fail(error, TALLY_USAGE, "the list has no closing parenthesis");
    char c = *text.at++;
    if (c == ')') return parse_end(text, error);
    if (c != ',') {
      text.at--;
      return fail(error, TALLY_USAGE,
                  "cannot read '" PIECE_FORMAT "' after a value of the list: a comma or ) is "
                  "expected",
                  PIECE_ARGS(text));
    }
  }
}

/* Takes `is null`, `is not null`, `in`, `not in`. */
static bool take_words(struct piece *text, enum operator* op) {
  struct piece p = *text;
  if (piece_take(&p, "is")) {
    p = piece_skip(p);
    bool not_null = piece_take(&p, "not");
    p = piece_skip(p);
    if (!piece_take(&p, "null")) return false;
    *op = not_null ? OP_IS_NOT_NULL : OP_IS_NULL;
  } else {
    bool not_in = piece_take(&p, "not");
    p = piece_skip(p);
    if (!piece_take(&p, "in")) return false;
    *op = not_in ? OP_NOT_IN : OP_IN;
  }
  *text = p;
  return true;
}

static int parse(struct piece text, const struct predicate_context *context, struct predicate *predicate,
                 tally_error *error) {
  *predicate = (struct predicate){0};
  text = piece_skip(text);
  int rc = column_take(&text, context->arena, &predicate->ref, error);
  if (rc) return rc;
  text = piece_skip(text);
  bool words = take_words(&text, &predicate->op);
  if (!words && !take_sign(&text, &predicate->op)) return no_operator(text, error);
  if (!words) rc = check_sign(text, predicate->op, error);
  if (!rc) rc = check_operator(predicate, error);
  if (rc) return rc;
  if (predicate->op == OP_IS_NULL || predicate->op == OP_IS_NOT_NULL) return parse_end(text, error);
  if (words) return parse_list(text, context, predicate, error);
  return parse_one(text, context, predicate, error);
}

int predicate_parse(const char *text, const struct predicate_context *context, struct predicate *predicate,
                    tally_error *error) {
  struct piece p = piece_of(text);
  if (!utf8_text(text, piece_size(p), NULL))
    return fail(error, TALLY_USAGE, "--where: the text is not valid UTF-8");
  int rc = parse(p, context, predicate, error);
  if (rc == TALLY_USAGE) error_where(error, "--where '" PIECE_FORMAT "'", PIECE_ARGS(p));
  return rc;
}
