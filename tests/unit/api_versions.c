/* api_versions.c - files of other format versions: a newer one is refused by its name and number, file by
 * file, and nothing in the store is changed by it; what this version wrote stays readable (golden files); and
 * the segments of the development version before it are refused by their number. */
#include <criterion/criterion.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/inside.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "disk/small_answers.h"
#include "disk/small_store.h"
#include "segment/format.h"
#include "support/temporary.h"

static bool ends(const char *path, const char *with) {
  size_t a = strlen(path), b = strlen(with);
  return a >= b && strcmp(path + a - b, with) == 0;
}

/* Raises the version of a file by one and seals it again; false if its kind has none. */
static bool make_newer(struct small_file *f) {
  uint16_t version = (uint16_t)(load16(f->bytes + 4) + 1);
  if (strstr(f->path, "BACKUP")) return false;
  store16(f->bytes + 4, version);
  if (strstr(f->path, "MANIFEST")) {
    store64(f->bytes + 24, hash64(f->bytes, 24));
  } else if (ends(f->path, ".wal")) {
    struct digest d = digest_of(f->bytes, 48, 0);
    memcpy(f->bytes + 48, d.bytes, 16);
  } else if (ends(f->path, ".seg")) {
    store16(f->bytes + f->size - SEGMENT_FOOTER + FOOTER_VERSION, version);
  } else if (ends(f->path, "RETENTION")) {
    struct digest d = digest_of(f->bytes, f->size - 16, 0);
    memcpy(f->bytes + f->size - 16, d.bytes, 16);
  } else {
    cr_assert(ends(f->path, "catalog"), "%s", f->path);
  }
  return true;
}

static const struct small_files *before;
static void unchanged(void *arg, const char *path, const uint8_t *bytes, size_t size) {
  (void)arg;
  if (ends(path, "LOCK") || ends(path, ".tmp")) return;
  for (size_t i = 0; i < before->count; i++)
    if (strcmp(before->file[i].path, path) == 0) {
      cr_assert_eq(size, before->file[i].size, "%s", path);
      cr_assert_eq(memcmp(bytes, before->file[i].bytes, size), 0, "%s", path);
      return;
    }
  cr_assert(false, "%s is new", path);
}

Test(versions, a_newer_file_of_any_kind_is_refused_by_its_name_and_number_and_nothing_is_changed) {
  struct small_files files;
  unsigned kinds = 0;
  small_store_files(false, &files);
  before = &files;
  for (size_t i = 0; i < files.count; i++) {
    struct small_file *f = &files.file[i];
    if (strncmp(f->path, SMALL_STORE "/", sizeof SMALL_STORE) != 0) continue;
    uint8_t *was = malloc(f->size);
    memcpy(was, f->bytes, f->size);
    cr_assert(make_newer(f));
    struct disk *disk = disk_new(1);
    tally_store s;
    tally_error e = {0};
    char number[16];
    small_files_put(&files, SMALL_STORE, disk);
    cr_assert_eq(small_store_open(disk, SMALL_STORE, &s.db, &e), TALLY_VERSION, "%s: %s", f->path, e.text);
    (void)snprintf(number, sizeof number, "%u", load16(f->bytes + 4));
    cr_expect(strstr(e.text, strrchr(f->path, '/') + 1), "%s: %s", f->path, e.text);
    cr_expect(strstr(e.text, number), "%s has version %s: %s", f->path, number, e.text);
    disk_each(disk, SMALL_STORE, unchanged, NULL);
    disk_free(disk);
    memcpy(f->bytes, was, f->size);
    free(was);
    kinds++;
  }
  cr_expect_geq(kinds, 8, "manifest, catalog, WAL, policy, segments: plain, archived, thinned");
  small_files_free(&files);
}

/* ------------------------------------------------------------------ golden files */

static void load_golden(const char *folder, struct small_files *files) {
  char pattern[300];
  glob_t found;
  files->count = 0;
  static const char *const levels[] = {"*", "*/*", "*/*/*"};
  for (int level = 0; level < 3; level++) {
    (void)snprintf(pattern, sizeof pattern, TALLY_TESTS "/format/%s/%s", folder, levels[level]);
    if (glob(pattern, 0, NULL, &found)) continue;
    for (size_t i = 0; i < found.gl_pathc; i++) {
      FILE *file = fopen(found.gl_pathv[i], "rb");
      struct small_file *f = &files->file[files->count];
      f->bytes = malloc(1 << 16);
      f->size = fread(f->bytes, 1, 1 << 16, file);
      (void)fclose(file);
      (void)snprintf(f->path, sizeof f->path, SMALL_STORE "/%s",
                     found.gl_pathv[i] + strlen(TALLY_TESTS "/format/") + strlen(folder) + 1);
      if (f->size)
        files->count++;
      else
        free(f->bytes); /* a folder */
    }
    globfree(&found);
  }
}

static void ask_files(const struct small_files *files, struct small_answers *answers) {
  struct disk *disk = disk_new(1);
  tally_store s;
  tally_error e = {0};
  small_files_put(files, SMALL_STORE, disk);
  cr_assert_eq(small_store_open(disk, SMALL_STORE, &s.db, &e), 0, "%s", e.text);
  small_ask(&s, answers);
  cr_assert_eq(db_close(s.db, &e), 0, "%s", e.text);
  disk_free(disk);
}

Test(versions, what_this_version_wrote_is_read_as_it_was_written) {
  struct small_files golden, made;
  struct small_answers then, now;
  load_golden("kinds", &golden);
  if (getenv("TALLY_GOLDEN")) { /* writes them anew, for a development version that has changed */
    small_store_files(false, &made);
    for (size_t i = 0; i < made.count; i++) {
      char path[400], command[450];
      if (strncmp(made.file[i].path, SMALL_STORE "/", sizeof SMALL_STORE) != 0) continue;
      (void)snprintf(path, sizeof path, TALLY_TESTS "/format/kinds%s",
                     made.file[i].path + sizeof SMALL_STORE - 1);
      (void)snprintf(command, sizeof command, "mkdir -p $(dirname %s)", path);
      cr_assert_eq(system(command), 0);
      FILE *file = fopen(path, "wb");
      cr_assert_eq(fwrite(made.file[i].bytes, 1, made.file[i].size, file), made.file[i].size);
      (void)fclose(file);
    }
    small_files_free(&made);
    load_golden("kinds", &golden);
  }
  cr_assert_geq(golden.count, 8, "%zu files", golden.count);
  small_store_files(false, &made);
  ask_files(&golden, &then);
  ask_files(&made, &now);
  for (int q = 0; q < SMALL_QUESTIONS; q++)
    cr_expect(small_same(&then, &now, q), "question %d: %s", q, then.text[q]);
  small_files_free(&golden);
  small_files_free(&made);
}

Test(versions, a_segment_of_the_development_version_before_is_refused_by_its_number) {
  struct small_files golden;
  tally_store s;
  tally_error e = {0};
  load_golden("refused", &golden);
  cr_assert_geq(golden.count, 4, "%zu files", golden.count);
  struct disk *disk = disk_new(1);
  small_files_put(&golden, SMALL_STORE, disk);
  cr_assert_eq(small_store_open(disk, SMALL_STORE, &s.db, &e), TALLY_VERSION, "%s", e.text);
  cr_expect(strstr(e.text, ".seg is a segment of format version 32769"), "%s", e.text);
  disk_free(disk);
  small_files_free(&golden);
}

/* ------------------------------------------------------------------ restore, by its public name */

Test(restore, takes_a_backup_to_an_empty_place_and_refuses_everything_else_in_words) {
  struct temporary t = temporary_make();
  char backup[300], store[300], nowhere[300];
  tally_options o;
  tally_store *s;
  tally_error e;
  tally_cursor *c;
  (void)snprintf(backup, sizeof backup, "%s/backup", t.path);
  (void)snprintf(store, sizeof store, "%s/store", t.path);
  (void)snprintf(nowhere, sizeof nowhere, "%s/nowhere", t.path);
  tally_options_init(&o);
  o.create = true;
  o.memory = 64u << 20;
  cr_assert_eq(tally_open(store, &o, &s, &e), 0, "%s", e.text);
  const char *const words[] = {"backup", backup};
  cr_assert_eq(tally_job_open(s, words, 2, &c, &e), 0, "%s", e.text);
  tally_cursor_close(c);
  cr_expect_eq(tally_restore(NULL, store, &e), TALLY_USAGE);
  cr_expect_eq(tally_restore(backup, "", NULL), TALLY_USAGE);
  cr_expect_eq(tally_restore(nowhere, backup, &e), TALLY_NOT_FOUND, "%s", e.text);
  cr_expect_eq(tally_restore(backup, store, &e), TALLY_LOCKED, "a store is open there: %s", e.text);
  cr_expect_eq(tally_restore(backup, nowhere, &e), 0, "%s", e.text);
  cr_assert_eq(tally_close(s, &e), 0);
  cr_expect_eq(tally_restore(backup, store, &e), TALLY_USAGE, "a store is there: %s", e.text);
  cr_expect_not_null(strstr(e.text, "is not empty"), "%s", e.text);
  char restoring[310];
  (void)snprintf(restoring, sizeof restoring, "%s/RESTORING", nowhere);
  FILE *left = fopen(restoring, "w"); /* as a restore leaves it that is killed behind its last step */
  cr_assert(left && fclose(left) == 0);
  cr_expect_eq(tally_restore(backup, nowhere, &e), TALLY_USAGE);
  cr_expect_not_null(strstr(e.text, "an earlier restore completed"), "%s", e.text);
  cr_assert_eq(tally_open(nowhere, NULL, &s, &e), 0, "%s", e.text);
  cr_assert_eq(tally_close(s, &e), 0);
  temporary_remove(&t);
}
