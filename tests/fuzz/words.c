/* words.c - fuzzes the words of jobs: an input is lines, an empty line ends one job and begins the next. The
 * store is a small one; it is a fresh copy for each input behind one whose job was done.
 *
 * Whatever the words are, a job is done or refused with a text; then the store's check finds nothing, and
 * after it was closed and opened again it answers as before. A job that was refused has changed no answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/inside.h"
#include "base/hash.h"
#include "disk/small_store.h"
#include "fuzz/fuzz.h"

#define WORDS 16u
#define JOBS 4u

static struct small_files files;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc;
  (void)argv;
  small_store_files(false, &files);
  return 0;
}

static uint64_t pull(tally_cursor *c) {
  tally_error e = {0};
  uint64_t digest = 0;
  int result;
  while ((result = tally_cursor_next(c, &e)) == TALLY_ROW) {
    uint64_t row = 1;
    for (size_t i = 0; i < tally_cursor_columns(c); i++) {
      tally_text cell = tally_cursor_cell(c, i);
      row = hash_mix(row ^ (cell.data ? hash64(cell.data, cell.size) : 7));
    }
    digest += row;
  }
  require(result == 0 || result == TALLY_NO_RAW_ROWS, "%s", e.text);
  tally_cursor_close(c);
  return digest + (uint64_t)result;
}

/* What the store answers about everything. */
static uint64_t answers(tally_store *s) {
  tally_error e = {0};
  tally_cursor *c;
  tally_query q;
  tally_query_init(&q);
  q.to = "2024-01-10"; /* what is thinned */
  q.group_by = "service_name";
  q.aggregates = "count,errors,sum:tokens_used,sum:cost,max:duration_ms";
  require(tally_query_open(s, &q, &c, &e) == 0, "%s", e.text);
  uint64_t digest = pull(c);
  q.to = NULL;
  q.group_by = "user_id";
  q.aggregates = "count,sum:tokens_used,sum:cost";
  require(tally_query_open(s, &q, &c, &e) == 0, "%s", e.text);
  digest = hash_mix(digest ^ pull(c));
  tally_scan scan;
  tally_scan_init(&scan);
  scan.from = "2024-01-20";
  if (tally_scan_open(s, &scan, &c, &e) == 0) digest = hash_mix(digest ^ pull(c));
  return digest;
}

static void check(tally_store *s) {
  tally_error e = {0};
  tally_cursor *c;
  require(tally_verify_open(s, 0, &c, &e) == 0, "%s", e.text);
  int result = tally_cursor_next(c, &e);
  if (result == TALLY_ROW) {
    tally_text file = tally_cursor_cell(c, 0), problem = tally_cursor_cell(c, 2);
    fuzz_broken(__FILE__, __LINE__, "the check finds %.*s: %.*s", (int)file.size, file.data,
                (int)problem.size, problem.data);
  }
  require(result == 0, "%s", e.text);
  tally_cursor_close(c);
}

/* The store that jobs work on, until one of them was done. */
static struct disk *disk;
static tally_store store;
static uint64_t before;

static void begin(void) {
  tally_error e = {0};
  disk = disk_new(1);
  small_files_put(&files, NULL, disk);
  require(small_store_open(disk, SMALL_STORE, &store.db, &e) == 0, "%s", e.text);
  before = answers(&store);
}

static void end(void) {
  tally_error e = {0};
  check(&store);
  uint64_t then = answers(&store);
  require(db_close(store.db, &e) == 0, "%s", e.text);
  require(small_store_open(disk, SMALL_STORE, &store.db, &e) == 0, "%s", e.text);
  require(answers(&store) == then, "opened again it answers as before");
  require(db_close(store.db, &e) == 0, "%s", e.text);
  disk_free(disk);
  disk = NULL;
}

/* True if the job was done. */
static bool do_job(const char *const *words, size_t count) {
  tally_error e = {0};
  tally_cursor *c;
  const char **exact = malloc(count * sizeof *exact); /* so that a look beyond the last word is seen */
  if (!exact) abort();
  memcpy(exact, words, count * sizeof *exact);
  int result = tally_job_open(&store, exact, count, &c, &e);
  free(exact);
  require(result == 0 || *e.text, "a refusal has a text");
  if (result) {
    require(answers(&store) == before, "a refused job changes no answer");
    return false;
  }
  (void)pull(c);
  before = answers(&store);
  return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *words[WORDS];
  size_t count = 0, jobs = 0;
  bool done = false;
  fuzz_bound(64u << 20, 64, size); /* the store's memory */
  if (!disk) begin();
  for (bool more = true; more && jobs < JOBS;) {
    char *line = fuzz_line(&data, &size);
    more = line != NULL;
    if (line && *line && count < WORDS) {
      words[count++] = line;
      continue;
    }
    free(line);
    if (count) {
      done |= do_job((const char *const *)words, count);
      jobs++;
    }
    while (count) free(words[--count]);
  }
  if (done) end();
  fuzz_unbound();
  return 0;
}
