/* world.h - one store on a disk in memory, the model of it, and what the steps do to both. */
#ifndef PROPERTY_WORLD_H
#define PROPERTY_WORLD_H

#include "api/inside.h"
#include "disk/disk.h"
#include "property/check.h"

#define USERS 10
#define REPEATS 8
#define BACKUPS 2
#define TRUSTED_MOST 4096u
#define HELD 6

/* A batch that was acknowledged, to be sent again. */
struct repeat {
  void *bytes;
  size_t size;
  int producer;
  struct producer mark;
};

struct backup {
  char path[32];
  bool there;
  bool diverged; /* a user was erased since: it may be refused to renew it */
  struct model model;
};

/* What the store must think of its clock. */
struct guard {
  int64_t now, monotonic; /* at its last look */
  int64_t until;          /* monotonic; 0: the clock is trusted */
  int64_t trusted[TRUSTED_MOST];
  size_t trusts;
};

/* A cursor that is open while steps go on: it gives what there was when it was opened. */
struct held {
  tally_cursor *cursor; /* NULL: none */
  struct model then;
  struct question question;
  struct answer right, found; /* of a query; else it is a scan */
  bool scan, backwards, ordered;
  bool *seen;      /* scan: which events of the model have come */
  size_t rows;     /* that have come */
  int64_t last;    /* timestamp, or bucket, of the last one */
  int64_t opened;  /* monotonic */
  unsigned step;   /* when it was opened, or read last */
  bool may_expire; /* it holds rows in memory, or an erasure had to wait for it */
};

struct world {
  uint64_t random;
  struct disk *disk;
  struct tally_store store;
  char path[32];
  unsigned places; /* directories used so far */
  struct model model;
  int32_t user[USERS];
  int32_t serial;
  uint32_t batch;
  struct repeat repeat[REPEATS];
  unsigned repeats;
  struct backup backup[BACKUPS];
  bool calm;  /* no faults now */
  bool power; /* what the fault under way would stop: the machine, or the process */
  unsigned long long faults, restarts;
  struct guard guard;
  struct rules other; /* while a policy is being set: the store has the model's or this one */
  bool undecided;
  int64_t skew; /* the clock on the wall is wrong by this */
  struct held held[HELD];
  unsigned long long pages, expired; /* of held cursors, with steps since the page before */
  unsigned long long answered, refused, thinned, dropped, applied, guarded;
};

uint64_t draw(struct world *w);
uint64_t below(struct world *w, uint64_t n);
bool once_in(struct world *w, uint64_t n);

/* An empty store; what comes follows from the seed and the number of this life. */
void world_begin(struct world *w, uint64_t seed, unsigned life);
void world_end(struct world *w);

/* Makes one of the next disk calls fail, or not. */
void arm(struct world *w);
/* What a call returned that may have met a fault: it fails only with one. Where the fault stopped the store
 * it is opened again and compared with the model, which has been told before what the call did. */
void settle(struct world *w, int result, const tally_error *error);
/* The store as it must open now; `power`: the machine had stopped. */
void open_again(struct world *w, bool power);
/* Ends without closing. */
void crash(struct world *w, bool power);
void check_all_events(struct world *w);
/* What the store says of its policy is the model's. */
void check_rules(struct world *w);
bool is_read_only(struct world *w);

void forget_repeats(struct world *w);
void forget_backups(struct world *w);
/* Runs a job to its end; the cells of its last row go to `cells` if that is not NULL. */
int run_job(struct world *w, const char *const *words, size_t count, tally_error *error);

/* guard.c: the clock, as the store has to look at it. */
int64_t now_of(const struct world *w);
bool guard_holds(struct world *w);   /* if the store looked at its clock now */
void guard_watch(struct world *w);   /* after a step: has it looked, and does it think the same? */
void guard_open(struct world *w);    /* it has just been opened */
void guard_trust(struct world *w);   /* before a step: a clock that may be written down as a good one */
void guard_confirm(struct world *w); /* somebody is about to say that the clock is right */
void guard_confirmed(struct world *w);
/* Before and after steps in which retention may work. */
void retention_begin(struct world *w);
void retention_end(struct world *w);

/* cursors.c */
void cursors_read(struct world *w); /* after a step: some pages of some cursors */
void cursors_close(struct world *w);
void cursors_may_expire(struct world *w);
bool cursors_any(const struct world *w);

/* steps_append.c, steps_jobs.c, steps_retention.c, cursors.c: one function a kind of step. */
void step_append(struct world *w);
void step_repeat(struct world *w);
void step_refused(struct world *w);
void step_flush(struct world *w);
void step_background(struct world *w);
void step_compact(struct world *w);
void step_erase(struct world *w);
void step_pseudonymize(struct world *w);
void step_backup(struct world *w);
void step_restore(struct world *w);
void step_verify(struct world *w);
void step_cursor(struct world *w);
void step_set(struct world *w);
void step_clear(struct world *w);
void step_apply(struct world *w);
void step_confirm(struct world *w);
void step_time(struct world *w);
void step_clock(struct world *w);

#endif
