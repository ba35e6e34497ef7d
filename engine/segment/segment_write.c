/* segment_write.c - making a segment file: the index is summed up first, then the blocks are written in file
 * order, then directory and footer; see segment.h for the promise and format.h for the order. */
#include "base/mem.h"
#include "base/status.h"
#include "encoding/texts.h"
#include "segment/chunk_write.h"
#include "segment/place.h"
#include "segment/rollup_write.h"
#include "segment/run_write.h"

/* What a segment's file is made from. */
struct source {
  const struct rows *rows;
  struct summary summary;
  struct rollups rollups;
};

/* Memory beside the summary and the directory: a buffer of about a megabyte with the largest block in it,
 * and what encoding its largest metadata chunk takes (see encoding/texts.h). */
static uint64_t encoder_bytes(const struct rows *rows, bool thrifty) {
  uint64_t most = 0;
  for (uint32_t first = 0; first < rows->count; first += CHUNK_ROWS) {
    uint32_t last = rows->count - first < CHUNK_ROWS ? rows->count : first + CHUNK_ROWS;
    uint64_t bytes = rows->metadata_at[last] - rows->metadata_at[first];
    if (bytes > most) most = bytes;
  }
  if (!thrifty || most <= TEXTS_THRIFTY)
    most *= 4;
  else if (most < 4 * TEXTS_THRIFTY)
    most = 4 * TEXTS_THRIFTY;
  return sizeof(struct chunk_scratch) + (3u << 20) + most;
}

static int write_blocks(struct output *o, const struct source *s, struct directory *d,
                        struct chunk_scratch *scratch, tally_error *error) {
  for (int slot = 0; slot < SLOTS; slot++) {
    int result = chunk_write_slot(o, s->rows, slot, d, scratch, error);
    if (result) return result;
  }
  directory_derive(d);
  int result = run_write(o, &s->summary, d, scratch, error);
  if (!result) result = rollup_write(o, &s->rollups, d, scratch, error);
  d->at[d->blocks] = output_offset(o);
  return result;
}

static int write_file(struct output *o, const struct source *s, struct directory *d,
                      struct chunk_scratch *scratch, struct segment_info *info, tally_error *error) {
  int result = write_blocks(o, s, d, scratch, error);
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
static int publish(const struct os *os, const char *store, const struct source *s, struct directory *d,
                   struct chunk_scratch *scratch, struct segment_info *info, tally_error *error) {
  char *path = place_path(store, info);
  if (!path) return fail_memory(error, "the path of a segment");
  struct output o;
  int result = output_create(&o, os, path, info->id, error);
  if (!result) result = write_file(&o, s, d, scratch, info, error);
  output_close(&o, result == 0);
  mem_free(path);
  if (result) return result;
  result = place_sync(os, store, info, error);
  if (result) segment_remove(os, store, info);
  return result;
}

static int write_summed(const struct os *os, const char *store, const struct source *source, bool thrifty,
                        struct budget *budget, struct segment_info *info, tally_error *error) {
  const struct summary *s = &source->summary;
  const uint32_t rows = source->rows->count;
  struct directory d = {.rows = rows,
                        .month = info->month,
                        .runs = s->runs,
                        .services = s->services,
                        .sums_fit = s->sums_fit,
                        .has_service_totals =
                            s->sums_fit && (uint64_t)s->services * SERVICE_TOTALS_ROWS <= rows};
  rollup_count(&source->rollups, &d);
  int result = directory_allocate(&d, budget, error);
  if (result) return result;
  struct chunk_scratch *scratch = mem_zalloc(1, sizeof *scratch);
  if (scratch) {
    scratch->ints.thorough = info->archived && !thrifty;
    scratch->ints.thrifty = thrifty;
    summary_totals(s, source->rows, &d);
    result = place_make(os, store, info, error);
    if (!result) result = publish(os, store, source, &d, scratch, info, error);
    ints_scratch_free(&scratch->ints);
    buffer_free(&scratch->trial);
    mem_free(scratch);
  } else {
    result = fail_memory(error, "writing a segment");
  }
  directory_free(&d, budget);
  return result;
}

/* The rollups and sets that pay. */
static int sum_up(struct source *s, const struct segment_info *info, struct budget *budget,
                  tally_error *error) {
  int64_t start, end;
  (void)place_month(info->month, &start, &end); /* summary_make has checked it */
  int result = user_sets_make(&s->rollups.users, s->rows, &s->summary, start, budget, error);
  if (!result && s->summary.sums_fit)
    result = rollup_sum_make(&s->rollups.sum, s->rows, start, budget, error);
  return result;
}

int segment_write(const struct os *os, const char *store, const struct rows *rows, struct budget *budget,
                  struct segment_info *info, tally_error *error) {
  struct source s = {.rows = rows};
  int result = summary_make(&s.summary, rows, info->month, budget, error);
  if (result) return result;
  uint64_t bytes = encoder_bytes(rows, false);
  bool taken = budget_take(budget, bytes), thrifty = !taken;
  if (!taken) taken = budget_take(budget, bytes = encoder_bytes(rows, true));
  if (taken) {
    result = sum_up(&s, info, budget, error);
    if (!result) result = write_summed(os, store, &s, thrifty, budget, info, error);
    budget_give(budget, bytes);
  } else {
    result =
        fail(error, TALLY_MEMORY_LIMIT,
             "writing a segment needs %llu bytes that the memory budget does not have: raise the store's "
             "memory",
             (unsigned long long)bytes);
  }
  rollup_sum_free(&s.rollups.sum);
  user_sets_free(&s.rollups.users);
  summary_free(&s.summary, budget);
  return result;
}
