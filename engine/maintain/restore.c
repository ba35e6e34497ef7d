/* restore.c - see restore.h. */
#include "maintain/restore.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "catalog/catalog.h"
#include "maintain/mark.h"
#include "maintain/target.h"
#include "manifest/manifest.h"
#include "segment/place.h"
#include "wal/writer.h"

struct restore {
  struct copier *to;
  const char *backup;
  struct manifest *manifest; /* of the backup */
  uint64_t wal_end;          /* files from this number on are not the backup's */
  struct os_file *lock;      /* of the backup, where one could be taken */
  struct target target;
};

/* ------------------------------------------------------------------ the backup */

/* A backup that is being written is waited for by its owner, not read half. On a medium that cannot be
 * written there is nobody who does. */
static int lock_backup(struct restore *r, tally_error *error) {
  int64_t owner = 0;
  char *path = mem_path(r->backup, "LOCK");
  if (!path) return fail_memory(error, "a restore");
  int code = r->to->os->lock(r->to->os, path, &r->lock, &owner);
  mem_free(path);
  if (code) r->lock = NULL;
  if (code == EWOULDBLOCK)
    return fail(error, TALLY_LOCKED, "%s is in use by process %" PRId64 ": wait until it has ended",
                r->backup, owner);
  return 0;
}

static int open_backup(struct restore *r, tally_error *error) {
  bool other;
  int exists = manifest_exists(r->to->os, r->backup, &other, error);
  if (exists < 0) return exists;
  if (!exists)
    return fail(error, TALLY_NOT_FOUND, "there is no backup in %s: check the path; `tally backup` makes one",
                r->backup);
  int result = lock_backup(r, error);
  if (!result) result = manifest_read(r->to->os, r->backup, &r->manifest, error);
  return result ? result : mark_wal_end(r->to->os, r->backup, r->manifest, &r->wal_end, error);
}

/* ------------------------------------------------------------------ the target */

static int open_target(struct restore *r, tally_error *error) {
  struct copier *to = r->to;
  int result = target_open(to->os, to->store, "a restored store", &r->target, error);
  if (result) return result;
  const struct target *t = &r->target;
  if (t->manifest || ((t->own || t->marked) && !t->restoring)) {
    /* With both, an earlier restore was cut off behind its last step. */
    const char *text = t->manifest && t->restoring
                           ? "%s has a store that an earlier restore completed, and that may have been used "
                             "since: open it, or choose another directory"
                           : "%s is not empty: restore into an empty or a new directory";
    result = fail(error, TALLY_USAGE, text, to->store);
    target_close(to->os, &r->target);
    return result;
  }
  char *path = mem_path(to->store, RESTORING);
  if (!path) return fail_memory(error, "a restore");
  struct os_file *file = NULL;
  int code = t->restoring ? 0 : to->os->open(to->os, path, OS_CREATE, &file);
  if (!code && file) code = to->os->sync(to->os, file);
  if (!code) code = to->os->sync_directory(to->os, to->store);
  if (file) to->os->close(to->os, file);
  if (code) result = os_fail(error, code, "write", path);
  mem_free(path);
  const struct kept nothing = {0};
  uint64_t removed = 0;
  if (!result && t->restoring) copy_clean(to, &nothing, &removed);
  return result;
}

static void unlink_in(const struct copier *to, const char *name, bool directory) {
  char *path = mem_path(to->store, name);
  if (path) (void)(directory ? to->os->rmdir(to->os, path) : to->os->unlink(to->os, path));
  mem_free(path);
}

static int sync_target(const struct copier *to, tally_error *error) {
  int code = to->os->sync_directory(to->os, to->store);
  return code ? os_fail(error, code, "sync the directory", to->store) : 0;
}

/* Leaves the directory as it was found. The manifest goes first, for without it there is no store, and
 * RESTORING when the rest is gone for certain: a disk that does not say so keeps it, and the next restore
 * begins from nothing. A manifest that cannot be unlinked keeps all that it names.
 */
static void undo(struct restore *r, struct manifest *copy) {
  const struct kept nothing = {0};
  uint64_t removed = 0;
  tally_error ignored;
  const int code = copy ? r->to->os->unlink(r->to->os, copy->path) : 0;
  if ((code && code != ENOENT) || (copy && sync_target(r->to, &ignored))) return;
  copy_clean(r->to, &nothing, &removed);
  for (int i = 0; i < SEGMENT_FOLDERS; i++) unlink_in(r->to, segment_folder[i], true);
  unlink_in(r->to, "wal", true);
  unlink_in(r->to, "catalog", false);
  if (sync_target(r->to, &ignored)) return;
  unlink_in(r->to, RESTORING, false);
  unlink_in(r->to, "LOCK", false);
  if (r->target.made) (void)r->to->os->rmdir(r->to->os, r->to->store);
}

/* ------------------------------------------------------------------ copying */

/* Copies a file, `size` bytes of it (0: all). */
static int copy_file(struct restore *r, const char *from, const char *to, uint64_t size, tally_error *error) {
  const struct os *os = r->to->os;
  struct os_file *file;
  int code = os->open(os, from, OS_READ, &file);
  if (code) return os_fail(error, code, "open", from);
  if (!size) code = os->size(os, file, &size);
  int result = code ? os_fail(error, code, "read", from) : copy_bytes(r->to, file, from, size, to, error);
  os->close(os, file);
  return result;
}

static int copy_segment(struct restore *r, const struct segment_info *info, tally_error *error) {
  char *from = place_path(r->backup, info), *to = place_path(r->to->store, info);
  int result =
      from && to ? place_make(r->to->os, r->to->store, info, error) : fail_memory(error, "a restore");
  if (!result) result = copy_file(r, from, to, info->size, error);
  if (!result) result = place_sync(r->to->os, r->to->store, info, error);
  if (!result && (result = copy_check_segment(r->to, info, true, error)) != 0)
    error_where(error, "copied from %s", from);
  mem_free(from);
  mem_free(to);
  return result;
}

static int check_catalog(struct restore *r, const char *path, uint64_t *end, tally_error *error) {
  const struct os *os = r->to->os;
  struct os_file *file;
  int code = os->open(os, path, OS_READ, &file);
  if (code) return os_fail(error, code, "open", path);
  code = os->size(os, file, end);
  int result = code ? os_fail(error, code, "read", path)
                    : catalog_check(os, file, path, r->manifest->state.texts, end, r->to->pace, error);
  os->close(os, file);
  return result;
}

static int copy_catalog(struct restore *r, tally_error *error) {
  char *from = mem_path(r->backup, "catalog"), *to = mem_path(r->to->store, "catalog");
  uint64_t end = 0, copied = 0;
  int result = from && to ? check_catalog(r, from, &end, error) : fail_memory(error, "a restore");
  if (!result) result = copy_file(r, from, to, end, error);
  if (!result) result = check_catalog(r, to, &copied, error);
  mem_free(from);
  mem_free(to);
  return result;
}

static int copy_wal(struct restore *r, const struct wal_span *span, struct wal_check *check,
                    tally_error *error) {
  char *from = wal_path(r->backup, span->number, ".wal"), *to = wal_path(r->to->store, span->number, ".wal");
  int result = from && to ? copy_file(r, from, to, 0, error) : fail_memory(error, "a restore");
  if (!result && (result = copy_check_wal(r->to, to, span, check, error)) != 0)
    error_where(error, "copied from %s", from);
  mem_free(from);
  mem_free(to);
  return result;
}

/* The log files that have something of this backup: those of others may stand beside them. */
static int copy_own_wals(struct restore *r, const char *folder, struct wal_check *check, tally_error *error) {
  const struct os *os = r->to->os;
  uint64_t *number = NULL;
  size_t count = 0;
  struct wal_span *span = NULL;
  int result = copy_list(os, folder, ".wal", &number, &count, error);
  while (!result && count && number[count - 1] >= r->wal_end) count--;
  if (!result) result = wal_spans(os, r->backup, number, count, &span, error);
  for (size_t i = 0; i < count && !result; i++)
    if (span[i].end > check->next) result = copy_wal(r, &span[i], check, error);
  mem_free(span);
  mem_free(number);
  return result;
}

static int copy_wals(struct restore *r, tally_error *error) {
  const struct store_state *state = &r->manifest->state;
  struct wal_check check = {.next = state->covered + 1, .covered = state->covered};
  const struct os *os = r->to->os;
  char *from = mem_path(r->backup, "wal"), *to = mem_path(r->to->store, "wal");
  int result = from && to ? 0 : fail_memory(error, "a restore");
  int code = result ? 0 : os->mkdir(os, to);
  if (code && code != EEXIST) result = os_fail(error, code, "make the directory", to);
  if (!result) result = copy_own_wals(r, from, &check, error);
  if (!result && (code = os->sync_directory(os, to)) != 0)
    result = os_fail(error, code, "sync the directory", to);
  if (!result && check.next <= state->durable)
    result = fail(error, TALLY_CORRUPT,
                  "the WAL of %s ends at record %" PRIu64 ", but records up to %" PRIu64
                  " belong to it: files are missing from it: take another backup",
                  r->backup, check.next - 1, state->durable);
  mem_free(from);
  mem_free(to);
  return result;
}

/* A store has its folder of segments from the start. */
static int make_segments(struct restore *r, tally_error *error) {
  char *path = mem_path(r->to->store, "segments");
  if (!path) return fail_memory(error, "a restore");
  int code = r->to->os->mkdir(r->to->os, path);
  int result = code && code != EEXIST ? os_fail(error, code, "make the directory", path) : 0;
  mem_free(path);
  return result;
}

static int copy_all(struct restore *r, struct manifest **copy, tally_error *error) {
  struct manifest *m = r->manifest;
  int result = make_segments(r, error);
  for (size_t i = 0; i < m->segments && !result; i++) result = copy_segment(r, &m->segment[i], error);
  if (!result) result = copy_catalog(r, error);
  if (!result) result = copy_wals(r, error);
  if (!result)
    result = manifest_copy(r->to->os, m->file, m->path, m->size, r->to->store, m->number, copy, error);
  if (!result) result = sync_target(r->to, error); /* every name is there before the manifest's */
  return result ? result : manifest_publish(*copy, error);
}

int restore(struct copier *to, const char *backup, tally_error *error) {
  struct restore r = {.to = to, .backup = backup};
  struct manifest *copy = NULL;
  int result = open_backup(&r, error);
  if (!result) result = open_target(&r, error);
  bool opened = r.target.lock != NULL;
  if (!result) result = copy_all(&r, &copy, error);
  if (result && opened) undo(&r, copy);
  if (!result) unlink_in(to, RESTORING, false); /* one that stays does no harm beside a manifest */
  manifest_close(copy);
  manifest_close(r.manifest);
  if (r.lock) to->os->close(to->os, r.lock);
  target_close(to->os, &r.target);
  return result;
}
