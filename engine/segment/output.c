/* output.c - writing a segment file; see output.h and format.h. */
#include "segment/output.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "segment/format.h"

#define WRITE_BYTES (1u << 20)

int output_create(struct output *o, const struct os *os, const char *path, uint64_t segment,
                  tally_error *error) {
  *o = (struct output){.os = os, .segment = segment, .path = mem_strndup(path, strlen(path))};
  if (!o->path) return fail_memory(error, "the path of a segment");
  int number = os->open(os, path, OS_CREATE, &o->file);
  if (number) {
    o->file = NULL;
    return os_fail(error, number, "create", path);
  }
  write32(&o->buffer, SEGMENT_MAGIC);
  write16(&o->buffer, SEGMENT_VERSION);
  write16(&o->buffer, 0);
  write64(&o->buffer, segment);
  return o->buffer.failed ? fail_memory(error, "writing a segment") : 0;
}

static int write_out(struct output *o, tally_error *error) {
  int number = o->os->write(o->os, o->file, o->buffer.data, o->buffer.size, o->written);
  if (number) return os_fail(error, number, "write", o->path);
  o->written += o->buffer.size;
  buffer_clear(&o->buffer);
  return 0;
}

int output_block(struct output *o, size_t start, struct digest *digest, tally_error *error) {
  struct buffer *b = &o->buffer;
  if (b->failed) return fail_memory(error, "a block of a segment");
  struct digest d =
      digest_of(b->data + start, b->size - start, block_seed(o->segment, o->written + (uint64_t)start));
  buffer_append(b, d.bytes, sizeof d.bytes);
  write8(b, SCHEME_XXH3);
  write8(b, TRAILER_BYTES);
  if (b->failed) return fail_memory(error, "a block of a segment");
  if (digest) *digest = d;
  return b->size >= WRITE_BYTES ? write_out(o, error) : 0;
}

int output_finish(struct output *o, uint64_t directory, const struct digest *digest, tally_error *error) {
  uint64_t size = output_offset(o) - directory;
  struct buffer *b = &o->buffer;
  write64(b, directory);
  write64(b, size);
  buffer_append(b, digest->bytes, sizeof digest->bytes);
  write16(b, SEGMENT_VERSION);
  write16(b, 0);
  write32(b, SEGMENT_MAGIC);
  if (b->failed) return fail_memory(error, "the footer of a segment");
  int result = write_out(o, error);
  if (result) return result;
  int number = o->os->sync(o->os, o->file);
  return number ? os_fail(error, number, "sync", o->path) : 0;
}

void output_close(struct output *o, bool keep) {
  if (o->file) {
    o->os->close(o->os, o->file);
    if (!keep) (void)o->os->unlink(o->os, o->path);
  }
  mem_free(o->path);
  buffer_free(&o->buffer);
  *o = (struct output){0};
}
