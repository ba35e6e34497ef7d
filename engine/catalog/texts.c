/* texts.c - a domain's dictionary in memory; see texts.h. Open addressing with linear probing, at most
 * 3/4 full; the stored hash is enough to grow the table without the texts. */
#include "catalog/texts.h"

#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"

#define ARENA_BLOCK 65536u
#define ERASED UINT16_MAX /* in the place of a size */

static int take(struct dictionary *d, uint64_t bytes, tally_error *error) {
  if (!budget_take(d->budget, bytes))
    return fail(
        error, TALLY_MEMORY_LIMIT,
        "the catalog of distinct texts has reached its share of the memory budget: raise --memory, or keep "
        "unbounded values (request ids, full URLs) in metadata instead of user_id, service_name, endpoint or "
        "method");
  d->taken += bytes;
  return 0;
}

static void give(struct dictionary *d, uint64_t bytes) {
  budget_give(d->budget, bytes);
  d->taken -= bytes;
}

int texts_init(struct dictionary *d, struct budget *budget, tally_error *error) {
  *d = (struct dictionary){.budget = budget, .mask = 255};
  atomic_init(&d->count, 0);
  os_mutex_init(&d->lock);
  d->page = mem_zalloc(PAGES, sizeof *d->page); /* pages of it that are not touched cost nothing */
  d->slot = mem_zalloc(d->mask + 1, sizeof *d->slot);
  if (!d->page || !d->slot) return fail_memory(error, "the catalog");
  return 0;
}

void texts_free(struct dictionary *d) {
  if (d->page)
    for (size_t i = 0; i < PAGES && d->page[i]; i++) mem_free((void *)d->page[i]);
  mem_free((void *)d->page);
  mem_free(d->slot);
  for (size_t i = 0; i < d->block_count; i++) mem_free(d->blocks[i]);
  mem_free((void *)d->blocks);
  if (d->budget) {
    budget_give(d->budget, d->taken);
    os_mutex_destroy(&d->lock);
  }
}

tally_text texts_text(const struct dictionary *d, uint32_t id) {
  const char *stored = *texts_place(d, id);
  uint16_t size = load16(stored);
  return (tally_text){stored + 2, size == ERASED ? 0 : size};
}

uint32_t texts_find(const struct dictionary *d, uint32_t hash, const char *text, size_t size) {
  for (uint32_t i = hash & d->mask; d->slot[i].id; i = (i + 1) & d->mask) {
    if (d->slot[i].hash != hash) continue;
    tally_text t = texts_text(d, d->slot[i].id);
    if (t.size == size && same_few(t.data, text, size)) return d->slot[i].id;
  }
  return 0;
}

static int grow(struct dictionary *d, tally_error *error) {
  uint64_t slots = ((uint64_t)d->mask + 1) * 2, bytes = slots * sizeof(struct slot);
  if (slots > (uint64_t)1 << 31) return fail(error, TALLY_MEMORY_LIMIT, "the catalog is full");
  int result = take(d, bytes, error);
  if (result) return result;
  struct slot *bigger = mem_zalloc((size_t)slots, sizeof *bigger);
  if (!bigger) {
    give(d, bytes);
    return fail_memory(error, "the catalog");
  }
  uint32_t mask = (uint32_t)(slots - 1);
  for (uint32_t i = 0; i <= d->mask; i++) {
    if (!d->slot[i].id) continue;
    uint32_t k = d->slot[i].hash & mask;
    while (bigger[k].id) k = (k + 1) & mask;
    bigger[k] = d->slot[i];
  }
  os_lock(&d->lock);
  struct slot *old = d->slot;
  uint64_t old_bytes = ((uint64_t)d->mask + 1) * sizeof *old;
  d->slot = bigger;
  d->mask = mask;
  os_unlock(&d->lock);
  mem_free(old);
  if (old_bytes > 256 * sizeof *old) give(d, old_bytes); /* the first table was not taken */
  return 0;
}

/* Copies a text into the arena: u16 size and the bytes. */
static int store(struct dictionary *d, const char *text, size_t size, char **stored, tally_error *error) {
  size_t need = size + 2;
  if (need > d->block_left) {
    int result = take(d, ARENA_BLOCK, error);
    if (result) return result;
    char **blocks = mem_realloc_array((void *)d->blocks, d->block_count + 1, sizeof *blocks);
    if (blocks) d->blocks = blocks;
    char *block = blocks ? mem_alloc(ARENA_BLOCK) : NULL;
    if (!block) {
      give(d, ARENA_BLOCK);
      return fail_memory(error, "the catalog");
    }
    d->blocks[d->block_count++] = block;
    d->block = block;
    d->block_left = ARENA_BLOCK;
  }
  store16(d->block, (uint16_t)size);
  memcpy(d->block + 2, text, size);
  *stored = d->block;
  d->block += need;
  d->block_left -= need;
  return 0;
}

static int make_page(struct dictionary *d, uint32_t number, tally_error *error) {
  if (number >= PAGES) return fail(error, TALLY_MEMORY_LIMIT, "the catalog is full");
  if (d->page[number]) return 0;
  int result = take(d, PAGE_IDS * sizeof(char *), error);
  if (result) return result;
  d->page[number] = mem_zalloc(PAGE_IDS, sizeof(char *));
  if (d->page[number]) return 0;
  give(d, PAGE_IDS * sizeof(char *));
  return fail_memory(error, "the catalog");
}

/* Keeps a text, or ERASED, under the next id. */
static int put_text(struct dictionary *d, const char *text, size_t size, tally_error *error) {
  uint32_t count = atomic_load(&d->count);
  char *stored = NULL;
  int result = make_page(d, count / PAGE_IDS, error);
  if (!result) result = store(d, text, size, &stored, error);
  if (!result) d->page[count / PAGE_IDS][count % PAGE_IDS] = stored;
  return result;
}

int texts_add(struct dictionary *d, uint32_t hash, const char *text, size_t size, uint32_t *id,
              tally_error *error) {
  uint32_t count = atomic_load(&d->count);
  int result = 0;
  if ((uint64_t)(count + 1) * 4 > ((uint64_t)d->mask + 1) * 3) result = grow(d, error);
  if (!result) result = put_text(d, text, size, error);
  if (result) return result;
  os_lock(&d->lock);
  uint32_t i = hash & d->mask;
  while (d->slot[i].id) i = (i + 1) & d->mask;
  d->slot[i] = (struct slot){hash, count + 1};
  atomic_store(&d->count, count + 1);
  os_unlock(&d->lock);
  *id = count + 1;
  return 0;
}

int texts_add_erased(struct dictionary *d, tally_error *error) {
  int result = put_text(d, "", 0, error);
  if (result) return result;
  uint32_t count = atomic_load(&d->count);
  store16(d->page[count / PAGE_IDS][count % PAGE_IDS], ERASED);
  atomic_store(&d->count, count + 1);
  return 0;
}

bool texts_erased(const struct dictionary *d, uint32_t id) {
  return load16(d->page[(id - 1) / PAGE_IDS][(id - 1) % PAGE_IDS]) == ERASED;
}

/* Takes the slot out; those behind it that were pushed on move up (Knuth, TAOCP 3, 6.4, algorithm R). */
static void remove_slot(struct dictionary *d, uint32_t hash, uint32_t id) {
  uint32_t i = hash & d->mask;
  while (d->slot[i].id && d->slot[i].id != id) i = (i + 1) & d->mask;
  if (!d->slot[i].id) return;
  for (uint32_t k = (i + 1) & d->mask; d->slot[k].id; k = (k + 1) & d->mask) {
    uint32_t home = d->slot[k].hash & d->mask;
    if (((k - home) & d->mask) < ((k - i) & d->mask)) continue; /* it stands between its home and i */
    d->slot[i] = d->slot[k];
    i = k;
  }
  d->slot[i] = (struct slot){0, 0};
}

void texts_forget(struct dictionary *d, uint32_t id) {
  tally_text t = texts_text(d, id);
  os_lock(&d->lock);
  remove_slot(d, text_hash(hash64(t.data, t.size)), id);
  os_unlock(&d->lock);
}

void texts_scrub(struct dictionary *d, uint32_t id) {
  char *stored = d->page[(id - 1) / PAGE_IDS][(id - 1) % PAGE_IDS];
  memset(stored + 2, 0, texts_text(d, id).size);
  store16(stored, ERASED);
}
