/* segment_damage.c - damage to a segment's file is an error or changes nothing; it is never another answer.
 */
#include "segment/inside.h"
#include "segment_fixture.h"

static struct rollup_piece {
  uint32_t bucket[ROLLUP_PIECE], key[ROLLUP_PIECE], rows[ROLLUP_PIECE];
  struct measure measure[MEASURES][ROLLUP_PIECE];
  struct rollup_key keys[4096];
  int64_t users[USERS_PIECE];
} rollup_piece;

static uint64_t mix_entries(uint64_t h, const struct rollup_piece *p, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    h = hash_mix(h ^ p->bucket[i] ^ (uint64_t)p->key[i] << 32) + p->rows[i] + p->keys[p->key[i]].status;
    for (int m = 0; m < MEASURES; m++)
      h = hash_mix(h ^ (uint64_t)p->measure[m][i].sum) + (uint64_t)p->measure[m][i].min +
          hash_mix((uint64_t)p->measure[m][i].max) + p->measure[m][i].nonnull;
  }
  return h;
}

static int digest_rollups(struct segment *s, uint64_t *h, tally_error *error) {
  struct rollup_piece *p = &rollup_piece;
  struct rollup_entries e = {.bucket = p->bucket, .key = p->key, .rows = p->rows, .bounds = true};
  for (int m = 0; m < MEASURES; m++) e.measure[m] = p->measure[m];
  int result = 0;
  if (s->rollup_keys > 4096) return 0; /* nonsense that the test has no room for */
  if (s->rollup_keys) result = segment_rollup_keys(s, ROLLUP_HOUR, p->keys, error);
  for (int level = 0; level < ROLLUP_LEVELS && !result; level++) {
    uint32_t first, end, count = 0;
    segment_rollup_pieces(s, (enum rollup_level)level, 0, 744, &first, &end);
    for (; first < end && !result; first++) {
      result = segment_rollup(s, (enum rollup_level)level, first, 0, 744, &e, &count, error);
      if (!result) *h = mix_entries(*h, p, count);
    }
  }
  for (uint32_t set = 0; set < s->user_sets && !result; set++) {
    uint32_t all = s->user_set[set].users;
    *h = hash_mix(*h ^ s->user_set[set].day);
    for (uint32_t first = 0; first < all && !result; first += USERS_PIECE) {
      uint32_t n = all - first < USERS_PIECE ? all - first : USERS_PIECE;
      result = segment_users(s, set, first, n, p->users, error);
      for (uint32_t i = 0; i < n && !result; i++) *h = hash_mix(*h ^ (uint64_t)p->users[i]);
    }
  }
  return result;
}

/* With a cache of its own, as blocks are kept by the segment's number; free that in any case. */
static int open_anew(struct fixture *f, struct cache **cache, struct segment **s, tally_error *error) {
  cr_assert_eq(cache_new(1u << 20, &f->budget, cache, error), 0);
  return segment_open(os_posix(), f->path, &f->info, *cache, &f->budget, s, error);
}

/* Everything a segment says, in 64 bits; false (with a code other than success) if it says it is damaged. */
static bool digest_segment(struct fixture *f, uint64_t *digest, tally_error *error) {
  struct segment *s;
  struct cache *cache;
  int result = open_anew(f, &cache, &s, error);
  bool opened = result == 0;
  uint64_t h = 1;
  static int64_t values[CHUNK_ROWS];
  static uint64_t valid[CHUNK_ROWS / 64], at[CHUNK_ROWS + 1];
  bool all;
  for (uint32_t chunk = 0; !result && chunk < s->chunks; chunk++) {
    uint32_t rows = segment_chunk_rows(s, chunk);
    for (int column = 0; !result && column < TALLY_COL_METADATA; column++) {
      result = segment_values(s, column, chunk, 0, rows, values, valid, &all, error);
      for (uint32_t i = 0; !result && i < rows; i++)
        h = hash_mix(h ^ (uint64_t)values[i]) + (all || bitmap_get(valid, i));
    }
    struct buffer bytes = {0};
    struct ints_scratch scratch = {0};
    if (!result)
      result = segment_metadata(s, chunk, 0, segment_chunk_rows(s, chunk), &scratch, at, &bytes, valid, &all,
                                error);
    ints_scratch_free(&scratch);
    if (!result) h = hash_mix(h ^ hash64(bytes.data ? (const char *)bytes.data : "", bytes.size)) + at[rows];
    buffer_free(&bytes);
  }
  for (uint32_t run = 0; !result && run < s->runs; run += 100) {
    uint32_t user[100], row[100], errors[100], n = s->runs - run < 100 ? s->runs - run : 100;
    int64_t tokens[100], cost[100];
    result = segment_runs(s, run, n, NULL, user, row, error);
    struct run_sums sums = {.errors = errors, .tokens = tokens, .cost = cost};
    if (!result) result = segment_run_sums(s, run, n, &sums, error);
    for (uint32_t i = 0; !result && i < n; i++)
      h = hash_mix(h ^ user[i] ^ (uint64_t)row[i] << 32) + hash_mix((uint64_t)tokens[i] ^ (uint64_t)cost[i]) +
          errors[i];
  }
  if (!result) result = digest_rollups(s, &h, error);
  if (!result) h = hash_mix(h ^ (uint64_t)s->total.measure[1].sum ^ s->total.errors);
  if (opened) segment_unref(s);
  cache_free(cache);
  *digest = h;
  return result == 0;
}

static void expect_damage(struct fixture *f, uint64_t whole, const char *what, size_t at) {
  uint64_t digest;
  tally_error error = {0};
  if (digest_segment(f, &digest, &error)) {
    cr_assert_eq(digest, whole, "%s at %zu changed the answer", what, at);
    return;
  }
  cr_assert(error.code == TALLY_CORRUPT || error.code == TALLY_VERSION, "%s at %zu: %s", what, at,
            error.text);
  cr_assert(strstr(error.text, ".seg"), "%s", error.text);
}

Test(segment, flipped_bytes_and_cut_files_are_errors, .timeout = 120) {
  uint64_t random = sample_seed("segment_damage", 3);
  struct sample_shape shape = {700, 5, 2, 1, 1, 7, false, FEBRUARY_START, FEBRUARY_START + 3 * DAY_US};
  struct fixture f;
  fixture_write(&f, &random, &shape);
  char path[400];
  size_t size;
  uint8_t *bytes = fixture_file(&f, path, &size);
  uint64_t whole, again;
  tally_error error = {0};
  cr_assert(digest_segment(&f, &whole, &error), "%s", error.text);
  for (size_t i = 0; i < size; i += i < 64 || i + 1500 > size ? 1 : 1 + sample_below(&random, 40)) {
    uint8_t was = bytes[i];
    bytes[i] ^= (uint8_t)(1u << sample_below(&random, 8));
    fixture_put(path, bytes, size);
    expect_damage(&f, whole, "a flip", i);
    bytes[i] = was;
  }
  for (size_t cut = 0; cut < size; cut += 1 + sample_below(&random, (uint32_t)(size / 60))) {
    fixture_put(path, bytes, cut);
    cr_assert_not(digest_segment(&f, &again, &error));
    expect_damage(&f, whole, "a cut", cut);
  }
  fixture_put(path, bytes, size);
  cr_assert(digest_segment(&f, &again, &error));
  cr_assert_eq(again, whole);
  free(bytes);
  fixture_end(&f);
}

/* Makes a block that was changed one whose checksum is right: payload of `length` at `at`. */
static void seal_block(const struct fixture *f, uint8_t *bytes, uint64_t at, uint64_t length) {
  const struct digest d = digest_of(bytes + at, length, at ^ (f->info.id * UINT64_C(0x9E3779B97F4A7C15)));
  memcpy(bytes + at + length, d.bytes, 16);
}

/* Seals a changed directory again, so that only its meaning can give it away. */
static void reseal_directory(struct fixture *f, uint8_t *bytes, size_t size) {
  const uint64_t at = load64(bytes + size - 40), length = load64(bytes + size - 32) - 18;
  seal_block(f, bytes, at, length);
  memcpy(bytes + size - 24, bytes + at + length, 16);
  memcpy(f->info.digest, bytes + at + length, 16);
}

/* A segment's file, and a copy to be changed. */
struct nonsense {
  struct fixture f;
  char path[400];
  size_t size;
  uint8_t *bytes, *copy;
};

static void nonsense_begin(struct nonsense *n, uint64_t *random, const struct sample_shape *shape) {
  fixture_write(&n->f, random, shape);
  n->bytes = fixture_file(&n->f, n->path, &n->size);
  n->copy = malloc(n->size);
}

static void nonsense_end(struct nonsense *n) {
  free(n->copy);
  free(n->bytes);
  fixture_end(&n->f);
}

Test(segment, a_sealed_directory_of_nonsense_is_never_a_crash, .timeout = 120) {
  uint64_t random = sample_seed("segment_nonsense", 4);
  struct sample_shape shape = {5000, 300, 3, 5, 2, 7, false, FEBRUARY_START, FEBRUARY_END};
  struct nonsense n;
  nonsense_begin(&n, &random, &shape);
  uint64_t at = load64(n.bytes + n.size - 40), length = load64(n.bytes + n.size - 32) - 18, ignored;
  unsigned refused = 0;
  for (int round = 0; round < 1500; round++) {
    memcpy(n.copy, n.bytes, n.size);
    size_t place = at + sample_below(&random, (uint32_t)length);
    n.copy[place] = (uint8_t)sample_random(&random);
    if (round % 3 == 0) n.copy[place + (place + 1 < at + length)] = (uint8_t)sample_random(&random);
    reseal_directory(&n.f, n.copy, n.size);
    fixture_put(n.path, n.copy, n.size);
    tally_error error = {0};
    refused += !digest_segment(&n.f, &ignored, &error);
  }
  cr_assert(refused > 1000, "only %u of 1500 were noticed", refused);
  nonsense_end(&n);
}

Test(segment, a_sealed_rollup_of_nonsense_is_never_a_crash, .timeout = 120) {
  uint64_t random = sample_seed("segment_nonsense_rollups", 6);
  struct sample_shape shape = {9000, 20, 2, 1, 1, 5, false, FEBRUARY_START, FEBRUARY_START + DAY_US};
  struct nonsense n;
  nonsense_begin(&n, &random, &shape);
  struct segment *s = fixture_open(&n.f);
  const struct directory *d = &s->inside->directory;
  cr_assert(s->rollup_entries[ROLLUP_HOUR] && s->user_sets);
  unsigned refused = 0;
  for (int round = 0; round < 2000; round++) {
    uint32_t block = d->key_block + sample_below(&random, d->blocks - d->key_block);
    uint64_t at = d->at[block], length = d->at[block + 1] - at - 18, ignored;
    memcpy(n.copy, n.bytes, n.size);
    size_t place = at + sample_below(&random, (uint32_t)(length < 200 || round % 2 ? length : 200));
    n.copy[place] = (uint8_t)sample_random(&random);
    seal_block(&n.f, n.copy, at, length);
    fixture_put(n.path, n.copy, n.size);
    tally_error error = {0};
    refused += !digest_segment(&n.f, &ignored, &error);
  }
  cr_assert(refused > 500, "only %u of 2000 were noticed", refused);
  segment_unref(s);
  nonsense_end(&n);
}

/* What a segment says of parts and single rows of its columns is what it says of whole chunks, or nothing. */
static void compare_parts(struct segment *s, uint64_t *random, unsigned *read, unsigned *refused) {
  static int64_t whole[CHUNK_ROWS], part[CHUNK_ROWS];
  static uint64_t valid[CHUNK_ROWS / 64], part_valid[CHUNK_ROWS / 64];
  bool all, part_all;
  tally_error error;
  for (uint32_t chunk = 0; chunk < s->chunks; chunk++) {
    const uint32_t rows = segment_chunk_rows(s, chunk);
    for (int column = 0; column < TALLY_COL_METADATA; column++) {
      if (segment_values(s, column, chunk, 0, rows, whole, valid, &all, &error)) {
        ++*refused;
        continue;
      }
      ++*read;
      for (int i = 0; i < 8; i++) {
        const uint32_t first = sample_below(random, rows), count = 1 + sample_below(random, rows - first);
        const uint16_t place = (uint16_t)first;
        int64_t single;
        cr_assert_eq(segment_values(s, column, chunk, first, count, part, part_valid, &part_all, &error), 0);
        cr_assert_arr_eq(part, whole + first, count * sizeof *part, "column %d, chunk %u, rows %u + %u",
                         column, chunk, first, count);
        if (segment_pick(s, column, chunk, &place, 1, &single)) cr_assert_eq(single, whole[first]);
      }
    }
  }
}

Test(segment, sealed_chunks_of_nonsense_have_the_same_values_in_parts, .timeout = 120) {
  uint64_t random = sample_seed("segment_parts", 9);
  struct sample_shape shape = {9000, 20, 2, 1, 1, 5, false, FEBRUARY_START, FEBRUARY_START + DAY_US};
  struct nonsense n;
  nonsense_begin(&n, &random, &shape);
  struct segment *s = fixture_open(&n.f);
  const struct directory *d = &s->inside->directory;
  tally_error error;
  unsigned read = 0, refused = 0;
  for (int round = 0; round < 600; round++) {
    memcpy(n.copy, n.bytes, n.size);
    for (uint32_t block = 0; block < d->key_block; block++) {
      const uint64_t at = d->at[block], length = d->at[block + 1] - at;
      if (length <= 18 || sample_below(&random, 3)) continue;
      n.copy[at + sample_below(&random, (uint32_t)(length - 18))] = (uint8_t)sample_random(&random);
      seal_block(&n.f, n.copy, at, length - 18);
    }
    fixture_put(n.path, n.copy, n.size);
    struct segment *changed;
    struct cache *cache;
    cr_assert_eq(open_anew(&n.f, &cache, &changed, &error), 0);
    compare_parts(changed, &random, &read, &refused);
    segment_unref(changed);
    cache_free(cache);
  }
  cr_assert(read > 10000 && refused > 1000, "%u were read, %u refused", read, refused);
  segment_unref(s);
  nonsense_end(&n);
}

Test(segment, another_version_is_refused_by_its_number_where_header_and_footer_have_it_else_it_is_damage) {
  uint64_t random = sample_seed("segment_version", 8), ignored;
  struct sample_shape shape = {700, 5, 2, 1, 1, 7, false, FEBRUARY_START, FEBRUARY_END};
  struct fixture f;
  tally_error error = {0};
  fixture_write(&f, &random, &shape);
  char path[400];
  size_t size;
  uint8_t *bytes = fixture_file(&f, path, &size);
  store16(bytes + 4, 0x8001);
  fixture_put(path, bytes, size);
  cr_assert_not(digest_segment(&f, &ignored, &error));
  cr_assert_eq(error.code, TALLY_CORRUPT);
  store16(bytes + size - SEGMENT_FOOTER + FOOTER_VERSION, 0x8001);
  fixture_put(path, bytes, size);
  cr_assert_not(digest_segment(&f, &ignored, &error));
  cr_assert_eq(error.code, TALLY_VERSION);
  cr_assert(strstr(error.text, "32769") && strstr(error.text, ".seg"), "%s", error.text);
  free(bytes);
  fixture_end(&f);
}

struct faults {
  unsigned count;
  uint64_t offset;
  char problem[600];
};
static void note_fault(void *arg, const char *file, uint64_t offset, const char *problem) {
  struct faults *f = arg;
  cr_assert(strstr(file, ".seg"));
  f->count++;
  f->offset = offset;
  snprintf(f->problem, sizeof f->problem, "%s", problem);
}

Test(segment, verify_names_the_block_that_is_damaged) {
  uint64_t random = sample_seed("segment_verify", 5);
  struct sample_shape shape = {9000, 20, 2, 1, 1, 3, false, FEBRUARY_START, FEBRUARY_START + DAY_US};
  struct fixture f;
  fixture_write(&f, &random, &shape);
  char path[400];
  size_t size;
  uint8_t *bytes = fixture_file(&f, path, &size);
  tally_error error = {0};
  for (int i = 0; i < 60; i++) {
    struct segment *s = fixture_open(&f);
    uint32_t place =
        i < 3 ? (uint32_t)(size - 1 - (uint32_t)i * 50) : 16 + sample_below(&random, (uint32_t)size - 16);
    bytes[place] ^= 0x10;
    fixture_put(path, bytes, size);
    struct faults faults = {0};
    cr_assert_eq(segment_verify(s, NULL, note_fault, &faults, &error), 0, "%s", error.text);
    cr_assert_geq(faults.count, 1, "byte %u", place);
    if (faults.count == 1) cr_assert_leq(faults.offset, place);
    bytes[place] ^= 0x10;
    fixture_put(path, bytes, size);
    segment_unref(s);
  }
  free(bytes);
  fixture_end(&f);
}
