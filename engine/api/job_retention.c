/* job_retention.c - the job retention: show, set, clear, confirm, apply. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/job.h"
#include "base/status.h"
#include "maintain/policy.h"

const tally_result_column job_retention_columns[6] = {
    {"stage", TALLY_TYPE_TEXT}, {"month", TALLY_TYPE_TEXT},       {"segments", TALLY_TYPE_INT},
    {"rows", TALLY_TYPE_INT},   {"bytes_before", TALLY_TYPE_INT}, {"bytes_after", TALLY_TYPE_TEXT}};
const tally_result_column job_ages_columns[4] = {{"service", TALLY_TYPE_TEXT},
                                                 {"archive", TALLY_TYPE_TEXT},
                                                 {"thin", TALLY_TYPE_TEXT},
                                                 {"drop", TALLY_TYPE_TEXT}};

/* ------------------------------------------------------------------ show, set, clear, confirm */

static int put_ages(void *arg, const char *service, const struct ages *ages) {
  struct list *list = arg;
  char text[24];
  list_text(list, service ? service : "(all others)");
  for (int s = 0; s < STAGES; s++) {
    age_text(ages->age[s], text);
    list_text(list, text);
  }
  return list->cells.failed;
}

static int show(struct db *db, struct list *list, tally_error *error) {
  int64_t guard;
  char text[80];
  int result = db_retention_show(db, put_ages, list, &guard, error);
  if (result || !guard) return result;
  (void)snprintf(text, sizeof text, "(guarded for %" PRId64 " s)", guard);
  list_text(list, text);
  for (int s = 0; s < STAGES; s++) list_text(list, s == STAGE_ARCHIVE ? "goes on" : "waits");
  return 0;
}

struct retention_words {
  const char *verb, *service, *age[STAGES];
};

static int parse(const char *const *words, size_t count, struct retention_words *w, tally_error *error) {
  const struct job_option options[] = {{"service", &w->service, NULL},
                                       {"archive", &w->age[STAGE_ARCHIVE], NULL},
                                       {"thin", &w->age[STAGE_THIN], NULL},
                                       {"drop", &w->age[STAGE_DROP], NULL}};
  size_t operands;
  int result =
      job_words(words, count, options, sizeof options / sizeof *options, &w->verb, 1, &operands, error);
  if (!result && operands == 0) w->verb = "show";
  return result;
}

static int set(struct db *db, const struct retention_words *w, tally_error *error) {
  struct ages ages = {{0}};
  bool any = false;
  for (int s = 0; s < STAGES; s++) {
    if (!w->age[s]) continue;
    any = true;
    int result = age_parse(w->age[s], &ages.age[s], error);
    if (result) return error_where(error, "--%s", stage_name[s]);
  }
  if (!any) return fail(error, TALLY_USAGE, "set what? give --archive, --thin or --drop");
  return db_retention_set(db, w->service, &ages, error);
}

int job_retention(struct db *db, const char *const *words, size_t count, struct list *list,
                  tally_error *error) {
  struct retention_words w = {0};
  int result = parse(words, count, &w, error);
  if (result) return result;
  if (strcmp(w.verb, "set") == 0)
    result = set(db, &w, error);
  else if (strcmp(w.verb, "clear") == 0)
    result = db_retention_set(db, w.service, NULL, error);
  else if (strcmp(w.verb, "confirm") == 0)
    result = db_retention_confirm(db, error);
  else if (strcmp(w.verb, "show") != 0)
    result = fail(error, TALLY_USAGE, "retention: '%.100s' is none of show, set, clear, apply and confirm",
                  w.verb);
  return result ? result : show(db, list, error);
}

/* ------------------------------------------------------------------ apply */

struct applying {
  struct list *list;
  bool dry;
};

static int put_work(void *arg, const struct retention_report *r) {
  struct applying *a = arg;
  char month[16];
  (void)snprintf(month, sizeof month, "%04d-%02d", 1970 + r->month / 12, 1 + r->month % 12);
  list_text(a->list, r->what);
  list_text(a->list, month);
  list_number(a->list, r->segments);
  list_number(a->list, r->rows);
  list_number(a->list, r->bytes_before);
  if (a->dry)
    list_text(a->list, "");
  else
    list_number(a->list, r->bytes_after);
  return a->list->cells.failed;
}

int job_retention_apply(struct db *db, const char *const *words, size_t count, struct list *list,
                        tally_error *error) {
  struct applying a = {.list = list};
  const struct job_option options[] = {{"dry-run", NULL, &a.dry}};
  const char *none = NULL;
  size_t operands;
  int result = job_words(words, count, options, 1, &none, 0, &operands, error);
  return result ? result : db_retention_apply(db, a.dry, put_work, &a, error);
}
