/* keys.h - the groups of a vector's rows: keys of its bucket and group columns, and their numbers.
 *
 * Where the bounds of a vector's columns leave few keys, the rows get codes of a byte, and only the keys of
 * codes that rows have are looked up; else each row's key is. */
#ifndef QUERY_KEYS_H
#define QUERY_KEYS_H

#include "query/plan.h"

struct keys {
  const struct plan *plan;
  uint64_t *word;    /* word w of row i's key: word[w * VECTOR_ROWS + i] */
  uint64_t *codes;   /* of one part of the keys */
  uint32_t *numbers; /* group of each row */
  uint8_t *near_codes;
  struct near_groups near;
};

/* `plan` is used until keys_free. Free in any case. TALLY_MEMORY_LIMIT, TALLY_NO_MEMORY. */
int keys_init(struct keys *keys, const struct plan *plan, tally_error *error);
void keys_free(struct keys *keys);

/* Finds or adds the groups of a vector of a part, whose sources are loaded. Fills of *input what says whose
 * rows these are: `rows`, and `one`, `near` or `groups`, the latter too if `each`. Borrowed until the next
 * call. */
int keys_of_rows(struct keys *keys, struct groups *groups, const struct plan_part *part,
                 const struct vector *vector, const struct source_set *sources, bool each,
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
