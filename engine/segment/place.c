/* place.c - names and directories of segment files; see place.h. */
#include "segment/place.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "model/civil.h"

#define MONTHS (8030 * 12) /* 1970 to 9999 */

const char *const segment_folder[SEGMENT_FOLDERS] = {"segments", "archive"};

void segment_name(const struct segment_info *info, char text[64]) {
  int year = 1970 + info->month / 12, month = 1 + info->month % 12;
  (void)snprintf(text, 64, "%s/%04d-%02d/%016" PRIx64 ".seg", segment_folder[info->archived], year, month,
                 info->id);
}

bool place_month(int32_t month, int64_t *first, int64_t *last) {
  if (month < 0 || month >= MONTHS) return false;
  int32_t next = month + 1;
  *first = civil_to_days(1970 + month / 12, 1 + month % 12, 1) * DAY_US;
  *last = civil_to_days(1970 + next / 12, 1 + next % 12, 1) * DAY_US - 1;
  return true;
}

/* store/name, cut at the number of slashes that `levels` of name's three parts need. */
static char *join(const char *store, const struct segment_info *info, int levels) {
  char name[64];
  segment_name(info, name);
  for (char *p = name; *p; p++)
    if (*p == '/' && --levels == 0) *p = '\0';
  return mem_path(store, name);
}

char *place_path(const char *store, const struct segment_info *info) { return join(store, info, 3); }

static int make_directory(const struct os *os, const char *store, const struct segment_info *info, int levels,
                          tally_error *error) {
  char *path = join(store, info, levels);
  if (!path) return fail_memory(error, "the path of a segment");
  int number = os->mkdir(os, path);
  int result = number && number != EEXIST ? os_fail(error, number, "make directory", path) : 0;
  mem_free(path);
  return result;
}

static int sync_directory(const struct os *os, const char *store, const struct segment_info *info, int levels,
                          tally_error *error) {
  char *path = levels ? join(store, info, levels) : mem_strndup(store, strlen(store));
  if (!path) return fail_memory(error, "the path of a segment");
  int number = os->sync_directory(os, path);
  int result = number ? os_fail(error, number, "sync directory", path) : 0;
  mem_free(path);
  return result;
}

/* A directory that is there may have been made by a process that died before it synced the entry, so both
 * parents are synced each time; that is cheap when nothing has changed. */
int place_make(const struct os *os, const char *store, const struct segment_info *info, tally_error *error) {
  for (int levels = 1; levels <= 2; levels++) {
    int result = make_directory(os, store, info, levels, error);
    if (!result) result = sync_directory(os, store, info, levels - 1, error);
    if (result) return result;
  }
  return 0;
}

int place_sync(const struct os *os, const char *store, const struct segment_info *info, tally_error *error) {
  return sync_directory(os, store, info, 2, error);
}

void segment_remove(const struct os *os, const char *store, const struct segment_info *info) {
  char *path = place_path(store, info);
  if (path) (void)os->unlink(os, path);
  mem_free(path);
}

int segment_gone(const struct os *os, const char *store, const struct segment_info *info,
                 tally_error *error) {
  char *path = place_path(store, info);
  if (!path) return fail_memory(error, "the path of a segment");
  int number = os->unlink(os, path);
  int result = number && number != ENOENT ? os_fail(error, number, "remove", path) : 0;
  mem_free(path);
  return result ? result : place_sync(os, store, info, error);
}
