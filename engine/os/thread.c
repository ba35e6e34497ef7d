/* thread.c - threads over pthreads; see thread.h. */
#include "os/thread.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static void must(int number) {
  if (number) abort();
}

/* A thread that finds it taken looks for a moment before it sleeps: nearly all are held for less time than a
 * sleep takes. */
void os_mutex_init(struct os_mutex *m) {
  pthread_mutexattr_t attributes;
  must(pthread_mutexattr_init(&attributes));
#ifdef __GLIBC__
  must(pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP));
#endif
  must(pthread_mutex_init(&m->native, &attributes));
  must(pthread_mutexattr_destroy(&attributes));
}
void os_mutex_destroy(struct os_mutex *m) { must(pthread_mutex_destroy(&m->native)); }
void os_lock(struct os_mutex *m) { must(pthread_mutex_lock(&m->native)); }
void os_unlock(struct os_mutex *m) { must(pthread_mutex_unlock(&m->native)); }

void os_condition_init(struct os_condition *c) {
  pthread_condattr_t attributes;
  must(pthread_condattr_init(&attributes));
  must(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC));
  must(pthread_cond_init(&c->native, &attributes));
  must(pthread_condattr_destroy(&attributes));
}
void os_condition_destroy(struct os_condition *c) { must(pthread_cond_destroy(&c->native)); }
void os_wait(struct os_condition *c, struct os_mutex *m) { must(pthread_cond_wait(&c->native, &m->native)); }

bool os_wait_for(struct os_condition *c, struct os_mutex *m, int64_t microseconds) {
  struct timespec t;
  must(clock_gettime(CLOCK_MONOTONIC, &t) ? errno : 0);
  t.tv_sec += (time_t)(microseconds / 1000000);
  t.tv_nsec += (long)(microseconds % 1000000) * 1000;
  if (t.tv_nsec >= 1000000000) {
    t.tv_sec++;
    t.tv_nsec -= 1000000000;
  }
  int number = pthread_cond_timedwait(&c->native, &m->native, &t);
  if (number != ETIMEDOUT) must(number);
  return number == 0;
}

void os_wake(struct os_condition *c) { must(pthread_cond_broadcast(&c->native)); }

int os_thread_start(struct os_thread *t, void *(*run)(void *), void *arg) {
  return pthread_create(&t->native, NULL, run, arg);
}
static void *run_anywhere(void *arg) {
  const struct os_thread *t = arg;
  (void)sched_setaffinity(0, sizeof t->cores, &t->cores);
  return t->run(t->arg);
}

int os_thread_start_elsewhere(struct os_thread *t, void *(*run)(void *), void *arg) {
  pthread_attr_t attributes;
  const int here = sched_getcpu();
  t->run = run;
  t->arg = arg;
  if (here < 0 || sched_getaffinity(0, sizeof t->cores, &t->cores) || CPU_COUNT(&t->cores) < 2 ||
      pthread_attr_init(&attributes))
    return os_thread_start(t, run, arg);
  cpu_set_t others = t->cores;
  CPU_CLR((size_t)here, &others);
  int number = pthread_attr_setaffinity_np(&attributes, sizeof others, &others);
  if (!number) number = pthread_create(&t->native, &attributes, run_anywhere, t);
  (void)pthread_attr_destroy(&attributes);
  return number ? os_thread_start(t, run, arg) : 0;
}

void os_thread_join(struct os_thread *t) { must(pthread_join(t->native, NULL)); }

/* The ranks are Linux's nice values, which it keeps for each thread. */
void os_thread_stand_back(enum os_rank rank) { (void)setpriority(PRIO_PROCESS, 0, (int)rank); }

static _Thread_local bool in_a_hurry;
void os_thread_may_wait(bool may) { in_a_hurry = !may; }
bool os_may_wait(void) { return !in_a_hurry; }

void os_sleep(int64_t microseconds) {
  struct timespec t = {(time_t)(microseconds / 1000000), (long)(microseconds % 1000000) * 1000};
  while (microseconds > 0 && nanosleep(&t, &t) != 0 && errno == EINTR) continue;
}

int os_cores(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  int n = CPU_COUNT(&set);
  return n > 0 ? n : 1;
}
