/* world.h - one store on a disk in memory, the model of it, and what the steps do to both. */
#ifndef PROPERTY_WORLD_H
#define PROPERTY_WORLD_H

#include "api/inside.h"
#include "disk/disk.h"
#include "property/check.h"

#define USERS 10
#define REPEATS 8
#define BACKUPS 2
#define HOUR_US INT64_C(3600000000)

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
};

uint64_t draw(struct world *w);
uint64_t below(struct world *w, uint64_t n);
bool once_in(struct world *w, uint64_t n);

void world_begin(struct world *w); /* an empty store */
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
bool is_read_only(struct world *w);

void forget_repeats(struct world *w);
void forget_backups(struct world *w);
/* Runs a job to its end; the cells of its last row go to `cells` if that is not NULL. */
int run_job(struct world *w, const char *const *words, size_t count, tally_error *error);

/* steps_append.c, steps_jobs.c: one function a kind of step. */
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

#endif
