/* job.c - work on the store's files: words to the job, what it did to rows. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/job.h"
#include "base/mem.h"
#include "base/status.h"

int job_words(const char *const *words, size_t count, const struct job_option *options, size_t option_count,
              const char **operand, size_t most, size_t *operands, tally_error *error) {
  *operands = 0;
  for (size_t i = 1; i < count; i++) {
    const char *word = words[i], *name = word + 2;
    if (word[0] != '-' || word[1] != '-') {
      if (*operands == most) return fail(error, TALLY_USAGE, "%s: unexpected '%.200s'", words[0], word);
      operand[(*operands)++] = word;
      continue;
    }
    size_t size = strcspn(name, "="), o = 0;
    while (o < option_count && (strlen(options[o].name) != size || memcmp(options[o].name, name, size) != 0))
      o++;
    if (o == option_count) return fail(error, TALLY_USAGE, "%s: unknown option %.200s", words[0], word);
    if (options[o].flag) {
      *options[o].flag = true;
    } else if (name[size] == '=') {
      *options[o].value = name + size + 1;
    } else if (i + 1 < count) {
      *options[o].value = words[++i];
    } else {
      return fail(error, TALLY_USAGE, "%s: %s needs a value", words[0], word);
    }
  }
  return 0;
}

static int no_more_words(const char *const *words, size_t count, tally_error *error) {
  return count == 1 ? 0
                    : fail(error, TALLY_USAGE, "%s takes no operand: leave '%s' away", words[0], words[1]);
}

/* ------------------------------------------------------------------ compact */

static const tally_result_column compact_columns[] = {
    {"month", TALLY_TYPE_TEXT}, {"segments_before", TALLY_TYPE_INT}, {"segments_after", TALLY_TYPE_INT},
    {"rows", TALLY_TYPE_INT},   {"bytes_before", TALLY_TYPE_INT},    {"bytes_after", TALLY_TYPE_INT}};

static int merge(void *compaction, struct list *list, tally_error *error) {
  struct rewrite_report report, *r = &report;
  int result = db_compact_next(compaction, r, error);
  if (result != TALLY_ROW) return result;
  char month[16];
  (void)snprintf(month, sizeof month, "%04d-%02d", 1970 + r->month / 12, 1 + r->month % 12);
  list_text(list, month);
  list_number(list, r->inputs);
  list_number(list, r->outputs);
  list_number(list, r->rows);
  list_number(list, r->bytes_before);
  list_number(list, r->bytes_after);
  return TALLY_ROW;
}

static int run_compact(struct db *db, const char *const *words, size_t count, struct list *list,
                       tally_error *error) {
  int result = no_more_words(words, count, error);
  if (result) return result;
  struct db_compaction *compaction = mem_alloc(sizeof *compaction);
  if (!compaction) return fail_memory(error, "a compaction");
  *compaction = db_compact_begin(db);
  list->more = merge;
  list->end = mem_free;
  list->source = compaction;
  return list_refill(list, error);
}

/* ------------------------------------------------------------------ backup */

static const tally_result_column backup_columns[] = {{"name", TALLY_TYPE_TEXT}, {"value", TALLY_TYPE_INT}};

static void put_figure(struct list *list, const char *name, uint64_t value) {
  list_text(list, name);
  list_number(list, value);
}

static int run_backup(struct db *db, const char *const *words, size_t count, struct list *list,
                      tally_error *error) {
  if (count != 2 || !*words[1])
    return fail(error, TALLY_USAGE, "a backup goes into one directory: give its path");
  const struct os *os = db_os(db);
  struct backup_report r;
  int64_t began = os->monotonic(os);
  int result = db_backup(db, words[1], 0, db_interrupted(db), &r, error);
  if (result) return result;
  put_figure(list, "events", r.events);
  put_figure(list, "files_linked", r.linked);
  put_figure(list, "files_copied", r.copied);
  put_figure(list, "files_kept", r.kept);
  put_figure(list, "files_removed", r.removed);
  put_figure(list, "bytes_copied", r.bytes);
  put_figure(list, "duration_us", (uint64_t)(os->monotonic(os) - began));
  return 0;
}

/* ------------------------------------------------------------------ all */

#define JOB(name, columns, run)                                                                              \
  { name, columns, sizeof(columns) / sizeof *(columns), run }

static const struct job jobs[] = {JOB("compact", compact_columns, run_compact),
                                  JOB("erase", job_receipt_columns, job_erase),
                                  JOB("pseudonymize", job_receipt_columns, job_erase),
                                  JOB("erase-check", job_found_columns, job_erase_check),
                                  JOB("retention", job_ages_columns, job_retention),
                                  JOB("retention-apply", job_retention_columns, job_retention_apply),
                                  JOB("backup", backup_columns, run_backup)};

int tally_job_open(tally_store *store, const char *const *words, size_t count, tally_cursor **cursor,
                   tally_error *error) {
  tally_error ignored;
  if (!error) error = &ignored;
  *cursor = NULL;
  if (count == 0) return fail(error, TALLY_USAGE, "a job has a name: give one");
  int interrupted = db_go_on(store->db, error);
  if (interrupted) return interrupted;
  for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
    if (strcmp(jobs[i].name, words[0]) != 0) continue;
    struct list *list;
    tally_cursor *c = cursor_of_list(jobs[i].columns, jobs[i].column_count, &list, error);
    if (!c) return error->code;
    return cursor_finish_list(c, jobs[i].run(store->db, words, count, list, error), cursor, error);
  }
  return fail(error, TALLY_USAGE, "there is no job '%s'", words[0]);
}
