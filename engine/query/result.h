/* result.h - what every kind of answer has: columns, the cells of its current rows, and how it moves on. The
 * kinds are groups (answer.c), explanations (explain.c) and events (events.c); each begins with a struct
 * result. Groups come many rows at a time, the others one by one. */
#ifndef QUERY_RESULT_H
#define QUERY_RESULT_H

#include "base/bytes.h"
#include "query/query.h"

struct result {
  size_t columns;
  tally_result_column *column;
  tally_text *cells;     /* of the rows that were made, one row after the other */
  size_t rows;           /* how many */
  size_t first, current; /* of these: the current ones; those behind them are at hand */
  /* Makes some rows, at least one; whoever makes one at a time leaves `rows` at 1. */
  int (*next)(struct result *result, tally_error *error);
  /* Gives back memory that the next pull can make again, while no row is at hand; may be NULL. */
  void (*rest)(struct result *result);
  void (*free)(struct result *result);
  bool resumes; /* refused memory, it goes on with the next call where it stopped */
  int state;    /* TALLY_ROW while it goes on, then what the last pull returned */
  tally_error error;
};

/* Cells that are printed one after the other into a buffer: where they are is only known when the rows are
 * complete. A printed cell is never empty; size 0 makes it NULL. result_place then points them into the text.
 */
static inline tally_text result_printed(size_t size) { return (tally_text){NULL, size}; }
int result_place(struct result *result, const struct buffer *text, tally_error *error);

#endif
