/* world.h - one store on a disk in memory, what it was told, and what it said. */
#ifndef FAULTS_WORLD_H
#define FAULTS_WORLD_H

#include "api/inside.h"
#include "disk/disk.h"
#include "faults/events.h"

#define STORE "/store"

enum fate { UNSENT, SENT, WRITTEN, DURABLE }; /* WRITTEN: acknowledged at the durability `os` */
enum { NOT_BEGUN, BEGUN, DONE };              /* of a job */
enum job { JOB_RETENTION, JOB_ERASE, JOB_PSEUDONYMIZE, JOB_BACKUP, JOB_SECOND_BACKUP, JOBS };

struct history {
  uint8_t fate[BATCHES];
  unsigned tried; /* batches below it were handed over at least once */
  uint8_t job[JOBS];
};

struct world {
  struct disk *disk;
  struct tally_store store; /* db NULL: closed */
  struct history history;
  struct history backed_up; /* as of the last backup that ended */
};

/* A world on a copy of the disk, closed: what another process, or a machine after a power cut, finds. */
struct world world_copy(const struct world *w, uint64_t seed);
void world_free(struct world *w); /* the store is closed first, without a seal */

int world_open(struct world *w, tally_error *error);
int world_close(struct world *w, tally_error *error);
/* The process ends. */
void world_crash(struct world *w);
bool world_read_only(struct world *w);

/* ------------------------------------------------------------------ the script */

struct step {
  const char *name;
  /* Does it, or what of it was not done yet. */
  int (*run)(struct world *w, tally_error *error);
  bool restores; /* makes the store /restored */
};
extern const struct step steps[];
extern const unsigned step_count;

/* Sends all batches handed over before that were not acknowledged. */
int resend(struct world *w, tally_error *error);

/* ------------------------------------------------------------------ the oracle */

/* What is in after an open is durable: checks acknowledged <= recovered <= sent, each batch whole and once,
 * and takes it into the history. `power`: what was not synced may be lost. */
void oracle_opened(struct world *w, bool power);
/* While it is open: everything acknowledged is visible, once, and nothing that was refused. */
void oracle_visible(struct world *w);
/* Every answer, with no job half done. */
void oracle_exact(struct world *w);
/* No file that the store does not know. */
void oracle_files(struct world *w);
/* The last backup restores to what it held: at least `backed_up`, and nothing that was never sent. */
void oracle_backup(struct world *w, const char *path);
void oracle_store(struct world *w, const char *path); /* a restored store does */

/* ------------------------------------------------------------------ cases */

/* Ends the case if it does not hold. */
void check(bool ok, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* An error says what, where and what to do. */
void check_error(int result, const tally_error *error);
/* Runs a case; false if a check failed. `format`: the words that replay it. */
bool run_case(void (*run)(void *arg), void *arg, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

struct tally_count {
  unsigned long long passed, failed;
};
extern struct tally_count counted;

/* heap.c: blocks of memory that are in use. */
extern long heap_live;

#endif
