/* small_answers.h - everything that the store of small_store.h says, as digests that can be compared: rollups
 * of thinned and of plain segments, sums on runs, rows, percentiles, events, the producer's mark, the policy.
 */
#ifndef DISK_SMALL_ANSWERS_H
#define DISK_SMALL_ANSWERS_H

#include <tally.h>

enum { SMALL_QUESTIONS = 8 };
struct small_answers {
  int result[SMALL_QUESTIONS]; /* 0 or a code */
  uint64_t digest[SMALL_QUESTIONS];
  char text[SMALL_QUESTIONS][sizeof((tally_error *)0)->text];
};

void small_ask(tally_store *store, struct small_answers *answers);
/* Is the answer to a question there, and that of the other? */
bool small_same(const struct small_answers *a, const struct small_answers *b, int question);
bool small_all_same(const struct small_answers *a, const struct small_answers *b);

#endif
