/* rollup_sum.c - see rollup_sum.h. Hot path: find_keys, place_rows, rollup_rows_add.
 *
 * Keys whose ids are small, as where there are not many services, endpoints and methods, have a place in a
 * table by their ids; others are found by hash.
 *
 * Rows are counted and summed in cells of hours, all measures of a row at once, so that a row touches one
 * line of the cache; they are bounded in cells of days, which are few and stay in it; at the end the days get
 * the sums of their hours. Where hours are left out the rows are summed in the days. */
#include "segment/rollup_row.h"

#include <stdlib.h>

#include "base/array.h"
#include "base/bitmap.h"
#include "base/kernel.h"
#include "base/mem.h"
#include "base/status.h"
#include "segment/key_set.h"

#define TABLE_ROWS 4u
#define TABLE_LEAST 65536u
#define CELLS_LEAST 1024u
#define KEYS_LEAST 64u
#define SLOTS_A_KEY 4u

enum { STATUS = TALLY_COL_STATUS_CODE - TALLY_COL_REQUEST_SIZE };

/* How summing ended. */
enum outcome { DONE, LEFT_OUT, NO_MEMORY };

/* A level: the cell of each key in each bucket. */
struct grid {
  uint32_t first, buckets; /* those that may have rows */
  uint32_t *cell;          /* keys' capacity x buckets: number + 1; 0: none */
  struct rollup_cells cells;
};

struct summing {
  struct budget *budget;
  int64_t start;           /* of the month */
  enum rollup_level level; /* that rows are summed in */
  uint32_t cells_most;
  uint64_t table_most;
  /* keys by first sight, found by hash */
  uint32_t keys, key_capacity;
  struct rollup_key *key;
  uint32_t *slot; /* SLOTS_A_KEY * capacity, a power of two: number + 1; 0: empty */
  void *key_memory;
  size_t key_size;
  uint32_t endpoints, methods; /* more than the ids */
  uint32_t *near;              /* by key_code: number + 1; 0: not seen yet. NULL: ids are too large */
  size_t near_size;
  struct grid grid[ROWS_LEVELS];
  /* of a chunk of rows */
  uint32_t number[CHUNK_ROWS], cell[CHUNK_ROWS];
};

/* ---- memory */

static enum outcome take(struct budget *budget, size_t size, void **memory) {
  if (!budget_take(budget, size)) return LEFT_OUT;
  *memory = mem_alloc(size);
  if (*memory) return DONE;
  budget_give(budget, size);
  return NO_MEMORY;
}

static void give(struct budget *budget, void *memory, size_t size) {
  if (!memory) return;
  mem_free(memory);
  budget_give(budget, size);
}

/* An array of a block of memory that is being laid out; copies `count` elements that were elsewhere. */
static void *carve(uint8_t **at, size_t capacity, size_t size, const void *old, size_t count) {
  void *p = *at;
  if (count) memcpy(p, old, count * size);
  *at += capacity * size;
  return p;
}

static enum outcome grow_cells(struct budget *budget, struct rollup_cells *c, bool bounds) {
  struct rollup_cells n = {.count = c->count, .capacity = c->capacity ? 2 * c->capacity : CELLS_LEAST};
  size_t each = sizeof *n.cell + (bounds ? sizeof *n.bounds : 0) + sizeof *n.nulls + sizeof *n.order;
  n.size = n.capacity * each;
  enum outcome outcome = take(budget, n.size, &n.memory);
  if (outcome != DONE) return outcome;
  uint8_t *at = n.memory;
  n.cell = carve(&at, n.capacity, sizeof *n.cell, c->cell, c->count);
  if (bounds) n.bounds = carve(&at, n.capacity, sizeof *n.bounds, c->bounds, c->count);
  n.nulls = carve(&at, n.capacity, sizeof *n.nulls, c->nulls, c->count);
  n.order = carve(&at, n.capacity, sizeof *n.order, NULL, 0);
  give(budget, c->memory, c->size);
  *c = n;
  return DONE;
}

/* ---- keys */

static inline uint32_t hash_key(const struct rollup_key *k) {
  uint32_t h = k->endpoint * 0x9E3779B1u ^ k->method * 0x85EBCA77u ^ k->status * 0xC2B2AE3Du ^
               k->service * 0x27D4EB2Fu;
  return h ^ h >> 15;
}

static void place_key(struct summing *s, uint32_t number) {
  uint32_t mask = SLOTS_A_KEY * s->key_capacity - 1, i = hash_key(&s->key[number]) & mask;
  while (s->slot[i]) i = (i + 1) & mask;
  s->slot[i] = number + 1;
}

/* Twice the room for keys, in the table and in the grids. */
static enum outcome grow_keys(struct summing *s) {
  const uint32_t old = s->keys, capacity = s->key_capacity ? 2 * s->key_capacity : KEYS_LEAST;
  uint64_t cells = (uint64_t)s->grid[ROLLUP_HOUR].buckets + s->grid[ROLLUP_DAY].buckets;
  if (capacity * cells > s->table_most) return LEFT_OUT;
  void *memory, *old_memory = s->key_memory;
  size_t size = capacity * (sizeof *s->key + (SLOTS_A_KEY + (size_t)cells) * sizeof(uint32_t));
  enum outcome outcome = take(s->budget, size, &memory);
  if (outcome != DONE) return outcome;
  uint8_t *at = memset(memory, 0, size);
  s->key = carve(&at, capacity, sizeof *s->key, s->key, old);
  s->slot = carve(&at, (size_t)SLOTS_A_KEY * capacity, sizeof *s->slot, NULL, 0);
  for (int level = 0; level < ROWS_LEVELS; level++) {
    struct grid *g = &s->grid[level];
    g->cell = carve(&at, (size_t)capacity * g->buckets, sizeof *g->cell, g->cell, (size_t)old * g->buckets);
  }
  give(s->budget, old_memory, s->key_size);
  s->key_memory = memory;
  s->key_size = size;
  s->key_capacity = capacity;
  for (uint32_t i = 0; i < old; i++) place_key(s, i);
  return DONE;
}

static inline bool same_key(const struct rollup_key *a, const struct rollup_key *b) {
  return ((a->endpoint ^ b->endpoint) | (a->method ^ b->method) | (a->status ^ b->status) |
          (a->service ^ b->service)) == 0;
}

static enum outcome add_key(struct summing *s, const struct rollup_key *k, uint32_t *number) {
  enum outcome outcome = s->keys == s->key_capacity ? grow_keys(s) : DONE;
  if (outcome != DONE) return outcome;
  *number = s->keys++;
  s->key[*number] = *k;
  place_key(s, *number);
  return DONE;
}

/* ---- cells */

static uint32_t *grid_place(const struct grid *g, uint32_t key, uint32_t bucket) {
  return &g->cell[(size_t)key * g->buckets + (bucket - g->first)];
}

static enum outcome add_cell(struct summing *s, enum rollup_level level, uint32_t key, uint32_t bucket) {
  struct grid *g = &s->grid[level];
  struct rollup_cells *c = &g->cells;
  bool bounds = level == ROLLUP_DAY;
  if (c->count == s->cells_most) return LEFT_OUT;
  enum outcome outcome = c->count == c->capacity ? grow_cells(s->budget, c, bounds) : DONE;
  if (outcome != DONE) return outcome;
  uint32_t n = c->count, day_cell = n;
  if (level == ROLLUP_HOUR) {
    uint32_t *day = grid_place(&s->grid[ROLLUP_DAY], key, bucket / 24);
    outcome = *day ? DONE : add_cell(s, ROLLUP_DAY, key, bucket / 24);
    if (outcome != DONE) return outcome;
    day_cell = *day - 1;
  }
  c->cell[n] = (struct rollup_cell){.bucket = bucket, .key = key, .day = day_cell};
  memset(c->nulls[n], 0, sizeof c->nulls[n]);
  for (int m = 0; bounds && m < MEASURES; m++) {
    c->bounds[n].min[m] = INT64_MAX;
    c->bounds[n].max[m] = INT64_MIN;
  }
  *grid_place(g, key, bucket) = ++c->count;
  return DONE;
}

/* ---- rows */

static uint32_t bucket_of(int64_t start, enum rollup_level level, int64_t timestamp) {
  uint64_t us = (uint64_t)(timestamp - start);
  return (uint32_t)(level == ROLLUP_HOUR ? us / UINT64_C(3600000000) : us / (uint64_t)DAY_US);
}

/* The columns of rows that make their keys, from the first of a chunk on. */
struct keyed {
  const uint32_t *service, *endpoint, *method;
  const int32_t *status;
  const uint64_t *valid; /* chunks begin at a word */
};

static struct keyed keyed_from(const struct rows *rows, uint32_t first) {
  return (struct keyed){.service = rows->text[column_domain(TALLY_COL_SERVICE_NAME)] + first,
                        .endpoint = rows->text[column_domain(TALLY_COL_ENDPOINT)] + first,
                        .method = rows->text[column_domain(TALLY_COL_METHOD)] + first,
                        .status = rows->number[STATUS] + first,
                        .valid = rows->valid[STATUS] + first / 64};
}

static inline struct rollup_key keyed_key(const struct keyed *k, uint32_t i) {
  return (struct rollup_key){
      .service = k->service[i],
      .endpoint = k->endpoint[i],
      .method = k->method[i],
      .status = bitmap_get(k->valid, i) ? status_class(k->status[i]) : CLASS_NULL,
  };
}

KERNEL static void put_classes(const int32_t *restrict status, uint32_t count, uint32_t *restrict to) {
  for (uint32_t i = 0; i < count; i++) to[i] = status_class(status[i]);
}

/* Adds the ids to classes; codes of one service are near each other. */
KERNEL static void add_ids(const uint32_t *restrict service, const uint32_t *restrict endpoint,
                           const uint32_t *restrict method, uint32_t count, uint32_t endpoints,
                           uint32_t methods, uint32_t *restrict to) {
  for (uint32_t i = 0; i < count; i++)
    to[i] += ((service[i] * endpoints + endpoint[i]) * methods + method[i]) * STATUS_CLASSES;
}

static void key_codes(const struct summing *s, const struct keyed *k, uint32_t count, uint32_t *code) {
  put_classes(k->status, count, code);
  if (bitmap_count(k->valid, count) != count)
    for (uint32_t i = 0; i < count; i++)
      if (!bitmap_get(k->valid, i)) code[i] = CLASS_NULL;
  add_ids(k->service, k->endpoint, k->method, count, s->endpoints, s->methods, code);
}

/* The keys' numbers to s->number, by the table. */
static enum outcome find_near_keys(struct summing *s, const struct keyed *k, uint32_t count) {
  uint32_t *const near = s->near, *const number = s->number, *const code = s->cell; /* not in use yet */
  key_codes(s, k, count, code);
  for (uint32_t i = 0; i < count; i++) {
    uint32_t *place = &near[code[i]];
    if (!*place) {
      const struct rollup_key key = keyed_key(k, i);
      enum outcome outcome = add_key(s, &key, &number[i]);
      if (outcome != DONE) return outcome;
      *place = number[i] + 1;
    }
    number[i] = *place - 1;
  }
  return DONE;
}

/* The same, by hash. Pointers stand in locals, because the compiler cannot know that what is stored changes
 * none of them. */
static enum outcome find_any_keys(struct summing *s, const struct keyed *keyed, uint32_t count) {
  const struct keyed k = *keyed;
  const struct rollup_key *keys = s->key;
  const uint32_t *slot = s->slot;
  uint32_t mask = SLOTS_A_KEY * s->key_capacity - 1;
  for (uint32_t i = 0; i < count; i++) {
    const struct rollup_key key = keyed_key(&k, i);
    uint32_t at = hash_key(&key) & mask;
    while (slot[at] && !same_key(&keys[slot[at] - 1], &key)) at = (at + 1) & mask;
    if (slot[at]) {
      s->number[i] = slot[at] - 1;
      continue;
    }
    enum outcome outcome = add_key(s, &key, &s->number[i]);
    if (outcome != DONE) return outcome;
    keys = s->key;
    slot = s->slot;
    mask = SLOTS_A_KEY * s->key_capacity - 1;
  }
  return DONE;
}

static enum outcome find_keys(struct summing *s, const struct rows *rows, uint32_t first, uint32_t count) {
  const struct keyed k = keyed_from(rows, first);
  return s->near ? find_near_keys(s, &k, count) : find_any_keys(s, &k, count);
}

KERNEL static uint32_t greatest(const uint32_t *id, uint32_t count) {
  uint32_t most = 0;
  for (uint32_t i = 0; i < count; i++) most = id[i] > most ? id[i] : most;
  return most;
}

/* More than the greatest id of a column of all rows. */
static uint64_t ids_of(const struct rows *rows, int column) {
  return (uint64_t)greatest(rows->text[column_domain(column)], rows->count) + 1;
}

/* A table by ids, if it is not longer than the rows and there is room for it. */
static enum outcome make_near(struct summing *s, const struct rows *rows) {
  const uint64_t services = ids_of(rows, TALLY_COL_SERVICE_NAME),
                 endpoints = ids_of(rows, TALLY_COL_ENDPOINT), methods = ids_of(rows, TALLY_COL_METHOD);
  uint64_t places = services * STATUS_CLASSES;
  if (places > rows->count || endpoints > rows->count || methods > rows->count) return DONE;
  places *= endpoints;
  if (places > rows->count || places * methods > rows->count) return DONE;
  void *memory;
  const size_t size = (size_t)(places * methods) * sizeof *s->near;
  enum outcome outcome = take(s->budget, size, &memory);
  if (outcome != DONE) return outcome == LEFT_OUT ? DONE : outcome;
  s->near = memset(memory, 0, size);
  s->near_size = size;
  s->endpoints = (uint32_t)endpoints;
  s->methods = (uint32_t)methods;
  return DONE;
}

/* The cells of rows [first, first + count). */
static enum outcome place_rows(struct summing *s, const struct rows *rows, uint32_t first, uint32_t count) {
  const int64_t *timestamp = rows->timestamp + first, start = s->start;
  const enum rollup_level level = s->level;
  const struct grid grid = s->grid[level]; /* new cells do not move its places */
  for (uint32_t i = 0; i < count; i++) {
    uint32_t bucket = bucket_of(start, level, timestamp[i]);
    uint32_t *place = grid_place(&grid, s->number[i], bucket);
    if (!*place) {
      enum outcome outcome = add_cell(s, level, s->number[i], bucket);
      if (outcome != DONE) return outcome;
    }
    s->cell[i] = *place - 1;
  }
  return DONE;
}

static enum outcome add_rows(struct summing *s, const struct rows *rows) {
  for (uint32_t first = 0; first < rows->count; first += CHUNK_ROWS) {
    uint32_t count = rows->count - first < CHUNK_ROWS ? rows->count - first : CHUNK_ROWS;
    enum outcome outcome = find_keys(s, rows, first, count);
    if (outcome == DONE) outcome = place_rows(s, rows, first, count);
    if (outcome != DONE) return outcome;
    const struct measured v = measured_from(rows, first);
    rollup_rows_add(&s->grid[s->level].cells, s->grid[ROLLUP_DAY].cells.bounds, s->cell, &v, count);
  }
  return DONE;
}

static void add_hours(struct summing *s) {
  const struct rollup_cells *h = &s->grid[ROLLUP_HOUR].cells;
  struct rollup_cells *d = &s->grid[ROLLUP_DAY].cells;
  for (uint32_t i = 0; i < h->count; i++) {
    const struct rollup_cell *hour = &h->cell[i];
    struct rollup_cell *day = &d->cell[hour->day];
    day->rows += hour->rows;
    for (int m = 0; m < MEASURES; m++) {
      d->nulls[hour->day][m] += h->nulls[i][m];
      day->sum[m] += hour->sum[m];
    }
  }
}

/* ---- order */

static int by_ids(const void *a, const void *b) {
  return key_order(&((const struct numbered_key *)a)->key, &((const struct numbered_key *)b)->key);
}

static enum outcome sort_keys(struct rollup_sum *r, const struct summing *s) {
  void *memory;
  enum outcome outcome = take(r->budget, s->keys * sizeof *r->key, &memory);
  if (outcome != DONE) return outcome;
  r->key = memory;
  r->keys = s->keys;
  for (uint32_t i = 0; i < r->keys; i++) r->key[i] = (struct numbered_key){s->key[i], i};
  qsort(r->key, r->keys, sizeof *r->key, by_ids);
  return DONE;
}

/* Moves a level's cells to r, ordered by bucket, then key. */
static void keep_cells(struct rollup_sum *r, struct summing *s, enum rollup_level level) {
  struct rollup_cells *c = &r->level[level];
  struct grid *g = &s->grid[level];
  uint32_t n = 0;
  *c = g->cells;
  g->cells = (struct rollup_cells){0};
  for (uint32_t b = 0; b < g->buckets; b++)
    for (uint32_t k = 0; k < r->keys; k++) {
      uint32_t cell = *grid_place(g, r->key[k].number, g->first + b);
      if (!cell) continue;
      c->order[n++] = cell - 1;
      c->cell[cell - 1].key = k;
    }
}

/* ---- the whole */

/* Sums the rows by a level, and by days above it. */
static enum outcome sum_level(struct summing *s, const struct rows *rows, enum rollup_level level) {
  const struct bounds times = array_bounds(rows->timestamp, rows->count);
  s->level = level;
  s->cells_most = rows->count / ROLLUP_SHRINKS;
  s->table_most = TABLE_LEAST + (uint64_t)TABLE_ROWS * rows->count;
  for (int l = (int)level; l < ROWS_LEVELS; l++) {
    s->grid[l].first = bucket_of(s->start, (enum rollup_level)l, times.min);
    s->grid[l].buckets = bucket_of(s->start, (enum rollup_level)l, times.max) - s->grid[l].first + 1;
  }
  enum outcome outcome = grow_keys(s);
  if (outcome == DONE) outcome = make_near(s, rows);
  return outcome == DONE ? add_rows(s, rows) : outcome;
}

static void clear(struct summing *s) {
  struct budget *budget = s->budget;
  int64_t start = s->start;
  give(budget, s->key_memory, s->key_size);
  give(budget, s->near, s->near_size);
  for (int level = 0; level < ROWS_LEVELS; level++)
    give(budget, s->grid[level].cells.memory, s->grid[level].cells.size);
  *s = (struct summing){.budget = budget, .start = start};
}

static enum outcome sum_up(struct rollup_sum *r, struct summing *s, const struct rows *rows) {
  enum outcome outcome = sum_level(s, rows, ROLLUP_HOUR);
  if (outcome == DONE) add_hours(s);
  if (outcome == LEFT_OUT) {
    clear(s);
    outcome = sum_level(s, rows, ROLLUP_DAY);
  }
  if (outcome == DONE) outcome = sort_keys(r, s);
  if (outcome != DONE) return outcome;
  keep_cells(r, s, ROLLUP_DAY);
  if (s->level == ROLLUP_HOUR) keep_cells(r, s, ROLLUP_HOUR);
  return DONE;
}

int rollup_sum_make(struct rollup_sum *r, const struct rows *rows, int64_t month_start, struct budget *budget,
                    tally_error *error) {
  *r = (struct rollup_sum){.budget = budget};
  for (int m = 0; m < MEASURES; m++)
    r->nullable |= (uint32_t)(bitmap_count(rows->valid[m], rows->count) < rows->count) << m;
  void *memory = NULL;
  enum outcome outcome = take(budget, sizeof(struct summing), &memory);
  if (outcome == DONE) {
    struct summing *s = memory;
    *s = (struct summing){.budget = budget, .start = month_start};
    outcome = sum_up(r, s, rows);
    clear(s);
    give(budget, s, sizeof *s);
  }
  return outcome == NO_MEMORY ? fail_memory(error, "the rollups of a segment") : 0;
}

void rollup_sum_free(struct rollup_sum *r) {
  for (int level = 0; level < ROWS_LEVELS; level++)
    give(r->budget, r->level[level].memory, r->level[level].size);
  give(r->budget, r->key, r->keys * sizeof *r->key);
  *r = (struct rollup_sum){0};
}
