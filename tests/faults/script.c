/* script.c - the workload: what a store goes through, step by step, always in the same way. Each step can be
 * run again, after the process or the machine ended in it: it does what was not done. */
#include <stdio.h>
#include <string.h>

#include "faults/world.h"
#include "maintain/restore.h"

/* ------------------------------------------------------------------ ingest */

static void all_durable(struct world *w) {
  for (unsigned b = 0; b < BATCHES; b++)
    if (w->history.fate[b] == WRITTEN) w->history.fate[b] = DURABLE;
}

static void took(struct world *w, unsigned batch, tally_durability durability) {
  uint8_t *fate = &w->history.fate[batch];
  if (durability == TALLY_DISK) {
    *fate = DURABLE;
    all_durable(w); /* one log, synced as a whole */
  } else if (*fate < WRITTEN) {
    *fate = WRITTEN;
  }
}

/* Sends batches in one group. */
static int send(struct world *w, const unsigned *batch, unsigned count, tally_durability durability,
                tally_error *error) {
  tally_append_item item[4] = {0};
  int result = 0;
  for (unsigned i = 0; i < count; i++) {
    batch_bytes(batch[i], &item[i]);
    batch_name(batch[i], &item[i].options);
    item[i].options.durability = durability;
    if (w->history.tried <= batch[i]) w->history.tried = batch[i] + 1;
    if (w->history.fate[batch[i]] == UNSENT) w->history.fate[batch[i]] = SENT;
  }
  tally_append_group(&w->store, item, count);
  for (unsigned i = 0; i < count; i++) {
    if (!item[i].result) took(w, batch[i], durability);
    if (item[i].result && !result) result = item[i].result, *error = item[i].error;
  }
  return result;
}

/* Those of [first, end) that are not acknowledged yet, in groups of up to `most`. */
static int send_all(struct world *w, unsigned first, unsigned end, unsigned most, tally_durability durability,
                    tally_error *error) {
  unsigned group[4], count = 0;
  int result = 0;
  for (unsigned b = first; b < end && !result; b++) {
    enum fate enough = durability == TALLY_DISK ? DURABLE : WRITTEN;
    /* Without a producer a batch that was refused, and may come to light yet, is not sent twice. */
    bool open = w->history.fate[b] < enough && !(w->history.fate[b] != UNSENT && batch_producer(b) < 0);
    if (open) group[count++] = b;
    if (count == most || (count && b + 1 == end)) {
      result = send(w, group, count, durability, error);
      count = 0;
    }
  }
  return result;
}

int resend(struct world *w, tally_error *error) {
  return send_all(w, 0, w->history.tried, 4, TALLY_DISK, error);
}

/* A repeat of the last acknowledged batch of each producer is a duplicate. */
static int repeat(struct world *w, tally_error *error) {
  for (int p = 0; p < PRODUCERS; p++) {
    unsigned b = BATCHES;
    while (b > 0 && (batch_producer(b - 1) != p || w->history.fate[b - 1] < WRITTEN)) b--;
    if (!b--) continue;
    tally_append_item item = {0};
    batch_bytes(b, &item);
    batch_name(b, &item.options);
    tally_append_group(&w->store, &item, 1);
    if (item.result) {
      *error = item.error;
      return item.result;
    }
    check(item.receipt.duplicate, "a repeat of batch %u is a duplicate", b);
    took(w, b, TALLY_DISK);
  }
  return 0;
}

static int flush(struct world *w, tally_error *error) {
  int result = tally_flush(&w->store, error);
  if (!result) all_durable(w);
  return result;
}

static int ingest(struct world *w, unsigned end, unsigned most, tally_durability durability,
                  tally_error *error) {
  return send_all(w, 0, end, most, durability, error);
}

/* ------------------------------------------------------------------ steps */

static int step_make(struct world *w, tally_error *error) { return w->store.db ? 0 : world_open(w, error); }

static int step_written(struct world *w, tally_error *error) {
  int result = ingest(w, 3, 1, TALLY_OS, error);
  return result ? result : ingest(w, 6, 3, TALLY_OS, error);
}

static int step_synced(struct world *w, tally_error *error) {
  int result = tally_sync(&w->store, error);
  if (!result) all_durable(w);
  if (!result) result = ingest(w, 9, 1, TALLY_DISK, error);
  return result ? result : repeat(w, error);
}

static int step_flush(struct world *w, tally_error *error) { return flush(w, error); }

static int step_more(struct world *w, tally_error *error) {
  int result = ingest(w, 11, 1, TALLY_OS, error);
  if (!result) result = ingest(w, 14, 3, TALLY_DISK, error);
  return result ? result : repeat(w, error);
}

static int step_reopen(struct world *w, tally_error *error) {
  int result = w->store.db ? world_close(w, error) : 0;
  return result ? result : world_open(w, error);
}

static int step_segments(struct world *w, tally_error *error) {
  int result = 0;
  for (unsigned end = 16; end <= BEFORE_RETENTION && !result; end += 2) {
    result = ingest(w, end, 2, TALLY_DISK, error);
    if (!result) result = flush(w, error);
  }
  return result;
}

static int step_background(struct world *w, tally_error *error) {
  bool worked = true;
  int result = 0;
  for (int i = 0; i < 8 && worked && !result; i++) result = tally_step(&w->store, &worked, error);
  return result;
}

static int run_job(struct world *w, const char *const *words, size_t count, tally_error *error) {
  tally_cursor *c;
  int result = tally_job_open(&w->store, words, count, &c, error);
  if (result) return result;
  while ((result = tally_cursor_next(c, error)) == TALLY_ROW) {
  }
  tally_cursor_close(c);
  return result;
}

static int step_compact(struct world *w, tally_error *error) {
  static const char *const words[] = {"compact"};
  return run_job(w, words, 1, error);
}

static int tracked(struct world *w, enum job job, const char *const *words, size_t count,
                   tally_error *error) {
  if (w->history.job[job] == NOT_BEGUN) w->history.job[job] = BEGUN;
  int result = run_job(w, words, count, error);
  if (!result) w->history.job[job] = DONE;
  return result;
}

static int backup(struct world *w, enum job job, const char *path, tally_error *error) {
  const char *words[] = {"backup", path};
  struct history now = w->history;
  w->history.job[job] = BEGUN;
  int result = run_job(w, words, 2, error);
  w->history.job[job] = result ? BEGUN : DONE;
  if (!result) w->backed_up = now;
  return result;
}

static int step_backup(struct world *w, tally_error *error) {
  return backup(w, JOB_BACKUP, "/backup", error);
}

static int step_renew(struct world *w, tally_error *error) {
  int result = ingest(w, 26, 1, TALLY_DISK, error);
  if (!result) result = flush(w, error);
  if (!result) result = ingest(w, 28, 2, TALLY_DISK, error);
  return result ? result : step_backup(w, error);
}

static int step_policy(struct world *w, tally_error *error) {
  static const char *const words[] = {"retention", "set", "--archive", "30d",
                                      "--thin",    "60d", "--drop",    "150d"};
  int result = flush(w, error); /* what is dropped does not come again */
  return result ? result : run_job(w, words, 8, error);
}

static int step_retention(struct world *w, tally_error *error) {
  static const char *const words[] = {"retention-apply"};
  return tracked(w, JOB_RETENTION, words, 1, error);
}

static int step_late(struct world *w, tally_error *error) {
  int result = ingest(w, 34, 1, TALLY_DISK, error);
  if (!result) result = flush(w, error);
  return result ? result : step_retention(w, error);
}

/* A user of whom nothing is left was erased by a run that was cut off at its end. */
static int forget(struct world *w, enum job job, const char *word, int user, tally_error *error) {
  const char *words[] = {word, user_text(user)};
  bool again = w->history.job[job] != NOT_BEGUN;
  int result = tracked(w, job, words, 2, error);
  if (result != TALLY_NOT_FOUND || !again) return result;
  w->history.job[job] = DONE;
  return 0;
}

static int step_erase(struct world *w, tally_error *error) {
  return forget(w, JOB_ERASE, "erase", ERASED, error);
}

static int step_pseudonymize(struct world *w, tally_error *error) {
  return forget(w, JOB_PSEUDONYMIZE, "pseudonymize", RENAMED, error);
}

static int step_second_backup(struct world *w, tally_error *error) {
  int result = ingest(w, 36, 1, TALLY_DISK, error);
  return result ? result : backup(w, JOB_SECOND_BACKUP, "/second", error);
}

static int step_restore(struct world *w, tally_error *error) {
  const struct os *os = disk_os(w->disk);
  struct budget budget;
  budget_init(&budget, 64u << 20, NULL);
  struct copier to = {.os = os, .store = "/restored", .budget = &budget};
  int result = cache_new(1u << 20, &budget, &to.cache, error);
  if (result) return result;
  result = restore(&to, "/second", error);
  cache_free(to.cache);
  if (result == TALLY_USAGE && strstr(error->text, "/restored")) result = 0; /* done before it was cut off */
  return result;
}

static int step_query(struct world *w, tally_error *error) {
  static const char *const requests[][2] = {
      {"service_name,user_id", "1d"}, {"endpoint", NULL}, {"metadata.n", NULL}, {NULL, NULL}};
  int result = ingest(w, 38, 1, TALLY_DISK, error);
  for (unsigned i = 0; i < 4 && !result; i++) {
    tally_query q;
    tally_cursor *c;
    tally_query_init(&q);
    q.from = "2024-01-20";
    q.group_by = requests[i][0];
    q.bucket = requests[i][1];
    q.aggregates = "count,sum:cost,p95:tokens_used,distinct:user_id";
    result = tally_query_open(&w->store, &q, &c, error);
    if (result) break;
    while ((result = tally_cursor_next(c, error)) == TALLY_ROW) continue;
    tally_cursor_close(c);
  }
  return result;
}

static int step_verify(struct world *w, tally_error *error) {
  tally_cursor *c;
  int result = tally_verify_open(&w->store, 0, &c, error);
  if (result) return result;
  while ((result = tally_cursor_next(c, error)) == TALLY_ROW) {
    tally_text file = tally_cursor_cell(c, 0), problem = tally_cursor_cell(c, 2);
    (void)file, (void)problem;
  }
  tally_cursor_close(c);
  return result;
}

static int step_last(struct world *w, tally_error *error) {
  int result = ingest(w, 39, 1, TALLY_OS, error);
  if (!result) result = world_close(w, error);
  if (!result) result = world_open(w, error);
  return result ? result : ingest(w, BATCHES, 1, TALLY_DISK, error);
}

const struct step steps[] = {
    {"make", step_make, false},
    {"append, os", step_written, false},
    {"append, disk", step_synced, false},
    {"flush", step_flush, false},
    {"append more", step_more, false},
    {"reopen", step_reopen, false},
    {"append and flush", step_segments, false},
    {"background", step_background, false},
    {"compact", step_compact, false},
    {"backup", step_backup, false},
    {"renew the backup", step_renew, false},
    {"policy", step_policy, false},
    {"retention", step_retention, false},
    {"late events", step_late, false},
    {"erase", step_erase, false},
    {"pseudonymize", step_pseudonymize, false},
    {"second backup", step_second_backup, false},
    {"restore", step_restore, true},
    {"query", step_query, false},
    {"verify", step_verify, false},
    {"close", step_last, false},
};
const unsigned step_count = sizeof steps / sizeof *steps;
