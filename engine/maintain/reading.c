/* reading.c - see reading.h. */
#include "maintain/reading.h"

void reading_end(struct reading *r) {
  if (r->scanner) scanner_free(r->scanner);
  if (r->scan) scan_free(r->scan);
  *r = (struct reading){0};
}

int reading_begin(struct reading *r, const struct snapshot *snapshot, int64_t from, int64_t to,
                  uint32_t columns, struct budget *budget, tally_error *error) {
  struct scan_request request = {.from = from, .to = to, .columns = columns};
  *r = (struct reading){0};
  int result = scan_new(snapshot, &request, budget, &r->scan, error);
  if (!result) result = scanner_new(r->scan, &r->scanner, error);
  if (result) reading_end(r);
  return result;
}

/* The next vector in r->vector: TALLY_ROW, TALLY_OK at the end, or a code. */
int reading_next(struct reading *r, tally_error *error) {
  r->vector = NULL;
  r->next = 0;
  for (;;) {
    if (!r->in_part) {
      int64_t from, to;
      while (r->part < scan_parts(r->scan) && !scan_part_range(r->scan, r->part, &from, &to)) r->part++;
      if (r->part == scan_parts(r->scan)) return TALLY_OK;
      int result = scanner_part(r->scanner, r->part, from, to, error);
      if (result) return result;
      r->in_part = true;
    }
    int result = scanner_next(r->scanner, &r->vector, error);
    if (result) return result;
    r->vector = NULL;
    r->in_part = false;
    r->part++;
  }
}
