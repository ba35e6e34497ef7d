/* intern.c - texts as numbers; see intern.h. Open addressing with linear probing, at most half full. */
#include "aggregate/intern.h"

#include <string.h>

#include "aggregate/grow.h"
#include "base/hash.h"
#include "base/status.h"

static const char what[] = "set of metadata texts";

void intern_init(struct intern *intern, struct budget *budget) {
  *intern = (struct intern){.budget = budget};
}

void intern_free(struct intern *intern) {
  if (!intern->budget) return;
  grow_free(intern->budget, intern->slots, intern->slot_count * sizeof *intern->slots);
  grow_free(intern->budget, intern->at, intern->at_capacity * sizeof *intern->at);
  grow_free(intern->budget, intern->bytes, intern->bytes_capacity);
  intern_init(intern, intern->budget);
}

tally_text intern_text(const struct intern *intern, uint32_t id) {
  uint64_t at = intern->at[id - 1];
  return (tally_text){intern->bytes + at, (size_t)(intern->at[id] - at)};
}

static void place(struct intern_slot *slots, size_t mask, uint64_t hash, uint32_t id) {
  size_t i = (size_t)hash & mask;
  while (slots[i].id) i = (i + 1) & mask;
  slots[i] = (struct intern_slot){(uint32_t)(hash >> 32), id};
}

static int grow_slots(struct intern *intern, tally_error *error) {
  size_t count = intern->slot_count ? intern->slot_count * 2 : 1024;
  struct intern_slot *slots = grow_zeroed(intern->budget, count * sizeof *slots, what, error);
  if (!slots) return error->code;
  for (uint32_t id = 1; id <= intern->count; id++) {
    tally_text text = intern_text(intern, id);
    place(slots, count - 1, hash64(text.data, text.size), id);
  }
  grow_free(intern->budget, intern->slots, intern->slot_count * sizeof *intern->slots);
  intern->slots = slots;
  intern->slot_count = count;
  return 0;
}

static int reserve(struct intern *intern, size_t size, tally_error *error) {
  if (intern->count == UINT32_MAX - 1) return grow_fail(intern->budget, what, error);
  if ((size_t)intern->count + 1 > intern->slot_count / 2) {
    int rc = grow_slots(intern, error);
    if (rc) return rc;
  }
  if ((size_t)intern->count + 2 > intern->at_capacity) {
    size_t room = intern->at_capacity ? intern->at_capacity * 2 : 512;
    void *p =
        grow_array(intern->budget, intern->at, intern->at_capacity, room, sizeof *intern->at, what, error);
    if (!p) return error->code;
    if (!intern->at) *(uint64_t *)p = 0;
    intern->at = p;
    intern->at_capacity = room;
  }
  size_t need = (size_t)intern->at[intern->count] + size;
  if (need <= intern->bytes_capacity && intern->bytes) return 0;
  size_t room = need + need / 2 + 4096;
  void *p = grow_memory(intern->budget, intern->bytes, intern->bytes_capacity, room, what, error);
  if (!p) return error->code;
  intern->bytes = p;
  intern->bytes_capacity = room;
  return 0;
}

/* The id of a text that is there, or 0. */
static uint32_t find(const struct intern *intern, uint64_t hash, const char *text, size_t size) {
  if (!intern->slot_count) return 0;
  size_t mask = intern->slot_count - 1;
  for (size_t i = (size_t)hash & mask; intern->slots[i].id; i = (i + 1) & mask) {
    if (intern->slots[i].tag != (uint32_t)(hash >> 32)) continue;
    tally_text known = intern_text(intern, intern->slots[i].id);
    if (known.size == size && memcmp(known.data, text, size) == 0) return intern->slots[i].id;
  }
  return 0;
}

int intern_add(struct intern *intern, const char *text, size_t size, uint32_t *id, tally_error *error) {
  uint64_t hash = hash64(text, size);
  *id = find(intern, hash, text, size);
  if (*id) return 0;
  int rc = reserve(intern, size, error);
  if (rc) return rc;
  uint64_t at = intern->at[intern->count];
  if (size) memcpy(intern->bytes + at, text, size);
  *id = ++intern->count;
  intern->at[*id] = at + size;
  place(intern->slots, intern->slot_count - 1, hash, *id);
  return 0;
}
