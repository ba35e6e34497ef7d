/* verify.c - reads every file of a store and checks it, while the store goes on; see db.h.
 *
 * Segments are opened again by their names, so what is checked is what the next start would find. A segment
 * in whose file there is a fault is quarantined; a quarantined one whose file is whole takes its place in the
 * version. WAL files are read up to the last record written when their turn came. */
#include <stdio.h>

#include "base/mem.h"
#include "base/status.h"
#include "db/inside.h"
#include "wal/reader.h"

struct db_verify {
  struct db *db;
  struct version *version;
  struct pace pace;
  size_t at; /* segments, then the catalog, the manifest, the WAL files */
  struct wal_files wals;
  bool wals_listed;
};

/* Passes faults on with file names inside the store, and counts them. */
struct relay {
  const struct db *db;
  db_found found;
  void *arg;
  uint64_t faults;
};

static void relay(void *arg, const char *file, uint64_t offset, const char *problem) {
  struct relay *r = arg;
  size_t n = strlen(r->db->path);
  if (strncmp(file, r->db->path, n) == 0 && file[n] == '/') file += n + 1;
  r->faults++;
  r->found(r->arg, file, offset, problem);
}

int db_verify_begin(struct db *db, uint64_t rate, const atomic_bool *stop, struct db_verify **verify,
                    tally_error *error) {
  struct db_verify *v = mem_zalloc(1, sizeof *v);
  if (!v) return fail_memory(error, "a check");
  v->db = db;
  v->pace = (struct pace){.os = db->os, .rate = rate, .stop = stop, .taken = &db->checking.done};
  os_lock(&db->lock);
  v->version = db->version;
  v->version->references++;
  uint64_t bytes = db->wal_size;
  for (size_t i = 0; i < v->version->count; i++) bytes += v->version->segment[i]->info.size;
  os_unlock(&db->lock);
  meter_begin(&db->checking, bytes + catalog_file_size(db->catalog));
  *verify = v;
  return 0;
}

void db_verify_end(struct db_verify *v) {
  if (!v) return;
  meter_begin(&v->db->checking, 0);
  wal_files_free(&v->wals);
  version_unref(v->db, v->version);
  mem_free(v);
}

/* A file that a job has replaced meanwhile may be gone. */
static bool is_current(struct db *db, const struct segment *s) {
  bool there = false;
  os_lock(&db->lock);
  for (size_t i = 0; i < db->version->count && !there; i++) there = db->version->segment[i] == s;
  os_unlock(&db->lock);
  return there;
}

static bool is_damage(int result) {
  return result == TALLY_CORRUPT || result == TALLY_IO || result == TALLY_NOT_FOUND;
}

static int verify_segment(struct db_verify *v, struct segment *s, struct relay *r, tally_error *error) {
  struct db *db = v->db;
  struct segment *file = NULL;
  int result = segment_open(db->os, db->path, &s->info, db->cache, &db->directory_budget, &file, error);
  if (is_damage(result)) {
    char name[64];
    segment_name(&s->info, name);
    if (!is_current(db, s)) return 0;
    relay(r, name, 0, error->text);
  } else if (result) {
    return result;
  } else if ((result = segment_verify(file, &v->pace, relay, r, error)) != 0) {
    segment_unref(file);
    return result;
  }
  if (r->faults) segment_quarantine(s);
  if (!r->faults && segment_quarantined(s)) return publish_whole(db, s, file, error);
  segment_unref(file);
  return 0;
}

static int verify_catalog(struct db_verify *v, struct relay *r, tally_error *error) {
  struct db *db = v->db;
  struct os_file *file = NULL;
  char *path = mem_path(db->path, "catalog");
  if (!path) return fail_memory(error, "a check");
  os_lock(&db->publishing); /* so that size and file belong together */
  uint64_t end = catalog_file_size(db->catalog);
  int code = db->os->open(db->os, path, OS_READ, &file);
  os_unlock(&db->publishing);
  int result = code ? os_fail(error, code, "open", path)
                    : catalog_check(db->os, file, path, NULL, &end, &v->pace, error);
  if (is_damage(result)) {
    relay(r, path, code ? 0 : end, error->text);
    result = 0;
  }
  if (file) db->os->close(db->os, file);
  mem_free(path);
  return result;
}

static int verify_manifest(struct db_verify *v, struct relay *r, tally_error *error) {
  os_lock(&v->db->manifest_lock);
  int result = manifest_verify(v->db->manifest, relay, r, error);
  os_unlock(&v->db->manifest_lock);
  return result;
}

static bool wal_is_current(struct db *db, uint64_t number) {
  os_lock(&db->lock);
  bool there = db->wal_number == number;
  for (const struct old_wal *o = db->old_wals; o && !there; o = o->next) there = o->number == number;
  os_unlock(&db->lock);
  return there;
}

static int read_records(struct db_verify *v, struct wal_reader *reader, tally_error *error) {
  int result = TALLY_ROW;
  while (result == TALLY_ROW && reader->offset < reader->size) {
    struct wal_record record;
    uint64_t before = reader->offset;
    result = wal_reader_next(reader, &record, error);
    int paced = result < 0 ? 0 : pace_take(&v->pace, reader->offset - before, error);
    if (paced) result = paced;
  }
  return result < 0 ? result : 0;
}

/* Every record up to the written end must be whole. Space that was allocated and not used is behind it. */
static int verify_wal(struct db_verify *v, const struct wal_file *w, struct relay *r, tally_error *error) {
  struct wal_reader reader;
  char *path = wal_path(v->db->path, w->number, ".wal");
  if (!path) return fail_memory(error, "a check");
  int result = wal_reader_open(v->db->os, path, &reader, error);
  if (!result) {
    if (w->active && reader.size > w->size) reader.size = w->size;
    result = read_records(v, &reader, error);
    const char *bad = reader.bad;
    if (!bad && w->active && reader.offset < w->size) bad = "WAL records reach the written end";
    if (!result && bad) relay(r, path, reader.offset, bad);
    wal_reader_close(&reader);
  }
  if (result == TALLY_NOT_FOUND && !wal_is_current(v->db, w->number)) result = 0; /* a flush has dropped it */
  if (is_damage(result)) {
    relay(r, path, reader.offset, error->text);
    result = 0;
  }
  mem_free(path);
  return result;
}

static int list_wals(struct db_verify *v, tally_error *error) {
  if (v->wals_listed) return 0;
  v->wals_listed = true;
  writer_enter(v->db);
  int result = wal_files_list(v->db, &v->wals, error);
  writer_leave(v->db);
  return result;
}

int db_verify_next(struct db_verify *v, db_found found, void *arg, tally_error *error) {
  struct relay r = {v->db, found, arg, 0};
  size_t at = v->at++, segments = v->version->count;
  int result = pace_take(&v->pace, 0, error);
  if (result) return result;
  if (at < segments)
    result = verify_segment(v, v->version->segment[at], &r, error);
  else if (at == segments)
    result = verify_catalog(v, &r, error);
  else if (at == segments + 1)
    result = verify_manifest(v, &r, error);
  else if ((result = list_wals(v, error)) != 0 || at - segments - 2 >= v->wals.count)
    return result;
  else
    result = verify_wal(v, &v->wals.file[at - segments - 2], &r, error);
  return result ? result : TALLY_ROW;
}
