/* world.c - see world.h. */
#include "faults/world.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct world world_copy(const struct world *w, uint64_t seed) {
  struct world copy = *w;
  copy.disk = disk_copy(w->disk, seed);
  copy.store.db = NULL;
  return copy;
}

void world_crash(struct world *w) {
  tally_error ignored;
  disk_watch(w->disk, NULL, NULL);
  disk_stop(w->disk);
  if (w->store.db) (void)db_close(w->store.db, &ignored);
  w->store.db = NULL;
  disk_restart(w->disk, false);
}

void world_free(struct world *w) {
  world_crash(w);
  disk_free(w->disk);
}

int world_open(struct world *w, tally_error *error) {
  tally_options o;
  tally_options_init(&o);
  o.create = o.manual = true;
  o.memory = 64u << 20;
  int result = db_open(disk_os(w->disk), STORE, &o, &w->store.db, error);
  if (result) w->store.db = NULL;
  return result;
}

int world_close(struct world *w, tally_error *error) {
  int result = db_close(w->store.db, error);
  w->store.db = NULL;
  if (!result)
    for (unsigned b = 0; b < BATCHES; b++)
      if (w->history.fate[b] == WRITTEN) w->history.fate[b] = DURABLE;
  return result;
}

bool world_read_only(struct world *w) {
  tally_cursor *c;
  bool it_is = false;
  if (tally_stats_open(&w->store, &c, NULL)) return false;
  while (tally_cursor_next(c, NULL) == TALLY_ROW) {
    tally_text name = tally_cursor_cell(c, 0);
    it_is = it_is || (name.size == 17 && memcmp(name.data, "read_only_because", 17) == 0);
  }
  tally_cursor_close(c);
  return it_is;
}

/* ------------------------------------------------------------------ cases */

struct tally_count counted;
static sigjmp_buf out;
static char words[300];

void check(bool ok, const char *format, ...) {
  if (ok) return;
  va_list arguments;
  va_start(arguments, format);
  printf("FAILED %s: ", words);
  (void)vprintf(format, arguments);
  va_end(arguments);
  printf("\n");
  (void)fflush(stdout);
  siglongjmp(out, 1);
}

void check_error(int result, const tally_error *error) {
  check(error->code == result, "the error's code is %d, the call's %d", error->code, result);
  const char *cure = strstr(error->text, ": ");
  check(strcmp(tally_error_name(result), "unknown") != 0 && cure && strlen(cure) > 8,
        "an error with what, where and a cure: %s: %s", tally_error_name(result), error->text);
}

static void crashed(int number) {
  char line[400];
  int n = snprintf(line, sizeof line, "FAILED %s: signal %d\n0 passed, 1 failed\n", words, number);
  (void)!write(1, line, (size_t)n);
  _exit(1);
}

bool run_case(void (*run)(void *arg), void *arg, const char *format, ...) {
  static bool prepared;
  if (!prepared) {
    (void)signal(SIGABRT, crashed);
    (void)signal(SIGSEGV, crashed);
    (void)signal(SIGALRM, crashed);
    prepared = true;
  }
  va_list arguments;
  va_start(arguments, format);
  (void)vsnprintf(words, sizeof words, format, arguments);
  va_end(arguments);
  (void)alarm(8); /* it takes some milliseconds; one that waits for what does not come has failed */
  bool ok = sigsetjmp(out, 0) == 0;
  if (ok) run(arg);
  (void)alarm(0);
  counted.passed += ok;
  counted.failed += !ok;
  if (counted.failed > 30) {
    printf("too many failures\n%llu passed, %llu failed\n", counted.passed, counted.failed);
    exit(1);
  }
  return ok;
}
