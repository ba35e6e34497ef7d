/* directory.c - the memory of a directory and what follows from its zones; see directory.h. */
#include "segment/directory.h"

#include "base/mem.h"
#include "base/status.h"

/* Gives out `count` elements of `size` bytes at *at, aligned to 8. */
static void *carve(uint8_t **at, size_t count, size_t size) {
  void *p = *at;
  *at += (count * size + 7) & ~(size_t)7;
  return p;
}

static void lay_out(struct directory *d, uint8_t *memory) {
  uint8_t *at = memory;
  d->at = carve(&at, d->blocks + 1, sizeof *d->at);
  d->zone = carve(&at, (size_t)SLOTS * d->chunks, sizeof *d->zone);
  d->metadata_bytes = carve(&at, d->chunks, sizeof *d->metadata_bytes);
  d->piece_user = carve(&at, d->pieces, sizeof *d->piece_user);
  d->piece_row = carve(&at, d->pieces + 1, sizeof *d->piece_row);
  d->span = carve(&at, d->services, sizeof *d->span);
  d->service = d->has_service_totals ? carve(&at, d->services, sizeof *d->service) : NULL;
  for (int level = 0; level < ROLLUP_LEVELS; level++) {
    d->rollup[level].first = carve(&at, d->rollup[level].pieces, sizeof(uint32_t));
    d->rollup[level].last = carve(&at, d->rollup[level].pieces, sizeof(uint32_t));
  }
  d->user_set = carve(&at, d->user_sets, sizeof *d->user_set);
}

static size_t rollup_pieces(const struct directory *d) {
  size_t pieces = 0;
  for (int level = 0; level < ROLLUP_LEVELS; level++) pieces += d->rollup[level].pieces;
  return pieces;
}

static size_t memory_size(const struct directory *d) {
  return (d->blocks + 1) * sizeof *d->at + (size_t)SLOTS * d->chunks * sizeof *d->zone +
         d->chunks * sizeof *d->metadata_bytes + d->pieces * sizeof *d->piece_user +
         (d->pieces + 1) * sizeof *d->piece_row + d->services * sizeof *d->span +
         (d->has_service_totals ? d->services * sizeof *d->service : 0) +
         2 * rollup_pieces(d) * sizeof(uint32_t) + d->user_sets * sizeof *d->user_set +
         (size_t)8 * (8 + 2 * ROLLUP_LEVELS);
}

static void number_level(struct directory *d, enum rollup_level level) {
  struct rollup_place *p = &d->rollup[level];
  p->pieces = (p->entries + ROLLUP_PIECE - 1) / ROLLUP_PIECE;
  p->block = d->blocks;
  d->blocks += p->pieces;
}

/* Numbers the blocks behind the sum blocks. */
static void number_rollups(struct directory *d) {
  d->key_block = d->blocks;
  d->blocks += d->rollup_keys ? 1 : 0;
  number_level(d, ROLLUP_HOUR);
  number_level(d, ROLLUP_DAY);
  d->set_block = d->blocks;
  d->blocks += d->user_sets;
  d->user_key_block = d->blocks;
  d->blocks += d->user_keys ? 1 : 0;
  number_level(d, ROLLUP_USER_HOUR);
  number_level(d, ROLLUP_USER_DAY);
}

int directory_allocate(struct directory *d, struct budget *budget, tally_error *error) {
  d->chunks = d->thinned ? 0 : (d->rows + CHUNK_ROWS - 1) / CHUNK_ROWS;
  d->pieces = (d->runs + RUN_PIECE - 1) / RUN_PIECE;
  d->blocks = SLOTS * d->chunks + (d->sums_fit ? 2 : 1) * d->pieces;
  number_rollups(d);
  d->size = memory_size(d);
  if (!budget_take(budget, d->size))
    return fail(error, TALLY_MEMORY_LIMIT,
                "a segment's directory needs %zu bytes that the memory budget does not have: raise the "
                "store's memory",
                d->size);
  d->memory = mem_zalloc(1, d->size);
  if (!d->memory) {
    budget_give(budget, d->size);
    return fail_memory(error, "a segment's directory");
  }
  lay_out(d, d->memory);
  return 0;
}

void directory_free(struct directory *d, struct budget *budget) {
  if (!d->memory) return;
  mem_free(d->memory);
  d->memory = NULL;
  budget_give(budget, d->size);
}

/* The bounds and NULLs of a whole slot. */
static struct zone slot_zone(const struct directory *d, int slot) {
  struct zone all = {INT64_MAX, INT64_MIN, 0};
  for (uint32_t c = 0; c < d->chunks; c++) {
    const struct zone *z = &d->zone[(uint32_t)slot * d->chunks + c];
    all.nulls += z->nulls;
    if (z->nulls == directory_chunk_rows(d, c)) continue;
    if (z->min < all.min) all.min = z->min;
    if (z->max > all.max) all.max = z->max;
  }
  if (all.nulls == d->rows) all.min = all.max = 0;
  return all;
}

static void derive_first_rows(struct directory *d) {
  uint32_t row = 0, run = 0;
  for (uint32_t i = 0; i < d->services; i++) {
    d->span[i].first = row;
    d->span[i].first_run = run;
    row += d->span[i].rows;
    run += d->span[i].runs;
  }
}

void directory_derive(struct directory *d) {
  d->max_id[column_domain(TALLY_COL_SERVICE_NAME)] = d->span[d->services - 1].service;
  derive_first_rows(d);
  d->total.rows = d->rows;
  if (d->thinned) return; /* its directory has the rest */
  struct zone z = slot_zone(d, 0);
  d->total.min_timestamp = z.min;
  d->total.max_timestamp = z.max;
  for (int m = 0; m < MEASURES; m++) {
    z = slot_zone(d, measure_slot(m));
    d->total.measure[m].min = z.min;
    d->total.measure[m].max = z.max;
    d->total.measure[m].nonnull = d->rows - z.nulls;
  }
  for (int column = TALLY_COL_ENDPOINT; column <= TALLY_COL_METHOD; column++)
    d->max_id[column_domain(column)] = (uint32_t)slot_zone(d, column_slot(column)).max;
}
