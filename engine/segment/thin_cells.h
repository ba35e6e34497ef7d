/* thin_cells.h - the cells of a level in a window of buckets, while segments are thinned: a hash table of a
 * fixed size. One that is full makes the window smaller. */
#ifndef SEGMENT_THIN_CELLS_H
#define SEGMENT_THIN_CELLS_H

#include "base/budget.h"
#include "segment/segment.h"

struct thin_cell {
  uint32_t bucket, key, rows, errors;
  uint32_t first_bin, bins; /* after thin_cells_sort: of its histogram */
  struct measure measure[MEASURES];
};

/* So many of a cell's values are in a bin. */
struct thin_bin {
  uint32_t cell, count;
  int64_t value; /* the bin's middle */
};

struct thin_cells {
  struct budget *budget;
  uint32_t count, capacity; /* of cells */
  struct thin_cell *cell;
  uint32_t *slot; /* 2 * capacity, a power of two */
  uint32_t bins, bin_capacity;
  struct thin_bin *bin;
  uint32_t *bin_slot;
  uint32_t *order; /* after thin_cells_sort: cells by (bucket, key) */
  void *memory;
  size_t size;
};

/* Takes as much as the budget gives, at most 32 MiB. TALLY_MEMORY_LIMIT, TALLY_NO_MEMORY. */
int thin_cells_new(struct thin_cells *cells, struct budget *budget, tally_error *error);
void thin_cells_free(struct thin_cells *cells);
void thin_cells_clear(struct thin_cells *cells);
/* The cell of (bucket, key), a new one if there is none; false if they are full. */
bool thin_cells_find(struct thin_cells *cells, uint32_t bucket, uint32_t key, uint32_t *cell);
/* Adds `count` values of a bin to a cell's histogram; false if the bins are full. */
bool thin_cells_bin(struct thin_cells *cells, uint32_t cell, int64_t value, uint32_t count);
/* Adds a measure of some rows. TALLY_OVERFLOW. */
int thin_cell_add(struct thin_cell *cell, int measure, const struct measure *m, tally_error *error);
/* Orders cells and their bins. */
void thin_cells_sort(struct thin_cells *cells);

#endif
