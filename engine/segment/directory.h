/* directory.h - what a segment keeps in memory: block places, zone maps, the outline of its runs, totals.
 *
 * A chunk of a column has no block where the zone tells all: no value is NULL and all are equal, or all are
 * NULL. Blocks stand in the file in the order of their numbers: chunk c of slot s is block s * chunks + c;
 * then come the run blocks, the sum blocks, the rollups, the sets of users and the directory itself. */
#ifndef SEGMENT_DIRECTORY_H
#define SEGMENT_DIRECTORY_H

#include "encoding/ints.h"
#include "segment/format.h"
#include "segment/segment.h"

/* The columns that stand in chunks, in file order: all but user and service. */
#define SLOTS 10
static inline int slot_column(int slot) { return slot == 0 ? TALLY_COL_TIMESTAMP : slot + 2; }
static inline int column_slot(int column) { return column == TALLY_COL_TIMESTAMP ? 0 : column - 2; }
#define SLOT_METADATA (SLOTS - 1)
static inline bool column_has_slot(int column) {
  return column != TALLY_COL_USER_ID && column != TALLY_COL_SERVICE_NAME;
}
static inline int measure_slot(int measure) { return column_slot(TALLY_COL_REQUEST_SIZE + measure); }

/* A level of rollups: its pieces and the buckets that each covers. */
struct rollup_place {
  uint32_t entries, pieces; /* 0: the level is not there */
  uint32_t block;           /* the first one's number */
  uint32_t *first, *last;   /* pieces: buckets of the first and the last entry */
};

struct directory {
  uint32_t rows, chunks, runs, pieces, services;
  int32_t month;
  bool sums_fit, has_service_totals, hour_bounds, thinned;
  uint32_t blocks;           /* without the directory */
  uint64_t *at;              /* blocks + 1 file offsets: block i is [at[i], at[i + 1]), trailer included */
  struct zone *zone;         /* SLOTS x chunks */
  uint64_t *metadata_bytes;  /* chunks */
  uint32_t *piece_user;      /* pieces: user of the first run */
  uint32_t *piece_row;       /* pieces + 1: first row */
  struct service_span *span; /* services */
  struct totals total;
  struct totals *service; /* services, or NULL */
  uint32_t max_id[DOMAINS];
  uint32_t rollup_keys, key_block;    /* the keys' block, if there are keys */
  uint32_t user_keys, user_key_block; /* of a thinned segment */
  struct rollup_place rollup[ROLLUP_LEVELS];
  uint32_t user_sets, set_block; /* the sets' first block; a set without users has none */
  struct user_set *user_set;
  void *memory;
  size_t size; /* of memory, taken from the budget by the owner */
};

static inline uint32_t directory_run_block(const struct directory *d, uint32_t piece) {
  return SLOTS * d->chunks + piece;
}
static inline uint32_t directory_sum_block(const struct directory *d, uint32_t piece) {
  return SLOTS * d->chunks + d->pieces + piece;
}
static inline uint32_t directory_piece_runs(const struct directory *d, uint32_t piece) {
  return d->runs - piece * RUN_PIECE < RUN_PIECE ? d->runs - piece * RUN_PIECE : RUN_PIECE;
}
static inline uint32_t directory_rollup_entries(const struct rollup_place *p, uint32_t piece) {
  return p->entries - piece * ROLLUP_PIECE < ROLLUP_PIECE ? p->entries - piece * ROLLUP_PIECE : ROLLUP_PIECE;
}
static inline uint32_t directory_chunk_rows(const struct directory *d, uint32_t chunk) {
  return d->rows - chunk * CHUNK_ROWS < CHUNK_ROWS ? d->rows - chunk * CHUNK_ROWS : CHUNK_ROWS;
}
/* Has a chunk with this zone a block? */
static inline bool directory_has_block(const struct zone *z, int slot, uint32_t rows) {
  return z->nulls != rows && (slot == SLOT_METADATA || z->nulls != 0 || z->min != z->max);
}

/* Totals by service are kept where a service has this many rows on average. */
#define SERVICE_TOTALS_ROWS 256u

#define MONTH_HOURS 744u
#define MONTH_DAYS 31u
static inline uint32_t rollup_buckets(enum rollup_level level) {
  return rollup_of_days(level) ? MONTH_DAYS : MONTH_HOURS;
}

/* Fills in what is derived from the counts and the two flags, and allocates the arrays (zeroed)
 * after taking their bytes from the budget. */
int directory_allocate(struct directory *d, struct budget *budget, tally_error *error);
void directory_free(struct directory *d, struct budget *budget);

/* Appends the directory's payload to out (out->failed without memory). */
void directory_encode(const struct directory *d, struct buffer *out, struct ints_scratch *scratch);
/* Reads a payload. `end` is the directory's own file offset: blocks must fill [SEGMENT_HEADER, end) exactly.
 * Every number is checked to be in bounds and to make sense. *d is to be freed on success only. */
int directory_decode(struct directory *d, const void *payload, size_t size, uint64_t end, const char *file,
                     struct budget *budget, tally_error *error);
/* Derives what is not stored: the minima, maxima and non-NULL counts of `total` and max_id (but the user's)
 * from the zones, and the first rows and runs of the spans. */
void directory_derive(struct directory *d);

#endif
