/* The laws of manifest/: an edit is whole or absent, a torn one is cut off, damage before the end is found,
 * marks survive. */
#include <criterion/criterion.h>
#include <string.h>

#include "manifest/manifest.h"
#include "support/temporary.h"

static struct segment_info segment(uint64_t id) {
  struct segment_info s = {
      .id = id, .month = 648, .rows = 10, .min_timestamp = 5, .max_timestamp = 6, .size = 1000};
  memset(s.digest, (int)id, sizeof s.digest);
  s.thinned = id % 2 == 0;
  if (s.thinned) s.rows = 3000000000; /* more than a segment with rows may have */
  return s;
}

static void commit(struct manifest *m, uint64_t id, uint64_t removed, const struct buffer *marks) {
  tally_error e;
  struct segment_info s = segment(id);
  struct edit edit = {
      .state = m->state, .added = &s, .added_count = 1, .removed = &removed, .removed_count = removed != 0};
  edit.state.next_segment = id + 1;
  edit.state.covered = edit.state.durable = id * 10;
  if (marks) edit.marks = marks->data, edit.marks_size = (uint32_t)marks->size;
  cr_assert_eq(manifest_commit(m, &edit, &e), 0, "%s", e.text);
}

static struct batch_id batch(const char *name, uint64_t epoch, uint64_t sequence, const char *fingerprint) {
  return (struct batch_id){{name, strlen(name)}, epoch, sequence, (const uint8_t *)fingerprint};
}

static enum mark_verdict check(struct producers *p, const char *name, uint64_t epoch, uint64_t sequence,
                               const char *fingerprint, uint64_t *expected) {
  struct batch_id id = batch(name, epoch, sequence, fingerprint);
  return producers_check(p, &id, expected);
}

static struct mark_undo accept(struct producers *p, const char *name, uint64_t epoch, uint64_t sequence,
                               const char *fingerprint) {
  struct batch_id id = batch(name, epoch, sequence, fingerprint);
  struct mark_undo undo;
  tally_error e;
  cr_assert_eq(producers_accept(p, &id, &undo, &e), 0);
  return undo;
}

#define F1 "fingerprint-0001"
#define F2 "fingerprint-0002"

Test(producers, verdicts_are_those_of_the_contract) {
  struct budget budget;
  budget_init(&budget, 1u << 20, NULL);
  struct producers *p;
  tally_error e;
  uint64_t expected = 0;
  cr_assert_eq(producers_new(&budget, &p, &e), 0);
  cr_assert_eq(check(p, "a", 1, 2, NULL, &expected), MARK_GAP);
  cr_assert_eq(expected, 1);
  cr_assert_eq(check(p, "a", 1, 1, F1, &expected), MARK_NEXT);
  struct mark_undo undo = accept(p, "a", 1, 1, F1);
  producers_undo(p, &undo);
  cr_assert_eq(check(p, "a", 1, 1, F2, &expected), MARK_NEXT, "a batch that was taken back is not in");
  (void)accept(p, "a", 1, 1, F1);
  cr_assert_eq(check(p, "a", 1, 1, F1, &expected), MARK_DUPLICATE);
  cr_assert_eq(check(p, "a", 1, 1, NULL, &expected), MARK_DUPLICATE);
  cr_assert_eq(check(p, "a", 1, 1, F2, &expected), MARK_CONFLICT);
  for (uint64_t i = 2; i <= 100; i++) (void)accept(p, "a", 1, i, F1);
  cr_assert_eq(check(p, "a", 1, 37, F2, &expected), MARK_CONFLICT, "the last 64 fingerprints are remembered");
  cr_assert_eq(check(p, "a", 1, 36, F2, &expected), MARK_DUPLICATE, "older repeats are duplicates");
  cr_assert_eq(check(p, "a", 1, 102, NULL, &expected), MARK_GAP);
  cr_assert_eq(expected, 101);
  cr_assert_eq(check(p, "a", 3, 2, NULL, &expected), MARK_GAP);
  cr_assert_eq(expected, 1);
  (void)accept(p, "a", 3, 1, NULL);
  cr_assert_eq(check(p, "a", 1, 100, NULL, &expected), MARK_DUPLICATE, "marks of old epochs are kept");
  cr_assert_eq(check(p, "a", 1, 101, NULL, &expected), MARK_STALE);
  cr_assert_eq(expected, 3);
  cr_assert_eq(check(p, "a", 2, 1, NULL, &expected), MARK_STALE);
  cr_assert_eq(check(p, "b", 9, 1, NULL, &expected), MARK_NEXT);
  tally_mark m = producers_mark(p, (tally_text){"a", 1}, 1);
  cr_assert(m.epoch == 1 && m.sequence == 100);
  m = producers_mark(p, (tally_text){"a", 1}, 0);
  cr_assert(m.epoch == 3 && m.sequence == 1);
  producers_free(p);
  cr_assert_eq(budget_used(&budget), 0);
}

Test(manifest, edits_and_marks_survive_and_a_torn_edit_is_cut_off_at_every_length) {
  struct temporary t = temporary_make();
  struct budget budget;
  budget_init(&budget, 16u << 20, NULL);
  struct producers *p;
  struct manifest *m;
  tally_error e;
  struct buffer marks = {0};
  cr_assert_eq(producers_new(&budget, &p, &e), 0);
  cr_assert_eq(manifest_create(os_posix(), t.path, &m, &e), 0, "%s", e.text);
  (void)accept(p, "a", 1, 1, F1);
  producers_write(p, false, &marks);
  commit(m, 1, 0, &marks);
  buffer_clear(&marks);
  (void)accept(p, "b", 4, 1, NULL);
  producers_write(p, false, &marks);
  commit(m, 2, 0, &marks);
  uint64_t whole = m->size;
  commit(m, 3, 1, NULL);
  char path[300];
  (void)snprintf(path, sizeof path, "%s", m->path);
  manifest_close(m);
  producers_free(p);
  size_t size;
  uint8_t *bytes = file_load(path, &size);
  for (size_t cut = whole; cut <= size; cut++) {
    file_store(path, bytes, cut);
    cr_assert_eq(producers_new(&budget, &p, &e), 0);
    cr_assert_eq(manifest_open(os_posix(), t.path, p, &m, &e), 0, "%s", e.text);
    cr_assert_eq(m->segments, 2);
    cr_assert_eq(m->segment[0].id, cut == size ? 2 : 1);
    for (int i = 0; i < 2; i++) {
      struct segment_info want = segment(m->segment[i].id);
      cr_assert(m->segment[i].rows == want.rows && m->segment[i].thinned == want.thinned);
    }
    cr_assert_eq(m->state.covered, cut == size ? 30 : 20);
    uint64_t expected;
    cr_assert_eq(check(p, "a", 1, 1, F2, &expected), MARK_CONFLICT);
    cr_assert_eq(check(p, "b", 4, 1, NULL, &expected), MARK_DUPLICATE);
    manifest_close(m);
    producers_free(p);
  }
  for (size_t at = 0; at < whole;
       at++) { /* before the last edit every flip is damage: a whole edit stands behind it */
    bytes[at] ^= 4;
    file_store(path, bytes, size);
    cr_assert_eq(producers_new(&budget, &p, &e), 0);
    int result = manifest_open(os_posix(), t.path, p, &m, &e);
    cr_assert(result == TALLY_CORRUPT || (result == TALLY_VERSION && at >= 4 && at < 6), "byte %zu: %d", at,
              result);
    producers_free(p);
    bytes[at] ^= 4;
  }
  free(bytes);
  buffer_free(&marks);
  temporary_remove(&t);
}

Test(manifest, a_checkpoint_replaces_the_file_and_keeps_everything) {
  struct temporary t = temporary_make();
  struct budget budget;
  budget_init(&budget, 16u << 20, NULL);
  struct producers *p;
  struct manifest *m;
  tally_error e;
  struct buffer marks = {0};
  cr_assert_eq(producers_new(&budget, &p, &e), 0);
  cr_assert_eq(manifest_create(os_posix(), t.path, &m, &e), 0);
  (void)accept(p, "a", 1, 1, F1);
  for (uint64_t id = 1; id <= 100; id++) commit(m, id, 0, NULL);
  producers_write(p, true, &marks);
  cr_assert_eq(manifest_checkpoint(m, &marks, &e), 0, "%s", e.text);
  commit(m, 101, 50, NULL);
  manifest_close(m);
  producers_free(p);
  cr_assert_eq(producers_new(&budget, &p, &e), 0);
  cr_assert_eq(manifest_open(os_posix(), t.path, p, &m, &e), 0, "%s", e.text);
  cr_assert_eq(m->number, 2);
  cr_assert_eq(m->segments, 100);
  uint64_t expected;
  cr_assert_eq(check(p, "a", 1, 1, F1, &expected), MARK_DUPLICATE);
  manifest_close(m);
  producers_free(p);
  buffer_free(&marks);
  temporary_remove(&t);
}
