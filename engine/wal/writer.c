/* writer.c - the WAL's writing end; see writer.h. */
#include "wal/writer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/status.h"

#define ALLOCATE_LEAST (1u << 20)
#define ALLOCATE_MOST (32u << 20)

char *wal_path(const char *store, uint64_t number, const char *suffix) {
  size_t size = strlen(store) + strlen(suffix) + 24;
  char *path = mem_alloc(size);
  if (path) (void)snprintf(path, size, "%s/wal/%016" PRIx64 "%s", store, number, suffix);
  return path;
}

int wal_create(const struct os *os, const char *store, uint64_t number, uint64_t first, struct wal **wal,
               tally_error *error) {
  struct wal *w = mem_zalloc(1, sizeof *w);
  char *path = wal_path(store, number, ".tmp");
  if (!w || !path) {
    mem_free(w);
    mem_free(path);
    return fail_memory(error, "a WAL file");
  }
  w->os = os;
  w->path = path;
  w->header = (struct wal_header){.first = first, .durable = first - 1, .number = number};
  os->random(os, &w->header.salt, sizeof w->header.salt);
  w->next = first;
  w->written = w->durable = first - 1;
  uint8_t header[WAL_HEADER];
  wal_header_write(&w->header, header);
  (void)os->unlink(os, path); /* one that a crash left */
  int result = 0, number_ = os->open(os, path, OS_CREATE, &w->file);
  if (number_)
    result = os_fail(error, number_, "create", path);
  else if ((number_ = os->allocate(os, w->file, 0, WAL_HEADER)) != 0 ||
           (number_ = os->write(os, w->file, header, WAL_HEADER, 0)) != 0)
    result = os_fail(error, number_, "write", path);
  w->size = w->allocated = WAL_HEADER;
  if (result) {
    if (w->file) (void)os->unlink(os, path);
    wal_close(w);
    return result;
  }
  *wal = w;
  return 0;
}

int wal_publish(struct wal *w, const char *store, tally_error *error) {
  int result = wal_sync(w, error);
  if (result) return result;
  char *path = wal_path(store, w->header.number, ".wal"), *folder = wal_path(store, 0, "");
  if (!path || !folder) {
    mem_free(path);
    mem_free(folder);
    return fail_memory(error, "a WAL file");
  }
  *strrchr(folder, '/') = '\0';
  int number = w->os->rename(w->os, w->path, path);
  if (number)
    result = os_fail(error, number, "rename", w->path);
  else if ((number = w->os->sync_directory(w->os, folder)) != 0)
    result = os_fail_sync(error, number, folder);
  mem_free(folder);
  if (result) {
    mem_free(path);
    return result;
  }
  mem_free(w->path);
  w->path = path;
  return 0;
}

int wal_add(struct wal *w, struct wal_record *record, tally_error *error) {
  record->sequence = w->next;
  record->durable = w->durable;
  if (!buffer_reserve(&w->group, wal_record_size(record))) {
    w->group.failed = false;
    return fail_memory(error, "a WAL record");
  }
  wal_record_write(&w->group, &w->header, w->size + w->group.size, record);
  w->next++;
  return 0;
}

size_t wal_group_size(const struct wal *w) { return w->group.size; }

void wal_drop(struct wal *w) {
  buffer_clear(&w->group);
  w->next = w->written + 1;
}

/* Space up to `need`: more at once if there is, exactly that if not. */
static int allocate(struct wal *w, uint64_t need) {
  if (need <= w->allocated) return 0;
  uint64_t more = w->allocated < ALLOCATE_LEAST  ? ALLOCATE_LEAST
                  : w->allocated > ALLOCATE_MOST ? ALLOCATE_MOST
                                                 : w->allocated;
  uint64_t target = need + more;
  int number = w->os->allocate(w->os, w->file, w->allocated, target);
  if (number == ENOSPC || number == EDQUOT)
    number = w->os->allocate(w->os, w->file, w->allocated, target = need);
  if (number == EOPNOTSUPP || number == EINVAL)
    number = 0; /* a file system without it: writes meet the full disk */
  if (!number) w->allocated = target;
  return number;
}

/* What was written of a group that failed must not be found by a recovery: its batches were refused. */
static void cut(struct wal *w) {
  w->cut = true;
  if (!w->os->truncate(w->os, w->file, w->size)) w->allocated = w->size;
}

int wal_write(struct wal *w, tally_error *error) {
  if (!w->group.size) return 0;
  int number = allocate(w, w->size + w->group.size), result;
  if (!number) number = w->os->write(w->os, w->file, w->group.data, w->group.size, w->size);
  if (number) {
    wal_drop(w);
    result = os_fail(error, number, "write", w->path);
    if (result == TALLY_NO_SPACE) cut(w);
    return result;
  }
  w->size += w->group.size;
  w->written = w->next - 1;
  buffer_clear(&w->group);
  return 0;
}

int wal_sync(struct wal *w, tally_error *error) {
  int number = w->os->sync(w->os, w->file);
  if (number) return os_fail_sync(error, number, w->path);
  w->durable = w->written;
  return 0;
}

void wal_close(struct wal *w) {
  if (!w) return;
  if (w->file) {
    if (w->allocated > w->size) (void)w->os->truncate(w->os, w->file, w->size);
    w->os->close(w->os, w->file);
  }
  buffer_free(&w->group);
  mem_free(w->path);
  mem_free(w);
}
