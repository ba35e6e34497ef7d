/* embed.c - the engine inside a program: append two events, exactly once, and ask who used what.
 *
 *   cc embed.c $(pkg-config --cflags --libs tally) -o embed && ./embed /tmp/usage
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tally.h>

static tally_text text(const char *s) {
  tally_text t = {s, strlen(s)};
  return t;
}

static void must(int result, const tally_error *error) {
  if (result >= 0) return;
  fprintf(stderr, "%s: %s\n", tally_error_name(result), error->text);
  exit(1);
}

/* One batch of two events; number `sequence` of the producer "embed". Running the program again sends it
 * again: it counts once. */
static void append(tally_store *store, uint64_t sequence) {
  tally_error error;
  tally_batch *batch = tally_batch_new();
  if (!batch) exit(1);
  for (int i = 0; i < 2; i++) {
    tally_event event = {0};
    event.timestamp = INT64_C(1704067200000000) + i * INT64_C(3600000000); /* 2024-01-01, one hour apart */
    event.user_id = text(i ? "bob" : "ann");
    event.service_name = text("chat");
    event.metadata = text("{\"model\":\"small\"}");
    event.tokens_used = 1200;
    event.cost = 2400000; /* 0.0024 */
    event.present = 1u << TALLY_COL_TOKENS_USED | 1u << TALLY_COL_COST;
    must(tally_batch_add(batch, &event, &error), &error);
  }
  const void *bytes;
  size_t size;
  must(tally_batch_finish(batch, &bytes, &size, &error), &error);
  tally_append_options options = {0};
  options.producer = "embed";
  options.epoch = 1;
  options.sequence = sequence;
  tally_receipt receipt;
  must(tally_append(store, bytes, size, &options, &receipt, &error), &error);
  printf("batch %d: %s\n", (int)sequence, receipt.duplicate ? "was in already" : "is in");
  tally_batch_free(batch);
}

static void print(tally_store *store) {
  tally_error error;
  tally_query query;
  tally_query_init(&query);
  query.from = "2024-01-01";
  query.to = "2024-02-01";
  query.group_by = "user_id";
  query.aggregates = "count,sum:tokens_used,sum:cost";
  tally_cursor *cursor;
  must(tally_query_open(store, &query, &cursor, &error), &error);
  int result;
  while ((result = tally_cursor_next(cursor, &error)) == TALLY_ROW)
    for (size_t i = 0, n = tally_cursor_columns(cursor); i < n; i++) {
      tally_text cell = tally_cursor_cell(cursor, i);
      printf("%.*s%c", (int)cell.size, cell.data ? cell.data : "", i + 1 < n ? '\t' : '\n');
    }
  must(result, &error);
  tally_cursor_close(cursor);
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
    return 2;
  }
  tally_error error;
  tally_options options;
  tally_options_init(&options);
  options.create = true;
  tally_store *store;
  must(tally_open(argv[1], &options, &store, &error), &error);
  append(store, 1);
  append(store, 2);
  print(store);
  must(tally_close(store, &error), &error);
  return 0;
}
