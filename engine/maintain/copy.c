/* copy.c - see copy.h. */
#include "maintain/copy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "model/batch.h"
#include "segment/place.h"
#include "wal/reader.h"
#include "wal/writer.h"

#define PIECE (1u << 20)

/* ------------------------------------------------------------------ bytes */

static int copy_piece(struct copier *c, struct os_file *from, const char *from_path, struct os_file *to,
                      const char *to_path, uint64_t at, size_t want, uint8_t *piece, tally_error *error) {
  size_t got = 0;
  int result = pace_take(c->pace, want, error);
  if (result) return result;
  int code = c->os->read(c->os, from, piece, want, at, &got);
  if (code) return os_fail(error, code, "read", from_path);
  if (got < want) return fail_corrupt(error, from_path, at + got, "file to copy is as long as it was");
  code = c->os->write(c->os, to, piece, want, at);
  return code ? os_fail(error, code, "write", to_path) : 0;
}

int copy_bytes(struct copier *c, struct os_file *from, const char *from_path, uint64_t size, const char *to,
               tally_error *error) {
  struct os_file *file = NULL;
  uint8_t *piece = mem_alloc(PIECE);
  int result = piece ? 0 : fail_memory(error, "copying a file"), code = 0;
  if (!result) {
    (void)c->os->unlink(c->os, to); /* what a crash left */
    code = c->os->open(c->os, to, OS_CREATE, &file);
    if (code) result = os_fail(error, code, "create", to);
  }
  for (uint64_t at = 0; !result && at < size; at += PIECE)
    result = copy_piece(c, from, from_path, file, to, at, size - at < PIECE ? (size_t)(size - at) : PIECE,
                        piece, error);
  if (!result && (code = c->os->sync(c->os, file)) != 0) result = os_fail(error, code, "sync", to);
  if (file) c->os->close(c->os, file);
  if (result && file) (void)c->os->unlink(c->os, to);
  mem_free(piece);
  if (!result) c->bytes += size;
  return result;
}

int copy_same(struct copier *c, struct os_file *a, struct os_file *b, uint64_t size, bool *same,
              tally_error *error) {
  uint8_t *piece = mem_alloc(2 * (size_t)PIECE);
  if (!piece) return fail_memory(error, "comparing files");
  int result = 0;
  *same = true;
  for (uint64_t at = 0; !result && *same && at < size; at += PIECE) {
    size_t want = size - at < PIECE ? (size_t)(size - at) : PIECE, got[2] = {0};
    result = pace_take(c->pace, want, error);
    int code = result ? 0 : c->os->read(c->os, a, piece, want, at, &got[0]);
    if (!result && !code) code = c->os->read(c->os, b, piece + PIECE, want, at, &got[1]);
    if (code) result = os_fail(error, code, "read in", c->store);
    *same = got[0] == want && got[1] == want && memcmp(piece, piece + PIECE, want) == 0;
  }
  mem_free(piece);
  return result;
}

/* ------------------------------------------------------------------ checks */

struct first_fault {
  tally_error *error;
  bool found;
};

static void note_fault(void *arg, const char *file, uint64_t offset, const char *problem) {
  struct first_fault *f = arg;
  if (!f->found)
    (void)fail(f->error, TALLY_CORRUPT, "%s is damaged at offset %" PRIu64 ": %s", file, offset, problem);
  f->found = true;
}

int copy_check_segment(struct copier *c, const struct segment_info *info, bool all, tally_error *error) {
  struct segment *s;
  struct first_fault fault = {.error = error};
  int result = segment_open(c->os, c->store, info, c->cache, c->budget, &s, error);
  if (result) return result;
  tally_error failure;
  if (all && (result = segment_verify(s, c->pace, note_fault, &fault, &failure)) != 0) *error = failure;
  segment_unref(s);
  return result ? result : fault.found ? TALLY_CORRUPT : 0;
}

static int count_rows(const struct wal_record *record, struct batch_scratch *scratch, struct wal_check *check,
                      tally_error *error) {
  struct batch batch;
  if (record->sequence <= check->covered) return 0;
  int result = batch_open(record->batch, record->batch_size, scratch, &batch, error);
  if (result) return result == TALLY_INVALID_BATCH ? TALLY_CORRUPT : result;
  check->rows += batch.rows;
  return 0;
}

static int check_records(struct copier *c, struct wal_reader *reader, uint64_t end, struct wal_check *check,
                         tally_error *error) {
  struct batch_scratch scratch = {0};
  struct wal_record record;
  int result = 0;
  while (!result && reader->next < end) {
    uint64_t before = reader->offset;
    result = wal_reader_next(reader, &record, error);
    if (result != TALLY_ROW) break;
    result = count_rows(&record, &scratch, check, error);
    if (!result) result = pace_take(c->pace, reader->offset - before, error);
  }
  batch_scratch_free(&scratch);
  return result;
}

int copy_check_wal(struct copier *c, const char *path, const struct wal_span *span, struct wal_check *check,
                   tally_error *error) {
  struct wal_reader reader;
  int result = wal_reader_open(c->os, path, &reader, error);
  if (result) return result;
  if (reader.header.number != span->number || reader.header.first > check->next)
    result = fail_corrupt(error, path, 0, "WAL files to copy follow each other");
  if (!result) result = check_records(c, &reader, span->end, check, error);
  if (!result && reader.next < span->end && reader.offset != reader.size)
    result = fail_corrupt(error, path, reader.offset, reader.bad ? reader.bad : "WAL records fill the file");
  if (!result && reader.next > check->next) check->next = reader.next;
  wal_reader_close(&reader);
  return result;
}

/* ------------------------------------------------------------------ lists */

struct names {
  const char *suffix;
  uint64_t *number;
  size_t count, capacity;
};

static int see_name(void *arg, const char *name) {
  struct names *n = arg;
  char *end;
  if (strlen(name) != 16 + strlen(n->suffix) || strcmp(name + 16, n->suffix) != 0) return 0;
  uint64_t number = strtoull(name, &end, 16);
  if (end != name + 16) return 0;
  if (n->count == n->capacity) {
    size_t capacity = n->capacity ? n->capacity * 2 : 16;
    uint64_t *bigger = mem_realloc_array(n->number, capacity, sizeof *bigger);
    if (!bigger) return ENOMEM;
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

int copy_list(const struct os *os, const char *folder, const char *suffix, uint64_t **numbers, size_t *count,
              tally_error *error) {
  struct names n = {.suffix = suffix};
  int code = os->list(os, folder, see_name, &n);
  *numbers = NULL;
  *count = 0;
  if (code && code != ENOENT) {
    mem_free(n.number);
    return os_fail(error, code, "list", folder);
  }
  if (n.count) qsort(n.number, n.count, sizeof *n.number, ascending);
  *numbers = n.number;
  *count = n.count;
  return 0;
}

/* ------------------------------------------------------------------ removal */

/* `folder` ends with the place and the month: an id may have been used in two, see db/recover.c. */
static bool keeps_segment(const struct kept *keep, const char *folder, uint64_t id) {
  for (size_t i = 0; i < keep->segments; i++) {
    char name[64];
    if (keep->segment[i].id != id) continue;
    segment_name(&keep->segment[i], name);
    size_t place = (size_t)(strrchr(name, '/') - name), size = strlen(folder);
    if (size > place && memcmp(folder + size - place, name, place) == 0) return true;
  }
  return false;
}

static bool keeps_wal(const struct kept *keep, const char *folder, uint64_t number) {
  (void)folder;
  for (size_t i = 0; i < keep->wals; i++)
    if (keep->wal[i] == number) return true;
  return false;
}

/* Removes the files <number><suffix> of a folder that are not kept. Failures leave files, which the next call
 * finds. */
static void clean_folder(struct copier *c, const char *folder, const char *suffix, const struct kept *keep,
                         bool (*keeps)(const struct kept *keep, const char *folder, uint64_t number),
                         uint64_t *removed) {
  uint64_t *numbers;
  size_t count;
  tally_error ignored;
  if (copy_list(c->os, folder, suffix, &numbers, &count, &ignored)) return;
  for (size_t i = 0; i < count; i++) {
    char name[32];
    if (keeps && keeps(keep, folder, numbers[i])) continue;
    (void)snprintf(name, sizeof name, "%016" PRIx64 "%s", numbers[i], suffix);
    char *path = mem_path(folder, name);
    if (path && c->os->unlink(c->os, path) == 0) ++*removed;
    mem_free(path);
  }
  mem_free(numbers);
}

struct months {
  char (*name)[8];
  size_t count, capacity;
};

static int see_month(void *arg, const char *name) {
  struct months *m = arg;
  if (strlen(name) != 7) return 0;
  if (m->count == m->capacity) {
    size_t capacity = m->capacity ? m->capacity * 2 : 32;
    char(*bigger)[8] = mem_realloc_array(m->name, capacity, sizeof *bigger);
    if (!bigger) return ENOMEM;
    m->name = bigger;
    m->capacity = capacity;
  }
  memcpy(m->name[m->count++], name, 8);
  return 0;
}

static void clean_segments(struct copier *c, const char *name, const struct kept *keep, uint64_t *removed) {
  struct months months = {0};
  char *folder = mem_path(c->store, name);
  if (folder) (void)c->os->list(c->os, folder, see_month, &months);
  for (size_t i = 0; folder && i < months.count; i++) {
    char *month = mem_path(folder, months.name[i]);
    if (!month) break;
    clean_folder(c, month, ".seg", keep, keeps_segment, removed);
    (void)c->os->rmdir(c->os, month); /* if nothing is left in it */
    mem_free(month);
  }
  mem_free(months.name);
  mem_free(folder);
}

void copy_clean(struct copier *c, const struct kept *keep, uint64_t *removed) {
  char *wal = mem_path(c->store, "wal");
  for (int i = 0; i < SEGMENT_FOLDERS; i++) clean_segments(c, segment_folder[i], keep, removed);
  if (wal) {
    clean_folder(c, wal, ".wal", keep, keeps_wal, removed);
    clean_folder(c, wal, ".tmp", keep, NULL, removed);
  }
  mem_free(wal);
}
