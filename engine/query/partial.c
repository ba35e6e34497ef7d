/* partial.c - see partial.h. */
#include "query/partial.h"

struct left_out *partial_left_out(const struct query_environment *e, uint32_t flags) {
  if (!(flags & TALLY_PARTIAL) || !e->left_out) return NULL;
  *e->left_out = (struct left_out){0};
  return e->left_out;
}

uint64_t partial_quarantined(const struct query_environment *e) {
  uint64_t count = 0;
  for (size_t i = 0; i < e->snapshot->segment_count; i++)
    count += segment_quarantined(e->snapshot->segments[i]);
  return count;
}

/* The count only rises while a snapshot lives, so this ends. */
bool partial_again(const struct query_environment *e, uint32_t flags, uint64_t before, int result) {
  bool damage = result == TALLY_CORRUPT || result == TALLY_IO;
  return damage && (flags & TALLY_PARTIAL) && partial_quarantined(e) > before;
}
