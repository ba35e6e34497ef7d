/* disk.c - see disk.h. */
#include "disk/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/inside.h"

struct os_file {
  struct node *node;
  char *path; /* as it was opened */
  bool locks;
};

uint64_t disk_draw(struct disk *d) {
  uint64_t z = (d->random += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

/* ------------------------------------------------------------------ faults */

enum need { SPACE, NO_SPACE };

/* Under lock: 0, or why the call fails. */
static int gate(struct disk *d, enum need need) {
  if (d->stopped) return EIO;
  if (d->countdown && --d->countdown == 0) {
    d->fired = true;
    if (d->fault == DISK_STOPS) d->stopped = true;
    if (d->fault == DISK_FULL) d->full = true;
    if (d->fault != DISK_FULL)
      return need == SPACE && d->fault == DISK_FAILS && disk_draw(d) % 2 ? ENOSPC : EIO;
  }
  return d->full && need == SPACE ? ENOSPC : 0;
}

/* Called without the lock, so that the watcher may look at the disk, or hold the call up. */
static int watch(struct disk *d, enum disk_call call, const char *path) {
  return d->watcher ? d->watcher(d->watcher_arg, call, path) : 0;
}

#define ENTER(call, path)                                                                                    \
  struct disk *d = os->context;                                                                              \
  int watched = watch(d, call, path);                                                                        \
  os_lock(&d->lock)
#define LEAVE(result)                                                                                        \
  do {                                                                                                       \
    int leave_with = (result);                                                                               \
    os_unlock(&d->lock);                                                                                     \
    return leave_with;                                                                                       \
  } while (0)

/* ------------------------------------------------------------------ the table */

static struct os_file *handle(struct node *n, const char *path, bool locks) {
  struct os_file *f = disk_must(malloc(sizeof *f));
  *f = (struct os_file){n, disk_text(path), locks};
  n->references++;
  return f;
}

static void make_name(struct disk *d, const char *path, struct node *n) {
  name_add(&d->now, path, n);
  note_change(d, CHANGE_MADE, path, NULL, n);
  d->generation++;
}

static void remove_name(struct disk *d, const char *path) {
  size_t i = name_find(&d->now, path);
  note_change(d, CHANGE_REMOVED, path, NULL, d->now.name[i].node);
  name_drop(&d->now, i);
  d->generation++;
}

static int disk_open(const struct os *os, const char *path, enum os_open how, struct os_file **file) {
  ENTER(how == OS_CREATE ? DISK_CREATE : DISK_OPEN, path);
  struct node *n = node_at(&d->now, path);
  int code = watched;
  if (!code && how == OS_CREATE) code = gate(d, SPACE);
  if (code) LEAVE(code);
  if (n && how == OS_CREATE) LEAVE(EEXIST);
  if (n && n->directory) LEAVE(EISDIR);
  if (!n && (how != OS_CREATE || !has_parent(&d->now, path))) LEAVE(ENOENT);
  if (!n) make_name(d, path, n = node_new(false));
  *file = handle(n, path, false);
  LEAVE(0);
}

static void disk_close(const struct os *os, struct os_file *file) {
  if (!file) return;
  struct disk *d = os->context;
  os_lock(&d->lock);
  if (file->locks) file->node->locked = false;
  node_drop(file->node);
  os_unlock(&d->lock);
  free(file->path);
  free(file);
}

static int disk_read(const struct os *os, struct os_file *file, void *to, size_t size, uint64_t offset,
                     size_t *got) {
  ENTER(DISK_READ, file->path);
  if (watched) LEAVE(watched);
  const struct image *m = &file->node->now;
  uint64_t there = offset < m->size ? m->size - offset : 0;
  *got = there < size ? (size_t)there : size;
  image_get(m, to, *got, offset);
  LEAVE(0);
}

static int disk_write(const struct os *os, struct os_file *file, const void *from, size_t size,
                      uint64_t offset) {
  ENTER(DISK_WRITE, file->path);
  bool before = d->stopped;
  int code = watched ? watched : gate(d, SPACE);
  if (code && size && !before) size = (size_t)(disk_draw(d) % size); /* a failing write has written a part */
  if (!before && size) {
    image_put(&file->node->now, from, size, offset);
    node_soil(file->node, offset, offset + size);
    d->generation++;
  }
  LEAVE(code);
}

static int disk_sync(const struct os *os, struct os_file *file) {
  ENTER(DISK_SYNC, file->path);
  int code = watched ? watched : gate(d, NO_SPACE);
  d->generation += file->node->dirty;
  if (!code)
    node_safe(file->node);
  else if (!d->stopped)
    node_lose(file->node);
  LEAVE(code);
}

static int disk_size(const struct os *os, struct os_file *file, uint64_t *size) {
  ENTER(DISK_SIZE, file->path);
  *size = file->node->now.size;
  LEAVE(watched);
}

static int disk_allocate(const struct os *os, struct os_file *file, uint64_t from, uint64_t size) {
  ENTER(DISK_ALLOCATE, file->path);
  (void)from;
  int code = watched ? watched : gate(d, SPACE);
  if (!code && size > file->node->now.size) {
    node_soil(file->node, file->node->now.size, size);
    file->node->now.size = size;
    d->generation++;
  }
  LEAVE(code);
}

static int disk_truncate(const struct os *os, struct os_file *file, uint64_t size) {
  ENTER(DISK_TRUNCATE, file->path);
  int code = watched ? watched : gate(d, NO_SPACE);
  if (!code) {
    node_soil(file->node, size, size);
    image_cut(&file->node->now, size);
    d->generation++;
  }
  LEAVE(code);
}

static int disk_rename(const struct os *os, const char *from, const char *to) {
  ENTER(DISK_RENAME, from);
  int code = watched ? watched : gate(d, NO_SPACE);
  if (code) LEAVE(code);
  struct node *n = node_at(&d->now, from);
  if (!n || n->directory || !has_parent(&d->now, to)) LEAVE(n && n->directory ? EISDIR : ENOENT);
  note_change(d, CHANGE_RENAMED, from, to, n);
  apply_change(&d->now, &d->change[d->changes - 1]);
  d->generation++;
  LEAVE(0);
}

static int disk_unlink(const struct os *os, const char *path) {
  ENTER(DISK_UNLINK, path);
  const struct node *n = node_at(&d->now, path);
  if (!n) LEAVE(ENOENT);
  if (n->directory) LEAVE(EISDIR);
  int code = watched ? watched : gate(d, NO_SPACE);
  if (!code) remove_name(d, path);
  LEAVE(code);
}

static int disk_link(const struct os *os, const char *from, const char *to) {
  ENTER(DISK_LINK, from);
  int code = watched ? watched : gate(d, SPACE);
  if (code) LEAVE(code);
  struct node *n = node_at(&d->now, from);
  if (!n || !has_parent(&d->now, to)) LEAVE(ENOENT);
  if (node_at(&d->now, to)) LEAVE(EEXIST);
  make_name(d, to, n);
  LEAVE(0);
}

static int disk_mkdir(const struct os *os, const char *path) {
  ENTER(DISK_MKDIR, path);
  if (strcmp(path, "/") == 0 || node_at(&d->now, path)) LEAVE(EEXIST);
  int code = watched ? watched : gate(d, SPACE);
  if (code) LEAVE(code);
  if (!has_parent(&d->now, path)) LEAVE(ENOENT);
  make_name(d, path, node_new(true));
  LEAVE(0);
}

static int disk_rmdir(const struct os *os, const char *path) {
  ENTER(DISK_RMDIR, path);
  if (!node_at(&d->now, path)) LEAVE(ENOENT);
  for (size_t i = 0; i < d->now.count; i++)
    if (is_in(d->now.name[i].path, path)) LEAVE(ENOTEMPTY);
  int code = watched ? watched : gate(d, NO_SPACE);
  if (!code) remove_name(d, path);
  LEAVE(code);
}

static int disk_sync_directory(const struct os *os, const char *path) {
  ENTER(DISK_SYNC_DIRECTORY, path);
  if (!has_directory(&d->now, path)) LEAVE(ENOENT);
  int code = watched ? watched : gate(d, NO_SPACE);
  if (!code) {
    directory_safe(d, path);
    d->generation++;
  }
  LEAVE(code);
}

/* The names are taken before the first call: entry may change the directory. */
static int disk_list(const struct os *os, const char *path, int (*entry)(void *, const char *), void *arg) {
  ENTER(DISK_LIST, path);
  if (watched) LEAVE(watched);
  if (!has_directory(&d->now, path)) LEAVE(ENOENT);
  char **names = disk_must(malloc((d->now.count + 1) * sizeof(char *)));
  size_t count = 0;
  for (size_t i = 0; i < d->now.count; i++)
    if (is_in(d->now.name[i].path, path)) names[count++] = disk_text(strrchr(d->now.name[i].path, '/') + 1);
  os_unlock(&d->lock);
  int result = 0;
  for (size_t i = 0; i < count; i++) {
    if (!result) result = entry(arg, names[i]);
    free(names[i]);
  }
  free(names);
  return result;
}

static int disk_lock(const struct os *os, const char *path, struct os_file **file, int64_t *owner) {
  ENTER(DISK_LOCK, path);
  *owner = 1;
  if (watched) LEAVE(watched);
  struct node *n = node_at(&d->now, path);
  if (n && n->locked) LEAVE(EWOULDBLOCK);
  if (!n && d->stopped) LEAVE(EIO);
  if (!n && !has_parent(&d->now, path)) LEAVE(ENOENT);
  if (!n) make_name(d, path, n = node_new(false));
  n->locked = true;
  *file = handle(n, path, true);
  LEAVE(0);
}

static int64_t disk_now(const struct os *os) {
  struct disk *d = os->context;
  os_lock(&d->lock);
  int64_t now = d->time;
  os_unlock(&d->lock);
  return now;
}

static int64_t disk_monotonic(const struct os *os) {
  struct disk *d = os->context;
  os_lock(&d->lock);
  d->time += d->tick;
  int64_t now = d->monotonic += d->tick + 1;
  os_unlock(&d->lock);
  return now;
}

static void disk_random(const struct os *os, void *to, size_t size) {
  struct disk *d = os->context;
  os_lock(&d->lock);
  for (size_t i = 0; i < size; i++) ((uint8_t *)to)[i] = (uint8_t)disk_draw(d);
  os_unlock(&d->lock);
}

/* ------------------------------------------------------------------ what the test does */

struct disk *disk_new(uint64_t seed) {
  struct disk *d = disk_must(calloc(1, sizeof *d));
  os_mutex_init(&d->lock);
  d->random = seed;
  d->time = INT64_C(1710460800000000); /* 2024-03-15 */
  d->monotonic = 1000000;
  d->os = (struct os){.context = d,
                      .open = disk_open,
                      .close = disk_close,
                      .read = disk_read,
                      .write = disk_write,
                      .sync = disk_sync,
                      .size = disk_size,
                      .allocate = disk_allocate,
                      .truncate = disk_truncate,
                      .rename = disk_rename,
                      .unlink = disk_unlink,
                      .link = disk_link,
                      .mkdir = disk_mkdir,
                      .rmdir = disk_rmdir,
                      .sync_directory = disk_sync_directory,
                      .list = disk_list,
                      .lock = disk_lock,
                      .now = disk_now,
                      .monotonic = disk_monotonic,
                      .random = disk_random};
  return d;
}

void disk_free(struct disk *d) {
  while (d->now.count) name_drop(&d->now, d->now.count - 1);
  while (d->safe.count) name_drop(&d->safe, d->safe.count - 1);
  changes_forget(d);
  free(d->now.name);
  free(d->safe.name);
  free(d->change);
  os_mutex_destroy(&d->lock);
  free(d);
}

const struct os *disk_os(struct disk *d) { return &d->os; }

void disk_watch(struct disk *d, disk_watcher *watcher, void *arg) {
  d->watcher = watcher;
  d->watcher_arg = arg;
}

unsigned long long disk_generation(const struct disk *d) { return d->generation; }

void disk_advance(struct disk *d, int64_t us) {
  d->time += us;
  d->monotonic += us;
}

void disk_jump(struct disk *d, int64_t us) { d->time += us; }
void disk_tick(struct disk *d, int64_t us) { d->tick = us; }

void disk_arm(struct disk *d, enum disk_fault fault, unsigned after) {
  d->fault = fault;
  d->countdown = after;
  d->fired = false;
}

bool disk_disarm(struct disk *d) {
  d->countdown = 0;
  d->full = false;
  bool fired = d->fired;
  d->fired = false;
  return fired;
}

void disk_stop(struct disk *d) { d->stopped = true; }
bool disk_stopped(const struct disk *d) { return d->stopped; }

void disk_restart(struct disk *d, bool power) {
  d->stopped = false;
  (void)disk_disarm(d);
  if (power) disk_cut(d, (unsigned)(disk_draw(d) % DISK_CUTS));
}

void disk_remove_tree(struct disk *d, const char *path) {
  size_t size = strlen(path);
  struct names *both[] = {&d->now, &d->safe};
  for (int k = 0; k < 2; k++)
    for (size_t i = both[k]->count; i-- > 0;) {
      const char *p = both[k]->name[i].path;
      if (strncmp(p, path, size) == 0 && (!p[size] || p[size] == '/')) name_drop(both[k], i);
    }
  changes_forget_below(d, path);
}

void disk_each(struct disk *d, const char *path,
               void (*file)(void *arg, const char *path, const uint8_t *bytes, size_t size), void *arg) {
  size_t size = strlen(path);
  for (size_t i = 0; i < d->now.count; i++) {
    const struct name *n = &d->now.name[i];
    if (!n->node->directory && strncmp(n->path, path, size) == 0 && n->path[size] == '/')
      file(arg, n->path, n->node->now.data, (size_t)n->node->now.stored);
  }
}
