/* candidates.h - the rows of a segment that its index lets pass: predicates on service and user are decided a
 * run at a time, never a row at a time. */
#ifndef SCAN_CANDIDATES_H
#define SCAN_CANDIDATES_H

#include "scan/scan_inside.h"

/* Rows in order; ranges do not overlap. */
struct row_range {
  uint32_t first, end;
  uint32_t user; /* with candidates.one_user */
};

/* Runs that lie around the current chunk, decoded once while a scanner moves forward. */
#define WINDOW_STEP 512u
#define WINDOW_RUNS (CHUNK_ROWS + 2 * WINDOW_STEP)
struct run_window {
  uint32_t first, count;
  uint32_t user[WINDOW_RUNS], row[WINDOW_RUNS + 1];
};

struct candidates {
  const struct segment *segment; /* whose ranges are there; NULL: of none */
  struct buffer memory;          /* of ranges */
  uint32_t count, next;
  uint32_t most; /* rows of a range, the first or the last, that there are */
  bool last;
  uint32_t piece, pieces; /* only services whose id leaves `piece`, divided by `pieces` */
  bool one_user;          /* each range is of one user */
  bool judge_users;       /* the predicate on user is still to be asked, run by run */
  struct run_window window;
};

static inline struct row_range candidates_range(const struct candidates *c, uint32_t i) {
  struct row_range r = ((const struct row_range *)(const void *)c->memory.data)[i];
  if (r.end - r.first <= c->most) return r;
  if (c->last)
    r.first = r.end - c->most;
  else
    r.end = r.first + c->most;
  return r;
}

/* From now on the ranges are those of some services: of piece `piece` of `pieces`. */
void candidates_share(struct candidates *c, uint32_t piece, uint32_t pieces);
/* Does the piece have the first row of a chunk whose service passes? Of all pieces one does. */
bool candidates_lead(const struct candidates *c, const struct scan *scan, const struct segment *segment,
                     uint32_t chunk);
/* Finds the ranges for a segment, or goes back to the first of them, untrimmed; none if the index rules it
 * out. */
int candidates_find(struct candidates *c, const struct scan *scan, struct segment *segment, struct hold *h,
                    tally_error *error);
/* Of each user's range there are only the first `most` rows, or the last. */
void candidates_trim(struct candidates *c, uint64_t most, bool last);
/* The next chunk with candidates, at or behind `chunk`; false if there is none. */
bool candidates_chunk(struct candidates *c, uint32_t *chunk);
/* Selects the candidates of a chunk. */
int candidates_select(struct candidates *c, const struct scan *scan, struct segment *segment, uint32_t chunk,
                      uint64_t *selection, tally_error *error);
/* Users of rows [row, row + count) of the segment; where the ranges are of one user, rows that are in none
 * get anything. */
int candidates_users(struct candidates *c, struct segment *segment, uint32_t row, uint32_t count,
                     int64_t *values, tally_error *error);
/* Runs by the index alone: is it worth looking each listed user up in each service? */
bool candidates_look_up(const struct scan *scan, const struct segment *segment, uint32_t *lookups);

#endif
