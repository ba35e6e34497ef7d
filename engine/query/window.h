/* window.h - events in order, with bounded memory: one stretch of time after the other.
 *
 * A window collects the rows of [next, bound) from all parts, and sorts them. It begins with a bound that is
 * too far and lowers it as rows come: when the rows would not fit its memory, to the median of their times;
 * with a limit, to the time of the last row that can still be among the first `limit`. Rows at or beyond the
 * bound are dropped, and parts that begin there are not read. So each row is collected in exactly one
 * window, and the latest hundred events of a year cost little more than a hundred.
 * With a small limit, a part that may have many more rows is asked for their times first, so that of all
 * others only those rows are decoded that can be among the first.
 * The first windows are small, and each may have twice as much as the one before it, until the budget is the
 * limit: a long answer begins soon, and so does that of others who ask meanwhile.
 *
 * Times are keys: the timestamp, or its complement for descending order, so that a window always goes upward.
 */
#ifndef QUERY_WINDOW_H
#define QUERY_WINDOW_H

#include "query/event_row.h"
#include "query/request.h"

struct window_part {
  size_t part;
  int64_t first, end; /* keys its rows may have: [first, end) */
};

struct window {
  const struct query_environment *environment;
  const struct scan *scan;
  bool ahead; /* times may be read before rows */
  struct scanner *scanner;
  uint32_t columns; /* bits: what rows carry and are ordered by */
  bool descending;
  struct window_part *part; /* by first key */
  size_t part_count;
  int64_t next, bound, end; /* keys */
  int64_t began;            /* `next` before this window */
  uint64_t began_limit;     /* `limit` likewise */
  size_t skip;              /* rows of windows from here on that were given before a rest */
  int64_t span;             /* of the last window that had to lower its bound for room; 0: none had to */
  uint64_t limit;           /* rows still to give behind this window */
  size_t rows_most, metadata_most; /* what the budget allows */
  size_t rows_now, metadata_now;   /* what this window may have, if that is less */
  size_t rows_check;               /* at this many rows the limit may lower the bound */
  struct event_row *rows;
  size_t count, capacity;
  int64_t *keys; /* room for one of each row, to choose the bound and to sort; keys_capacity >= capacity */
  size_t keys_capacity;
  char *metadata;
  size_t metadata_size, metadata_capacity;
  uint32_t *order; /* of the sorted rows; as many as order_count */
  size_t order_count;
};

/* `scan` may be NULL: nothing to give. `ahead`: the index alone tells which rows pass, and few are asked for.
 * Free in any case. */
int window_init(struct window *window, const struct scan *scan, bool ahead, const struct request *request,
                uint32_t columns, struct arena *arena, const struct query_environment *environment,
                tally_error *error);
void window_free(struct window *window);
/* Collects and sorts the next window that has rows: then order[0..order_count) gives them. order_count 0:
 * there are no more. TALLY_MEMORY_LIMIT if the rows of one instant do not fit. */
int window_fill(struct window *window, tally_error *error);
/* Between windows or in one, of which `given` rows were used: gives all memory back. The next window_fill
 * collects the same rows again; those that were used are the first window_skip of them, which is then 0. */
void window_rest(struct window *window, size_t given);
size_t window_skip(struct window *window);

#endif
