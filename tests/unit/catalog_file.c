/* The laws of catalog/: ids are stable over a reopening, what was not published is forgotten, damage is
 * found, the budget holds. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/bytes.h"
#include "catalog/catalog.h"
#include "support/temporary.h"

static uint32_t intern(struct catalog *c, int domain, const char *text, size_t size) {
  uint8_t sizes[2];
  uint32_t id = 0;
  tally_error e;
  store16(sizes, (uint16_t)size);
  cr_assert_eq(catalog_intern(c, domain, 1, sizes, text, &id, &e), 0, "%s", e.text);
  return id;
}

static void expect(struct catalog *c, int domain, uint32_t id, const char *text) {
  tally_text t = catalog_text(c, domain, id);
  cr_assert(t.size == strlen(text) && memcmp(t.data, text, t.size) == 0);
  cr_assert_eq(catalog_find(c, domain, text, t.size), id);
}

Test(catalog, published_ids_survive_and_unpublished_ones_are_given_again) {
  struct temporary t = temporary_make();
  struct budget budget;
  budget_init(&budget, 64u << 20, NULL);
  struct catalog *c = NULL;
  tally_error e;
  uint32_t none[DOMAINS] = {0}, published[DOMAINS], later[DOMAINS];
  cr_assert_eq(catalog_open(os_posix(), t.path, none, &budget, &c, &e), 0, "%s", e.text);
  cr_assert_eq(intern(c, 1, "", 0), 1, "the empty text is a text");
  char text[64];
  for (uint32_t i = 0; i < 10000; i++) {
    int n = snprintf(text, sizeof text, "user_%08x", i * 2654435761u);
    cr_assert_eq(intern(c, 0, text, (size_t)n), i + 1);
  }
  for (uint32_t i = 0; i < 100; i++) {
    int n = snprintf(text, sizeof text, "user_%08x", i * 2654435761u);
    cr_assert_eq(intern(c, 0, text, (size_t)n), i + 1, "a text keeps its id");
  }
  cr_assert_eq(catalog_persist(c, published, &e), 0);
  cr_assert_eq(intern(c, 2, "unpublished", 11), 1);
  cr_assert_eq(catalog_persist(c, later, &e), 0);
  uint64_t size = catalog_file_size(c);
  catalog_close(c);
  cr_assert_eq(budget_used(&budget), 0, "every byte is given back");
  cr_assert_eq(catalog_open(os_posix(), t.path, published, &budget, &c, &e), 0, "%s", e.text);
  cr_assert_lt(catalog_file_size(c), size, "the unpublished block is cut off");
  expect(c, 0, 10000, text[0] ? (snprintf(text, sizeof text, "user_%08x", 9999 * 2654435761u), text) : "");
  expect(c, 1, 1, "");
  cr_assert_eq(catalog_find(c, 2, "unpublished", 11), CATALOG_NONE);
  cr_assert_eq(intern(c, 2, "another", 7), 1);
  catalog_close(c);
  later[0]++;
  cr_assert_eq(catalog_open(os_posix(), t.path, later, &budget, &c, &e), TALLY_CORRUPT,
               "fewer texts than published are damage");
  temporary_remove(&t);
}

static int check_file(const char *path, uint64_t size, const uint32_t *count, tally_error *e) {
  struct os_file *file;
  cr_assert_eq(os_posix()->open(os_posix(), path, OS_READ, &file), 0);
  uint64_t end = size;
  int result = catalog_check(os_posix(), file, path, count, &end, NULL, e);
  if (!result) cr_assert_eq(end, size);
  os_posix()->close(os_posix(), file);
  return result;
}

Test(catalog, every_flipped_byte_of_a_published_file_is_found) {
  struct temporary t = temporary_make();
  struct budget budget;
  budget_init(&budget, 64u << 20, NULL);
  struct catalog *c = NULL;
  tally_error e;
  uint32_t none[DOMAINS] = {0}, published[DOMAINS];
  char path[300];
  (void)snprintf(path, sizeof path, "%s/catalog", t.path);
  cr_assert_eq(catalog_open(os_posix(), t.path, none, &budget, &c, &e), 0);
  for (int d = 0; d < DOMAINS; d++)
    for (int i = 0; i < 20; i++) {
      char text[32];
      int n = snprintf(text, sizeof text, "%d/%d", d, i);
      (void)intern(c, d, text, (size_t)n);
    }
  cr_assert_eq(catalog_persist(c, published, &e), 0);
  catalog_close(c);
  size_t size;
  uint8_t *bytes = file_load(path, &size);
  for (size_t at = 0; at < size; at++) {
    bytes[at] ^= 0x20;
    file_store(path, bytes, size);
    int result = catalog_open(os_posix(), t.path, published, &budget, &c, &e);
    cr_assert(result == TALLY_CORRUPT || result == TALLY_VERSION, "byte %zu", at);
    bytes[at] ^= 0x20;
    file_store(path, bytes, at);
    cr_assert_lt(catalog_open(os_posix(), t.path, published, &budget, &c, &e), 0, "cut at %zu", at);
  }
  file_store(path, bytes, size);
  cr_assert_eq(catalog_open(os_posix(), t.path, published, &budget, &c, &e), 0);
  cr_assert_eq(check_file(path, size, NULL, &e), 0, "%s", e.text);
  cr_assert_eq(check_file(path, size, published, &e), 0, "%s", e.text);
  cr_assert_eq(check_file(path, size - 1, published, &e), TALLY_CORRUPT, "a block that ends behind the end");
  for (size_t at = 0; at < size; at++) {
    bytes[at] ^= 0x20;
    file_store(path, bytes, size);
    cr_assert_lt(check_file(path, size, published, &e), 0, "byte %zu", at);
    bytes[at] ^= 0x20;
  }
  catalog_close(c);
  free(bytes);
  temporary_remove(&t);
}

Test(catalog, over_its_budget_an_append_is_refused_and_nothing_is_lost) {
  struct temporary t = temporary_make();
  struct budget budget;
  budget_init(&budget, 1u << 20, NULL);
  struct catalog *c = NULL;
  tally_error e;
  uint32_t none[DOMAINS] = {0}, id = 0, count = 0;
  cr_assert_eq(catalog_open(os_posix(), t.path, none, &budget, &c, &e), 0);
  int result = 0;
  while (!result) {
    char text[32];
    uint8_t sizes[2];
    int n = snprintf(text, sizeof text, "text %u", count);
    store16(sizes, (uint16_t)n);
    result = catalog_intern(c, 3, 1, sizes, text, &id, &e);
    if (!result) cr_assert_eq(id, ++count);
  }
  cr_assert_eq(result, TALLY_MEMORY_LIMIT);
  cr_assert_gt(count, 10000, "a distinct short text costs less than 100 bytes");
  cr_assert_leq(budget_used(&budget), 1u << 20);
  cr_assert_eq(catalog_find(c, 3, "text 0", 6), 1);
  catalog_close(c);
  temporary_remove(&t);
}
