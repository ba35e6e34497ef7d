/* recover.c - from files to a store: manifest, catalog, segments, then the WAL's records that no segment
 * covers.
 *
 * Replayed records are written again to a new WAL file, which is synced before anything trusts it (the page
 * cache can show what the disk lacks); then the old files go. A record that is not whole ends the WAL: above
 * the highest durable mark it is the torn tail of a crash, kept aside as <number>.torn and reported; at or
 * below it, it is damage, and the store does not open for writing. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/status.h"
#include "db/inside.h"
#include "maintain/mark.h"
#include "wal/order.h"
#include "wal/reader.h"

/* ------------------------------------------------------------------ files */

struct names {
  const char *suffix;
  uint64_t *number;
  size_t count, capacity;
  bool failed;
};

/* <16 hex digits><suffix> */
static bool numbered(const char *name, const char *suffix, uint64_t *number) {
  char *end;
  if (strlen(name) != 16 + strlen(suffix) || strcmp(name + 16, suffix) != 0) return false;
  *number = strtoull(name, &end, 16);
  return end == name + 16;
}

static int see_name(void *arg, const char *name) {
  struct names *n = arg;
  uint64_t number;
  if (!numbered(name, n->suffix, &number)) return 0;
  if (n->count == n->capacity) {
    size_t capacity = n->capacity ? n->capacity * 2 : 16;
    uint64_t *bigger = mem_realloc_array(n->number, capacity, sizeof *bigger);
    if (!bigger) {
      n->failed = true;
      return ENOMEM;
    }
    n->number = bigger;
    n->capacity = capacity;
  }
  n->number[n->count++] = number;
  return 0;
}

static int ascending(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

static int list_numbers(struct db *db, const char *folder, const char *suffix, struct names *n,
                        tally_error *error) {
  *n = (struct names){.suffix = suffix};
  int number = db->os->list(db->os, folder, see_name, n);
  if (number == ENOENT) return 0;
  if (n->failed) return fail_memory(error, "a list of files");
  if (number) return os_fail(error, number, "list", folder);
  if (n->count) qsort(n->number, n->count, sizeof *n->number, ascending);
  return 0;
}

/* ------------------------------------------------------------------ segments */

/* A file that is damaged or not there does not refuse the store: its segment is quarantined. */
static int open_segment(struct db *db, const struct segment_info *info, struct segment **segment,
                        tally_error *error) {
  int result = segment_open(db->os, db->path, info, db->cache, &db->directory_budget, segment, error);
  if (result == TALLY_CORRUPT || result == TALLY_NOT_FOUND || result == TALLY_IO)
    result = segment_absent(db->os, db->path, info, db->cache, &db->directory_budget, segment, error);
  return result;
}

static int open_segments(struct db *db, tally_error *error) {
  struct manifest *m = db->manifest;
  db->version = version_new(m->segments);
  if (!db->version) return fail_memory(error, "the list of segments");
  for (size_t i = 0; i < m->segments; i++) {
    struct segment *s;
    int result = open_segment(db, &m->segment[i], &s, error);
    if (result) return result;
    db->version->segment[db->version->count++] = s;
  }
  return 0;
}

/* By the whole name: a segment's id is used again where a crash came before its edit, perhaps in another
 * month. */
static bool in_manifest(const struct manifest *m, const char *file) {
  for (size_t i = 0; i < m->segments; i++) {
    char name[64];
    segment_name(&m->segment[i], name);
    if (strcmp(name, file) == 0) return true;
  }
  return false;
}

/* Of a file that stays where the manifest does not name it, the id is not given again. */
static void pass_over(struct db *db, uint64_t number) {
  if (number >= atomic_load(&db->next_segment)) atomic_store(&db->next_segment, number + 1);
}

static void remove_orphan(struct db *db, const char *path, uint64_t number) {
  int failed = db->os->unlink(db->os, path);
  if (failed && failed != ENOENT) pass_over(db, number); /* the next open tries again */
}

struct orphans {
  struct db *db;
  const char *folder;
  bool keep;
  tally_error *error;
};

static int remove_orphans_of_path(const struct orphans *o, char *path) {
  struct db *db = o->db;
  struct names names;
  size_t end = strlen(path);
  int result = list_numbers(db, path, ".seg", &names, o->error);
  for (size_t i = 0; i < names.count && !result; i++) {
    (void)sprintf(path + end, "/%016" PRIx64 ".seg", names.number[i]);
    if (in_manifest(db->manifest, path + strlen(db->path) + 1)) continue;
    if (o->keep)
      pass_over(db, names.number[i]);
    else
      remove_orphan(db, path, names.number[i]);
  }
  mem_free(names.number);
  return result;
}

/* Files that were written and no edit published. */
static int remove_orphans_of_month(void *arg, const char *month) {
  const struct orphans *o = arg;
  if (strlen(month) != strlen("2024-01") || month[4] != '-') return 0; /* nothing of ours */
  size_t size = strlen(o->db->path) + strlen(month) + 64;
  char *path = mem_alloc(size);
  if (!path) return fail_memory(o->error, "recovery");
  (void)snprintf(path, size, "%s/%s/%s", o->db->path, o->folder, month);
  int result = remove_orphans_of_path(o, path);
  mem_free(path);
  return result;
}

static int remove_orphans_of_folder(struct orphans *o) {
  char *path = mem_path(o->db->path, o->folder);
  if (!path) return fail_memory(o->error, "recovery");
  int number = o->db->os->list(o->db->os, path, remove_orphans_of_month, o), result = number;
  if (number > 0) result = number == ENOENT ? 0 : os_fail(o->error, number, "list", path);
  mem_free(path);
  return result;
}

/* Where a segment is missing or damaged nothing goes: what the manifest does not name may be the new files of
 * an edit that was lost, whose old ones are missing now. A folder that cannot be listed refuses the store: it
 * may have files whose ids would be given again. */
static int remove_orphans(struct db *db, tally_error *error) {
  bool keep = false;
  int result = 0;
  for (size_t i = 0; i < db->version->count; i++) keep |= segment_quarantined(db->version->segment[i]);
  for (int i = 0; i < SEGMENT_FOLDERS && !result; i++) {
    struct orphans o = {db, segment_folder[i], keep, error};
    result = remove_orphans_of_folder(&o);
  }
  return result;
}

/* ------------------------------------------------------------------ the WAL */

struct replay {
  struct db *db;
  uint64_t next;    /* sequence of the next record to apply */
  uint64_t durable; /* records up to this one must be there */
  uint64_t rows, records;
};

static int take_mark(struct db *db, const struct wal_record *record, tally_error *error) {
  if (!record->producer.data) return 0;
  struct batch_id id = {record->producer, record->epoch, record->producer_sequence,
                        record->has_fingerprint ? record->fingerprint : NULL};
  uint64_t expected;
  struct mark_undo undo;
  switch (producers_check(db->producers, &id, &expected)) {
  case MARK_NEXT:
    return producers_accept(db->producers, &id, &undo, error);
  case MARK_DUPLICATE:
    return 0; /* the manifest's checkpoint ran ahead */
  default:
    return fail(error, TALLY_CORRUPT, "WAL marks follow the manifest's");
  }
}

/* Room for a replayed batch; a store that is opened for writing flushes inline. */
static int room(struct db *db, const struct batch *batch, tally_error *error) {
  if (db->active && memtable_fits(db->active, batch)) return 0;
  if (db->options.read_only && db->active)
    return fail(error, TALLY_MEMORY_LIMIT,
                "the WAL holds more rows than memory takes, and a store that is opened read-only cannot "
                "flush them: open it for writing");
  int result = writer_seal(db, error);
  while (!result && db->sealed) {
    bool worked;
    result = flush_next(db, &worked, error);
  }
  return result ? result : writer_new_active(db, error);
}

static int apply(struct replay *r, struct wal_record *record, tally_error *error) {
  struct db *db = r->db;
  struct batch batch;
  const uint32_t *ids[DOMAINS];
  uint64_t sequence = record->sequence;
  int result = batch_open(record->batch, record->batch_size, &db->batch_scratch, &batch, error);
  if (!result) result = batch_check(&batch, TIME_MAX, error);
  if (result == TALLY_INVALID_BATCH || result == TALLY_INVALID_ROW) error->code = result = TALLY_CORRUPT;
  if (!result) result = room(db, &batch, error);
  if (!result) result = intern_batch(db, &batch, ids, error);
  if (!result) result = take_mark(db, record, error);
  if (!result && !db->options.read_only) {
    result = wal_add(db->wal, record, error);
    if (!result && wal_group_size(db->wal) > 4u << 20) result = wal_write(db->wal, error);
  }
  if (result) return error_where(error, "WAL record %" PRIu64, sequence);
  memtable_append(db->active, &batch, ids);
  if (!db->active->first_sequence) {
    db->active->first_sequence = sequence;
    db->active->born = db->os->monotonic(db->os);
  }
  db->active->last_sequence = sequence;
  memtable_publish(db->active);
  r->next++;
  r->records++;
  r->rows += batch.rows;
  return 0;
}

/* Keeps the torn bytes aside for a person to look at. */
static int set_aside(struct db *db, struct wal_reader *reader, uint64_t number, tally_error *error) {
  char *path = wal_path(db->path, number, ".torn");
  struct os_file *file = NULL;
  uint8_t *piece = mem_alloc(1 << 20);
  int result = path && piece ? 0 : fail_memory(error, "recovery"), code = 0;
  if (!result) {
    (void)db->os->unlink(db->os, path);
    code = db->os->open(db->os, path, OS_CREATE, &file);
  }
  for (uint64_t at = reader->offset; !result && !code && at < reader->size;) {
    size_t got = 0;
    code = db->os->read(db->os, reader->file, piece, 1 << 20, at, &got);
    if (!code && got) code = db->os->write(db->os, file, piece, got, at - reader->offset);
    if (!got) break;
    at += got;
  }
  if (code) result = os_fail(error, code, "write", path);
  if (file) db->os->close(db->os, file);
  mem_free(piece);
  mem_free(path);
  return result;
}

/* Is there anything but zeros behind the last record? */
static int tail_is_zero(struct wal_reader *reader, bool *zero, tally_error *error) {
  uint8_t piece[4096];
  *zero = true;
  for (uint64_t at = reader->offset; at < reader->size && *zero;) {
    size_t got = 0;
    int code = reader->os->read(reader->os, reader->file, piece, sizeof piece, at, &got);
    if (code) return os_fail(error, code, "read", reader->path);
    for (size_t i = 0; i < got; i++) *zero = *zero && piece[i] == 0;
    if (!got) break;
    at += got;
  }
  return 0;
}

/* What stands where no whole record does: damage, zeros, or the torn tail of a crash. */
static int read_end(struct replay *r, struct wal_reader *reader, uint64_t number, tally_error *error) {
  struct db *db = r->db;
  bool zero = true;
  int result = wal_reader_survey(reader, error);
  if (result) return result;
  if (reader->durable > r->durable) r->durable = reader->durable;
  if (r->durable >= reader->next && reader->next == r->next)
    return fail_corrupt(error, reader->path, reader->offset,
                        reader->bad ? reader->bad : "WAL record is there");
  result = tail_is_zero(reader, &zero, error);
  if (result || zero) return result;
  (void)snprintf(db->recovery, sizeof db->recovery,
                 "WAL file %016" PRIx64 " ended in a torn record at offset %" PRIu64
                 " that was never acknowledged as durable: %" PRIu64
                 " bytes were set aside in wal/%016" PRIx64 ".torn",
                 number, reader->offset, reader->size - reader->offset, number);
  return db->options.read_only ? 0 : set_aside(db, reader, number, error);
}

/* A file may end early where a later one begins there or before: a power cut brings back allocated space that
 * was cut off, and files that were replayed to a new one. */
static int replay_file(struct replay *r, const char *path, const struct wal_span *span, tally_error *error) {
  struct db *db = r->db;
  struct wal_reader reader;
  int result = wal_reader_open(db->os, path, &reader, error);
  if (result) return result;
  if (reader.header.durable > r->durable) r->durable = reader.header.durable;
  if (reader.header.first > r->next) result = fail_corrupt(error, path, 0, "WAL files follow each other");
  struct wal_record record;
  while (!result && reader.next < span->end &&
         (result = wal_reader_next(&reader, &record, error)) == TALLY_ROW)
    result = record.sequence < r->next ? 0 : apply(r, &record, error);
  if (!result && reader.durable > r->durable) r->durable = reader.durable;
  if (!result && reader.next < span->end && reader.offset < reader.size)
    result = read_end(r, &reader, span->number, error);
  wal_reader_close(&reader);
  return result;
}

static int replay_files(struct replay *r, const struct wal_span *span, size_t count, tally_error *error) {
  int result = 0;
  for (size_t i = 0; i < count && !result; i++) {
    if (span[i].end <= span[i].first) continue; /* a later one has all of it */
    char *path = wal_path(r->db->path, span[i].number, ".wal");
    result = path ? replay_file(r, path, &span[i], error) : fail_memory(error, "recovery");
    mem_free(path);
  }
  if (result) return result;
  if (r->next <= r->durable)
    return fail(error, TALLY_CORRUPT,
                "the WAL ends at record %" PRIu64 ", but records up to %" PRIu64
                " were acknowledged as durable: wal/ in %s lost them: restore it from a backup",
                r->next - 1, r->durable, r->db->path);
  return 0;
}

static int remove_wal(struct db *db, uint64_t number, const char *suffix) {
  char *path = wal_path(db->path, number, suffix);
  int code = path ? db->os->unlink(db->os, path) : ENOMEM;
  mem_free(path);
  return code;
}

/* The replayed tail is on the disk in a file of its own; the files it came from go. */
static int publish_tail(struct db *db, const struct names *files, tally_error *error) {
  int result = wal_write(db->wal, error);
  if (!result) result = wal_publish(db->wal, db->path, error);
  if (result) return result;
  for (size_t i = 0; i < files->count; i++) (void)remove_wal(db, files->number[i], ".wal");
  return 0;
}

/* From here on what the WAL holds is promised. */
static int note_opened(struct db *db, tally_error *error) {
  struct edit edit = {.state = db->manifest->state};
  edit.state.durable = db->wal->durable;
  edit.state.next_wal = db->wal->header.number + 1;
  return manifest_commit(db->manifest, &edit, error);
}

/* WAL files that were never given their name. */
static void remove_temporary(struct db *db, const char *folder) {
  struct names names;
  tally_error ignored;
  if (!list_numbers(db, folder, ".tmp", &names, &ignored))
    for (size_t i = 0; i < names.count; i++) (void)remove_wal(db, names.number[i], ".tmp");
  mem_free(names.number);
}

/* Every file's version is one that is known: the manifest that was read becomes certain, and what it does not
 * name goes. */
static int take_over(struct db *db, tally_error *error) {
  if (db->options.read_only || db->made) return 0;
  int result = manifest_renew(db->manifest, error);
  return result ? result : remove_orphans(db, error);
}

/* A backup whose renewal ended half-way may have files of the new one. They go before the manifest is
 * renewed, which ends its being a backup. */
static int drop_foreign(struct db *db, const char *folder, struct names *files, tally_error *error) {
  uint64_t end;
  int result = mark_wal_end(db->os, db->path, db->manifest, &end, error), code = 0;
  size_t all = files->count;
  while (!result && files->count && files->number[files->count - 1] >= end) files->count--;
  if (result || db->options.read_only || files->count == all) return result;
  for (size_t i = files->count; i < all && !code; i++) code = remove_wal(db, files->number[i], ".wal");
  if (!code) code = db->os->sync_directory(db->os, folder);
  return code ? os_fail(error, code, "remove files of a backup that did not end from", folder) : 0;
}

static int open_wal(struct db *db, const struct names *files, struct replay *r, tally_error *error) {
  uint64_t number = files->count ? files->number[files->count - 1] + 1 : 1;
  if (number < db->manifest->state.next_wal) number = db->manifest->state.next_wal;
  if (db->options.read_only) return 0;
  db->wal_number = number;
  return wal_create(db->os, db->path, number, r->next, &db->wal, error);
}

static int recover_wal(struct db *db, tally_error *error) {
  struct names files;
  struct wal_span *span = NULL;
  char *folder = wal_path(db->path, 0, "");
  if (!folder) return fail_memory(error, "recovery");
  *strrchr(folder, '/') = '\0';
  int result = list_numbers(db, folder, ".wal", &files, error);
  if (!result) result = drop_foreign(db, folder, &files, error);
  if (!result) result = wal_spans(db->os, db->path, files.number, files.count, &span, error);
  if (!result) result = take_over(db, error);
  if (!db->options.read_only) remove_temporary(db, folder);
  mem_free(folder);
  const struct store_state *state = &db->manifest->state;
  struct replay r = {.db = db, .next = state->covered + 1, .durable = state->durable};
  if (!result) result = open_wal(db, &files, &r, error);
  if (!result) result = replay_files(&r, span, files.count, error);
  if (!result && !db->options.read_only) {
    result = publish_tail(db, &files, error);
    if (!result) result = note_opened(db, error);
    if (!result) {
      db->wal_durable = db->wal->durable;
      db->wal_size = db->wal->size;
    }
  }
  mem_free(span);
  mem_free(files.number);
  return result;
}

int recover(struct db *db, tally_error *error) {
  atomic_init(&db->next_segment, db->manifest->state.next_segment);
  int result =
      catalog_open(db->os, db->path, db->manifest->state.texts, &db->text_budget, &db->catalog, error);
  if (!result) result = open_segments(db, error);
  if (!result) result = recover_wal(db, error);
  return result;
}
