/* backup.c - pins a running store for a backup: for a moment nothing is appended or published, and the
 * version, the manifest's and the WAL's ends are noted and their files opened. The copying goes on beside
 * ingest. */
#include <errno.h>

#include "base/mem.h"
#include "base/status.h"
#include "db/inside.h"
#include "maintain/backup.h"

struct pin {
  struct backup_source source;
  struct version *version;
};

static int open_file(struct db *db, struct backup_file *f, tally_error *error) {
  if (!f->path) return fail_memory(error, "a backup");
  int code = db->os->open(db->os, f->path, OS_READ, &f->file);
  if (!code && !f->size) code = db->os->size(db->os, f->file, &f->size);
  return code ? os_fail(error, code, "open", f->path) : 0;
}

/* A file that is not there any more was dropped because a published flush covers it. */
static int pin_wals(struct db *db, struct pin *p, tally_error *error) {
  struct wal_files files;
  int result = wal_files_list(db, &files, error);
  if (!result && !(p->source.wal = mem_zalloc(files.count + 1, sizeof *p->source.wal)))
    result = fail_memory(error, "a backup");
  for (size_t i = 0; i < files.count && !result; i++) {
    struct backup_file *f = &p->source.wal[p->source.wals];
    *f = (struct backup_file){.path = wal_path(db->path, files.file[i].number, ".wal"),
                              .number = files.file[i].number,
                              .size = files.file[i].size};
    result = open_file(db, f, error);
    if (result == TALLY_NOT_FOUND && !files.file[i].active) {
      result = 0;
      mem_free(f->path);
    } else {
      p->source.wals++;
    }
  }
  p->source.last = db->wal->written;
  wal_files_free(&files);
  return result;
}

/* Writer's role and `publishing` are held. */
static int pin_files(struct db *db, struct pin *p, tally_error *error) {
  struct manifest *m = db->manifest;
  os_lock(&db->manifest_lock);
  p->source.manifest = (struct backup_file){
      .path = mem_strndup(m->path, strlen(m->path)), .number = m->number, .size = m->size};
  int result = open_file(db, &p->source.manifest, error);
  os_unlock(&db->manifest_lock);
  p->source.catalog =
      (struct backup_file){.path = mem_path(db->path, "catalog"), .size = catalog_file_size(db->catalog)};
  if (!result) result = open_file(db, &p->source.catalog, error);
  if (!result) result = pin_wals(db, p, error);
  os_lock(&db->lock);
  p->version = db->version;
  p->version->references++;
  os_unlock(&db->lock);
  p->source.segment = p->version->segment;
  p->source.segments = p->version->count;
  return result;
}

static int pin(struct db *db, struct pin *p, tally_error *error) {
  *p = (struct pin){.source.store = db->path};
  writer_enter(db);
  os_lock(&db->publishing);
  int result = db->wal ? pin_files(db, p, error)
                       : fail(error, TALLY_READ_ONLY,
                              "the store was opened read-only: open it for writing to back it up");
  os_unlock(&db->publishing);
  writer_leave(db);
  return result;
}

static void close_file(struct db *db, struct backup_file *f) {
  if (f->file) db->os->close(db->os, f->file);
  mem_free(f->path);
}

static void unpin(struct db *db, struct pin *p) {
  close_file(db, &p->source.manifest);
  close_file(db, &p->source.catalog);
  for (size_t i = 0; i < p->source.wals; i++) close_file(db, &p->source.wal[i]);
  mem_free(p->source.wal);
  version_unref(db, p->version);
}

static uint64_t bytes_of(const struct backup_source *s) {
  uint64_t bytes = s->manifest.size + s->catalog.size;
  for (size_t i = 0; i < s->wals; i++) bytes += s->wal[i].size;
  for (size_t i = 0; i < s->segments; i++) bytes += s->segment[i]->info.size;
  return bytes;
}

int db_backup(struct db *db, const char *directory, uint64_t rate, const atomic_bool *stop,
              struct backup_report *report, tally_error *error) {
  struct pin p;
  struct pace pace = {.os = db->os, .rate = rate, .stop = stop, .taken = &db->checking.done};
  struct copier to = {
      .os = db->os, .store = directory, .pace = &pace, .cache = db->cache, .budget = &db->work_budget};
  int result = pin(db, &p, error);
  if (!result) {
    meter_begin(&db->checking, bytes_of(&p.source));
    result = backup_write(&to, &p.source, report, error);
    meter_begin(&db->checking, 0);
  }
  unpin(db, &p);
  return result;
}
