/* query_threads.c - answers do not depend on how parts are spread over threads: the same rows as one part,
 * which one thread reads, and as many parts, which two share; in memtables and in segments. */
#include "query_fixture.h"
#include "sample_rows.h"

#define ROWS 240000u
#define PARTS 6
#define USERS 1201u /* so that a segment has some rows of each user of a service */

/* Row i of the data: every column's values repeat in a cycle of their own. */
static void put_row(struct rows *rows, uint32_t i) {
  uint32_t at = rows->count++;
  rows->timestamp[at] = INT64_C(1704067200000000) + (int64_t)i * 7919000;
  rows->text[0][at] = i % USERS;
  rows->text[1][at] = i % 13;
  rows->text[2][at] = i % 61;
  rows->text[3][at] = i % 3;
  for (int c = 0; c < INT_COLUMNS; c++) {
    const uint32_t k = c == 0 ? i % USERS : c == 1 ? i % USERS / 8 : i; /* sizes of a user and of eight */
    rows->number[c][at] = (int32_t)((k * (uint32_t)(2 * c + 3) % 977 - 100) * (c < 2 ? 2000003u : 1));
    if (k % 7 != (uint32_t)c)
      bitmap_set(rows->valid[c], at);
    else
      rows->number[c][at] = 0;
  }
  if (i % 13 >= 6) { /* services whose costs follow their tokens, all of which are there */
    rows->number[INT_COLUMNS - 1][at] = (int32_t)(i * 11u % 977) - 100;
    bitmap_set(rows->valid[INT_COLUMNS - 1], at);
    rows->cost[at] = rows->number[INT_COLUMNS - 1][at] * INT64_C(1234567);
    bitmap_set(rows->valid[VALID_COST], at);
  } else if (i % 11) {
    rows->cost[at] = (int64_t)(i % 997) * 1234567;
    bitmap_set(rows->valid[VALID_COST], at);
  } else {
    rows->cost[at] = 0;
  }
  char document[64] = "";
  if (i % 4 == 0) snprintf(document, sizeof document, "{\"k\":\"t%u\",\"n\":%u.%u}", i % 401, i % 97, i % 10);
  memcpy(rows->metadata + rows->metadata_at[at], document, strlen(document));
  rows->metadata_at[at + 1] = rows->metadata_at[at] + strlen(document);
  if (i % 4 == 0) bitmap_set(rows->valid[VALID_METADATA], at);
}

static struct snapshot_rows make_part(struct fixture *f, uint32_t first, uint32_t rows, uint32_t step) {
  struct memtable *m = memtable_new(rows, (size_t)rows * 16, &f->store);
  cr_assert(m);
  for (size_t v = 0; v < INT_COLUMNS + 2; v++)
    memset(m->rows.valid[v], 0, bitmap_words(rows) * sizeof(uint64_t));
  m->rows.metadata_at[0] = 0;
  m->rows.count = 0;
  for (uint32_t i = 0; i < rows; i++) put_row(&m->rows, first + i * step);
  return (struct snapshot_rows){m, rows, m->rows.timestamp[0], m->rows.timestamp[rows - 1]};
}

static void intern_all(struct fixture *f) {
  static const uint32_t counts[DOMAINS] = {3000, 12, 60, 2};
  tally_error error;
  for (int d = 0; d < DOMAINS; d++) {
    for (uint32_t i = 1; i <= counts[d]; i++) {
      char text[16];
      uint8_t size[2];
      uint32_t id;
      store16(size, (uint16_t)snprintf(text, sizeof text, "t%u", i * 7 % 10007));
      cr_assert_eq(catalog_intern(f->catalog, d, 1, size, text, &id, &error), 0);
      cr_assert_eq(id, i);
    }
    f->snapshot.ids[d] = counts[d];
  }
}

static const tally_query queries[] = {
    {.aggregates = "count,sum:cost,avg:tokens_used,errors,error_rate,distinct:user_id,p95:duration_ms"},
    {.aggregates =
         "count,count:cost,sum:cost,avg:tokens_used,errors,error_rate,max:timestamp,min:duration_ms"},
    {.group_by = "service_name", .bucket = "1d", .aggregates = "count,sum:cost,p50:cost,distinct:user_id"},
    {.group_by = "service_name", .bucket = "1mo", .aggregates = "count,sum:cost,errors,count:status_code"},
    {.group_by = "service_name,endpoint", .aggregates = "count,p99:duration_ms,max:cost"},
    {.group_by = "user_id,service_name,method", .aggregates = "sum:tokens_used,min:cost,max:timestamp"},
    {.group_by = "user_id,status_code,tokens_used,duration_ms", .aggregates = "count", .limit = 1000},
    {.group_by = "request_size,user_id,response_size",
     .aggregates = "count,sum:cost,avg:tokens_used,errors,min:duration_ms,count:duration_ms,max:timestamp"},
    {.group_by = "metadata.k", .aggregates = "count,sum:metadata.n,distinct:metadata,distinct:metadata.k"},
    {.group_by = "user_id", .aggregates = "sum:cost", .order_by = "sum:cost desc", .limit = 10},
    /* few rows are left of a chunk, and those of several chunks, so of several services, come together */
    {.group_by = "service_name",
     .where = (const char *const[]){"duration_ms < -50"},
     .where_count = 1,
     .aggregates = "count,sum:duration_ms,sum:cost,errors,count:tokens_used,min:request_size,max:timestamp"},
    {.group_by = "service_name",
     .where = (const char *const[]){"duration_ms < -70", "service_name in (t42,t49,t56,t63,t70,t77,t84)"},
     .where_count = 2,
     .bucket = "1mo",
     .aggregates = "sum:duration_ms,sum:cost,avg:tokens_used"},
};

/* Asks everything of the snapshot as it is and compares; without `expected` these are the answers. */
static void ask_all(struct fixture *f, uint32_t flags, char *expected[sizeof queries / sizeof *queries]) {
  for (size_t q = 0; q < sizeof queries / sizeof *queries; q++) {
    tally_query query = queries[q];
    query.flags = flags;
    if (!query.limit) query.limit = TALLY_NO_LIMIT;
    char *got = fixture_query(f, &query);
    cr_expect(!strstr(got, "-limit"), "query %zu: %.300s", q, got);
    if (!expected[q]) {
      expected[q] = got;
      continue;
    }
    cr_expect(strcmp(expected[q], got) == 0, "query %zu, flags %x\n%.300s\n%.300s", q, flags, expected[q],
              got);
    free(got);
  }
}

static void free_all(char *expected[sizeof queries / sizeof *queries]) {
  for (size_t q = 0; q < sizeof queries / sizeof *queries; q++) free(expected[q]);
}

Test(threads, the_same_rows_in_one_part_or_in_many_give_the_same_answer) {
  struct fixture f;
  char *expected[sizeof queries / sizeof *queries] = {NULL};
  fixture_open(&f, 200u << 20);
  intern_all(&f);
  struct snapshot_rows one = make_part(&f, 0, ROWS, 1), many[PARTS];
  for (uint32_t p = 0; p < PARTS; p++) many[p] = make_part(&f, p, ROWS / PARTS, PARTS);
  f.snapshot.memtables = &one;
  f.snapshot.memtable_count = 1;
  ask_all(&f, 0, expected);
  f.snapshot.memtables = many;
  f.snapshot.memtable_count = PARTS;
  ask_all(&f, 0, expected);
  free_all(expected);
  memtable_unref(one.memtable);
  for (uint32_t p = 0; p < PARTS; p++) memtable_unref(many[p].memtable);
  fixture_close(&f);
}

#define SEGMENTS 3
#define JANUARY 648 /* 2024-01 */

static struct segment *make_segment(struct fixture *f, struct cache *cache, uint32_t number) {
  tally_error error;
  struct segment *s = NULL;
  struct segment_info info = {.id = number + 1, .month = JANUARY};
  struct snapshot_rows part = make_part(f, number, ROWS / SEGMENTS, SEGMENTS);
  struct rows sorted;
  sample_sort(&part.memtable->rows, &sorted);
  cr_assert_eq(segment_write(os_posix(), f->directory, &sorted, &f->store, &info, &error), 0, "%s",
               error.text);
  cr_assert_eq(segment_open(os_posix(), f->directory, &info, cache, &f->store, &s, &error), 0);
  sample_free(&sorted);
  memtable_unref(part.memtable);
  return s;
}

/* Rows by service, or by chunk; sums of whole chunks, from values at first and then without; runs, rollups.
 */
Test(threads, the_same_rows_in_segments_give_the_same_answer, .timeout = 120) {
  struct fixture f;
  struct cache *cache;
  struct segment *segments[SEGMENTS];
  tally_error error;
  char *expected[sizeof queries / sizeof *queries] = {NULL};
  fixture_open(&f, 200u << 20);
  intern_all(&f);
  struct snapshot_rows one = make_part(&f, 0, ROWS, 1);
  cr_assert_eq(cache_new(64u << 20, &f.store, &cache, &error), 0);
  f.snapshot.memtables = &one;
  f.snapshot.memtable_count = 1;
  ask_all(&f, 0, expected);
  memtable_unref(one.memtable);
  for (uint32_t i = 0; i < SEGMENTS; i++) segments[i] = make_segment(&f, cache, i);
  f.snapshot.segments = segments;
  f.snapshot.segment_count = SEGMENTS;
  f.snapshot.memtable_count = 0;
  for (int round = 0; round < 2; round++) ask_all(&f, TALLY_NO_ROLLUPS, expected);
  ask_all(&f, 0, expected);
  free_all(expected);
  for (uint32_t i = 0; i < SEGMENTS; i++) segment_unref(segments[i]);
  cache_free(cache);
  fixture_close(&f);
}
