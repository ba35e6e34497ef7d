/* accumulator.h - what is known, by group, of one input (a column, a metadata key, or the rows themselves).
 *
 * An accumulator keeps only what its aggregates need (NEED_*), in arrays by group number. Adding is a loop
 * over a vector; merging takes another accumulator of the same needs whose groups have other numbers.
 * Laws: merge is associative and commutative; the state of a group that saw no value is that of a new group.
 */
#ifndef AGGREGATE_ACCUMULATOR_H
#define AGGREGATE_ACCUMULATOR_H

#include <stdint.h>
#include <tally.h>

#include "aggregate/bag.h"
#include "aggregate/distinct.h"
#include "base/int128.h"

enum {
  NEED_ROWS = 1u,   /* how many rows; needs no values */
  NEED_SUM = 2u,    /* their sum */
  NEED_RANGE = 4u,  /* least and greatest */
  NEED_VALUES = 8u, /* the multiset: percentiles */
  NEED_DISTINCT = 16u,
  NEED_ERRORS = 32u, /* values >= 400, of status_code */
  NEED_NULLS = 64u   /* rows whose value is NULL: values are rows less NULLs, and most vectors have none */
};

#define ERROR_STATUS 400 /* a status code from here on is an error */

struct accumulator {
  uint32_t needs;
  uint32_t groups, capacity;
  struct budget *budget;
  uint64_t *rows, *errors;
  uint64_t *nulls; /* NULL until the first NULL comes: most columns have none */
  int128 *sum;
  int64_t *least, *greatest; /* INT64_MAX and INT64_MIN while there is no value */
  struct bag values;
  struct distinct distinct;
};

/* `ids`: values are catalog ids 0..ids (a hint for distinct), or 0. */
void accumulator_init(struct accumulator *a, uint32_t needs, uint32_t ids, struct budget *budget);
void accumulator_free(struct accumulator *a);
/* Makes sure that groups 0..groups-1 are there. TALLY_MEMORY_LIMIT, TALLY_NO_MEMORY. */
int accumulator_grow(struct accumulator *a, uint32_t groups, tally_error *error);

/* With NEED_NULLS: makes a->nulls be there, before a NULL is counted. The groups have been grown.
 * TALLY_MEMORY_LIMIT, TALLY_NO_MEMORY. */
int accumulator_need_nulls(struct accumulator *a, tally_error *error);

/* Rows of few groups: each has a code. They are added up by code in a small table first: its sums are short,
 * equal codes that follow each other fall into different lanes, and it stays in the cache. */
#define NEAR_GROUPS 256u
struct near_groups {
  uint32_t count;              /* codes are below it */
  const uint8_t *code;         /* by row */
  uint32_t rows[NEAR_GROUPS];  /* by code: how many rows have it */
  uint32_t group[NEAR_GROUPS]; /* by code that rows have: their group; of the others: any group */
};

/* Rows of one group that follow each other, some of them on the average: they are added up first. */
#define STRETCHES_MOST 1024u
#define LONG_STRETCH_ROWS 32u /* on the average: from here on each is summed up by itself, as a vector */
struct stretches {
  uint32_t count;        /* at most STRETCHES_MOST */
  const uint8_t *ends;   /* by row: 1 if it is the last of a stretch, else 0 */
  const uint32_t *first; /* by stretch: its first row; and the count of rows */
  const uint32_t *group; /* by stretch */
};

/* Values of some rows and the groups they belong to. */
struct input {
  uint32_t rows;
  uint32_t one;                      /* the group of all of them, without what follows */
  const struct stretches *stretches; /* or NULL; only where neither VALUES nor DISTINCT are needed */
  const struct near_groups *near;    /* or NULL */
  const uint32_t *groups;            /* by row; may be NULL with `near` where no VALUES are needed */
  const int64_t *values;             /* NULL only if nothing but NEED_ROWS and NEED_NULLS is needed */
  const uint64_t *valid;             /* NULL: no value is NULL */
  int64_t least, greatest;           /* no value that is there is outside */
};
/* Counts the codes: fills near->rows. */
void near_groups_count(struct near_groups *near, uint32_t rows);
/* The groups have been grown. TALLY_MEMORY_LIMIT, TALLY_NO_MEMORY. */
int accumulator_add(struct accumulator *a, const struct input *input, tally_error *error);

/* The same of values that have been added up already, all of one group; what is not needed is not looked at.
 */
struct added_up {
  uint32_t rows, nulls, errors;
  int64_t sum, least, greatest; /* the latter two: of some value */
};
int accumulator_add_up(struct accumulator *a, uint32_t group, const struct added_up *of, tally_error *error);

/* Asks the processor for what aggregate_result will read of a group, a while before. */
void accumulator_expect(const struct accumulator *a, uint32_t group);
/* Moves all of `from`: its group g to group_map[g], its value v (where values are query-local ids) as
 * value_map[v]; value_map NULL: as it is. The groups of `a` have been grown; `from` is fit only to be freed
 * afterwards. TALLY_OVERFLOW for a sum beyond 128 bits; TALLY_MEMORY_LIMIT, TALLY_NO_MEMORY. */
int accumulator_merge(struct accumulator *a, struct accumulator *from, const uint32_t *group_map,
                      const uint32_t *value_map, tally_error *error);
/* Must come after the last add or merge and before aggregate_result. */
int accumulator_seal(struct accumulator *a, tally_error *error);

#endif
