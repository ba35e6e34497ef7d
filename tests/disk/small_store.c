/* small_store.c - see small_store.h. */
#include "disk/small_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/inside.h"

#define SECOND INT64_C(1000000)
#define DAY (86400 * SECOND)

static _Noreturn void give_up(const char *what, const tally_error *error) {
  (void)fprintf(stderr, "the small store: %s: %s\n", what, error ? error->text : "");
  abort();
}

int small_store_open(struct disk *disk, const char *path, struct db **db, tally_error *error) {
  tally_options o;
  tally_options_init(&o);
  o.create = o.manual = true;
  o.memory = 64u << 20;
  return db_open(disk_os(disk), path, &o, db, error);
}

/* ------------------------------------------------------------------ rows */

static void add(tally_batch *batch, int64_t time, unsigned i) {
  static const char *const users[] = {"ann", "bob", "carl"}, *const paths[] = {"/v1/chat", "/v1/embed"};
  char metadata[48];
  tally_error e;
  int n = snprintf(metadata, sizeof metadata, "{\"region\":\"%s\",\"n\":%u}", i % 2 ? "eu" : "us", i * 7);
  const char *user = users[i % 3], *path = paths[i / 3 % 2];
  tally_event event = {.timestamp = time,
                       .user_id = {user, strlen(user)},
                       .service_name = {i % 5 ? "chat" : "mail", 4},
                       .endpoint = {path, strlen(path)},
                       .method = {"POST", 4},
                       .duration_ms = (int32_t)(i * 37 % 1000),
                       .status_code = i % 11 ? 200 : 429,
                       .tokens_used = (int32_t)(i * 13),
                       .cost = (int64_t)i * 12345 * 100000,
                       .present = 1u << TALLY_COL_DURATION_MS | 1u << TALLY_COL_STATUS_CODE |
                                  1u << TALLY_COL_TOKENS_USED | 1u << TALLY_COL_COST};
  if (i % 4) event.metadata = (tally_text){metadata, (size_t)n};
  if (i % 13 == 0) event.user_id = (tally_text){NULL, 0};
  if (tally_batch_add(batch, &event, &e)) give_up("a row", &e);
}

static void append(struct db *db, int64_t time, int64_t step, unsigned rows, uint64_t sequence) {
  tally_store store = {db};
  tally_batch *batch = tally_batch_new();
  tally_error e;
  const void *bytes;
  size_t size;
  if (!batch) give_up("no memory", NULL);
  for (unsigned i = 0; i < rows; i++) add(batch, time + (int64_t)i * step, i + (unsigned)sequence);
  if (tally_batch_finish(batch, &bytes, &size, &e)) give_up("a batch", &e);
  tally_append_options options = {.producer = "p", .epoch = 1, .sequence = sequence};
  if (sequence % 2) {
    options.has_fingerprint = true;
    memset(options.fingerprint, (int)sequence, 16);
  }
  if (tally_append(&store, bytes, size, &options, NULL, &e)) give_up("an append", &e);
  tally_batch_free(batch);
}

static void job(struct db *db, const char *const *words, size_t count) {
  tally_store store = {db};
  tally_cursor *cursor;
  tally_error e;
  if (tally_job_open(&store, words, count, &cursor, &e)) give_up(words[0], &e);
  tally_cursor_close(cursor);
}

static void flush(struct db *db) {
  tally_error e;
  if (db_flush(db, &e)) give_up("a flush", &e);
}

/* ------------------------------------------------------------------ files */

static void collect(void *arg, const char *path, const uint8_t *bytes, size_t size) {
  struct small_files *files = arg;
  const char *name = strrchr(path, '/') + 1;
  if (strcmp(name, "LOCK") == 0) return;
  if (files->count == sizeof files->file / sizeof *files->file) give_up("too many files", NULL);
  struct small_file *f = &files->file[files->count++];
  (void)snprintf(f->path, sizeof f->path, "%s", path);
  f->bytes = malloc(size ? size : 1);
  if (!f->bytes) give_up("no memory", NULL);
  if (size) memcpy(f->bytes, bytes, size);
  f->size = size;
}

void small_store_files(bool closed, struct small_files *files) {
  static const char *const policy[] = {"retention", "set", "--archive", "30d", "--thin", "60d"};
  static const char *const own[] = {"retention", "set", "--service", "mail", "--drop", "2y"};
  static const char *const apply[] = {"retention-apply"};
  static const char *const backup[] = {"backup", SMALL_BACKUP};
  struct disk *disk = disk_new(7);
  int64_t now = disk_os(disk)->now(disk_os(disk));
  struct db *db;
  tally_error e;
  if (small_store_open(disk, SMALL_STORE, &db, &e)) give_up("open", &e);
  append(db, now - 120 * DAY, 1800 * SECOND, 30, 1);
  append(db, now - 50 * DAY, 600 * SECOND, 20, 2);
  append(db, now - 10 * DAY, SECOND, 48, 3);
  flush(db);
  job(db, policy, 6);
  job(db, own, 6);
  job(db, apply, 1);
  append(db, now - 9 * DAY, 7 * SECOND, 9, 4);
  flush(db);
  append(db, now - 2 * DAY, 90 * SECOND, 5, 5);
  job(db, backup, 2);
  append(db, now - 1 * DAY, 90 * SECOND, 3, 6);
  files->count = 0;
  if (!closed) disk_each(disk, SMALL_STORE, collect, files);
  if (db_close(db, &e)) give_up("close", &e);
  if (closed) disk_each(disk, SMALL_STORE, collect, files);
  disk_each(disk, SMALL_BACKUP, collect, files);
  disk_free(disk);
}

void small_files_free(struct small_files *files) {
  while (files->count) free(files->file[--files->count].bytes);
}

static void make_folders(const struct os *os, const char *path) {
  char folder[96];
  for (const char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
    (void)snprintf(folder, sizeof folder, "%.*s", (int)(at - path), path);
    (void)os->mkdir(os, folder);
  }
}

void small_files_put(const struct small_files *files, const char *path, struct disk *disk) {
  const struct os *os = disk_os(disk);
  for (size_t i = 0; i < files->count; i++) {
    const struct small_file *f = &files->file[i];
    struct os_file *file;
    if (path && strncmp(f->path, path, strlen(path)) != 0) continue;
    make_folders(os, f->path);
    if (os->open(os, f->path, OS_CREATE, &file) || os->write(os, file, f->bytes, f->size, 0) ||
        os->sync(os, file))
      give_up(f->path, NULL);
    os->close(os, file);
  }
}
