/* check.h - compares a store with the model of it, through <tally.h>. A difference ends the program. */
#ifndef PROPERTY_CHECK_H
#define PROPERTY_CHECK_H

#include "disk/disk.h"
#include "property/model.h"

/* What a failure is reported with. */
struct progress {
  unsigned long long seed;
  unsigned step, life;
  const char *kind;
  unsigned long long passed;
};
extern struct progress progress;

/* Counts a check that holds; ends the program at one that does not. */
void require(bool ok, const char *format, ...) __attribute__((format(printf, 2, 3)));

void time_text(int64_t us, char text[40]); /* as a request has it */

/* The event of a row with all columns. */
struct event event_of(const tally_text cell[TALLY_COLUMNS]);
/* The store's events that have rows, in the order of their serials, and which of them are in the archive;
 * freed with model_free. */
void read_events(tally_store *store, struct model *found);
/* What differs must be what jobs under way or failed may have done; the model then takes it over. */
void check_events(tally_store *store, const struct model *found, struct model *model);
/* One event as it was found, or ends the program. */
void check_event(const struct event *found, struct event *event);

/* Restarted: which of the batches that were not promised are there? Takes the others out of the model. All
 * that was acknowledged must be there unless the power was cut, and what is lost is the end of the WAL. */
void settle_pending(struct model *model, const struct model *found, tally_store *store, bool power);

void check_marks(tally_store *store, const struct model *model);
/* ASKED_AT_ONCE: first with TALLY_AT_ONCE, and only if that is refused without. */
enum { WITH_TIMES = 1u, WITHOUT_ROLLUPS = 2u, ASKED_AT_ONCE = 4u };
/* True if it was answered, and not refused for rows that are thinned. */
bool check_answer(tally_store *store, const struct model *model, const struct question *q, unsigned flags);
/* Watches a world's disk: while a question is asked at once, nobody may come to it. */
int guard_disk(void *arg, enum disk_call call, const char *path);
extern struct at_once {
  bool asking;
  unsigned long long answered, refused;
} at_once;
/* A question's request, for requests that are not checked here; its words stay until the next call. */
void ask(const struct question *q, unsigned flags, tally_query *request);
/* Adds an answer's row to the groups. */
void take_row(const tally_cursor *c, const struct question *q, struct answer *a);
void check_group(const struct group *found, const struct group *right, unsigned flags);
/* Sums by user and service over everything. */
void check_totals(tally_store *store, const struct model *model, unsigned flags);

/* see.c: what only the store's inside tells. Events that thinned segments of a month stand for. */
uint64_t rows_thinned(tally_store *store, int32_t month);
int32_t month_number(int64_t timestamp);

const char *producer_name(int producer);
/* A figure of tally_stats_open. */
unsigned long long figure(tally_store *store, const char *name);

#endif
