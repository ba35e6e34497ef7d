/* catalog.c - fuzzes opening a catalog: its texts are found under their ids, and are the same when the file
 * is written anew. */
#include <stdlib.h>

#include "base/mem.h"
#include "catalog/catalog.h"
#include "catalog/format.h"
#include "disk/disk.h"
#include "fuzz/fuzz.h"

#define STORE "/s"

static void put_file(struct disk *disk, const uint8_t *data, size_t size) {
  const struct os *os = disk_os(disk);
  struct os_file *file;
  if (os->mkdir(os, STORE) || os->open(os, STORE "/" CATALOG_FILE, OS_CREATE, &file) ||
      os->write(os, file, data, size, 0))
    abort();
  os->close(os, file);
}

#define BLOCKS 64u

static size_t find_blocks(const uint8_t *data, size_t size, size_t at[BLOCKS + 1]) {
  size_t n = 0, offset = CATALOG_HEADER;
  at[0] = offset;
  while (n < BLOCKS && offset + CATALOG_BLOCK_HEADER + CATALOG_TRAILER <= size) {
    uint32_t payload = load32(data + offset + 16);
    if (payload > size - offset - CATALOG_BLOCK_HEADER - CATALOG_TRAILER) break;
    at[++n] = offset += CATALOG_BLOCK_HEADER + (size_t)payload + CATALOG_TRAILER;
  }
  return n;
}

static void same_texts(const struct catalog *a, const struct catalog *b, int domain, uint32_t without) {
  for (int d = 0; d < DOMAINS; d++) {
    require(catalog_count(a, d) == catalog_count(b, d), "domain %d has as many texts", d);
    for (uint32_t id = 1; id <= catalog_count(a, d); id++) {
      tally_text x = catalog_text(a, d, id), y = catalog_text(b, d, id);
      if (d == domain && id == without) continue;
      require(x.size == y.size && memcmp(x.data, y.data, x.size) == 0, "text %u of domain %d is the same", id,
              d);
    }
  }
}

/* The first text that is there is erased; what is read then is the rest. */
static void write_anew(struct disk *disk, struct catalog *c, const uint32_t count[DOMAINS],
                       struct budget *budget) {
  struct catalog *again;
  tally_error e = {0};
  for (int d = 0; d < DOMAINS; d++)
    for (uint32_t id = 1; id <= count[d]; id++) {
      tally_text t = catalog_text(c, d, id);
      if (catalog_find(c, d, t.data, t.size) != id) continue;
      require(catalog_erase(c, d, id, &e) == 0, "%s", e.text);
      require(catalog_find(c, d, t.data, t.size) == CATALOG_NONE, "an erased text has no id");
      require(catalog_open(disk_os(disk), STORE, count, budget, &again, &e) == 0, "written anew: %s", e.text);
      same_texts(c, again, d, id);
      catalog_close(again);
      return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  size_t at[BLOCKS + 1], n = find_blocks(data, size, at);
  uint32_t count[DOMAINS] = {0}, texts = 0;
  for (size_t i = 0; i < n; i++) {
    count[data[at[i] + 6] % DOMAINS] += load32(data + at[i] + 12) % (2 * CATALOG_BLOCK_TEXTS);
    texts += load32(data + at[i] + 12) % (2 * CATALOG_BLOCK_TEXTS);
  }
  struct disk *disk = disk_new(1);
  struct budget budget;
  struct catalog *c;
  tally_error e = {0};
  put_file(disk, data, size);
  fuzz_budget(&budget);
  fuzz_bound(2 * CATALOG_BLOCK_BYTES, 0, size); /* of a block's texts; a buffer may have twice the room */
  int result = catalog_open(disk_os(disk), STORE, count, &budget, &c, &e);
  require(!result || result == TALLY_CORRUPT || result == TALLY_VERSION, "%d: %s", result, e.text);
  if (!result) {
    for (int d = 0; d < DOMAINS; d++)
      for (uint32_t id = 1; id <= catalog_count(c, d); id++) {
        tally_text t = catalog_text(c, d, id);
        uint32_t there = catalog_find(c, d, t.data, t.size);
        require(there == id || there == CATALOG_NONE || t.size == 0 /* an erased one looks empty */,
                "text %u of domain %d is found as %u", id, d, there);
      }
    if (texts) write_anew(disk, c, count, &budget);
    catalog_close(c);
  }
  fuzz_unbound();
  fuzz_budget_end(&budget);
  disk_free(disk);
  return 0;
}

static void seal(uint8_t *data, size_t size, bool count) {
  size_t at[BLOCKS + 1], n = find_blocks(data, size, at);
  uint32_t next[DOMAINS] = {1, 1, 1, 1};
  for (size_t i = 0; i < n; i++) {
    uint8_t *p = data + at[i];
    size_t body = at[i + 1] - at[i] - CATALOG_TRAILER;
    if (count) {
      store32(p + 8, next[p[6] % DOMAINS]);
      next[p[6] % DOMAINS] += load32(p + 12);
    }
    struct digest d = digest_of(p, body, at[i]);
    memcpy(p + body, d.bytes, sizeof d.bytes);
  }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed) {
  size_t at[BLOCKS + 1], n = size < CATALOG_HEADER ? 0 : find_blocks(data, size, at);
  uint32_t what = fuzz_draw(&seed, 8);
  size_t i = n ? fuzz_draw(&seed, (uint32_t)n) : 0;
  if (n == 0 || what == 0) {
    size = LLVMFuzzerMutate(data, size, max);
  } else if (what == 1) {
    (void)fuzz_repeat(data, &size, max, at[i], at[i + 1]);
  } else if (what == 2) {
    fuzz_cut(data, &size, at[i], at[i + 1]);
  } else if (what == 3) {
    (void)fuzz_mutate(data, &size, max, at[i] + 4, at[i] + 16, true);
  } else {
    size_t end =
        fuzz_mutate(data, &size, max, at[i] + CATALOG_BLOCK_HEADER, at[i + 1] - CATALOG_TRAILER, false);
    store32(data + at[i] + 16, (uint32_t)(end - at[i] - CATALOG_BLOCK_HEADER));
  }
  if (fuzz_draw(&seed, 16)) seal(data, size, fuzz_draw(&seed, 8) != 0);
  return size;
}
