/* rollup_read.c - decoding rollups and sets of users (docs/format/segment.md, "Rollups", "Sets of users").
 *
 * Keys and users are checked to be ids that the segment may have, counts to be possible, and values to lie
 * within the segment's, so that callers may use them as they use those of rows. */
#include "base/array.h"
#include "base/mem.h"
#include "base/status.h"
#include "segment/histogram.h"
#include "segment/inside.h"
#include "segment/list.h"
#include "segment/part.h"

/* ---- keys */

static void read_user_keys(struct list_reader *l, const struct segment *s, struct rollup_key *keys) {
  const uint32_t n = s->user_keys;
  list_start(l, n);
  for (uint32_t i = 0; i < n; i++)
    keys[i] = (struct rollup_key){
        .service = (uint32_t)list_next_in(l, 0, s->max_id[column_domain(TALLY_COL_SERVICE_NAME)])};
  list_start(l, n);
  for (uint32_t i = 0; i < n; i++)
    keys[i].user = (uint32_t)list_next_in(l, 0, s->max_id[column_domain(TALLY_COL_USER_ID)]);
}

static void read_keys(struct list_reader *l, const struct segment *s, struct rollup_key *keys) {
  const uint32_t n = s->rollup_keys;
  list_start(l, n);
  for (uint32_t i = 0; i < n; i++)
    keys[i].service = (uint32_t)list_next_in(l, 0, s->max_id[column_domain(TALLY_COL_SERVICE_NAME)]);
  list_start(l, n);
  for (uint32_t i = 0; i < n; i++)
    keys[i].endpoint = (uint32_t)list_next_in(l, 0, s->max_id[column_domain(TALLY_COL_ENDPOINT)]);
  list_start(l, n);
  for (uint32_t i = 0; i < n; i++)
    keys[i].method = (uint32_t)list_next_in(l, 0, s->max_id[column_domain(TALLY_COL_METHOD)]);
  list_start(l, n);
  for (uint32_t i = 0; i < n; i++) keys[i].status = (uint32_t)list_next_in(l, 0, STATUS_CLASSES - 1);
}

static bool key_before(const struct rollup_key *a, const struct rollup_key *b) {
  if (a->service != b->service) return a->service < b->service;
  if (a->endpoint != b->endpoint) return a->endpoint < b->endpoint;
  if (a->method != b->method) return a->method < b->method;
  return a->status < b->status;
}

static uint32_t key_count(const struct segment *s, enum rollup_level level) {
  return rollup_of_users(level) ? s->user_keys : s->rollup_keys;
}

int segment_rollup_keys(struct segment *s, enum rollup_level level, struct rollup_key *keys,
                        tally_error *error) {
  const struct directory *d = &s->inside->directory;
  const bool users = rollup_of_users(level);
  struct block b;
  struct list_reader *l = mem_alloc(sizeof *l);
  if (!l) return fail_memory(error, "reading a segment's rollups");
  int result = block_pin(s, users ? d->user_key_block : d->key_block, &b, error);
  if (!result) {
    struct reader r = reader_make(b.payload, b.size);
    l->r = &r;
    if (users)
      read_user_keys(l, s, keys);
    else
      read_keys(l, s, keys);
    bool sound = !r.bad && reader_left(&r) == 0;
    for (uint32_t i = 1; i < key_count(s, level) && sound; i++) sound = key_before(&keys[i - 1], &keys[i]);
    if (!sound) result = block_damage(s, &b, "segment-rollup-keys", error);
    block_release(&b);
  }
  mem_free(l);
  return result;
}

/* ---- entries */

void segment_rollup_pieces(const struct segment *s, enum rollup_level level, uint32_t from, uint32_t to,
                           uint32_t *first, uint32_t *end) {
  const struct rollup_place *p = &s->inside->directory.rollup[level];
  *first = 0;
  while (*first < p->pieces && p->last[*first] < from) ++*first;
  *end = *first;
  while (*end < p->pieces && p->first[*end] < to) ++*end;
}

/* The columns of a piece that is being read. */
struct columns {
  struct ints bucket, key, rows, errors, bins;
  struct reader lists; /* behind the columns: the histograms' bins, of hours of a thinned segment */
  struct {
    struct ints sum, min, spread, nulls;
  } value[MEASURES];
  uint32_t count;       /* entries */
  uint32_t first, some; /* those wanted */
};

static bool has_nulls(const struct segment *s, int m) { return s->total.measure[m].nonnull != s->info.rows; }

static bool open_columns(const struct segment *s, const struct block *b, enum rollup_level level,
                         struct columns *c) {
  const bool bounds = s->rollup_bounds[level];
  struct reader r = reader_make(b->payload, b->size);
  bool sound = part_open(&r, c->count, &c->bucket) && part_open(&r, c->count, &c->key) &&
               part_open(&r, c->count, &c->rows) &&
               (!rollup_of_users(level) || part_open(&r, c->count, &c->errors));
  for (int m = 0; m < MEASURES && sound; m++) {
    sound = (!has_nulls(s, m) || part_open(&r, c->count, &c->value[m].nulls)) &&
            part_open(&r, c->count, &c->value[m].sum);
    if (sound && bounds)
      sound = part_open(&r, c->count, &c->value[m].min) && part_open(&r, c->count, &c->value[m].spread);
  }
  const bool histograms = s->info.thinned && level == ROLLUP_HOUR;
  if (sound && histograms) sound = part_open(&r, c->count, &c->bins);
  c->lists = r;
  return sound && (histograms || reader_left(&r) == 0);
}

/* The loops have no way out in the middle, so that the compiler takes several values at once. */

/* Finds the wanted entries; false if the buckets are not what the directory says. */
static bool find_buckets(const struct rollup_place *p, uint32_t piece, struct columns *c, uint32_t from,
                         uint32_t to, uint32_t *buckets) {
  int64_t v[ROLLUP_PIECE];
  ints_decode(&c->bucket, 0, c->count, v);
  if (v[0] != p->first[piece] || v[c->count - 1] != p->last[piece] || array_falls(v, c->count)) return false;
  c->first = array_count_below(v, c->count, from);
  c->some = from < to ? array_count_below(v, c->count, to) - c->first : 0;
  for (uint32_t i = 0; i < c->some && buckets; i++) buckets[i] = (uint32_t)v[c->first + i];
  return true;
}

/* Counts in [low, high]. */
static bool read_words(const struct columns *c, const struct ints *ints, int64_t low, int64_t high,
                       uint32_t *to) {
  int64_t v[ROLLUP_PIECE];
  ints_decode(ints, c->first, c->some, v);
  array_narrow(v, c->some, to);
  return array_within(v, c->some, (struct bounds){low, high});
}

/* At the users' levels the minimum is stored as its distance to the sum, which is 0 for one value. */
static bool read_bounds(const struct segment *s, const struct columns *c, int m, bool from_sum,
                        struct measure *to) {
  int64_t v[ROLLUP_PIECE];
  const struct measure *all = &s->total.measure[m];
  bool sound = true;
  ints_decode(&c->value[m].min, c->first, c->some, v);
  for (uint32_t i = 0; i < c->some; i++)
    to[i].min = from_sum ? (int64_t)((uint64_t)to[i].sum - (uint64_t)v[i]) : v[i];
  ints_decode(&c->value[m].spread, c->first, c->some, v);
  for (uint32_t i = 0; i < c->some; i++) {
    to[i].max = (int64_t)((uint64_t)to[i].min + (uint64_t)v[i]);
    sound &= to[i].nonnull == 0 || (to[i].min <= to[i].max && to[i].min >= all->min && to[i].max <= all->max);
  }
  return sound;
}

static bool read_measure(const struct segment *s, const struct columns *c, int m, enum rollup_level level,
                         bool bounds, const uint32_t *rows, struct measure *to) {
  int64_t v[ROLLUP_PIECE];
  bool sound = true;
  ints_decode(&c->value[m].sum, c->first, c->some, v);
  for (uint32_t i = 0; i < c->some; i++) to[i] = (struct measure){.sum = v[i], .nonnull = rows[i]};
  if (has_nulls(s, m)) {
    ints_decode(&c->value[m].nulls, c->first, c->some, v);
    for (uint32_t i = 0; i < c->some; i++) {
      sound &= v[i] >= 0 && v[i] <= rows[i];
      to[i].nonnull = rows[i] - (uint32_t)v[i];
    }
  }
  bounds = bounds && s->rollup_bounds[level];
  return sound && (!bounds || read_bounds(s, c, m, rollup_of_users(level), to));
}

static const char *read_piece(const struct segment *s, enum rollup_level level, uint32_t piece, uint32_t from,
                              uint32_t to, const struct block *b, const struct rollup_entries *entries,
                              uint32_t *count) {
  const struct rollup_place *p = &s->inside->directory.rollup[level];
  struct columns c = {.count = directory_rollup_entries(p, piece)};
  uint32_t rows[ROLLUP_PIECE];
  if (!open_columns(s, b, level, &c)) return "segment-rollup-columns";
  if (!find_buckets(p, piece, &c, from, to, entries->bucket)) return "segment-rollup-buckets";
  *count = c.some;
  if (c.some == 0) return NULL;
  if (entries->key && !read_words(&c, &c.key, 0, (int64_t)key_count(s, level) - 1, entries->key))
    return "segment-rollup-key-numbers";
  if (!read_words(&c, &c.rows, 1, s->info.rows, rows)) return "segment-rollup-rows";
  if (entries->rows) memcpy(entries->rows, rows, c.some * sizeof *rows);
  if (entries->errors && rollup_of_users(level) &&
      !read_words(&c, &c.errors, 0, s->info.rows, entries->errors))
    return "segment-rollup-errors";
  for (int m = 0; m < MEASURES; m++)
    if (entries->measure[m] && !read_measure(s, &c, m, level, entries->bounds, rows, entries->measure[m]))
      return "segment-rollup-values";
  return NULL;
}

int segment_rollup(struct segment *s, enum rollup_level level, uint32_t piece, uint32_t from, uint32_t to,
                   const struct rollup_entries *entries, uint32_t *count, tally_error *error) {
  struct block b;
  int result = block_pin(s, s->inside->directory.rollup[level].block + piece, &b, error);
  if (result) return result;
  const char *check = read_piece(s, level, piece, from, to, &b, entries, count);
  if (check) result = block_damage(s, &b, check, error);
  block_release(&b);
  return result;
}

/* ---- histograms */

/* Appends numbers [first, first + count) of a list of `all`; false if it is not one, or one of them is not in
 * [low, high]. */
static bool read_list(struct list_reader *l, uint32_t all, uint32_t first, uint32_t count, int64_t low,
                      int64_t high, struct buffer *to) {
  list_start(l, all);
  for (uint32_t i = 0; i < all; i++) {
    int64_t v = list_next_in(l, low, high);
    if (i >= first && i - first < count) buffer_append(to, &v, sizeof v);
  }
  return !l->r->bad;
}

/* Each value is the middle of a bin, and those of an entry ascend. */
static bool bins_make_sense(const uint32_t *bins, uint32_t entries, const uint8_t *values) {
  bool sound = true;
  for (uint32_t i = 0; i < entries; i++)
    for (uint32_t b = 0; b < bins[i]; b++, values += sizeof(int64_t)) {
      int64_t v = (int64_t)load64(values);
      sound &= histogram_value(v) == v && (b == 0 || (int64_t)load64(values - sizeof(int64_t)) < v);
    }
  return sound;
}

static const char *read_histograms(const struct segment *s, const struct block *b, uint32_t piece,
                                   uint32_t from, uint32_t to, uint32_t *bins, struct list_reader *l,
                                   struct buffer *values, struct buffer *counts) {
  const struct rollup_place *p = &s->inside->directory.rollup[ROLLUP_HOUR];
  struct columns c = {.count = directory_rollup_entries(p, piece)};
  if (!open_columns(s, b, ROLLUP_HOUR, &c)) return "segment-histogram-columns";
  if (!find_buckets(p, piece, &c, from, to, NULL)) return "segment-histogram-buckets";
  int64_t v[ROLLUP_PIECE];
  uint64_t all = 0, first = 0, some = 0;
  ints_decode(&c.bins, 0, c.count, v);
  for (uint32_t i = 0; i < c.count; i++) {
    if (v[i] < 0 || v[i] > s->info.rows) return "segment-histogram-bins";
    all += (uint64_t)v[i];
    first += i < c.first ? (uint64_t)v[i] : 0;
    bool wanted = i >= c.first && i < c.first + c.some;
    if (wanted) bins[i - c.first] = (uint32_t)v[i];
    some += wanted ? (uint64_t)v[i] : 0;
  }
  if (all > s->info.rows) return "segment-histogram-sum";
  l->r = &c.lists;
  if (!read_list(l, (uint32_t)all, (uint32_t)first, (uint32_t)some, INT32_MIN, -(int64_t)INT32_MIN, values) ||
      !read_list(l, (uint32_t)all, (uint32_t)first, (uint32_t)some, 1, s->info.rows, counts) ||
      reader_left(&c.lists) != 0)
    return "segment-histogram-lists";
  if (values->failed || counts->failed) return NULL; /* the caller tells */
  if (some && !bins_make_sense(bins, c.some, values->data + (values->size - some * sizeof(int64_t))))
    return "segment-histogram-values";
  return NULL;
}

int segment_histograms(struct segment *s, uint32_t piece, uint32_t from, uint32_t to, uint32_t *bins,
                       struct buffer *values, struct buffer *counts, tally_error *error) {
  struct block b;
  struct list_reader *l = mem_alloc(sizeof *l);
  if (!l) return fail_memory(error, "reading histograms");
  int result = block_pin(s, s->inside->directory.rollup[ROLLUP_HOUR].block + piece, &b, error);
  if (!result) {
    const char *check = read_histograms(s, &b, piece, from, to, bins, l, values, counts);
    if (check) result = block_damage(s, &b, check, error);
    if (!check && (values->failed || counts->failed)) result = fail_memory(error, "reading histograms");
    block_release(&b);
  }
  mem_free(l);
  return result;
}

/* ---- users */

/* Has no way out in the middle, so that the compiler takes several values at once. */
static bool read_users(const struct segment *s, const struct block *b, uint32_t all, uint32_t first,
                       uint32_t count, int64_t *users) {
  struct reader r = reader_make(b->payload, b->size), part;
  struct ints ints;
  for (uint32_t skip = 0; skip < first; skip += USERS_PIECE)
    if (!part_take(&r, &part)) return false;
  uint32_t there = all - first < USERS_PIECE ? all - first : USERS_PIECE;
  if (!part_open(&r, there, &ints) || (first + there == all && reader_left(&r) != 0)) return false;
  ints_decode(&ints, 0, count, users);
  return users[0] > 0 && array_rises(users, count) &&
         users[count - 1] <= s->max_id[column_domain(TALLY_COL_USER_ID)];
}

int segment_users(struct segment *s, uint32_t set, uint32_t first, uint32_t count, int64_t *users,
                  tally_error *error) {
  struct block b;
  int result = block_pin(s, s->inside->directory.set_block + set, &b, error);
  if (result) return result;
  if (!read_users(s, &b, s->user_set[set].users, first, count, users))
    result = block_damage(s, &b, "segment-users-set", error);
  block_release(&b);
  return result;
}
