/* micro.c - bench_micro: the hot paths one by one, on one thread, in this process.
 *
 * usage: bench_micro [--rows N] [--json] [FILTER]
 * FILTER: only what begins with it ("csv", "decode: cost"). This file: from CSV text to checked batches. */
#include "bench/micro.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/batch.h"

static volatile uint64_t sink; /* so that nothing is left out as useless */

/* ------------------------------------------------------------------ CSV */

struct csv_bench {
  struct micro *micro;
  struct workload_text text;
  struct csv_layout layout;
  size_t first; /* where the first record starts */
  struct value_options values;
};

static void csv_separators(void *arg) {
  static uint32_t separators[CSV_SEPARATORS];
  struct csv_bench *b = arg;
  csv_index_fn *index = csv_index_best();
  size_t at = b->first;
  while (at < b->text.size) {
    size_t n = index(b->text.data, at, b->text.size, separators, CSV_SEPARATORS);
    size_t keep = n;
    while (keep && b->text.data[separators[keep - 1]] != '\n') keep--; /* it starts at records */
    if (!keep) give_up("no record among the separators", NULL);
    at = separators[keep - 1] + 1;
    sink += keep;
  }
}

static void csv_records(void *arg) {
  struct csv_bench *b = arg;
  struct csv csv;
  struct record record;
  struct problem problem;
  uint64_t rows = 0;
  csv_init(&csv, &b->layout, &b->values, NULL);
  csv_text(&csv, b->text.data, b->text.size, true, b->first);
  while (csv_next(&csv, &record, &problem) == RECORD_ROW) rows++;
  csv_free(&csv);
  if (rows != b->micro->rows) give_up("the CSV's records were not all read", NULL);
}

static void csv_batches(void *arg) {
  struct csv_bench *b = arg;
  struct source_options options = {
      .format = INPUT_CSV, .batch_rows = BENCH_BATCH_ROWS, .values = {.time_unit = 1}};
  const char *path = b->micro->csv;
  struct source source;
  struct problem problem;
  tally_error error;
  struct ingest_batch *batch = batch_new();
  if (!batch || source_init(&source, &options, &path, 1, &error)) give_up("cannot read the CSV", NULL);
  while (source_next(&source, batch, &problem, &error) == SOURCE_BATCH) sink += batch->bytes.size;
  source_free(&source);
  batch_free(batch);
}

static void micro_csv(struct micro *m) {
  static const char *const groups[] = {"csv", NULL};
  if (!report_wants(&m->report, groups)) return;
  struct csv_bench b = {.micro = m, .text = workload_text(m->csv), .values = {.time_unit = 1}};
  struct ignore ignore = {.count = 0};
  struct record header;
  struct problem problem;
  if (csv_header(b.text.data, b.text.size, true, &ignore, &b.layout, &header, &problem) != RECORD_ROW)
    give_up("cannot read the CSV's header", NULL);
  b.first = header.end;
  struct measured what = {"csv: separators", m->rows, b.text.size, &b, NULL, csv_separators};
  report_run(&m->report, &what);
  what.name = "csv: records";
  what.run = csv_records;
  report_run(&m->report, &what);
  what.name = "csv: file to batches";
  what.run = csv_batches;
  report_run(&m->report, &what);
  csv_layout_free(&b.layout);
  mem_free(b.text.data);
}

/* ------------------------------------------------------------------ batches */

struct batch_bench {
  struct micro *micro;
  struct buffer texts;  /* of the events */
  tally_event *event;   /* micro->rows of them */
  tally_batch *builder; /* for adding and finishing */
  struct batch_scratch scratch;
};

/* Copies a text that the reader lent. The buffer does not move: it has room for the whole CSV. */
static tally_text keep_text(struct batch_bench *b, tally_text text) {
  if (!text.data) return text;
  const char *to = (const char *)b->texts.data + b->texts.size;
  buffer_append(&b->texts, text.data, text.size);
  return (tally_text){to, text.size};
}

static void read_events(struct batch_bench *b) {
  struct csv_bench c = {.text = workload_text(b->micro->csv), .values = {.time_unit = 1}};
  struct ignore ignore = {.count = 0};
  struct record record;
  struct problem problem;
  struct csv csv;
  uint64_t rows = 0;
  if (csv_header(c.text.data, c.text.size, true, &ignore, &c.layout, &record, &problem) != RECORD_ROW)
    give_up("cannot read the CSV's header", NULL);
  b->event = mem_zalloc(b->micro->rows, sizeof *b->event);
  if (!b->event || !buffer_reserve(&b->texts, c.text.size)) give_up("no memory for the events", NULL);
  csv_init(&csv, &c.layout, &c.values, NULL);
  csv_text(&csv, c.text.data, c.text.size, true, record.end);
  while (rows < b->micro->rows && csv_next(&csv, &record, &problem) == RECORD_ROW) {
    tally_event *e = &b->event[rows++];
    *e = record.event;
    e->user_id = keep_text(b, e->user_id);
    e->service_name = keep_text(b, e->service_name);
    e->endpoint = keep_text(b, e->endpoint);
    e->method = keep_text(b, e->method);
    e->metadata = keep_text(b, e->metadata);
  }
  csv_free(&csv);
  csv_layout_free(&c.layout);
  mem_free(c.text.data);
}

static void batch_encode(void *arg) {
  struct batch_bench *b = arg;
  tally_error error;
  const void *bytes;
  size_t size;
  for (uint64_t i = 0; i < b->micro->rows;) {
    tally_batch_reset(b->builder);
    for (uint32_t n = 0; n < BENCH_BATCH_ROWS && i < b->micro->rows; n++)
      if (tally_batch_add(b->builder, &b->event[i++], &error)) give_up("cannot add", &error);
    if (tally_batch_finish(b->builder, &bytes, &size, &error)) give_up("cannot finish", &error);
    sink += size;
  }
}

static void batch_checked(void *arg) {
  struct batch_bench *b = arg;
  tally_error error;
  struct batch batch;
  for (size_t i = 0; i < b->micro->batches.count; i++) {
    const struct buffer *bytes = &b->micro->batches.batch[i]->bytes;
    if (batch_open(bytes->data, bytes->size, &b->scratch, &batch, &error) ||
        batch_check(&batch, INT64_MAX, &error))
      give_up("a batch is refused", &error);
    sink += batch.rows;
  }
}

static void micro_batch(struct micro *m) {
  static const char *const groups[] = {"batch", NULL};
  if (!report_wants(&m->report, groups)) return;
  struct batch_bench b = {.micro = m};
  read_events(&b);
  b.builder = tally_batch_new();
  if (!b.builder) give_up("no memory for a builder", NULL);
  struct measured what = {"batch: encode", m->rows, m->batches.bytes, &b, NULL, batch_encode};
  report_run(&m->report, &what);
  what.name = "batch: check";
  what.run = batch_checked;
  report_run(&m->report, &what);
  tally_batch_free(b.builder);
  mem_free(b.event);
  buffer_free(&b.texts);
  batch_scratch_free(&b.scratch);
}

/* ------------------------------------------------------------------ the program */

static void take_arguments(struct micro *m, int argc, char **argv) {
  static const struct option options[] = {
      {"rows", required_argument, NULL, 'r'}, {"json", no_argument, NULL, 'j'}, {0}};
  int option;
  while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
    if (option == 'r') m->rows = strtoull(optarg, NULL, 10);
    if (option == 'j') m->report.json = true;
    if (option == '?') give_up("usage: bench_micro [--rows N] [--json] [FILTER]", NULL);
  }
  if (optind < argc) m->report.filter = argv[optind];
  if (m->rows < 1000 || m->rows > 1000000) give_up("--rows is from 1,000 to 1,000,000", NULL);
}

int main(int argc, char **argv) {
  struct micro m = {.rows = 500000};
  take_arguments(&m, argc, argv);
  mem_keep(1u << 20, 32u << 20); /* as tallyd does with its 256 MiB */
  m.directory = bench_directory();
  m.csv = bench_path(m.directory, "events.csv");
  workload_generate(m.csv, m.rows);
  workload_batches(m.csv, BENCH_BATCH_ROWS, SIZE_MAX, &m.batches);
  report_start(&m.report);
  micro_csv(&m);
  micro_batch(&m);
  micro_store(&m);
  micro_query(&m);
  report_end(&m.report);
  workload_batches_free(&m.batches);
  mem_free(m.csv);
  bench_remove(m.directory);
  return 0;
}
