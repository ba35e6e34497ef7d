/* threads.h - what the parts of store_threads share. */
#ifndef THREADS_THREADS_H
#define THREADS_THREADS_H

#include <stdbool.h>

/* Counts a check that holds; ends the program at one that does not. */
void check(bool ok, const char *what, const char *detail);
void clean_up(const char *path); /* removes a directory */

/* jobs.c: every job by threads of its own, beside ingest and queries. */
void run_jobs(unsigned seconds);

#endif
