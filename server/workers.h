/* workers.h - a few threads that run jobs one after the other, each queue first come, first served.
 *
 * 1. A job is short: it makes one frame of an answer, then the next job has its turn. An answer that goes on
 *    is submitted again behind the others, which makes them take turns.
 *    What begins goes before what goes on (a short query does not wait behind many long answers), but of
 *    WORKERS_TURNS jobs one is of what goes on, as long as there is any.
 * 2. Whoever submits bounds the number of jobs: each request has at most one in the queue.
 * 3. The loop's thread submits and never waits; libuv's shared pool is not used, so name look-ups and files
 *    of others cannot stand in the way. */
#ifndef SERVER_WORKERS_H
#define SERVER_WORKERS_H

#include <stdbool.h>
#include <tally.h>
#include <uv.h>

#define WORKERS_MAX 64
#define WORKERS_TURNS 8u

struct job {
  struct job *next;
  void (*run)(struct job *job); /* on a worker's thread; the job is the runner's from then on */
};

struct job_queue {
  struct job *first, **last;
};

struct workers {
  uv_mutex_t lock;
  uv_cond_t filled;
  struct job_queue begin, go_on; /* under lock, as the next two */
  unsigned turn;
  bool stopping;
  unsigned threads;
  uv_thread_t thread[WORKERS_MAX];
};

int workers_start(struct workers *workers, unsigned threads, tally_error *error);
/* `begins`: the job is the first of its request, or short and of use to others. */
void workers_submit(struct workers *workers, struct job *job, bool begins);
/* Runs what is queued, then ends and joins the threads. */
void workers_stop(struct workers *workers);

#endif
