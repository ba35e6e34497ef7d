/* plan.h - how a query will be answered: what is read, from which parts and how, and where it is added up.
 *
 * Each part of the snapshot is pruned, answered from its index, answered from its rollups with rows around
 * them, or read row by row. Index and rollups are used only where they give what the rows would: all of the
 * rows that they stand for are wanted, these fall into one bucket, and groups and aggregates need nothing
 * that they do not carry. */
#ifndef QUERY_PLAN_H
#define QUERY_PLAN_H

#include "aggregate/accumulator.h"
#include "query/bucket_map.h"
#include "query/groups.h"
#include "query/request.h"
#include "query/source.h"
#include "scan/scan.h"

enum part_way { PART_PRUNED, PART_ROWS, PART_INDEX, PART_ROLLUP };

/* Whole hours, and whole days among them: hours.from <= days.from <= days.to <= hours.to. */
struct stretch {
  int64_t from, to;
};

struct plan_part {
  enum part_way way;
  enum index_level level; /* PART_INDEX */
  int64_t from, to;       /* the times its rows may have */
  bool users;             /* PART_ROLLUP: the users' levels */
  struct stretch hours,
      days;        /* PART_ROLLUP: days from the days, the rest of hours from the hours, else rows */
  bool one_bucket; /* they fall into `bucket` */
  uint64_t bucket;
};

/* One accumulator: a source and what is needed of it. */
struct plan_state {
  size_t source;
  uint32_t needs;
  uint32_t ids; /* a text column: its ids are 0..ids */
};

#define NO_SOURCE SIZE_MAX

struct plan {
  const struct request *request;
  const struct query_environment *environment;
  struct arena *arena;
  struct scan *scan; /* NULL: the range is empty */
  struct source *source;
  size_t source_count;
  struct plan_state *state;
  size_t state_count;
  size_t *output_state;     /* by output: its state */
  size_t rows_state;        /* of SOURCE_ROWS, if an output counts rows or NULLs */
  size_t *group_source;     /* by group key: its source, NO_SOURCE for a column */
  int64_t *group_base;      /* by group key: of an integer column, a value that no row is below */
  struct key_layout layout; /* part 0 is the bucket if there is one, then the group keys */
  unsigned dense_bits;
  struct bucket_map buckets; /* if has_map: of the parts' times, and of the whole range to fill */
  bool has_map;
  struct plan_part *part;
  size_t part_count;
  bool in_rollups;           /* rollups beside rows carry the groups and what the states need, */
  bool by_entries, by_users; /* in entries; in sets of users */
  uint32_t measures;         /* that states need (bits) */
  bool bounds;               /* some of them for minima or maxima */
  bool in_texts, in_users;   /* the levels of a thinned segment carry it, by its two kinds of keys */
  bool histograms;           /* states need percentiles of duration_ms that may be approximate */
  bool approximate;          /* and are: values are those of histograms */
  uint64_t work;             /* rows, runs and entries to be read, at most */
  uint64_t rows_most;        /* of all parts that are not pruned */
};

/* `request` and its zone are used until plan_free. Free in any case. */
int plan_make(struct plan *plan, struct request *request, const struct query_environment *environment,
              tally_error *error);
void plan_free(struct plan *plan);
/* PART_ROLLUP: are some of the part's rows outside of its stretches? */
bool plan_ragged(const struct plan_part *part);
/* Are all group keys columns, none of them something in metadata? */
bool plan_by_columns(const struct plan *plan);
/* Cancelled or too late? Looked at once a vector. */
int plan_alive(const struct query_environment *environment, tally_error *error);

/* The code of an integer of a group key: NULL is 0. */
static inline uint64_t plan_integer_code(const struct plan *plan, size_t group, int64_t value) {
  return (uint64_t)(value - plan->group_base[group]) + 1;
}
static inline int64_t plan_integer_value(const struct plan *plan, size_t group, uint64_t code) {
  return (int64_t)(code - 1) + plan->group_base[group];
}
/* Group keys follow the bucket in the layout. */
static inline size_t plan_group_part(const struct plan *plan, size_t group) {
  return group + plan->request->has_bucket;
}
static inline bool plan_filling(const struct request *request) { return (request->flags & TALLY_FILL) != 0; }

#endif
