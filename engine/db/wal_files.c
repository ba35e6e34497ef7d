/* wal_files.c - the WAL files as they are now, in the order of their records. */
#include "base/mem.h"
#include "base/status.h"
#include "db/inside.h"

int wal_files_list(struct db *db, struct wal_files *files, tally_error *error) {
  *files = (struct wal_files){0};
  if (!db->wal) return 0; /* opened read-only: the open has just read them all */
  os_lock(&db->lock);
  size_t count = 1;
  for (const struct old_wal *o = db->old_wals; o; o = o->next) count++;
  files->file = mem_zalloc(count, sizeof *files->file);
  if (files->file) {
    files->count = count;
    files->file[--count] = (struct wal_file){db->wal->header.number, db->wal->size, true};
    for (const struct old_wal *o = db->old_wals; o; o = o->next) /* newest first */
      files->file[--count] = (struct wal_file){.number = o->number};
  }
  os_unlock(&db->lock);
  return files->file ? 0 : fail_memory(error, "a list of WAL files");
}

void wal_files_free(struct wal_files *files) {
  mem_free(files->file);
  *files = (struct wal_files){0};
}
