/* model.h - what the store must hold: every event in an array, and answers found by looking at each; how long
 * events are kept, and what can be asked of those that are thinned. */
#ifndef PROPERTY_MODEL_H
#define PROPERTY_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tally.h>

#define NOBODY (-1)    /* user_id NULL */
#define PSEUDONYM (-2) /* any id that pseudonymize gave */
#define SERVICES 4
#define ENDPOINTS 3
#define PRODUCERS 4
#define USER_TEXT 24
#define HOUR_US INT64_C(3600000000)
#define WHOLE_DAY_US (24 * HOUR_US)

/* The serial number is the event's request_size: it tells the event among all others. */
struct event {
  int64_t timestamp, cost;
  int32_t serial, status, tokens, duration;
  int32_t user;              /* its number, or one of the above */
  int32_t service, endpoint; /* -1: NULL */
  uint32_t present;          /* as in tally_event */
  uint32_t metadata;         /* 0: NULL; else {"r":"m<number>"} */
  uint32_t batch;
  bool hidden;                    /* of a batch that was not acknowledged: after a restart it may be there */
  bool maybe_gone, maybe_renamed; /* a job that failed may have come to it */
  bool gone;                      /* for a moment: retention has dropped it */
  bool archived, thinned;         /* thinned: no row is there any more, rollups have its numbers */
  uint8_t due;                    /* 1 << stage: retention is at work, and may come to it */
};

/* Ages in days, 0: never. */
enum { ARCHIVE, THIN, DROP, STAGES_OF_AGE };
struct keep {
  int64_t days[STAGES_OF_AGE];
};
/* A service with ages of its own takes none of the store's. */
struct rules {
  struct keep store, service[SERVICES];
  bool own[SERVICES];
};

struct producer {
  uint64_t epoch, sequence;
};

/* A batch that a power cut may take back, or that failed and may come to light. */
struct pending {
  uint32_t batch;
  bool acknowledged;
  int producer; /* -1: none */
  struct producer before, after;
};

struct model {
  struct event *event;
  size_t events, room;
  struct pending *pending; /* in the order of the WAL */
  size_t pendings, pending_room;
  struct producer producer[PRODUCERS];
  struct rules rules;
};

void model_free(struct model *m);
void model_copy(struct model *to, const struct model *from); /* to is overwritten, not freed */
struct event *model_add(struct model *m);
void model_pend(struct model *m, const struct pending *p);
/* All that was acknowledged is on the disk, all that failed is gone. */
void model_settle(struct model *m);
/* An append went well: batches before `batch` that failed are overwritten in the WAL. */
void model_forget_failed(struct model *m, uint32_t batch);
/* Drops the events for which `drop` is true. */
void model_drop(struct model *m, bool (*drop)(const struct event *e, const void *arg), const void *arg);

/* ------------------------------------------------------------------ retention */

bool rules_equal(const struct rules *a, const struct rules *b);
bool rules_empty(const struct rules *r);
/* Is an event of this service and time older than the stage's age? Whole days: a day is old when it is over.
 */
bool is_due(const struct rules *r, int stage, int32_t service, int64_t timestamp, int64_t now);
/* What retention may come to at this time; `guarded`: it only archives. Hidden events are out of its reach.
 */
void model_mark_due(struct model *m, int64_t now, bool guarded);
void model_unmark(struct model *m);

/* The texts of numbers; users have one each for ever, also after they are erased. */
const char *user_text(int32_t user);
int32_t user_number(tally_text text); /* PSEUDONYM for anon_..., INT32_MIN for what no user is called */
int32_t user_new(uint64_t random);
void users_forget(void); /* numbers begin at 0 again */

/* ------------------------------------------------------------------ answers */

enum { BY_USER = 1, BY_SERVICE = 2, BY_ENDPOINT = 4 };

struct question {
  int64_t from, to;      /* INT64_MIN, INT64_MAX: open */
  int32_t user, service; /* INT32_MIN: any */
  int32_t least_status;  /* 0: any */
  bool with_tokens;      /* tokens_used is not null */
  unsigned by;
  int64_t bucket; /* microseconds, 0: none */
};

struct group {
  int64_t bucket;
  int32_t user, service, endpoint;
  int64_t count, tokens, cost, errors, tokens_count, metadata_count;
  int64_t longest, shortest; /* duration_ms; INT64_MIN and INT64_MAX: NULL */
  int64_t first, last;       /* timestamp, likewise */
};
struct answer {
  struct group *group;
  size_t groups, room;
};

/* The group with this key, made if it is not there. */
struct group *answer_group(struct answer *a, int64_t bucket, int32_t user, int32_t service, int32_t endpoint);
void answer_free(struct answer *a);
/* May the store answer it, where events are thinned? `rows`: it asks for what only rows have. */
enum answers { ANSWERED, REFUSED, EITHER };
enum answers model_answers(const struct model *m, const struct question *q, bool rows);
/* Groups in ascending order. */
void model_answer(const struct model *m, const struct question *q, struct answer *a);

#endif
