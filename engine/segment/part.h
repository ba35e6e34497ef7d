/* part.h - parts inside a block: a varint with a size, then that many bytes (docs/format/segment.md). */
#ifndef SEGMENT_PART_H
#define SEGMENT_PART_H

#include "base/bytes.h"
#include "encoding/ints.h"

/* Puts the size of the bytes that stand in out from `start` on in front of them: they become a part. */
void part_end(struct buffer *out, size_t start);
/* Appends v[0..count) as a part that is a sequence of integers. */
void part_put(struct buffer *out, const int64_t *v, uint32_t count, struct ints_scratch *scratch,
              struct ints_memory *memory);
/* Takes a part; false (and the reader bad) if there is none. */
bool part_take(struct reader *r, struct reader *part);
/* Takes a part that is a sequence of `count` integers. */
bool part_open(struct reader *r, uint32_t count, struct ints *ints);

#endif
