/* manifest.c - fuzzes opening a manifest: its edits are written again with the same bytes, its state survives
 * a new checkpoint, and its check agrees. */
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "disk/disk.h"
#include "fuzz/fuzz.h"
#include "manifest/manifest.h"

#define STORE "/s"
#define NUMBER 1u
#define HEADER 32u
#define HEAD 16u
#define TRAILER 16u

static const char path[] = STORE "/MANIFEST-0000000000000001";

static void put_file(struct disk *disk, const uint8_t *data, size_t size) {
  const struct os *os = disk_os(disk);
  struct os_file *file;
  if (os->mkdir(os, STORE) || os->open(os, path, OS_CREATE, &file) || os->write(os, file, data, size, 0))
    abort();
  os->close(os, file);
}

/* The edit of a payload, written again. */
static void write_again(const uint8_t *payload, size_t size) {
  struct edit_parts parts;
  struct buffer out = {0};
  require(edit_read(payload, size, &parts) == NULL, "an edit of an open manifest is one");
  struct segment_info *added = calloc(parts.added_count + 1, sizeof *added);
  uint64_t *removed = calloc(parts.removed_count + 1, sizeof *removed);
  if (!added || !removed) abort();
  for (uint32_t i = 0; i < parts.removed_count; i++) removed[i] = read64(&parts.removed);
  for (uint32_t i = 0; i < parts.added_count; i++)
    require(edit_next_added(&parts, &added[i]), "a segment of an open manifest is one");
  struct edit edit = {.checkpoint = parts.checkpoint,
                      .state = parts.state,
                      .added = added,
                      .added_count = parts.added_count,
                      .removed = removed,
                      .removed_count = parts.removed_count,
                      .marks = parts.marks.at,
                      .marks_size = (uint32_t)reader_left(&parts.marks)};
  edit_write(&edit, &out);
  require(out.size == size && memcmp(out.data, payload, size) == 0, "an edit is written as it was read");
  buffer_free(&out);
  free(added);
  free(removed);
}

static bool same_state(const struct store_state *a, const struct store_state *b) {
  return a->covered == b->covered && a->durable == b->durable && a->next_segment == b->next_segment &&
         a->next_wal == b->next_wal && memcmp(a->texts, b->texts, sizeof a->texts) == 0;
}

static void found(void *arg, const char *file, uint64_t offset, const char *problem) {
  (void)arg;
  fuzz_broken(__FILE__, __LINE__, "the check of an open manifest: %s: %llu: %s", file,
              (unsigned long long)offset, problem);
}

/* A new checkpoint holds all of what the edits held. */
static void checkpoint(struct disk *disk, struct manifest *m, struct producers *p, struct budget *budget) {
  struct buffer marks = {0}, again = {0};
  struct producers *q;
  struct manifest *n;
  tally_error e = {0};
  producers_write(p, true, &marks);
  require(manifest_checkpoint(m, &marks, &e) == 0, "%s", e.text);
  require(producers_new(budget, &q, &e) == 0, "%s", e.text);
  require(manifest_open(disk_os(disk), STORE, q, &n, &e) == 0, "a checkpoint opens: %s", e.text);
  require(same_state(&m->state, &n->state) && m->segments == n->segments, "the state of a checkpoint");
  for (size_t i = 0; i < m->segments; i++) {
    const struct segment_info *a = &m->segment[i], *b = &n->segment[i];
    require(a->id == b->id && a->month == b->month && a->rows == b->rows && a->size == b->size &&
                a->min_timestamp == b->min_timestamp && a->max_timestamp == b->max_timestamp &&
                a->thinned == b->thinned && a->archived == b->archived &&
                memcmp(a->digest, b->digest, 16) == 0,
            "segment %zu of a checkpoint", i);
    for (size_t k = 0; k < i; k++) require(m->segment[k].id != a->id, "two segments have one id");
  }
  require(producers_count(p) == producers_count(q), "the producers of a checkpoint");
  producers_write(q, true, &again);
  require(again.size == marks.size, "the marks of a checkpoint");
  manifest_close(n);
  producers_free(q);
  buffer_free(&marks);
  buffer_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct disk *disk = disk_new(1);
  struct budget budget;
  struct producers *p;
  struct manifest *m;
  tally_error e = {0};
  put_file(disk, data, size);
  fuzz_budget(&budget);
  fuzz_bound(1 << 16, 16, size);
  if (producers_new(&budget, &p, &e)) abort();
  int result = manifest_open(disk_os(disk), STORE, p, &m, &e);
  require(!result || result == TALLY_CORRUPT || result == TALLY_VERSION, "%d: %s", result, e.text);
  if (!result) {
    require(m->size <= size, "it ends in the file");
    for (uint64_t at = HEADER; at < m->size;) {
      uint32_t payload = load32(data + at);
      write_again(data + at + HEAD, payload);
      at += HEAD + (uint64_t)payload + TRAILER;
    }
    require(manifest_verify(m, found, NULL, &e) == 0, "%s", e.text);
    checkpoint(disk, m, p, &budget);
    manifest_close(m);
  }
  producers_free(p);
  fuzz_unbound();
  fuzz_budget_end(&budget);
  disk_free(disk);
  return 0;
}

/* ------------------------------------------------------------------ mutation */

#define RECORDS 64u

static size_t find_records(const uint8_t *data, size_t size, size_t at[RECORDS + 1]) {
  size_t n = 0, offset = HEADER;
  at[0] = offset;
  while (n < RECORDS && offset + HEAD + TRAILER <= size) {
    uint32_t payload = load32(data + offset);
    if (payload > size - offset - HEAD - TRAILER) break;
    at[++n] = offset += HEAD + payload + TRAILER;
  }
  return n;
}

static void seal(uint8_t *data, size_t size, bool count) {
  if (size < HEADER) return;
  store64(data + 8, NUMBER);
  uint64_t salt = load64(data + 16), check = hash64(data, 24);
  store64(data + 24, check);
  size_t at[RECORDS + 1], n = find_records(data, size, at);
  for (size_t i = 0; i < n; i++) {
    uint8_t key[20], *p = data + at[i];
    uint32_t payload = load32(p);
    store64(key, salt);
    store64(key + 8, at[i]);
    store32(key + 16, payload);
    store32(p + 4, (uint32_t)hash64(key, sizeof key));
    if (count) store64(p + 8, i);
    struct digest d = digest_of(p, HEAD + payload, salt + at[i]);
    memcpy(p + HEAD + payload, d.bytes, sizeof d.bytes);
  }
}

/* Makes the counts of an edit's parts fill it, by the marks. */
static void fit_marks(uint8_t *payload, size_t size) {
  enum { ADDED = 49, REMOVED = 53, MARKS = 57, PARTS = 61 };
  if (size < PARTS) return;
  uint64_t parts = PARTS + load32(payload + ADDED) * UINT64_C(60) + load32(payload + REMOVED) * UINT64_C(8);
  if (parts <= size) store32(payload + MARKS, (uint32_t)(size - parts));
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed) {
  size_t at[RECORDS + 1], n = size < HEADER ? 0 : find_records(data, size, at);
  uint32_t what = fuzz_draw(&seed, 8);
  size_t i = n ? fuzz_draw(&seed, (uint32_t)n) : 0;
  if (n == 0 || what == 0) {
    size = LLVMFuzzerMutate(data, size, max);
  } else if (what == 1) {
    (void)fuzz_repeat(data, &size, max, at[i], at[i + 1]);
  } else if (what == 2) {
    fuzz_cut(data, &size, at[i], at[i + 1]);
  } else {
    size_t end = fuzz_mutate(data, &size, max, at[i] + HEAD, at[i + 1] - TRAILER, what == 3);
    store32(data + at[i], (uint32_t)(end - at[i] - HEAD));
    if (what > 4) fit_marks(data + at[i] + HEAD, end - at[i] - HEAD);
  }
  if (fuzz_draw(&seed, 16)) seal(data, size, fuzz_draw(&seed, 8) != 0);
  return size;
}
