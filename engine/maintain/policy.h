/* policy.h - how long rows are kept, per store and per service, and the file that says so
 * (docs/format/retention.md). */
#ifndef MAINTAIN_POLICY_H
#define MAINTAIN_POLICY_H

#include "base/bytes.h"
#include "os/os.h"

/* Ages in microseconds, multiples of a day; 0: never. What is older is archived, thinned to rollups, gone. */
enum retention_stage { STAGE_ARCHIVE, STAGE_THIN, STAGE_DROP, STAGES };
struct ages {
  int64_t age[STAGES];
};

struct service_ages {
  char service[401]; /* 100 characters */
  struct ages ages;  /* whole: a service with ages of its own takes none of the store's */
};

struct policy {
  struct ages store;
  struct service_ages *service;
  uint32_t services;
  int64_t seen; /* the store's clock when the file was written last; 0: never */
};

extern const char *const stage_name[STAGES]; /* "archive", "thin", "drop" */

bool policy_empty(const struct policy *p);
/* "30d", "12w", "2y" (365 days each), "never": whole days, at least one. TALLY_USAGE. */
int age_parse(const char *text, int64_t *age, tally_error *error);
void age_text(int64_t age, char text[24]);
/* The ages of a service: its own or the store's. */
const struct ages *policy_ages(const struct policy *p, const char *service, size_t size);
/* Sets or (ages NULL) takes away a service's ages; service NULL: the store's. TALLY_USAGE where the stages do
 * not follow each other, TALLY_NOT_FOUND where there is nothing to take away. */
int policy_set(struct policy *p, const char *service, const struct ages *ages, tally_error *error);
int policy_copy(struct policy *to, const struct policy *from, tally_error *error); /* to be freed */
void policy_free(struct policy *p);

/* A store without the file has an empty policy. Written anew, synced and renamed. */
int policy_load(const struct os *os, const char *store, struct policy *p, tally_error *error);
int policy_save(const struct os *os, const char *store, const struct policy *p, tally_error *error);

#endif
