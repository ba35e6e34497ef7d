/* reading.h - the rows of a snapshot in a range of times, vector by vector. */
#ifndef MAINTAIN_READING_H
#define MAINTAIN_READING_H

#include "scan/scan.h"

struct reading {
  struct scan *scan;
  struct scanner *scanner;
  size_t part;
  bool in_part;
  const struct vector *vector; /* the one that is not used up, or NULL */
  uint32_t next;               /* its first row that is not */
};

/* Rows of [from, to), with these columns. The snapshot is borrowed until reading_end. */
int reading_begin(struct reading *r, const struct snapshot *snapshot, int64_t from, int64_t to,
                  uint32_t columns, struct budget *budget, tally_error *error);
/* The next vector in r->vector: TALLY_ROW, TALLY_OK at the end, or a code. */
int reading_next(struct reading *r, tally_error *error);
void reading_end(struct reading *r); /* also of a zeroed one */

#endif
