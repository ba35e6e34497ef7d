/* query.c - fuzzes the texts of queries and scans on a small store.
 *
 * An input is lines: flags and limit, from, to, group by, bucket, zone, aggregates or columns, order; the
 * rest are predicates. An empty line is an absent text. Whatever the texts are, the answer is rows or a
 * refusal with a text; the answer from rows alone is the same as with rollups; a predicate more gives no more
 * rows; and the answer is the same when it is asked for again. */
#include <stdio.h>
#include <stdlib.h>

#include "api/inside.h"
#include "base/hash.h"
#include "disk/small_store.h"
#include "fuzz/fuzz.h"

#define LINES 16u

static tally_store store;

/* The disk's own clock stands still: nothing would ever take too long. */
static int64_t real_time(const struct os *os) {
  (void)os;
  return os_posix()->monotonic(os_posix());
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv) {
  struct small_files files;
  static struct os os;
  struct disk *disk = disk_new(1);
  tally_options o;
  tally_error e;
  (void)argc;
  (void)argv;
  small_store_files(false, &files);
  small_files_put(&files, SMALL_STORE, disk);
  small_files_free(&files);
  os = *disk_os(disk);
  os.monotonic = real_time;
  tally_options_init(&o);
  o.manual = true;
  o.memory = 64u << 20;
  if (db_open(&os, SMALL_STORE, &o, &store.db, &e)) abort();
  return 0;
}

/* Rows and their digest, in whatever order they come. */
struct answer {
  int result;
  uint64_t rows, digest;
};

static struct answer pull(tally_cursor *c) {
  struct answer a = {0};
  tally_error e = {0};
  while (a.rows < 5000 && (a.result = tally_cursor_next(c, &e)) == TALLY_ROW) {
    uint64_t row = 1;
    for (size_t i = 0; i < tally_cursor_columns(c); i++) {
      tally_text cell = tally_cursor_cell(c, i);
      row = hash_mix(row ^ (cell.data ? hash64(cell.data, cell.size) : 7));
    }
    a.rows++;
    a.digest += row;
  }
  require(a.result >= 0 || *e.text, "a failure has a text");
  if (a.result == TALLY_ROW) a.result = 0;
  tally_cursor_close(c);
  return a;
}

static struct answer ask(const tally_query *q) {
  tally_cursor *c;
  tally_error e = {0};
  int result = tally_query_open(&store, q, &c, &e);
  require(result == 0 || *e.text, "a refusal has a text");
  return result ? (struct answer){.result = result} : pull(c);
}

static struct answer scan(const tally_scan *s) {
  tally_cursor *c;
  tally_error e = {0};
  int result = tally_scan_open(&store, s, &c, &e);
  require(result == 0 || *e.text, "a refusal has a text");
  return result ? (struct answer){.result = result} : pull(c);
}

static bool of_time(int result) { return result == TALLY_DEADLINE || result == TALLY_MEMORY_LIMIT; }

static void same(struct answer a, struct answer b, const char *what) {
  if (of_time(a.result) || of_time(b.result)) return;
  require(a.result == b.result && a.rows == b.rows && a.digest == b.digest,
          "%s: %d, %llu rows; %d, %llu rows", what, a.result, (unsigned long long)a.rows, b.result,
          (unsigned long long)b.rows);
}

static void fuzz_query(tally_query *q) {
  struct answer a = ask(q);
  if (q->flags & TALLY_EXPLAIN) return;
  same(a, ask(q), "asked again");
  if (a.result || q->flags & (TALLY_NO_ROLLUPS | TALLY_APPROXIMATE)) return;
  q->flags |= TALLY_NO_ROLLUPS;
  struct answer raw = ask(q);
  if (raw.result != TALLY_NO_RAW_ROWS) same(a, raw, "from rows alone");
}

static void fuzz_scan(tally_scan *s) {
  struct answer a = scan(s), b;
  same(a, scan(s), "asked again");
  if (a.result || !s->where_count || s->limit != TALLY_NO_LIMIT) return;
  s->where_count--;
  b = scan(s);
  if (!b.result) require(b.rows >= a.rows, "a predicate gives rows: %llu", (unsigned long long)a.rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *line[LINES] = {NULL};
  size_t n = 0;
  while (n < LINES && (line[n] = fuzz_line(&data, &size)) != NULL) n++;
  const char *text[LINES], *where[LINES];
  for (size_t i = 0; i < LINES; i++) text[i] = line[i] && *line[i] ? line[i] : NULL;
  size_t count = 0;
  for (size_t i = 8; i < n; i++) where[count++] = line[i];
  unsigned flags = 0, limit = 0;
  if (text[0]) (void)sscanf(text[0], "%u %u", &flags, &limit);
  fuzz_bound(32u << 20, 64, size); /* a query's share of the store's least memory */
  if (flags & 0x100) {
    tally_scan s;
    tally_scan_init(&s);
    s = (tally_scan){.from = text[1],
                     .to = text[2],
                     .tz = text[5],
                     .columns = text[6],
                     .where = where,
                     .where_count = count,
                     .flags = flags & (TALLY_ORDER_DESC | TALLY_ORDER_NONE),
                     .limit = limit ? limit : TALLY_NO_LIMIT,
                     .timeout = 300};
    fuzz_scan(&s);
  } else {
    tally_query q;
    tally_query_init(&q);
    q = (tally_query){.from = text[1],
                      .to = text[2],
                      .group_by = text[3],
                      .bucket = text[4],
                      .tz = text[5],
                      .aggregates = text[6],
                      .order_by = text[7],
                      .where = where,
                      .where_count = count,
                      .flags = flags & 15u,
                      .limit = limit ? limit : TALLY_NO_LIMIT,
                      .timeout = 300};
    fuzz_query(&q);
  }
  fuzz_unbound();
  while (n) free(line[--n]);
  return 0;
}
