/* predicate.h - what a row must hold to be counted, as the query room parsed it and the scan room binds it.
 * All predicates of a request must hold. On NULL each is false but IS NULL. */
#ifndef SCAN_PREDICATE_H
#define SCAN_PREDICATE_H

#include <stdbool.h>
#include <stddef.h>

#include "model/json.h"
#include "model/schema.h"

/* A column, or a key inside metadata. */
struct column_ref {
  int column;                 /* TALLY_COL_* */
  const struct json_key *key; /* with TALLY_COL_METADATA: the path, depth > 0; else NULL */
  size_t depth;
};

enum operator{
  OP_EQ,
  OP_NE,
  OP_LT,
  OP_LE,
  OP_GT,
  OP_GE,
  OP_IN,
  OP_NOT_IN,
  OP_PREFIX,
  OP_IS_NULL,
  OP_IS_NOT_NULL
};

/* A constant. Texts and keys compare by bytes; timestamps by `value`; integers and cost as numbers of any
 * length (decimal.h), given as text. */
struct literal {
  const char *text;
  size_t size;
  bool
      number; /* of a metadata key: it was unquoted and is a number: compare numerically, JSON numbers only */
  int64_t value; /* timestamp: microseconds */
};

struct predicate {
  struct column_ref ref;
  enum operator op;
  const struct literal *literals; /* one; IN and NOT IN: count; IS NULL: none */
  size_t count;
};

#endif
