/* rewrite.h - the rows of some segments of one month become new segments, cut into slices of time, each
 * sorted by (service, user, timestamp); rules may leave rows out or change them on the way.
 *
 * Laws: each input row is met once; what was kept equals what can be read back from the new files (count,
 * sums, hash), or the rewrite fails; a failed or abandoned rewrite leaves no file. The caller drives it step
 * by step: read, sort, write, check, read ... so that it can stop, wait, and give its memory away in between.
 */
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
  uint32_t rows;   /* that a segment shall have at most, */
  size_t metadata; /* and bytes of metadata: no fewer than a row's */
  struct cache *cache;
  struct budget *budget;
  _Atomic uint64_t *next_id;
  const _Atomic bool *stop; /* set by another thread: the next step fails with TALLY_CANCELLED */
};

struct rewrite;
/* Reads the timestamps and cuts the slices. */
int rewrite_new(const struct rewrite_request *request, struct rewrite **rewrite, tally_error *error);
/* Are there rows that were not read? (They may all be left out.) */
bool rewrite_more(const struct rewrite *r);
/* Reads the next rows into `rows`, which has room for request.rows of them with their metadata: TALLY_ROW if
 * there are some (write them now), TALLY_OK if none is left. */
int rewrite_read(struct rewrite *r, struct memtable *rows, tally_error *error);
/* Puts them into `sorted`, of the same size or larger, in the order of storage; `rows` is not needed then.
 * `scratch` has flush_sort_bytes(request.rows) bytes. */
void rewrite_sort(struct rewrite *r, const struct memtable *rows, struct memtable *sorted, void *scratch);
/* Makes what was sorted a segment, synced. After TALLY_MEMORY_LIMIT it may be called again. */
int rewrite_write(struct rewrite *r, const struct memtable *sorted, tally_error *error);
/* Reads that segment back, into the memory of what was sorted, and compares. */
int rewrite_check(struct rewrite *r, struct memtable *sorted, tally_error *error);
/* At the end: every row of the inputs was met. */
int rewrite_complete(const struct rewrite *r, tally_error *error);
uint64_t rewrite_rows(const struct rewrite *r); /* of the inputs */
uint64_t rewrite_met(const struct rewrite *r);  /* of these, read so far */
struct rewrite_result {
  const struct segment_info *segment; /* borrowed until rewrite_free */
  uint32_t segments;
  uint64_t kept, dropped, changed; /* rows; the changed ones are kept too */
};
/* After rewrite_complete. */
struct rewrite_result rewrite_result(const struct rewrite *r);
/* Ends it. Without `keep` the files that it wrote are removed. */
void rewrite_free(struct rewrite *r, bool keep);

#endif
