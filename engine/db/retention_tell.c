/* retention_tell.c - what retention would do, without doing it. */
#include "base/mem.h"
#include "base/status.h"
#include "db/retention.h"
#include "maintain/reading.h"

/* What becomes of a segment's rows: each goes to the last stage whose cut is behind it, or stays. */
struct fates {
  uint64_t rows[STAGES];
  int64_t last, least_cut; /* of the rows that are neither dropped nor thinned: time, cut of the archive */
};

/* The latest stage of a row's time; STAGES: none. */
static int fate_of(const int64_t cut[STAGES], int64_t time) {
  int stage = STAGE_DROP;
  while (stage >= STAGE_ARCHIVE && time >= cut[stage]) stage--;
  return stage < STAGE_ARCHIVE ? STAGES : stage;
}

static int read_fates(const struct retention_look *l, struct segment *s, struct fates *fates,
                      tally_error *error) {
  struct snapshot one = {.catalog = l->db->catalog, .segments = &s, .segment_count = 1};
  for (int d = 0; d < DOMAINS; d++) one.ids[d] = catalog_count(l->db->catalog, d);
  struct reading r = {0};
  uint32_t known = UINT32_MAX; /* the service that `cut` is of */
  int64_t cut[STAGES] = {0};
  int result =
      reading_begin(&r, &one, s->info.min_timestamp, s->info.max_timestamp + 1,
                    1u << TALLY_COL_TIMESTAMP | 1u << TALLY_COL_SERVICE_NAME, &l->db->work_budget, error);
  while (!result && (result = reading_next(&r, error)) == TALLY_ROW) {
    const int64_t *time = r.vector->value[TALLY_COL_TIMESTAMP],
                  *service = r.vector->value[TALLY_COL_SERVICE_NAME];
    for (uint32_t i = 0; i < r.vector->rows; i++) {
      for (int stage = 0; known != (uint32_t)service[i] && stage < STAGES; stage++)
        cut[stage] = retention_cut_of_service(l, (uint32_t)service[i], (enum retention_stage)stage);
      known = (uint32_t)service[i];
      int fate = fate_of(cut, time[i]);
      if (fate != STAGES) fates->rows[fate]++;
      if (fate == STAGE_THIN || fate == STAGE_DROP) continue;
      if (time[i] > fates->last) fates->last = time[i];
      if (cut[STAGE_ARCHIVE] < fates->least_cut) fates->least_cut = cut[STAGE_ARCHIVE];
    }
    result = 0;
  }
  reading_end(&r);
  return result;
}

/* Of a segment that is thinned, only what is dropped is told; another goes to the archive as a whole. */
static int fates_of(const struct retention_look *l, struct segment *s, struct fates *fates,
                    tally_error *error) {
  *fates = (struct fates){.last = INT64_MIN, .least_cut = INT64_MAX};
  bool any = false;
  for (int stage = STAGE_ARCHIVE; stage < STAGES; stage++) {
    int64_t least, most;
    retention_cuts_of_segment(l, s, (enum retention_stage)stage, &least, &most);
    any = any || s->info.min_timestamp < most;
  }
  if (!any) return 0;
  if (s->info.thinned) return retention_count(l, s, STAGE_DROP, &fates->rows[STAGE_DROP], error);
  int result = read_fates(l, s, fates, error);
  if (s->info.archived || fates->last >= fates->least_cut) fates->rows[STAGE_ARCHIVE] = 0;
  return result;
}

/* Tells of what is due in a month without doing it. */
int retention_tell(const struct retention_look *l, struct segment **s, size_t count,
                   int (*did)(void *arg, const struct retention_report *report), void *arg,
                   tally_error *error) {
  for (size_t i = 0; i < count; i++) {
    struct fates fates;
    int result = fates_of(l, s[i], &fates, error);
    if (result) return result;
    for (int stage = STAGE_DROP; stage >= STAGE_ARCHIVE; stage--) {
      if (!fates.rows[stage]) continue;
      struct retention_report report = {.what = stage_name[stage],
                                        .month = s[i]->info.month,
                                        .segments = 1,
                                        .rows = fates.rows[stage],
                                        .bytes_before = s[i]->info.size};
      if (did(arg, &report)) return fail_memory(error, "a report");
    }
  }
  return 0;
}
