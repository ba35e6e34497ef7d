/* small_answers.c - see small_answers.h. */
#include "disk/small_answers.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"

static void pull(int opened, tally_cursor **cursor, struct small_answers *a, int q, tally_error *e) {
  uint64_t row = 1;
  int result = opened;
  tally_cursor *c = *cursor;
  a->digest[q] = 1;
  while (!result && (result = tally_cursor_next(c, e)) == TALLY_ROW) {
    for (size_t i = 0; i < tally_cursor_columns(c); i++) {
      tally_text cell = tally_cursor_cell(c, i);
      row = hash_mix(row ^ (cell.data ? hash64(cell.data, cell.size) : 7));
    }
    result = 0;
  }
  a->digest[q] = row;
  a->result[q] = result;
  (void)snprintf(a->text[q], sizeof a->text[q], "%s", result ? e->text : "");
  if (!opened) tally_cursor_close(c);
}

static void ask(tally_store *s, struct small_answers *a, int q, const char *from, const char *to,
                const char *group, const char *bucket, const char *aggregates, uint32_t flags) {
  tally_query query;
  tally_cursor *c = NULL;
  tally_error e = {0};
  tally_query_init(&query);
  query.from = from;
  query.to = to;
  query.group_by = group;
  query.bucket = bucket;
  query.aggregates = aggregates;
  query.flags = flags;
  pull(tally_query_open(s, &query, &c, &e), &c, a, q, &e);
}

void small_ask(tally_store *s, struct small_answers *a) {
  static const char *const show[] = {"retention", "show"};
  tally_cursor *c = NULL;
  tally_error e = {0};
  tally_scan scan;
  tally_mark mark = {0};
  memset(a, 0, sizeof *a);
  ask(s, a, 0, NULL, "2024-01-10", "service_name,endpoint,method", "1d",
      "count,errors,sum:tokens_used,sum:cost,min:duration_ms,max:duration_ms", 0);
  ask(s, a, 1, NULL, NULL, "user_id", NULL, "count,sum:tokens_used,sum:cost", 0);
  ask(s, a, 2, NULL, "2024-01-10", "service_name", NULL, "p50:duration_ms,count:status_code",
      TALLY_APPROXIMATE);
  ask(s, a, 3, NULL, "2024-01-10", "user_id", "1h", "count,sum:duration_ms", 0);
  ask(s, a, 4, "2024-01-20", NULL, "endpoint,method", "1h",
      "count,avg:duration_ms,p90:cost,min:timestamp,max:timestamp,distinct:user_id", TALLY_NO_ROLLUPS);
  tally_scan_init(&scan);
  scan.from = "2024-01-20";
  pull(tally_scan_open(s, &scan, &c, &e), &c, a, 5, &e);
  a->result[6] = tally_producer_mark(s, "p", 0, &mark, &e);
  a->digest[6] = hash_mix(mark.epoch << 32 ^ mark.sequence);
  pull(tally_job_open(s, show, 2, &c, &e), &c, a, 7, &e);
}

bool small_same(const struct small_answers *a, const struct small_answers *b, int q) {
  return !a->result[q] && a->digest[q] == b->digest[q];
}
bool small_all_same(const struct small_answers *a, const struct small_answers *b) {
  for (int q = 0; q < SMALL_QUESTIONS; q++)
    if (!small_same(a, b, q)) return false;
  return true;
}
