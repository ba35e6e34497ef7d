/* manifest.h - the log of edits that says what makes up the store: segments, the WAL position they cover,
 * published texts, producers' marks. docs/format/manifest.md.
 *
 * manifest_commit moves the store from one valid state to the next: the edit is on the disk when it returns,
 * or the store is as before. File MANIFEST-<number> begins with a checkpoint; when edits outgrow it a new
 * file with a new checkpoint takes its place, and each open for writing copies it. One thread at a time (the
 * caller's lock). */
#ifndef MANIFEST_MANIFEST_H
#define MANIFEST_MANIFEST_H

#include "manifest/edit.h"
#include "manifest/producers.h"
#include "os/os.h"

struct manifest {
  const struct os *os;
  char *store;
  struct os_file *file;
  char *path;
  uint64_t number, size, checkpoint_size, salt, edits;
  struct store_state state;
  struct segment_info *segment; /* all segments, in the order of their edits */
  size_t segments, segment_capacity;
  struct buffer scratch;
};

/* Is there a manifest in the directory? 1, 0 or a code. *other: there are other files. */
int manifest_exists(const struct os *os, const char *store, bool *other, tally_error *error);
/* Makes the first manifest of an empty store. */
int manifest_create(const struct os *os, const char *store, struct manifest **manifest, tally_error *error);
/* Loads the newest manifest; marks go to `producers`. An edit at the end that is not whole was never
 * confirmed and is cut off. */
int manifest_open(const struct os *os, const char *store, struct producers *producers,
                  struct manifest **manifest, tally_error *error);
/* Writes what manifest_open has read to a file with the next number, synced under its name, and removes what
 * was there before. Until then nothing of what was read is certain to be on the disk, and nothing that it
 * makes needless may be removed. */
int manifest_renew(struct manifest *manifest, tally_error *error);
/* Loads the newest manifest, for reading alone: whatever is not whole is TALLY_CORRUPT, at the end too. */
int manifest_read(const struct os *os, const char *store, struct manifest **manifest, tally_error *error);
/* Copies the first `size` bytes of a manifest file, checked, to a file of `store` with another number, under
 * its temporary name. It may be committed to before manifest_publish gives it its name. */
int manifest_copy(const struct os *os, struct os_file *from, const char *from_path, uint64_t size,
                  const char *store, uint64_t number, struct manifest **copy, tally_error *error);
/* Where it fails, copy->path tells whether the file has its name; whether that is on the disk is not known.
 */
int manifest_publish(struct manifest *copy, tally_error *error);
/* Appends, syncs and applies an edit.
 * TALLY_NO_SPACE may be tried again; after another failure the store takes no more writes. */
int manifest_commit(struct manifest *manifest, const struct edit *edit, tally_error *error);
/* Should a new file be begun? Then manifest_checkpoint, with the marks of all producers as of state.covered.
 */
bool manifest_wants_checkpoint(const struct manifest *manifest);
int manifest_checkpoint(struct manifest *manifest, const struct buffer *marks, tally_error *error);
void manifest_close(struct manifest *manifest);
/* Reads the file again and checks it. */
int manifest_verify(struct manifest *manifest,
                    void (*found)(void *arg, const char *file, uint64_t offset, const char *problem),
                    void *arg, tally_error *error);

#endif
