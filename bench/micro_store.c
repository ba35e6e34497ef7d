/* micro_store.c - the engine's part of bench_micro: from checked batches to segments, and back to values.
 *
 * Nothing is synced: the table of the system has a sync that does nothing, so that the figures are those of
 * the code. Writing goes to the page cache. */
#include "bench/micro.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/mem.h"
#include "catalog/catalog.h"
#include "maintain/flush.h"
#include "maintain/order.h"
#include "memtable/memtable.h"
#include "segment/segment.h"
#include "wal/writer.h"

#define WAL_GROUP 4 /* batches that are written at once */

struct store_bench {
  struct micro *micro;
  struct os os; /* without sync */
  struct budget budget;
  uint32_t rows;
  struct batch *batch; /* opened, metadata decompressed */
  struct batch_scratch *scratch;
  uint32_t *(*ids)[DOMAINS]; /* of each batch's dictionaries */
  struct catalog *catalog;
  struct wal *wal;
  struct memtable *memtable, *sorted;
  uint32_t *order;
  struct order_scratch order_scratch;
  struct segment_info info;
  struct cache *cache;
  struct segment *segment;
  int column; /* that is decoded */
  int64_t *values;
  _Atomic uint64_t number; /* of the next file */
};

static int no_sync(const struct os *os, struct os_file *file) {
  (void)os;
  (void)file;
  return 0;
}
static int no_sync_directory(const struct os *os, const char *path) {
  (void)os;
  (void)path;
  return 0;
}

/* ------------------------------------------------------------------ catalog */

static void catalog_new(void *arg) {
  static const uint32_t nothing[DOMAINS];
  struct store_bench *b = arg;
  tally_error error;
  char name[32];
  if (b->catalog) catalog_close(b->catalog);
  (void)snprintf(name, sizeof name, "catalog-%d", (int)b->number++);
  char *path = bench_path(b->micro->directory, name);
  if (os_posix()->mkdir(os_posix(), path) ||
      catalog_open(&b->os, path, nothing, &b->budget, &b->catalog, &error))
    give_up("cannot make a catalog", &error);
  mem_free(path);
}

static void intern_all(void *arg) {
  struct store_bench *b = arg;
  tally_error error;
  for (size_t i = 0; i < b->micro->batches.count; i++)
    for (int d = 0; d < DOMAINS; d++) {
      const struct batch_column *c = &b->batch[i].column[domain_column(d)];
      if (catalog_intern(b->catalog, d, c->entries, c->sizes, c->texts, b->ids[i][d], &error))
        give_up("cannot intern", &error);
    }
}

static void micro_catalog(struct store_bench *b) {
  struct measured what = {"catalog: intern, new texts", b->rows, 0, b, catalog_new, intern_all};
  report_run(&b->micro->report, &what);
  catalog_new(b);
  intern_all(b); /* whatever the filter: the memtable needs the ids */
  what.name = "catalog: intern, known texts";
  what.prepare = NULL;
  report_run(&b->micro->report, &what);
}

/* ------------------------------------------------------------------ WAL */

static void wal_new(void *arg) {
  struct store_bench *b = arg;
  tally_error error;
  if (b->wal) wal_close(b->wal);
  if (wal_create(&b->os, b->micro->directory, b->number++, 1, &b->wal, &error) ||
      wal_publish(b->wal, b->micro->directory, &error))
    give_up("cannot make a WAL file", &error);
}

static void wal_append_all(void *arg) {
  struct store_bench *b = arg;
  tally_error error;
  for (size_t i = 0; i < b->micro->batches.count; i++) {
    const struct ingest_batch *batch = b->micro->batches.batch[i];
    struct wal_record record = {.producer = {"bench", 5},
                                .epoch = 1,
                                .producer_sequence = i + 1,
                                .has_fingerprint = true,
                                .batch = batch->bytes.data,
                                .batch_size = batch->bytes.size};
    if (wal_add(b->wal, &record, &error)) give_up("cannot append", &error);
    bool last = i + 1 == b->micro->batches.count;
    if ((i % WAL_GROUP == WAL_GROUP - 1 || last) && wal_write(b->wal, &error))
      give_up("cannot write", &error);
  }
}

static void micro_wal(struct store_bench *b) {
  struct measured what = {"wal: append, no sync", b->rows, b->micro->batches.bytes, b, wal_new,
                          wal_append_all};
  report_run(&b->micro->report, &what);
  if (b->wal) wal_close(b->wal);
}

/* ------------------------------------------------------------------ memtable, order */

static void memtable_empty(void *arg) { memtable_reset(((struct store_bench *)arg)->memtable); }

static void fill_memtable(void *arg) {
  struct store_bench *b = arg;
  for (size_t i = 0; i < b->micro->batches.count; i++) {
    const uint32_t *ids[DOMAINS];
    for (int d = 0; d < DOMAINS; d++) ids[d] = b->ids[i][d];
    memtable_append(b->memtable, &b->batch[i], ids);
  }
  memtable_publish(b->memtable);
}

static void order_all(void *arg) {
  struct store_bench *b = arg;
  order_rows(&b->memtable->rows, b->order, &b->order_scratch);
}

static void micro_rows(struct store_bench *b) {
  struct measured what = {"memtable: append", b->rows, 0, b, memtable_empty, fill_memtable};
  report_run(&b->micro->report, &what);
  memtable_empty(b);
  fill_memtable(b);
  what = (struct measured){"order: sort rows", b->rows, 0, b, NULL, order_all};
  report_run(&b->micro->report, &what);
  order_all(b);
}

/* ------------------------------------------------------------------ segments */

static void flush_all(void *arg) {
  struct store_bench *b = arg;
  tally_error error;
  struct segment_info *infos;
  uint32_t count;
  if (flush_memtable(&b->os, b->micro->directory, b->memtable, b->sorted, &b->number, &b->budget, &infos,
                     &count, &error))
    give_up("cannot flush", &error);
  b->info = infos[0];
  mem_free(infos);
}

static void write_sorted(void *arg) {
  struct store_bench *b = arg;
  tally_error error;
  struct segment_info info = {.id = b->number++, .month = b->info.month};
  if (segment_write(&b->os, b->micro->directory, &b->sorted->rows, &b->budget, &info, &error))
    give_up("cannot write a segment", &error);
}

static void decode_column(void *arg) {
  struct store_bench *b = arg;
  tally_error error;
  uint64_t valid[CHUNK_ROWS / 64];
  bool all_valid;
  for (uint32_t chunk = 0; chunk < b->segment->chunks; chunk++)
    if (segment_values(b->segment, b->column, chunk, 0, segment_chunk_rows(b->segment, chunk), b->values,
                       valid, &all_valid, &error))
      give_up("cannot decode", &error);
}

static void decode_metadata(void *arg) {
  static uint64_t at[CHUNK_ROWS + 1];
  struct store_bench *b = arg;
  tally_error error;
  uint64_t valid[CHUNK_ROWS / 64];
  bool all_valid;
  struct buffer texts = {0};
  struct ints_scratch scratch = {0};
  for (uint32_t chunk = 0; chunk < b->segment->chunks; chunk++) {
    buffer_clear(&texts);
    if (segment_metadata(b->segment, chunk, 0, segment_chunk_rows(b->segment, chunk), &scratch, at, &texts,
                         valid, &all_valid, &error))
      give_up("cannot decode", &error);
  }
  buffer_free(&texts);
  ints_scratch_free(&scratch);
}

static void micro_decode(struct store_bench *b) {
  for (b->column = 0; b->column < COLUMNS; b->column++) {
    char name[64];
    bool metadata = b->column == TALLY_COL_METADATA;
    (void)snprintf(name, sizeof name, "decode: %s", tally_column_name(b->column));
    struct measured what = {name,
                            b->segment->info.rows,
                            metadata ? 0 : 8ull * b->segment->info.rows,
                            b,
                            NULL,
                            metadata ? decode_metadata : decode_column};
    report_run(&b->micro->report, &what);
  }
}

/* The values of a whole segment stay in the cache. */
static void micro_segment(struct store_bench *b) {
  tally_error error;
  struct measured what = {"flush: sort, gather, write", b->rows, 0, b, NULL, flush_all};
  report_run(&b->micro->report, &what);
  flush_all(b); /* leaves the rows of its last segment in `sorted` */
  what = (struct measured){"segment: write", b->sorted->rows.count, 0, b, NULL, write_sorted};
  report_run(&b->micro->report, &what);
  if (cache_new(512u << 20, &b->budget, &b->cache, &error) ||
      segment_open(&b->os, b->micro->directory, &b->info, b->cache, &b->budget, &b->segment, &error))
    give_up("cannot open the segment", &error);
  micro_decode(b);
  segment_unref(b->segment);
  cache_free(b->cache);
}

/* ------------------------------------------------------------------ setting up */

static void *need(void *p) {
  if (!p) give_up("no memory", NULL);
  return p;
}

static uint64_t open_batches(struct store_bench *b) {
  struct workload_batches *w = &b->micro->batches;
  uint64_t metadata = 0;
  tally_error error;
  b->batch = need(mem_zalloc(w->count, sizeof *b->batch));
  b->scratch = need(mem_zalloc(w->count, sizeof *b->scratch));
  b->ids = need(mem_zalloc(w->count, sizeof *b->ids));
  for (size_t i = 0; i < w->count; i++) {
    const struct buffer *bytes = &w->batch[i]->bytes;
    if (batch_open(bytes->data, bytes->size, &b->scratch[i], &b->batch[i], &error))
      give_up("a batch is refused", &error);
    for (int d = 0; d < DOMAINS; d++)
      b->ids[i][d] = need(mem_zalloc(b->batch[i].column[domain_column(d)].entries + 1, sizeof(uint32_t)));
    metadata += b->batch[i].metadata_size;
  }
  return metadata;
}

static void set_up(struct store_bench *b) {
  b->os = *os_posix();
  b->os.sync = no_sync;
  b->os.sync_directory = no_sync_directory;
  budget_init(&b->budget, UINT64_C(8) << 30, NULL);
  for (int i = 0; i < 2; i++) {
    char *path = bench_path(b->micro->directory, i ? "segments" : "wal");
    if (b->os.mkdir(&b->os, path)) give_up("cannot make a directory", NULL);
    mem_free(path);
  }
  uint64_t metadata = open_batches(b);
  b->memtable = need(memtable_new(b->rows, metadata + 64, &b->budget));
  b->sorted = need(memtable_new(b->rows, metadata + 64, &b->budget));
  b->order = need(mem_zalloc(b->rows, sizeof *b->order));
  for (int k = 0; k < 2; k++)
    b->order_scratch.entry[k] = need(mem_zalloc(b->rows, sizeof *b->order_scratch.entry[k]));
  b->values = need(mem_zalloc(CHUNK_ROWS, sizeof *b->values));
}

static void tear_down(struct store_bench *b) {
  memtable_unref(b->memtable);
  memtable_unref(b->sorted);
  catalog_close(b->catalog);
  for (size_t i = 0; i < b->micro->batches.count; i++) {
    for (int d = 0; d < DOMAINS; d++) mem_free(b->ids[i][d]);
    batch_scratch_free(&b->scratch[i]);
  }
  mem_free(b->ids);
  mem_free(b->batch);
  mem_free(b->scratch);
  mem_free(b->order);
  mem_free(b->order_scratch.entry[0]);
  mem_free(b->order_scratch.entry[1]);
  mem_free(b->values);
}

void micro_store(struct micro *m) {
  static const char *const groups[] = {"catalog", "wal",     "memtable", "order",
                                       "flush",   "segment", "decode",   NULL};
  if (!report_wants(&m->report, groups)) return;
  struct store_bench b = {.micro = m, .rows = (uint32_t)m->rows, .number = 1};
  set_up(&b);
  micro_catalog(&b);
  micro_wal(&b);
  micro_rows(&b);
  micro_segment(&b);
  tear_down(&b);
}
