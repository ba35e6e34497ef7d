/* What a power cut leaves beside what was synced, and a store whose flush has failed: found by
 * tests/property, each told here in its shortest form. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "db/db.h"
#include "support/temporary.h"

struct fixture {
  struct temporary directory;
  struct os os;
  struct db *db;
};

static bool disk_full;
static char synced[16][300];
static unsigned syncs;

static int full_open(const struct os *os, const char *path, enum os_open how, struct os_file **file) {
  return disk_full && how == OS_CREATE ? ENOSPC : os_posix()->open(os, path, how, file);
}
static int noted_sync_directory(const struct os *os, const char *path) {
  (void)snprintf(synced[syncs++ % 16], sizeof synced[0], "%s", path);
  return os_posix()->sync_directory(os, path);
}

static const char *kept_file, *hidden_folder; /* the end of a path: not removed, not listed */

static bool ends_with(const char *path, const char *end) {
  return end && strlen(path) >= strlen(end) && strcmp(path + strlen(path) - strlen(end), end) == 0;
}
static int failing_unlink(const struct os *os, const char *path) {
  return ends_with(path, kept_file) ? EIO : os_posix()->unlink(os, path);
}
static int failing_list(const struct os *os, const char *path, int (*entry)(void *, const char *),
                        void *arg) {
  return ends_with(path, hidden_folder) ? EIO : os_posix()->list(os, path, entry, arg);
}

static void reopen(struct fixture *f) {
  tally_error e;
  tally_options o = {.create = true, .manual = true, .memory = 64u << 20, .flush_age = 1};
  cr_assert_eq(db_open(&f->os, f->directory.path, &o, &f->db, &e), 0, "%s", e.text);
}

static void begin(struct fixture *f) {
  *f = (struct fixture){.directory = temporary_make(), .os = *os_posix()};
  f->os.open = full_open;
  f->os.sync_directory = noted_sync_directory;
  f->os.unlink = failing_unlink;
  f->os.list = failing_list;
  kept_file = hidden_folder = NULL;
  disk_full = false;
  reopen(f);
}

static void end(struct fixture *f) {
  tally_error e;
  cr_assert_eq(db_close(f->db, &e), 0, "%s", e.text);
  temporary_remove(&f->directory);
}

/* Ten events of January 1970. */
static int try_append(struct fixture *f, tally_error *error) {
  tally_error e;
  tally_batch *b = tally_batch_new();
  tally_append_item item = {.result = 0};
  for (int i = 0; i < 10; i++) {
    tally_event event = {.timestamp = i, .user_id = {"ann", 3}};
    cr_assert_eq(tally_batch_add(b, &event, &e), 0);
  }
  cr_assert_eq(tally_batch_finish(b, &item.bytes, &item.size, &e), 0);
  db_append(f->db, &item, 1);
  *error = item.error;
  tally_batch_free(b);
  return item.result;
}

static void append(struct fixture *f) {
  tally_error e;
  cr_assert_eq(try_append(f, &e), 0, "%s", e.text);
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

static void shell(const char *format, const char *a, const char *b) {
  char command[1000];
  (void)snprintf(command, sizeof command, format, a, b);
  cr_assert_eq(system(command), 0, "%s", command);
}

/* What kill -9 leaves. */
static struct fixture crash(const struct fixture *f) {
  struct fixture copy = {.directory = temporary_make(), .os = f->os};
  shell("cp -r %s/. %s/", f->directory.path, copy.directory.path);
  shell("rm %s/LOCK%s", copy.directory.path, "");
  return copy;
}

Test(faults, a_log_file_that_comes_back_beside_the_one_it_was_replayed_to_counts_once) {
  struct fixture f;
  begin(&f);
  append(&f);
  struct fixture g = crash(&f); /* its log has space that was allocated and not used */
  struct fixture kept = crash(&f);
  reopen(&g);
  append(&g);
  append(&g);
  struct fixture h = crash(&g);
  shell("cp %s/wal/*.wal %s/wal/", kept.directory.path, h.directory.path);
  reopen(&h);
  cr_assert_eq(rows(&h), 30);
  end(&h);
  end(&g);
  end(&f);
  temporary_remove(&kept.directory);
}

Test(faults, a_new_store_syncs_the_directory_that_it_lies_in) {
  struct fixture f = {.directory = temporary_make(), .os = *os_posix()};
  char parent[300];
  (void)snprintf(parent, sizeof parent, "%s", f.directory.path);
  (void)strncat(f.directory.path, "/new", 5);
  f.os.sync_directory = noted_sync_directory;
  syncs = 0;
  reopen(&f);
  cr_assert_str_eq(synced[0], f.directory.path); /* with its folders, before there is a manifest */
  cr_assert_str_eq(synced[1], parent);
  end(&f);
  (void)rmdir(parent);
}

Test(faults, a_file_of_another_month_with_a_segments_id_is_removed) {
  struct fixture f;
  begin(&f);
  append(&f);
  tally_error e;
  cr_assert_eq(db_close(f.db, &e), 0);
  shell("cd %s/segments && mkdir 1971-05 && cp 1970-01/*.seg %s", f.directory.path, "1971-05/");
  char path[400];
  (void)snprintf(path, sizeof path, "%s/segments/1971-05/0000000000000001.seg", f.directory.path);
  cr_assert_eq(access(path, F_OK), 0);
  reopen(&f);
  cr_assert_neq(access(path, F_OK), 0);
  cr_assert_eq(rows(&f), 10);
  end(&f);
}

Test(faults, a_segments_id_is_not_given_again_while_a_file_of_it_could_not_be_removed) {
  struct fixture f;
  tally_error e;
  begin(&f);
  append(&f);
  cr_assert_eq(db_flush(f.db, &e), 0);
  cr_assert_eq(db_close(f.db, &e), 0);
  shell("cp %s/segments/1970-01/*1.seg %s/segments/1970-01/0000000000000002.seg", f.directory.path,
        f.directory.path);
  kept_file = "2.seg";
  reopen(&f);
  append(&f);
  cr_assert_eq(db_flush(f.db, &e), 0, "%s", e.text);
  cr_assert_eq(rows(&f), 20);
  cr_assert_eq(db_close(f.db, &e), 0);
  kept_file = NULL;
  char path[400];
  (void)snprintf(path, sizeof path, "%s/segments/1970-01/0000000000000002.seg", f.directory.path);
  cr_assert_eq(access(path, F_OK), 0);
  reopen(&f);
  cr_assert_neq(access(path, F_OK), 0, "the next open removes it");
  cr_assert_eq(rows(&f), 20);
  end(&f);
}

Test(faults, a_folder_of_segments_that_cannot_be_listed_refuses_the_store) {
  struct fixture f;
  tally_error e;
  begin(&f);
  append(&f);
  cr_assert_eq(db_close(f.db, &e), 0);
  hidden_folder = "1970-01";
  tally_options o = {.manual = true, .memory = 64u << 20, .flush_age = 1};
  cr_assert_eq(db_open(&f.os, f.directory.path, &o, &f.db, &e), TALLY_IO);
  cr_expect(strstr(e.text, "cannot list "), "%s", e.text);
  hidden_folder = NULL;
  reopen(&f);
  cr_assert_eq(rows(&f), 10);
  end(&f);
}

Test(faults, rows_go_in_while_a_flush_fails_and_there_is_memory) {
  struct fixture f;
  begin(&f);
  append(&f);
  tally_error e;
  bool worked;
  disk_full = true;
  cr_assert_eq(db_step(f.db, &worked, &e), TALLY_NO_SPACE); /* sealed, and nothing else is active */
  append(&f);
  cr_assert_eq(rows(&f), 20);
  disk_full = false;
  append(&f);
  cr_assert_eq(rows(&f), 30);
  end(&f);
}

/* Memory for three memtables: one to sort into, one that a snapshot holds, one whose flush has failed. */
Test(faults, rows_go_in_once_the_disk_has_space_though_a_flush_had_failed_and_no_memory_is_left) {
  struct fixture f;
  begin(&f);
  tally_error e;
  struct db_snapshot *held;
  append(&f);
  cr_assert_eq(db_snapshot_take(f.db, &held, &e), 0);
  cr_assert_eq(db_flush(f.db, &e), 0, "%s", e.text);
  append(&f);
  bool worked;
  disk_full = true;
  cr_assert_eq(db_step(f.db, &worked, &e), TALLY_NO_SPACE);
  cr_assert_eq(try_append(&f, &e), TALLY_NO_SPACE, "there is no memory without a flush");
  disk_full = false;
  append(&f);
  cr_assert_eq(rows(&f), 30);
  cr_assert_not(db_snapshot_expired(held), "the memory comes from the flush");
  db_snapshot_release(held);
  end(&f);
}

Test(faults, a_merge_does_not_wait_for_a_flush_that_nobody_does, .timeout = 20) {
  struct fixture f;
  begin(&f);
  tally_error e;
  for (int i = 0; i < 3; i++) {
    append(&f);
    cr_assert_eq(db_flush(f.db, &e), 0, "%s", e.text);
  }
  append(&f);
  disk_full = true;
  cr_assert_eq(db_flush(f.db, &e), TALLY_NO_SPACE);
  disk_full = false;
  struct db_compaction c = db_compact_begin(f.db);
  struct rewrite_report report;
  cr_assert_eq(db_compact_next(&c, &report, &e), TALLY_ROW, "%s", e.text);
  cr_assert_eq(rows(&f), 40);
  end(&f);
}

static int ignore_file(void *arg, const struct segment_info *before, const struct segment_info *after,
                       uint32_t count) {
  (void)arg, (void)before, (void)after, (void)count;
  return 0;
}

Test(faults, a_pseudonym_for_a_user_without_rows_leaves_a_store_that_opens) {
  struct fixture f;
  begin(&f);
  append(&f);
  tally_error e;
  struct erase_report report;
  struct erase_listener listener = {ignore_file, NULL};
  struct erase_request request = {.user = "ann", .from = 0, .to = INT64_MAX};
  cr_assert_eq(db_erase(f.db, &request, &listener, &report, &e), 0, "%s", e.text);
  cr_assert_eq(report.rows, 10);
  request = (struct erase_request){
      .user = "ann", .pseudonym = true, .whole = true, .from = INT64_MIN, .to = INT64_MAX};
  cr_assert_eq(db_erase(f.db, &request, &listener, &report, &e), 0, "%s", e.text);
  struct fixture g = crash(&f);
  reopen(&g);
  end(&g);
  cr_assert_eq(db_close(f.db, &e), 0);
  reopen(&f);
  append(&f);
  cr_assert_eq(rows(&f), 10);
  end(&f);
}
