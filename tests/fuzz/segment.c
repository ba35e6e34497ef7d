/* segment.c - fuzzes a segment's file: opened, checked, and read in every way there is. What the manifest
 * says of it is taken from the file itself, so that its directory is believed as far as it makes sense.
 *
 * A part of a chunk has NULL where the whole chunk has it (values under a seal that no writer makes may
 * differ: engine/encoding/ints.c clamps them); runs are found by row and by key; and no read finds damage
 * that the check does not find. */
#include <stdlib.h>

#include "base/bitmap.h"
#include "base/hash.h"
#include "base/mem.h"
#include "fuzz/fuzz.h"
#include "segment/inside.h"
#include "segment/place.h"

#define BOUND (8u << 20) /* a check's own cache is 4 MiB, the widest index of SEGMENT_ROWS rows is less */

static struct {
  int64_t values[CHUNK_ROWS], part[CHUNK_ROWS], ids[CHUNK_ROWS];
  uint64_t valid[CHUNK_ROWS / 64], part_valid[CHUNK_ROWS / 64], at[CHUNK_ROWS + 1];
  uint32_t service[RUN_PIECE], user[RUN_PIECE], row[RUN_PIECE + 1], bound[RUN_PIECE + 1], count[4][RUN_PIECE];
  int64_t sums[2][RUN_PIECE];
  uint32_t bucket[ROLLUP_PIECE], key[ROLLUP_PIECE], rows[ROLLUP_PIECE], errors[ROLLUP_PIECE],
      bins[ROLLUP_PIECE];
  struct measure measure[MEASURES][ROLLUP_PIECE];
  int64_t users[USERS_PIECE];
} m;

static unsigned faults;
static void found(void *arg, const char *file, uint64_t offset, const char *problem) {
  (void)arg;
  (void)file;
  (void)offset;
  require(*problem, "a fault has a text");
  faults++;
}

/* The manifest's word on a file whose footer names a directory; rows 1 where the directory is no good. */
static bool info_of(const uint8_t *data, size_t size, struct segment_info *info) {
  if (size < SEGMENT_HEADER + TRAILER_BYTES + SEGMENT_FOOTER) return false;
  const uint8_t *footer = data + size - SEGMENT_FOOTER;
  uint64_t at = load64(footer), length = load64(footer + 8);
  *info = (struct segment_info){.id = load64(data + 8), .rows = 1, .size = size};
  memcpy(info->digest, footer + FOOTER_DIGEST, sizeof info->digest);
  if (at < SEGMENT_HEADER || at > size - SEGMENT_FOOTER || length != size - SEGMENT_FOOTER - at ||
      length <= TRAILER_BYTES)
    return true;
  struct directory d = {0};
  struct budget budget;
  tally_error e;
  fuzz_budget(&budget);
  if (directory_decode(&d, data + at, (size_t)length - TRAILER_BYTES, at, "segment", &budget, &e))
    return true;
  info->rows = d.rows;
  info->month = d.month;
  info->thinned = d.thinned;
  info->min_timestamp = d.total.min_timestamp;
  info->max_timestamp = d.total.max_timestamp;
  directory_free(&d, &budget);
  fuzz_budget_end(&budget);
  return true;
}

static void expect(int result, const tally_error *e) {
  require(!result || result == TALLY_CORRUPT || result == TALLY_OVERFLOW, "%d: %s", result, e->text);
}

static void read_chunk(struct segment *s, uint32_t chunk) {
  tally_error e = {0};
  uint32_t rows = segment_chunk_rows(s, chunk), from = rows / 3, n = (rows - from + 1) / 2, ids;
  for (int c = 0; c < TALLY_COL_METADATA; c++) {
    bool all, part_all;
    int result = segment_values(s, c, chunk, 0, rows, m.values, m.valid, &all, &e);
    expect(result, &e);
    if (!result && !segment_values(s, c, chunk, from, n, m.part, m.part_valid, &part_all, &e))
      for (uint32_t i = 0; i < n; i++) {
        bool there = all || bitmap_get(m.valid, from + i),
             there_too = part_all || bitmap_get(m.part_valid, i);
        require(there == there_too, "column %d row %u of chunk %u in part", c, from + i, chunk);
      }
    if (c == TALLY_COL_ENDPOINT || c == TALLY_COL_METHOD) {
      result = segment_distinct(s, c, chunk, m.ids, &ids, &e);
      expect(result, &e);
      require(result || ids <= CHUNK_ROWS, "%u distinct ids", ids);
    }
  }
  struct buffer bytes = {0};
  struct ints_scratch scratch = {0};
  bool all;
  int result =
      segment_metadata(s, chunk, 0, segment_chunk_rows(s, chunk), &scratch, m.at, &bytes, m.valid, &all, &e);
  ints_scratch_free(&scratch);
  expect(result, &e);
  if (!result)
    for (uint32_t i = 0; i < rows; i++)
      require(m.at[i] <= m.at[i + 1] && m.at[i + 1] <= bytes.size, "metadata of row %u is in the bytes", i);
  buffer_free(&bytes);
}

static void read_runs(struct segment *s, uint32_t first) {
  tally_error e = {0};
  uint32_t n = s->runs - first < RUN_PIECE ? s->runs - first : RUN_PIECE, run;
  int result = segment_runs(s, first, n, m.service, m.user, m.row, &e);
  expect(result, &e);
  if (result) return;
  result = segment_run_bounds(s, first, n, m.bound, &e);
  expect(result, &e);
  for (uint32_t i = 0; i < n && !result; i++) {
    require(m.bound[i] == m.row[i] && m.bound[i] <= s->info.rows && m.bound[i] < m.bound[i + 1],
            "run %u has rows", first + i);
    if (i % 7 == 0 && !segment_run_of_row(s, m.row[i], &run, &e))
      require(run == first + i, "row %u is of run %u, not %u", m.row[i], first + i, run);
    bool there;
    struct found_run it;
    if (i % 5 == 0 && !segment_find_run(s, m.service[i], m.user[i], &there, &it, &e) && there && !faults)
      require(it.run == first + i && it.first_row == m.bound[i] && it.end_row == m.bound[i + 1],
              "run %u is found as %u, rows %u to %u", first + i, it.run, it.first_row, it.end_row);
  }
  struct run_sums sums = {m.count[0], m.count[1], m.count[2], m.count[3], m.sums[0], m.sums[1]};
  if (s->sums_fit) expect(segment_run_sums(s, first, n, &sums, &e), &e);
}

static void read_rollups(struct segment *s) {
  tally_error e = {0};
  struct rollup_entries all = {.bucket = m.bucket, .key = m.key, .rows = m.rows, .bounds = true};
  for (int i = 0; i < MEASURES; i++) all.measure[i] = m.measure[i];
  for (int level = 0; level < ROLLUP_LEVELS; level++) {
    uint32_t first, end, count = 0,
                         keys = rollup_of_users((enum rollup_level)level) ? s->user_keys : s->rollup_keys;
    struct rollup_key *key = calloc((size_t)keys + 1, sizeof *key);
    if (!key) abort();
    if (keys) expect(segment_rollup_keys(s, (enum rollup_level)level, key, &e), &e);
    free(key);
    all.errors = rollup_of_users((enum rollup_level)level) ? m.errors : NULL;
    segment_rollup_pieces(s, (enum rollup_level)level, 0, MONTH_HOURS, &first, &end);
    for (uint32_t piece = first; piece < end; piece++) {
      int result = segment_rollup(s, (enum rollup_level)level, piece, 0, MONTH_HOURS, &all, &count, &e);
      expect(result, &e);
      for (uint32_t i = 0; i < count && !result; i++)
        require(m.key[i] < keys && m.rows[i] > 0, "entry %u of piece %u has a key and rows", i, piece);
      if (level != ROLLUP_HOUR || !s->info.thinned) continue;
      struct buffer values = {0}, counts = {0};
      expect(segment_histograms(s, piece, 0, MONTH_HOURS, m.bins, &values, &counts, &e), &e);
      buffer_free(&values);
      buffer_free(&counts);
    }
  }
  for (uint32_t set = 0; set < s->user_sets; set++)
    for (uint32_t first = 0, n; first < s->user_set[set].users; first += n) {
      n = s->user_set[set].users - first < USERS_PIECE ? s->user_set[set].users - first : USERS_PIECE;
      expect(segment_users(s, set, first, n, m.users, &e), &e);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct segment_info info;
  struct budget budget;
  struct cache *cache;
  struct segment *s;
  tally_error e = {0};
  fuzz_bound(BOUND, 64, size);
  if (!info_of(data, size, &info)) return 0;
  fuzz_budget(&budget);
  if (cache_new(1u << 20, &budget, &cache, &e)) abort();
  int result = segment_open(fuzz_file(data, size), "s", &info, cache, &budget, &s, &e);
  require(!result || result == TALLY_CORRUPT || result == TALLY_VERSION, "%d: %s", result, e.text);
  if (!result) {
    faults = 0;
    require(segment_verify(s, NULL, found, NULL, &e) == 0, "%s", e.text);
    for (uint32_t chunk = 0; chunk < s->chunks; chunk++) read_chunk(s, chunk);
    for (uint32_t run = 0; run < s->runs; run += RUN_PIECE) read_runs(s, run);
    read_rollups(s);
    require(faults || !segment_quarantined(s), "a read finds damage that the check does not find");
    segment_unref(s);
  }
  cache_free(cache);
  fuzz_budget_end(&budget);
  fuzz_unbound();
  return 0;
}

/* ------------------------------------------------------------------ mutation */

static void seal_block(uint8_t *data, uint64_t id, uint64_t at, uint64_t end) {
  uint8_t *trailer = data + end - TRAILER_BYTES;
  struct digest d = digest_of(data + at, (size_t)(end - at) - TRAILER_BYTES, block_seed(id, at));
  memcpy(trailer, d.bytes, sizeof d.bytes);
  trailer[TRAILER_SCHEME] = SCHEME_XXH3;
  trailer[TRAILER_LENGTH] = TRAILER_BYTES;
}

static void seal_directory(uint8_t *data, size_t size, uint64_t at) {
  uint8_t *footer = data + size - SEGMENT_FOOTER;
  uint64_t end = size - SEGMENT_FOOTER;
  seal_block(data, load64(data + 8), at, end);
  store64(footer + FOOTER_OFFSET, at);
  store64(footer + FOOTER_SIZE, end - at);
  memcpy(footer + FOOTER_DIGEST, data + end - TRAILER_BYTES, 16);
  store16(footer + FOOTER_VERSION, SEGMENT_VERSION);
  store16(footer + FOOTER_ZERO, 0);
  store32(footer + FOOTER_MAGIC, SEGMENT_MAGIC);
}

/* Changes one block; the directory is written anew with the places of those behind it. */
static size_t mutate_block(uint8_t *data, size_t size, size_t max, struct directory *d, unsigned *seed) {
  uint32_t block = fuzz_draw(seed, d->blocks);
  uint64_t at = d->at[block], end = d->at[block + 1], id = load64(data + 8);
  if (end - at <= TRAILER_BYTES) return size;
  size_t room = max > 512 ? max - 256 : max; /* the directory may grow */
  if (room < size) room = size;
  uint64_t changed =
      fuzz_mutate(data, &size, room, at, end - TRAILER_BYTES, fuzz_draw(seed, 2)) + TRAILER_BYTES;
  for (uint32_t b = block + 1; b <= d->blocks; b++) d->at[b] = d->at[b] - end + changed;
  seal_block(data, id, at, changed);
  for (uint32_t b = block + 1; changed != end && b < d->blocks; b++)
    if (d->at[b + 1] > d->at[b]) seal_block(data, id, d->at[b], d->at[b + 1]);
  struct buffer out = {0};
  struct ints_scratch scratch = {0};
  directory_encode(d, &out, &scratch);
  uint64_t from = d->at[d->blocks];
  size_t whole = (size_t)from + out.size + TRAILER_BYTES + SEGMENT_FOOTER;
  if (!out.failed && whole <= max) {
    memcpy(data + from, out.data, out.size);
    size = whole;
    seal_directory(data, size, from);
  }
  buffer_free(&out);
  ints_scratch_free(&scratch);
  return size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed) {
  struct directory d = {0};
  struct budget budget;
  tally_error e;
  if (size < SEGMENT_HEADER + TRAILER_BYTES + SEGMENT_FOOTER || fuzz_draw(&seed, 16) == 0)
    return LLVMFuzzerMutate(data, size, max);
  uint64_t at = load64(data + size - SEGMENT_FOOTER), end = size - SEGMENT_FOOTER;
  if (at < SEGMENT_HEADER || at >= end - TRAILER_BYTES) return LLVMFuzzerMutate(data, size, max);
  fuzz_budget(&budget);
  bool known = !directory_decode(&d, data + at, (size_t)(end - at) - TRAILER_BYTES, at, "s", &budget, &e);
  if (known && d.blocks && fuzz_draw(&seed, 5)) {
    size = mutate_block(data, size, max, &d, &seed);
  } else {
    (void)fuzz_mutate(data, &size, max, (size_t)at, (size_t)end - TRAILER_BYTES, fuzz_draw(&seed, 4) != 0);
    seal_directory(data, size, at);
  }
  if (known) directory_free(&d, &budget);
  return size;
}
