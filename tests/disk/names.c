/* names.c - the directories of the disk in memory: nodes, their names, and the changes that no sync has
 * brought to the disk yet. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk/inside.h"

void *disk_must(void *memory) {
  if (!memory) abort();
  return memory;
}

char *disk_text(const char *text) {
  size_t size = strlen(text) + 1;
  return memcpy(disk_must(malloc(size)), text, size);
}

struct node *node_new(bool directory) {
  struct node *n = disk_must(calloc(1, sizeof *n));
  n->directory = directory;
  return n;
}

void node_drop(struct node *n) {
  if (--n->references) return;
  free(n->now.data);
  free(n->safe.data);
  free(n);
}

size_t name_find(const struct names *names, const char *path) {
  size_t i = 0;
  while (i < names->count && strcmp(names->name[i].path, path) != 0) i++;
  return i;
}

struct node *node_at(const struct names *names, const char *path) {
  size_t i = name_find(names, path);
  return i < names->count ? names->name[i].node : NULL;
}

void name_add(struct names *names, const char *path, struct node *node) {
  if (names->count == names->room) {
    names->room = names->room ? names->room * 2 : 64;
    names->name = disk_must(realloc(names->name, names->room * sizeof *names->name));
  }
  names->name[names->count++] = (struct name){disk_text(path), node};
  node->references++;
}

void name_drop(struct names *names, size_t i) {
  free(names->name[i].path);
  node_drop(names->name[i].node);
  names->name[i] = names->name[--names->count];
}

bool is_in(const char *path, const char *directory) {
  size_t size = strcmp(directory, "/") == 0 ? 0 : strlen(directory);
  return strncmp(path, directory, size) == 0 && path[size] == '/' && path[size + 1] &&
         !strchr(path + size + 1, '/');
}

bool has_directory(const struct names *names, const char *path) {
  const struct node *n = node_at(names, path);
  return strcmp(path, "/") == 0 || (n && n->directory);
}

bool has_parent(const struct names *names, const char *path) {
  char parent[400];
  (void)snprintf(parent, sizeof parent, "%s", path);
  char *end = strrchr(parent, '/');
  if (!end) return false;
  end[end == parent] = '\0';
  return has_directory(names, parent);
}

/* ------------------------------------------------------------------ changes */

void note_change(struct disk *d, enum change_kind kind, const char *path, const char *to, struct node *node) {
  if (d->changes == d->change_room) {
    d->change_room = d->change_room ? d->change_room * 2 : 32;
    d->change = disk_must(realloc(d->change, d->change_room * sizeof *d->change));
  }
  d->change[d->changes++] = (struct change){kind, disk_text(path), to ? disk_text(to) : NULL, node};
  node->references++;
}

static void change_free(struct change *c) {
  free(c->path);
  free(c->to);
  node_drop(c->node);
}

void changes_forget(struct disk *d) {
  while (d->changes) change_free(&d->change[--d->changes]);
}

void changes_forget_below(struct disk *d, const char *path) {
  size_t kept = 0, size = strlen(path);
  for (size_t i = 0; i < d->changes; i++) {
    const char *p = d->change[i].path;
    if (strncmp(p, path, size) == 0 && (!p[size] || p[size] == '/'))
      change_free(&d->change[i]);
    else
      d->change[kept++] = d->change[i];
  }
  d->changes = kept;
}

void apply_change(struct names *names, const struct change *c) {
  size_t i = name_find(names, c->path);
  if (c->kind != CHANGE_MADE && i < names->count) name_drop(names, i);
  if (c->kind == CHANGE_REMOVED) return;
  const char *path = c->kind == CHANGE_RENAMED ? c->to : c->path;
  if ((i = name_find(names, path)) < names->count) name_drop(names, i);
  name_add(names, path, c->node);
}

/* Files are renamed inside a directory, so a change belongs to one. */
void directory_safe(struct disk *d, const char *path) {
  size_t kept = 0;
  for (size_t i = 0; i < d->changes; i++) {
    if (!is_in(d->change[i].path, path)) {
      d->change[kept++] = d->change[i];
      continue;
    }
    apply_change(&d->safe, &d->change[i]);
    change_free(&d->change[i]);
  }
  d->changes = kept;
}
