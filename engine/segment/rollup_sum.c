/* rollup_sum.c - see rollup_sum.h. Hot path: place_rows, add_values. */
#include "segment/rollup_sum.h"

#include <stdlib.h>

#include "base/bitmap.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"

#define TABLE_ROWS 4u
#define TABLE_LEAST 65536u
#define CELLS_LEAST 1024u
#define KEYS_LEAST 64u

/* How summing a level ended. */
enum outcome { DONE, LEFT_OUT, NO_MEMORY };

/* Keys by first sight, found by hash, and the cell of each key in each bucket. */
struct key_table {
  uint32_t count, capacity;
  struct rollup_key *key;
  uint32_t *slot; /* 2 * capacity, a power of two: number + 1; 0: empty */
  uint32_t *cell; /* capacity x buckets: number + 1; 0: none */
  void *memory;
  size_t size;
};

/* Summing one level. */
struct level {
  struct budget *budget;
  int64_t start; /* of the month */
  enum rollup_level level;
  uint32_t first, buckets; /* those that may have rows */
  uint32_t cells_most;
  uint64_t table_most;
  struct key_table table;
  struct rollup_cells cells;
  uint32_t cell[CHUNK_ROWS];
  int64_t values[CHUNK_ROWS];
};

/* ---- memory */

static enum outcome take(struct budget *budget, size_t size, void **memory) {
  if (!budget_take(budget, size)) return LEFT_OUT;
  *memory = mem_zalloc(1, size);
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

static enum outcome grow_cells(struct budget *budget, struct rollup_cells *c) {
  struct rollup_cells n = {.count = c->count, .capacity = c->capacity ? 2 * c->capacity : CELLS_LEAST};
  size_t words = 4 + MEASURES;
  n.size = n.capacity * (words * sizeof(uint32_t) + MEASURES * sizeof(struct rollup_value));
  enum outcome outcome = take(budget, n.size, &n.memory);
  if (outcome != DONE) return outcome;
  uint8_t *at = n.memory;
  for (int m = 0; m < MEASURES; m++)
    n.value[m] = carve(&at, n.capacity, sizeof **n.value, c->value[m], c->count);
  n.bucket = carve(&at, n.capacity, sizeof *n.bucket, c->bucket, c->count);
  n.key = carve(&at, n.capacity, sizeof *n.key, c->key, c->count);
  n.rows = carve(&at, n.capacity, sizeof *n.rows, c->rows, c->count);
  n.order = carve(&at, n.capacity, sizeof *n.order, c->order, c->count);
  for (int m = 0; m < MEASURES; m++)
    n.nulls[m] = carve(&at, n.capacity, sizeof **n.nulls, c->nulls[m], c->count);
  give(budget, c->memory, c->size);
  *c = n;
  return DONE;
}

static uint32_t key_slot(const struct rollup_key *k, uint32_t slots) {
  uint64_t a = (uint64_t)k->endpoint << 32 | k->service, b = (uint64_t)k->method << 32 | k->status;
  uint64_t h = a * UINT64_C(0x9E3779B97F4A7C15) ^ b * UINT64_C(0xC2B2AE3D27D4EB4F);
  return (uint32_t)((h ^ h >> 32) * UINT64_C(0x9E3779B97F4A7C15) >> 40) & (slots - 1);
}

static void place_key(struct key_table *t, uint32_t number) {
  uint32_t slots = 2 * t->capacity, i = key_slot(&t->key[number], slots);
  while (t->slot[i]) i = (i + 1) & (slots - 1);
  t->slot[i] = number + 1;
}

static enum outcome grow_keys(struct level *l) {
  struct key_table *t = &l->table;
  struct key_table n = {.count = t->count, .capacity = t->capacity ? 2 * t->capacity : KEYS_LEAST};
  if ((uint64_t)n.capacity * l->buckets > l->table_most) return LEFT_OUT;
  n.size = n.capacity * (sizeof *n.key + (2 + (size_t)l->buckets) * sizeof(uint32_t));
  enum outcome outcome = take(l->budget, n.size, &n.memory);
  if (outcome != DONE) return outcome;
  uint8_t *at = n.memory;
  n.key = carve(&at, n.capacity, sizeof *n.key, t->key, t->count);
  n.slot = carve(&at, (size_t)2 * n.capacity, sizeof *n.slot, NULL, 0);
  n.cell = carve(&at, (size_t)n.capacity * l->buckets, sizeof *n.cell, t->cell, (size_t)t->count * l->buckets);
  for (uint32_t i = 0; i < n.count; i++) place_key(&n, i);
  give(l->budget, t->memory, t->size);
  *t = n;
  return DONE;
}

static void free_level(struct level *l) {
  give(l->budget, l->table.memory, l->table.size);
  give(l->budget, l->cells.memory, l->cells.size);
}

/* ---- keys and cells */

static bool same_key(const struct rollup_key *a, const struct rollup_key *b) {
  return a->endpoint == b->endpoint && a->method == b->method && a->status == b->status &&
         a->service == b->service;
}

static enum outcome find_key(struct level *l, const struct rollup_key *k, uint32_t *number) {
  struct key_table *t = &l->table;
  if (t->capacity) {
    uint32_t slots = 2 * t->capacity;
    for (uint32_t i = key_slot(k, slots); t->slot[i]; i = (i + 1) & (slots - 1)) {
      *number = t->slot[i] - 1;
      if (same_key(&t->key[*number], k)) return DONE;
    }
  }
  if (t->count == t->capacity) {
    enum outcome outcome = grow_keys(l);
    if (outcome != DONE) return outcome;
  }
  *number = t->count++;
  t->key[*number] = *k;
  place_key(t, *number);
  return DONE;
}

static enum outcome find_cell(struct level *l, uint32_t key, uint32_t bucket, uint32_t *cell) {
  uint32_t *at = &l->table.cell[(size_t)key * l->buckets + (bucket - l->first)];
  if (!*at) {
    struct rollup_cells *c = &l->cells;
    if (c->count == l->cells_most) return LEFT_OUT;
    enum outcome outcome = c->count == c->capacity ? grow_cells(l->budget, c) : DONE;
    if (outcome != DONE) return outcome;
    uint32_t n = c->count++;
    c->bucket[n] = bucket;
    c->key[n] = key;
    for (int m = 0; m < MEASURES; m++) c->value[m][n] = (struct rollup_value){0, INT64_MAX, INT64_MIN};
    *at = n + 1;
  }
  *cell = *at - 1;
  return DONE;
}

/* ---- rows */

static uint32_t bucket_of(const struct level *l, int64_t timestamp) {
  uint64_t us = (uint64_t)(timestamp - l->start);
  return (uint32_t)(l->level == ROLLUP_HOUR ? us / UINT64_C(3600000000) : us / (uint64_t)DAY_US);
}

static uint32_t class_of(const struct rows *rows, uint32_t row) {
  const int status = TALLY_COL_STATUS_CODE - TALLY_COL_REQUEST_SIZE;
  return bitmap_get(rows->valid[status], row) ? status_class(rows->number[status][row]) : CLASS_NULL;
}

/* The cells of rows [first, first + count) to l->cell. */
static enum outcome place_rows(struct level *l, const struct rows *rows, uint32_t first, uint32_t count) {
  const uint32_t *service = rows->text[column_domain(TALLY_COL_SERVICE_NAME)] + first,
                 *endpoint = rows->text[column_domain(TALLY_COL_ENDPOINT)] + first,
                 *method = rows->text[column_domain(TALLY_COL_METHOD)] + first;
  for (uint32_t i = 0; i < count; i++) {
    struct rollup_key key = {service[i], endpoint[i], method[i], class_of(rows, first + i)};
    uint32_t number;
    enum outcome outcome = find_key(l, &key, &number);
    if (outcome == DONE)
      outcome = find_cell(l, number, bucket_of(l, rows->timestamp[first + i]), &l->cell[i]);
    if (outcome != DONE) return outcome;
    l->cells.rows[l->cell[i]]++;
  }
  return DONE;
}

static void add_values(struct rollup_value *to, const uint32_t *cell, const int64_t *v, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    struct rollup_value *x = &to[cell[i]];
    x->sum += v[i];
    x->min = v[i] < x->min ? v[i] : x->min;
    x->max = v[i] > x->max ? v[i] : x->max;
  }
}

/* The same where some are NULL. */
static void add_some(struct rollup_value *to, uint32_t *nulls, const uint32_t *cell, const int64_t *v,
                     const uint64_t *valid, uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    if (bitmap_get(valid, i))
      add_values(to, &cell[i], &v[i], 1);
    else
      nulls[cell[i]]++;
}

static void add_measure(struct level *l, const struct rows *rows, int m, uint32_t first, uint32_t count) {
  const uint64_t *valid = rows->valid[m] + first / 64; /* chunks begin at a word */
  const int64_t *v = l->values;
  if (m == VALID_COST)
    v = rows->cost + first;
  else
    for (uint32_t i = 0; i < count; i++) l->values[i] = rows->number[m][first + i];
  if (bitmap_count(valid, count) == count)
    add_values(l->cells.value[m], l->cell, v, count);
  else
    add_some(l->cells.value[m], l->cells.nulls[m], l->cell, v, valid, count);
}

static enum outcome add_rows(struct level *l, const struct rows *rows) {
  for (uint32_t first = 0; first < rows->count; first += CHUNK_ROWS) {
    uint32_t count = rows->count - first < CHUNK_ROWS ? rows->count - first : CHUNK_ROWS;
    enum outcome outcome = place_rows(l, rows, first, count);
    if (outcome != DONE) return outcome;
    for (int m = 0; m < MEASURES; m++) add_measure(l, rows, m, first, count);
  }
  return DONE;
}

/* ---- days from hours */

static void add_cell(struct rollup_cells *to, uint32_t t, const struct rollup_cells *from, uint32_t f) {
  to->rows[t] += from->rows[f];
  for (int m = 0; m < MEASURES; m++) {
    const struct rollup_value *v = &from->value[m][f];
    struct rollup_value *x = &to->value[m][t];
    to->nulls[m][t] += from->nulls[m][f];
    x->sum += v->sum;
    x->min = v->min < x->min ? v->min : x->min;
    x->max = v->max > x->max ? v->max : x->max;
  }
}

static enum outcome add_hours(struct level *days, const struct level *hours) {
  const struct key_table *keys = &hours->table;
  for (uint32_t i = 0; i < keys->count; i++) {
    uint32_t number; /* new keys get the numbers that they have there */
    enum outcome outcome = find_key(days, &keys->key[i], &number);
    if (outcome != DONE) return outcome;
  }
  for (uint32_t i = 0; i < hours->cells.count; i++) {
    uint32_t cell;
    enum outcome outcome = find_cell(days, hours->cells.key[i], hours->cells.bucket[i] / 24, &cell);
    if (outcome != DONE) return outcome;
    add_cell(&days->cells, cell, &hours->cells, i);
  }
  return DONE;
}

/* ---- order */

static int by_ids(const void *a, const void *b) {
  const struct rollup_key *x = &((const struct numbered_key *)a)->key,
                          *y = &((const struct numbered_key *)b)->key;
  if (x->service != y->service) return x->service < y->service ? -1 : 1;
  if (x->endpoint != y->endpoint) return x->endpoint < y->endpoint ? -1 : 1;
  if (x->method != y->method) return x->method < y->method ? -1 : 1;
  return (x->status > y->status) - (x->status < y->status);
}

static enum outcome sort_keys(struct rollup_sum *r, const struct key_table *t) {
  void *memory;
  enum outcome outcome = take(r->budget, t->count * sizeof *r->key, &memory);
  if (outcome != DONE) return outcome;
  r->key = memory;
  r->keys = t->count;
  for (uint32_t i = 0; i < r->keys; i++) r->key[i] = (struct numbered_key){t->key[i], i};
  qsort(r->key, r->keys, sizeof *r->key, by_ids);
  return DONE;
}

/* Moves a level's cells to r, ordered by bucket, then key. */
static void keep_cells(struct rollup_sum *r, struct level *l) {
  struct rollup_cells *c = &r->level[l->level];
  uint32_t n = 0;
  *c = l->cells;
  l->cells = (struct rollup_cells){0};
  for (uint32_t b = 0; b < l->buckets; b++)
    for (uint32_t k = 0; k < r->keys; k++) {
      uint32_t cell = l->table.cell[(size_t)r->key[k].number * l->buckets + b];
      if (!cell) continue;
      c->order[n++] = cell - 1;
      c->key[cell - 1] = k;
    }
}

/* ---- the whole */

static void find_times(const struct rows *rows, int64_t *low, int64_t *high) {
  *low = *high = rows->timestamp[0];
  for (uint32_t i = 1; i < rows->count; i++) {
    int64_t t = rows->timestamp[i];
    *low = t < *low ? t : *low;
    *high = t > *high ? t : *high;
  }
}

static enum outcome new_level(struct rollup_sum *r, const struct rows *rows, int64_t start,
                              enum rollup_level level, struct level **to) {
  int64_t low, high;
  void *memory;
  enum outcome outcome = take(r->budget, sizeof **to, &memory);
  if (outcome != DONE) return outcome;
  struct level *l = *to = memory;
  find_times(rows, &low, &high);
  l->budget = r->budget;
  l->start = start;
  l->level = level;
  l->first = bucket_of(l, low);
  l->buckets = bucket_of(l, high) - l->first + 1;
  l->cells_most = rows->count / ROLLUP_SHRINKS;
  l->table_most = TABLE_LEAST + (uint64_t)TABLE_ROWS * rows->count;
  return DONE;
}

static void end_level(struct rollup_sum *r, struct level *l) {
  if (!l) return;
  free_level(l);
  give(r->budget, l, sizeof *l);
}

/* Hours, and days from them; or only days. */
static enum outcome sum_up(struct rollup_sum *r, const struct rows *rows, int64_t start) {
  struct level *hours = NULL, *days = NULL;
  enum outcome outcome = new_level(r, rows, start, ROLLUP_HOUR, &hours);
  if (outcome == DONE) outcome = add_rows(hours, rows);
  bool has_hours = outcome == DONE;
  if (!has_hours) {
    end_level(r, hours);
    hours = NULL;
  }
  if (outcome != NO_MEMORY) outcome = new_level(r, rows, start, ROLLUP_DAY, &days);
  if (outcome == DONE) outcome = has_hours ? add_hours(days, hours) : add_rows(days, rows);
  if (outcome == DONE) outcome = sort_keys(r, &days->table);
  if (outcome == DONE) keep_cells(r, days);
  if (outcome == DONE && has_hours) keep_cells(r, hours);
  end_level(r, hours);
  end_level(r, days);
  return outcome;
}

int rollup_sum_make(struct rollup_sum *r, const struct rows *rows, int64_t month_start, struct budget *budget,
                    tally_error *error) {
  *r = (struct rollup_sum){.budget = budget};
  for (int m = 0; m < MEASURES; m++)
    r->nullable |= (uint32_t)(bitmap_count(rows->valid[m], rows->count) < rows->count) << m;
  return sum_up(r, rows, month_start) == NO_MEMORY ? fail_memory(error, "the rollups of a segment") : 0;
}

void rollup_sum_free(struct rollup_sum *r) {
  for (int level = 0; level < ROLLUP_LEVELS; level++)
    give(r->budget, r->level[level].memory, r->level[level].size);
  give(r->budget, r->key, r->keys * sizeof *r->key);
  *r = (struct rollup_sum){0};
}
