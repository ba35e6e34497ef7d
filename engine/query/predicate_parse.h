/* predicate_parse.h - one --where text to a predicate.
 *
 *   C op V          op: = != < <= > >= ^=        C in (V, V, …)   C not in (V, V, …)   C is null   C is not
 * null
 *
 * Spaces around operators are free, keywords in any case. A value is quoted, '…' with '' for a quote, or
 * unquoted: up to the end of the text (in lists up to , or ) ), trimmed; an unquoted empty value or null is
 * refused, as are == and <>, which no value is meant to begin with (a quoted one may). Text columns take any
 * text, integers and cost take numbers of any length, timestamp takes T of time_text.h. A metadata key
 * compares numerically where the value is an unquoted number, by bytes else; ^= compares bytes always. */
#ifndef QUERY_PREDICATE_PARSE_H
#define QUERY_PREDICATE_PARSE_H

#include "query/column_parse.h"
#include "query/zone.h"

/* What literals need: where they are kept, and what a time means. */
struct predicate_context {
  struct arena *arena;
  struct time_zone *zone;
  int64_t now;
};

/* TALLY_USAGE, with the text at fault before the reason. */
int predicate_parse(const char *text, const struct predicate_context *context, struct predicate *predicate,
                    tally_error *error);

#endif
