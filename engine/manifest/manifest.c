/* manifest.c - the manifest file; see manifest.h.
 *
 * file header (32): u32 magic "TLMF", u16 version, u16 0, u64 number, u64 salt, u64 XXH3-64 of the 24 bytes
 * before record: u32 payload size, u32 check (low half of XXH3-64 over u64 salt, u64 offset, u32 size), u64
 * edit number (from 0), payload, XXH3-128 of all before it, seed = salt + offset */
#include "manifest/manifest.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"

#define MAGIC 0x464D4C54u
#define VERSION 0x8001u /* development */
#define HEADER 32u
#define RECORD_HEAD 16u
#define TRAILER ((uint32_t)sizeof(struct digest))
#define RECORD_MOST (1u << 30)
#define PREFIX "MANIFEST-"

static char *make_path(const char *store, uint64_t number, const char *suffix) {
  size_t size = strlen(store) + sizeof PREFIX + 24 + strlen(suffix);
  char *path = mem_alloc(size);
  if (path) (void)snprintf(path, size, "%s/" PREFIX "%016" PRIx64 "%s", store, number, suffix);
  return path;
}

/* ------------------------------------------------------------------ finding the file */

struct listing {
  uint64_t newest;
  bool found, other;
};

/* The number of a manifest's name; false if it is none. */
static bool parse_name(const char *name, uint64_t *number) {
  if (strncmp(name, PREFIX, sizeof PREFIX - 1) != 0 || strlen(name) != sizeof PREFIX - 1 + 16) return false;
  *number = 0;
  for (const char *p = name + sizeof PREFIX - 1; *p; p++) {
    if (!((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f'))) return false;
    *number = *number << 4 | (uint64_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
  }
  return true;
}

static int see_name(void *arg, const char *name) {
  struct listing *l = arg;
  uint64_t number;
  if (parse_name(name, &number)) {
    if (!l->found || number > l->newest) l->newest = number;
    l->found = true;
  } else if (strcmp(name, "LOCK") != 0 && strcmp(name, "lost+found") != 0) {
    l->other = true;
  }
  return 0;
}

int manifest_exists(const struct os *os, const char *store, bool *other, tally_error *error) {
  struct listing l = {0};
  int number = os->list(os, store, see_name, &l);
  if (number) return os_fail(error, number, "list", store);
  *other = l.other;
  return l.found;
}

/* ------------------------------------------------------------------ records */

static uint32_t size_check(uint64_t salt, uint64_t offset, uint32_t size) {
  uint8_t key[20];
  store64(key, salt);
  store64(key + 8, offset);
  store32(key + 16, size);
  return (uint32_t)hash64(key, sizeof key);
}

/* Writes the record of an edit at m->size. */
static int write_record(struct manifest *m, const struct edit *edit, uint64_t *size, tally_error *error) {
  struct buffer *b = &m->scratch;
  buffer_clear(b);
  write64(b, 0);
  write64(b, m->edits);
  edit_write(edit, b);
  if (b->failed || b->size > RECORD_MOST) return fail_memory(error, "a manifest edit");
  uint32_t payload = (uint32_t)(b->size - RECORD_HEAD);
  store32(b->data, payload);
  store32(b->data + 4, size_check(m->salt, m->size, payload));
  struct digest d = digest_of(b->data, b->size, m->salt + m->size);
  buffer_append(b, d.bytes, sizeof d.bytes);
  if (b->failed) return fail_memory(error, "a manifest edit");
  int number = m->os->write(m->os, m->file, b->data, b->size, m->size);
  if (number) return os_fail(error, number, "write", m->path);
  *size = b->size;
  return 0;
}

/* Reads the record at `offset` into m->scratch: its parts, or *bad = the check that failed; *end: the file
 * ends here. */
static int read_record(struct manifest *m, uint64_t offset, uint64_t file_size, struct edit_parts *parts,
                       uint64_t *next, const char **bad, bool *end, tally_error *error) {
  uint8_t head[RECORD_HEAD];
  size_t got = 0;
  *bad = NULL;
  *end = offset >= file_size;
  if (*end) return 0;
  int number = m->os->read(m->os, m->file, head, sizeof head, offset, &got);
  if (number) return os_fail(error, number, "read", m->path);
  uint32_t payload = got < 4 ? 0 : load32(head);
  if (got < sizeof head || payload > RECORD_MOST ||
      load32(head + 4) != size_check(m->salt, offset, payload)) {
    *bad = "manifest record size";
    return 0;
  }
  uint64_t size = RECORD_HEAD + (uint64_t)payload + TRAILER;
  if (size > file_size - offset) {
    *bad = "manifest record is whole";
    return 0;
  }
  buffer_clear(&m->scratch);
  uint8_t *bytes = buffer_add(&m->scratch, (size_t)size);
  if (!bytes) return fail_memory(error, "a manifest edit");
  number = m->os->read(m->os, m->file, bytes, (size_t)size, offset, &got);
  if (number) return os_fail(error, number, "read", m->path);
  struct digest d = digest_of(bytes, (size_t)size - TRAILER, m->salt + offset);
  if (got < size || !digest_equal(&d, bytes + size - TRAILER))
    *bad = "manifest record checksum";
  else if (load64(bytes + 8) != m->edits)
    *bad = "manifest edits follow each other";
  else
    *bad = edit_read(bytes + RECORD_HEAD, payload, parts);
  *next = offset + size;
  return 0;
}

/* ------------------------------------------------------------------ applying */

static int reserve_segments(struct manifest *m, size_t more, tally_error *error) {
  if (m->segments + more <= m->segment_capacity) return 0;
  size_t capacity = (m->segments + more) * 2;
  struct segment_info *segment = mem_realloc_array(m->segment, capacity, sizeof *segment);
  if (!segment) return fail_memory(error, "the list of segments");
  m->segment = segment;
  m->segment_capacity = capacity;
  return 0;
}

static bool remove_segment(struct manifest *m, uint64_t id) {
  for (size_t i = 0; i < m->segments; i++) {
    if (m->segment[i].id != id) continue;
    memmove(&m->segment[i], &m->segment[i + 1], (m->segments - i - 1) * sizeof *m->segment);
    m->segments--;
    return true;
  }
  return false;
}

static bool has_segment(const struct manifest *m, uint64_t id) {
  size_t i = 0;
  while (i < m->segments && m->segment[i].id != id) i++;
  return i < m->segments;
}

/* Applies an edit that was read. */
static int apply(struct manifest *m, struct edit_parts *p, uint64_t offset, tally_error *error) {
  if (p->checkpoint) m->segments = 0;
  int result = reserve_segments(m, p->added_count, error);
  if (result) return result;
  if (p->state.covered < m->state.covered || p->state.durable < p->state.covered ||
      p->state.next_segment < m->state.next_segment)
    return fail_corrupt(error, m->path, offset, "manifest positions only rise");
  m->state = p->state;
  while (reader_left(&p->removed))
    if (!remove_segment(m, read64(&p->removed)))
      return fail_corrupt(error, m->path, offset, "manifest removes what is there");
  while (reader_left(&p->added)) {
    struct segment_info s;
    if (!edit_next_added(p, &s) || s.id >= m->state.next_segment || has_segment(m, s.id))
      return fail_corrupt(error, m->path, offset, "manifest segment is one");
    m->segment[m->segments++] = s;
  }
  m->edits++;
  return 0;
}

/* ------------------------------------------------------------------ open and create */

static struct manifest *manifest_new(const struct os *os, const char *store, tally_error *error) {
  struct manifest *m = mem_zalloc(1, sizeof *m);
  if (m) m->store = mem_strndup(store, strlen(store));
  if (!m || !m->store) {
    mem_free(m);
    (void)fail_memory(error, "the manifest");
    return NULL;
  }
  m->os = os;
  return m;
}

/* Begins file m->number with a checkpoint of the state in `edit`, under its temporary name, and gives it its
 * name when it is on the disk. */
static int begin_file(struct manifest *m, const struct edit *edit, tally_error *error) {
  const struct os *os = m->os;
  char *temporary = make_path(m->store, m->number, ".tmp"), *path = make_path(m->store, m->number, "");
  if (!temporary || !path) {
    mem_free(temporary);
    mem_free(path);
    return fail_memory(error, "the manifest");
  }
  mem_free(m->path);
  m->path = path;
  uint8_t header[HEADER] = {0};
  os->random(os, &m->salt, sizeof m->salt);
  store32(header, MAGIC);
  store16(header + 4, VERSION);
  store64(header + 8, m->number);
  store64(header + 16, m->salt);
  store64(header + 24, hash64(header, 24));
  m->size = HEADER;
  m->edits = 0;
  uint64_t size = 0;
  (void)os->unlink(os, temporary);
  int result = 0, number = os->open(os, temporary, OS_CREATE, &m->file);
  if (!number) number = os->write(os, m->file, header, sizeof header, 0);
  if (number) result = os_fail(error, number, "write", temporary);
  if (!result) result = write_record(m, edit, &size, error);
  if (!result && (number = os->sync(os, m->file)) != 0) result = os_fail_sync(error, number, temporary);
  if (!result && (number = os->rename(os, temporary, path)) != 0)
    result = os_fail(error, number, "rename", temporary);
  if (!result && (number = os->sync_directory(os, m->store)) != 0)
    result = os_fail_sync(error, number, m->store);
  if (result) (void)os->unlink(os, temporary);
  mem_free(temporary);
  m->size += size;
  m->checkpoint_size = m->size;
  m->edits = 1;
  return result;
}

int manifest_create(const struct os *os, const char *store, struct manifest **manifest, tally_error *error) {
  struct manifest *m = manifest_new(os, store, error);
  if (!m) return error->code;
  m->number = 1;
  m->state = (struct store_state){.next_segment = 1, .next_wal = 1};
  struct edit edit = {.checkpoint = true, .state = m->state};
  int result = begin_file(m, &edit, error);
  if (result) {
    manifest_close(m);
    return result;
  }
  *manifest = m;
  return 0;
}

static int check_header(struct manifest *m, tally_error *error) {
  uint8_t header[HEADER] = {0};
  size_t got = 0;
  int number = m->os->read(m->os, m->file, header, sizeof header, 0, &got);
  if (number) return os_fail(error, number, "read", m->path);
  if (got < HEADER || load32(header) != MAGIC) return fail_corrupt(error, m->path, 0, "manifest magic");
  if (load16(header + 4) != VERSION)
    return fail(error, TALLY_VERSION,
                "%s has format version %u, this program reads %u: use the version that wrote it", m->path,
                load16(header + 4), VERSION);
  if (load64(header + 24) != hash64(header, 24) || load64(header + 8) != m->number || load16(header + 6))
    return fail_corrupt(error, m->path, 0, "manifest header");
  m->salt = load64(header + 16);
  return 0;
}

/* Is there a whole record anywhere behind `offset`? Each edit is synced before the next one is written, so a
 * whole one behind a bad one proves damage. */
static int later_record(struct manifest *m, uint64_t offset, uint64_t size, bool *there, tally_error *error) {
  *there = false;
  uint64_t left = size - offset;
  if (left < RECORD_HEAD + TRAILER) return 0;
  struct buffer bytes = {0};
  if (!buffer_add(&bytes, (size_t)left)) return fail_memory(error, "the manifest");
  size_t got = 0;
  int number = m->os->read(m->os, m->file, bytes.data, (size_t)left, offset, &got), result = 0;
  if (number) result = os_fail(error, number, "read", m->path);
  for (size_t i = 1; !result && !*there && i + RECORD_HEAD + TRAILER <= got; i++) {
    uint32_t payload = load32(bytes.data + i);
    if (load32(bytes.data + i + 4) != size_check(m->salt, offset + i, payload)) continue;
    uint64_t whole = RECORD_HEAD + (uint64_t)payload + TRAILER;
    if (whole > got - i) continue;
    struct digest d = digest_of(bytes.data + i, (size_t)whole - TRAILER, m->salt + offset + i);
    *there = digest_equal(&d, bytes.data + i + whole - TRAILER);
  }
  buffer_free(&bytes);
  return result;
}

/* Of a file that was published whole, `strict`, nothing may be missing at the end. */
static int load(struct manifest *m, struct producers *producers, bool strict, tally_error *error) {
  uint64_t size;
  int number = m->os->size(m->os, m->file, &size);
  if (number) return os_fail(error, number, "read", m->path);
  int result = check_header(m, error);
  m->size = HEADER;
  while (!result) {
    struct edit_parts parts;
    const char *bad;
    bool end, later = false;
    uint64_t next = 0;
    result = read_record(m, m->size, size, &parts, &next, &bad, &end, error);
    if (result || end) break;
    if (bad) {
      if (!strict) result = later_record(m, m->size, size, &later, error);
      if (result) break;
      if (strict || later || m->edits == 0) return fail_corrupt(error, m->path, m->size, bad);
      number = m->os->truncate(m->os, m->file, m->size); /* never confirmed: torn by a crash */
      return number ? os_fail(error, number, "cut", m->path) : 0;
    }
    if (m->edits == 0 && !parts.checkpoint)
      return fail_corrupt(error, m->path, m->size, "manifest begins with a checkpoint");
    result = apply(m, &parts, m->size, error);
    if (!result && producers && producers_read(producers, parts.marks.at, reader_left(&parts.marks), error))
      result = error->code == TALLY_CORRUPT ? fail_corrupt(error, m->path, m->size, "manifest marks")
                                            : error->code;
    if (m->edits == 1) m->checkpoint_size = next;
    m->size = next;
  }
  if (!result && m->edits == 0) result = fail_corrupt(error, m->path, HEADER, "manifest has a checkpoint");
  return result;
}

/* Older manifests and temporary ones are what a crash left between two steps. */
struct leftovers {
  const struct manifest *manifest;
  char name[8][64];
  size_t count;
};

static int see_leftover(void *arg, const char *name) {
  struct leftovers *l = arg;
  uint64_t number;
  size_t length = strlen(name);
  bool old = parse_name(name, &number) && number < l->manifest->number;
  bool temporary =
      strncmp(name, PREFIX, sizeof PREFIX - 1) == 0 && length > 4 && strcmp(name + length - 4, ".tmp") == 0;
  if ((old || temporary) && l->count < 8 && length < sizeof l->name[0])
    memcpy(l->name[l->count++], name, length + 1);
  return 0;
}

static void remove_leftovers(const struct manifest *m) {
  struct leftovers l = {.manifest = m};
  (void)m->os->list(m->os, m->store, see_leftover, &l);
  for (size_t i = 0; i < l.count; i++) {
    char *path = mem_path(m->store, l.name[i]);
    if (!path) return;
    (void)m->os->unlink(m->os, path);
    mem_free(path);
  }
}

/* The file of the newest number, not loaded yet. */
static int open_newest(const struct os *os, const char *store, enum os_open how, struct manifest **manifest,
                       tally_error *error) {
  struct listing l = {0};
  int number = os->list(os, store, see_name, &l);
  if (number) return os_fail(error, number, "list", store);
  struct manifest *m = manifest_new(os, store, error);
  if (!m) return error->code;
  m->number = l.newest;
  m->path = make_path(store, m->number, "");
  int result = m->path ? 0 : fail_memory(error, "the manifest");
  if (!result && (number = os->open(os, m->path, how, &m->file)) != 0)
    result = os_fail(error, number, "open", m->path);
  if (result)
    manifest_close(m);
  else
    *manifest = m;
  return result;
}

int manifest_open(const struct os *os, const char *store, struct producers *producers,
                  struct manifest **manifest, tally_error *error) {
  struct manifest *m;
  int result = open_newest(os, store, OS_WRITE, &m, error);
  if (result) return result;
  result = load(m, producers, false, error);
  if (result) {
    manifest_close(m);
    return result;
  }
  *manifest = m;
  return 0;
}

int manifest_read(const struct os *os, const char *store, struct manifest **manifest, tally_error *error) {
  struct manifest *m;
  int result = open_newest(os, store, OS_READ, &m, error);
  if (result) return result;
  result = load(m, NULL, true, error);
  if (result)
    manifest_close(m);
  else
    *manifest = m;
  return result;
}

static int copy_edits(struct manifest *m, struct os_file *from, const char *from_path, uint64_t size,
                      tally_error *error) {
  enum { PIECE = 1 << 16 };
  uint8_t *piece = mem_alloc(PIECE);
  int result = piece ? 0 : fail_memory(error, "a copy of the manifest");
  size_t got = 1;
  for (uint64_t at = 0; !result && at < size; at += got) {
    size_t want = size - at < PIECE ? (size_t)(size - at) : PIECE;
    int number = m->os->read(m->os, from, piece, want, at, &got);
    if (number)
      result = os_fail(error, number, "read", from_path);
    else if (got < want || size < HEADER)
      result = fail_corrupt(error, from_path, at + got, "manifest copy is whole");
    else if (at == 0) { /* checksums of records do not depend on the number */
      if (load64(piece + 24) != hash64(piece, 24))
        result = fail_corrupt(error, from_path, 0, "manifest copy's header");
      store64(piece + 8, m->number);
      store64(piece + 24, hash64(piece, 24));
    }
    if (!result && (number = m->os->write(m->os, m->file, piece, got, at)) != 0)
      result = os_fail(error, number, "write", m->path);
  }
  mem_free(piece);
  return result;
}

int manifest_copy(const struct os *os, struct os_file *from, const char *from_path, uint64_t size,
                  const char *store, uint64_t number, struct manifest **copy, tally_error *error) {
  struct manifest *m = manifest_new(os, store, error);
  if (!m) return error->code;
  m->number = number;
  m->path = make_path(store, number, ".tmp");
  int result = m->path ? 0 : fail_memory(error, "a copy of the manifest"), code;
  if (!result) {
    (void)os->unlink(os, m->path); /* one that a crash left */
    code = os->open(os, m->path, OS_CREATE, &m->file);
    if (code) result = os_fail(error, code, "create", m->path);
  }
  if (!result) result = copy_edits(m, from, from_path, size, error);
  if (!result && (result = load(m, NULL, true, error)) == TALLY_CORRUPT)
    error_where(error, "copying %s", from_path);
  if (!result && (code = os->sync(os, m->file)) != 0) result = os_fail_sync(error, code, m->path);
  if (result) {
    if (m->file) (void)os->unlink(os, m->path);
    manifest_close(m);
  } else {
    *copy = m;
  }
  return result;
}

int manifest_publish(struct manifest *m, tally_error *error) {
  char *path = make_path(m->store, m->number, "");
  if (!path) return fail_memory(error, "the manifest");
  int number = m->os->rename(m->os, m->path, path);
  if (number) {
    mem_free(path);
    return os_fail(error, number, "rename", m->path);
  }
  mem_free(m->path);
  m->path = path;
  number = m->os->sync_directory(m->os, m->store);
  return number ? os_fail_sync(error, number, m->store) : 0;
}

/* The file that was read may be in the page cache alone: its last edit's sync, or that of its name, may have
 * failed or never have come. */
int manifest_renew(struct manifest *m, tally_error *error) {
  struct manifest *copy;
  int result = manifest_copy(m->os, m->file, m->path, m->size, m->store, m->number + 1, &copy, error);
  if (result) return result;
  result = manifest_publish(copy, error);
  if (!result) {
    m->os->close(m->os, m->file);
    mem_free(m->path);
    m->file = copy->file;
    m->path = copy->path;
    m->number = copy->number;
    copy->file = NULL;
    copy->path = NULL;
    remove_leftovers(m);
  }
  manifest_close(copy);
  return result;
}

int manifest_commit(struct manifest *m, const struct edit *edit, tally_error *error) {
  uint64_t size = 0;
  int result = reserve_segments(m, edit->added_count, error);
  if (!result) result = write_record(m, edit, &size, error);
  if (result) return result;
  int number = m->os->sync(m->os, m->file);
  if (number) return os_fail_sync(error, number, m->path);
  m->size += size;
  m->edits++;
  m->state = edit->state;
  for (uint32_t i = 0; i < edit->removed_count; i++) (void)remove_segment(m, edit->removed[i]);
  for (uint32_t i = 0; i < edit->added_count; i++) m->segment[m->segments++] = edit->added[i];
  return 0;
}

bool manifest_wants_checkpoint(const struct manifest *m) {
  return m->size > 4 * m->checkpoint_size + (1u << 20);
}

int manifest_checkpoint(struct manifest *m, const struct buffer *marks, tally_error *error) {
  struct edit edit = {.checkpoint = true,
                      .state = m->state,
                      .added = m->segment,
                      .added_count = (uint32_t)m->segments,
                      .marks = marks->data,
                      .marks_size = (uint32_t)marks->size};
  struct manifest old = *m;
  m->file = NULL;
  m->path = NULL;
  m->number++;
  int result = begin_file(m, &edit, error);
  if (result) { /* the old file is still the store's */
    if (m->file) m->os->close(m->os, m->file);
    mem_free(m->path);
    old.scratch = m->scratch;
    *m = old;
    return result;
  }
  m->os->close(m->os, old.file);
  (void)m->os->unlink(m->os, old.path);
  mem_free(old.path);
  return 0;
}

void manifest_close(struct manifest *m) {
  if (!m) return;
  if (m->file) m->os->close(m->os, m->file);
  buffer_free(&m->scratch);
  mem_free(m->segment);
  mem_free(m->path);
  mem_free(m->store);
  mem_free(m);
}

int manifest_verify(struct manifest *m,
                    void (*found)(void *arg, const char *file, uint64_t offset, const char *problem),
                    void *arg, tally_error *error) {
  struct manifest reader = {.os = m->os, .file = m->file, .path = m->path, .number = m->number};
  uint64_t size = m->size;
  int result = check_header(&reader, error);
  const char *name = strrchr(m->path, '/') + 1;
  if (result == TALLY_CORRUPT) {
    found(arg, name, 0, error->text);
    return 0;
  }
  for (uint64_t offset = HEADER; !result && offset < size; reader.edits++) {
    struct edit_parts parts;
    const char *bad;
    bool end;
    uint64_t next = 0;
    result = read_record(&reader, offset, size, &parts, &next, &bad, &end, error);
    if (result) break;
    if (bad) {
      found(arg, name, offset, bad);
      break;
    }
    offset = next;
  }
  buffer_free(&reader.scratch);
  return result;
}
