/* disk.c - see disk.h. */
#include "disk/disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/thread.h"

#define BLOCK 512u

/* Bytes beyond `stored` are zeros: space that was only allocated takes no memory. */
struct image {
  uint8_t *data;
  uint64_t stored, room, size;
};

struct node {
  struct image now, safe; /* safe: as of the last sync */
  uint64_t dirty_from, dirty_to;
  unsigned references; /* names of both kinds, and open files */
  bool directory, locked, dirty;
};

struct name {
  char *path;
  struct node *node;
};
struct names {
  struct name *name;
  size_t count, room;
};

struct disk {
  struct os os;
  struct os_mutex lock;
  struct names now, safe;
  uint64_t random;
  int64_t time, monotonic;
  enum disk_fault fault;
  unsigned countdown; /* calls until the fault; 0: none is armed */
  bool fired, full, stopped;
};

struct os_file {
  struct node *node;
  bool locks;
};

static void *must(void *memory) {
  if (!memory) abort();
  return memory;
}

static uint64_t draw(struct disk *d) {
  uint64_t z = (d->random += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

/* ------------------------------------------------------------------ nodes and names */

static struct node *node_new(bool directory) {
  struct node *n = must(calloc(1, sizeof *n));
  n->directory = directory;
  return n;
}

static void node_drop(struct node *n) {
  if (--n->references) return;
  free(n->now.data);
  free(n->safe.data);
  free(n);
}

static size_t find(const struct names *names, const char *path) {
  size_t i = 0;
  while (i < names->count && strcmp(names->name[i].path, path) != 0) i++;
  return i;
}

static struct node *node_at(const struct names *names, const char *path) {
  size_t i = find(names, path);
  return i < names->count ? names->name[i].node : NULL;
}

static void add(struct names *names, const char *path, struct node *node) {
  if (names->count == names->room) {
    names->room = names->room ? names->room * 2 : 64;
    names->name = must(realloc(names->name, names->room * sizeof *names->name));
  }
  names->name[names->count++] = (struct name){must(strdup(path)), node};
  node->references++;
}

static void drop(struct names *names, size_t i) {
  free(names->name[i].path);
  node_drop(names->name[i].node);
  names->name[i] = names->name[--names->count];
}

/* Is `path` an entry of the directory? */
static bool is_in(const char *path, const char *directory) {
  size_t size = strcmp(directory, "/") == 0 ? 0 : strlen(directory);
  return strncmp(path, directory, size) == 0 && path[size] == '/' && path[size + 1] &&
         !strchr(path + size + 1, '/');
}

static bool has_directory(const struct names *names, const char *path) {
  const struct node *n = node_at(names, path);
  return strcmp(path, "/") == 0 || (n && n->directory);
}

static bool has_parent(const struct names *names, const char *path) {
  char parent[400];
  (void)snprintf(parent, sizeof parent, "%s", path);
  char *end = strrchr(parent, '/');
  if (!end) return false;
  end[end == parent] = '\0';
  return has_directory(names, parent);
}

/* The entries of a directory in `to` become those in `from`. */
static void copy_directory(struct names *to, const struct names *from, const char *path) {
  for (size_t i = to->count; i-- > 0;)
    if (is_in(to->name[i].path, path)) drop(to, i);
  for (size_t i = 0; i < from->count; i++)
    if (is_in(from->name[i].path, path)) add(to, from->name[i].path, from->name[i].node);
}

/* ------------------------------------------------------------------ bytes */

static void image_put(struct image *m, const void *from, uint64_t size, uint64_t offset) {
  uint64_t end = offset + size;
  if (end > m->room) {
    m->room = end * 2;
    m->data = must(realloc(m->data, m->room));
  }
  if (offset > m->stored) memset(m->data + m->stored, 0, offset - m->stored);
  memcpy(m->data + offset, from, size);
  if (end > m->stored) m->stored = end;
  if (end > m->size) m->size = end;
}

static void image_get(const struct image *m, void *to, uint64_t size, uint64_t offset) {
  uint64_t there = offset < m->stored ? m->stored - offset : 0;
  if (there > size) there = size;
  if (there) memcpy(to, m->data + offset, there);
  memset((uint8_t *)to + there, 0, size - there);
}

static void image_cut(struct image *m, uint64_t size) {
  m->size = size;
  if (m->stored > size) m->stored = size;
}

static void soil(struct node *n, uint64_t from, uint64_t to) {
  if (!n->dirty || from < n->dirty_from) n->dirty_from = from;
  if (!n->dirty || to > n->dirty_to) n->dirty_to = to;
  n->dirty = true;
}

static void make_safe(struct node *n) {
  if (!n->dirty) return;
  if (n->safe.stored > n->now.stored) n->safe.stored = n->now.stored;
  uint64_t end = n->dirty_to < n->now.stored ? n->dirty_to : n->now.stored;
  if (end > n->dirty_from)
    image_put(&n->safe, n->now.data + n->dirty_from, end - n->dirty_from, n->dirty_from);
  n->safe.size = n->now.size;
  n->dirty = false;
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
    if (d->fault != DISK_FULL) return need == SPACE && d->fault == DISK_FAILS && draw(d) % 2 ? ENOSPC : EIO;
  }
  return d->full && need == SPACE ? ENOSPC : 0;
}

#define ENTER                                                                                                \
  struct disk *d = os->context;                                                                              \
  os_lock(&d->lock)
#define LEAVE(result)                                                                                        \
  do {                                                                                                       \
    int leave_with = (result);                                                                               \
    os_unlock(&d->lock);                                                                                     \
    return leave_with;                                                                                       \
  } while (0)

/* ------------------------------------------------------------------ the table */

static struct os_file *handle(struct node *n, bool locks) {
  struct os_file *f = must(malloc(sizeof *f));
  *f = (struct os_file){n, locks};
  n->references++;
  return f;
}

static int disk_open(const struct os *os, const char *path, enum os_open how, struct os_file **file) {
  ENTER;
  struct node *n = node_at(&d->now, path);
  int code = how == OS_CREATE ? gate(d, SPACE) : 0;
  if (code) LEAVE(code);
  if (n && how == OS_CREATE) LEAVE(EEXIST);
  if (n && n->directory) LEAVE(EISDIR);
  if (!n && (how != OS_CREATE || !has_parent(&d->now, path))) LEAVE(ENOENT);
  if (!n) add(&d->now, path, n = node_new(false));
  *file = handle(n, false);
  LEAVE(0);
}

static void disk_close(const struct os *os, struct os_file *file) {
  if (!file) return;
  struct disk *d = os->context;
  os_lock(&d->lock);
  if (file->locks) file->node->locked = false;
  node_drop(file->node);
  os_unlock(&d->lock);
  free(file);
}

static int disk_read(const struct os *os, struct os_file *file, void *to, size_t size, uint64_t offset,
                     size_t *got) {
  ENTER;
  const struct image *m = &file->node->now;
  uint64_t there = offset < m->size ? m->size - offset : 0;
  *got = there < size ? (size_t)there : size;
  image_get(m, to, *got, offset);
  LEAVE(0);
}

static int disk_write(const struct os *os, struct os_file *file, const void *from, size_t size,
                      uint64_t offset) {
  ENTER;
  bool before = d->stopped;
  int code = gate(d, SPACE);
  if (code && size && !before) size = (size_t)(draw(d) % size); /* a failing write has written a part */
  if (!before && size) {
    image_put(&file->node->now, from, size, offset);
    soil(file->node, offset, offset + size);
  }
  LEAVE(code);
}

static int disk_sync(const struct os *os, struct os_file *file) {
  ENTER;
  int code = gate(d, NO_SPACE);
  if (!code) make_safe(file->node);
  LEAVE(code);
}

static int disk_size(const struct os *os, struct os_file *file, uint64_t *size) {
  ENTER;
  *size = file->node->now.size;
  LEAVE(0);
}

static int disk_allocate(const struct os *os, struct os_file *file, uint64_t from, uint64_t size) {
  ENTER;
  (void)from;
  int code = gate(d, SPACE);
  if (!code && size > file->node->now.size) {
    soil(file->node, file->node->now.size, size);
    file->node->now.size = size;
  }
  LEAVE(code);
}

static int disk_truncate(const struct os *os, struct os_file *file, uint64_t size) {
  ENTER;
  int code = gate(d, NO_SPACE);
  if (!code) {
    soil(file->node, size, size);
    image_cut(&file->node->now, size);
  }
  LEAVE(code);
}

static int disk_rename(const struct os *os, const char *from, const char *to) {
  ENTER;
  int code = gate(d, NO_SPACE);
  if (code) LEAVE(code);
  struct node *n = node_at(&d->now, from);
  if (!n || n->directory || !has_parent(&d->now, to)) LEAVE(n && n->directory ? EISDIR : ENOENT);
  if (node_at(&d->now, to)) drop(&d->now, find(&d->now, to));
  add(&d->now, to, n);
  drop(&d->now, find(&d->now, from));
  LEAVE(0);
}

static int disk_unlink(const struct os *os, const char *path) {
  ENTER;
  const struct node *n = node_at(&d->now, path);
  if (!n) LEAVE(ENOENT);
  if (n->directory) LEAVE(EISDIR);
  int code = gate(d, NO_SPACE);
  if (!code) drop(&d->now, find(&d->now, path));
  LEAVE(code);
}

static int disk_link(const struct os *os, const char *from, const char *to) {
  ENTER;
  int code = gate(d, SPACE);
  if (code) LEAVE(code);
  struct node *n = node_at(&d->now, from);
  if (!n || !has_parent(&d->now, to)) LEAVE(ENOENT);
  if (node_at(&d->now, to)) LEAVE(EEXIST);
  add(&d->now, to, n);
  LEAVE(0);
}

static int disk_mkdir(const struct os *os, const char *path) {
  ENTER;
  if (strcmp(path, "/") == 0 || node_at(&d->now, path)) LEAVE(EEXIST);
  int code = gate(d, SPACE);
  if (code) LEAVE(code);
  if (!has_parent(&d->now, path)) LEAVE(ENOENT);
  add(&d->now, path, node_new(true));
  LEAVE(0);
}

static int disk_rmdir(const struct os *os, const char *path) {
  ENTER;
  if (!node_at(&d->now, path)) LEAVE(ENOENT);
  for (size_t i = 0; i < d->now.count; i++)
    if (is_in(d->now.name[i].path, path)) LEAVE(ENOTEMPTY);
  int code = gate(d, NO_SPACE);
  if (!code) drop(&d->now, find(&d->now, path));
  LEAVE(code);
}

static int disk_sync_directory(const struct os *os, const char *path) {
  ENTER;
  if (!has_directory(&d->now, path)) LEAVE(ENOENT);
  int code = gate(d, NO_SPACE);
  if (!code) copy_directory(&d->safe, &d->now, path);
  LEAVE(code);
}

/* The names are taken before the first call: entry may change the directory. */
static int disk_list(const struct os *os, const char *path, int (*entry)(void *, const char *), void *arg) {
  struct disk *d = os->context;
  os_lock(&d->lock);
  if (!has_directory(&d->now, path)) LEAVE(ENOENT);
  char **names = must(malloc((d->now.count + 1) * sizeof(char *)));
  size_t count = 0;
  for (size_t i = 0; i < d->now.count; i++)
    if (is_in(d->now.name[i].path, path))
      names[count++] = must(strdup(strrchr(d->now.name[i].path, '/') + 1));
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
  ENTER;
  *owner = 1;
  struct node *n = node_at(&d->now, path);
  if (n && n->locked) LEAVE(EWOULDBLOCK);
  if (!n && d->stopped) LEAVE(EIO);
  if (!n && !has_parent(&d->now, path)) LEAVE(ENOENT);
  if (!n) add(&d->now, path, n = node_new(false));
  n->locked = true;
  *file = handle(n, true);
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
  int64_t now = ++d->monotonic;
  os_unlock(&d->lock);
  return now;
}

static void disk_random(const struct os *os, void *to, size_t size) {
  struct disk *d = os->context;
  os_lock(&d->lock);
  for (size_t i = 0; i < size; i++) ((uint8_t *)to)[i] = (uint8_t)draw(d);
  os_unlock(&d->lock);
}

/* ------------------------------------------------------------------ what the test does */

struct disk *disk_new(uint64_t seed) {
  struct disk *d = must(calloc(1, sizeof *d));
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
  while (d->now.count) drop(&d->now, d->now.count - 1);
  while (d->safe.count) drop(&d->safe, d->safe.count - 1);
  free(d->now.name);
  free(d->safe.name);
  os_mutex_destroy(&d->lock);
  free(d);
}

const struct os *disk_os(struct disk *d) { return &d->os; }

void disk_advance(struct disk *d, int64_t us) {
  d->time += us;
  d->monotonic += us;
}

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

/* Of a file that was not synced: the old bytes, the new ones, or blocks of both. */
static void forget_bytes(struct disk *d, struct node *n) {
  uint64_t choice = draw(d) % 3;
  if (!n->dirty || choice == 0) return;
  struct image *now = &n->now, *safe = &n->safe;
  if (choice == 1 || now->size < safe->size) {
    image_cut(now, 0);
    if (safe->stored) image_put(now, safe->data, safe->stored, 0);
    now->size = safe->size;
  } else {
    for (uint64_t at = 0; at < now->stored; at += BLOCK) {
      uint8_t block[BLOCK];
      uint64_t size = now->stored - at < BLOCK ? now->stored - at : BLOCK;
      if (draw(d) % 2) continue;
      image_get(safe, block, size, at);
      image_put(now, block, size, at);
    }
  }
  soil(n, 0, now->size);
}

static bool same_directory(const struct names *a, const struct names *b, const char *path) {
  for (size_t i = 0; i < a->count; i++)
    if (is_in(a->name[i].path, path) && node_at(b, a->name[i].path) != a->name[i].node) return false;
  return true;
}

static void forget_names(struct disk *d, const char *path) {
  if (same_directory(&d->now, &d->safe, path) && same_directory(&d->safe, &d->now, path)) return;
  if (draw(d) % 2) copy_directory(&d->now, &d->safe, path);
}

/* What lay in a directory that is gone is gone with it. */
static void drop_orphans(struct names *names) {
  for (bool again = true; again;) {
    again = false;
    for (size_t i = names->count; i-- > 0;)
      if (!has_parent(names, names->name[i].path)) {
        drop(names, i);
        again = true;
      }
  }
}

/* The directories of either state, each once, parents first or not: orphans go afterwards. */
static size_t directories(const struct disk *d, char ***paths) {
  size_t count = 0;
  *paths = must(malloc((d->now.count + d->safe.count + 1) * sizeof(char *)));
  (*paths)[count++] = must(strdup("/"));
  const struct names *both[] = {&d->now, &d->safe};
  for (int k = 0; k < 2; k++)
    for (size_t i = 0; i < both[k]->count; i++)
      if (both[k]->name[i].node->directory && (k == 0 || !node_at(&d->now, both[k]->name[i].path)))
        (*paths)[count++] = must(strdup(both[k]->name[i].path));
  return count;
}

void disk_restart(struct disk *d, bool power) {
  d->stopped = false;
  (void)disk_disarm(d);
  if (!power) return;
  char **paths;
  size_t count = directories(d, &paths);
  for (size_t i = 0; i < count; i++) forget_names(d, paths[i]);
  drop_orphans(&d->now);
  for (size_t i = 0; i < d->now.count; i++) {
    forget_bytes(d, d->now.name[i].node);
    make_safe(d->now.name[i].node);
  }
  for (size_t i = 0; i < count; i++) {
    copy_directory(&d->safe, &d->now, paths[i]);
    free(paths[i]);
  }
  free(paths);
}

void disk_remove_tree(struct disk *d, const char *path) {
  size_t size = strlen(path);
  struct names *both[] = {&d->now, &d->safe};
  for (int k = 0; k < 2; k++)
    for (size_t i = both[k]->count; i-- > 0;) {
      const char *p = both[k]->name[i].path;
      if (strncmp(p, path, size) == 0 && (!p[size] || p[size] == '/')) drop(both[k], i);
    }
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
