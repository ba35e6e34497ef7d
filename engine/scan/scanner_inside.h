/* scanner_inside.h - one thread's reading of a scan, chunk by chunk: what scanner.c, source.c, output.c and
 * index.c share.
 *
 * A chunk goes through three steps: candidates by the index and the zones, filters that clear bits of the
 * selection, and output, which decodes the columns asked for at the rows that are left. A memtable is cut
 * into chunks too, without index and zones. */
#ifndef SCAN_SCANNER_INSIDE_H
#define SCAN_SCANNER_INSIDE_H

#include "scan/candidates.h"
#include "scan/kernel.h"

/* Rows [first, first + count) of a column of the current chunk, decoded; count 0: nothing is. */
struct column_buffer {
  int64_t *values;
  uint64_t *valid;
  bool all_valid;
  uint32_t first, count;
};

/* The metadata of rows [first, end) of the current chunk, none: end 0. In a segment `at` and the bytes are
 * decoded, in a memtable borrowed. */
struct metadata_buffer {
  uint32_t first, end;
  uint32_t parts;    /* how many of the chunk were decoded */
  uint64_t *decoded; /* CHUNK_ROWS + 1 */
  struct buffer bytes;
  const uint64_t *at;
  const char *text;
  const uint64_t *valid;
  uint64_t *map;
  bool all_valid;
};

/* The vector being filled. */
struct output {
  int64_t *values[COLUMNS];
  uint64_t *valid[COLUMNS];
  bool some_null[COLUMNS];
  uint64_t *metadata_at;
  struct buffer metadata;
  struct vector vector; /* bound[]: of the rows so far */
};

struct index_cursor;  /* index.c */
struct rollup_cursor; /* rollup.c */

struct scanner {
  const struct scan *scan;
  struct hold hold;
  struct scan_stats stats;
  /* the part */
  struct segment *segment;           /* NULL: a memtable */
  const struct rows *rows;           /* NULL: a segment */
  uint32_t row_count, chunk, chunks; /* chunk: the next one to look at */
  struct interval time[2]; /* this part's narrowed range: one interval, or two around what is skipped */
  uint32_t times;          /* how many */
  bool filter_time;        /* its rows may lie outside of them */
  bool prepared;           /* there is memory for rows */
  uint32_t columns;        /* bits: those that vectors have, of the scan's */
  /* the chunk whose selected rows are being put out */
  uint32_t current, current_rows;
  uint64_t selection[SELECTION_WORDS];
  uint32_t selected, taken;
  bool solid; /* the selected rows are those from solid_first on; else they are listed */
  uint32_t solid_first;
  struct column_buffer column[COLUMNS];
  struct metadata_buffer metadata;
  struct buffer scratch;       /* unescaped strings */
  struct ints_scratch decoder; /* of metadata */
  size_t decoder_bytes;        /* of it that are taken from the budget */
  struct output output;
  struct index_cursor *index;
  struct rollup_cursor *rollup;
  struct candidates candidates;
  /* From the window of runs on, the last member of candidates, a new scanner holds anything. */
  uint16_t list[CHUNK_ROWS]; /* selected rows */
};

/* scanner.c: moves s->chunk on to one with candidates; false at the end of the part. */
bool scanner_find_chunk(struct scanner *s);
/* Counts a chunk, so many rows of which are candidates. */
void scanner_count_read(struct scanner *s, uint32_t chunk, uint32_t rows);
/* source.c: bounds of rows [first, end) of a chunk of the segment, by its index and zones; with all of its
 * rows those of times and numbers are exact. */
struct bounds source_chunk_bounds(const struct scanner *s, int column, uint32_t chunk, uint32_t first,
                                  uint32_t end);
/* Bounds of `n` values of selected rows of the current chunk, all of them in [first, end). */
struct bounds source_bounds(const struct scanner *s, int column, uint32_t first, uint32_t end,
                            const int64_t *values, uint32_t n);
/* Makes rows [first, first + count) of the current chunk stand in s->column[column]. */
int source_load(struct scanner *s, int column, uint32_t first, uint32_t count, tally_error *error);
/* Decodes them elsewhere; valid is as in segment_values. */
int source_decode(struct scanner *s, int column, uint32_t first, uint32_t count, int64_t *values,
                  uint64_t *valid, bool *all_valid, tally_error *error);
/* Decodes single rows of the current chunk, none of which is NULL; false if it was not done. */
bool source_pick(struct scanner *s, int column, const uint16_t *rows, uint32_t count, int64_t *values);
/* As source_decode, of cost, of rows whose tokens are there. */
int source_costs(struct scanner *s, uint32_t first, uint32_t count, const int64_t *tokens, int64_t *values,
                 uint64_t *valid, bool *all_valid, tally_error *error);
/* Makes the metadata of rows [first, end) stand in s->metadata, which may have more. */
int source_metadata(struct scanner *s, uint32_t first, uint32_t end, tally_error *error);
/* The metadata of a row that is there; data NULL if it has none. */
static inline tally_text source_text(const struct scanner *s, uint32_t row) {
  const struct metadata_buffer *m = &s->metadata;
  uint32_t i = row - m->first;
  if (!m->all_valid && !bitmap_get(m->valid, i)) return (tally_text){NULL, 0};
  return (tally_text){m->text + m->at[i], (size_t)(m->at[i + 1] - m->at[i])};
}

/* select.c: finds the rows of the current chunk that pass: s->selected of them, and which. */
int select_rows(struct scanner *s, tally_error *error);

/* scanner.c: where a column's values go (the offsets of metadata, which are one more), and behind them the
 * bits of a chunk; none of a column that is not among `columns` (bits). All are one piece of memory: a short
 * query would take as long to ask for a dozen as to fill them. */
struct column_room {
  uint64_t *values, *valid;
};
int scanner_rooms(struct scanner *s, uint32_t columns, struct column_room room[COLUMNS], tally_error *error);

/* output.c */
int output_allocate(struct scanner *s, tally_error *error);
void output_clear(struct scanner *s);
/* Moves selected rows into the vector, as many as fit. */
int output_take(struct scanner *s, tally_error *error);
/* Is the vector to be handed out before more rows go in? */
bool output_full(const struct scanner *s);
const struct vector *output_vector(struct scanner *s);

/* The least interval that holds the part's narrowed range, which is not empty. */
static inline int64_t scanner_low(const struct scanner *s) { return s->time[0].low; }
static inline int64_t scanner_high(const struct scanner *s) { return s->time[s->times - 1].high; }

/* index.c: gives back what answering from the index took. */
void index_free(struct scanner *s);
/* rollup.c: likewise. */
void rollup_free(struct scanner *s);

#endif
