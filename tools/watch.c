/* watch.c - see watch.h. */
#include "tools/watch.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EVERY_US 200000
#define SECOND_US INT64_C(1000000)

static void put_share(char *text, size_t size, uint64_t done, uint64_t total) {
  if (done <= total) (void)snprintf(text, size, ", %.0f %%", 100 * (double)done / (double)total);
}

void watch_text(char text[PROGRESS_TEXT], const char *what, const struct watch_figures *f, int64_t elapsed) {
  uint64_t seconds = (uint64_t)(elapsed / SECOND_US);
  char done[32], total[32], share[16] = "";
  int n = snprintf(text, PROGRESS_TEXT, "%s, %" PRIu64 ":%02" PRIu64, what, seconds / 60, seconds % 60);
  if (n < 0 || n >= PROGRESS_TEXT) return;
  size_t room = PROGRESS_TEXT - (size_t)n;
  if (f->rows) {
    progress_digits(done, f->rows_done);
    progress_digits(total, f->rows);
    put_share(share, sizeof share, f->rows_done, f->rows);
    (void)snprintf(text + n, room, ": %s of %s rows rewritten%s", done, total, share);
  } else if (f->bytes) {
    put_share(share, sizeof share, f->bytes_done, f->bytes);
    (void)snprintf(text + n, room, ": %" PRIu64 " of %" PRIu64 " MiB read%s", f->bytes_done >> 20,
                   f->bytes >> 20, share);
  }
}

static bool is(tally_text cell, const char *name) {
  return cell.data && cell.size == strlen(name) && memcmp(cell.data, name, cell.size) == 0;
}

static uint64_t number(tally_text cell) {
  char text[24] = "";
  if (cell.data && cell.size < sizeof text) memcpy(text, cell.data, cell.size);
  return strtoull(text, NULL, 10);
}

static bool look(struct backend *backend, struct watch_figures *f) {
  struct rows *rows;
  tally_error error;
  int code;
  if (backend_stats(backend, &rows, &error)) return false;
  *f = (struct watch_figures){0};
  while ((code = rows_next(rows, &error)) == TALLY_ROW) {
    tally_text name = rows_cell(rows, 0);
    uint64_t value = number(rows_cell(rows, 1));
    if (is(name, "rewriting_rows")) f->rows = value;
    if (is(name, "rewriting_rows_done")) f->rows_done = value;
    if (is(name, "checking_bytes")) f->bytes = value;
    if (is(name, "checking_bytes_done")) f->bytes_done = value;
  }
  rows_close(rows);
  return code == 0;
}

/* True when the job is through. */
static bool wait_a_little(struct watch *w) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += EVERY_US * 1000L;
  until.tv_sec += until.tv_nsec / 1000000000;
  until.tv_nsec %= 1000000000;
  pthread_mutex_lock(&w->lock);
  if (!w->ended) pthread_cond_timedwait(&w->changed, &w->lock, &until);
  bool ended = w->ended;
  pthread_mutex_unlock(&w->lock);
  return ended;
}

static void *run(void *arg) {
  struct watch *w = arg;
  struct watch_figures f;
  char text[PROGRESS_TEXT];
  while (!wait_a_little(w) && look(w->backend, &f)) {
    watch_text(text, w->what, &f, progress_elapsed(&w->progress));
    pthread_mutex_lock(&w->lock);
    if (!w->paused && !w->ended) progress_say(&w->progress, text);
    pthread_mutex_unlock(&w->lock);
  }
  return NULL;
}

static void close_backend(struct watch *w) {
  tally_error ignored;
  if (w->backend != w->job) (void)backend_close(w->backend, &ignored);
}

void watch_start(struct watch *w, bool wanted, const char *what, struct backend *backend) {
  tally_error ignored;
  *w = (struct watch){.what = what, .job = backend};
  progress_start(&w->progress, wanted, 0);
  if (!w->progress.on || backend_watch(backend, &w->backend, &ignored)) return;
  pthread_mutex_init(&w->lock, NULL);
  pthread_cond_init(&w->changed, NULL);
  sigset_t all, old; /* signals are the caller's */
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &old);
  w->running = pthread_create(&w->thread, NULL, run, w) == 0;
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  if (!w->running) close_backend(w);
}

void watch_pause(struct watch *w, bool pause) {
  if (!w->running) return;
  pthread_mutex_lock(&w->lock);
  w->paused = pause;
  if (pause) progress_clear(&w->progress);
  pthread_mutex_unlock(&w->lock);
}

void watch_stop(struct watch *w) {
  if (!w->running) return;
  pthread_mutex_lock(&w->lock);
  w->ended = true;
  pthread_cond_signal(&w->changed);
  pthread_mutex_unlock(&w->lock);
  pthread_join(w->thread, NULL);
  progress_clear(&w->progress);
  w->running = false;
  pthread_cond_destroy(&w->changed);
  pthread_mutex_destroy(&w->lock);
  close_backend(w);
}
