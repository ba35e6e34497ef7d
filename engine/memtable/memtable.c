/* memtable.c - column arrays of fixed capacity; see memtable.h.
 *
 * One allocation holds all arrays, so that a memtable costs one page-fault pass and is recycled whole. */
#include "memtable/memtable.h"

#include "base/array.h"
#include "base/bitmap.h"
#include "base/mem.h"

static size_t align64(size_t n) { return (n + 63) & ~(size_t)63; }

/* Places the arrays at `at` (NULL: only counts). Returns the bytes they take. */
static size_t place(struct rows *rows, char *at, uint32_t capacity, size_t metadata) {
  size_t used = 0;
#define PLACE(member, bytes)                                                                                 \
  do {                                                                                                       \
    if (at) rows->member = (void *)(at + used);                                                              \
    used += align64(bytes);                                                                                  \
  } while (0)
  PLACE(timestamp, capacity * sizeof(int64_t));
  for (int d = 0; d < DOMAINS; d++) PLACE(text[d], capacity * sizeof(uint32_t));
  for (int i = 0; i < INT_COLUMNS; i++) PLACE(number[i], capacity * sizeof(int32_t));
  PLACE(cost, capacity * sizeof(int64_t));
  for (int i = 0; i < INT_COLUMNS + 2; i++) PLACE(valid[i], bitmap_words(capacity) * sizeof(uint64_t));
  PLACE(metadata_at, ((size_t)capacity + 1) * sizeof(uint64_t));
  PLACE(metadata, metadata);
#undef PLACE
  return used;
}

uint64_t memtable_bytes(uint32_t capacity, size_t metadata) {
  struct rows none;
  return sizeof(struct memtable) + 64 + place(&none, NULL, capacity, metadata);
}

struct memtable *memtable_new(uint32_t capacity, size_t metadata, struct budget *budget) {
  uint64_t bytes = memtable_bytes(capacity, metadata);
  if (!budget_take(budget, bytes)) return NULL;
  char *memory = mem_alloc((size_t)bytes);
  if (!memory) {
    budget_give(budget, bytes);
    return NULL;
  }
  struct memtable *m = (struct memtable *)(void *)memory;
  *m = (struct memtable){.capacity = capacity, .metadata_capacity = metadata, .budget = budget};
  place(&m->rows, memory + align64(sizeof *m), capacity, metadata);
  atomic_init(&m->references, 1);
  memtable_reset(m);
  return m;
}

void memtable_reset(struct memtable *m) {
  m->rows.count = 0;
  m->rows.metadata_at[0] = 0;
  atomic_store(&m->visible, 0);
  m->min_timestamp = INT64_MAX;
  m->max_timestamp = INT64_MIN;
  m->first_sequence = m->last_sequence = 0;
  m->born = 0;
  m->next = NULL;
}

void memtable_ref(struct memtable *m) { atomic_fetch_add(&m->references, 1); }

bool memtable_unref(struct memtable *m) {
  if (!m || atomic_fetch_sub(&m->references, 1) != 1) return false;
  budget_give(m->budget, memtable_bytes(m->capacity, m->metadata_capacity));
  mem_free(m);
  return true;
}

bool memtable_fits(const struct memtable *m, const struct batch *batch) {
  return batch->rows <= m->capacity - m->rows.count &&
         batch->metadata_size <= m->metadata_capacity - m->rows.metadata_at[m->rows.count];
}

#define PIECE 1024u /* rows that are widened to int64 at a time: stays in the first cache */

static void fill_text(struct memtable *m, const struct batch_column *c, int domain, uint32_t rows,
                      const uint32_t *ids) {
  uint32_t *out = m->rows.text[domain] + m->rows.count;
  if (c->absent) {
    memset(out, 0, rows * sizeof *out);
    return;
  }
  int64_t index[PIECE];
  for (uint32_t first = 0; first < rows; first += PIECE) {
    uint32_t n = rows - first < PIECE ? rows - first : PIECE;
    batch_values(c, first, n, index);
    if (c->valid)
      for (uint32_t i = 0; i < n; i++) out[first + i] = batch_valid(c, first + i) ? ids[index[i]] : 0;
    else
      for (uint32_t i = 0; i < n; i++) out[first + i] = ids[index[i]];
  }
}

/* Copies `rows` validity bits behind the bits that are there. */
static void fill_valid(uint64_t *map, uint32_t at, const struct batch_column *c, uint32_t rows) {
  for (uint32_t i = 0; i < rows;) {
    uint32_t bit = (at + i) % 64, n = 64 - bit < rows - i ? 64 - bit : rows - i;
    uint64_t word = 0;
    if (!c->absent && !c->valid)
      word = UINT64_MAX;
    else if (!c->absent)
      word = bytemap_bits(c->valid, i, n);
    if (n < 64) word &= ((uint64_t)1 << n) - 1;
    uint64_t *w = map + (at + i) / 64;
    uint64_t below = bit ? *w & (((uint64_t)1 << bit) - 1) : 0;
    /* Readers look at lower bits of this word at the same time: one store, which leaves them as they are. */
    __atomic_store_n(w, below | word << bit, __ATOMIC_RELAXED);
    i += n;
  }
}

static void fill_number(struct memtable *m, const struct batch_column *c, int number, uint32_t rows) {
  int32_t *out = m->rows.number[number] + m->rows.count;
  fill_valid(m->rows.valid[number], m->rows.count, c, rows);
  if (c->absent) {
    memset(out, 0, rows * sizeof *out);
    return;
  }
  int64_t value[PIECE];
  for (uint32_t first = 0; first < rows; first += PIECE) {
    uint32_t n = rows - first < PIECE ? rows - first : PIECE;
    batch_values(c, first, n, value);
    array_narrow(value, n, (uint32_t *)out + first);
    if (c->valid)
      for (uint32_t i = 0; i < n; i++)
        if (!bytemap_get(c->valid, first + i)) out[first + i] = 0;
  }
}

static void fill_cost(struct memtable *m, const struct batch_column *c, uint32_t rows) {
  int64_t *out = m->rows.cost + m->rows.count;
  fill_valid(m->rows.valid[VALID_COST], m->rows.count, c, rows);
  if (c->absent) {
    memset(out, 0, rows * sizeof *out);
    return;
  }
  batch_values(c, 0, rows, out);
  if (c->valid)
    for (uint32_t i = 0; i < rows; i++)
      if (!bytemap_get(c->valid, i)) out[i] = 0;
}

static void fill_metadata(struct memtable *m, const struct batch *batch) {
  const struct batch_column *c = &batch->column[TALLY_COL_METADATA];
  fill_valid(m->rows.valid[VALID_METADATA], m->rows.count, c, batch->rows);
  uint64_t *at = m->rows.metadata_at + m->rows.count;
  uint64_t end = at[0];
  if (batch->metadata_size) memcpy(m->rows.metadata + end, batch->metadata, batch->metadata_size);
  int64_t size[PIECE];
  for (uint32_t first = 0; first < batch->rows; first += PIECE) {
    uint32_t n = batch->rows - first < PIECE ? batch->rows - first : PIECE;
    if (c->absent)
      memset(size, 0, n * sizeof *size);
    else
      batch_values(c, first, n, size);
    for (uint32_t i = 0; i < n; i++) at[first + i + 1] = end += (uint64_t)size[i]; /* of NULL it is 0 */
  }
}

void memtable_append(struct memtable *m, const struct batch *batch, const uint32_t *const ids[DOMAINS]) {
  uint32_t rows = batch->rows;
  int64_t *timestamp = m->rows.timestamp + m->rows.count;
  batch_values(&batch->column[TALLY_COL_TIMESTAMP], 0, rows, timestamp);
  const struct bounds times = array_bounds(timestamp, rows);
  if (times.min < m->min_timestamp) m->min_timestamp = times.min;
  if (times.max > m->max_timestamp) m->max_timestamp = times.max;
  for (int d = 0; d < DOMAINS; d++) fill_text(m, &batch->column[domain_column(d)], d, rows, ids[d]);
  for (int i = 0; i < INT_COLUMNS; i++) fill_number(m, &batch->column[TALLY_COL_REQUEST_SIZE + i], i, rows);
  fill_cost(m, &batch->column[TALLY_COL_COST], rows);
  fill_metadata(m, batch);
  m->rows.count += rows;
}

void memtable_publish(struct memtable *m) {
  m->visible_min = m->min_timestamp;
  m->visible_max = m->max_timestamp;
  atomic_store_explicit(&m->visible, m->rows.count, memory_order_release);
}

/* Times stay as wide as they were: they only prune. */
void memtable_cut(struct memtable *m, uint32_t count) { m->rows.count = count; }
