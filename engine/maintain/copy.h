/* copy.h - files of a store copied to another directory, and checked there: what backup and restore share.
 *
 * A copy that fails leaves no file. Every function that checks reads all bytes of the file that it was given,
 * and fails with TALLY_CORRUPT, the file and the offset. */
#ifndef MAINTAIN_COPY_H
#define MAINTAIN_COPY_H

#include "os/pace.h"
#include "segment/segment.h"
#include "wal/order.h"

/* Where to, and what it takes. */
struct copier {
  const struct os *os;
  const char *store;   /* the directory copied to */
  struct pace *pace;   /* NULL: as fast as it goes */
  struct cache *cache; /* for segments that are checked */
  struct budget *budget;
  uint64_t bytes; /* copied so far */
};

/* Copies the first `size` bytes of an open file to a new file `to` (an old one is replaced) and syncs it. */
int copy_bytes(struct copier *c, struct os_file *from, const char *from_path, uint64_t size, const char *to,
               tally_error *error);
/* Are the first `size` bytes of two open files the same? */
int copy_same(struct copier *c, struct os_file *a, struct os_file *b, uint64_t size, bool *same,
              tally_error *error);

/* The segment's file in c->store is whole: all of it, or (`all` false) what opening reads: header, directory,
 * footer and digest. */
int copy_check_segment(struct copier *c, const struct segment_info *info, bool all, tally_error *error);

/* WAL files, checked one after the other in the order of their records. */
struct wal_check {
  uint64_t next;    /* the sequence that must come next */
  uint64_t covered; /* rows of records beyond it are counted */
  uint64_t rows;
};
/* The file at `path` has the number and the records of `span`, all whole, and they continue those before.
 * Where no later file begins within it, nothing else is in it. */
int copy_check_wal(struct copier *c, const char *path, const struct wal_span *span, struct wal_check *check,
                   tally_error *error);

/* Numbers of the files <16 hex digits><suffix> in a folder, ascending; freed with mem_free. A folder that is
 * not there has none. */
int copy_list(const struct os *os, const char *folder, const char *suffix, uint64_t **numbers, size_t *count,
              tally_error *error);

/* Removes from c->store the segments that `keep` does not list, WAL files that are not among `wal`, and
 * everything temporary. *removed: how many files went. */
struct kept {
  const struct segment_info *segment;
  size_t segments;
  const uint64_t *wal;
  size_t wals;
};
void copy_clean(struct copier *c, const struct kept *keep, uint64_t *removed);

#endif
