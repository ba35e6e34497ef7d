/* text_space.h - the texts that a group column's codes stand for: of the catalog, or interned by this query.
 */
#ifndef QUERY_TEXT_SPACE_H
#define QUERY_TEXT_SPACE_H

#include "query/execute.h"

struct text_space {
  const struct catalog *catalog;
  int domain;
  const struct intern *intern; /* instead of the catalog; NULL: not */
  uint32_t count;              /* codes are 1 to this */
};

/* Of a group column whose codes are texts; borrowed from both. */
struct text_space text_space_of(const struct plan *plan, const struct tally_up *total, size_t group);
/* The text of a code (not 0). */
static inline tally_text text_space_text(const struct text_space *space, uint32_t id) {
  return space->intern ? intern_text(space->intern, id) : catalog_text(space->catalog, space->domain, id);
}

#endif
