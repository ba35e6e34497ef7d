/* What the page cache showed and the disk lacked, after a power cut: found by tests/property and tests/faults
 * on the disk in memory, each told here in its shortest form. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "db/db.h"
#include "disk/disk.h"

#define NOTHING 0 /* kinds of damage, see disk/cut.c */
#define SOME 10

struct fixture {
  struct disk *disk;
  struct db *db;
};

static const char *failing; /* syncs of paths that contain it fail */

static int watch(void *arg, enum disk_call call, const char *path) {
  (void)arg;
  return failing && call == DISK_SYNC && strstr(path, failing) ? EIO : 0;
}

static void reopen(struct fixture *f) {
  tally_error e;
  tally_options o = {.create = true, .manual = true, .memory = 64u << 20};
  cr_assert_eq(db_open(disk_os(f->disk), "/store", &o, &f->db, &e), 0, "%s", e.text);
}

static void begin(struct fixture *f) {
  f->disk = disk_new(1);
  failing = NULL;
  disk_watch(f->disk, watch, NULL);
  reopen(f);
}

static void end(struct fixture *f) {
  tally_error e;
  cr_assert_eq(db_close(f->db, &e), 0, "%s", e.text);
  disk_free(f->disk);
}

/* Ten events of January 1970, as batch `sequence` of a producer (0: of none). */
static tally_append_item send(struct fixture *f, uint64_t sequence, tally_durability durability) {
  tally_error e;
  tally_batch *b = tally_batch_new();
  tally_append_item item = {.result = 0};
  for (int i = 0; i < 10; i++) {
    tally_event event = {.timestamp = i, .user_id = {"ann", 3}};
    cr_assert_eq(tally_batch_add(b, &event, &e), 0);
  }
  cr_assert_eq(tally_batch_finish(b, &item.bytes, &item.size, &e), 0);
  item.options = (tally_append_options){
      .producer = sequence ? "p" : NULL, .epoch = 1, .sequence = sequence, .durability = durability};
  db_append(f->db, &item, 1);
  tally_batch_free(b);
  return item;
}

static void append(struct fixture *f) {
  tally_append_item item = send(f, 0, TALLY_DISK);
  cr_assert_eq(item.result, 0, "%s", item.error.text);
}

static uint64_t rows(struct fixture *f) {
  struct db_snapshot *s;
  tally_error e;
  cr_assert_eq(db_snapshot_take(f->db, &s, &e), 0);
  const struct snapshot *v = db_snapshot_view(s);
  uint64_t n = 0;
  for (size_t i = 0; i < v->segment_count; i++) n += v->segments[i]->info.rows;
  for (size_t i = 0; i < v->memtable_count; i++) n += v->memtables[i].rows;
  db_snapshot_release(s);
  return n;
}

static void power_cut(struct fixture *f, unsigned kind) {
  tally_error e;
  disk_stop(f->disk);
  (void)db_close(f->db, &e);
  disk_restart(f->disk, false);
  disk_cut(f->disk, kind);
  reopen(f);
}

Test(cuts, an_edit_that_was_read_though_its_sync_had_failed_outlives_the_power) {
  struct fixture f;
  tally_error e;
  begin(&f);
  append(&f);
  failing = "MANIFEST";
  cr_assert_eq(db_flush(f.db, &e), TALLY_IO);
  (void)db_close(f.db, &e);
  failing = NULL;
  reopen(&f); /* reads the edit from the page cache */
  cr_assert_eq(rows(&f), 10);
  append(&f);
  power_cut(&f, NOTHING);
  cr_assert_eq(rows(&f), 20);
  end(&f);
}

static struct disk *then; /* the disk when the first manifest had its name, and no sync had come */

static int watch_rename(void *arg, enum disk_call call, const char *path) {
  static bool renamed;
  if (renamed && !then) then = disk_copy(arg, (uint64_t)call);
  renamed = call == DISK_RENAME && strstr(path, "MANIFEST");
  return 0;
}

/* The names that a directory's changes make reach the disk one by one. */
Test(cuts, a_new_store_has_its_folders_before_its_manifest) {
  struct fixture f = {.disk = disk_new(1)};
  disk_watch(f.disk, watch_rename, f.disk);
  reopen(&f);
  cr_assert_not_null(then);
  end(&f);
  for (uint64_t seed = 1; seed <= 50; seed++) {
    struct fixture g = {.disk = disk_copy(then, seed)};
    disk_cut(g.disk, SOME);
    reopen(&g);
    end(&g);
  }
  disk_free(then);
}

Test(cuts, a_repeat_is_no_durable_duplicate_when_the_sync_of_the_log_has_failed) {
  struct fixture f;
  tally_error e;
  begin(&f);
  cr_assert_eq(send(&f, 1, TALLY_OS).result, 0);
  failing = "/wal/";
  cr_assert_eq(send(&f, 2, TALLY_DISK).result, TALLY_IO);
  failing = NULL; /* what a second sync of the file would say is not true */
  cr_assert_eq(send(&f, 1, TALLY_DISK).result, TALLY_READ_ONLY);
  cr_assert(send(&f, 1, TALLY_OS).receipt.duplicate);
  (void)db_close(f.db, &e);
  disk_cut(f.disk, NOTHING);
  reopen(&f);
  cr_assert_eq(rows(&f), 0);
  end(&f);
}

Test(cuts, a_store_that_is_open_read_only_tells_a_repeat_what_it_knows) {
  struct fixture f;
  tally_error e;
  begin(&f);
  cr_assert_eq(send(&f, 1, TALLY_DISK).result, 0);
  disk_stop(f.disk);
  (void)db_close(f.db, &e);
  disk_restart(f.disk, false);
  tally_options o = {.read_only = true, .manual = true, .memory = 64u << 20};
  cr_assert_eq(db_open(disk_os(f.disk), "/store", &o, &f.db, &e), 0, "%s", e.text);
  tally_append_item item = send(&f, 1, TALLY_OS);
  cr_assert(item.result == 0 && item.receipt.duplicate);
  cr_assert_eq(send(&f, 1, TALLY_DISK).result, TALLY_READ_ONLY);
  cr_assert_eq(send(&f, 2, TALLY_OS).result, TALLY_READ_ONLY);
  end(&f);
}
