/* reader.h - reads a WAL file record by record, and says what its end is.
 *
 * A record is whole or absent. Where the next record is not whole, the reader looks at what stands behind it:
 * the highest durable mark of any whole record there tells whether the bad one had been acknowledged as
 * durable (then it is damage) or not (then it starts the torn tail, which may be set aside). An I/O error is
 * an error, never an end. One thread. */
#ifndef WAL_READER_H
#define WAL_READER_H

#include "os/os.h"
#include "wal/format.h"

struct wal_reader {
  const struct os *os;
  struct os_file *file;
  const char *path; /* borrowed */
  struct wal_header header;
  uint64_t offset, size; /* next record; file size */
  uint64_t next;         /* sequence of the next record */
  uint64_t durable;      /* highest durable mark seen */
  const char *bad;       /* at the end: the check that the next bytes failed; NULL: clean end */
  struct buffer buffer;
};

/* Opens a file. TALLY_CORRUPT, TALLY_VERSION (header), TALLY_IO. */
int wal_reader_open(const struct os *os, const char *path, struct wal_reader *reader, tally_error *error);
/* The next record (TALLY_ROW; borrowed until the next call), TALLY_OK at the end (see bad), or a code. */
int wal_reader_next(struct wal_reader *reader, struct wal_record *record, tally_error *error);
/* After a bad end: raises reader->durable by the marks of whole records behind it. */
int wal_reader_survey(struct wal_reader *reader, tally_error *error);
void wal_reader_close(struct wal_reader *reader);

#endif
