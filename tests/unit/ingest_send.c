/* ingest_send.c - the laws of tools/ingest_source.h and ingest_send.h, over a store in memory: every row is
 * in exactly once, whatever happens on the way. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"
#include "ingest_fake.h"
#include "support/allocations.h"
#include "tools/ingest_send.h"

#define HEADER "timestamp,user_id,cost\n"

/* ------------------------------------------------------------------ inputs */

struct file {
  char path[64];
  FILE *stream;
};

static struct file file_new(void) {
  struct file f = {.path = "/tmp/tally-ingest-XXXXXX"};
  int descriptor = mkstemp(f.path);
  cr_assert(descriptor >= 0);
  f.stream = fdopen(descriptor, "w");
  return f;
}
static void file_done(struct file *f) { cr_assert_eq(fclose(f->stream), 0); }
static void file_remove(struct file *f) { unlink(f->path); }

/* A file of rows with the timestamps from `from` on; every `odd`-th is refused for its cost. */
static struct file file_of(unsigned from, unsigned count, unsigned odd) {
  struct file f = file_new();
  fputs(HEADER, f.stream);
  for (unsigned i = from; i < from + count; i++)
    fprintf(f.stream, "%u,user_%u,%s\n", i, i % 7, odd && i % odd == 0 ? "x" : "0.5");
  file_done(&f);
  return f;
}

/* ------------------------------------------------------------------ runs */

struct run {
  /* options */
  const char *producer;
  uint32_t batch_rows;
  bool skip;
  int64_t retry_for;
  uint64_t stop_after; /* batches; 0: none: as if the process had died there */
  /* what came of it */
  int code;
  enum source_result result;
  tally_error error;
  struct problem problem;
  struct send_counts counts;
  struct send_refusal refusal;
  uint64_t told; /* rows that were skipped because of the store */
};

static struct run run_of(const char *producer, uint32_t batch_rows) {
  return (struct run){.producer = producer, .batch_rows = batch_rows, .retry_for = 5000000};
}

static void tell(void *arg, const struct ingest_batch *batch, const struct problem *problem) {
  struct run *run = arg;
  cr_assert(batch->file && problem->line && *problem->column);
  run->told++;
}

static int loop(struct run *run, struct source *source, struct sender *sender) {
  for (uint64_t batches = 0;; batches++) {
    struct ingest_batch *batch = sender_batch(sender);
    if (run->stop_after && batches == run->stop_after) {
      sender_give_back(sender, batch);
      return 0;
    }
    run->result = source_next(source, batch, &run->problem, &run->error);
    if (run->result != SOURCE_BATCH) {
      sender_give_back(sender, batch);
      return sender_finish(sender, run->result == SOURCE_END, &run->error);
    }
    int code = sender_put(sender, batch, &run->error);
    if (code) return code;
  }
}

static void go(struct run *run, const char *const *paths, size_t count) {
  struct source_options source_options = {
      .batch_rows = run->batch_rows, .skip = run->skip, .values = {.time_unit = 1}};
  struct send_options options = {.producer = run->producer,
                                 .epoch = 3,
                                 .retry_for = run->retry_for,
                                 .source = &source_options,
                                 .skipped = tell,
                                 .arg = run};
  struct source source;
  struct sender sender;
  fake_connect();
  cr_assert_eq(sender_init(&sender, fake_backend(), &options, &run->error), 0);
  cr_assert_eq(source_init(&source, &source_options, paths, count, &run->error), 0);
  run->code = loop(run, &source, &sender);
  run->counts = sender.counts;
  run->refusal = sender.refusal;
  if (run->refusal.file) run->refusal.file = NULL;
  sender_free(&sender);
  source_free(&source);
}

static void go_one(struct run *run, const struct file *file) {
  const char *path = file->path;
  go(run, &path, 1);
}

static void expect_counts(const struct run *run, uint64_t rows, uint64_t batches, uint64_t duplicates,
                          uint64_t skipped) {
  cr_assert_eq(run->code, 0, "%s", run->error.text);
  cr_assert_eq(run->result, SOURCE_END);
  cr_assert(run->counts.rows == rows && run->counts.batches == batches &&
                run->counts.duplicates == duplicates && run->counts.skipped == skipped,
            "%" PRIu64 " rows, %" PRIu64 " batches, %" PRIu64 " duplicates, %" PRIu64 " skipped",
            run->counts.rows, run->counts.batches, run->counts.duplicates, run->counts.skipped);
}

/* Rows [from, to) are in `times` times each. */
static void expect_rows(unsigned from, unsigned to, unsigned times) {
  for (unsigned i = from; i < to; i++)
    cr_assert_eq(fake.times[i], times, "row %u is in %u times", i, fake.times[i]);
}

/* ------------------------------------------------------------------ batches */

static void expect_batch(struct source *s, const char *text, size_t size, uint32_t records, uint64_t sequence,
                         uint64_t line) {
  struct ingest_batch *b = batch_new();
  struct problem problem;
  tally_error error;
  cr_assert_eq(source_next(s, b, &problem, &error), SOURCE_BATCH, "%s", error.text);
  cr_assert_eq(b->end - b->first, size, "%zu bytes", b->end - b->first);
  cr_assert_arr_eq(b->text.data + b->first, text, size);
  struct digest digest = digest_of(text, size, 0);
  cr_assert_arr_eq(b->fingerprint, digest.bytes, 16);
  cr_assert_eq(b->records, records);
  cr_assert_eq(b->sequence, sequence);
  cr_assert_eq(b->line, line);
  batch_free(b);
}

Test(ingest, batches_are_cut_by_rows_and_text_and_never_across_files) {
  struct file a = file_new(), b = file_new(), c = file_new();
  fputs("\xEF\xBB\xBF" HEADER "1,a,\n\n\n2,b,\r\n3,c,\n\n4,d,\n5,e,\n\n", a.stream);
  fputs("{\"timestamp\":6}\n \n{\"timestamp\":7}", b.stream);
  enum { MOST = 2 << 20 };
  static char big[MOST + 100];
  memset(big, 'x', sizeof big);
  /* longer than a batch's text; exactly as long with the row in front; one byte too long with it */
  fprintf(c.stream, "skip_me,timestamp\nshort,8\n%.*s,9\nshort,10\n%.*s,11\nshort,12\n%.*s,13\n14,14", MOST,
          big, MOST - 9 - 4, big, MOST - 9 - 4 + 1, big);
  file_done(&a), file_done(&b), file_done(&c);
  struct source_options options = {.batch_rows = 3, .ignore = {{"skip_me"}, 1}, .values = {.time_unit = 1}};
  const char *paths[] = {a.path, b.path, c.path};
  struct source s;
  tally_error error;
  cr_assert_eq(source_init(&s, &options, paths, 3, &error), 0);
  expect_batch(&s, "1,a,\n\n\n2,b,\r\n3,c,\n", 18, 3, 1, 2);
  expect_batch(&s, "4,d,\n5,e,\n", 10, 2, 2, 8);
  expect_batch(&s, "{\"timestamp\":6}\n \n{\"timestamp\":7}", 33, 2, 3, 1);
  expect_batch(&s, "short,8\n", 8, 1, 4, 2);
  memcpy(big + MOST, ",9\n", 3);
  expect_batch(&s, big, MOST + 3, 1, 5, 3);
  memset(big + MOST, 'x', 3);
  memcpy(big, "short,10\n", 9);
  memcpy(big + MOST - 4, ",11\n", 4);
  expect_batch(&s, big, MOST, 2, 6, 4);
  expect_batch(&s, "short,12\n", 9, 1, 7, 6);
  memset(big, 'x', sizeof big);
  memcpy(big + MOST - 9 - 4 + 1, ",13\n14,14", 9);
  expect_batch(&s, big, MOST - 9 + 1 + 5, 2, 8, 7);
  struct ingest_batch *end = batch_new();
  struct problem problem;
  cr_assert_eq(source_next(&s, end, &problem, &error), SOURCE_END);
  batch_free(end);
  source_free(&s);
  file_remove(&a), file_remove(&b), file_remove(&c);
}

Test(ingest, a_batch_whose_rows_are_all_skipped_has_no_number) {
  struct file f = file_new();
  fputs(HEADER "1,a,\n2,b,x\n3,c,x\n4,d,x\n5,e,\n", f.stream);
  file_done(&f);
  struct source_options options = {.batch_rows = 2, .skip = true, .values = {.time_unit = 1}};
  const char *path = f.path;
  struct source s;
  tally_error error;
  cr_assert_eq(source_init(&s, &options, &path, 1, &error), 0);
  expect_batch(&s, "1,a,\n2,b,x\n", 11, 2, 1, 2);
  expect_batch(&s, "3,c,x\n4,d,x\n", 12, 2, 0, 4);
  expect_batch(&s, "5,e,\n", 5, 1, 2, 6);
  source_free(&s);
  fake_start();
  struct run run = run_of("p", 2);
  run.skip = true;
  go_one(&run, &f);
  expect_counts(&run, 2, 2, 0, 3);
  go_one(&run, &f);
  expect_counts(&run, 0, 0, 2, 3);
  expect_rows(1, 2, 1);
  expect_rows(5, 6, 1);
  file_remove(&f);
}

/* ------------------------------------------------------------------ exactly once */

Test(ingest, every_row_is_in_once_and_a_second_run_adds_none) {
  struct file a = file_of(0, 1000, 0), b = file_of(1000, 777, 0);
  const char *paths[] = {a.path, b.path};
  fake_start();
  struct run run = run_of("p", 100);
  go(&run, paths, 2);
  expect_counts(&run, 1777, 18, 0, 0);
  expect_rows(0, 1777, 1);
  cr_assert_eq(fake.most_under_way, 4);
  uint64_t submissions = fake.submissions;
  go(&run, paths, 2);
  expect_counts(&run, 0, 0, 18, 0);
  expect_rows(0, 1777, 1);
  cr_assert_eq(fake.submissions, submissions + 1); /* the last one, for its fingerprint */
  struct run without = run_of(NULL, 100);
  go(&without, paths, 2);
  expect_counts(&without, 1777, 18, 0, 0);
  expect_rows(0, 1777, 2);
  file_remove(&a), file_remove(&b);
}

Test(ingest, a_run_that_died_is_continued_by_the_same_command) {
  struct file f = file_of(0, 2000, 0);
  for (unsigned died = 1; died <= 21; died++) {
    fake_start();
    struct run run = run_of("p", 100);
    run.stop_after = died;
    go_one(&run, &f);
    uint64_t before = fake.rows, mark = fake.mark;
    run.stop_after = 0;
    go_one(&run, &f);
    expect_counts(&run, 2000 - before, 20 - mark, mark, 0);
    expect_rows(0, 2000, 1);
  }
  file_remove(&f);
}

Test(ingest, lost_connections_lose_and_double_no_row, .timeout = 60) {
  struct file f = file_of(0, 3000, 0);
  for (unsigned round = 0; round < 60; round++) {
    fake_start();
    fake.random += round;
    fake.window = 1 + round % 7;
    fake.lose_before = round % 3 == 0 ? 9 : 0;
    fake.lose_after = round % 3 == 1 ? 9 : round % 3 == 2 ? 4 : 0;
    fake.lose_again = round % 5 == 4 ? 4 : 0;
    fake.unreachable = round % 20 == 1 ? 6 : 0;
    struct run run = run_of("p", 50);
    go_one(&run, &f);
    expect_counts(&run, 3000, 60, 0, 0);
    expect_rows(0, 3000, 1);
    cr_assert(round >= 3 || fake.losses > 0, "nothing was lost in round %u", round);
    go_one(&run, &f); /* also the batch at the mark may be lost on its way */
    expect_counts(&run, 0, 0, 60, 0);
    expect_rows(0, 3000, 1);
  }
  file_remove(&f);
}

Test(ingest, busy_stores_are_asked_again) {
  struct file f = file_of(0, 1000, 0);
  fake_start();
  fake.busy = 20;
  struct run run = run_of("p", 50);
  go_one(&run, &f);
  expect_counts(&run, 1000, 20, 0, 0);
  expect_rows(0, 1000, 1);
  fake_start();
  fake.busy = 20;
  run = run_of(NULL, 50);
  go_one(&run, &f);
  expect_counts(&run, 1000, 20, 0, 0);
  expect_rows(0, 1000, 1);
  file_remove(&f);
}

Test(ingest, a_store_that_stays_away_ends_the_command) {
  struct file f = file_of(0, 1000, 0);
  fake_start();
  fake.lose_after = 6;
  fake.unreachable = 1;
  struct run run = run_of("p", 50);
  run.retry_for = 120000;
  go_one(&run, &f);
  cr_assert_eq(run.code, TALLY_CONNECTION);
  cr_assert(strstr(run.error.text, "--retry-for is over: run the same command again"), "%s", run.error.text);
  uint64_t rows = fake.rows;
  fake.lose_after = fake.unreachable = 0;
  run.retry_for = 5000000;
  go_one(&run, &f);
  expect_counts(&run, 1000 - rows, 20 - rows / 50, rows / 50, 0);
  expect_rows(0, 1000, 1);
  /* without a producer nobody can tell what is in */
  fake_start();
  fake.lose_after = 6;
  run = run_of(NULL, 50);
  go_one(&run, &f);
  cr_assert_eq(run.code, TALLY_CONNECTION);
  cr_assert(strstr(run.error.text, "without --producer nobody can tell"), "%s", run.error.text);
  file_remove(&f);
}

Test(ingest, a_store_that_forgot_what_it_acknowledged_is_found_out) {
  struct file f = file_of(0, 1000, 0);
  fake_start();
  struct run run = run_of("p", 100);
  struct source_options source_options = {.batch_rows = 100, .values = {.time_unit = 1}};
  struct send_options options = {.producer = "p",
                                 .epoch = 3,
                                 .retry_for = 1000000,
                                 .source = &source_options,
                                 .skipped = tell,
                                 .arg = &run};
  struct source source;
  struct sender sender;
  const char *path = f.path;
  cr_assert_eq(sender_init(&sender, fake_backend(), &options, &run.error), 0);
  cr_assert_eq(source_init(&source, &source_options, &path, 1, &run.error), 0);
  int code = 0;
  for (int i = 0; i < 8 && !code; i++) {
    struct ingest_batch *batch = sender_batch(&sender);
    cr_assert_eq(source_next(&source, batch, &run.problem, &run.error), SOURCE_BATCH);
    if (i == 7) {
      fake.mark = 1; /* as after a crash of its machine under durability os */
      fake.lose_before = 1;
    }
    code = sender_put(&sender, batch, &run.error);
  }
  cr_assert_eq(code, TALLY_GAP);
  cr_assert(strstr(run.error.text, "has lost the batches 2 to"), "%s", run.error.text);
  sender_free(&sender);
  source_free(&source);
  file_remove(&f);
}

/* ------------------------------------------------------------------ other inputs */

Test(ingest, another_input_under_the_same_name_is_found_out) {
  struct file a = file_of(0, 1000, 0), other = file_of(5000, 1000, 0), less = file_of(0, 500, 0),
              longer = file_of(5000, 2000, 0);
  fake_start();
  struct run run = run_of("p", 100);
  go_one(&run, &a);
  expect_counts(&run, 1000, 10, 0, 0);
  const struct file *wrong[] = {&other, &less, &longer};
  for (size_t i = 0; i < 3; i++) {
    go_one(&run, wrong[i]);
    cr_assert_eq(run.code, TALLY_CONFLICT, "%zu", i);
    cr_assert(strstr(run.error.text, "one producer name and epoch number one unchanged input"));
    cr_assert(strstr(run.error.text, "another --epoch"));
  }
  run.batch_rows = 99;
  go_one(&run, &a);
  cr_assert_eq(run.code, TALLY_CONFLICT);
  cr_assert_eq(fake.rows, 1000);
  file_remove(&a), file_remove(&other), file_remove(&less), file_remove(&longer);
}

/* ------------------------------------------------------------------ bad rows */

Test(ingest, a_bad_row_stops_and_what_is_in_front_of_its_batch_is_in) {
  struct file f = file_of(1, 1000, 350);
  fake_start();
  struct run run = run_of("p", 100);
  go_one(&run, &f);
  cr_assert_eq(run.code, 0);
  cr_assert_eq(run.result, SOURCE_PROBLEM);
  cr_assert_eq(run.problem.line, 351);
  cr_assert_str_eq(run.problem.column, "cost");
  cr_assert_eq(run.counts.rows, 300);
  expect_rows(1, 301, 1);
  cr_assert_eq(fake.rows, 300);
  file_remove(&f);
}

Test(ingest, rows_that_the_store_refuses_are_skipped_and_the_numbers_stay, .timeout = 60) {
  /* the future in order, backwards, and mixed with bad rows; the past */
  for (unsigned round = 0; round < 8; round++) {
    struct file f = file_new();
    fputs(HEADER, f.stream);
    for (unsigned i = 0; i < 2000; i++) {
      unsigned time = round & 1 ? i : i / 100 * 100 + 99 - i % 100;
      fprintf(f.stream, "%u,u,%s\n", time, round & 2 && i % 50 == 49 ? "x" : "");
    }
    file_done(&f);
    fake_start();
    fake.latest = round & 4 ? 0 : 1949;
    fake.oldest = round & 4 ? 50 : 0;
    struct run run = run_of("p", 100);
    run.skip = true;
    go_one(&run, &f);
    uint64_t bad = round & 2 ? 40 : 0, refused = 50 - (round & 2 ? 1 : 0);
    expect_counts(&run, 2000 - bad - refused, 20, 0, bad + refused);
    cr_assert_eq(run.told, refused);
    cr_assert_leq(fake.submissions, 28, "rows were refused one by one");
    cr_assert_eq(fake.rows, 2000 - bad - refused);
    for (unsigned i = 0; i < 2000; i++) cr_assert_leq(fake.times[i], 1);
    /* a second run, and one at which the store would take them, change nothing */
    for (int again = 0; again < 2; again++) {
      go_one(&run, &f);
      expect_counts(&run, 0, 0, 20, bad);
      fake.latest = fake.oldest = 0;
    }
    /* without a producer, with connections that hold */
    fake.latest = round & 4 ? 0 : 1949;
    fake.oldest = round & 4 ? 50 : 0;
    run = run_of(NULL, 100);
    run.skip = true;
    go_one(&run, &f);
    expect_counts(&run, 2000 - bad - refused, 20, 0, bad + refused);
    file_remove(&f);
  }
}

Test(ingest, refused_rows_and_lost_connections_together, .timeout = 60) {
  struct file f = file_new();
  fputs(HEADER, f.stream);
  for (unsigned i = 0; i < 3000; i++) fprintf(f.stream, "%u,u,\n", i % 10 == 3 ? 100000 + i : i);
  file_done(&f);
  for (unsigned round = 0; round < 20; round++) {
    fake_start();
    fake.random += 1000 + round;
    fake.latest = 99999;
    fake.lose_after = 12;
    fake.busy = round % 2 ? 40 : 0;
    struct run run = run_of("p", 50);
    run.skip = true;
    go_one(&run, &f);
    expect_counts(&run, 2700, 60, 0, 300);
    for (unsigned i = 0; i < 3000; i++) cr_assert_eq(fake.times[i], i % 10 != 3);
  }
  file_remove(&f);
}

Test(ingest, a_row_that_the_store_refuses_is_named_by_its_place) {
  struct file f = file_new();
  fputs("user_id,timestamp\n\"a\n\",1\nb,2\n\nc,3\n\"d\nd\",4\ne,5\n", f.stream);
  file_done(&f);
  for (int named = 0; named < 2; named++) {
    fake_start();
    fake.latest = 3;
    struct run run = run_of(named ? "p" : NULL, 100);
    go_one(&run, &f);
    cr_assert_eq(run.code, TALLY_INVALID_ROW);
    cr_assert(run.refusal.set);
    cr_assert_eq(run.refusal.first_line, 2);
    cr_assert_eq(run.refusal.last_line, 9);
    cr_assert_eq(run.refusal.problem.line, 8); /* where the field is, not where its record starts */
    cr_assert_str_eq(run.refusal.problem.column, "timestamp");
    cr_assert_eq(fake.rows, 0);
  }
  file_remove(&f);
}

Test(ingest, a_batch_of_which_nothing_is_left_may_only_be_the_last_one) {
  struct file f = file_of(0, 400, 0);
  fake_start();
  struct run run = run_of("p", 100);
  run.skip = true;
  fake.latest = 299;
  go_one(&run, &f); /* the last batch */
  expect_counts(&run, 300, 3, 0, 100);
  fake.latest = 0;
  go_one(&run, &f); /* the store takes it by now */
  expect_counts(&run, 100, 1, 3, 0);
  expect_rows(0, 400, 1);
  fake_start();
  fake.oldest = 200; /* the first two */
  go_one(&run, &f);
  cr_assert_eq(run.code, TALLY_INVALID_ROW);
  cr_assert(run.refusal.set);
  cr_assert(strstr(run.refusal.problem.text, "refuses every row from here to line 101, so batch 1 cannot be"),
            "%s", run.refusal.problem.text);
  cr_assert_eq(fake.rows, 0);
  run.producer = NULL; /* without numbers there is no such trouble */
  go_one(&run, &f);
  expect_counts(&run, 200, 2, 0, 200);
  expect_rows(200, 400, 1);
  file_remove(&f);
}

Test(ingest, out_of_memory_is_an_error_and_nothing_else, .timeout = 60) {
  struct file f = file_of(0, 300, 0);
  for (int allowed = 0; allowed < 60; allowed++) {
    fake_start();
    struct run run = run_of("p", 50);
    struct source_options source_options = {.batch_rows = 50, .skip = true, .values = {.time_unit = 1}};
    struct send_options options = {
        .producer = "p", .epoch = 3, .source = &source_options, .skipped = tell, .arg = &run};
    struct source source;
    struct sender sender;
    const char *path = f.path;
    allocations_stop_after(allowed);
    cr_assert_eq(sender_init(&sender, fake_backend(), &options, &run.error), 0);
    if (source_init(&source, &source_options, &path, 1, &run.error) == 0) {
      struct ingest_batch *batch = NULL;
      run.result = SOURCE_BATCH;
      while (run.result == SOURCE_BATCH && (batch = sender_batch(&sender))) {
        run.result = source_next(&source, batch, &run.problem, &run.error);
        if (run.result != SOURCE_BATCH)
          sender_give_back(&sender, batch);
        else if (sender_put(&sender, batch, &run.error))
          run.result = SOURCE_FAILED;
      }
      cr_assert(run.result == SOURCE_END || run.result == SOURCE_FAILED || !batch);
      if (run.result == SOURCE_FAILED) cr_assert_eq(run.error.code, TALLY_NO_MEMORY, "%s", run.error.text);
      if (run.result == SOURCE_END) cr_assert_eq(sender_finish(&sender, true, &run.error), 0);
    }
    allocations_again();
    cr_assert_eq(sender.counts.skipped, 0);
    sender_free(&sender);
    source_free(&source);
    for (unsigned i = 0; i < 300; i++) cr_assert_leq(fake.times[i], 1);
  }
  file_remove(&f);
}
