/* check.h - compares a store with the model of it, through <tally.h>. A difference ends the program. */
#ifndef PROPERTY_CHECK_H
#define PROPERTY_CHECK_H

#include "property/model.h"

/* What a failure is reported with. */
struct progress {
  unsigned long long seed;
  unsigned step;
  const char *kind;
  unsigned long long passed;
};
extern struct progress progress;

/* Counts a check that holds; ends the program at one that does not. */
void require(bool ok, const char *format, ...) __attribute__((format(printf, 2, 3)));

void time_text(int64_t us, char text[40]); /* as a request has it */

/* The store's events in the order of their serials; freed with model_free. */
void read_events(tally_store *store, struct model *found);
/* Events that a failed job may have come to may be there or not. */
void check_events(const struct model *found, const struct model *model);
/* The rows of a scan that was opened before; the cursor is closed. */
void pull_events(tally_cursor *cursor, struct model *found);

/* Restarted: which of the batches that were not promised are there? Takes the others out of the model. All
 * that was acknowledged must be there unless the power was cut, and what is lost is the end of the WAL. */
void settle_pending(struct model *model, const struct model *found, tally_store *store, bool power);

void check_marks(tally_store *store, const struct model *model);
enum { WITH_TIMES = 1u, WITHOUT_ROLLUPS = 2u };
void check_answer(tally_store *store, const struct model *model, const struct question *q, unsigned flags);
/* Sums by user and service over everything. */
void check_totals(tally_store *store, const struct model *model, unsigned flags);

const char *producer_name(int producer);
/* A figure of tally_stats_open. */
unsigned long long figure(tally_store *store, const char *name);

#endif
