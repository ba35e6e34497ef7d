/* micro.h - what the files of bench_micro share. */
#ifndef BENCH_MICRO_H
#define BENCH_MICRO_H

#include "bench/report.h"
#include "bench/workload.h"

struct micro {
  struct report report;
  uint64_t rows;
  char *directory; /* for files; removed at the end */
  char *csv;       /* path of the events' CSV */
  struct workload_batches batches;
};

/* From batches to rows in memory, segments and answers (micro_store.c). */
void micro_store(struct micro *m);
/* The public query API on a store of the same events (micro_query.c). */
void micro_query(struct micro *m);

#endif
