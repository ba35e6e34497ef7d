/* chunk_pick.c - single values of a chunk; see segment.h. */
#include "base/array.h"
#include "segment/inside.h"

bool segment_pick(struct segment *s, int column, uint32_t chunk, const uint16_t *rows, uint32_t count,
                  int64_t *values) {
  struct block b;
  struct sequence q;
  if (!column_has_slot(column) || !sequence_pin_sound(s, column, chunk, &b, &q)) return false;
  struct zone z = segment_zone(s, column, chunk);
  if (column_kind(column) == KIND_TEXT && z.nulls) z.min = 0;
  /* The whole was found within its zone; what is decoded alone could be something else in damaged bytes. */
  bool picked = !q.priced && q.ints.count == segment_chunk_rows(s, chunk) &&
                ints_pick(&q.ints, rows, count, values) &&
                array_within(values, count, (struct bounds){z.min, z.max});
  block_release(&b);
  return picked;
}
