/* workers.c - threads that run jobs; see workers.h. */
#include "server/workers.h"

#include <stddef.h>

#include "base/status.h"

/* Waits for a job; NULL when there is none left and the threads are to end. */
static struct job *take(struct workers *workers) {
  uv_mutex_lock(&workers->lock);
  while (!workers->begin.first && !workers->go_on.first && !workers->stopping)
    uv_cond_wait(&workers->filled, &workers->lock);
  bool long_ones_turn = ++workers->turn % WORKERS_TURNS == 0;
  struct job_queue *from = long_ones_turn && workers->go_on.first ? &workers->go_on : &workers->begin;
  if (!from->first) from = &workers->go_on;
  struct job *job = from->first;
  if (job) {
    from->first = job->next;
    if (!from->first) from->last = &from->first;
  }
  uv_mutex_unlock(&workers->lock);
  return job;
}

static void work(void *arg) {
  struct job *job;
  while ((job = take(arg))) job->run(job);
}

int workers_start(struct workers *workers, unsigned threads, tally_error *error) {
  workers->begin = (struct job_queue){NULL, &workers->begin.first};
  workers->go_on = (struct job_queue){NULL, &workers->go_on.first};
  workers->turn = 0;
  workers->stopping = false;
  workers->threads = 0;
  int result = uv_mutex_init(&workers->lock);
  if (result) return fail(error, TALLY_NO_MEMORY, "no lock for the query threads: %s", uv_strerror(result));
  result = uv_cond_init(&workers->filled);
  if (result) {
    uv_mutex_destroy(&workers->lock);
    return fail(error, TALLY_NO_MEMORY, "no condition for the query threads: %s", uv_strerror(result));
  }
  for (; workers->threads < threads && workers->threads < WORKERS_MAX; workers->threads++) {
    result = uv_thread_create(&workers->thread[workers->threads], work, workers);
    if (result == 0) continue;
    workers_stop(workers);
    return fail(error, TALLY_BUSY, "query thread %u of %u cannot start (%s): lower query_threads",
                workers->threads + 1, threads, uv_strerror(result));
  }
  return TALLY_OK;
}

void workers_submit(struct workers *workers, struct job *job, bool begins) {
  struct job_queue *queue = begins ? &workers->begin : &workers->go_on;
  job->next = NULL;
  uv_mutex_lock(&workers->lock);
  *queue->last = job;
  queue->last = &job->next;
  uv_mutex_unlock(&workers->lock);
  uv_cond_signal(&workers->filled); /* without the lock, which whoever wakes wants at once */
}

void workers_stop(struct workers *workers) {
  uv_mutex_lock(&workers->lock);
  workers->stopping = true;
  uv_cond_broadcast(&workers->filled);
  uv_mutex_unlock(&workers->lock);
  for (unsigned i = 0; i < workers->threads; i++) (void)uv_thread_join(&workers->thread[i]);
  uv_cond_destroy(&workers->filled);
  uv_mutex_destroy(&workers->lock);
}
