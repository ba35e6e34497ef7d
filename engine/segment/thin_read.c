/* thin_read.c - from rows and entries of the sources to cells; see thin.h. */
#include "base/bitmap.h"
#include "base/mem.h"
#include "base/status.h"
#include "segment/histogram.h"
#include "segment/inside.h"
#include "segment/thin.h"

#define ERROR_STATUS 400
#define DURATION (TALLY_COL_DURATION_MS - TALLY_COL_REQUEST_SIZE)

static int decode(struct thin_source *t, struct segment *s, int column, uint32_t chunk, tally_error *error) {
  return segment_values(s, column, chunk, 0, segment_chunk_rows(s, chunk), t->value[column], t->valid[column],
                        &t->all_valid[column], error);
}

static bool is_null(const struct thin_source *t, int column, uint32_t row) {
  return !t->all_valid[column] && !bitmap_get(t->valid[column], row);
}

static struct rollup_key change_user(const struct thin_source *t, int keys, struct rollup_key key) {
  if (keys == KEYS_OF_USERS && t->change.of_user && key.user == t->change.user) key.user = t->change.becomes;
  return key;
}

/* Is what happened at this time left out? Of an entry: at its bucket's begin, for cuts lie where buckets do.
 */
static bool is_cut(const struct thin_source *t, uint32_t service, int64_t time) {
  if (time >= t->last_cut) return false;
  size_t low = 0, high = t->change.cuts;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (t->change.cut[middle].service < service)
      low = middle + 1;
    else
      high = middle;
  }
  return low < t->change.cuts && t->change.cut[low].service == service && time < t->change.cut[low].before;
}

static int64_t begin_of(const struct thin_source *t, uint32_t bucket) {
  return t->start + bucket * rollup_width(t->level);
}

static struct rollup_key key_of(const struct thin_source *t, int keys, uint32_t row) {
  uint32_t service = (uint32_t)t->value[TALLY_COL_SERVICE_NAME][row];
  if (keys == KEYS_OF_USERS)
    return change_user(
        t, keys, (struct rollup_key){.service = service, .user = (uint32_t)t->value[TALLY_COL_USER_ID][row]});
  return (struct rollup_key){.service = service,
                             .endpoint = (uint32_t)t->value[TALLY_COL_ENDPOINT][row],
                             .method = (uint32_t)t->value[TALLY_COL_METHOD][row],
                             .status = is_null(t, TALLY_COL_STATUS_CODE, row)
                                           ? CLASS_NULL
                                           : status_class(t->value[TALLY_COL_STATUS_CODE][row])};
}

/* ---- keys and totals */

static void total_measure(struct thin_source *t, int m, const struct measure *x) {
  struct measure *y = &t->total.measure[m];
  if (!x->nonnull) return;
  if (!y->nonnull || x->min < y->min) y->min = x->min;
  if (!y->nonnull || x->max > y->max) y->max = x->max;
  y->nonnull += x->nonnull;
}

static void total_times(struct thin_source *t, int64_t first, int64_t last) {
  if (first < t->total.min_timestamp) t->total.min_timestamp = first;
  if (last > t->total.max_timestamp) t->total.max_timestamp = last;
}

static void total_row(struct thin_source *t, uint32_t row) {
  const int64_t time = t->value[TALLY_COL_TIMESTAMP][row];
  t->rows++;
  total_times(t, time, time);
  for (int m = 0; m < MEASURES; m++) {
    int column = TALLY_COL_REQUEST_SIZE + m;
    int64_t v = t->value[column][row];
    if (!is_null(t, column, row)) total_measure(t, m, &(struct measure){v, v, v, 1});
  }
}

static int decode_keys(struct thin_source *t, struct segment *s, int keys, uint32_t chunk,
                       tally_error *error) {
  static const int columns[KEY_SETS][4] = {
      {TALLY_COL_SERVICE_NAME, TALLY_COL_ENDPOINT, TALLY_COL_METHOD, TALLY_COL_STATUS_CODE},
      {TALLY_COL_SERVICE_NAME, TALLY_COL_USER_ID, TALLY_COL_STATUS_CODE, TALLY_COL_STATUS_CODE}};
  int result = 0;
  for (int i = 0; i < 4 && !result; i++) result = decode(t, s, columns[keys][i], chunk, error);
  return result;
}

static int decode_measures(struct thin_source *t, struct segment *s, uint32_t chunk, tally_error *error) {
  int result = 0;
  for (int column = TALLY_COL_REQUEST_SIZE; column <= TALLY_COL_COST && !result; column++)
    result = decode(t, s, column, chunk, error);
  return result;
}

static int keys_of_rows(struct thin_source *t, struct segment *s, int keys, tally_error *error) {
  int result = 0;
  for (uint32_t chunk = 0; chunk < s->chunks && !result; chunk++) {
    result = decode(t, s, TALLY_COL_TIMESTAMP, chunk, error);
    if (!result) result = decode_keys(t, s, keys, chunk, error);
    if (!result && keys == KEYS_OF_TEXTS) result = decode_measures(t, s, chunk, error);
    for (uint32_t row = 0; row < segment_chunk_rows(s, chunk) && !result; row++) {
      struct rollup_key key = key_of(t, keys, row);
      uint32_t number;
      if (is_cut(t, key.service, t->value[TALLY_COL_TIMESTAMP][row])) continue;
      if (keys == KEYS_OF_TEXTS) total_row(t, row);
      result = key_set_add(&t->keys[keys], &key, &number, error);
    }
  }
  return result;
}

/* The keys of a thinned segment; free with free_keys. */
static int load_keys(struct thin_source *t, struct segment *s, int keys, struct rollup_key **to,
                     tally_error *error) {
  uint32_t count = keys == KEYS_OF_USERS ? s->user_keys : s->rollup_keys;
  size_t size = count * sizeof **to;
  if (!budget_take(t->budget, size))
    return fail(
        error, TALLY_MEMORY_LIMIT,
        "thinning a month needs %zu bytes that the memory budget does not have: raise the store's memory",
        size);
  *to = mem_alloc(size);
  int result =
      *to ? segment_rollup_keys(s, keys == KEYS_OF_USERS ? ROLLUP_USER_HOUR : ROLLUP_HOUR, *to, error)
          : fail_memory(error, "thinning a month");
  if (!result) return 0;
  mem_free(*to);
  budget_give(t->budget, size);
  return result;
}

static void free_keys(struct thin_source *t, const struct segment *s, int keys, struct rollup_key *list) {
  uint32_t count = keys == KEYS_OF_USERS ? s->user_keys : s->rollup_keys;
  mem_free(list);
  budget_give(t->budget, count * sizeof *list);
}

static struct rollup_entries entries_of(struct thin_source *t) {
  struct rollup_entries e = {
      .bucket = t->bucket, .key = t->key, .rows = t->rows_of, .errors = t->errors, .bounds = true};
  for (int m = 0; m < MEASURES; m++) e.measure[m] = t->measure[m];
  return e;
}

/* Entry i of a day. */
static void total_entry(struct thin_source *t, const struct segment *s, uint32_t i) {
  const int64_t first = begin_of(t, t->bucket[i]), last = first + DAY_US - 1;
  t->rows += t->rows_of[i];
  total_times(t, first > s->info.min_timestamp ? first : s->info.min_timestamp,
              last < s->info.max_timestamp ? last : s->info.max_timestamp);
  for (int m = 0; m < MEASURES; m++) total_measure(t, m, &t->measure[m][i]);
}

/* Those of the entries of days that are not left out. */
static int keys_of_thinned(struct thin_source *t, struct segment *s, int keys, tally_error *error) {
  const struct rollup_entries e = entries_of(t);
  struct rollup_key *list;
  uint32_t piece, end, count = 0, number;
  int result = load_keys(t, s, keys, &list, error);
  if (result) return result;
  t->level = keys == KEYS_OF_USERS ? ROLLUP_USER_DAY : ROLLUP_DAY;
  segment_rollup_pieces(s, t->level, 0, MONTH_DAYS, &piece, &end);
  for (; piece < end && !result; piece++) {
    result = segment_rollup(s, t->level, piece, 0, MONTH_DAYS, &e, &count, error);
    for (uint32_t i = 0; i < count && !result; i++) {
      struct rollup_key key = change_user(t, keys, list[t->key[i]]);
      if (is_cut(t, key.service, begin_of(t, t->bucket[i]))) continue;
      if (keys == KEYS_OF_TEXTS) total_entry(t, s, i);
      result = key_set_add(&t->keys[keys], &key, &number, error);
    }
  }
  free_keys(t, s, keys, list);
  return result;
}

int thin_find_keys(struct thin_source *t, tally_error *error) {
  int result = 0;
  t->total.min_timestamp = INT64_MAX;
  t->total.max_timestamp = t->last_cut = INT64_MIN;
  for (size_t i = 0; i < t->change.cuts; i++)
    if (t->change.cut[i].before > t->last_cut) t->last_cut = t->change.cut[i].before;
  for (int keys = 0; keys < KEY_SETS && !result; keys++) {
    t->keys[keys].budget = t->budget;
    for (size_t i = 0; i < t->count && !result; i++)
      result = t->from[i]->info.thinned ? keys_of_thinned(t, t->from[i], keys, error)
                                        : keys_of_rows(t, t->from[i], keys, error);
    if (!result) key_set_sort(&t->keys[keys]);
  }
  return result;
}

/* ---- rows */

static int add_row(struct thin_source *t, uint32_t row, uint32_t cell, tally_error *error) {
  struct thin_cell *c = &t->cells.cell[cell];
  int result = 0;
  c->rows++;
  c->errors +=
      !is_null(t, TALLY_COL_STATUS_CODE, row) && t->value[TALLY_COL_STATUS_CODE][row] >= ERROR_STATUS;
  for (int m = 0; m < MEASURES && !result; m++) {
    int column = TALLY_COL_REQUEST_SIZE + m;
    int64_t v = t->value[column][row];
    if (!is_null(t, column, row)) result = thin_cell_add(c, m, &(struct measure){v, v, v, 1}, error);
  }
  if (t->level == ROLLUP_HOUR && !is_null(t, TALLY_COL_DURATION_MS, row))
    t->full = !thin_cells_bin(&t->cells, cell, histogram_value(t->value[TALLY_COL_DURATION_MS][row]), 1);
  return result;
}

/* Rows of a chunk that lie in [low, high). */
static int add_chunk(struct thin_source *t, struct segment *s, uint32_t chunk, int64_t low, int64_t high,
                     tally_error *error) {
  const int keys = keys_of_level(t->level);
  int result = decode(t, s, TALLY_COL_TIMESTAMP, chunk, error);
  if (!result) result = decode_keys(t, s, keys, chunk, error);
  if (!result) result = decode_measures(t, s, chunk, error);
  for (uint32_t row = 0; row < segment_chunk_rows(s, chunk) && !result && !t->full; row++) {
    int64_t time = t->value[TALLY_COL_TIMESTAMP][row];
    if (time < low || time >= high) continue;
    struct rollup_key key = key_of(t, keys, row);
    if (is_cut(t, key.service, time)) continue;
    uint32_t cell, bucket = (uint32_t)((time - t->start) / rollup_width(t->level));
    if (thin_cells_find(&t->cells, bucket, key_set_number(&t->keys[keys], &key), &cell))
      result = add_row(t, row, cell, error);
    else
      t->full = true;
  }
  return result;
}

static int add_rows(struct thin_source *t, struct segment *s, tally_error *error) {
  const int64_t low = begin_of(t, t->first), high = begin_of(t, t->end);
  int result = 0;
  for (uint32_t chunk = 0; chunk < s->chunks && !result && !t->full; chunk++) {
    struct zone z = segment_zone(s, TALLY_COL_TIMESTAMP, chunk);
    if (z.max >= low && z.min < high) result = add_chunk(t, s, chunk, low, high, error);
  }
  return result;
}

/* ---- entries */

/* The histogram of entry i, whose bins begin at place `at` of the piece's. */
static void add_histogram(struct thin_source *t, uint32_t cell, uint32_t i, size_t at) {
  for (uint32_t b = 0; b < t->bins[i] && !t->full; b++) {
    size_t place = (at + b) * sizeof(int64_t);
    t->full = !thin_cells_bin(&t->cells, cell, (int64_t)load64(t->bin_values.data + place),
                              (uint32_t)load64(t->bin_counts.data + place));
  }
}

static int add_piece(struct thin_source *t, const struct rollup_key *keys, uint32_t count,
                     tally_error *error) {
  const int set = keys_of_level(t->level);
  size_t bins = 0;
  int result = 0;
  for (uint32_t i = 0; i < count && !result && !t->full; i++) {
    uint32_t cell;
    const struct rollup_key changed = change_user(t, set, keys[t->key[i]]), *key = &changed;
    const size_t first_bin = bins;
    if (t->level == ROLLUP_HOUR) bins += t->bins[i];
    if (is_cut(t, key->service, begin_of(t, t->bucket[i]))) continue;
    if (!thin_cells_find(&t->cells, t->bucket[i], key_set_number(&t->keys[set], key), &cell)) {
      t->full = true;
      break;
    }
    struct thin_cell *c = &t->cells.cell[cell];
    c->rows += t->rows_of[i];
    c->errors += set == KEYS_OF_USERS ? t->errors[i] : key->status >= CLASS_4XX ? t->rows_of[i] : 0;
    for (int m = 0; m < MEASURES && !result; m++) result = thin_cell_add(c, m, &t->measure[m][i], error);
    if (t->level == ROLLUP_HOUR) add_histogram(t, cell, i, first_bin);
  }
  return result;
}

static int add_entries(struct thin_source *t, struct segment *s, tally_error *error) {
  const struct rollup_entries e = entries_of(t);
  struct rollup_key *keys;
  uint32_t piece, end, count = 0;
  int result = load_keys(t, s, keys_of_level(t->level), &keys, error);
  if (result) return result;
  segment_rollup_pieces(s, t->level, t->first, t->end, &piece, &end);
  for (; piece < end && !result && !t->full; piece++) {
    result = segment_rollup(s, t->level, piece, t->first, t->end, &e, &count, error);
    buffer_clear(&t->bin_values);
    buffer_clear(&t->bin_counts);
    if (!result && t->level == ROLLUP_HOUR)
      result = segment_histograms(s, piece, t->first, t->end, t->bins, &t->bin_values, &t->bin_counts, error);
    if (!result) result = add_piece(t, keys, count, error);
  }
  free_keys(t, s, keys_of_level(t->level), keys);
  return result;
}

int thin_fill(struct thin_source *t, tally_error *error) {
  int result = 0;
  t->full = false;
  thin_cells_clear(&t->cells);
  for (size_t i = 0; i < t->count && !result && !t->full; i++)
    result = t->from[i]->info.thinned ? add_entries(t, t->from[i], error) : add_rows(t, t->from[i], error);
  return result;
}
