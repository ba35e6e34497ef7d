/* The laws of wal/: a record is whole or absent, damage is told from a torn tail, a full disk drops a whole
 * group. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "support/temporary.h"
#include "wal/reader.h"
#include "wal/writer.h"

#define RECORDS 40u

static struct wal *begin(const struct temporary *t, const struct os *os) {
  char folder[300];
  (void)snprintf(folder, sizeof folder, "%s/wal", t->path);
  (void)mkdir(folder, 0755);
  struct wal *w = NULL;
  tally_error e;
  cr_assert_eq(wal_create(os, t->path, 7, 101, &w, &e), 0);
  cr_assert_eq(wal_publish(w, t->path, &e), 0);
  return w;
}

/* Record i holds i bytes of value i; every tenth group of records is synced. */
static void fill(struct wal *w, bool sync) {
  uint8_t bytes[RECORDS + 1];
  for (unsigned i = 0; i < RECORDS; i++) {
    tally_error e;
    memset(bytes, (int)i, sizeof bytes);
    struct wal_record r = {.batch = bytes,
                           .batch_size = i,
                           .producer = {i % 3 ? "collector" : NULL, i % 3 ? 9 : 0},
                           .epoch = 1,
                           .producer_sequence = i};
    r.has_fingerprint = i % 2;
    memset(r.fingerprint, r.has_fingerprint ? 0xAB : 0, 16);
    cr_assert_eq(wal_add(w, &r, &e), 0);
    cr_assert_eq(wal_write(w, &e), 0);
    if (sync && i % 10 == 9) cr_assert_eq(wal_sync(w, &e), 0);
  }
}

/* Reads all; returns how many records came whole before the end, each checked against what was written. */
static unsigned read_all(const char *path, struct wal_reader *reader) {
  tally_error e;
  cr_assert_eq(wal_reader_open(os_posix(), path, reader, &e), 0, "%s", e.text);
  struct wal_record r;
  unsigned n = 0;
  int result;
  while ((result = wal_reader_next(reader, &r, &e)) == TALLY_ROW) {
    cr_assert_eq(r.sequence, 101 + n);
    cr_assert_eq(r.batch_size, n);
    for (unsigned k = 0; k < n; k++) cr_assert_eq(r.batch[k], (uint8_t)n);
    cr_assert_eq(r.producer.data != NULL, n % 3 != 0);
    cr_assert_eq(r.has_fingerprint, n % 2 == 1);
    n++;
  }
  cr_assert_eq(result, 0);
  return n;
}

Test(wal, what_was_written_is_read_and_allocated_space_is_no_record) {
  struct temporary t = temporary_make();
  struct wal *w = begin(&t, os_posix());
  fill(w, true);
  cr_assert_gt(w->allocated, w->size, "space is allocated ahead");
  struct wal_reader reader;
  cr_assert_eq(read_all(w->path, &reader), RECORDS, "zeros behind the last record are its end");
  cr_assert_null(reader.bad);
  cr_assert_eq(reader.durable, 101 + 29);
  wal_reader_close(&reader);
  char path[300];
  (void)snprintf(path, sizeof path, "%s", w->path);
  uint64_t size = w->size;
  wal_close(w);
  struct stat s;
  cr_assert_eq(stat(path, &s), 0);
  cr_assert_eq((uint64_t)s.st_size, size, "closing gives back what was not used");
  temporary_remove(&t);
}

Test(wal, every_cut_and_every_flipped_byte_ends_the_log_before_the_record_it_hits) {
  struct temporary t = temporary_make();
  struct wal *w = begin(&t, os_posix());
  fill(w, true);
  char path[300];
  (void)snprintf(path, sizeof path, "%s", w->path);
  wal_close(w);
  size_t size;
  uint8_t *bytes = file_load(path, &size);
  struct wal_reader whole;
  (void)read_all(path, &whole);
  wal_reader_close(&whole);
  unsigned torn = 0, damaged = 0;
  for (size_t at = WAL_HEADER; at < size; at++) {
    struct wal_reader reader;
    tally_error e;
    bytes[at] ^= 0x10;
    file_store(path, bytes, size);
    unsigned n = read_all(path, &reader);
    cr_assert_lt(n, RECORDS, "the flip at %zu was not seen", at);
    cr_assert_eq(wal_reader_survey(&reader, &e), 0);
    /* Records 31 to 40 carry the durable mark 130. A bad record is damage if a whole one behind it promises
     * it. */
    uint64_t promised = 130;
    bool damage = reader.durable >= 101 + n;
    cr_assert_eq(damage, 101 + n <= promised, "record %u", n);
    damaged += damage;
    torn += !damage;
    wal_reader_close(&reader);
    bytes[at] ^= 0x10;
    if (at % 7 == 0) {
      file_store(path, bytes, at);
      n = read_all(path, &reader);
      cr_assert_leq(reader.offset, at);
      wal_reader_close(&reader);
    }
  }
  cr_assert(torn > 0 && damaged > 0);
  for (size_t at = 0; at < WAL_HEADER; at++) {
    struct wal_reader reader;
    tally_error e;
    bytes[at] ^= 1;
    file_store(path, bytes, size);
    int result = wal_reader_open(os_posix(), path, &reader, &e);
    cr_assert(result == TALLY_CORRUPT || (result == TALLY_VERSION && (at == 4 || at == 5)), "header byte %zu",
              at);
    bytes[at] ^= 1;
  }
  free(bytes);
  temporary_remove(&t);
}

static int full_allocate(const struct os *os, struct os_file *f, uint64_t from, uint64_t size) {
  (void)os, (void)f, (void)from;
  return size > 4096 ? ENOSPC : 0;
}

Test(wal, a_full_disk_drops_the_group_whole_and_its_sequences_are_free_again) {
  struct temporary t = temporary_make();
  struct os os = *os_posix();
  os.allocate = full_allocate;
  struct wal *w = begin(&t, &os);
  tally_error e;
  uint8_t bytes[3000] = {1};
  struct wal_record r = {.batch = bytes, .batch_size = sizeof bytes};
  cr_assert_eq(wal_add(w, &r, &e), 0);
  cr_assert_eq(wal_write(w, &e), 0);
  cr_assert_eq(wal_add(w, &r, &e), 0);
  cr_assert_eq(wal_add(w, &r, &e), 0);
  uint64_t size = w->size;
  cr_assert_eq(wal_write(w, &e), TALLY_NO_SPACE);
  cr_assert_eq(w->size, size);
  cr_assert_eq(wal_group_size(w), 0);
  cr_assert_eq(w->next, 102);
  r.batch_size = 10;
  cr_assert_eq(wal_add(w, &r, &e), 0);
  cr_assert_eq(r.sequence, 102);
  cr_assert_eq(wal_write(w, &e), 0, "what fits is written");
  wal_close(w);
  temporary_remove(&t);
}

static int vain_allocate(const struct os *os, struct os_file *f, uint64_t from, uint64_t size) {
  (void)os, (void)f, (void)from, (void)size;
  return 0;
}
/* A disk on which a little of what is large has space. */
static int part_write(const struct os *os, struct os_file *f, const void *from, size_t size, uint64_t at) {
  int number = os_posix()->write(os, f, from, size > 1000 ? 1000 : size, at);
  return number ? number : size > 1000 ? ENOSPC : 0;
}

/* On file systems that cannot promise space. */
Test(wal, of_a_group_that_met_a_full_disk_half_way_no_record_is_found) {
  struct temporary t = temporary_make();
  struct os os = *os_posix();
  os.allocate = vain_allocate;
  os.write = part_write;
  struct wal *w = begin(&t, &os);
  tally_error e;
  uint8_t bytes[400] = {1};
  struct wal_record r = {.batch = bytes, .batch_size = sizeof bytes};
  cr_assert_eq(wal_add(w, &r, &e), 0);
  cr_assert_eq(wal_write(w, &e), 0);
  for (int i = 0; i < 3; i++) cr_assert_eq(wal_add(w, &r, &e), 0);
  cr_assert_eq(wal_write(w, &e), TALLY_NO_SPACE);
  struct wal_reader reader;
  uint64_t last = 0;
  cr_assert_eq(wal_reader_open(os_posix(), w->path, &reader, &e), 0, "as after a crash: %s", e.text);
  while (wal_reader_next(&reader, &r, &e) == TALLY_ROW) last = r.sequence;
  wal_reader_close(&reader);
  cr_assert_eq(last, 101);
  wal_close(w);
  temporary_remove(&t);
}

static int bad_sync(const struct os *os, struct os_file *f) {
  (void)os, (void)f;
  return ENOSPC;
}

Test(wal, a_failed_sync_is_never_a_full_disk_that_may_be_tried_again) {
  struct temporary t = temporary_make();
  struct os os = *os_posix();
  struct wal *w = begin(&t, &os);
  os.sync = bad_sync;
  tally_error e;
  struct wal_record r = {.batch = (const uint8_t *)"x", .batch_size = 1};
  cr_assert_eq(wal_add(w, &r, &e), 0);
  cr_assert_eq(wal_write(w, &e), 0);
  cr_assert_eq(wal_sync(w, &e), TALLY_IO);
  cr_assert_eq(w->durable, 100);
  wal_close(w);
  temporary_remove(&t);
}
