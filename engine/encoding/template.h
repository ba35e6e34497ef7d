/* template.h - strings of one maker, cut into what they share and what varies.
 *
 * A template is a literal text with places for variables; a row is a template and a value for each place.
 * Each place names a column; a column holds the values of all rows that have it, in row order, as a sequence
 * of texts of its own. A template has a column at most once, so that a column has no more values than there
 * are rows. Any string is a row: the template of one place and no literal fits everything. Bytes: 1
 * TEXT_TEMPLATE v  templates, 1 to TEMPLATES_MAX v  columns, up to COLUMNS_MAX v size, texts: the literal of
 * each template (no TEMPLATE in it) v size, ints:  the number of places of each template with any place at
 * all: v size, ints: for each place (of all templates in order) the literal bytes between it and the one
 * before v size, ints: its column v size, ints:  the template of each row for each column: v size, texts (no
 * TEMPLATE in it) */
#ifndef ENCODING_TEMPLATE_H
#define ENCODING_TEMPLATE_H

#include "encoding/texts_format.h"

#define TEMPLATES_MAX 256u
#define COLUMNS_MAX 1024u
#define PLACES_MAX 64u /* of one template */

/* ---- cutting (template_cut.c) ---- */

/* What stands at a place. Values of different kinds go to different columns, so that one odd value does not
 * spoil the numbers or digits of the others. */
enum place_kind { PLACE_WHOLE, PLACE_STRING, PLACE_DIGITS, PLACE_NUMBER, PLACE_WORD };

struct place {
  uint32_t position;     /* in the literal */
  uint32_t key;          /* hash of the JSON key before it */
  uint16_t kind, length; /* enum place_kind; PLACE_DIGITS: length of the value */
};
/* A value within its row. */
struct span {
  uint32_t start, size;
};
/* A row cut to pieces. */
struct cut {
  char literal[4096];
  struct place places[PLACES_MAX];
  struct span spans[PLACES_MAX];
  uint32_t literal_size, count;
};
/* Cuts any bytes; what has too many places or too much literal becomes one PLACE_WHOLE. */
void template_cut(const char *text, size_t size, struct cut *cut);
/* Cuts by a known template; false if the text is not of this template, or is best left to template_cut(). */
bool template_match(const char *literal, size_t literal_size, const struct place *places, uint32_t count,
                    const char *text, size_t size, struct span *spans);

/* ---- coding ---- */

/* Writes the strings as TEMPLATE to out, or nothing if that looks hopeless. False without memory. */
bool template_encode(const struct text_list *list, struct buffer *out, struct ints_scratch *scratch);
/* As text_list_decode(), for the bytes behind TEXT_TEMPLATE. */
bool template_decode(struct reader *r, struct text_range range, size_t max_bytes, uint64_t *at,
                     struct buffer *bytes, struct ints_scratch *scratch);

#endif
