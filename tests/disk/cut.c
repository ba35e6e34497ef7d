/* cut.c - what a power cut leaves of the disk in memory, and a copy of a disk to try that on.
 *
 * Sectors of unsynced bytes reach the disk one by one, in any order, or as garbage; a file's size and each
 * change of a directory reach it independently of all others. Bytes that were synced stay, also in a sector
 * of which other bytes are garbled. */
#include <stdlib.h>
#include <string.h>

#include "disk/inside.h"

enum data { DATA_OLD, DATA_NEW, DATA_SOME, DATA_TORN };
enum size { SIZE_OLD, SIZE_NEW, SIZE_ANY };
enum entries { NAMES_OLD, NAMES_NEW, NAMES_SOME, NAMES_FIRST, NAMES_REMOVED, NAMES_MADE };

static const struct cut {
  const char *text;
  enum data data;
  enum size size;
  enum entries names;
} cuts[DISK_CUTS] = {
    {"nothing that was not synced", DATA_OLD, SIZE_OLD, NAMES_OLD},
    {"everything", DATA_NEW, SIZE_NEW, NAMES_NEW},
    {"names alone", DATA_OLD, SIZE_OLD, NAMES_NEW},
    {"names and sizes", DATA_OLD, SIZE_NEW, NAMES_NEW},
    {"bytes alone", DATA_NEW, SIZE_NEW, NAMES_OLD},
    {"removed names alone", DATA_OLD, SIZE_OLD, NAMES_REMOVED},
    {"bytes and removed names", DATA_NEW, SIZE_NEW, NAMES_REMOVED},
    {"bytes and made names", DATA_NEW, SIZE_NEW, NAMES_MADE},
    {"bytes and the first names", DATA_NEW, SIZE_NEW, NAMES_FIRST},
    {"sectors and all names", DATA_SOME, SIZE_NEW, NAMES_NEW},
    {"sectors, sizes and names", DATA_SOME, SIZE_ANY, NAMES_SOME},
    {"torn sectors and all names", DATA_TORN, SIZE_NEW, NAMES_NEW},
    {"torn sectors, sizes and names", DATA_TORN, SIZE_ANY, NAMES_SOME},
};

const char *disk_cut_text(unsigned kind) { return cuts[kind].text; }

/* ------------------------------------------------------------------ bytes */

static void choose_sector(struct disk *d, enum data data, uint8_t *old, const uint8_t *new, uint64_t size) {
  uint64_t choice = data == DATA_OLD ? 0 : data == DATA_NEW ? 1 : disk_draw(d) % (data == DATA_TORN ? 4 : 2);
  if (choice == 1) memcpy(old, new, size);
  if (choice < 2) return;
  uint64_t half = disk_draw(d) % size; /* garbled: a part of the new bytes, or nonsense */
  for (uint64_t i = 0; i < size; i++)
    if (old[i] != new[i]) old[i] = choice == 3 ? (uint8_t)disk_draw(d) : i < half ? new[i] : old[i];
}

static void cut_bytes(struct disk *d, struct node *n, const struct cut *cut) {
  if (!n->dirty && !n->lost) return;
  struct image *now = &n->now, *safe = &n->safe;
  bool grown = cut->size == SIZE_NEW || (cut->size == SIZE_ANY && disk_draw(d) % 2);
  uint64_t size = grown ? now->size : safe->size;
  uint64_t all = now->stored > safe->stored ? now->stored : safe->stored;
  uint8_t *old = disk_must(malloc(all + 1)), *new = disk_must(malloc(all + 1));
  image_get(safe, old, all, 0);
  image_get(now, new, all, 0);
  for (uint64_t at = 0; at < all; at += SECTOR) {
    uint64_t part = all - at < SECTOR ? all - at : SECTOR;
    if (memcmp(old + at, new + at, part) != 0) choose_sector(d, cut->data, old + at, new + at, part);
  }
  image_cut(now, 0);
  image_put(now, old, all, 0);
  image_cut(now, size);
  free(old);
  free(new);
  image_copy(safe, now);
  n->dirty = n->lost = false;
}

/* ------------------------------------------------------------------ names */

static bool survives(struct disk *d, enum entries names, enum change_kind kind, bool before) {
  switch (names) {
  case NAMES_OLD:
    return false;
  case NAMES_NEW:
    return true;
  case NAMES_SOME:
    return disk_draw(d) % 2;
  case NAMES_FIRST:
    return before;
  case NAMES_REMOVED:
    return kind == CHANGE_REMOVED;
  default:
    return kind != CHANGE_REMOVED;
  }
}

/* What lay in a directory that is gone is gone with it. */
static void drop_orphans(struct names *names) {
  for (bool again = true; again;) {
    again = false;
    for (size_t i = names->count; i-- > 0;)
      if (!has_parent(names, names->name[i].path)) {
        name_drop(names, i);
        again = true;
      }
  }
}

static void copy_names(struct names *to, const struct names *from) {
  while (to->count) name_drop(to, to->count - 1);
  for (size_t i = 0; i < from->count; i++) name_add(to, from->name[i].path, from->name[i].node);
}

void disk_cut(struct disk *d, unsigned kind) {
  const struct cut *cut = &cuts[kind];
  size_t first = d->changes ? disk_draw(d) % (d->changes + 1) : 0;
  for (size_t i = 0; i < d->changes; i++)
    if (survives(d, cut->names, d->change[i].kind, i < first)) apply_change(&d->safe, &d->change[i]);
  changes_forget(d);
  drop_orphans(&d->safe);
  copy_names(&d->now, &d->safe);
  for (size_t i = 0; i < d->now.count; i++) cut_bytes(d, d->now.name[i].node, cut);
}

/* ------------------------------------------------------------------ a copy */

static struct node *copy_node(struct node *n) {
  if (n->copy) return n->copy;
  struct node *c = node_new(n->directory);
  image_copy(&c->now, &n->now);
  image_copy(&c->safe, &n->safe);
  c->dirty_from = n->dirty_from;
  c->dirty_to = n->dirty_to;
  c->dirty = n->dirty;
  c->lost = n->lost;
  return n->copy = c;
}

static void copy_all(struct names *to, const struct names *from) {
  for (size_t i = 0; i < from->count; i++) name_add(to, from->name[i].path, copy_node(from->name[i].node));
}

struct disk *disk_copy(const struct disk *d, uint64_t seed) {
  struct disk *copy = disk_new(seed);
  copy->time = d->time;
  copy->monotonic = d->monotonic;
  copy_all(&copy->now, &d->now);
  copy_all(&copy->safe, &d->safe);
  for (size_t i = 0; i < d->changes; i++) {
    const struct change *c = &d->change[i];
    note_change(copy, c->kind, c->path, c->to, copy_node(c->node));
  }
  for (size_t i = 0; i < d->now.count; i++) d->now.name[i].node->copy = NULL;
  for (size_t i = 0; i < d->safe.count; i++) d->safe.name[i].node->copy = NULL;
  for (size_t i = 0; i < d->changes; i++) d->change[i].node->copy = NULL;
  return copy;
}
