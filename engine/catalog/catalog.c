/* catalog.c - four dictionaries and their file; see catalog.h and format.h. */
#include "catalog/catalog.h"

#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/status.h"
#include "catalog/format.h"
#include "catalog/texts.h"
#include "encoding/texts.h"

struct catalog {
  const struct os *os;
  struct dictionary dictionary[DOMAINS];
  struct os_file *file;
  char *path;
  _Atomic uint64_t size; /* of the file: header and whole blocks; others ask for it while the writer writes */
  struct buffer block, texts;
  struct ints_scratch scratch;
};

uint32_t catalog_count(const struct catalog *c, int domain) {
  return atomic_load(&c->dictionary[domain].count);
}
tally_text catalog_text(const struct catalog *c, int domain, uint32_t id) {
  return texts_text(&c->dictionary[domain], id);
}
void catalog_expect_place(const struct catalog *c, int domain, uint32_t id) {
  texts_expect_place(&c->dictionary[domain], id);
}
void catalog_expect_text(const struct catalog *c, int domain, uint32_t id) {
  texts_expect_text(&c->dictionary[domain], id);
}
uint64_t catalog_file_size(const struct catalog *c) { return c->size; }

uint32_t catalog_find(struct catalog *c, int domain, const char *text, size_t size) {
  struct dictionary *d = &c->dictionary[domain];
  uint32_t hash = text_hash(hash64(text, size));
  os_lock(&d->lock);
  uint32_t id = texts_find(d, hash, text, size);
  os_unlock(&d->lock);
  return id ? id : CATALOG_NONE;
}

/* Texts on their way through intern. Each step of one asks for what its next step reads, and other texts have
 * their steps in between, so that the misses overlap: its slot, the place of the text that is likely found
 * there, that text. */
#define AHEAD 16u /* texts from one step to the next */
#define STEPS 3u
#define UNDER_WAY 64u
_Static_assert(UNDER_WAY > STEPS * AHEAD, "a text keeps its place until its last step");

struct under_way {
  const char *text;
  size_t size;
  uint32_t hash, likely;
};

static void expect_slot(const struct dictionary *d, struct under_way *t, const char *text, size_t size) {
  *t = (struct under_way){text, size, text_hash(hash64(text, size)), 0};
  __builtin_prefetch(&d->slot[t->hash & d->mask]);
}

static void expect_place(const struct dictionary *d, struct under_way *t) {
  t->likely = texts_likely(d, t->hash);
  if (t->likely) texts_expect_place(d, t->likely);
}

static void expect_text(const struct dictionary *d, const struct under_way *t) {
  if (t->likely) texts_expect_text(d, t->likely);
}

static int find_or_add(struct dictionary *d, const struct under_way *t, uint32_t *id, tally_error *error) {
  *id = texts_find(d, t->hash, t->text, t->size);
  return *id ? 0 : texts_add(d, t->hash, t->text, t->size, id, error);
}

int catalog_intern(struct catalog *c, int domain, uint32_t count, const uint8_t *sizes, const char *texts,
                   uint32_t *ids, tally_error *error) {
  struct dictionary *d = &c->dictionary[domain];
  struct under_way way[UNDER_WAY];
  int result = 0;
  for (uint64_t i = 0; i < (uint64_t)count + STEPS * AHEAD && !result; i++) {
    if (i < count) {
      size_t size = load16(sizes + 2 * i);
      expect_slot(d, &way[i % UNDER_WAY], texts, size);
      texts += size;
    }
    uint64_t second = i - AHEAD, third = second - AHEAD,
             last = third - AHEAD; /* before the first: beyond all */
    if (second < count) expect_place(d, &way[second % UNDER_WAY]);
    if (third < count) expect_text(d, &way[third % UNDER_WAY]);
    if (last < count) result = find_or_add(d, &way[last % UNDER_WAY], &ids[last], error);
  }
  return result;
}

/* ------------------------------------------------------------------ the file */

struct block_head {
  uint8_t domain;
  uint32_t first, count, payload;
};

static bool parse_head(const uint8_t *p, struct block_head *h) {
  *h = (struct block_head){p[6], load32(p + 8), load32(p + 12), load32(p + 16)};
  return load32(p) == CATALOG_BLOCK_MAGIC && p[4] == 0 && p[5] == CATALOG_TRAILER && p[6] < DOMAINS &&
         p[7] == 0 && h->count >= 1 && h->count <= CATALOG_BLOCK_TEXTS &&
         h->payload <= CATALOG_BLOCK_BYTES + (1u << 16);
}

/* Reads and verifies the block at `offset` into c->block; *next is where the next one starts. */
static int read_block(struct catalog *c, uint64_t offset, struct block_head *head, uint64_t *next,
                      tally_error *error) {
  buffer_clear(&c->block);
  size_t got = 0;
  uint8_t *p = buffer_add(&c->block, CATALOG_BLOCK_HEADER);
  if (!p) return fail_memory(error, "a catalog block");
  int number = c->os->read(c->os, c->file, p, CATALOG_BLOCK_HEADER, offset, &got);
  if (number) return os_fail(error, number, "read", c->path);
  if (got < CATALOG_BLOCK_HEADER)
    return fail_corrupt(error, c->path, offset, "catalog block header is whole");
  if (!parse_head(p, head)) return fail_corrupt(error, c->path, offset, "catalog block header is one");
  size_t rest = (size_t)head->payload + CATALOG_TRAILER;
  p = buffer_add(&c->block, rest);
  if (!p) return fail_memory(error, "a catalog block");
  number = c->os->read(c->os, c->file, p, rest, offset + CATALOG_BLOCK_HEADER, &got);
  if (number) return os_fail(error, number, "read", c->path);
  if (got < rest) return fail_corrupt(error, c->path, offset, "catalog block is whole");
  size_t size = CATALOG_BLOCK_HEADER + (size_t)head->payload;
  struct digest digest = digest_of(c->block.data, size, offset);
  if (!digest_equal(&digest, c->block.data + size))
    return fail_corrupt(error, c->path, offset, "catalog block checksum");
  *next = offset + size + CATALOG_TRAILER;
  return 0;
}

static int load_block(struct catalog *c, const struct block_head *head, uint64_t offset, tally_error *error) {
  struct dictionary *d = &c->dictionary[head->domain];
  if (head->first != atomic_load(&d->count) + 1)
    return fail_corrupt(error, c->path, offset, "catalog ids follow each other");
  uint64_t at[CATALOG_BLOCK_TEXTS + 1];
  if (!texts_decode(c->block.data + CATALOG_BLOCK_HEADER, head->payload, head->count, CATALOG_BLOCK_BYTES, at,
                    &c->texts, &c->scratch))
    return c->texts.failed ? fail_memory(error, "a catalog block")
                           : fail_corrupt(error, c->path, offset, "catalog texts decode");
  for (uint32_t i = 0; i < head->count; i++) {
    const char *text = (const char *)c->texts.data + at[i];
    size_t size = (size_t)(at[i + 1] - at[i]);
    if (size >= UINT16_MAX) return fail_corrupt(error, c->path, offset, "catalog text size");
    if (size == 1 && text[0] == CATALOG_ERASED) {
      int result = texts_add_erased(d, error);
      if (result) return result;
      continue;
    }
    uint32_t id, hash = text_hash(hash64(text, size));
    if (texts_find(d, hash, text, size))
      return fail_corrupt(error, c->path, offset, "catalog texts are distinct");
    int result = texts_add(d, hash, text, size, &id, error);
    if (result) return result;
  }
  d->persisted = atomic_load(&d->count);
  return 0;
}

static bool loaded(const struct catalog *c, const uint32_t count[DOMAINS]) {
  for (int d = 0; d < DOMAINS; d++)
    if (catalog_count(c, d) < count[d]) return false;
  return true;
}

static int load_all(struct catalog *c, const uint32_t count[DOMAINS], tally_error *error) {
  uint64_t offset = CATALOG_HEADER;
  while (!loaded(c, count)) {
    struct block_head head;
    uint64_t next;
    int result = read_block(c, offset, &head, &next, error);
    if (!result) result = load_block(c, &head, offset, error);
    if (result) return result;
    offset = next;
  }
  for (int d = 0; d < DOMAINS; d++)
    if (catalog_count(c, d) != count[d])
      return fail_corrupt(error, c->path, offset, "catalog holds what the manifest published");
  c->size = offset;
  int number = c->os->truncate(c->os, c->file, offset);
  return number ? os_fail(error, number, "cut", c->path) : 0;
}

static int write_header(struct catalog *c, tally_error *error) {
  uint8_t header[CATALOG_HEADER] = {0};
  store32(header, CATALOG_MAGIC);
  store16(header + 4, CATALOG_VERSION);
  c->size = CATALOG_HEADER;
  int number = c->os->write(c->os, c->file, header, sizeof header, 0);
  return number ? os_fail(error, number, "write", c->path) : 0;
}

static int create_file(struct catalog *c, const char *directory, tally_error *error) {
  int number = c->os->open(c->os, c->path, OS_CREATE, &c->file);
  if (number) return os_fail(error, number, "create", c->path);
  int result = write_header(c, error);
  if (result) return result;
  number = c->os->sync(c->os, c->file);
  if (!number) number = c->os->sync_directory(c->os, directory);
  return number ? os_fail(error, number, "write", c->path) : 0;
}

static int check_header(struct catalog *c, tally_error *error) {
  uint8_t header[CATALOG_HEADER];
  size_t got = 0;
  int number = c->os->read(c->os, c->file, header, sizeof header, 0, &got);
  if (number) return os_fail(error, number, "read", c->path);
  if (got < sizeof header || load32(header) != CATALOG_MAGIC || load16(header + 6) || load64(header + 8))
    return fail_corrupt(error, c->path, 0, "catalog header");
  if (load16(header + 4) != CATALOG_VERSION)
    return fail(error, TALLY_VERSION,
                "%s has format version %u, this program reads %u: use the version that wrote it", c->path,
                load16(header + 4), CATALOG_VERSION);
  return 0;
}

/* A file that holds nothing published yet may be torn by a crash while it was made: it is made again. */
static int open_file(struct catalog *c, const char *directory, const uint32_t count[DOMAINS],
                     tally_error *error) {
  bool empty = true;
  for (int d = 0; d < DOMAINS; d++) empty = empty && count[d] == 0;
  if (empty) {
    int number = c->os->unlink(c->os, c->path);
    if (number && os_fail(error, number, "replace", c->path) != TALLY_NOT_FOUND) return error->code;
    return create_file(c, directory, error);
  }
  int number = c->os->open(c->os, c->path, OS_WRITE, &c->file);
  if (number) return os_fail(error, number, "open", c->path);
  int result = check_header(c, error);
  return result ? result : load_all(c, count, error);
}

int catalog_open(const struct os *os, const char *path, const uint32_t count[DOMAINS], struct budget *budget,
                 struct catalog **catalog, tally_error *error) {
  struct catalog *c = mem_zalloc(1, sizeof *c);
  if (!c) return fail_memory(error, "the catalog");
  c->os = os;
  c->path = mem_path(path, CATALOG_FILE);
  int result = c->path ? 0 : fail_memory(error, "the catalog");
  for (int d = 0; d < DOMAINS && !result; d++) result = texts_init(&c->dictionary[d], budget, error);
  if (!result) result = open_file(c, path, count, error);
  if (result) {
    catalog_close(c);
    return result;
  }
  *catalog = c;
  return 0;
}

void catalog_close(struct catalog *c) {
  if (!c) return;
  if (c->file) c->os->close(c->os, c->file);
  for (int d = 0; d < DOMAINS; d++) texts_free(&c->dictionary[d]);
  buffer_free(&c->block);
  buffer_free(&c->texts);
  ints_scratch_free(&c->scratch);
  mem_free(c->path);
  mem_free(c);
}

/* Appends the block of ids [first, first + count) of a domain at c->size. `erased` is an id of the domain
 * whose text is left out too, 0: none. */
static int write_block(struct catalog *c, int domain, uint32_t first, uint32_t count, uint32_t erased,
                       tally_error *error) {
  static const char mark = CATALOG_ERASED;
  uint64_t at[CATALOG_BLOCK_TEXTS + 1] = {0};
  buffer_clear(&c->texts);
  for (uint32_t i = 0; i < count; i++) {
    tally_text t = catalog_text(c, domain, first + i);
    if (first + i == erased || texts_erased(&c->dictionary[domain], first + i)) t = (tally_text){&mark, 1};
    buffer_append(&c->texts, t.data, t.size);
    at[i + 1] = c->texts.size;
  }
  struct buffer *b = &c->block;
  buffer_clear(b);
  write32(b, CATALOG_BLOCK_MAGIC);
  write8(b, 0);
  write8(b, CATALOG_TRAILER);
  write8(b, (uint8_t)domain);
  write8(b, 0);
  write32(b, first);
  write32(b, count);
  write32(b, 0);
  if (!c->texts.failed) texts_encode(at, count, (const char *)c->texts.data, b, &c->scratch);
  if (b->failed || c->texts.failed) return fail_memory(error, "a catalog block");
  store32(b->data + 16, (uint32_t)(b->size - CATALOG_BLOCK_HEADER));
  struct digest digest = digest_of(b->data, b->size, c->size);
  buffer_append(b, digest.bytes, sizeof digest.bytes);
  if (b->failed) return fail_memory(error, "a catalog block");
  int number = c->os->write(c->os, c->file, b->data, b->size, c->size);
  if (number) return os_fail(error, number, "write", c->path);
  c->size += b->size;
  return 0;
}

/* Appends the texts of ids [first, count] of a domain. */
static int write_texts(struct catalog *c, int domain, uint32_t first, uint32_t count, uint32_t erased,
                       tally_error *error) {
  int result = 0;
  for (uint32_t id = first - 1; id < count && !result;) {
    uint32_t n = count - id < CATALOG_BLOCK_TEXTS ? count - id : CATALOG_BLOCK_TEXTS;
    result = write_block(c, domain, id + 1, n, erased, error);
    id += n;
  }
  return result;
}

int catalog_persist(struct catalog *c, uint32_t count[DOMAINS], tally_error *error) {
  uint64_t size = c->size;
  int result = 0;
  for (int d = 0; d < DOMAINS; d++) count[d] = catalog_count(c, d);
  for (int d = 0; d < DOMAINS && !result; d++)
    result = write_texts(c, d, c->dictionary[d].persisted + 1, count[d], 0, error);
  if (!result && c->size != size) {
    int number = c->os->sync(c->os, c->file);
    if (number) result = os_fail_sync(error, number, c->path);
  }
  if (result) {
    c->size = size; /* written again by the next try; beyond it nothing is published */
    return result;
  }
  for (int d = 0; d < DOMAINS; d++) c->dictionary[d].persisted = count[d];
  return 0;
}

/* Writes all that was persisted to c->file, which is new, but one text. */
static int write_anew(struct catalog *c, int domain, uint32_t erased, tally_error *error) {
  int result = write_header(c, error);
  for (int d = 0; d < DOMAINS && !result; d++)
    result = write_texts(c, d, 1, c->dictionary[d].persisted, d == domain ? erased : 0, error);
  int number = result ? 0 : c->os->sync(c->os, c->file);
  return number ? os_fail(error, number, "sync", c->path) : result;
}

static int replace_file(struct catalog *c, const char *path, const char *directory, int domain, uint32_t id,
                        tally_error *error) {
  struct os_file *old = c->file, *made = NULL;
  uint64_t old_size = c->size;
  (void)c->os->unlink(c->os, path); /* what a crash left */
  int number = c->os->open(c->os, path, OS_CREATE, &made);
  if (number) return os_fail(error, number, "create", path);
  c->file = made;
  int result = write_anew(c, domain, id, error);
  if (!result && (number = c->os->rename(c->os, path, c->path)) != 0)
    result = os_fail(error, number, "replace", c->path);
  if (result) {
    c->os->close(c->os, made);
    (void)c->os->unlink(c->os, path);
    c->file = old;
    c->size = old_size;
    return result;
  }
  c->os->close(c->os, old);
  number = c->os->sync_directory(c->os, directory);
  return number ? os_fail_sync(error, number, c->path) : 0; /* the new file is there, perhaps not for good */
}

int catalog_erase(struct catalog *c, int domain, uint32_t id, tally_error *error) {
  char *directory = mem_strndup(c->path, strlen(c->path) - strlen(CATALOG_FILE) - 1);
  char *path = directory ? mem_path(directory, CATALOG_TEMPORARY) : NULL;
  int result = path ? replace_file(c, path, directory, domain, id, error) : fail_memory(error, "the catalog");
  if (!result) texts_forget(&c->dictionary[domain], id);
  mem_free(path);
  mem_free(directory);
  return result;
}

void catalog_scrub(struct catalog *c, int domain, uint32_t id) { texts_scrub(&c->dictionary[domain], id); }

int catalog_check(const struct os *os, struct os_file *file, const char *path, const uint32_t count[DOMAINS],
                  uint64_t *end, struct pace *pace, tally_error *error) {
  struct catalog reader = {.os = os, .file = file, .path = (char *)(uintptr_t)path};
  uint32_t left[DOMAINS], texts = 0;
  uint64_t size = *end;
  int result = 0;
  for (int d = 0; d < DOMAINS; d++) texts |= left[d] = count ? count[d] : 0;
  *end = 0;
  if (size >= CATALOG_HEADER)
    result = check_header(&reader, error);
  else
    result = fail_corrupt(error, path, 0, "catalog file has a header");
  if (!result) *end = CATALOG_HEADER;
  while (!result && (count ? texts != 0 : *end < size)) {
    struct block_head head;
    uint64_t next = 0;
    result = read_block(&reader, *end, &head, &next, error);
    if (!result && next > size) result = fail_corrupt(error, path, *end, "catalog block ends in the file");
    if (!result && count && head.count > left[head.domain])
      result = fail_corrupt(error, path, *end, "catalog blocks hold what was published");
    if (!result) result = pace_take(pace, next - *end, error);
    if (result) break;
    *end = next;
    left[head.domain] -= count ? head.count : 0;
    texts = left[0] | left[1] | left[2] | left[3];
  }
  buffer_free(&reader.block);
  return result;
}
