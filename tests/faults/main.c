/* main.c - faults at every place of a scripted workload, on a disk in memory.
 *
 *   store_faults --row R2 [--cases N] [--seed N] [--jobs N]
 *   store_faults --share N [--seed N]                        one case in N of every row
 *   store_faults --row R2 --seed N --draws N --only N        the one case that a failure named
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults/rows.h"

static const struct row {
  const char *name;
  unsigned long long cases; /* unless told */
  void (*run)(const struct plan *plan);
} rows[] = {
    {"R2", 50000, row_power},    {"R5", 0, row_calls},  {"R6", 0, row_memory},
    {"R7", 10000, row_recovery}, {"R13", 0, row_syncs},
};
#define ROWS (sizeof rows / sizeof *rows)

bool mine(const struct plan *plan, unsigned long long number) {
  return plan->only >= 0 ? number == (unsigned long long)plan->only : number % plan->workers == plan->worker;
}

uint64_t case_seed(const struct plan *plan, unsigned long long number) {
  uint64_t z = plan->seed * 0x9E3779B97F4A7C15u + number * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 29)) * 0x94D049BB133111EBu;
  return z ^ (z >> 32);
}

static int run_row(const struct row *row, const struct plan *plan) {
  row->run(plan);
  printf("%s: %llu passed, %llu failed\n", row->name, counted.passed, counted.failed);
  return counted.failed || !counted.passed;
}

static int run_shared(const struct row *row, struct plan plan) {
  int failed = 0;
  (void)fflush(stdout);
  for (plan.worker = 0; plan.worker < plan.workers; plan.worker++)
    if (fork() == 0) exit(run_row(row, &plan));
  for (unsigned i = 0; i < plan.workers; i++) {
    int status = 0;
    (void)wait(&status);
    failed |= status != 0;
  }
  return failed;
}

int main(int count, char **words) {
  struct plan plan = {.seed = 1, .only = -1, .workers = 1};
  bool share = false;
  const char *only = NULL, *seed = getenv("TALLY_SEED");
  if (seed) plan.seed = strtoull(seed, NULL, 10);
  for (int i = 1; i + 1 < count; i += 2) {
    unsigned long long number = strtoull(words[i + 1], NULL, 10);
    if (strcmp(words[i], "--row") == 0) only = words[i + 1];
    if (strcmp(words[i], "--cases") == 0) plan.cases = number;
    if (strcmp(words[i], "--seed") == 0) plan.seed = number;
    if (strcmp(words[i], "--draws") == 0) plan.draws = (unsigned)number;
    if (strcmp(words[i], "--only") == 0) plan.only = (long long)number;
    if (strcmp(words[i], "--jobs") == 0 && number) plan.workers = (unsigned)number;
    if (strcmp(words[i], "--share") == 0 && number) {
      share = true;
      plan.workers = (unsigned)number;
    }
  }
  /* Memtables come and go with each case: keep their memory, it costs more to get than all the rest. */
  (void)mallopt(M_MMAP_THRESHOLD, 32 << 20);
  (void)mallopt(M_TRIM_THRESHOLD, 1 << 30);
  (void)setvbuf(stdout, NULL, _IOLBF, 0);
  printf("TALLY_SEED=%llu\n", plan.seed);
  int failed = 0;
  for (size_t i = 0; i < ROWS; i++) {
    if (only && strcmp(only, rows[i].name) != 0) continue;
    struct plan p = plan;
    if (!p.cases) p.cases = rows[i].cases;
    counted = (struct tally_count){0, 0};
    if (share) p.worker = (unsigned)(plan.seed % plan.workers);
    failed |= p.workers > 1 && !share ? run_shared(&rows[i], p) : run_row(&rows[i], &p);
  }
  return failed;
}
