/* segment_verify.c - reading a whole segment: every block against its checksum and its meaning, and the index
 * and the rollups against the rows.
 *
 * Blocks go through a small cache of the check's own, so that the store's cache keeps what queries need and
 * so that the bytes are read from the file. */
#include <stdio.h>

#include "base/mem.h"
#include "base/status.h"
#include "segment/inside.h"

#define VERIFY_CACHE (4u << 20)

struct verify {
  struct segment s; /* the segment with another cache */
  struct segment_inside inside;
  void (*found)(void *arg, const char *file, uint64_t offset, const char *problem);
  void *arg;
  struct pace *pace;
  bool sums_known; /* no chunk of a measure was damaged */
  bool unordered;  /* entries of a rollup that are not in order were seen */
  struct totals sum;
  int64_t values[CHUNK_ROWS];
  uint64_t valid[CHUNK_ROWS / 64], at[CHUNK_ROWS + 1];
  uint32_t a[RUN_PIECE], b[RUN_PIECE], c[RUN_PIECE];
  int64_t sums[RUN_PIECE];
  struct buffer bytes;
  struct ints_scratch scratch;
};

/* Reports a failure of a block as a fault. What says nothing about the file is passed on. */
static int report(struct verify *v, int result, uint32_t block, const char *what, uint32_t number,
                  tally_error *error) {
  if (result == 0 || result == TALLY_NO_MEMORY || result == TALLY_MEMORY_LIMIT || result == TALLY_CANCELLED)
    return result;
  char problem[sizeof error->text + 64];
  (void)snprintf(problem, sizeof problem, "%s %u: %s", what, number, error->text);
  v->found(v->arg, v->inside.path, v->inside.directory.at[block], problem);
  return 0;
}

/* Before block `index` is read. */
static int take_pace(struct verify *v, uint32_t index, tally_error *error) {
  const uint64_t *at = v->inside.directory.at;
  return pace_take(v->pace, at[index + 1] - at[index], error);
}

static void add_measure(struct verify *v, int column, uint32_t count) {
  struct measure *m = &v->sum.measure[column - TALLY_COL_REQUEST_SIZE];
  uint64_t sum = 0;
  for (uint32_t i = 0; i < count; i++) sum += (uint64_t)v->values[i];
  m->sum = (int64_t)((uint64_t)m->sum + sum);
  if (column != TALLY_COL_STATUS_CODE) return;
  for (uint32_t i = 0; i < count; i++) v->sum.errors += v->values[i] >= 400;
}

static int verify_chunk(struct verify *v, int slot, uint32_t chunk, tally_error *error) {
  uint32_t rows = segment_chunk_rows(&v->s, chunk);
  int column = slot_column(slot);
  bool all_valid;
  int result = take_pace(v, (uint32_t)slot * v->s.chunks + chunk, error);
  if (result) return result;
  result = slot == SLOT_METADATA
               ? segment_metadata(&v->s, chunk, 0, rows, &v->scratch, v->at, &v->bytes, v->valid, &all_valid,
                                  error)
               : segment_values(&v->s, column, chunk, 0, rows, v->values, v->valid, &all_valid, error);
  bool measured = column >= TALLY_COL_REQUEST_SIZE && slot != SLOT_METADATA;
  if (!result && measured) add_measure(v, column, rows);
  if (result && measured) v->sums_known = false;
  char what[40];
  (void)snprintf(what, sizeof what, "%s chunk", tally_column_name(column));
  return report(v, result, (uint32_t)slot * v->s.chunks + chunk, what, chunk, error);
}

static int verify_runs(struct verify *v, uint32_t piece, tally_error *error) {
  uint32_t first = piece * RUN_PIECE, count = directory_piece_runs(&v->inside.directory, piece);
  int result = take_pace(v, directory_run_block(&v->inside.directory, piece), error);
  if (!result) result = segment_runs(&v->s, first, count, v->a, v->b, v->c, error);
  return report(v, result, directory_run_block(&v->inside.directory, piece), "run block", piece, error);
}

/* Adds up the sums on runs; *known tells if all could be read. */
static int verify_sums(struct verify *v, uint32_t piece, struct totals *all, bool *known,
                       tally_error *error) {
  uint32_t first = piece * RUN_PIECE, count = directory_piece_runs(&v->inside.directory, piece);
  uint64_t tokens = 0, cost = 0;
  struct run_sums want = {.errors = v->a, .tokens = v->sums};
  int result = take_pace(v, directory_sum_block(&v->inside.directory, piece), error);
  if (!result) result = segment_run_sums(&v->s, first, count, &want, error);
  for (uint32_t i = 0; !result && i < count; i++) {
    all->errors += v->a[i];
    tokens += (uint64_t)v->sums[i];
  }
  want = (struct run_sums){
      .cost = v->sums, .status_nonnull = v->a, .tokens_nonnull = v->b, .cost_nonnull = v->c};
  if (!result) result = segment_run_sums(&v->s, first, count, &want, error);
  struct measure *t = &all->measure[TALLY_COL_TOKENS_USED - TALLY_COL_REQUEST_SIZE];
  struct measure *c = &all->measure[TALLY_COL_COST - TALLY_COL_REQUEST_SIZE];
  for (uint32_t i = 0; !result && i < count; i++) {
    cost += (uint64_t)v->sums[i];
    all->measure[TALLY_COL_STATUS_CODE - TALLY_COL_REQUEST_SIZE].nonnull += v->a[i];
    t->nonnull += v->b[i];
    c->nonnull += v->c[i];
  }
  t->sum = (int64_t)((uint64_t)t->sum + tokens);
  c->sum = (int64_t)((uint64_t)c->sum + cost);
  if (result) *known = false;
  return report(v, result, directory_sum_block(&v->inside.directory, piece), "sum block", piece, error);
}

/* A level's entries of one piece, added to `all`; the bounds of each measure are widened. */
static void add_entries(struct verify *v, const struct rollup_entries *e, uint32_t count,
                        const struct rollup_key *keys, struct totals *all) {
  for (uint32_t i = 0; i < count; i++) {
    all->rows += e->rows[i];
    all->errors += e->errors ? e->errors[i] : keys[e->key[i]].status >= CLASS_4XX ? e->rows[i] : 0;
    v->unordered |= i > 0 && e->bucket[i] == e->bucket[i - 1] && e->key[i] <= e->key[i - 1];
  }
  for (int m = 0; m < MEASURES; m++)
    for (uint32_t i = 0; i < count; i++) {
      const struct measure *x = &e->measure[m][i];
      struct measure *y = &all->measure[m];
      y->sum = (int64_t)((uint64_t)y->sum + (uint64_t)x->sum);
      if (x->nonnull && (!y->nonnull || x->min < y->min)) y->min = x->min;
      if (x->nonnull && (!y->nonnull || x->max > y->max)) y->max = x->max;
      y->nonnull += x->nonnull;
    }
}

static bool same_totals(const struct totals *a, const struct totals *b, bool bounds, bool sums) {
  bool same = a->rows == b->rows && (!sums || a->errors == b->errors);
  for (int m = 0; m < MEASURES; m++) {
    const struct measure *x = &a->measure[m], *y = &b->measure[m];
    same &= (!sums || x->sum == y->sum) && x->nonnull == y->nonnull &&
            (!bounds || !x->nonnull || (x->min == y->min && x->max == y->max));
  }
  return same;
}

/* A level against the totals. */
static int verify_level(struct verify *v, enum rollup_level level, const struct rollup_key *keys,
                        struct rollup_entries *e, tally_error *error) {
  const struct rollup_place *p = &v->inside.directory.rollup[level];
  struct totals all = {0};
  bool known = true;
  v->unordered = false;
  e->errors = rollup_of_users(level) ? v->c : NULL;
  for (uint32_t piece = 0; piece < p->pieces; piece++) {
    uint32_t count = 0;
    int result = take_pace(v, p->block + piece, error);
    if (result) return result;
    result = segment_rollup(&v->s, level, piece, 0, rollup_buckets(level), e, &count, error);
    if (result)
      known = false;
    else
      add_entries(v, e, count, keys, &all);
    result = report(v, result, p->block + piece,
                    rollup_of_days(level) ? "day rollup block" : "hour rollup block", piece, error);
    if (result) return result;
  }
  if (p->pieces && known &&
      (v->unordered || !same_totals(&all, &v->s.total, v->s.rollup_bounds[level], v->s.sums_fit)))
    v->found(v->arg, v->inside.path, v->inside.directory.at[p->block],
             "a rollup does not add up to the totals, or its entries are not in order");
  return 0;
}

static int verify_users(struct verify *v, tally_error *error) {
  int result = 0;
  for (uint32_t set = 0; set < v->s.user_sets && !result; set++) {
    uint32_t all = v->s.user_set[set].users;
    result = take_pace(v, v->inside.directory.set_block + set, error);
    for (uint32_t first = 0; first < all && !result; first += USERS_PIECE)
      result = segment_users(&v->s, set, first, all - first < USERS_PIECE ? all - first : USERS_PIECE,
                             v->values, error);
    result = report(v, result, v->inside.directory.set_block + set, "set of users", set, error);
  }
  return result;
}

/* Room for the keys and for a piece's entries. */
static void *rollup_room(uint32_t keys, struct rollup_key **key, struct rollup_entries *e) {
  size_t word = ROLLUP_PIECE * sizeof(uint32_t), measure = ROLLUP_PIECE * sizeof(struct measure);
  uint8_t *at = mem_alloc(MEASURES * measure + 3 * word + keys * sizeof **key), *memory = at;
  if (!memory) return NULL;
  for (int m = 0; m < MEASURES; m++, at += measure) e->measure[m] = (struct measure *)(void *)at;
  e->bucket = (uint32_t *)(void *)at;
  e->key = e->bucket + ROLLUP_PIECE;
  e->rows = e->key + ROLLUP_PIECE;
  e->bounds = true;
  *key = (struct rollup_key *)(void *)(e->rows + ROLLUP_PIECE);
  return memory;
}

/* The two levels that have the same keys. */
static int verify_levels(struct verify *v, enum rollup_level hours, enum rollup_level days,
                         uint32_t key_count, uint32_t key_block, tally_error *error) {
  struct rollup_key *keys;
  struct rollup_entries e;
  if (key_count == 0) return 0;
  void *memory = rollup_room(key_count, &keys, &e);
  if (!memory) return fail_memory(error, "checking a segment");
  int result = segment_rollup_keys(&v->s, hours, keys, error);
  bool known = result == 0;
  result = report(v, result, key_block, "keys of rollups", 0, error);
  if (known && !result) result = verify_level(v, hours, keys, &e, error);
  if (known && !result) result = verify_level(v, days, keys, &e, error);
  mem_free(memory);
  return result;
}

static int verify_rollups(struct verify *v, tally_error *error) {
  const struct directory *d = &v->inside.directory;
  int result = verify_levels(v, ROLLUP_HOUR, ROLLUP_DAY, v->s.rollup_keys, d->key_block, error);
  return result
             ? result
             : verify_levels(v, ROLLUP_USER_HOUR, ROLLUP_USER_DAY, v->s.user_keys, d->user_key_block, error);
}

/* The histograms of a thinned segment hold the values that are not NULL. */
static int verify_histograms(struct verify *v, tally_error *error) {
  const struct rollup_place *p = &v->inside.directory.rollup[ROLLUP_HOUR];
  const int duration = TALLY_COL_DURATION_MS - TALLY_COL_REQUEST_SIZE;
  struct buffer values = {0}, counts = {0};
  uint64_t all = 0;
  bool known = true;
  int result = 0;
  for (uint32_t piece = 0; piece < p->pieces && !result; piece++) {
    buffer_clear(&values);
    buffer_clear(&counts);
    result = segment_histograms(&v->s, piece, 0, MONTH_HOURS, v->a, &values, &counts, error);
    known = known && result == 0;
    for (size_t i = 0; result == 0 && i < counts.size; i += sizeof(int64_t)) all += load64(counts.data + i);
    result = report(v, result, p->block + piece, "histograms of hour rollup block", piece, error);
  }
  if (!result && known && all != v->s.total.measure[duration].nonnull)
    v->found(v->arg, v->inside.path, v->inside.directory.at[p->block],
             "the histograms do not have as many values as there are durations");
  buffer_free(&values);
  buffer_free(&counts);
  return result;
}

static bool same_sums(const struct totals *a, const struct totals *b, int measure, bool nonnull) {
  const struct measure *x = &a->measure[measure], *y = &b->measure[measure];
  return x->sum == y->sum && (!nonnull || x->nonnull == y->nonnull);
}

/* Rows against the directory's totals, and those against the sums on runs. */
static void compare(struct verify *v, const struct totals *runs, bool runs_known) {
  const struct totals *total = &v->s.total;
  const int tokens = TALLY_COL_TOKENS_USED - TALLY_COL_REQUEST_SIZE;
  bool rows_equal = v->sum.errors == total->errors, runs_equal = runs->errors == total->errors;
  for (int m = 0; m < MEASURES; m++) rows_equal &= same_sums(&v->sum, total, m, false);
  runs_equal &= same_sums(runs, total, tokens, true) && same_sums(runs, total, MEASURES - 1, true);
  runs_equal &= runs->measure[tokens - 1].nonnull == total->measure[tokens - 1].nonnull;
  const struct directory *d = &v->inside.directory;
  if (v->sums_known && !rows_equal)
    v->found(v->arg, v->inside.path, d->at[d->blocks], "the totals are not the sums of the rows");
  if (runs_known && !runs_equal)
    v->found(v->arg, v->inside.path, d->at[directory_sum_block(d, 0)],
             "the sums on runs do not add up to the totals");
}

static int verify_blocks(struct verify *v, tally_error *error) {
  int result = 0;
  for (int slot = 0; slot < SLOTS && !result; slot++)
    for (uint32_t chunk = 0; chunk < v->s.chunks && !result; chunk++)
      result = verify_chunk(v, slot, chunk, error);
  struct totals runs = {0};
  bool runs_known = true;
  uint32_t pieces = v->inside.directory.pieces;
  for (uint32_t p = 0; p < pieces && !result; p++) result = verify_runs(v, p, error);
  for (uint32_t p = 0; v->s.sums_fit && p < pieces && !result; p++)
    result = verify_sums(v, p, &runs, &runs_known, error);
  if (!result && v->s.sums_fit && !v->s.info.thinned) compare(v, &runs, runs_known);
  if (!result) result = verify_rollups(v, error);
  if (!result && v->s.info.thinned) result = verify_histograms(v, error);
  return result ? result : verify_users(v, error);
}

/* Header, footer and directory were checked when the segment was opened; the file may have changed since. */
static int verify_frame(struct verify *v, struct segment *s, tally_error *error) {
  struct segment_inside *in = s->inside;
  const struct directory *d = &in->directory;
  uint64_t at = d->at[d->blocks];
  size_t size = (size_t)(s->info.size - SEGMENT_FOOTER - at);
  uint8_t *bytes = mem_alloc(size), header[SEGMENT_HEADER], footer[SEGMENT_FOOTER];
  if (!bytes) return fail_memory(error, "checking a segment");
  int result = pace_take(v->pace, size, error);
  if (!result) result = block_read(in->os, in->file, in->path, at, bytes, size, error);
  if (!result) result = block_verify(in->path, s->info.id, at, bytes, size, error);
  if (!result) result = block_read(in->os, in->file, in->path, 0, header, sizeof header, error);
  if (!result) result = block_read(in->os, in->file, in->path, at + size, footer, sizeof footer, error);
  if (!result && (load32(header) != SEGMENT_MAGIC || load16(header + 4) != SEGMENT_VERSION ||
                  load16(header + 6) != 0 || load64(header + 8) != s->info.id))
    result = fail_corrupt(error, in->path, 0, "segment-verify-header");
  if (!result && (load64(footer + FOOTER_OFFSET) != at || load64(footer + FOOTER_SIZE) != size ||
                  memcmp(footer + FOOTER_DIGEST, s->info.digest, sizeof s->info.digest) != 0 ||
                  load16(footer + FOOTER_VERSION) != SEGMENT_VERSION || load16(footer + FOOTER_ZERO) != 0 ||
                  load32(footer + FOOTER_MAGIC) != SEGMENT_MAGIC))
    result = fail_corrupt(error, in->path, at + size, "segment-verify-footer");
  mem_free(bytes);
  return report(v, result, d->blocks, "header, directory or footer", 0, error);
}

int segment_verify(struct segment *s, struct pace *pace,
                   void (*found)(void *arg, const char *file, uint64_t offset, const char *problem),
                   void *arg, tally_error *error) {
  struct verify *v = mem_zalloc(1, sizeof *v);
  if (!v) return fail_memory(error, "checking a segment");
  const struct segment_inside *in = s->inside;
  v->s = *s;
  v->s.inside = &v->inside;
  v->inside.os = in->os;
  v->inside.file = in->file;
  v->inside.budget = in->budget;
  v->inside.path = in->path;
  v->inside.directory = in->directory;
  v->found = found;
  v->arg = arg;
  v->pace = pace;
  v->sums_known = true;
  int result = cache_new(VERIFY_CACHE, in->budget, &v->inside.cache, error);
  if (!result) result = verify_frame(v, s, error);
  if (!result) result = verify_blocks(v, error);
  cache_free(v->inside.cache);
  buffer_free(&v->bytes);
  ints_scratch_free(&v->scratch);
  mem_free(v);
  return result;
}
