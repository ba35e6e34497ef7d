/* segment_write.c - making a segment file: the index is summed up first, then the blocks are written in file
 * order, then directory and footer; see segment.h for the promise and format.h for the order. */
#include "base/mem.h"
#include "base/status.h"
#include "segment/chunk_write.h"
#include "segment/place.h"
#include "segment/run_write.h"

/* Memory beside the summary and the directory: a buffer of about a megabyte with the largest block in it,
 * and what encoding its largest metadata chunk takes. */
static uint64_t encoder_bytes(const struct rows *rows) {
  uint64_t most = 0;
  for (uint32_t first = 0; first < rows->count; first += CHUNK_ROWS) {
    uint32_t last = rows->count - first < CHUNK_ROWS ? rows->count : first + CHUNK_ROWS;
    uint64_t bytes = rows->metadata_at[last] - rows->metadata_at[first];
    if (bytes > most) most = bytes;
  }
  return sizeof(struct chunk_scratch) + (3u << 20) + 4 * most;
}

static int write_blocks(struct output *o, const struct rows *rows, const struct summary *s,
                        struct directory *d, struct chunk_scratch *scratch, tally_error *error) {
  for (int slot = 0; slot < SLOTS; slot++) {
    int result = chunk_write_slot(o, rows, slot, d, scratch, error);
    if (result) return result;
  }
  directory_derive(d);
  int result = run_write(o, s, d, scratch, error);
  d->at[d->blocks] = output_offset(o);
  return result;
}

static int write_file(struct output *o, const struct rows *rows, const struct summary *s, struct directory *d,
                      struct chunk_scratch *scratch, struct segment_info *info, tally_error *error) {
  int result = write_blocks(o, rows, s, d, scratch, error);
  if (result) return result;
  struct digest digest;
  uint64_t directory = output_offset(o);
  size_t start = o->buffer.size;
  directory_encode(d, &o->buffer, &scratch->ints);
  uint64_t size = directory + (o->buffer.size - start) + TRAILER_BYTES + SEGMENT_FOOTER;
  result = output_block(o, start, &digest, error);
  if (!result) result = output_finish(o, directory, &digest, error);
  if (result) return result;
  info->rows = d->rows;
  info->min_timestamp = d->total.min_timestamp;
  info->max_timestamp = d->total.max_timestamp;
  info->size = size;
  memcpy(info->digest, digest.bytes, sizeof info->digest);
  return 0;
}

/* Creates the file, writes it and makes its directory entry durable; removes it on failure. */
static int publish(const struct os *os, const char *store, const struct rows *rows, const struct summary *s,
                   struct directory *d, struct chunk_scratch *scratch, struct segment_info *info,
                   tally_error *error) {
  char *path = place_path(store, info);
  if (!path) return fail_memory(error, "the path of a segment");
  struct output o;
  int result = output_create(&o, os, path, info->id, error);
  if (!result) result = write_file(&o, rows, s, d, scratch, info, error);
  output_close(&o, result == 0);
  mem_free(path);
  if (result) return result;
  result = place_sync(os, store, info, error);
  if (result) segment_remove(os, store, info);
  return result;
}

static int write_summed(const struct os *os, const char *store, const struct rows *rows,
                        const struct summary *s, struct budget *budget, struct segment_info *info,
                        tally_error *error) {
  struct directory d = {.rows = rows->count,
                        .month = info->month,
                        .runs = s->runs,
                        .services = s->services,
                        .sums_fit = s->sums_fit,
                        .has_service_totals =
                            s->sums_fit && (uint64_t)s->services * SERVICE_TOTALS_ROWS <= rows->count};
  int result = directory_allocate(&d, budget, error);
  if (result) return result;
  struct chunk_scratch *scratch = mem_zalloc(1, sizeof *scratch);
  if (scratch) {
    summary_totals(s, rows, &d);
    result = place_make(os, store, info, error);
    if (!result) result = publish(os, store, rows, s, &d, scratch, info, error);
    ints_scratch_free(&scratch->ints);
    buffer_free(&scratch->trial);
    mem_free(scratch);
  } else {
    result = fail_memory(error, "writing a segment");
  }
  directory_free(&d, budget);
  return result;
}

int segment_write(const struct os *os, const char *store, const struct rows *rows, struct budget *budget,
                  struct segment_info *info, tally_error *error) {
  struct summary s;
  int result = summary_make(&s, rows, info->month, budget, error);
  if (result) return result;
  uint64_t bytes = encoder_bytes(rows);
  if (budget_take(budget, bytes)) {
    result = write_summed(os, store, rows, &s, budget, info, error);
    budget_give(budget, bytes);
  } else {
    result =
        fail(error, TALLY_MEMORY_LIMIT,
             "writing a segment needs %llu bytes that the memory budget does not have: raise the store's "
             "memory",
             (unsigned long long)bytes);
  }
  summary_free(&s, budget);
  return result;
}
