/* store.c - the store's functions of <tally.h>: arguments are checked here, the work is db's. */
#include <stdio.h>
#include <string.h>

#include "api/inside.h"
#include "base/mem.h"
#include "base/status.h"

#define TEXT_OF(n) #n
#define VERSION_TEXT(a, b, c) TEXT_OF(a) "." TEXT_OF(b) "." TEXT_OF(c)

const char *tally_version(void) {
  return VERSION_TEXT(TALLY_VERSION_MAJOR, TALLY_VERSION_MINOR, TALLY_VERSION_PATCH);
}

void tally_options_init(tally_options *options) { *options = (tally_options){0}; }
void tally_query_init(tally_query *query) { *query = (tally_query){.limit = TALLY_NO_LIMIT}; }
void tally_scan_init(tally_scan *scan) { *scan = (tally_scan){.limit = TALLY_NO_LIMIT}; }

int tally_open(const char *path, const tally_options *options, tally_store **store, tally_error *error) {
  tally_error ignored;
  if (!error) error = &ignored;
  *store = NULL;
  if (!path || !*path) return fail(error, TALLY_USAGE, "a store is a directory: give its path");
  tally_store *s = mem_zalloc(1, sizeof *s);
  if (!s) return fail_memory(error, "a store");
  int result = db_open(os_posix(), path, options, &s->db, error);
  if (result) {
    mem_free(s);
    return result;
  }
  *store = s;
  return 0;
}

void tally_interrupt(tally_store *store) { db_interrupt(store->db); }

int tally_close(tally_store *store, tally_error *error) {
  tally_error ignored;
  if (!store) return 0;
  int result = db_close(store->db, error ? error : &ignored);
  mem_free(store);
  return result;
}

void tally_append_group(tally_store *store, tally_append_item *items, size_t count) {
  if (count) db_append(store->db, items, count);
}

int tally_append(tally_store *store, const void *bytes, size_t size, const tally_append_options *options,
                 tally_receipt *receipt, tally_error *error) {
  tally_append_item item = {.bytes = bytes, .size = size};
  if (options) item.options = *options;
  db_append(store->db, &item, 1);
  if (receipt) *receipt = item.receipt;
  if (item.result && error) *error = item.error;
  return item.result;
}

int tally_producer_mark(tally_store *store, const char *producer, uint64_t epoch, tally_mark *mark,
                        tally_error *error) {
  tally_error ignored;
  return db_mark(store->db, producer, epoch, mark, error ? error : &ignored);
}

int tally_sync(tally_store *store, tally_error *error) {
  tally_error ignored;
  return db_sync(store->db, error ? error : &ignored);
}

int tally_flush(tally_store *store, tally_error *error) {
  tally_error ignored;
  return db_flush(store->db, error ? error : &ignored);
}

int tally_step(tally_store *store, bool *worked, tally_error *error) {
  tally_error ignored;
  bool unused;
  return db_step(store->db, worked ? worked : &unused, error ? error : &ignored);
}
