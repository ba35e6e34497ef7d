/* After an erasure the catalog file and the manifest still belong together, whatever was interned meanwhile.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "db/db.h"
#include "support/temporary.h"

static bool full;

static int e_write(const struct os *os, struct os_file *f, const void *from, size_t size, uint64_t at) {
  return full ? ENOSPC : os_posix()->write(os, f, from, size, at);
}

static int append(struct db *db, const char *user, tally_error *e) {
  tally_batch *b = tally_batch_new();
  tally_event event = {.timestamp = INT64_C(1704067200000000), .user_id = {user, strlen(user)}};
  tally_append_item item = {0};
  cr_assert_eq(tally_batch_add(b, &event, e), 0);
  cr_assert_eq(tally_batch_finish(b, &item.bytes, &item.size, e), 0);
  db_append(db, &item, 1);
  tally_batch_free(b);
  if (item.result) *e = item.error;
  return item.result;
}

static int no_file(void *arg, const struct segment_info *before, const struct segment_info *after,
                   uint32_t count) {
  (void)arg, (void)before, (void)after, (void)count;
  return 0;
}

Test(db, a_refused_batch_s_texts_do_not_keep_a_store_from_opening_after_an_erasure) {
  struct temporary t = temporary_make();
  struct os os = *os_posix();
  os.write = e_write;
  struct db *db;
  tally_error e;
  struct erase_report report;
  const struct erase_listener listener = {.file = no_file};
  const struct erase_request request = {.user = "bob", .whole = true, .from = INT64_MIN, .to = INT64_MAX};
  tally_options o = {.create = true, .manual = true, .memory = 64u << 20};
  cr_assert_eq(db_open(&os, t.path, &o, &db, &e), 0, "%s", e.text);
  cr_assert_eq(append(db, "ann", &e), 0, "%s", e.text);
  cr_assert_eq(db_flush(db, &e), 0, "%s", e.text);
  full = true;
  cr_assert_lt(append(db, "bob", &e), 0, "the disk is full; bob has an id");
  full = false;
  cr_assert_eq(db_erase(db, &request, &listener, &report, &e), 0, "%s", e.text);
  cr_assert_eq(db_close(db, &e), 0, "%s", e.text);
  cr_assert_eq(db_open(&os, t.path, &o, &db, &e), 0, "%s", e.text);
  cr_assert_eq(append(db, "bob", &e), 0, "%s", e.text);
  cr_assert_eq(db_close(db, &e), 0, "%s", e.text);
  cr_assert_eq(db_open(&os, t.path, &o, &db, &e), 0, "%s", e.text);
  cr_assert_eq(db_close(db, &e), 0, "%s", e.text);
  temporary_remove(&t);
}
