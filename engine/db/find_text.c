/* find_text.c - is a text anywhere in the store? In the bytes of its files, and in what they decode to. */
#include <stdio.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/status.h"
#include "db/inside.h"

#define PIECE (1u << 20)

struct search {
  struct db *db;
  const char *text;
  size_t size;
  char *piece; /* PIECE + size bytes */
  void (*found)(void *arg, const char *file, uint64_t offset, const char *what);
  void *arg;
  tally_error *error;
  int result;
};

/* ------------------------------------------------------------------ bytes */

/* Pieces overlap by the text's size less one. */
static int search_file(struct search *s, const char *path, const char *name) {
  const struct os *os = s->db->os;
  struct os_file *file;
  int stopped = db_go_on(s->db, s->error);
  if (stopped) return stopped;
  int number = os->open(os, path, OS_READ, &file);
  if (number) return os_fail(s->error, number, "open", path) == TALLY_NOT_FOUND ? 0 : s->error->code;
  size_t kept = 0, got = 0;
  for (uint64_t at = 0;; at += got) {
    number = os->read(os, file, s->piece + kept, PIECE, at, &got);
    if (number || got == 0) break;
    size_t have = kept + got;
    const char *hit = s->piece;
    while ((hit = memmem(hit, have - (size_t)(hit - s->piece), s->text, s->size)) != NULL) {
      s->found(s->arg, name, at - kept + (uint64_t)(hit - s->piece), "the file has these bytes");
      hit++;
    }
    kept = have < s->size - 1 ? have : s->size - 1;
    memmove(s->piece, s->piece + have - kept, kept);
  }
  os->close(os, file);
  return number ? os_fail(s->error, number, "read", path) : 0;
}

struct folder {
  struct search *search;
  const char *name; /* inside the store, "" for the store itself */
};

/* Names with a dot in segments/ are files; the others, and wal/ and segments/ themselves, are folders. */
static int search_entry(void *arg, const char *name) {
  const struct folder *f = arg;
  struct search *s = f->search;
  char inside[300];
  (void)snprintf(inside, sizeof inside, "%s%s%s", f->name, *f->name ? "/" : "", name);
  char *path = mem_path(s->db->path, inside);
  if (!path) {
    s->result = fail_memory(s->error, "a search");
  } else {
    struct folder below = {s, inside};
    int number = s->db->os->list(s->db->os, path, search_entry, &below);
    if (number && !s->result) s->result = search_file(s, path, inside); /* it is no folder */
  }
  mem_free(path);
  return s->result ? 1 : 0;
}

/* ------------------------------------------------------------------ meaning */

static void search_catalog(struct search *s) {
  static const char *const what[DOMAINS] = {"a user_id has it", "a service_name has it", "an endpoint has it",
                                            "a method has it"};
  for (int d = 0; d < DOMAINS; d++)
    for (uint32_t id = 1, count = catalog_count(s->db->catalog, d); id <= count; id++) {
      tally_text t = catalog_text(s->db->catalog, d, id);
      if (memmem(t.data, t.size, s->text, s->size)) s->found(s->arg, "catalog", id, what[d]);
    }
}

static int search_metadata(struct search *s, struct segment *segment) {
  uint64_t at[CHUNK_ROWS + 1], valid[CHUNK_ROWS / 64];
  struct buffer bytes = {0};
  struct ints_scratch scratch = {0};
  char name[64];
  int result = 0;
  segment_name(&segment->info, name);
  if (!segment_readable(segment))
    return fail(
        s->error, TALLY_CORRUPT,
        "%s cannot be read, and the text may be in it: put the file back from a backup and run `tally "
        "verify`, then this again",
        name);
  for (uint32_t chunk = 0; chunk < segment->chunks && !result; chunk++) { /* a thinned one has none */
    bool all_valid;
    buffer_clear(&bytes);
    result = segment_metadata(segment, chunk, 0, segment_chunk_rows(segment, chunk), &scratch, at, &bytes,
                              valid, &all_valid, s->error);
    for (uint32_t i = 0; i < segment_chunk_rows(segment, chunk) && !result; i++)
      if (at[i] < at[i + 1] && memmem(bytes.data + at[i], (size_t)(at[i + 1] - at[i]), s->text, s->size))
        s->found(s->arg, name, chunk * CHUNK_ROWS + i, "the metadata of this row has it");
  }
  buffer_free(&bytes);
  ints_scratch_free(&scratch);
  return result;
}

static int search_memory(struct search *s, const struct snapshot *v) {
  for (size_t i = 0; i < v->memtable_count; i++) {
    const struct rows *rows = &v->memtables[i].memtable->rows;
    for (uint32_t row = 0; row < v->memtables[i].rows; row++) {
      uint64_t from = rows->metadata_at[row], to = rows->metadata_at[row + 1];
      if (memmem(rows->metadata + from, (size_t)(to - from), s->text, s->size))
        s->found(s->arg, "memory", row, "the metadata of this row has it");
    }
  }
  return 0;
}

int db_find_text(struct db *db, const char *text,
                 void (*found)(void *arg, const char *file, uint64_t offset, const char *what), void *arg,
                 tally_error *error) {
  struct search s = {
      .db = db, .text = text, .size = strlen(text), .found = found, .arg = arg, .error = error};
  if (s.size == 0) return fail(error, TALLY_USAGE, "an empty text is everywhere: give the user's id");
  struct db_snapshot *snapshot;
  int result = db_snapshot_take(db, &snapshot, error);
  if (result) return result;
  s.piece = mem_alloc(PIECE + s.size);
  result = s.piece ? db_snapshot_pin(snapshot, error) : fail_memory(error, "a search");
  if (!result) {
    const struct snapshot *v = db_snapshot_view(snapshot);
    search_catalog(&s);
    for (size_t i = 0; i < v->segment_count && !result && !(result = db_go_on(db, error)); i++)
      result = search_metadata(&s, v->segments[i]);
    if (!result) result = search_memory(&s, v);
    db_snapshot_unpin(snapshot);
  }
  db_snapshot_release(snapshot);
  struct folder all = {&s, ""};
  int number = result ? 0 : db->os->list(db->os, db->path, search_entry, &all);
  if (!result) result = s.result;
  if (!result && number) result = os_fail(error, number, "list", db->path);
  mem_free(s.piece);
  return result;
}
