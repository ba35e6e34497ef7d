/* query_threads.c - answers do not depend on how parts are spread over threads: the same rows as one part,
 * which one thread reads, and as many parts, which two share. */
#include "query_fixture.h"

#define ROWS 240000u
#define PARTS 6

/* Row i of the data: every column's values repeat in a cycle of their own. */
static void put_row(struct rows *rows, uint32_t i) {
  uint32_t at = rows->count++;
  rows->timestamp[at] = INT64_C(1704067200000000) + (int64_t)i * 7919000;
  rows->text[0][at] = i % 3001;
  rows->text[1][at] = i % 13;
  rows->text[2][at] = i % 61;
  rows->text[3][at] = i % 3;
  for (int c = 0; c < INT_COLUMNS; c++) {
    rows->number[c][at] = (int32_t)(i * (uint32_t)(2 * c + 3) % 977) - 100;
    if (i % 7 != (uint32_t)c)
      bitmap_set(rows->valid[c], at);
    else
      rows->number[c][at] = 0;
  }
  rows->cost[at] = i % 11 ? (int64_t)(i % 997) * 1234567 : 0;
  if (i % 11) bitmap_set(rows->valid[VALID_COST], at);
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

Test(threads, the_same_rows_in_one_part_or_in_many_give_the_same_answer) {
  static const tally_query queries[] = {
      {.aggregates = "count,sum:cost,avg:tokens_used,errors,error_rate,distinct:user_id,p95:duration_ms"},
      {.group_by = "service_name", .bucket = "1d", .aggregates = "count,sum:cost,p50:cost,distinct:user_id"},
      {.group_by = "user_id,service_name,method", .aggregates = "sum:tokens_used,min:cost,max:timestamp"},
      {.group_by = "user_id,status_code,tokens_used,duration_ms", .aggregates = "count", .limit = 1000},
      {.group_by = "metadata.k", .aggregates = "count,sum:metadata.n,distinct:metadata,distinct:metadata.k"},
      {.group_by = "user_id", .aggregates = "sum:cost", .order_by = "sum:cost desc", .limit = 10},
  };
  struct fixture f;
  fixture_open(&f, 200u << 20);
  intern_all(&f);
  struct snapshot_rows one = make_part(&f, 0, ROWS, 1), many[PARTS];
  for (uint32_t p = 0; p < PARTS; p++) many[p] = make_part(&f, p, ROWS / PARTS, PARTS);
  for (size_t q = 0; q < sizeof queries / sizeof *queries; q++) {
    tally_query query = queries[q];
    if (!query.limit) query.limit = TALLY_NO_LIMIT;
    f.snapshot.memtables = &one;
    f.snapshot.memtable_count = 1;
    char *expected = fixture_query(&f, &query);
    f.snapshot.memtables = many;
    f.snapshot.memtable_count = PARTS;
    char *got = fixture_query(&f, &query);
    cr_expect(strcmp(expected, got) == 0 && !strstr(got, "-limit"), "query %zu\n%.300s\n%.300s", q, expected,
              got);
    free(expected);
    free(got);
  }
  memtable_unref(one.memtable);
  for (uint32_t p = 0; p < PARTS; p++) memtable_unref(many[p].memtable);
  fixture_close(&f);
}
