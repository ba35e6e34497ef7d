/* flush.h - a sealed memtable becomes segments, one for each month that its rows lie in. */
#ifndef MAINTAIN_FLUSH_H
#define MAINTAIN_FLUSH_H

#include "memtable/memtable.h"
#include "segment/segment.h"

/* Writes and syncs the segments of a sealed memtable's rows, with ids taken from *next_id. On success *infos
 * (freed by the caller with mem_free) has *count entries, and their rows are together exactly the memtable's.
 * On failure no file is left. `sorted` is a memtable of the same capacity, used as scratch space. */
int flush_memtable(const struct os *os, const char *store, const struct memtable *memtable,
                   struct memtable *sorted, _Atomic uint64_t *next_id, struct budget *budget,
                   struct segment_info **infos, uint32_t *count, tally_error *error);

/* Copies rows into the arrays of others, which have room for them, in the order of storage. `scratch` has
 * flush_sort_bytes(from->count) bytes, aligned for uint64_t. */
void flush_sort(const struct rows *from, struct rows *to, void *scratch);
uint64_t flush_sort_bytes(uint32_t rows);

#endif
