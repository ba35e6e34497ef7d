/* thread.h - threads, mutexes and conditions. Waits use the monotonic clock. A mutex that cannot be
 * made or taken is a bug and aborts: nothing sound can follow. */
#ifndef OS_THREAD_H
#define OS_THREAD_H

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

struct os_mutex {
  pthread_mutex_t native;
};
struct os_condition {
  pthread_cond_t native;
};
struct os_thread {
  pthread_t native;
  void *(*run)(void *);
  void *arg;
  cpu_set_t cores; /* those it may use once it runs */
};

void os_mutex_init(struct os_mutex *m);
void os_mutex_destroy(struct os_mutex *m);
void os_lock(struct os_mutex *m);
void os_unlock(struct os_mutex *m);
void os_condition_init(struct os_condition *c);
void os_condition_destroy(struct os_condition *c);
void os_wait(struct os_condition *c, struct os_mutex *m);
/* Waits at most `microseconds`; false if they passed. */
bool os_wait_for(struct os_condition *c, struct os_mutex *m, int64_t microseconds);
void os_wake(struct os_condition *c);                                      /* all that wait */
int os_thread_start(struct os_thread *t, void *(*run)(void *), void *arg); /* 0 or errno */
/* The same, but it begins on another core than the caller's, if there is one: then the system moves it as it
 * does others. For work that the caller does half of: where the system leaves a new thread on the caller's
 * core, which it does if another one was busy at that moment, it may begin milliseconds later. *t must stay
 * until it is joined. */
int os_thread_start_elsewhere(struct os_thread *t, void *(*run)(void *), void *arg);
void os_thread_join(struct os_thread *t);
/* How far the calling thread stands behind the others where the processor is short. */
enum os_rank {
  OS_AFTER_CALLERS = 10, /* work that callers wait for in the end: flushes */
  OS_AFTER_ALL = 19,     /* work that nobody waits for */
};
void os_thread_stand_back(enum os_rank rank);
void os_sleep(int64_t microseconds);
/* May the calling thread wait for a disk, or until others give memory back? It may, until it says that it may
 * not: what would wait then fails with TALLY_BUSY, or as if the others gave nothing. */
void os_thread_may_wait(bool may);
bool os_may_wait(void);
int os_cores(void); /* cores this process may use, at least 1 */

#endif
