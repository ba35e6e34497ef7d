/* workload.c - the events that everything is measured on; see workload.h. */
#include "bench/workload.h"

#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "bench/report.h"
#include "tools/command.h"

/* ------------------------------------------------------------------ places */

char *bench_path(const char *directory, const char *name) {
  size_t size = strlen(directory) + strlen(name) + 2;
  char *path = mem_alloc(size);
  if (!path) give_up("no memory", NULL);
  (void)snprintf(path, size, "%s/%s", directory, name);
  return path;
}

char *bench_directory(void) {
  const char *base = getenv("TMPDIR");
  char *path = bench_path(base && *base ? base : "/tmp", "tally-bench-XXXXXX");
  if (!mkdtemp(path)) give_up("cannot make a directory below $TMPDIR", NULL);
  return path;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place) {
  (void)status;
  (void)type;
  (void)place;
  return remove(path);
}

void bench_remove(char *directory) {
  if (nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS))
    (void)fprintf(stderr, "bench: %s could not be removed\n", directory);
  mem_free(directory);
}

/* ------------------------------------------------------------------ CSV */

/* The generator writes to its standard output, so it gets a process of its own. */
void workload_generate(const char *path, uint64_t rows) {
  pid_t child = fork();
  if (child < 0) give_up("cannot fork", NULL);
  if (child == 0) {
    char count[24],
        *arguments[] = {"generate", "--rows", count, "--start", "2024-01-02", "--days", "29", NULL};
    struct globals globals = {.quiet = true};
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    (void)snprintf(count, sizeof count, "%" PRIu64, rows);
    if (file < 0 || dup2(file, STDOUT_FILENO) < 0) _exit(1);
    _exit(command_generate(&globals, 7, arguments));
  }
  int status;
  if (waitpid(child, &status, 0) != child || status) give_up("cannot generate the events", NULL);
}

struct workload_text workload_text(const char *path) {
  struct stat status;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0 || fstat(file, &status)) give_up("cannot open the CSV", NULL);
  struct workload_text text = {mem_zalloc((size_t)status.st_size + INGEST_SLACK, 1), 0};
  if (!text.data) give_up("no memory for the CSV", NULL);
  while (text.size < (size_t)status.st_size) {
    ssize_t n = read(file, text.data + text.size, (size_t)status.st_size - text.size);
    if (n <= 0) give_up("cannot read the CSV", NULL);
    text.size += (size_t)n;
  }
  close(file);
  return text;
}

/* ------------------------------------------------------------------ batches */

static void keep(struct workload_batches *w, struct ingest_batch *batch) {
  if ((w->count & (w->count + 1)) == 0) { /* full: it doubles at 2^n - 1 */
    w->batch = mem_realloc_array(w->batch, 2 * w->count + 1, sizeof *w->batch);
    if (!w->batch) give_up("no memory for the batches", NULL);
  }
  buffer_free(&batch->text);
  w->batch[w->count++] = batch;
  w->rows += batch->rows;
  w->bytes += batch->bytes.size;
}

void workload_batches(const char *path, uint32_t batch_rows, size_t most, struct workload_batches *w) {
  struct source_options options = {.format = INPUT_CSV, .batch_rows = batch_rows, .values = {.time_unit = 1}};
  struct source source;
  struct problem problem;
  tally_error error;
  *w = (struct workload_batches){0};
  if (source_init(&source, &options, &path, 1, &error)) give_up("cannot read the CSV", &error);
  while (w->count < most) {
    struct ingest_batch *batch = batch_new();
    if (!batch) give_up("no memory for the batches", NULL);
    enum source_result result = source_next(&source, batch, &problem, &error);
    if (result == SOURCE_BATCH) {
      keep(w, batch);
      continue;
    }
    batch_free(batch);
    if (result == SOURCE_END) break;
    if (result == SOURCE_PROBLEM) give_up(problem.text, NULL);
    give_up("cannot read the CSV", &error);
  }
  source_free(&source);
}

void workload_batches_free(struct workload_batches *w) {
  for (size_t i = 0; i < w->count; i++) batch_free(w->batch[i]);
  mem_free(w->batch);
  *w = (struct workload_batches){0};
}
