/* text_space.c - see text_space.h. */
#include "query/text_space.h"

struct text_space text_space_of(const struct plan *plan, const struct tally_up *total, size_t group) {
  const struct intern *intern = &total->sources.intern;
  if (plan->group_source[group] != NO_SOURCE)
    return (struct text_space){.intern = intern, .count = intern->count};
  const struct snapshot *snapshot = plan->environment->snapshot;
  int domain = column_domain(plan->request->group[group].ref.column);
  return (struct text_space){snapshot->catalog, domain, NULL, snapshot->ids[domain]};
}
