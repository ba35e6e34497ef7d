/* answer.h - the result of a query: its groups as rows, or with --explain how they were found. */
#ifndef QUERY_ANSWER_H
#define QUERY_ANSWER_H

#include "query/ordering.h"
#include "query/result.h"

struct answer {
  struct result result;
  struct query_environment environment;
  struct request request;
  struct plan plan;
  struct tally_up total;
  struct ordering ordering;
  bool planned, executed;
  size_t at;          /* the next row */
  size_t looked;      /* the row before which the clock was looked at */
  size_t room;        /* rows of cells */
  struct buffer text; /* of the current rows' printed cells */
  int64_t started;    /* os->monotonic */
};

/* Plans and executes, fills and orders. */
int answer_execute(struct answer *answer, tally_error *error);
/* Makes room for `columns` columns; for the cells of so many rows. */
int answer_columns(struct answer *answer, size_t columns, tally_error *error);
int answer_cells(struct answer *answer, size_t rows, tally_error *error);
/* With --approximate a percentile of duration_ms is followed by the bound of its relative error. */
bool answer_has_bound(const struct request *r, const struct output *o);

#define ANSWER_ROWS_MOST 64u /* of a pull; and before which the clock is not looked at again */
/* answer_rows.c: makes at most `most` of the rows from answer->at on current, for which there are cells, and
 * at least one. A row that fails is the next pull's, if there are others before it. */
int answer_rows(struct answer *answer, size_t most, tally_error *error);

/* explain.c: the columns and rows of an explanation. */
int explain_columns(struct answer *answer, tally_error *error);
int explain_next(struct result *result, tally_error *error);

#endif
