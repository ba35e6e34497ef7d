/* workload.h - the events that everything is measured on: those of `tally generate`, as CSV and as batches.
 *
 * Everything here gives up (report.h) when it fails. */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include "tools/ingest_source.h"

#define BENCH_BATCH_ROWS 16384u

/* A new directory below $TMPDIR (/tmp); the path is the caller's to free. */
char *bench_directory(void);
/* Removes it with all that is in it, and frees the path. */
void bench_remove(char *directory);
/* "<directory>/<name>"; the caller's to free. */
char *bench_path(const char *directory, const char *name);

/* Writes the CSV of `tally generate --rows <rows> --start 2024-01-02 --days 29` into a new file: the events
 * of one month, so that they make one segment. */
void workload_generate(const char *path, uint64_t rows);

/* A CSV file in memory, with the slack behind it that the readers want. */
struct workload_text {
  char *data;
  size_t size;
};
struct workload_text workload_text(const char *path);

/* The first batches of a CSV file, at most `most`, as `tally ingest --batch-rows` makes them. */
struct workload_batches {
  struct ingest_batch **batch; /* count of them, which keep their bytes but not their text */
  size_t count;
  uint64_t rows, bytes; /* of all */
};
void workload_batches(const char *path, uint32_t batch_rows, size_t most, struct workload_batches *w);
void workload_batches_free(struct workload_batches *w);

#endif
