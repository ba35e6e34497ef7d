/* backup.c - see backup.h. The steps of backup_write, in their order, are the functions of this file. */
#include "maintain/backup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "catalog/catalog.h"
#include "maintain/mark.h"
#include "maintain/target.h"
#include "manifest/manifest.h"
#include "segment/place.h"
#include "wal/writer.h"

struct backup {
  struct copier *to;
  const struct backup_source *source;
  struct backup_report *report;
  struct target target;
  struct manifest *old, *new; /* old: NULL for the first backup of the place */
  uint64_t number;            /* of the new manifest */
  uint64_t *wal;              /* numbers of the new WAL files */
  struct wal_check wal_check;
};

static int diverged(const struct backup *b, const char *what, tally_error *error) {
  return fail(error, TALLY_USAGE,
              "%s in %s is not of this store as it is now: another store's backup is there, or one that this "
              "store's files do not continue: choose another directory",
              what, b->to->store);
}

/* ------------------------------------------------------------------ what is there */

static int open_old(struct backup *b, tally_error *error) {
  const struct os *os = b->to->os;
  const struct target *t = &b->target;
  uint64_t size;
  b->number = 1;
  if (t->restoring || (!t->manifest && !t->marked && t->own))
    return fail(error, TALLY_USAGE, "%s holds other files: choose an empty or a new directory for a backup",
                b->to->store);
  if (!t->manifest) return 0;
  if (!t->marked)
    return fail(error, TALLY_USAGE, "%s is a store, not a backup: choose an empty or a new directory",
                b->to->store);
  int result = manifest_read(os, b->to->store, &b->old, error);
  if (!result) result = mark_read(os, b->to->store, b->old->number, &size, error);
  if (result && result != TALLY_NOT_FOUND)
    return error_where(error, "the backup that is there already cannot be continued");
  if (result || size != b->old->size)
    return fail(error, TALLY_USAGE,
                "%s was opened as a store since the last backup: choose another directory for the next one",
                b->to->store);
  b->number = b->old->number + 2; /* the one between is publish_between's */
  return 0;
}

/* ------------------------------------------------------------------ manifest */

static int sync_place(struct backup *b, tally_error *error) {
  int code = b->to->os->sync_directory(b->to->os, b->to->store);
  return code ? os_fail(error, code, "sync the directory", b->to->store) : 0;
}

/* A copy of the store's manifest under its temporary name, with one edit more: WAL records up to `durable`
 * belong to it, so if they are lost from the backup they are missed. The mark is on the disk before anything
 * else comes into the place, and before the manifest takes its name. */
static int copy_manifest(struct backup *b, uint64_t number, uint64_t durable, struct manifest **copy,
                         tally_error *error) {
  const struct backup_source *from = b->source;
  int result = manifest_copy(b->to->os, from->manifest.file, from->manifest.path, from->manifest.size,
                             b->to->store, number, copy, error);
  if (result) return result;
  struct edit edit = {.state = (*copy)->state};
  edit.state.durable = durable > edit.state.covered ? durable : edit.state.covered;
  if (from->wals && from->wal[from->wals - 1].number >= edit.state.next_wal)
    edit.state.next_wal = from->wal[from->wals - 1].number + 1;
  result = manifest_commit(*copy, &edit, error);
  if (!result) result = mark_write(b->to->os, b->to->store, number, (*copy)->size, error);
  if (!result) result = sync_place(b, error);
  b->report->copied += result == 0;
  b->to->bytes += (*copy)->size;
  return result;
}

/* Between the old state and the new one, whose WAL need not continue the old one's: the new segments alone,
 * which then have all that the old backup has. With them the WAL files may come one by one. */
static int publish_between(struct backup *b, bool *published, tally_error *error) {
  struct manifest *between = NULL;
  int result = copy_manifest(b, b->number - 1, b->new->state.covered, &between, error);
  if (!result) {
    *published = true; /* or perhaps: its name may be on the disk */
    result = manifest_publish(between, error);
  }
  manifest_close(between);
  return result;
}

/* ------------------------------------------------------------------ segments */

static const struct segment_info *find_info(const struct manifest *m, uint64_t id) {
  for (size_t i = 0; m && i < m->segments; i++)
    if (m->segment[i].id == id) return &m->segment[i];
  return NULL;
}

static bool same_segment(const struct segment_info *a, const struct segment_info *b) {
  return a->size == b->size && a->rows == b->rows && memcmp(a->digest, b->digest, sizeof a->digest) == 0;
}

static const struct segment *find_segment(const struct backup_source *s, uint64_t id) {
  for (size_t i = 0; i < s->segments; i++)
    if (s->segment[i]->info.id == id) return s->segment[i];
  return NULL;
}

static bool no_links(int code) {
  return code == EXDEV || code == EPERM || code == EMLINK || code == EOPNOTSUPP || code == ENOSYS ||
         code == ENOENT; /* a job has removed the file, but it is still open */
}

/* A link if the file system gives one, else a copy. */
static int take_segment(struct backup *b, const struct segment *s, tally_error *error) {
  const struct os *os = b->to->os;
  char *from = place_path(b->source->store, &s->info), *to = place_path(b->to->store, &s->info);
  int result = from && to ? 0 : fail_memory(error, "a backup"), code = 0;
  if (!result) {
    (void)os->unlink(os, to); /* what a backup left that did not end */
    code = os->link(os, from, to);
    if (code && !no_links(code)) result = os_fail(error, code, "link", to);
    b->report->linked += code == 0;
  }
  if (!result && code) {
    result = copy_bytes(b->to, segment_file(s), from, s->info.size, to, error);
    b->report->copied += result == 0;
  }
  mem_free(from);
  mem_free(to);
  return result;
}

static int write_segment(struct backup *b, const struct segment_info *info, tally_error *error) {
  const struct segment_info *old = find_info(b->old, info->id);
  const struct segment *s = find_segment(b->source, info->id);
  char name[64];
  segment_name(info, name);
  if (!s || !segment_readable(s) || segment_quarantined(s))
    return fail(error, TALLY_CORRUPT,
                "%s is quarantined, and a backup without it would not be whole: put the file back from an "
                "older backup and run `tally verify`",
                name);
  if (old && !same_segment(old, info)) return diverged(b, name, error);
  if (old) {
    b->report->kept++;
    return copy_check_segment(b->to, info, false, error);
  }
  int result = place_make(b->to->os, b->to->store, info, error);
  if (!result) result = take_segment(b, s, error);
  if (!result) result = place_sync(b->to->os, b->to->store, info, error);
  return result ? result : copy_check_segment(b->to, info, true, error);
}

static int write_segments(struct backup *b, tally_error *error) {
  int result = 0;
  for (size_t i = 0; i < b->new->segments && !result; i++) {
    result = write_segment(b, &b->new->segment[i], error);
    b->report->events += b->new->segment[i].rows;
  }
  return result;
}

/* ------------------------------------------------------------------ catalog */

/* Appends what the store's file has beyond the old backup's, which must be its beginning. */
static int continue_catalog(struct backup *b, struct os_file *file, const char *path, uint64_t end,
                            tally_error *error) {
  const struct os *os = b->to->os;
  const struct backup_file *from = &b->source->catalog;
  uint64_t old = 0, size = 0;
  int code = os->size(os, file, &size), result = code ? os_fail(error, code, "read", path) : 0;
  old = size;
  if (!result) result = catalog_check(os, file, path, b->old->state.texts, &old, b->to->pace, error);
  bool same = true;
  if (!result && old <= end) result = copy_same(b->to, file, from->file, old, &same, error);
  if (!result && (old > end || !same)) return diverged(b, path, error);
  uint8_t piece[4096];
  for (uint64_t at = old; !result && at < end;) {
    size_t want = end - at < sizeof piece ? (size_t)(end - at) : sizeof piece, got = 0;
    code = os->read(os, from->file, piece, want, at, &got);
    if (!code && got == want) code = os->write(os, file, piece, want, at);
    if (code || got < want)
      result = code ? os_fail(error, code, "copy", from->path)
                    : fail_corrupt(error, from->path, at, "catalog to copy is as long as it was");
    at += want;
  }
  if (!result && size > end && (code = os->truncate(os, file, end)) != 0)
    result = os_fail(error, code, "cut", path);
  if (!result && old < end && (code = os->sync(os, file)) != 0) result = os_fail(error, code, "sync", path);
  if (!result) b->to->bytes += end - old;
  return result;
}

static int write_catalog(struct backup *b, tally_error *error) {
  const struct os *os = b->to->os;
  const struct backup_file *from = &b->source->catalog;
  const uint32_t *texts = b->new->state.texts;
  uint64_t end = from->size, before = b->to->bytes, copied;
  struct os_file *file = NULL;
  char *path = mem_path(b->to->store, "catalog");
  int result = path ? catalog_check(os, from->file, from->path, texts, &end, b->to->pace, error)
                    : fail_memory(error, "a backup");
  int code = 0;
  if (!result && !b->old) result = copy_bytes(b->to, from->file, from->path, end, path, error);
  if (!result && (code = os->open(os, path, b->old ? OS_WRITE : OS_READ, &file)) != 0)
    result = os_fail(error, code, "open", path);
  if (!result && b->old) result = continue_catalog(b, file, path, end, error);
  copied = end;
  bool grown = b->to->bytes != before;
  if (!result) result = catalog_check(os, file, path, texts, &copied, b->to->pace, error);
  if (file) os->close(os, file);
  mem_free(path);
  if (!result) ++*(grown ? &b->report->copied : &b->report->kept);
  return result;
}

/* ------------------------------------------------------------------ WAL */

/* A WAL file of the same number in the old backup must be the beginning of the new one: between its renaming
 * and that of the manifest it belongs to the old backup. */
static int continues_old(struct backup *b, const struct backup_file *from, tally_error *error) {
  const struct os *os = b->to->os;
  struct os_file *file = NULL;
  char *path = wal_path(b->to->store, from->number, ".wal");
  uint64_t size = 0;
  bool same = true;
  int result = path ? 0 : fail_memory(error, "a backup"), code = 0;
  if (!result) code = os->open(os, path, OS_READ, &file);
  if (!result && !code) code = os->size(os, file, &size);
  if (code && code != ENOENT) result = os_fail(error, code, "read", path);
  if (!result && !code && size <= from->size) result = copy_same(b->to, file, from->file, size, &same, error);
  if (!result && !code && (size > from->size || !same)) result = diverged(b, path, error);
  if (file) os->close(os, file);
  mem_free(path);
  return result;
}

static int write_wal(struct backup *b, const struct backup_file *from, tally_error *error) {
  int result = b->old ? continues_old(b, from, error) : 0;
  if (result) return result;
  char *path = wal_path(b->to->store, from->number, ".tmp");
  if (!path) return fail_memory(error, "a backup");
  result = copy_bytes(b->to, from->file, from->path, from->size, path, error);
  const struct wal_span all = {from->number, 0, UINT64_MAX};
  if (!result) result = copy_check_wal(b->to, path, &all, &b->wal_check, error);
  mem_free(path);
  b->report->copied += result == 0;
  return result;
}

static int write_wals(struct backup *b, tally_error *error) {
  char *folder = mem_path(b->to->store, "wal");
  b->wal = mem_zalloc(b->source->wals + 1, sizeof *b->wal);
  if (!folder || !b->wal) {
    mem_free(folder);
    return fail_memory(error, "a backup");
  }
  int code = b->to->os->mkdir(b->to->os, folder);
  int result = code && code != EEXIST ? os_fail(error, code, "make the directory", folder) : 0;
  mem_free(folder);
  b->wal_check.next = b->new->state.covered + 1;
  b->wal_check.covered = b->new->state.covered;
  for (size_t i = 0; i < b->source->wals && !result; i++) {
    b->wal[i] = b->source->wal[i].number;
    result = write_wal(b, &b->source->wal[i], error);
  }
  if (!result && b->wal_check.next <= b->new->state.durable)
    result = fail(error, TALLY_CORRUPT,
                  "the WAL of %s ends at record %" PRIu64 ", but records up to %" PRIu64
                  " are durable: run `tally verify`",
                  b->source->store, b->wal_check.next - 1, b->new->state.durable);
  b->report->events += b->wal_check.rows;
  return result;
}

/* In ascending order: at each moment they follow each other. */
static int name_wals(struct backup *b, tally_error *error) {
  const struct os *os = b->to->os;
  int result = 0, code;
  for (size_t i = 0; i < b->source->wals && !result; i++) {
    char *from = wal_path(b->to->store, b->wal[i], ".tmp"), *to = wal_path(b->to->store, b->wal[i], ".wal");
    if (!from || !to)
      result = fail_memory(error, "a backup");
    else if ((code = os->rename(os, from, to)) != 0)
      result = os_fail(error, code, "rename", from);
    mem_free(from);
    mem_free(to);
  }
  char *folder = mem_path(b->to->store, "wal");
  if (!result && !folder) result = fail_memory(error, "a backup");
  if (!result && (code = os->sync_directory(os, folder)) != 0)
    result = os_fail(error, code, "sync the directory", folder);
  mem_free(folder);
  return result;
}

/* ------------------------------------------------------------------ the whole */

/* Names of manifests and marks but the new one's, however many failures there were. */
struct others {
  const struct backup *backup;
  char name[16][48];
  size_t count;
};

static int see_other(void *arg, const char *name) {
  struct others *o = arg;
  char number[17];
  size_t n = strlen(name);
  bool ours = strncmp(name, "MANIFEST-", 9) == 0 || strncmp(name, MARK_PREFIX, strlen(MARK_PREFIX)) == 0;
  (void)snprintf(number, sizeof number, "%016" PRIx64, o->backup->number);
  if (!ours || n >= sizeof o->name[0] || strcmp(strchr(name, '-') + 1, number) == 0 || o->count == 16)
    return 0;
  memcpy(o->name[o->count++], name, n + 1);
  return 0;
}

/* The marks and manifests before the new one; what the store no longer has. */
static void remove_old(struct backup *b) {
  const struct kept keep = {b->new->segment, b->new->segments, b->wal, b->source->wals};
  struct others others = {.backup = b};
  copy_clean(b->to, &keep, &b->report->removed);
  (void)b->to->os->list(b->to->os, b->to->store, see_other, &others);
  for (size_t i = 0; i < others.count; i++) {
    char *path = mem_path(b->to->store, others.name[i]);
    if (path && b->to->os->unlink(b->to->os, path) == 0) b->report->removed++;
    mem_free(path);
  }
}

/* The first backup of a place failed: nothing of it stays. False if something does. */
static bool remove_first(struct backup *b) {
  static const char *const names[] = {"catalog", "segments", "archive", "wal"};
  const struct os *os = b->to->os;
  bool gone = true;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char *path = mem_path(b->to->store, names[i]);
    int code = !path ? ENOMEM : i ? os->rmdir(os, path) : os->unlink(os, path);
    gone = gone && (!code || code == ENOENT);
    mem_free(path);
  }
  return gone;
}

/* What a backup that failed has written and the old one does not need. The mark goes last, when it is on the
 * disk that the rest is gone: as long as there is anything else, it tells the next backup whose it is. */
static void remove_new(struct backup *b) {
  uint64_t *wal = NULL;
  size_t wals = 0;
  uint64_t removed = 0;
  tally_error ignored;
  char *folder = mem_path(b->to->store, "wal");
  bool known = folder && copy_list(b->to->os, folder, ".wal", &wal, &wals, &ignored) == 0;
  const struct kept keep = {b->old ? b->old->segment : NULL, b->old ? b->old->segments : 0, wal, wals};
  if (known) copy_clean(b->to, &keep, &removed);
  bool gone = (b->old || remove_first(b)) && sync_place(b, &ignored) == 0;
  if (b->new) (void)b->to->os->unlink(b->to->os, b->new->path);
  if (gone) mark_remove(b->to->os, b->to->store, b->number);
  mem_free(wal);
  mem_free(folder);
}

static int write_all(struct backup *b, bool *published, tally_error *error) {
  int result = open_old(b, error);
  if (result) return result;
  result = copy_manifest(b, b->number, b->source->last, &b->new, error);
  if (!result) result = write_segments(b, error);
  if (!result) result = write_catalog(b, error);
  if (!result) result = write_wals(b, error);
  if (!result && b->old && b->new->state.covered >= b->old->state.durable)
    result = publish_between(b, published, error);
  if (!result) result = name_wals(b, error);
  if (!result) result = sync_place(b, error); /* the names of catalog and wal/ */
  if (!result) {
    *published = true; /* or perhaps */
    result = manifest_publish(b->new, error);
  }
  if (result && !*published) remove_new(b);
  if (!result) remove_old(b);
  return result;
}

int backup_write(struct copier *to, const struct backup_source *source, struct backup_report *report,
                 tally_error *error) {
  struct backup b = {.to = to, .source = source, .report = report};
  bool published = false;
  *report = (struct backup_report){0};
  int result = target_open(to->os, to->store, "a backup", &b.target, error);
  if (!result) result = write_all(&b, &published, error);
  report->bytes = to->bytes;
  manifest_close(b.old);
  manifest_close(b.new);
  mem_free(b.wal);
  target_close(to->os, &b.target);
  return result;
}
