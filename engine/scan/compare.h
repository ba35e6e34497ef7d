/* compare.h - the order of texts: by bytes; a text that is the start of another comes first. */
#ifndef SCAN_COMPARE_H
#define SCAN_COMPARE_H

#include <string.h>
#include <tally.h>

#include "scan/predicate.h"

static inline int compare_texts(tally_text a, tally_text b) {
  size_t both = a.size < b.size ? a.size : b.size;
  int order = both ? memcmp(a.data, b.data, both) : 0;
  return order ? order : (a.size > b.size) - (a.size < b.size);
}
static inline bool compare_prefix(tally_text text, tally_text prefix) {
  return text.size >= prefix.size && (prefix.size == 0 || memcmp(text.data, prefix.data, prefix.size) == 0);
}

/* Does `value op literal` hold, where `order` is that of the two (-1, 0, 1)? IN is one =, NOT IN one !=. */
static inline bool operator_holds(enum operator op, int order) {
  switch (op) {
  case OP_NE:
  case OP_NOT_IN:
    return order != 0;
  case OP_LT:
    return order < 0;
  case OP_LE:
    return order <= 0;
  case OP_GT:
    return order > 0;
  case OP_GE:
    return order >= 0;
  default:
    return order == 0;
  }
}

#endif
