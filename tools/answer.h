/* answer.h - an answer of rows from the store to stdout: the part that query, events, stats, verify and jobs
 * share.
 */
#ifndef TOOLS_ANSWER_H
#define TOOLS_ANSWER_H

#include "tools/command.h"

enum answer_kind { ANSWER_QUERY, ANSWER_EVENTS, ANSWER_STATS, ANSWER_VERIFY, ANSWER_JOB };

struct request {
  enum answer_kind kind;
  const tally_query *query; /* ANSWER_QUERY */
  const tally_scan *scan;   /* ANSWER_EVENTS */
  const char *const *words; /* ANSWER_JOB */
  size_t word_count;
  bool bare; /* the first cell of each row as it is, a line each, whatever the format */
};

/* Asks the store of the global options and prints what it answers in their format. Ctrl-C cancels. Errors are
 * said; returns an exit code. *rows (may be NULL) is the number of rows printed. */
int answer_print(struct globals *globals, const char *command, const struct request *request, uint64_t *rows);

#endif
