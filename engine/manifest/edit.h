/* edit.h - what one atomic step of the store changes, and its bytes (docs/format/manifest.md).
 *
 * payload: u8 kind (0 checkpoint: replaces everything, 1 edit), u64 covered, u64 durable, u64 next segment
 * id, u64 next WAL file number, 4 x u32 texts, u32 added, u32 removed, u32 marks bytes, added x segment (60),
 * removed x u64 id, marks. segment: u64 id, i32 month, u32 rows, i64 min, i64 max timestamp, u64 size, u32
 * flags (1 thinned), digest (16). */
#ifndef MANIFEST_EDIT_H
#define MANIFEST_EDIT_H

#include "base/bytes.h"
#include "segment/segment.h"

/* The store's scalars, whole in every edit. */
struct store_state {
  uint64_t covered; /* WAL records up to this sequence are in segments */
  uint64_t durable; /* WAL records up to this sequence are known to be on the disk: their absence is damage */
  uint64_t next_segment, next_wal;
  uint32_t texts[DOMAINS]; /* texts of the catalog that are published */
};

struct edit {
  bool checkpoint;
  struct store_state state;
  const struct segment_info *added;
  uint32_t added_count;
  const uint64_t *removed;
  uint32_t removed_count;
  const uint8_t *marks; /* producers_write */
  uint32_t marks_size;
};

void edit_write(const struct edit *edit, struct buffer *out);
/* The head of an edit's payload and where its parts are; added and removed are read one by one. NULL, or the
 * check that failed. */
struct edit_parts {
  bool checkpoint;
  struct store_state state;
  uint32_t added_count, removed_count;
  struct reader added, removed, marks;
};
const char *edit_read(const void *bytes, size_t size, struct edit_parts *parts);
bool edit_next_added(struct edit_parts *parts, struct segment_info *segment);

#endif
