/* thin_write.c - segment_thin: one thinned segment out of segments of a month; see segment.h.
 *
 * A level is made window by window: as many buckets at a time as the cells have room for. So memory is
 * bounded, and each window reads the chunks and pieces of the sources that have times in it. */
#include "base/int128.h"
#include "base/mem.h"
#include "base/status.h"
#include "segment/inside.h"
#include "segment/list.h"
#include "segment/output.h"
#include "segment/part.h"
#include "segment/place.h"
#include "segment/thin.h"

/* A level as it is written. */
struct level_places {
  struct buffer first, last; /* u32 a piece */
  uint32_t entries;
};

struct thinning {
  struct thin_source source;
  struct output output;
  struct list_writer list;
  struct ints_scratch ints;
  struct buffer at; /* u64: the offset of each block */
  struct level_places places[ROLLUP_LEVELS];
  uint32_t nullable; /* bit m: some row has NULL there */
  struct totals total;
  int128 sum[MEASURES];
  uint32_t *key_rows; /* rows of each key of texts */
  /* the piece being filled */
  uint32_t count;
  struct thin_cell piece[ROLLUP_PIECE];
  struct buffer bin_values, bin_counts; /* int64 each */
  int64_t values[ROLLUP_PIECE];
};

/* ---- blocks */

static void begin_block(struct thinning *t) { write64(&t->at, output_offset(&t->output)); }

static int end_block(struct thinning *t, size_t start, tally_error *error) {
  if (t->output.buffer.failed || t->at.failed) return fail_memory(error, "encoding a thinned segment");
  return output_block(&t->output, start, NULL, error);
}

static int write_keys(struct thinning *t, int keys, tally_error *error) {
  const struct key_set *set = &t->source.keys[keys];
  size_t start = t->output.buffer.size;
  begin_block(t);
  t->list.out = &t->output.buffer;
  for (uint32_t i = 0; i < set->count; i++) list_put(&t->list, set->key[i].service);
  list_end(&t->list);
  for (uint32_t i = 0; i < set->count; i++) list_put(&t->list, set->key[i].endpoint);
  list_end(&t->list);
  for (uint32_t i = 0; i < set->count && keys == KEYS_OF_TEXTS; i++) list_put(&t->list, set->key[i].method);
  list_end(&t->list);
  for (uint32_t i = 0; i < set->count && keys == KEYS_OF_TEXTS; i++) list_put(&t->list, set->key[i].status);
  list_end(&t->list);
  return end_block(t, start, error);
}

/* ---- pieces */

static void put(struct thinning *t) {
  size_t start = t->output.buffer.size;
  ints_encode(t->values, t->count, &t->output.buffer, &t->ints);
  part_end(&t->output.buffer, start);
}

static void put_measure(struct thinning *t, int m, bool from_sum) {
  const uint32_t n = t->count;
  if (t->nullable >> m & 1) {
    for (uint32_t i = 0; i < n; i++) t->values[i] = t->piece[i].rows - t->piece[i].measure[m].nonnull;
    put(t);
  }
  for (uint32_t i = 0; i < n; i++) t->values[i] = t->piece[i].measure[m].sum;
  put(t);
  for (uint32_t i = 0; i < n; i++) {
    const struct measure *x = &t->piece[i].measure[m];
    t->values[i] = from_sum ? (int64_t)((uint64_t)x->sum - (uint64_t)x->min) : x->min;
  }
  put(t);
  for (uint32_t i = 0; i < n; i++) {
    const struct measure *x = &t->piece[i].measure[m];
    t->values[i] = (int64_t)((uint64_t)x->max - (uint64_t)x->min);
  }
  put(t);
}

static void put_list(struct thinning *t, const struct buffer *from) {
  t->list.out = &t->output.buffer;
  for (size_t i = 0; i < from->size; i += sizeof(int64_t))
    list_put(&t->list, (int64_t)load64(from->data + i));
  list_end(&t->list);
}

static int write_piece(struct thinning *t, tally_error *error) {
  const enum rollup_level level = t->source.level;
  struct level_places *p = &t->places[level];
  const uint32_t n = t->count;
  size_t start = t->output.buffer.size;
  begin_block(t);
  write32(&p->first, t->piece[0].bucket);
  write32(&p->last, t->piece[n - 1].bucket);
  for (uint32_t i = 0; i < n; i++) t->values[i] = t->piece[i].bucket;
  put(t);
  for (uint32_t i = 0; i < n; i++) t->values[i] = t->piece[i].key;
  put(t);
  for (uint32_t i = 0; i < n; i++) t->values[i] = t->piece[i].rows;
  put(t);
  for (uint32_t i = 0; i < n; i++) t->values[i] = t->piece[i].errors;
  if (rollup_of_users(level)) put(t);
  for (int m = 0; m < MEASURES; m++) put_measure(t, m, rollup_of_users(level));
  if (level == ROLLUP_HOUR) {
    for (uint32_t i = 0; i < n; i++) t->values[i] = t->piece[i].bins;
    put(t);
    put_list(t, &t->bin_values);
    put_list(t, &t->bin_counts);
  }
  p->entries += n;
  t->count = 0;
  if (p->first.failed || p->last.failed || t->bin_values.failed || t->bin_counts.failed)
    return fail_memory(error, "encoding a thinned segment");
  buffer_clear(&t->bin_values);
  buffer_clear(&t->bin_counts);
  return end_block(t, start, error);
}

static void add_totals(struct thinning *t, const struct thin_cell *c) {
  t->total.rows += c->rows;
  t->total.errors += c->errors;
  t->key_rows[c->key] += c->rows;
  for (int m = 0; m < MEASURES; m++) t->sum[m] += c->measure[m].sum;
}

/* Moves the window's cells into pieces. */
static int write_cells(struct thinning *t, tally_error *error) {
  struct thin_cells *c = &t->source.cells;
  int result = 0;
  thin_cells_sort(c);
  for (uint32_t i = 0; i < c->count && !result; i++) {
    const struct thin_cell *cell = &c->cell[c->order[i]];
    t->piece[t->count++] = *cell;
    for (uint32_t b = 0; b < cell->bins; b++) {
      write64(&t->bin_values, (uint64_t)c->bin[cell->first_bin + b].value);
      write64(&t->bin_counts, c->bin[cell->first_bin + b].count);
    }
    if (t->source.level == ROLLUP_DAY) add_totals(t, cell);
    if (t->count == ROLLUP_PIECE) result = write_piece(t, error);
  }
  return result;
}

static int write_level(struct thinning *t, enum rollup_level level, tally_error *error) {
  struct thin_source *s = &t->source;
  const uint32_t all = rollup_buckets(level);
  uint32_t width = all;
  s->level = level;
  for (s->first = 0; s->first < all; s->first = s->end) {
    s->end = all - s->first < width ? all : s->first + width;
    int result = thin_fill(s, error);
    if (!result && s->full && s->end - s->first == 1)
      return fail(
          error, TALLY_MEMORY_LIMIT,
          "the rollups of an hour or day do not fit the memory that thinning may use: raise the store's "
          "memory");
    if (result) return result;
    if (s->full) {
      width = (s->end - s->first) / 2;
      s->end = s->first;
      continue;
    }
    result = write_cells(t, error);
    if (result) return result;
  }
  return t->count ? write_piece(t, error) : 0;
}

/* ---- the directory */

/* What is known of the whole before the first block. */
static int begin_totals(struct thinning *t, tally_error *error) {
  t->total = t->source.total;
  for (int m = 0; m < MEASURES; m++)
    if (t->total.measure[m].nonnull != t->source.rows) t->nullable |= 1u << m;
  return t->source.rows <= UINT32_MAX
             ? 0
             : fail(error, TALLY_OVERFLOW,
                    "a thinned segment stands for at most 4294967295 events: thin fewer segments "
                    "into one");
}

static uint32_t count_services(const struct key_set *set) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < set->count; i++) n += i == 0 || set->key[i].service != set->key[i - 1].service;
  return n;
}

static void fill_directory(struct thinning *t, struct directory *d) {
  const struct key_set *texts = &t->source.keys[KEYS_OF_TEXTS], *users = &t->source.keys[KEYS_OF_USERS];
  uint32_t n = 0;
  for (uint32_t i = 0; i < texts->count; i++) {
    const struct rollup_key *k = &texts->key[i];
    if (i == 0 || k->service != texts->key[i - 1].service) d->span[n++].service = k->service;
    d->span[n - 1].rows += t->key_rows[i];
    uint32_t *endpoint = &d->max_id[column_domain(TALLY_COL_ENDPOINT)],
             *method = &d->max_id[column_domain(TALLY_COL_METHOD)];
    if (k->endpoint > *endpoint) *endpoint = k->endpoint;
    if (k->method > *method) *method = k->method;
  }
  uint32_t *user = &d->max_id[column_domain(TALLY_COL_USER_ID)];
  for (uint32_t i = 0; i < users->count; i++)
    if (users->key[i].user > *user) *user = users->key[i].user;
  for (uint32_t i = 0; i < d->blocks; i++) d->at[i] = load64(t->at.data + (size_t)i * 8);
  for (int level = 0; level < ROLLUP_LEVELS; level++) {
    memcpy(d->rollup[level].first, t->places[level].first.data, t->places[level].first.size);
    memcpy(d->rollup[level].last, t->places[level].last.data, t->places[level].last.size);
  }
  d->total = t->total;
}

static int write_directory(struct thinning *t, struct segment_info *info, tally_error *error) {
  struct directory d = {.rows = t->total.rows,
                        .month = info->month,
                        .services = count_services(&t->source.keys[KEYS_OF_TEXTS]),
                        .sums_fit = true,
                        .hour_bounds = true,
                        .thinned = true,
                        .rollup_keys = t->source.keys[KEYS_OF_TEXTS].count,
                        .user_keys = t->source.keys[KEYS_OF_USERS].count};
  for (int level = 0; level < ROLLUP_LEVELS; level++) d.rollup[level].entries = t->places[level].entries;
  for (int m = 0; m < MEASURES; m++) {
    d.sums_fit = d.sums_fit && t->sum[m] >= INT64_MIN && t->sum[m] <= INT64_MAX;
    t->total.measure[m].sum = (int64_t)t->sum[m];
  }
  int result = directory_allocate(&d, t->source.budget, error);
  if (result) return result;
  fill_directory(t, &d);
  struct digest digest;
  uint64_t at = output_offset(&t->output);
  d.at[d.blocks] = at;
  directory_derive(&d);
  size_t start = t->output.buffer.size;
  directory_encode(&d, &t->output.buffer, &t->ints);
  info->size = at + (t->output.buffer.size - start) + TRAILER_BYTES + SEGMENT_FOOTER;
  result = output_block(&t->output, start, &digest, error);
  if (!result) result = output_finish(&t->output, at, &digest, error);
  info->rows = d.rows;
  info->thinned = true;
  info->min_timestamp = d.total.min_timestamp;
  info->max_timestamp = d.total.max_timestamp;
  memcpy(info->digest, digest.bytes, sizeof info->digest);
  directory_free(&d, t->source.budget);
  return result;
}

/* ---- the whole */

static int write_all(struct thinning *t, struct segment_info *info, tally_error *error) {
  const enum rollup_level levels[KEY_SETS][2] = {{ROLLUP_HOUR, ROLLUP_DAY},
                                                 {ROLLUP_USER_HOUR, ROLLUP_USER_DAY}};
  int result = 0;
  for (int keys = 0; keys < KEY_SETS && !result; keys++) {
    result = write_keys(t, keys, error);
    for (int i = 0; i < 2 && !result; i++) result = write_level(t, levels[keys][i], error);
  }
  return result ? result : write_directory(t, info, error);
}

static int write_file(struct thinning *t, const struct os *os, const char *store, struct segment_info *info,
                      tally_error *error) {
  char *path = place_path(store, info);
  if (!path) return fail_memory(error, "the path of a segment");
  int result = place_make(os, store, info, error);
  if (!result) {
    result = output_create(&t->output, os, path, info->id, error);
    if (!result) result = write_all(t, info, error);
    output_close(&t->output, result == 0);
  }
  mem_free(path);
  if (result) return result;
  result = place_sync(os, store, info, error);
  if (result) segment_remove(os, store, info);
  return result;
}

/* Finds what there is, then writes. */
static int thin(struct thinning *t, const struct os *os, const char *store, struct segment_info *info,
                tally_error *error) {
  struct budget *budget = t->source.budget;
  int result = thin_find_keys(&t->source, error);
  if (!result) result = begin_totals(t, error);
  if (result) return result;
  if (t->source.rows == 0) {
    info->rows = 0;
    return 0;
  }
  size_t size = t->source.keys[KEYS_OF_TEXTS].count * sizeof *t->key_rows;
  if (!budget_take(budget, size))
    return fail(error, TALLY_MEMORY_LIMIT,
                "thinning a month needs memory that the budget does not have: raise the store's memory");
  t->key_rows = mem_zalloc(1, size);
  result =
      t->key_rows ? thin_cells_new(&t->source.cells, budget, error) : fail_memory(error, "thinning a month");
  if (!result) result = write_file(t, os, store, info, error);
  thin_cells_free(&t->source.cells);
  mem_free(t->key_rows);
  budget_give(budget, size);
  return result;
}

static void free_thinning(struct thinning *t) {
  for (int keys = 0; keys < KEY_SETS; keys++) key_set_free(&t->source.keys[keys]);
  for (int level = 0; level < ROLLUP_LEVELS; level++) {
    buffer_free(&t->places[level].first);
    buffer_free(&t->places[level].last);
  }
  buffer_free(&t->at);
  buffer_free(&t->bin_values);
  buffer_free(&t->bin_counts);
  buffer_free(&t->source.bin_values);
  buffer_free(&t->source.bin_counts);
  buffer_free(&t->list.piece);
  ints_scratch_free(&t->ints);
  mem_free(t);
}

/* Beside cells and keys: this structure, the output's buffer with a large block, a piece's histograms. */
#define THINNING_BYTES (sizeof(struct thinning) + (6u << 20))

int segment_thin(const struct os *os, const char *store, struct segment *const *from, size_t count,
                 const struct thin_change *change, struct budget *budget, struct segment_info *info,
                 tally_error *error) {
  int64_t end;
  if (!budget_take(budget, THINNING_BYTES))
    return fail(
        error, TALLY_MEMORY_LIMIT,
        "thinning a month needs %zu bytes that the memory budget does not have: raise the store's memory",
        (size_t)THINNING_BYTES);
  struct thinning *t = mem_zalloc(1, sizeof *t);
  int result = t ? 0 : fail_memory(error, "thinning a month");
  if (!result && (count == 0 || !place_month(info->month, &t->source.start, &end)))
    result = fail(error, TALLY_USAGE, "thinning needs segments of a month: this is a bug, please report it");
  for (size_t i = 0; !result && i < count; i++)
    if (from[i]->info.month != info->month)
      result =
          fail(error, TALLY_USAGE, "thinning segments of several months: this is a bug, please report it");
  if (!result) {
    t->source.budget = budget;
    t->source.from = from;
    t->source.count = count;
    if (change) t->source.change = *change;
    t->list.scratch = &t->ints;
    result = thin(t, os, store, info, error);
  }
  if (t) free_thinning(t);
  budget_give(budget, THINNING_BYTES);
  return result;
}
