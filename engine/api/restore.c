/* restore.c - tally_restore of <tally.h>: no store is open yet, so it brings memory and cache of its own. */
#include "maintain/restore.h"
#include "base/status.h"
#include "db/db.h"

#define MEMORY (256ull << 20)
#define CACHE (4u << 20)

int tally_restore(const char *backup, const char *store, tally_error *error) {
  tally_error ignored;
  struct budget budget;
  struct copier to = {.os = os_posix(), .store = store, .budget = &budget};
  if (!error) error = &ignored;
  if (!backup || !*backup || !store || !*store)
    return fail(error, TALLY_USAGE, "a restore goes from a directory to a directory: give both paths");
  budget_init(&budget, MEMORY, NULL);
  int result = cache_new(CACHE, &budget, &to.cache, error);
  if (!result) result = restore(&to, backup, error);
  cache_free(to.cache);
  return result;
}
