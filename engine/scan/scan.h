/* scan.h - the rows of a snapshot that satisfy a range and predicates, as dense vectors.
 *
 * A scan binds a request to a snapshot once (texts to ids, numbers to bounds) and is then immutable; its
 * parts (each segment, each memtable) are read independently, by any thread, each with a scanner.
 * A quarantined segment that pruning does not rule out is refused by name, or left out and counted where the
 * request says so. Laws: pruning keeps too much, never too little; each row comes exactly once; a vector's
 * columns are equally long. */
#ifndef SCAN_SCAN_H
#define SCAN_SCAN_H

#include "base/array.h"
#include "base/budget.h"
#include "scan/predicate.h"
#include "scan/snapshot.h"

#define VECTOR_ROWS CHUNK_ROWS

struct scan_request {
  int64_t from, to; /* [from, to) in microseconds */
  const struct predicate *where;
  size_t where_count;
  uint32_t columns; /* bit (1u << TALLY_COL_*): columns that the vectors must carry */
  /* Quarantined segments that rows of the answer may be in: counted here and left out. NULL: they fail the
   * scan with TALLY_CORRUPT. */
  struct left_out *left_out;
};

/* Rows that passed: dense, in no promised order. Borrowed until the scanner's next call. */
struct vector {
  uint32_t rows;                  /* 1..VECTOR_ROWS */
  const int64_t *value[COLUMNS];  /* columns asked for but metadata; texts as ids, 0 is NULL */
  const uint64_t *valid[COLUMNS]; /* numbers and metadata: NULL if no row is NULL */
  const uint64_t *metadata_at;    /* rows + 1 offsets into metadata, if asked for */
  const char *metadata;
  /* Of columns asked for but metadata: no value that is there is outside, and of texts no id either (so where
   * some may be NULL, min is 0). */
  struct bounds bound[COLUMNS];
};

/* What was done, for --explain; parts add to it. */
struct scan_stats {
  uint64_t segments, segments_pruned, segments_from_index;
  uint64_t chunks, chunks_pruned,
      chunks_read; /* chunks of rows, in segments that were not pruned or answered by the index */
  uint64_t memtable_rows, rows_read, rows_matched, blocks_read;
  uint64_t rollup_entries[ROLLUP_LEVELS], user_sets; /* looked at */
};

struct scan;
/* Binds. The request's texts and the snapshot are borrowed until scan_free. TALLY_MEMORY_LIMIT,
 * TALLY_NO_MEMORY. */
int scan_new(const struct snapshot *snapshot, const struct scan_request *request, struct budget *budget,
             struct scan **scan, tally_error *error);
void scan_free(struct scan *scan);
size_t scan_parts(const struct scan *scan); /* segments, then memtables */
/* The range of times that a part's rows may have (its overlap with the request's); false: pruned, it has no
 * rows for us. */
bool scan_part_range(const struct scan *scan, size_t part, int64_t *from, int64_t *to);
/* Rows in a part, of the services that pass; otherwise before filtering: an upper bound. */
uint64_t scan_part_rows(const struct scan *scan, size_t part);

/* Does a service with this id pass the predicates on services? */
bool scan_has_service(const struct scan *scan, uint32_t id);

struct scanner;
/* A scanner for one part, narrowed to [from, to) (at most the request's). Reusable: scanner_part moves it to
 * another part. Its memory comes from the budget of scan_new. TALLY_NO_RAW_ROWS for a thinned segment with
 * times in the range. */
int scanner_new(const struct scan *scan, struct scanner **scanner, tally_error *error);
int scanner_part(struct scanner *scanner, size_t part, int64_t from, int64_t to, tally_error *error);
/* Takes the memory for rows, which else the first scanner_part takes: index and rollups need none of it. */
int scanner_prepare(struct scanner *scanner, tally_error *error);
/* After scanner_part: of the part's rows only those of piece `piece` of `pieces` come, which differ by a
 * chunk at most. The first piece counts the part in the statistics. */
void scanner_piece(struct scanner *scanner, uint32_t piece, uint32_t pieces);
/* From the next scanner_part on, which must not be of a memtable: only rows of the services of piece `piece`
 * of `pieces` come, which are others than those of the other pieces; pieces 1: all. The first piece counts
 * the part in the statistics; none counts the chunks that no piece reads. */
void scanner_services(struct scanner *scanner, uint32_t piece, uint32_t pieces);
/* Leaves out the rows of [from, to) of the part that scanner_part has moved to. */
void scanner_skip(struct scanner *scanner, int64_t from, int64_t to);
/* Rows of the part that pass predicates on service and user, before it is narrowed, where that is known
 * without looking at them; else 0. */
uint64_t scanner_rows(const struct scanner *scanner);
/* After scanner_part: of its rows only the times are wanted, one of the columns asked for, and only of the
 * first `most` in order of time, or the last. Others may be left out, which is done where predicates on
 * service and user are all there are. */
void scanner_times(struct scanner *scanner, uint64_t most, bool last);
/* The next vector (TALLY_ROW), TALLY_OK at the end of the part, or a code. */
int scanner_next(struct scanner *scanner, const struct vector **vector, tally_error *error);
/* A chunk of a segment all of whose rows pass: what its zones say of the columns asked for. */
struct whole_chunk {
  uint32_t chunk, rows;
  uint32_t nulls[COLUMNS];      /* of numbers */
  struct bounds bound[COLUMNS]; /* as in a vector; of times and numbers exact: some value is min, some max */
};
/* After scanner_part, or any vector: is what comes next such a chunk? If it is, it can be added up by what is
 * known of it, and then left out with scanner_leave_whole; else, or if it is not left out, its rows come with
 * scanner_next. */
bool scanner_whole(struct scanner *scanner, struct whole_chunk *whole);
void scanner_leave_whole(struct scanner *scanner, const struct whole_chunk *whole);
/* Of measures (bits), all of whose values are so small that they fit: the sums; see segment_sums. */
int scanner_whole_sums(struct scanner *scanner, const struct whole_chunk *whole, uint32_t measures,
                       int64_t sum[MEASURES], tally_error *error);
/* How many of its integers are at least `least`. */
int scanner_whole_count(struct scanner *scanner, const struct whole_chunk *whole, int column, int64_t least,
                        uint32_t *count, tally_error *error);
/* Where in its part the next vector begins. A scanner of the same scan that is moved to the same part and
 * range, and then to the place, goes on with the same vectors: so memory can be given back between two. */
struct scanner_place {
  uint32_t chunk, taken;
};
struct scanner_place scanner_place(const struct scanner *scanner);
int scanner_seek(struct scanner *scanner, struct scanner_place place, tally_error *error);
const struct scan_stats *scanner_stats(const struct scanner *scanner); /* since scanner_new */
void scanner_free(struct scanner *scanner);

/* ---- answering from the index */

enum index_level { INDEX_SEGMENT, INDEX_SERVICE, INDEX_RUN };
#define INDEX_LEVELS (INDEX_RUN + 1)
/* Entries: each stands for some rows, with their aggregates (c = column - TALLY_COL_REQUEST_SIZE). From the
 * totals of the index (INDEX_SEGMENT and INDEX_SERVICE) measure[c] is there. Runs (INDEX_RUN) are many, and
 * have arrays of what is stored of them: run_sum[c] of tokens_used and cost, and run_nonnull[c] of these and
 * status_code. From rollups, measures are there if asked for; at the hours min and max are 0 where the
 * part has no bounds there (segment->rollup_bounds). */
struct entries {
  uint32_t rows;                     /* how many entries */
  const int64_t *time;               /* where the bucket begins; NULL from the index */
  const uint32_t *service;           /* ids */
  const uint32_t *endpoint, *method; /* NULL from the index and at the users' levels */
  const uint32_t *user;              /* at INDEX_RUN and the users' levels only */
  const uint32_t *count, *errors;
  /* Asked for, at the hours of a thinned segment: the histograms of duration_ms. Entry i has the bins
   * [bin_at[i], bin_at[i + 1]). */
  const uint64_t *bin_at;
  const int64_t *bin_value, *bin_count;
  const struct measure *measure[MEASURES]; /* measure[c][i] of entry i; NULL where not there */
  const int64_t *run_sum[MEASURES];        /* likewise */
  const uint32_t *run_nonnull[MEASURES];   /* NULL also where all rows have a value */
};
/* Can the part be answered from its index? True if it is a segment whose rows are all inside the request's
 * range and whose predicates are all on service_name (levels SERVICE and RUN) or user_id (RUN), and it has
 * what the level needs (sums_fit, service totals). No predicate at INDEX_SEGMENT. */
bool scan_index_covers(const struct scan *scan, size_t part, enum index_level level);
/* Starts answering a covered part at a level; then each scanner_index_next gives the next entries (at most
 * VECTOR_ROWS at a time) that satisfy the predicates: TALLY_ROW, TALLY_OK at the end, or a code. Borrowed
 * until the scanner's next call. */
int scanner_index(struct scanner *scanner, size_t part, enum index_level level, tally_error *error);
int scanner_index_next(struct scanner *scanner, const struct entries **entries, tally_error *error);
/* After scanner_index at INDEX_RUN: of the entries only those of piece `piece` of `pieces` come, which are of
 * other services than those of the other pieces. The first piece counts the part in the statistics. */
void scanner_index_piece(struct scanner *scanner, uint32_t piece, uint32_t pieces);

/* ---- answering from rollups */

/* Can stretches of the part's time be answered from its rollups of a level? True if it is a segment that has
 * the level, the request's times have no gaps, and all other predicates are on service_name, endpoint and
 * method, or on status_code where they hold for all or none of each class; at the users' levels on
 * service_name and user_id. */
bool scan_rollup_covers(const struct scan *scan, size_t part, enum rollup_level level);
/* The stretch [*from, *to) of whole buckets of the level in which the request wants all of the part's times:
 * empty if *from >= *to. Buckets reach beyond [from, to) where the part has no rows there. */
void scan_rollup_stretch(const struct scan *scan, size_t part, enum rollup_level level, int64_t *from,
                         int64_t *to);
struct rollup_wanted {
  uint32_t measures; /* bits */
  bool bounds;       /* their minima and maxima too; else these are 0 */
  bool histograms;
};
/* Starts answering [from, to), in whole buckets, of a part that is covered, with what is wanted; then
 * scanner_rollup_next gives the entries that satisfy the predicates, as scanner_index_next does. */
int scanner_rollup(struct scanner *scanner, size_t part, enum rollup_level level, int64_t from, int64_t to,
                   struct rollup_wanted wanted, tally_error *error);
int scanner_rollup_next(struct scanner *scanner, const struct entries **entries, tally_error *error);
/* Do the request's predicates on status_code hold for all or none of each class? */
bool scan_whole_classes(const struct scan *scan);
/* The segment of a part if it is thinned, else NULL. */
const struct segment *scan_thinned(const struct scan *scan, size_t part);
/* Has the part sets of the users of each day, and are there no predicates but on times? */
bool scan_users_cover(const struct scan *scan, size_t part);
/* Starts giving the users of the days of [from, to), whole days. Then each scanner_users_next gives some
 * users of one day (rows 0 for a day without any): TALLY_ROW, TALLY_OK at the end, or a code. */
struct user_rows {
  int64_t time; /* where the day begins */
  uint32_t rows;
  const int64_t *user; /* ids, none of them 0 */
};
int scanner_users(struct scanner *scanner, size_t part, int64_t from, int64_t to, tally_error *error);
int scanner_users_next(struct scanner *scanner, const struct user_rows **rows, tally_error *error);

#endif
