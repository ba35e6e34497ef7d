/* Law 1 of manifest/ when the power is cut: after every change of the disk that edits, a checkpoint and an
 * open make, with every kind of damage, the manifest opens with all that was confirmed. */
#include <criterion/criterion.h>
#include <string.h>

#include "disk/disk.h"
#include "manifest/manifest.h"

#define DRAWS 40u

static struct moment {
  struct disk *disk;
  unsigned long long generation, cases;
  uint64_t confirmed, begun; /* edits: segments 1..confirmed are there, begun ones may be */
} now;

static struct manifest *open_at(struct disk *disk, struct producers **p, struct budget *budget) {
  struct manifest *m;
  tally_error e;
  cr_assert_eq(producers_new(budget, p, &e), 0);
  cr_assert_eq(manifest_open(disk_os(disk), "/store", *p, &m, &e), 0, "%s", e.text);
  return m;
}

static void check_cut(unsigned kind, uint64_t seed) {
  struct disk *disk = disk_copy(now.disk, seed);
  struct budget budget;
  struct producers *p;
  tally_error e;
  budget_init(&budget, 16u << 20, NULL);
  disk_cut(disk, kind);
  for (int again = 0; again < 2; again++) {
    struct manifest *m = open_at(disk, &p, &budget);
    cr_assert(m->segments >= now.confirmed && m->segments <= now.begun, "%zu segments, not %llu: %s",
              m->segments, (unsigned long long)now.confirmed, disk_cut_text(kind));
    tally_mark mark = producers_mark(p, (tally_text){"p", 1}, 0);
    cr_assert_eq(mark.sequence, m->segments, "its marks are those of its edits");
    if (!again) cr_assert_eq(manifest_renew(m, &e), 0, "%s", e.text);
    manifest_close(m);
    producers_free(p);
    if (!again) disk_cut(disk, 0); /* what was read is on the disk now */
  }
  disk_free(disk);
  now.cases++;
}

static int watch(void *arg, enum disk_call call, const char *path) {
  (void)arg, (void)call, (void)path;
  if (disk_generation(now.disk) == now.generation) return 0;
  now.generation = disk_generation(now.disk);
  for (unsigned kind = 0; kind < DISK_CUTS; kind++)
    for (uint64_t seed = 1; seed <= (kind < DISK_CUTS_SURE ? 1 : DRAWS); seed++) check_cut(kind, seed);
  return 0;
}

static void commit(struct manifest *m, struct producers *p) {
  tally_error e;
  struct buffer marks = {0};
  struct mark_undo undo;
  struct batch_id batch = {{"p", 1}, 1, now.begun + 1, NULL};
  cr_assert_eq(producers_accept(p, &batch, &undo, &e), 0);
  producers_write(p, false, &marks);
  struct segment_info s = {
      .id = ++now.begun, .month = 648, .rows = 10, .min_timestamp = 5, .max_timestamp = 6, .size = 1000};
  struct edit edit = {.state = m->state,
                      .added = &s,
                      .added_count = 1,
                      .marks = marks.data,
                      .marks_size = (uint32_t)marks.size};
  edit.state.next_segment = s.id + 1;
  edit.state.covered = edit.state.durable = s.id * 10;
  cr_assert_eq(manifest_commit(m, &edit, &e), 0, "%s", e.text);
  buffer_free(&marks);
  now.confirmed = now.begun;
}

Test(manifest_cuts, a_checkpoint_and_an_open_lose_nothing_when_the_power_is_cut) {
  struct budget budget;
  struct producers *p;
  struct manifest *m;
  tally_error e;
  struct buffer marks = {0};
  budget_init(&budget, 16u << 20, NULL);
  now.disk = disk_new(1);
  const struct os *os = disk_os(now.disk);
  cr_assert_eq(os->mkdir(os, "/store"), 0);
  cr_assert_eq(os->sync_directory(os, "/"), 0);
  cr_assert_eq(producers_new(&budget, &p, &e), 0);
  cr_assert_eq(manifest_create(os, "/store", &m, &e), 0, "%s", e.text);
  now.generation = disk_generation(now.disk);
  disk_watch(now.disk, watch, NULL);
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 3; i++) commit(m, p);
    producers_write(p, true, &marks);
    cr_assert_eq(manifest_checkpoint(m, &marks, &e), 0, "%s", e.text);
    buffer_clear(&marks);
    commit(m, p);
    manifest_close(m);
    producers_free(p);
    m = open_at(now.disk, &p, &budget);
    cr_assert_eq(manifest_renew(m, &e), 0, "%s", e.text);
  }
  cr_assert_gt(now.cases, 5000);
  manifest_close(m);
  producers_free(p);
  buffer_free(&marks);
  disk_watch(now.disk, NULL, NULL);
  disk_free(now.disk);
}
