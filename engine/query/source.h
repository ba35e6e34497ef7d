/* source.h - what groups and aggregates are made of, vector by vector: columns, and things found in metadata.
 *
 * A source gives an int64 a row and a validity bitmap. Columns give their values (texts: ids); a metadata key
 * gives its number in units of 10^-9, or its text as a query-local id, or only whether it has one. */
#ifndef QUERY_SOURCE_H
#define QUERY_SOURCE_H

#include "aggregate/intern.h"
#include "scan/scan.h"

enum source_kind {
  SOURCE_ROWS,         /* the rows themselves: never NULL, no values */
  SOURCE_COLUMN,       /* any column but metadata */
  SOURCE_DOCUMENT,     /* metadata as a whole: its text as an id */
  SOURCE_HAS_DOCUMENT, /* only its validity */
  SOURCE_KEY_NUMBER,
  SOURCE_KEY_TEXT,
  SOURCE_HAS_KEY /* only the validity of KEY_TEXT */
};

struct source {
  enum source_kind kind;
  struct column_ref ref;
};

static inline bool source_interned(enum source_kind kind) {
  return kind == SOURCE_DOCUMENT || kind == SOURCE_KEY_TEXT;
}
/* The columns (bits) that a source reads. */
uint32_t source_columns(const struct source *source);

/* A source's values in the current vector, and room for them. */
struct source_vector {
  const int64_t *values;
  const uint64_t *valid; /* NULL: all */
  struct bounds bound;   /* no value that is there is outside */
  int64_t *own_values;
  uint64_t *own_valid;
};

/* All sources of one thread. */
struct source_set {
  const struct source *source;
  size_t count;
  struct budget *budget;
  struct source_vector *vector;
  struct intern intern;
  char *text; /* of an unescaped string */
  size_t text_capacity;
};

int source_set_init(struct source_set *set, const struct source *source, size_t count, struct budget *budget,
                    tally_error *error);
void source_set_free(struct source_set *set);
/* Fills vector[] from the scan's vector; borrowed until its next one. TALLY_MEMORY_LIMIT, TALLY_NO_MEMORY. */
int source_set_load(struct source_set *set, const struct vector *vector, tally_error *error);

#endif
