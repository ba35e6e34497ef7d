/* target.c - see target.h. */
#include "maintain/target.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "maintain/mark.h"
#include "manifest/manifest.h"

#define LEVELS 24 /* directories above that are looked at */

/* A directory above that holds a manifest is a store: nothing else belongs into it. */
static int outside_stores(const struct os *os, const char *parent, const char *directory, const char *purpose,
                          tally_error *error) {
  size_t n = strlen(parent);
  char *path = mem_alloc(n + 3 * LEVELS + 1);
  if (!path) return fail_memory(error, purpose);
  memcpy(path, parent, n + 1);
  int result = 0;
  for (int level = 0; level < LEVELS && !result; level++) {
    bool other;
    tally_error ignored;
    if (manifest_exists(os, path, &other, &ignored) == 1)
      result = fail(error, TALLY_USAGE, "%s lies inside a store (%s): choose a directory outside for %s",
                    directory, path, purpose);
    memcpy(path + n, "/..", 4);
    n += 3;
  }
  mem_free(path);
  return result;
}

static int see(void *arg, const char *name) {
  struct target *t = arg;
  size_t n = strlen(name);
  if (strncmp(name, "MANIFEST-", 9) == 0) {
    bool temporary = n > 4 && strcmp(name + n - 4, ".tmp") == 0;
    t->manifest = t->manifest || !temporary;
    t->marked = t->marked || temporary;
  } else if (strncmp(name, MARK_PREFIX, strlen(MARK_PREFIX)) == 0) {
    t->marked = true;
  } else if (strcmp(name, "catalog") == 0 || strcmp(name, "wal") == 0 || strcmp(name, "segments") == 0 ||
             strcmp(name, "archive") == 0 || strcmp(name, "RETENTION") == 0) {
    t->own = true;
  } else if (strcmp(name, RESTORING) == 0) {
    t->restoring = true;
  } else if (strcmp(name, "LOCK") != 0 && strcmp(name, "lost+found") != 0) {
    t->other = true;
  }
  return 0;
}

/* One that is there may be what a call that was cut off made, whose name is not on the disk yet. Who may not
 * read the directory above did not make it. */
static int make(const struct os *os, const char *parent, const char *directory, bool *made,
                tally_error *error) {
  int code = os->mkdir(os, directory);
  *made = code == 0;
  if (code && code != EEXIST) return os_fail(error, code, "make the directory", directory);
  const int synced = os->sync_directory(os, parent);
  return synced && !(code == EEXIST && synced == EACCES)
             ? os_fail(error, synced, "sync the directory", parent)
             : 0;
}

static int take_lock(const struct os *os, const char *directory, struct target *t, tally_error *error) {
  int64_t owner = 0;
  char *path = mem_path(directory, "LOCK");
  if (!path) return fail_memory(error, "a lock");
  int code = os->lock(os, path, &t->lock, &owner), result = 0;
  if (code == EWOULDBLOCK)
    result = fail(error, TALLY_LOCKED, "%s is in use by process %" PRId64 ": choose another directory",
                  directory, owner);
  else if (code)
    result = os_fail(error, code, "lock", path);
  mem_free(path);
  return result;
}

int target_open(const struct os *os, const char *directory, const char *purpose, struct target *t,
                tally_error *error) {
  *t = (struct target){0};
  char *parent = mem_parent(directory);
  int result = parent ? outside_stores(os, parent, directory, purpose, error) : fail_memory(error, purpose);
  if (!result) result = make(os, parent, directory, &t->made, error);
  /* A link may lead from outside into a store. */
  char *above = mem_path(directory, "..");
  if (!result)
    result = above ? outside_stores(os, above, directory, purpose, error) : fail_memory(error, purpose);
  int code = result ? 0 : os->list(os, directory, see, t);
  if (code) result = os_fail(error, code, "list", directory);
  if (!result && t->other)
    result = fail(error, TALLY_USAGE, "%s holds other files: choose an empty or a new directory for %s",
                  directory, purpose);
  if (!result) result = take_lock(os, directory, t, error);
  mem_free(above);
  mem_free(parent);
  if (result && t->made) (void)os->rmdir(os, directory);
  return result;
}

void target_close(const struct os *os, struct target *t) {
  if (t->lock) os->close(os, t->lock);
  t->lock = NULL;
}
