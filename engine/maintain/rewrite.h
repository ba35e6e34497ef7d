/* rewrite.h - the rows of some segments of one month become new segments, cut into slices of time, each
 * sorted by (service, user, timestamp); rules may leave rows out or change them on the way.
 *
 * Laws: each input row is met once; what was kept equals what can be read back from the new files (count,
 * sums, hash), or the rewrite fails; a failed or abandoned rewrite leaves no file. The caller drives it step
 * by step: read, write, read, write ... so that it can stop, wait, and lend scratch memory in between. */
#ifndef MAINTAIN_REWRITE_H
#define MAINTAIN_REWRITE_H

#include "maintain/row_sums.h"
#include "scan/snapshot.h"

enum row_action { ROW_KEEP, ROW_DROP, ROW_PSEUDONYM };

/* What becomes of the rows of [from, to) and, where asked for, of one user or one service. */
struct row_rule {
  int64_t from, to;
  bool of_user, of_service;
  uint32_t user, service;
  enum row_action action;
  uint32_t pseudonym; /* ROW_PSEUDONYM: the user's new id; metadata becomes NULL */
};

struct rewrite_request {
  const struct os *os;
  const char *store;
  const struct snapshot *input; /* segments of one month, no memtables; borrowed */
  int32_t month;
  bool archived;                /* the new segments go to the archive */
  const struct row_rule *rules; /* the first one that fits a row decides; none fits: it is kept */
  size_t rule_count;
  struct memtable *rows; /* scratch: as many rows as a segment shall have; borrowed */
  struct cache *cache;
  struct budget *budget;
  _Atomic uint64_t *next_id;
  const _Atomic bool *stop; /* set by another thread: the next step fails with TALLY_CANCELLED */
};

struct rewrite;
/* Reads the timestamps and cuts the slices. */
int rewrite_new(const struct rewrite_request *request, struct rewrite **rewrite, tally_error *error);
/* Reads the next rows into request.rows: TALLY_ROW if there are some (write them now), TALLY_OK at the end.
 */
int rewrite_read(struct rewrite *r, tally_error *error);
/* Makes them a segment, synced, and compares it with them. `sorted` is scratch like request.rows. */
int rewrite_write(struct rewrite *r, struct memtable *sorted, tally_error *error);
uint64_t rewrite_rows(const struct rewrite *r); /* of the inputs */
uint64_t rewrite_met(const struct rewrite *r);  /* of these, read so far */
struct rewrite_result {
  const struct segment_info *segment; /* borrowed until rewrite_free */
  uint32_t segments;
  uint64_t kept, dropped, changed; /* rows; the changed ones are kept too */
};
/* After rewrite_read gave TALLY_OK. */
struct rewrite_result rewrite_result(const struct rewrite *r);
/* Ends it. Without `keep` the files that it wrote are removed. */
void rewrite_free(struct rewrite *r, bool keep);

#endif
