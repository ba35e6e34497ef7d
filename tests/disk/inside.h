/* inside.h - what the files of the disk in memory share; for them alone. */
#ifndef DISK_INSIDE_H
#define DISK_INSIDE_H

#include "disk/disk.h"
#include "os/thread.h"

#define SECTOR 512u

/* Bytes beyond `stored` are zeros: space that was only allocated takes no memory. */
struct image {
  uint8_t *data;
  uint64_t stored, room, size;
};

struct node {
  struct image now, safe; /* safe: what is on the disk for certain */
  uint64_t dirty_from, dirty_to;
  unsigned references; /* names of both kinds, changes, and open files */
  bool directory, locked, dirty;
  bool lost; /* a sync has failed: bytes before it may differ from `safe` and are not written any more */
  struct node *copy; /* while the disk is copied */
};

struct name {
  char *path;
  struct node *node;
};
struct names {
  struct name *name;
  size_t count, room;
};

/* A change of a directory that was not synced yet: each of these can reach the disk without the others. */
struct change {
  enum change_kind { CHANGE_MADE, CHANGE_REMOVED, CHANGE_RENAMED } kind;
  char *path, *to; /* to: of a renamed one */
  struct node *node;
};

struct disk {
  struct os os;
  struct os_mutex lock;
  struct names now, safe; /* safe: the names as of the directories' last syncs */
  struct change *change;  /* what happened since, in order */
  size_t changes, change_room;
  uint64_t random;
  int64_t time, monotonic, tick;
  enum disk_fault fault;
  unsigned countdown; /* calls until the fault; 0: none is armed */
  bool fired, full, stopped;
  unsigned long long generation;
  disk_watcher *watcher;
  void *watcher_arg;
};

void *disk_must(void *memory);
char *disk_text(const char *text); /* a copy */
uint64_t disk_draw(struct disk *d);

/* names.c */
struct node *node_new(bool directory);
void node_drop(struct node *n);
size_t name_find(const struct names *names, const char *path);
struct node *node_at(const struct names *names, const char *path);
void name_add(struct names *names, const char *path, struct node *node);
void name_drop(struct names *names, size_t i);
bool is_in(const char *path, const char *directory); /* is `path` an entry of the directory? */
bool has_directory(const struct names *names, const char *path);
bool has_parent(const struct names *names, const char *path);
void note_change(struct disk *d, enum change_kind kind, const char *path, const char *to, struct node *node);
void directory_safe(struct disk *d, const char *path); /* its entries are on the disk */
void changes_forget(struct disk *d);
void changes_forget_below(struct disk *d, const char *path);
void apply_change(struct names *names, const struct change *c);

/* image.c */
void image_put(struct image *m, const void *from, uint64_t size, uint64_t offset);
void image_get(const struct image *m, void *to, uint64_t size, uint64_t offset);
void image_cut(struct image *m, uint64_t size);
void image_copy(struct image *to, const struct image *from);
void node_soil(struct node *n, uint64_t from, uint64_t to); /* these bytes were written and not synced */
void node_safe(struct node *n);                             /* they are on the disk */
void node_lose(struct node *n);                             /* a sync failed: nobody writes them any more */

#endif
