/* output.h - a segment file being written: blocks are added to a buffer that is written out about every
 * megabyte. A file that is not finished is removed. */
#ifndef SEGMENT_OUTPUT_H
#define SEGMENT_OUTPUT_H

#include <tally.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "os/os.h"

struct output {
  const struct os *os;
  struct os_file *file;
  char *path;
  uint64_t segment;
  uint64_t written;     /* bytes in the file; the buffer's first byte stands there */
  struct buffer buffer; /* encoders append payloads here */
};

/* Makes the file `path` (a new one) and puts the header into the buffer. */
int output_create(struct output *o, const struct os *os, const char *path, uint64_t segment,
                  tally_error *error);
static inline uint64_t output_offset(const struct output *o) { return o->written + o->buffer.size; }
/* Ends the block whose payload stands in the buffer from `start` on: adds its trailer. Gives its digest
 * (may be NULL) and writes the buffer out if it is large. */
int output_block(struct output *o, size_t start, struct digest *digest, tally_error *error);
/* Adds the footer, writes everything and syncs the file. */
int output_finish(struct output *o, uint64_t directory, const struct digest *digest, tally_error *error);
/* Closes the file, removes it unless keep, frees the memory. */
void output_close(struct output *o, bool keep);

#endif
