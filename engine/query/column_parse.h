/* column_parse.h - names of columns: the twelve of the schema, and metadata.KEY.
 *
 * metadata.a.b is key b of the object under key a; metadata."a.b" is one key with a dot ("" inside the quotes
 * is a quote). An unquoted key ends at a dot, a space or one of = ! < > ^ , ( ) ' ". Names and keys are
 * case-sensitive. */
#ifndef QUERY_COLUMN_PARSE_H
#define QUERY_COLUMN_PARSE_H

#include "query/arena.h"
#include "query/words.h"
#include "scan/predicate.h"

/* Takes a column from the start of *text. TALLY_USAGE. */
int column_take(struct piece *text, struct arena *arena, struct column_ref *ref, tally_error *error);
/* The whole text is a column. */
int column_parse(struct piece text, struct arena *arena, struct column_ref *ref, tally_error *error);
/* "a text", "an integer", ... for messages. */
const char *column_kind_name(const struct column_ref *ref);
bool column_equal(const struct column_ref *a, const struct column_ref *b);

#endif
