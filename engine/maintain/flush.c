/* flush.c - from a sealed memtable to segment files; see flush.h. Sort row numbers, gather the columns in
 * that order month by month, write each month's segment. */
#include "maintain/flush.h"

#include <string.h>

#include "base/bitmap.h"
#include "base/kernel.h"
#include "base/mem.h"
#include "base/status.h"
#include "maintain/order.h"

uint64_t flush_sort_bytes(uint32_t rows) {
  return (uint64_t)rows * (sizeof(uint32_t) + 2 * sizeof(uint64_t));
}

/* The numbers of the rows in the order of storage: at the end of the scratch. */
static uint32_t *order_in(void *scratch, const struct rows *rows) {
  uint64_t *entries = scratch;
  uint32_t *order = (uint32_t *)(void *)(entries + 2 * (size_t)rows->count);
  order_rows(rows, order, &(struct order_scratch){{entries, entries + rows->count}});
  return order;
}

struct flush {
  const struct os *os;
  const char *store;
  const struct rows *from;
  struct memtable *sorted;
  struct budget *budget;
  const uint32_t *order;
  struct segment_info *info;
  uint32_t count, capacity;
  _Atomic uint64_t *next_id;
};

/* `all`: how many rows there are; in most columns all have a value, or none. */
static void gather_valid(uint64_t *to, const uint64_t *from, uint32_t all, const uint32_t *order,
                         uint32_t n) {
  size_t there = bitmap_count(from, all);
  if (there == 0 || there == all) {
    memset(to, there ? 0xFF : 0, bitmap_words(n) * sizeof *to);
    if (there && n % 64) to[n / 64] &= ((uint64_t)1 << n % 64) - 1;
    return;
  }
  for (uint32_t i = 0; i < n; i += 64) {
    uint64_t word = 0;
    uint32_t bits = n - i < 64 ? n - i : 64;
    for (uint32_t k = 0; k < bits; k++) word |= (uint64_t)bitmap_get(from, order[i + k]) << k;
    to[i / 64] = word;
  }
}

/* Without pointers that the compiler must think change, a loop has many loads on their way at a time. */
KERNEL static void gather_words(uint32_t *restrict to, const uint32_t *restrict from,
                                const uint32_t *restrict order, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) to[i] = from[order[i]];
}
KERNEL static void gather_integers(int32_t *restrict to, const int32_t *restrict from,
                                   const uint32_t *restrict order, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) to[i] = from[order[i]];
}
KERNEL static void gather_wide(int64_t *restrict to, const int64_t *restrict from,
                               const uint32_t *restrict order, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) to[i] = from[order[i]];
}

#define PIECE 256u /* rows whose metadata is on its way before that of the first of them is copied */

/* Few rows have some: they are found by their bits, which `to` has already, as a branch on each size would be
 * guessed wrongly time and again. NULLs have no bytes. */
static void gather_metadata(const struct rows *from, struct rows *to, const uint32_t *order, uint32_t n) {
  const uint64_t *starts = from->metadata_at, *valid = to->valid[VALID_METADATA];
  const char *texts = from->metadata;
  uint64_t start[PIECE];
  to->metadata_at[0] = 0;
  for (uint32_t first = 0; first < n; first += PIECE, valid += PIECE / 64) {
    const uint32_t count = n - first < PIECE ? n - first : PIECE;
    uint64_t *at = to->metadata_at + first;
    for (uint32_t i = 0; i < count; i++) {
      start[i] = starts[order[first + i]];
      at[i + 1] = at[i] + (starts[order[first + i] + 1] - start[i]);
    }
    for (uint32_t w = 0; w < bitmap_words(count); w++)
      for (uint64_t word = valid[w]; word; word &= word - 1) {
        const uint32_t i = w * 64 + (uint32_t)__builtin_ctzll(word);
        __builtin_prefetch(texts + start[i]);
        __builtin_prefetch(texts + start[i] + (at[i + 1] - at[i]) - 1); /* its last byte */
      }
    for (uint32_t w = 0; w < bitmap_words(count); w++)
      for (uint64_t word = valid[w]; word; word &= word - 1) {
        const uint32_t i = w * 64 + (uint32_t)__builtin_ctzll(word);
        memcpy(to->metadata + at[i], texts + start[i], at[i + 1] - at[i]);
      }
  }
}

/* Copies rows order[0..n) into the scratch memtable's arrays. */
static void gather(const struct rows *from, struct rows *to, const uint32_t *order, uint32_t n) {
  to->count = n;
  gather_wide(to->timestamp, from->timestamp, order, n);
  for (int d = 0; d < DOMAINS; d++) gather_words(to->text[d], from->text[d], order, n);
  for (int c = 0; c < INT_COLUMNS; c++) gather_integers(to->number[c], from->number[c], order, n);
  gather_wide(to->cost, from->cost, order, n);
  for (int v = 0; v < INT_COLUMNS + 2; v++) gather_valid(to->valid[v], from->valid[v], from->count, order, n);
  gather_metadata(from, to, order, n);
}

void flush_sort(const struct rows *from, struct rows *to, void *scratch) {
  gather(from, to, order_in(scratch, from), from->count);
}

static int write_month(struct flush *f, uint32_t first, uint32_t n, int32_t month, tally_error *error) {
  if (f->count == f->capacity) {
    uint32_t capacity = f->capacity ? f->capacity * 2 : 4;
    struct segment_info *info = mem_realloc_array(f->info, capacity, sizeof *info);
    if (!info) return fail_memory(error, "a flush");
    f->info = info;
    f->capacity = capacity;
  }
  gather(f->from, &f->sorted->rows, f->order + first, n);
  struct segment_info info = {.id = atomic_fetch_add(f->next_id, 1), .month = month};
  int result = segment_write(f->os, f->store, &f->sorted->rows, f->budget, &info, error);
  if (result) return result;
  f->info[f->count++] = info;
  return 0;
}

/* The first place from `first` on, in the order of storage, that has no row before `stop`, a month's end. */
static uint32_t month_end(const struct flush *f, uint32_t first, int64_t stop) {
  uint32_t end = f->from->count;
  while (first < end) {
    uint32_t middle = first + (end - first) / 2;
    if (f->from->timestamp[f->order[middle]] < stop)
      first = middle + 1;
    else
      end = middle;
  }
  return end;
}

static int write_months(struct flush *f, tally_error *error) {
  int result = 0;
  for (uint32_t first = 0, end; first < f->from->count && !result; first = end) {
    int32_t month = month_of(f->from->timestamp[f->order[first]]);
    end = month_end(f, first, month_start(month + 1));
    result = write_month(f, first, end - first, month, error);
  }
  return result;
}

int flush_memtable(const struct os *os, const char *store, const struct memtable *memtable,
                   struct memtable *sorted, _Atomic uint64_t *next_id, struct budget *budget,
                   struct segment_info **infos, uint32_t *count, tally_error *error) {
  uint32_t n = memtable->rows.count;
  struct flush f = {.os = os,
                    .store = store,
                    .from = &memtable->rows,
                    .sorted = sorted,
                    .budget = budget,
                    .next_id = next_id};
  uint64_t bytes = flush_sort_bytes(n);
  if (!budget_take(budget, bytes))
    return fail(error, TALLY_MEMORY_LIMIT, "no room in the memory budget to flush: raise --memory");
  void *scratch = mem_alloc(bytes);
  int result = scratch ? 0 : fail_memory(error, "a flush");
  if (!result) {
    f.order = order_in(scratch, f.from);
    result = write_months(&f, error);
  }
  mem_free(scratch);
  budget_give(budget, bytes);
  if (result) {
    for (uint32_t i = 0; i < f.count; i++) segment_remove(os, store, &f.info[i]);
    mem_free(f.info);
    return result;
  }
  *infos = f.info;
  *count = f.count;
  return 0;
}
