/* rollup.c - answering stretches of a segment's time from its rollups and sets of users; see scan.h.
 *
 * Predicates are decided once a key, not once an entry. */
#include "base/status.h"
#include "scan/scanner_inside.h"

struct rollup_cursor {
  /* the part's keys, and for each whether it passes */
  struct buffer keys;
  struct segment *keyed; /* that they are of */
  bool keyed_users;      /* the users' levels' */
  struct buffer passes;  /* a byte a key */
  /* the stretch */
  enum rollup_level level;
  uint32_t from, to;   /* buckets */
  uint32_t piece, end; /* the next piece; behind the last */
  bool histograms;
  struct rollup_entries entries;
  uint32_t bucket[ROLLUP_PIECE], key[ROLLUP_PIECE], count[ROLLUP_PIECE];
  uint32_t service[ROLLUP_PIECE], endpoint[ROLLUP_PIECE], method[ROLLUP_PIECE], errors[ROLLUP_PIECE];
  int64_t time[ROLLUP_PIECE];
  uint32_t bins[ROLLUP_PIECE];
  uint64_t bin_at[ROLLUP_PIECE + 1];
  struct buffer bin_values, bin_counts;
  struct measure measure[MEASURES][ROLLUP_PIECE];
  struct entries rows;
  /* users */
  uint32_t set, set_end, user; /* the next set; behind the last; the next user of it */
  int64_t users[USERS_PIECE];
  struct user_rows user_rows;
};

/* ---- what is covered */

/* The codes of a class that is not NULL. */
static struct interval class_codes(enum status_class c) {
  return (struct interval){c == CLASS_BELOW ? INT32_MIN : (int64_t)(c - 1) * 100,
                           c == CLASS_ABOVE ? INT32_MAX : (int64_t)c * 100 - 1};
}

static bool class_passes(const struct scan *scan, enum status_class c) {
  if (!scan_filters(scan, TALLY_COL_STATUS_CODE)) return true;
  const struct column_filter *f = &scan->filter[TALLY_COL_STATUS_CODE];
  if (f->passes_null || c == CLASS_NULL) return f->passes_null && c == CLASS_NULL;
  return intervals_have(&f->in, class_codes(c).low);
}

/* Does the predicate on status_code hold for all or none of each class? */
bool scan_whole_classes(const struct scan *scan) {
  const struct column_filter *f = &scan->filter[TALLY_COL_STATUS_CODE];
  if (!scan_filters(scan, TALLY_COL_STATUS_CODE) || f->passes_null) return true;
  for (enum status_class c = CLASS_BELOW; c < STATUS_CLASSES; c++) {
    struct interval codes = class_codes(c);
    if (intervals_meet(&f->in, codes.low, codes.high) && !intervals_cover(&f->in, codes.low, codes.high))
      return false;
  }
  return true;
}

/* Rollups answer for the rows of a segment that all predicates but those on times let pass. */
static bool times_allow(const struct scan *scan, size_t part, uint32_t allowed) {
  return !scan->never && scan_segment(scan, part) && scan->key_count == 0 &&
         !(scan->filters & ~(allowed | 1u << TALLY_COL_TIMESTAMP)) &&
         scan->filter[TALLY_COL_TIMESTAMP].in.count == 1;
}

bool scan_rollup_covers(const struct scan *scan, size_t part, enum rollup_level level) {
  if (rollup_of_users(level))
    return times_allow(scan, part, SCAN_SERVICE | SCAN_USER) &&
           scan_segment(scan, part)->rollup_entries[level];
  const uint32_t allowed =
      SCAN_SERVICE | 1u << TALLY_COL_ENDPOINT | 1u << TALLY_COL_METHOD | 1u << TALLY_COL_STATUS_CODE;
  return times_allow(scan, part, allowed) && scan_segment(scan, part)->rollup_entries[level] &&
         scan_whole_classes(scan);
}

bool scan_users_cover(const struct scan *scan, size_t part) {
  return times_allow(scan, part, 0) && scan_segment(scan, part)->user_sets > 0;
}

void scan_rollup_stretch(const struct scan *scan, size_t part, enum rollup_level level, int64_t *from,
                         int64_t *to) {
  const struct segment *s = scan_segment(scan, part);
  const int64_t width = rollup_width(level), least = s->info.min_timestamp, most = s->info.max_timestamp;
  int64_t low = scan->low <= least ? least : scan->low + width - 1; /* rounded down below, or up */
  int64_t high = scan->high >= most ? most + width : scan->high + 1;
  *from = low < s->start ? s->start : s->start + (low - s->start) / width * width;
  *to = high < s->start ? s->start : s->start + (high - s->start) / width * width;
}

/* ---- keys */

static struct rollup_key *keys_of(const struct rollup_cursor *x) {
  return (struct rollup_key *)(void *)x->keys.data;
}

static bool key_passes(const struct scan *scan, bool users, const struct rollup_key *k) {
  if (users) return scan_service_passes(scan, k->service) && scan_user_passes(scan, k->user);
  const uint32_t id[] = {k->endpoint, k->method};
  for (int i = 0; i < 2; i++) {
    int column = TALLY_COL_ENDPOINT + i;
    if (scan_filters(scan, column) && !text_filter_passes(&scan->filter[column].text, id[i])) return false;
  }
  return scan_service_passes(scan, k->service) && class_passes(scan, (enum status_class)k->status);
}

static int load_keys(struct scanner *s, enum rollup_level level, tally_error *error) {
  struct rollup_cursor *x = s->rollup;
  const bool users = rollup_of_users(level);
  const uint32_t count = users ? s->segment->user_keys : s->segment->rollup_keys;
  if (x->keyed == s->segment && x->keyed_users == users) return 0;
  x->keyed = NULL;
  int result = hold_reserve(&s->hold, &x->keys, count * sizeof(struct rollup_key), error);
  if (!result) result = hold_reserve(&s->hold, &x->passes, count, error);
  if (!result) result = segment_rollup_keys(s->segment, level, keys_of(x), error);
  if (result) return result;
  s->stats.blocks_read++;
  for (uint32_t i = 0; i < count; i++) x->passes.data[i] = key_passes(s->scan, users, &keys_of(x)[i]);
  x->keyed = s->segment;
  x->keyed_users = users;
  return 0;
}

void rollup_free(struct scanner *s) {
  if (!s->rollup) return;
  hold_buffer_free(&s->hold, &s->rollup->keys);
  hold_buffer_free(&s->hold, &s->rollup->passes);
  hold_buffer_free(&s->hold, &s->rollup->bin_values);
  hold_buffer_free(&s->hold, &s->rollup->bin_counts);
}

/* ---- starting */

static int start(struct scanner *s, size_t part, tally_error *error) {
  if (!s->rollup) {
    void *memory;
    int result = hold_take(&s->hold, sizeof *s->rollup, &memory, error); /* its arrays are written first */
    if (result) return result;
    struct rollup_cursor *x = s->rollup = memory;
    x->keys = x->passes = x->bin_values = x->bin_counts = (struct buffer){0};
    x->keyed = NULL;
  }
  s->chunk = s->chunks = s->selected = s->taken = 0; /* scanner_next has nothing of this part */
  s->segment = scan_segment(s->scan, part);
  return 0;
}

static uint32_t bucket_of(const struct segment *s, enum rollup_level level, int64_t time) {
  return (uint32_t)((time - s->start) / rollup_width(level));
}

int scanner_rollup(struct scanner *s, size_t part, enum rollup_level level, int64_t from, int64_t to,
                   struct rollup_wanted wanted, tally_error *error) {
  int result = start(s, part, error);
  if (!result) result = load_keys(s, level, error);
  if (result) return result;
  struct rollup_cursor *x = s->rollup;
  x->level = level;
  x->histograms = wanted.histograms;
  x->from = bucket_of(s->segment, level, from);
  x->to = bucket_of(s->segment, level, to);
  segment_rollup_pieces(s->segment, level, x->from, x->to, &x->piece, &x->end);
  x->entries = (struct rollup_entries){
      .bucket = x->bucket, .key = x->key, .rows = x->count, .errors = x->errors, .bounds = wanted.bounds};
  for (int m = 0; m < MEASURES; m++) x->entries.measure[m] = wanted.measures >> m & 1 ? x->measure[m] : NULL;
  x->rows = (struct entries){.time = x->time,
                             .service = x->service,
                             .endpoint = rollup_of_users(level) ? NULL : x->endpoint,
                             .method = rollup_of_users(level) ? NULL : x->method,
                             .user = rollup_of_users(level) ? x->endpoint : NULL,
                             .count = x->count,
                             .errors = x->errors};
  for (int m = 0; m < MEASURES; m++) x->rows.measure[m] = x->entries.measure[m];
  return 0;
}

/* Fills in what follows from the keys; drops the entries whose key does not pass. */
static uint32_t spread_keys(struct scanner *s, uint32_t count) {
  struct rollup_cursor *x = s->rollup;
  const struct rollup_key *keys = keys_of(x);
  const int64_t width = rollup_width(x->level);
  const bool users = rollup_of_users(x->level);
  uint32_t n = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (!x->passes.data[x->key[i]]) continue;
    const struct rollup_key *k = &keys[x->key[i]];
    x->time[n] = s->segment->start + x->bucket[i] * width;
    x->service[n] = k->service;
    x->endpoint[n] = k->endpoint; /* or the user */
    x->method[n] = k->method;
    x->count[n] = x->count[i];
    x->errors[n] = users ? x->errors[i] : k->status >= CLASS_4XX ? x->count[i] : 0;
    for (int m = 0; n != i && m < MEASURES; m++)
      if (x->entries.measure[m]) x->measure[m][n] = x->measure[m][i];
    n++;
  }
  return n;
}

/* Drops the bins of entries that do not pass; places those of the others. Entries are still those of the
 * piece. */
static void keep_bins(struct rollup_cursor *x, uint32_t count) {
  int64_t *value = (int64_t *)(void *)x->bin_values.data, *times = (int64_t *)(void *)x->bin_counts.data;
  uint64_t from = 0, to = 0;
  uint32_t n = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (x->passes.data[x->key[i]]) {
      x->bin_at[n++] = to;
      for (uint32_t b = 0; b < x->bins[i]; b++, to++) {
        value[to] = value[from + b];
        times[to] = times[from + b];
      }
    }
    from += x->bins[i];
  }
  x->bin_at[n] = to;
  x->rows.bin_at = x->bin_at;
  x->rows.bin_value = value;
  x->rows.bin_count = times;
}

/* The memory that decoding gave the bins is counted afterwards: a piece's bins are not many. */
static int count_memory(struct scanner *s, struct buffer *b, size_t before, tally_error *error) {
  if (b->capacity == before || budget_take(s->hold.budget, b->capacity - before)) return 0;
  budget_give(s->hold.budget, before);
  buffer_free(b);
  return fail(error, TALLY_MEMORY_LIMIT,
              "the query's histograms need more than its share of the memory: narrow its range, or raise the "
              "store's memory");
}

static int load_bins(struct scanner *s, uint32_t piece, uint32_t count, tally_error *error) {
  struct rollup_cursor *x = s->rollup;
  size_t values = x->bin_values.capacity, counts = x->bin_counts.capacity;
  buffer_clear(&x->bin_values);
  buffer_clear(&x->bin_counts);
  int result =
      segment_histograms(s->segment, piece, x->from, x->to, x->bins, &x->bin_values, &x->bin_counts, error);
  int values_result = count_memory(s, &x->bin_values, values, error);
  int counts_result = count_memory(s, &x->bin_counts, counts, error);
  if (!result) result = values_result ? values_result : counts_result;
  if (!result) keep_bins(x, count);
  return result;
}

int scanner_rollup_next(struct scanner *s, const struct entries **rows, tally_error *error) {
  struct rollup_cursor *x = s->rollup;
  while (x->piece < x->end) {
    uint32_t count = 0, piece = x->piece++;
    int result = segment_rollup(s->segment, x->level, piece, x->from, x->to, &x->entries, &count, error);
    if (!result && x->histograms) result = load_bins(s, piece, count, error);
    if (result) return result;
    s->stats.blocks_read++;
    s->stats.rollup_entries[x->level] += count;
    x->rows.rows = spread_keys(s, count);
    if (x->rows.rows == 0) continue;
    *rows = &x->rows;
    return TALLY_ROW;
  }
  return TALLY_OK;
}

/* ---- users */

int scanner_users(struct scanner *s, size_t part, int64_t from, int64_t to, tally_error *error) {
  int result = start(s, part, error);
  if (result) return result;
  struct rollup_cursor *x = s->rollup;
  const struct user_set *set = s->segment->user_set;
  uint32_t first = bucket_of(s->segment, ROLLUP_DAY, from), end = bucket_of(s->segment, ROLLUP_DAY, to);
  x->set = x->user = 0;
  while (x->set < s->segment->user_sets && set[x->set].day < first) x->set++;
  x->set_end = x->set;
  while (x->set_end < s->segment->user_sets && set[x->set_end].day < end) x->set_end++;
  return 0;
}

int scanner_users_next(struct scanner *s, const struct user_rows **rows, tally_error *error) {
  struct rollup_cursor *x = s->rollup;
  if (x->set == x->set_end) return TALLY_OK;
  const struct user_set *set = &s->segment->user_set[x->set];
  uint32_t count = set->users - x->user < USERS_PIECE ? set->users - x->user : USERS_PIECE;
  int result = count ? segment_users(s->segment, x->set, x->user, count, x->users, error) : 0;
  if (result) return result;
  s->stats.blocks_read += count > 0;
  s->stats.user_sets += x->user == 0;
  x->user_rows = (struct user_rows){s->segment->start + set->day * DAY_US, count, x->users};
  x->user += count;
  if (x->user == set->users) {
    x->set++;
    x->user = 0;
  }
  *rows = &x->user_rows;
  return TALLY_ROW;
}
