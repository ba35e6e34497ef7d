/* watch.h - a line on the terminal that says how far a job is, from a thread that asks for the store's stats.
 */
#ifndef TOOLS_WATCH_H
#define TOOLS_WATCH_H

#include <pthread.h>

#include "tools/backend.h"
#include "tools/progress.h"

struct watch {
  struct progress progress;
  struct backend *job, *backend; /* the caller's, the thread's */
  const char *what;
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool running, ended, paused;
};

/* The job `what` is about to start on `backend`. Nothing happens without `wanted` or a terminal at stderr;
 * that there is no progress to be had is no failure. */
void watch_start(struct watch *watch, bool wanted, const char *what, struct backend *backend);
/* While rows are printed: the line goes, and comes back later. */
void watch_pause(struct watch *watch, bool pause);
/* Takes the line away; also of a watch that was stopped. */
void watch_stop(struct watch *watch);

/* How far a store's work is, as its stats tell. */
struct watch_figures {
  uint64_t rows, rows_done, bytes, bytes_done;
};
void watch_text(char text[PROGRESS_TEXT], const char *what, const struct watch_figures *f, int64_t elapsed);

#endif
