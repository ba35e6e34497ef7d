/* keys.h - the groups of a vector's rows: keys of its bucket and group columns, and their numbers.
 *
 * Where the bounds of a vector's columns leave few keys, the rows get codes of a byte, and only the keys of
 * codes that rows have are looked up, or those of the stretches of equal codes if these are long; else, where
 * equal keys follow each other, that of each stretch of them, and else each row's. */
#ifndef QUERY_KEYS_H
#define QUERY_KEYS_H

#include "query/plan.h"

struct keys {
  const struct plan *plan;
  uint64_t *word;    /* word w of row i's key: word[w * VECTOR_ROWS + i] */
  uint64_t *codes;   /* of one part of the keys */
  uint32_t *numbers; /* group of each row, or stretch */
  uint8_t *near_codes;
  struct near_groups near;
  uint8_t *ends; /* what the stretches borrow */
  uint32_t *first;
  struct stretches stretches;
};

/* `plan` is used until keys_free. Free in any case. TALLY_MEMORY_LIMIT, TALLY_NO_MEMORY. */
int keys_init(struct keys *keys, const struct plan *plan, tally_error *error);
void keys_free(struct keys *keys);

/* How the groups of rows may be told beside `one` and `near`. */
enum {
  KEYS_EACH = 1u,     /* by row always, unless they are one */
  KEYS_STRETCHES = 2u /* by stretches where there are some, instead of by row */
};

/* Finds or adds the groups of a vector of a part, whose sources are loaded. Fills of *input what says whose
 * rows these are: `rows`, and `one`, `near`, `stretches` or `groups` (`ways`: KEYS_*). Borrowed until the
 * next call. */
int keys_of_rows(struct keys *keys, struct groups *groups, const struct plan_part *part,
                 const struct vector *vector, const struct source_set *sources, unsigned ways,
                 struct input *input, tally_error *error);

/* Have all rows of a whole chunk one key? Then finds or adds its group. */
int keys_of_whole(const struct plan *plan, struct groups *groups, const struct plan_part *part,
                  const struct whole_chunk *whole, bool *one, uint32_t *group, tally_error *error);

/* The same of entries of the index or of rollups: fills numbers. */
int keys_of_entries(struct keys *keys, struct groups *groups, const struct plan_part *part,
                    const struct entries *entries, bool *same, tally_error *error);
/* Ids of the entries of a text column; NULL if they have none. */
const uint32_t *keys_entry_ids(const struct entries *entries, int column);

#endif
