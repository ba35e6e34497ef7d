/* report.c - timing and printing; see report.h. */
#include "bench/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef BENCH_CALLGRIND
#include <valgrind/callgrind.h>
#endif

static double read_clock(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double seconds_now(void) { return read_clock(CLOCK_MONOTONIC); }
double processor_seconds_now(void) { return read_clock(CLOCK_PROCESS_CPUTIME_ID); }

void wait_until(double second) {
  double left = second - seconds_now();
  if (left <= 0) return;
  struct timespec t = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
  (void)nanosleep(&t, NULL);
}

void give_up(const char *what, const tally_error *error) {
  (void)fprintf(stderr, "bench: %s%s%s\n", what, error ? ": " : "", error ? error->text : "");
  exit(1);
}

static bool wants(const struct report *r, const char *name) {
  return !r->filter || strncmp(name, r->filter, strlen(r->filter)) == 0;
}

bool report_wants(const struct report *r, const char *const *groups) {
  for (; *groups; groups++)
    if (wants(r, *groups) || strncmp(r->filter, *groups, strlen(*groups)) == 0) return true;
  return false;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

void report_start(struct report *r) {
  if (r->json)
    puts("[");
  else
    printf("%-30s %10s %10s %10s %10s %10s\n", "what", "ns/event", "median", "processor", "M/s", "MB/s");
}

struct figures {
  double best, median, processor; /* seconds */
};

static void print(struct report *r, const struct measured *m, const struct figures *f) {
  double scale = 1e9 / (double)m->events, rate = (double)m->bytes / f->best / 1e6;
  if (r->json) {
    printf("%s  {\"name\": \"%s\", \"events\": %" PRIu64
           ", \"ns\": %.3f, \"median_ns\": %.3f, \"processor_ns\": %.3f",
           r->printed ? ",\n" : "", m->name, m->events, f->best * scale, f->median * scale,
           f->processor * scale);
    if (m->bytes) printf(", \"megabytes_per_second\": %.1f", rate);
    printf("}");
  } else {
    printf("%-30s %10.2f %10.2f %10.2f %10.2f", m->name, f->best * scale, f->median * scale,
           f->processor * scale, (double)m->events / f->best / 1e6);
    if (m->bytes) printf(" %10.0f", rate);
    puts("");
  }
  (void)fflush(stdout);
  r->printed++;
}

/* Under valgrind's callgrind: once to warm up, and once of which the instructions are written to a file that
 * bears the name. False elsewhere. */
static bool counted(const struct measured *m) {
#ifdef BENCH_CALLGRIND
  if (!RUNNING_ON_VALGRIND) return false;
  for (int i = 0; i < 2; i++) {
    if (m->prepare) m->prepare(m->arg);
    CALLGRIND_ZERO_STATS;
    m->run(m->arg);
  }
  CALLGRIND_DUMP_STATS_AT(m->name);
  return true;
#else
  (void)m;
  return false;
#endif
}

void report_run(struct report *r, const struct measured *m) {
  double seconds[BENCH_REPEATS], processor[BENCH_REPEATS];
  if (!wants(r, m->name) || !m->events || counted(m)) return;
  for (int i = 0; i < BENCH_REPEATS; i++) {
    if (m->prepare) m->prepare(m->arg);
    double start = seconds_now(), processor_start = processor_seconds_now();
    m->run(m->arg);
    processor[i] = processor_seconds_now() - processor_start;
    seconds[i] = seconds_now() - start;
  }
  qsort(seconds, BENCH_REPEATS, sizeof *seconds, by_value);
  qsort(processor, BENCH_REPEATS, sizeof *processor, by_value);
  print(r, m, &(struct figures){seconds[0], seconds[BENCH_REPEATS / 2], processor[0]});
}

void report_end(struct report *r) {
  if (r->json) puts("\n]");
}
