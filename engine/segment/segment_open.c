/* segment_open.c - opening a segment: header, footer and directory are read and checked against each other
 * and against the manifest, so that everything read later has a checked place. */
#include "base/mem.h"
#include "base/status.h"
#include "segment/inside.h"
#include "segment/place.h"

/* The version stands in header and footer: another one is another format's only where both have it, else it
 * is damage, of this file alone. */
static int check_version(struct segment *s, uint16_t version, uint16_t zero, tally_error *error) {
  struct segment_inside *in = s->inside;
  uint8_t other[SEGMENT_FOOTER];
  if (version == SEGMENT_VERSION)
    return zero == 0 ? 0 : fail_corrupt(error, in->path, 4, "segment-version-padding");
  int result =
      block_read(in->os, in->file, in->path, s->info.size - SEGMENT_FOOTER, other, sizeof other, error);
  if (result) return result;
  if (load16(other + FOOTER_VERSION) != version)
    return fail_corrupt(error, in->path, 4, "segment-header-version");
  return fail(error, TALLY_VERSION,
              "%s is a segment of format version %u and this program reads %u: use the program that "
              "wrote it",
              in->path, version, SEGMENT_VERSION);
}

static int check_header(struct segment *s, tally_error *error) {
  struct segment_inside *in = s->inside;
  uint8_t h[SEGMENT_HEADER];
  int result = block_read(in->os, in->file, in->path, 0, h, sizeof h, error);
  if (result) return result;
  if (load32(h) != SEGMENT_MAGIC) return fail_corrupt(error, in->path, 0, "segment-header-magic");
  result = check_version(s, load16(h + 4), load16(h + 6), error);
  if (result) return result;
  return load64(h + 8) == s->info.id ? 0 : fail_corrupt(error, in->path, 8, "segment-header-id");
}

/* Finds the directory by the footer. */
static int check_footer(struct segment *s, uint64_t *directory, uint64_t *size, tally_error *error) {
  struct segment_inside *in = s->inside;
  uint8_t f[SEGMENT_FOOTER];
  uint64_t at = s->info.size - SEGMENT_FOOTER;
  int result = block_read(in->os, in->file, in->path, at, f, sizeof f, error);
  if (result) return result;
  if (load32(f + FOOTER_MAGIC) != SEGMENT_MAGIC)
    return fail_corrupt(error, in->path, at, "segment-footer-magic");
  if (load16(f + FOOTER_VERSION) != SEGMENT_VERSION || load16(f + FOOTER_ZERO))
    return fail_corrupt(error, in->path, at, "segment-footer-version");
  *directory = load64(f + FOOTER_OFFSET);
  *size = load64(f + FOOTER_SIZE);
  if (*directory < SEGMENT_HEADER || *directory > at || *size != at - *directory)
    return fail_corrupt(error, in->path, at, "segment-footer-place");
  if (memcmp(f + FOOTER_DIGEST, s->info.digest, sizeof s->info.digest) != 0)
    return fail_corrupt(error, in->path, at, "segment-footer-digest");
  return 0;
}

/* Reads and verifies the directory block; the digest must be the manifest's. */
static int read_directory(struct segment *s, uint64_t at, uint64_t size, uint8_t *bytes, tally_error *error) {
  struct segment_inside *in = s->inside;
  int result = block_read(in->os, in->file, in->path, at, bytes, size, error);
  if (!result) result = block_verify(in->path, s->info.id, at, bytes, size, error);
  if (result) return result;
  if (memcmp(bytes + size - TRAILER_BYTES, s->info.digest, sizeof s->info.digest) != 0)
    return fail_corrupt(error, in->path, at, "segment-directory-digest");
  return directory_decode(&in->directory, bytes, size - TRAILER_BYTES, at, in->path, in->budget, error);
}

static int load_directory(struct segment *s, tally_error *error) {
  struct segment_inside *in = s->inside;
  uint64_t at = 0, size = 0;
  int result = check_footer(s, &at, &size, error);
  if (result) return result;
  if (!budget_take(in->budget, size))
    return fail(
        error, TALLY_MEMORY_LIMIT,
        "the directory of %s needs %llu bytes that the memory budget does not have: raise the store's "
        "memory",
        in->path, (unsigned long long)size);
  uint8_t *bytes = mem_alloc(size);
  result = bytes ? read_directory(s, at, size, bytes, error) : fail_memory(error, "a segment's directory");
  mem_free(bytes);
  budget_give(in->budget, size);
  return result;
}

/* Copies what callers may look at out of the directory. */
static void expose(struct segment *s) {
  const struct directory *d = &s->inside->directory;
  s->chunks = d->chunks;
  s->runs = d->runs;
  s->services = d->services;
  s->sums_fit = d->sums_fit;
  s->has_service_totals = d->has_service_totals;
  s->total = d->total;
  s->service = d->service;
  s->span = d->span;
  int64_t end;
  (void)place_month(d->month, &s->start, &end);
  s->rollup_keys = d->rollup_keys;
  s->user_keys = d->user_keys;
  for (int level = 0; level < ROLLUP_LEVELS; level++) s->rollup_entries[level] = d->rollup[level].entries;
  s->rollup_bounds[ROLLUP_HOUR] = d->hour_bounds;
  s->rollup_bounds[ROLLUP_DAY] = true;
  s->rollup_bounds[ROLLUP_USER_HOUR] = s->rollup_bounds[ROLLUP_USER_DAY] = d->thinned;
  s->user_sets = d->user_sets;
  s->user_set = d->user_set;
  memcpy(s->max_id, d->max_id, sizeof s->max_id);
}

static int check_info(const struct segment *s, tally_error *error) {
  const struct directory *d = &s->inside->directory;
  const struct segment_info *info = &s->info;
  if (d->rows != info->rows || d->month != info->month || d->thinned != info->thinned ||
      d->total.min_timestamp != info->min_timestamp || d->total.max_timestamp != info->max_timestamp)
    return fail_corrupt(error, s->inside->path, d->at[d->blocks], "segment-manifest-disagrees");
  return 0;
}

static int open_file(struct segment *s, tally_error *error) {
  struct segment_inside *in = s->inside;
  uint64_t size = 0;
  int number = in->os->open(in->os, in->path, OS_READ, &in->file);
  if (number) {
    in->file = NULL;
    return os_fail(error, number, "open", in->path);
  }
  number = in->os->size(in->os, in->file, &size);
  if (number) return os_fail(error, number, "find the size of", in->path);
  if (size != s->info.size || size < SEGMENT_HEADER + TRAILER_BYTES + SEGMENT_FOOTER)
    return fail_corrupt(error, in->path, size, "segment-file-size");
  int result = check_header(s, error);
  if (!result) result = load_directory(s, error);
  if (!result) result = check_info(s, error);
  return result;
}

static void free_segment(struct segment *s) {
  struct segment_inside *in = s->inside;
  if (in->file) in->os->close(in->os, in->file);
  directory_free(&in->directory, in->budget);
  mem_free(in->path);
  mem_free(in);
  mem_free(s);
}

static struct segment *new_segment(const struct os *os, const char *store, const struct segment_info *info,
                                   struct cache *cache, struct budget *budget) {
  struct segment *s = mem_zalloc(1, sizeof *s);
  struct segment_inside *in = mem_zalloc(1, sizeof *in);
  char *path = place_path(store, info);
  if (!s || !in || !path) {
    mem_free(s);
    mem_free(in);
    mem_free(path);
    return NULL;
  }
  s->info = *info;
  s->inside = in;
  in->os = os;
  in->cache = cache;
  in->budget = budget;
  in->path = path;
  atomic_init(&in->references, 1);
  atomic_init(&in->quarantined, false);
  return s;
}

int segment_open(const struct os *os, const char *store, const struct segment_info *info, struct cache *cache,
                 struct budget *budget, struct segment **segment, tally_error *error) {
  struct segment *s = new_segment(os, store, info, cache, budget);
  if (!s) return fail_memory(error, "a segment");
  int result = open_file(s, error);
  if (result) {
    free_segment(s);
    return result;
  }
  expose(s);
  *segment = s;
  return 0;
}

int segment_absent(const struct os *os, const char *store, const struct segment_info *info,
                   struct cache *cache, struct budget *budget, struct segment **segment, tally_error *error) {
  struct segment *s = new_segment(os, store, info, cache, budget);
  if (!s) return fail_memory(error, "a segment");
  segment_quarantine(s);
  *segment = s;
  return 0;
}

bool segment_quarantined(const struct segment *s) {
  return atomic_load_explicit(&s->inside->quarantined, memory_order_relaxed);
}
void segment_quarantine(struct segment *s) { atomic_store(&s->inside->quarantined, true); }
bool segment_readable(const struct segment *s) { return s->inside->file != NULL; }

struct os_file *segment_file(const struct segment *s) {
  return s->inside->file;
}

void segment_ref(struct segment *s) {
  atomic_fetch_add_explicit(&s->inside->references, 1, memory_order_relaxed);
}

void segment_unref(struct segment *s) {
  if (s && atomic_fetch_sub_explicit(&s->inside->references, 1, memory_order_acq_rel) == 1) free_segment(s);
}
