/* thin_cells.c - see thin_cells.h. */
#include "segment/thin_cells.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"

#define MOST 131072u /* cells; a power of two */
#define LEAST 64u
#define BINS_A_CELL 4u /* a power of two */

static size_t bytes_for(uint32_t capacity) {
  size_t bins = (size_t)BINS_A_CELL * capacity;
  return capacity * (sizeof(struct thin_cell) + 3 * sizeof(uint32_t)) +
         bins * (sizeof(struct thin_bin) + 2 * sizeof(uint32_t));
}

int thin_cells_new(struct thin_cells *c, struct budget *budget, tally_error *error) {
  uint32_t capacity = MOST;
  while (capacity > LEAST && !budget_take(budget, bytes_for(capacity))) capacity /= 2;
  if (capacity == LEAST)
    return fail(error, TALLY_MEMORY_LIMIT,
                "thinning a month needs memory that the budget does not have: raise the store's memory");
  *c = (struct thin_cells){.budget = budget, .capacity = capacity, .size = bytes_for(capacity)};
  c->memory = c->cell = mem_alloc(c->size);
  if (!c->memory) {
    budget_give(budget, c->size);
    return fail_memory(error, "thinning a month");
  }
  c->bin_capacity = BINS_A_CELL * capacity;
  c->bin = (struct thin_bin *)(void *)(c->cell + capacity);
  c->slot = (uint32_t *)(void *)(c->bin + c->bin_capacity);
  c->bin_slot = c->slot + (size_t)2 * capacity;
  c->order = c->bin_slot + (size_t)2 * c->bin_capacity;
  thin_cells_clear(c);
  return 0;
}

void thin_cells_free(struct thin_cells *c) {
  if (!c->memory) return;
  mem_free(c->memory);
  budget_give(c->budget, c->size);
  *c = (struct thin_cells){0};
}

void thin_cells_clear(struct thin_cells *c) {
  c->count = c->bins = 0;
  memset(c->slot, 0, (size_t)2 * c->capacity * sizeof *c->slot);
  memset(c->bin_slot, 0, (size_t)2 * c->bin_capacity * sizeof *c->bin_slot);
}

bool thin_cells_find(struct thin_cells *c, uint32_t bucket, uint32_t key, uint32_t *cell) {
  uint32_t mask = 2 * c->capacity - 1, i = (uint32_t)hash_mix((uint64_t)bucket << 32 | key) & mask;
  for (; c->slot[i]; i = (i + 1) & mask) {
    *cell = c->slot[i] - 1;
    if (c->cell[*cell].key == key && c->cell[*cell].bucket == bucket) return true;
  }
  if (c->count == c->capacity) return false;
  *cell = c->count++;
  c->cell[*cell] = (struct thin_cell){.bucket = bucket, .key = key};
  c->slot[i] = c->count;
  return true;
}

bool thin_cells_bin(struct thin_cells *c, uint32_t cell, int64_t value, uint32_t count) {
  uint32_t mask = 2 * c->bin_capacity - 1,
           i = (uint32_t)hash_mix((uint64_t)cell << 32 ^ (uint64_t)value) & mask;
  for (; c->bin_slot[i]; i = (i + 1) & mask) {
    struct thin_bin *b = &c->bin[c->bin_slot[i] - 1];
    if (b->cell != cell || b->value != value) continue;
    b->count += count;
    return true;
  }
  if (c->bins == c->bin_capacity) return false;
  c->bin[c->bins++] = (struct thin_bin){cell, count, value};
  c->bin_slot[i] = c->bins;
  return true;
}

int thin_cell_add(struct thin_cell *cell, int measure, const struct measure *m, tally_error *error) {
  struct measure *to = &cell->measure[measure];
  if (m->nonnull == 0) return 0;
  if (__builtin_add_overflow(to->sum, m->sum, &to->sum))
    return fail(error, TALLY_OVERFLOW,
                "the sum of an hour or day of a service does not fit a rollup: these rows cannot be thinned; "
                "let retention keep them");
  if (to->nonnull == 0 || m->min < to->min) to->min = m->min;
  if (to->nonnull == 0 || m->max > to->max) to->max = m->max;
  to->nonnull += m->nonnull;
  return 0;
}

static _Thread_local const struct thin_cell *sorted_cells;

static int by_place(const void *a, const void *b) {
  const struct thin_cell *x = &sorted_cells[*(const uint32_t *)a], *y = &sorted_cells[*(const uint32_t *)b];
  if (x->bucket != y->bucket) return x->bucket < y->bucket ? -1 : 1;
  return (x->key > y->key) - (x->key < y->key);
}

static int by_value(const void *a, const void *b) {
  const struct thin_bin *x = a, *y = b;
  if (x->cell != y->cell) return x->cell < y->cell ? -1 : 1;
  return (x->value > y->value) - (x->value < y->value);
}

void thin_cells_sort(struct thin_cells *c) {
  for (uint32_t i = 0; i < c->count; i++) c->order[i] = i;
  sorted_cells = c->cell;
  qsort(c->order, c->count, sizeof *c->order, by_place);
  qsort(c->bin, c->bins, sizeof *c->bin, by_value);
  for (uint32_t i = c->bins; i-- > 0;) {
    struct thin_cell *x = &c->cell[c->bin[i].cell];
    x->first_bin = i;
    x->bins++;
  }
}
