/* job.h - what the jobs of <tally.h> share: their table's entries and words. */
#ifndef API_JOB_H
#define API_JOB_H

#include "api/list.h"

struct job {
  const char *name;
  const tally_result_column *columns;
  size_t column_count;
  /* words[0] is the name. */
  int (*run)(struct db *db, const char *const *words, size_t count, struct list *list, tally_error *error);
};

/* Takes the words apart: options that take a value ("--from T" or "--from=T"), flags, and operands. */
struct job_option {
  const char *name;   /* "from" */
  const char **value; /* where its value goes; NULL: a flag */
  bool *flag;
};
/* Operands into operand[0..most); TALLY_USAGE names the word at fault. */
int job_words(const char *const *words, size_t count, const struct job_option *options, size_t option_count,
              const char **operand, size_t most, size_t *operands, tally_error *error);

extern const tally_result_column job_receipt_columns[1], job_found_columns[3];
extern const tally_result_column job_retention_columns[6], job_ages_columns[4];
int job_retention(struct db *db, const char *const *words, size_t count, struct list *list,
                  tally_error *error);
int job_retention_apply(struct db *db, const char *const *words, size_t count, struct list *list,
                        tally_error *error);
int job_erase(struct db *db, const char *const *words, size_t count, struct list *list, tally_error *error);
int job_erase_check(struct db *db, const char *const *words, size_t count, struct list *list,
                    tally_error *error);

#endif
