/* micro_query.c - the public API in bench_micro: appending, grouping by what people bill by, and the latest
 * events, on a store whose rows lie in segments. Twice: as the planner answers it, and from raw rows alone.
 */
#include "bench/micro.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

struct query_bench {
  struct micro *micro;
  tally_store *store;
  tally_query query;
  unsigned stores; /* made so far */
};

static void append_all(void *arg) {
  struct query_bench *b = arg;
  tally_append_options options = {.durability = TALLY_OS};
  tally_error error;
  for (size_t i = 0; i < b->micro->batches.count; i++) {
    const struct buffer *bytes = &b->micro->batches.batch[i]->bytes;
    if (tally_append(b->store, bytes->data, bytes->size, &options, NULL, &error))
      give_up("cannot append", &error);
  }
}

static void read_rows(tally_cursor *cursor) {
  tally_error error;
  int code;
  while ((code = tally_cursor_next(cursor, &error)) == TALLY_ROW) continue;
  if (code) give_up("a query failed", &error);
  tally_cursor_close(cursor);
}

static void ask(void *arg) {
  struct query_bench *b = arg;
  tally_cursor *cursor;
  tally_error error;
  if (tally_query_open(b->store, &b->query, &cursor, &error)) give_up("cannot ask", &error);
  read_rows(cursor);
}

static void latest(void *arg) {
  struct query_bench *b = arg;
  tally_scan scan;
  tally_cursor *cursor;
  tally_error error;
  tally_scan_init(&scan);
  scan.limit = 100;
  scan.flags = TALLY_ORDER_DESC;
  if (tally_scan_open(b->store, &scan, &cursor, &error)) give_up("cannot ask", &error);
  read_rows(cursor);
}

static const struct {
  const char *name;
  tally_query query;
} queries[] = {
    {"query: totals", {.aggregates = "count,sum:tokens_used,sum:cost"}},
    {"query: by service", {.group_by = "service_name", .aggregates = "count,sum:tokens_used,sum:cost"}},
    {"query: by user", {.group_by = "user_id", .aggregates = "count,sum:tokens_used,sum:cost"}},
    {"query: by service and day",
     {.group_by = "service_name", .bucket = "1d", .aggregates = "count,sum:tokens_used,sum:cost"}},
    {"query: percentiles", {.group_by = "service_name", .aggregates = "p50:duration_ms,p99:duration_ms"}},
    {"query: distinct users", {.aggregates = "distinct:user_id"}},
    {"query: by metadata key", {.group_by = "metadata.region"}},
};
#define QUERIES (sizeof queries / sizeof *queries)

static void ask_all(struct query_bench *b, uint32_t flags, const char *suffix) {
  for (size_t i = 0; i < QUERIES; i++) {
    char name[64];
    (void)snprintf(name, sizeof name, "%s%s", queries[i].name, suffix);
    b->query = queries[i].query;
    b->query.limit = TALLY_NO_LIMIT;
    b->query.flags = flags;
    report_run(&b->micro->report, &(struct measured){name, b->micro->rows, 0, b, ask, ask});
  }
}

static void close_store(struct query_bench *b) {
  tally_error error;
  if (b->store && tally_close(b->store, &error)) give_up("cannot close the store", &error);
  b->store = NULL;
}

/* Nothing is flushed while the rows are appended: there is memory for all of them. */
static void new_store(void *arg) {
  struct query_bench *b = arg;
  tally_options options;
  tally_error error;
  char name[32];
  close_store(b);
  (void)snprintf(name, sizeof name, "store-%u", b->stores++);
  char *path = bench_path(b->micro->directory, name);
  tally_options_init(&options);
  options.create = true;
  options.manual = true;
  options.memory = UINT64_C(2) << 30;
  if (tally_open(path, &options, &b->store, &error)) give_up("cannot open a store", &error);
  mem_free(path);
}

void micro_query(struct micro *m) {
  static const char *const groups[] = {"api", "query", NULL};
  if (!report_wants(&m->report, groups)) return;
  struct query_bench b = {.micro = m};
  tally_error error;
  report_run(&m->report, &(struct measured){"api: append, durability os", m->rows, m->batches.bytes, &b,
                                            new_store, append_all});
  new_store(&b);
  append_all(&b);
  if (tally_flush(b.store, &error)) give_up("cannot flush", &error);
  ask_all(&b, 0, "");
  ask_all(&b, TALLY_NO_ROLLUPS, ", raw");
  report_run(&m->report, &(struct measured){"query: latest 100 events", m->rows, 0, &b, latest, latest});
  close_store(&b);
}
