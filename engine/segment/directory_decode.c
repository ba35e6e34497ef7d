/* directory_decode.c - reading the directory's payload without trust (docs/format/segment.md, "Directory").
 *
 * Staying in bounds is the readers' business (base/bytes.h, list.h); here each number is also checked to be
 * meaningful, so that the rest of segment/ and its callers may use them as sizes and indexes. */
#include "base/status.h"
#include "segment/directory.h"
#include "segment/list.h"
#include "segment/place.h"

struct parse {
  struct directory *d;
  struct reader r;
  struct list_reader list;
  uint64_t end; /* where the blocks must end */
};

static int64_t spread(int64_t min, int64_t max) { return (int64_t)((uint64_t)max - (uint64_t)min); }
static int64_t widen(int64_t min, int64_t by) { return (int64_t)((uint64_t)min + (uint64_t)by); }

/* The values that a column may have. */
static void column_limits(const struct directory *d, int column, int64_t *low, int64_t *high) {
  switch (column_kind(column)) {
  case KIND_TIME:
    (void)place_month(d->month, low, high);
    break;
  case KIND_TEXT:
    *low = 1, *high = UINT32_MAX;
    break;
  case KIND_INT:
    *low = INT32_MIN, *high = INT32_MAX;
    break;
  case KIND_COST:
    *low = -COST_MAX, *high = COST_MAX;
    break;
  case KIND_JSON:
    *low = *high = 0;
    break;
  }
}

static void get_sizes(struct parse *p, uint32_t first, uint32_t count) {
  struct directory *d = p->d;
  list_start(&p->list, count);
  for (uint32_t i = first; i < first + count; i++) {
    uint64_t most = p->end - d->at[i];
    uint64_t size = (uint64_t)list_next_in(&p->list, 0, INT64_MAX - TRAILER_BYTES);
    if (size) size += TRAILER_BYTES;
    if (size > most) p->r.bad = true;
    d->at[i + 1] = d->at[i] + (size > most ? 0 : size);
  }
}

/* min and max of each chunk; nulls are not known yet, so all-NULL chunks are checked by check_zones. */
static void get_zones(struct parse *p, struct zone *z) {
  list_start(&p->list, p->d->chunks);
  for (uint32_t c = 0; c < p->d->chunks; c++) z[c].min = list_next(&p->list);
  list_start(&p->list, p->d->chunks);
  for (uint32_t c = 0; c < p->d->chunks; c++) z[c].max = widen(z[c].min, list_next(&p->list));
}

static bool zone_makes_sense(const struct directory *d, int slot, uint32_t chunk) {
  const struct zone *z = &d->zone[(uint32_t)slot * d->chunks + chunk];
  uint32_t rows = directory_chunk_rows(d, chunk), block = (uint32_t)slot * d->chunks + chunk;
  int64_t low = 0, high = 0;
  if (z->nulls == rows) {
    if (z->min != 0 || z->max != 0) return false;
  } else {
    column_limits(d, slot_column(slot), &low, &high);
    if (z->min < low || z->max > high || z->min > z->max) return false;
  }
  return (d->at[block + 1] != d->at[block]) == directory_has_block(z, slot, rows);
}

static bool get_slot(struct parse *p, int slot) {
  struct directory *d = p->d;
  struct zone *z = &d->zone[(uint32_t)slot * d->chunks];
  get_sizes(p, (uint32_t)slot * d->chunks, d->chunks);
  if (slot != SLOT_METADATA) get_zones(p, z);
  if (slot != 0) {
    list_start(&p->list, d->chunks);
    for (uint32_t c = 0; c < d->chunks; c++)
      z[c].nulls = (uint32_t)list_next_in(&p->list, 0, directory_chunk_rows(d, c));
  }
  if (slot == SLOT_METADATA) {
    list_start(&p->list, d->chunks);
    for (uint32_t c = 0; c < d->chunks; c++)
      d->metadata_bytes[c] = (uint64_t)list_next_in(
          &p->list, 0, (int64_t)(directory_chunk_rows(d, c) - z[c].nulls) * METADATA_BYTES);
  }
  for (uint32_t c = 0; c < d->chunks; c++)
    if (p->r.bad || !zone_makes_sense(d, slot, c)) return false;
  return true;
}

static bool get_runs(struct parse *p) {
  struct directory *d = p->d;
  get_sizes(p, directory_run_block(d, 0), d->pieces);
  list_start(&p->list, d->pieces);
  for (uint32_t i = 0; i < d->pieces; i++) d->piece_user[i] = (uint32_t)list_next_in(&p->list, 0, UINT32_MAX);
  list_start(&p->list, d->pieces);
  for (uint32_t i = 0; i < d->pieces; i++) {
    int64_t left = (int64_t)d->rows - d->piece_row[i];
    d->piece_row[i + 1] =
        d->piece_row[i] + (uint32_t)list_next_in(&p->list, directory_piece_runs(d, i), left < 0 ? 0 : left);
    if (p->r.bad) return false;
  }
  if (d->sums_fit) get_sizes(p, directory_sum_block(d, 0), d->pieces);
  for (uint32_t i = directory_run_block(d, 0); i < d->key_block; i++)
    if (d->at[i + 1] == d->at[i]) return false;
  return !p->r.bad && (d->thinned || d->piece_row[d->pieces] == d->rows);
}

static bool get_spans(struct parse *p) {
  struct directory *d = p->d;
  int64_t least = 0, runs = 0, rows = 0;
  list_start(&p->list, d->services);
  for (uint32_t i = 0; i < d->services; i++) {
    d->span[i].service = (uint32_t)list_next_in(&p->list, least, UINT32_MAX);
    least = (int64_t)d->span[i].service + 1;
  }
  list_start(&p->list, d->services);
  for (uint32_t i = 0; i < d->services; i++)
    runs += d->span[i].runs = (uint32_t)list_next_in(&p->list, d->thinned ? 0 : 1, d->runs);
  list_start(&p->list, d->services);
  for (uint32_t i = 0; i < d->services; i++)
    rows += d->span[i].rows = (uint32_t)list_next_in(&p->list, d->thinned ? 1 : d->span[i].runs, d->rows);
  return !p->r.bad && runs == d->runs && rows == d->rows;
}

static bool get_totals(struct parse *p) {
  uint64_t errors = read_varint(&p->r);
  p->d->total.errors = (uint32_t)errors;
  for (int m = 0; m < MEASURES; m++) p->d->total.measure[m].sum = unzigzag(read_varint(&p->r));
  return !p->r.bad && errors <= p->d->rows;
}

static bool measure_makes_sense(const struct measure *m, uint32_t rows, const struct measure *all) {
  if (m->nonnull > rows) return false;
  return m->nonnull == 0 || (m->min <= m->max && m->min >= all->min && m->max <= all->max);
}

static bool get_service_measure(struct parse *p, int m) {
  struct directory *d = p->d;
  const struct measure *all = &d->total.measure[m];
  uint64_t sum = 0, nonnull = 0;
  list_start(&p->list, d->services);
  for (uint32_t i = 0; i < d->services; i++)
    sum += (uint64_t)(d->service[i].measure[m].sum = list_next(&p->list));
  list_start(&p->list, d->services);
  for (uint32_t i = 0; i < d->services; i++) d->service[i].measure[m].min = list_next(&p->list);
  list_start(&p->list, d->services);
  for (uint32_t i = 0; i < d->services; i++)
    d->service[i].measure[m].max = widen(d->service[i].measure[m].min, list_next(&p->list));
  bool stored = all->nonnull != d->rows;
  list_start(&p->list, d->services);
  for (uint32_t i = 0; i < d->services; i++) {
    struct measure *one = &d->service[i].measure[m];
    one->nonnull = stored ? (uint32_t)list_next_in(&p->list, 0, d->span[i].rows) : d->span[i].rows;
    nonnull += one->nonnull;
    if (!measure_makes_sense(one, d->span[i].rows, all)) return false;
  }
  return !p->r.bad && sum == (uint64_t)all->sum && nonnull == all->nonnull;
}

static bool get_services(struct parse *p) {
  struct directory *d = p->d;
  uint64_t errors = 0;
  list_start(&p->list, d->services);
  for (uint32_t i = 0; i < d->services; i++) {
    struct totals *t = &d->service[i];
    t->service = d->span[i].service;
    t->first = d->span[i].first;
    t->rows = d->span[i].rows;
    errors += t->errors = (uint32_t)list_next_in(&p->list, 0, t->rows);
  }
  int64_t low = d->total.min_timestamp, high = d->total.max_timestamp;
  list_start(&p->list, d->services);
  for (uint32_t i = 0; i < d->services; i++) d->service[i].min_timestamp = list_next_in(&p->list, low, high);
  list_start(&p->list, d->services);
  for (uint32_t i = 0; i < d->services; i++) {
    int64_t min = d->service[i].min_timestamp;
    d->service[i].max_timestamp = widen(min, list_next_in(&p->list, 0, spread(min, high)));
  }
  for (int m = 0; m < MEASURES; m++)
    if (!get_service_measure(p, m)) return false;
  return !p->r.bad && errors == d->total.errors;
}

static bool get_rollup(struct parse *p, enum rollup_level level) {
  struct directory *d = p->d;
  struct rollup_place *r = &d->rollup[level];
  const int64_t most = rollup_buckets(level) - 1;
  int64_t least = 0;
  get_sizes(p, r->block, r->pieces);
  list_start(&p->list, r->pieces);
  for (uint32_t i = 0; i < r->pieces; i++) r->first[i] = (uint32_t)list_next_in(&p->list, 0, most);
  list_start(&p->list, r->pieces);
  for (uint32_t i = 0; i < r->pieces; i++) {
    r->last[i] = r->first[i] + (uint32_t)list_next_in(&p->list, 0, most - r->first[i]);
    if (r->first[i] < least || d->at[r->block + i + 1] == d->at[r->block + i]) return false;
    least = r->last[i];
  }
  return !p->r.bad;
}

static bool get_user_sets(struct parse *p) {
  struct directory *d = p->d;
  int64_t least = 0;
  get_sizes(p, d->set_block, d->user_sets);
  list_start(&p->list, d->user_sets);
  for (uint32_t i = 0; i < d->user_sets; i++) {
    d->user_set[i].day = (uint32_t)list_next_in(&p->list, least, MONTH_DAYS - 1);
    least = (int64_t)d->user_set[i].day + 1;
  }
  list_start(&p->list, d->user_sets);
  for (uint32_t i = 0; i < d->user_sets; i++) {
    d->user_set[i].users = (uint32_t)list_next_in(&p->list, 0, d->runs);
    bool block = d->at[d->set_block + i + 1] != d->at[d->set_block + i];
    if (block != (d->user_set[i].users > 0)) return false;
  }
  return !p->r.bad;
}

static bool get_rollups(struct parse *p) {
  struct directory *d = p->d;
  if (d->rollup_keys) get_sizes(p, d->key_block, 1);
  if (d->rollup_keys && d->at[d->key_block + 1] == d->at[d->key_block]) return false;
  return get_rollup(p, ROLLUP_HOUR) && get_rollup(p, ROLLUP_DAY) && get_user_sets(p);
}

static bool get_thinned_totals(struct parse *p) {
  struct directory *d = p->d;
  int64_t first, last;
  (void)place_month(d->month, &first, &last);
  uint64_t endpoint = read_varint(&p->r), method = read_varint(&p->r), min = read_varint(&p->r),
           spread_us = read_varint(&p->r);
  if (p->r.bad || endpoint > UINT32_MAX || method > UINT32_MAX || min > (uint64_t)last ||
      spread_us > (uint64_t)last - min || (int64_t)min < first)
    return false;
  d->max_id[column_domain(TALLY_COL_ENDPOINT)] = (uint32_t)endpoint;
  d->max_id[column_domain(TALLY_COL_METHOD)] = (uint32_t)method;
  d->total.min_timestamp = (int64_t)min;
  d->total.max_timestamp = (int64_t)(min + spread_us);
  for (int m = 0; m < MEASURES; m++) {
    struct measure *x = &d->total.measure[m];
    int64_t low, high;
    column_limits(d, TALLY_COL_REQUEST_SIZE + m, &low, &high);
    x->min = unzigzag(read_varint(&p->r));
    x->max = (int64_t)((uint64_t)x->min + read_varint(&p->r));
    uint64_t nonnull = read_varint(&p->r);
    x->nonnull = (uint32_t)nonnull;
    if (p->r.bad || nonnull > d->rows || (nonnull && (x->min < low || x->max > high || x->min > x->max)))
      return false;
  }
  return true;
}

static bool get_thinned(struct parse *p) {
  struct directory *d = p->d;
  get_sizes(p, d->user_key_block, 1);
  if (d->at[d->user_key_block + 1] == d->at[d->user_key_block]) return false;
  if (!get_rollup(p, ROLLUP_USER_HOUR) || !get_rollup(p, ROLLUP_USER_DAY)) return false;
  return !p->r.bad && get_thinned_totals(p);
}

/* What follows the counts. Returns the name of the check that failed, or NULL. */
static const char *get_all(struct parse *p) {
  struct directory *d = p->d;
  d->at[0] = SEGMENT_HEADER;
  for (int slot = 0; slot < SLOTS; slot++)
    if (!get_slot(p, slot)) return "segment-directory-zones";
  if (!get_runs(p)) return "segment-directory-runs";
  if (!get_spans(p)) return "segment-directory-services";
  directory_derive(d);
  if (d->sums_fit && !get_totals(p)) return "segment-directory-totals";
  if (d->has_service_totals && !get_services(p)) return "segment-directory-service-totals";
  if (!get_rollups(p)) return "segment-directory-rollups";
  if (d->thinned && !get_thinned(p)) return "segment-directory-thinned";
  if (d->at[d->blocks] != p->end) return "segment-directory-block-sizes";
  return reader_left(&p->r) == 0 ? NULL : "segment-directory-length";
}

/* There are days where there are hours, and a key has entries of its own. */
static bool get_rollup_counts(struct parse *p) {
  uint64_t keys = read_varint(&p->r), hours = read_varint(&p->r), days = read_varint(&p->r),
           sets = read_varint(&p->r);
  if (p->r.bad || hours > p->d->rows || days > p->d->rows || keys > days || (keys == 0) != (days == 0) ||
      (hours && hours < days) || sets > MONTH_DAYS || (days && !p->d->sums_fit && !p->d->thinned))
    return false;
  p->d->rollup_keys = (uint32_t)keys;
  p->d->rollup[ROLLUP_HOUR].entries = (uint32_t)hours;
  p->d->rollup[ROLLUP_DAY].entries = (uint32_t)days;
  p->d->user_sets = (uint32_t)sets;
  return true;
}

static bool get_thinned_counts(struct parse *p) {
  struct directory *d = p->d;
  uint64_t keys = read_varint(&p->r), hours = read_varint(&p->r), days = read_varint(&p->r);
  d->user_keys = (uint32_t)keys;
  d->rollup[ROLLUP_USER_HOUR].entries = (uint32_t)hours;
  d->rollup[ROLLUP_USER_DAY].entries = (uint32_t)days;
  return !p->r.bad && keys >= 1 && keys <= days && days <= hours && hours <= d->rows && d->user_sets == 0 &&
         d->rollup_keys && d->rollup[ROLLUP_HOUR].entries && d->hour_bounds && !d->has_service_totals;
}

static bool get_counts(struct parse *p) {
  struct directory *d = p->d;
  uint64_t rows = read_varint(&p->r), month = read_varint(&p->r), runs = read_varint(&p->r),
           services = read_varint(&p->r), user = read_varint(&p->r);
  uint8_t flags = read8(&p->r);
  int64_t first, last;
  const bool thinned = flags & DIRECTORY_THINNED;
  const uint64_t rows_most = thinned ? UINT32_MAX : SEGMENT_ROWS;
  if (p->r.bad || rows < 1 || rows > rows_most || runs > rows || (runs == 0) != thinned || services < 1 ||
      services > (thinned ? rows : runs) || user > UINT32_MAX || flags > 15 ||
      (!thinned && flags && !(flags & DIRECTORY_SUMS)) || month > INT32_MAX ||
      !place_month((int32_t)month, &first, &last))
    return false;
  d->rows = (uint32_t)rows;
  d->month = (int32_t)month;
  d->runs = (uint32_t)runs;
  d->services = (uint32_t)services;
  d->max_id[column_domain(TALLY_COL_USER_ID)] = (uint32_t)user;
  d->sums_fit = flags & DIRECTORY_SUMS;
  d->has_service_totals = flags & DIRECTORY_SERVICES;
  d->hour_bounds = flags & DIRECTORY_BOUNDS;
  d->thinned = thinned;
  return get_rollup_counts(p) && (!thinned || get_thinned_counts(p));
}

int directory_decode(struct directory *d, const void *payload, size_t size, uint64_t end, const char *file,
                     struct budget *budget, tally_error *error) {
  *d = (struct directory){0};
  struct parse p = {.d = d, .r = reader_make(payload, size), .end = end};
  p.list.r = &p.r;
  if (!get_counts(&p)) return fail_corrupt(error, file, end, "segment-directory-counts");
  int result = directory_allocate(d, budget, error);
  if (result) return result;
  const char *check = get_all(&p);
  if (!check) return 0;
  directory_free(d, budget);
  return fail_corrupt(error, file, end, check);
}
