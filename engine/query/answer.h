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
  struct buffer text; /* of the current row's printed cells */
  int64_t started;    /* os->monotonic */
};

/* Plans and executes, fills and orders. */
int answer_execute(struct answer *answer, tally_error *error);
/* Makes room for `columns` columns and cells. */
int answer_columns(struct answer *answer, size_t columns, tally_error *error);

/* explain.c: the columns and rows of an explanation. */
int explain_columns(struct answer *answer, tally_error *error);
int explain_next(struct result *result, tally_error *error);

#endif
