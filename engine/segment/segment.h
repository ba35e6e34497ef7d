/* segment.h - immutable files of one UTC month's rows, sorted by (service id, user id, timestamp, arrival);
 * docs/format/segment.md has their bytes.
 *
 * Rows stand in chunks of CHUNK_ROWS; a chunk of a column is one block with its checksum, read with
 * one pread, verified when it enters the cache. service and user are not stored by row: the runs (maximal
 * ranges of rows with equal service and user) are the index and the column in one. The directory
 * (zone maps, block places, totals by segment and by service) is read when the segment is opened and stays in
 * memory. Reference-counted; any thread. */
#ifndef SEGMENT_SEGMENT_H
#define SEGMENT_SEGMENT_H

#include <tally.h>

#include "base/budget.h"
#include "base/bytes.h"
#include "encoding/ints.h"
#include "model/rows.h"
#include "os/pace.h"
#include "segment/cache.h"

#define CHUNK_ROWS 4096u
#define SEGMENT_ROWS (1u << 20) /* the most rows of a segment */

/* What the manifest says of a segment. */
struct segment_info {
  uint64_t id;   /* file name: <id as 16 hex digits>.seg */
  int32_t month; /* months since 1970-01 */
  uint32_t rows;
  int64_t min_timestamp, max_timestamp;
  uint64_t size;      /* bytes of the file */
  bool thinned;       /* it has no rows, only rollups; `rows` is the number of events that it stands for */
  bool archived;      /* its file is in archive/, packed as small as it gets */
  uint8_t digest[16]; /* XXH3-128 of its directory block: ties the file to the manifest */
};

/* The folders of segment files inside the store's directory. */
#define SEGMENT_FOLDERS 2
extern const char *const segment_folder[SEGMENT_FOLDERS];

/* The file's name inside the store's directory: "segments/<yyyy-mm>/<16 hex>.seg", or "archive/..." likewise,
 * into text of 64 bytes. */
void segment_name(const struct segment_info *info, char text[64]);

/* Writes and syncs a segment file of sorted rows (all of one month; month directory made and synced as
 * needed; the new directory entry is synced too). Fills *info but id and month, which are given in it.
 * Nothing is left behind on failure. `scratch` memory is taken from budget. */
int segment_write(const struct os *os, const char *store, const struct rows *rows, struct budget *budget,
                  struct segment_info *info, tally_error *error);

/* What thinning changes on the way: what is of a user is counted as that of another one (0: NULL), and
 * events of a service from before its cut, the begin of a UTC day, are left out. */
struct thin_cut {
  uint32_t service;
  int64_t before;
};
struct thin_change {
  bool of_user;
  uint32_t user, becomes;
  const struct thin_cut *cut; /* by service, ascending; one without a cut loses nothing */
  size_t cuts;
};

/* Makes one thinned segment (id and month are given in *info) of segments of that month, each with rows or
 * thinned: their rollups, all levels, and no rows; `change` may be NULL. If it leaves nothing no file is
 * written and info->rows is 0. Times of events of thinned sources are known to the day: min_timestamp and
 * max_timestamp cover what is left. Memory comes from `budget`; what it has decides how often the sources are
 * read. TALLY_OVERFLOW if a sum of an entry does not fit int64, or there are more rows than 2^32 - 1: then
 * they stay as they are. Nothing is left behind on failure. */
struct segment;
int segment_thin(const struct os *os, const char *store, struct segment *const *from, size_t count,
                 const struct thin_change *change, struct budget *budget, struct segment_info *info,
                 tally_error *error);

/* Removes the file of a segment that no manifest names. One that stays is an orphan, which the next open
 * removes. */
void segment_remove(const struct os *os, const char *store, const struct segment_info *info);
/* Makes sure that a removed segment's file is not there, for good. */
int segment_gone(const struct os *os, const char *store, const struct segment_info *info, tally_error *error);

/* Sums of one column over some rows. NULLs are skipped. min and max are undefined when nonnull is 0. */
struct measure {
  int64_t sum; /* exact: a segment whose sums do not fit says so with sums_fit = false */
  int64_t min, max;
  uint32_t nonnull;
};

/* The measured columns: the five integers, cost, in column order. */
#define MEASURES (INT_COLUMNS + 1)

/* Aggregates of a range of rows: the whole segment or one service. */
struct totals {
  uint32_t service; /* id; 0 is NULL; of the whole segment: 0 */
  uint32_t first, rows;
  uint32_t errors; /* rows with status_code >= 400 */
  int64_t min_timestamp, max_timestamp;
  struct measure measure[MEASURES];
};

/* Where a service's rows and runs are. */
struct service_span {
  uint32_t service; /* id; 0 is NULL */
  uint32_t first, rows;
  uint32_t first_run, runs;
};

struct zone {
  int64_t min, max; /* over non-NULL values; timestamps and measures; ids for endpoint and method */
  uint32_t nulls;
};

/* Rollups: the rows of each UTC hour or day by service, endpoint, method and class of status; in thinned
 * segments also by service and user. */
enum rollup_level { ROLLUP_HOUR, ROLLUP_DAY, ROLLUP_USER_HOUR, ROLLUP_USER_DAY, ROLLUP_LEVELS };
static inline bool rollup_of_users(enum rollup_level level) { return level >= ROLLUP_USER_HOUR; }
static inline bool rollup_of_days(enum rollup_level level) {
  return level == ROLLUP_DAY || level == ROLLUP_USER_DAY;
}
#define ROLLUP_PIECE 4096u /* entries that segment_rollup gives at most */
enum status_class {
  CLASS_NULL,
  CLASS_BELOW, /* under 100 */
  CLASS_1XX,
  CLASS_2XX,
  CLASS_3XX,
  CLASS_4XX,
  CLASS_5XX,
  CLASS_ABOVE, /* 600 and more */
  STATUS_CLASSES
};
struct rollup_key {
  uint32_t service; /* ids */
  union {
    uint32_t endpoint, user; /* the user at the users' levels, where method and status are 0 */
  };
  uint32_t method;
  uint32_t status; /* enum status_class */
};
/* A UTC day that has rows, and the number of its users. */
struct user_set {
  uint32_t day; /* of the month, from 0 */
  uint32_t users;
};

struct segment {
  struct segment_info info;
  uint32_t chunks, runs, services;
  bool sums_fit;           /* every sum in totals and runs fits int64; else use none of them */
  bool has_service_totals; /* `service` is there (they pay: few services to many rows) */
  struct totals total;
  const struct totals *service;    /* services entries, by ascending id; NULL without has_service_totals */
  const struct service_span *span; /* services entries, by ascending id; always there */
  uint32_t max_id[DOMAINS];        /* the highest id of each text; 0: only NULL */
  int64_t start;                   /* of the month: hours and days count from it */
  uint32_t rollup_keys, user_keys; /* 0: no rollups */
  uint32_t rollup_entries[ROLLUP_LEVELS]; /* 0: the level is not there */
  bool rollup_bounds[ROLLUP_LEVELS];      /* are minima and maxima there? */
  uint32_t user_sets;                     /* days with rows; 0: no sets of users */
  const struct user_set *user_set;        /* by day */
  uint64_t arrived; /* the store's: the version that its newest rows came with; 0: before the open */
  /* the rest is segment/'s own */
  struct segment_inside *inside;
};

int segment_open(const struct os *os, const char *store, const struct segment_info *info, struct cache *cache,
                 struct budget *budget, struct segment **segment, tally_error *error);
/* Stands for a segment whose file cannot be opened or is not what the manifest says: quarantined from the
 * start, and of its rows nothing is known but what is in `info`. */
int segment_absent(const struct os *os, const char *store, const struct segment_info *info,
                   struct cache *cache, struct budget *budget, struct segment **segment, tally_error *error);
void segment_ref(struct segment *s);
void segment_unref(struct segment *s);

static inline uint32_t segment_chunk_rows(const struct segment *s, uint32_t chunk) {
  uint32_t first = chunk * CHUNK_ROWS;
  return s->info.rows - first < CHUNK_ROWS ? s->info.rows - first : CHUNK_ROWS;
}
/* The last span whose first row, or first run, is at most `number`. */
static inline uint32_t segment_span_before(const struct segment *s, uint32_t number, bool run) {
  uint32_t low = 0, high = s->services;
  while (high - low > 1) {
    uint32_t middle = low + (high - low) / 2;
    if ((run ? s->span[middle].first_run : s->span[middle].first) <= number)
      low = middle;
    else
      high = middle;
  }
  return low;
}
/* The span that a row, or a run, is in. */
static inline uint32_t segment_span_of(const struct segment *s, uint32_t row) {
  return segment_span_before(s, row, false);
}
static inline uint32_t segment_span_of_run(const struct segment *s, uint32_t run) {
  return segment_span_before(s, run, true);
}
/* Zone map of a chunk of a column (timestamp, endpoint, method, integers, cost, metadata: nulls only). */
struct zone segment_zone(const struct segment *s, int column, uint32_t chunk);
/* Bytes of metadata text of a chunk: what segment_metadata will put into its buffer. */
uint64_t segment_metadata_bytes(const struct segment *s, uint32_t chunk);
uint64_t segment_metadata_total(const struct segment *s); /* of all chunks */
/* Endpoint and method: the distinct ids of a chunk where its encoding lists them; *count 0 if it does not.
 * `ids` has room for CHUNK_ROWS. */
int segment_distinct(struct segment *s, int column, uint32_t chunk, int64_t *ids, uint32_t *count,
                     tally_error *error);

/* Decodes rows [first, first + count) of a chunk (relative to it) of any column but metadata: values (ids for
 * texts, 0 is NULL; numbers have 0 where NULL). *all_valid, or valid has count bits (bit 0 is row `first`).
 * valid has room for CHUNK_ROWS bits. */
int segment_values(struct segment *s, int column, uint32_t chunk, uint32_t first, uint32_t count,
                   int64_t *values, uint64_t *valid, bool *all_valid, tally_error *error);
/* Decodes single rows of a chunk, ascending and relative to it, none of which is NULL (of texts it may be);
 * false where that is not known, or not done quicker than by segment_values. */
bool segment_pick(struct segment *s, int column, uint32_t chunk, const uint16_t *rows, uint32_t count,
                  int64_t *values);
/* As segment_values, of cost, for one who has the tokens of the same rows (0 where NULL): costs often follow
 * them. */
int segment_costs(struct segment *s, uint32_t chunk, uint32_t first, uint32_t count, const int64_t *tokens,
                  int64_t *values, uint64_t *valid, bool *all_valid, tally_error *error);
/* The sums of a chunk's values of measures (bits), all of which are so small that these fit; of the others
 * what stands in *sum is unspecified. Where a whole chunk has been decoded before, it is mostly added up
 * without. */
int segment_sums(struct segment *s, uint32_t chunk, uint32_t measures, int64_t sum[MEASURES],
                 tally_error *error);
/* How many of a chunk's values of an integer column are at least `least`. */
int segment_count_from(struct segment *s, int column, uint32_t chunk, int64_t least, uint32_t *count,
                       tally_error *error);
/* Decodes metadata of rows [first, first + count) of a chunk: at (count + 1 offsets) and bytes; NULL rows are
 * empty. *all_valid, or valid has count bits (bit 0 is row `first`); it has room for CHUNK_ROWS. `scratch` is
 * zeroed before its first use, kept from call to call, and the caller's to free. */
int segment_metadata(struct segment *s, uint32_t chunk, uint32_t first, uint32_t count,
                     struct ints_scratch *scratch, uint64_t *at, struct buffer *bytes, uint64_t *valid,
                     bool *all_valid, tally_error *error);

/* ---- runs */

/* Runs [first, first + count) in row order, into arrays of `count`. row gets the run's first row. Any array
 * may be NULL. */
int segment_runs(struct segment *s, uint32_t first, uint32_t count, uint32_t *service, uint32_t *user,
                 uint32_t *row, tally_error *error);
/* The sums people bill by, on every run: NULL arrays are skipped. errors counts status_code >= 400,
 * status_nonnull the non-NULL ones. Only if sums_fit. */
struct run_sums {
  uint32_t *errors, *status_nonnull, *tokens_nonnull, *cost_nonnull;
  int64_t *tokens, *cost;
};
int segment_run_sums(struct segment *s, uint32_t first, uint32_t count, const struct run_sums *sums,
                     tally_error *error);
/* First rows of the runs [first, first + count) and the row behind the last of them: count + 1 values. */
int segment_run_bounds(struct segment *s, uint32_t first, uint32_t count, uint32_t *row, tally_error *error);
/* The run that holds a row. */
int segment_run_of_row(struct segment *s, uint32_t row, uint32_t *run, tally_error *error);
/* The runs of a service: [*first, *first + *count); count 0 if it has none here. From `span`, no I/O. */
void segment_service_runs(const struct segment *s, uint32_t service, uint32_t *first, uint32_t *count);
struct found_run {
  uint32_t run, first_row, end_row;
};
/* The run of (service, user), found by binary search inside the service's runs; false in *found if there is
 * none. */
int segment_find_run(struct segment *s, uint32_t service, uint32_t user, bool *found, struct found_run *run,
                     tally_error *error);

/* ---- rollups */

/* The class of a status code that is not NULL, and the codes of a class. */
static inline enum status_class status_class(int64_t status) {
  const int32_t code = status < 99 ? 99 : status > 600 ? 600 : (int32_t)status;
  return (enum status_class)(code / 100 + 1);
}
static inline int64_t rollup_width(enum rollup_level level) {
  return rollup_of_days(level) ? DAY_US : INT64_C(3600000000);
}
/* All keys of a level, in order; room for s->rollup_keys, or at the users' levels s->user_keys. */
int segment_rollup_keys(struct segment *s, enum rollup_level level, struct rollup_key *keys,
                        tally_error *error);
/* Entries, by bucket (hours or days since s->start), then key; NULL arrays are skipped. min and max are 0
 * where the level has no bounds, or they are not asked for; where nonnull is 0 sum, min and max are 0. */
struct rollup_entries {
  uint32_t *bucket, *key, *rows;
  uint32_t *errors; /* rows with status_code >= 400; at the users' levels only, elsewhere the key tells */
  struct measure *measure[MEASURES];
  bool bounds; /* minima and maxima are asked for */
};
/* Pieces that may have entries of the buckets [from, to): [*first, *end). */
void segment_rollup_pieces(const struct segment *s, enum rollup_level level, uint32_t from, uint32_t to,
                           uint32_t *first, uint32_t *end);
/* The entries of a piece whose bucket is in [from, to); the arrays have room for ROLLUP_PIECE. */
int segment_rollup(struct segment *s, enum rollup_level level, uint32_t piece, uint32_t from, uint32_t to,
                   const struct rollup_entries *entries, uint32_t *count, tally_error *error);
/* The histograms of duration_ms (histogram.h) of entries of a piece of the hours of a thinned segment: those
 * of buckets in [from, to). Of entry i, bins[i] pairs of value and count follow those of the entries before.
 * `bins` has room for ROLLUP_PIECE; the pairs are appended to `values` and `counts`, int64 each. */
int segment_histograms(struct segment *s, uint32_t piece, uint32_t from, uint32_t to, uint32_t *bins,
                       struct buffer *values, struct buffer *counts, tally_error *error);
/* Users [first, first + count) of a day's set, in order of their ids. `first` is a multiple of USERS_PIECE,
 * count at most USERS_PIECE. NULL is in no set. */
#define USERS_PIECE 4096u
int segment_users(struct segment *s, uint32_t set, uint32_t first, uint32_t count, int64_t *users,
                  tally_error *error);

/* ---- damage */

/* Is it known to be damaged? True from the moment a block of it could not be read or did not make sense, in
 * any thread, until db replaces it by a whole one. What was verified before stays right. */
bool segment_quarantined(const struct segment *s);
void segment_quarantine(struct segment *s);
/* Is its directory there? If not, any row inside its times may be in it. */
bool segment_readable(const struct segment *s);
/* Its file, for reading, where it is readable: as long as the segment lives, even if the name is gone. */
struct os_file *segment_file(const struct segment *s);

/* Checks every block of the file; calls found for each fault (offset of the block, its name). Reads no faster
 * than `pace` allows. */
int segment_verify(struct segment *s, struct pace *pace,
                   void (*found)(void *arg, const char *file, uint64_t offset, const char *problem),
                   void *arg, tally_error *error);

#endif
