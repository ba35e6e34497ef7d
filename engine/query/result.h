/* result.h - what every kind of answer has: columns, a current row of cells, and how it moves on. The kinds
 * are groups (answer.c), explanations (explain.c) and events (events.c); each begins with a struct result. */
#ifndef QUERY_RESULT_H
#define QUERY_RESULT_H

#include "query/query.h"

struct result {
  size_t columns;
  tally_result_column *column;
  tally_text *cell;
  int (*next)(struct result *result, tally_error *error);
  void (*free)(struct result *result);
  int state; /* TALLY_ROW while it goes on, then what the last pull returned */
  tally_error error;
};

#endif
