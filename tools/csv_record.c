/* csv_record.c - the grammar of csv.h, byte by byte: the authority on where a record ends and what is wrong
 * with it. */
#include "tools/csv.h"

enum state {
  FIELD_START,
  UNQUOTED,
  QUOTED,
  QUOTE_IN_QUOTED, /* behind a quote that closes the field or is the first of two */
};

struct walk {
  const char *text;
  size_t to;
  bool final;
  struct csv_extent *extent;
};

static void fault(struct csv_extent *e, enum csv_fault what, size_t at) {
  if (e->fault) return;
  e->fault = what;
  e->fault_at = at;
  e->fault_field = e->fields;
}

/* A CR is part of a line end if LF follows, or the end of the whole text. */
static bool line_end_at(const struct walk *w, size_t at) {
  return w->text[at] == '\r' && (at + 1 == w->to ? w->final : w->text[at + 1] == '\n');
}

static enum state behind_quote(const struct walk *w, size_t at) {
  char c = w->text[at];
  if (c == '"') return QUOTED;
  if (line_end_at(w, at)) return QUOTE_IN_QUOTED;
  fault(w->extent, CSV_TEXT_BEHIND, at);
  return UNQUOTED;
}

/* The state behind the byte at `at`, which is no separator. */
static enum state step(const struct walk *w, enum state state, size_t at) {
  bool quote = w->text[at] == '"';
  switch (state) {
  case FIELD_START:
    return quote ? QUOTED : UNQUOTED;
  case UNQUOTED:
    if (quote) fault(w->extent, CSV_QUOTE_INSIDE, at);
    return UNQUOTED;
  case QUOTED:
    return quote ? QUOTE_IN_QUOTED : QUOTED;
  case QUOTE_IN_QUOTED:
  default:
    return behind_quote(w, at);
  }
}

bool csv_record(const char *text, size_t from, size_t to, bool final, uint32_t *separators, size_t capacity,
                struct csv_extent *extent) {
  *extent = (struct csv_extent){0};
  struct walk w = {text, to, final, extent};
  enum state state = FIELD_START;
  size_t opened = from, at = from;
  for (; at < to; at++) {
    char c = text[at];
    if (state == QUOTED || (c != ',' && c != '\n')) {
      if (state == FIELD_START) opened = at;
      state = step(&w, state, at);
      continue;
    }
    if (extent->fields < capacity) separators[extent->fields] = (uint32_t)at;
    extent->fields++;
    state = FIELD_START;
    if (c == '\n') break;
  }
  if (at == to) {
    if (!final) return false;
    if (state == QUOTED) fault(extent, CSV_UNCLOSED, opened);
    if (extent->fields < capacity) separators[extent->fields] = (uint32_t)to;
    extent->fields++;
  }
  extent->end = at == to ? to : at + 1;
  extent->text_end = at > from && text[at - 1] == '\r' && state != QUOTED ? at - 1 : at;
  return true;
}
