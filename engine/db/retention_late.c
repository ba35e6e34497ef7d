/* retention_late.c - what comes too late: rows that are older than retention keeps those of their service. */
#include <inttypes.h>

#include "base/mem.h"
#include "base/status.h"
#include "db/retention.h"
#include "maintain/order.h"

/* The cut of each entry of the batch's dictionary of services, NULL's at the end. */
static int64_t *cuts_of_batch(struct db *db, const struct batch_column *c, int64_t *most) {
  struct retention *r = &db->retention;
  int64_t *cut = mem_alloc((c->entries + 1) * sizeof *cut), now = db->os->now(db->os);
  const char *text = c->texts;
  *most = INT64_MIN;
  if (!cut) return NULL;
  os_lock(&r->lock);
  for (uint32_t i = 0; i <= c->entries; i++) {
    size_t size = i < c->entries ? load16(c->sizes + 2 * (size_t)i) : 0;
    cut[i] = retention_cut(policy_ages(&r->policy, i < c->entries ? text : NULL, size), STAGE_DROP, now);
    if (i < c->entries) text += size;
    if (cut[i] > *most) *most = cut[i];
  }
  os_unlock(&r->lock);
  return cut;
}

#define PIECE 1024u

static uint32_t first_late(const struct batch *batch, const int64_t *cut) {
  const struct batch_column *service = &batch->column[TALLY_COL_SERVICE_NAME];
  int64_t timestamp[PIECE], index[PIECE];
  for (uint32_t first = 0; first < batch->rows; first += PIECE) {
    uint32_t n = batch->rows - first < PIECE ? batch->rows - first : PIECE;
    batch_values(&batch->column[TALLY_COL_TIMESTAMP], first, n, timestamp);
    if (!service->absent) batch_values(service, first, n, index);
    for (uint32_t i = 0; i < n; i++) {
      uint32_t entry = batch_valid(service, first + i) ? (uint32_t)index[i] : service->entries;
      if (timestamp[i] < cut[entry]) return first + i;
    }
  }
  return batch->rows;
}

int retention_check(struct db *db, const struct batch *batch, tally_error *error) {
  if (!atomic_load(&db->retention.drops)) return 0;
  const struct batch_column *time = &batch->column[TALLY_COL_TIMESTAMP];
  int64_t most;
  int64_t *cut = cuts_of_batch(db, &batch->column[TALLY_COL_SERVICE_NAME], &most);
  if (!cut) return fail_memory(error, "a batch");
  uint32_t row = batch_within(time, batch->rows, most, TIME_MAX) ? batch->rows : first_late(batch, cut);
  mem_free(cut);
  if (row == batch->rows) return 0;
  int result = fail(error, TALLY_TOO_LATE,
                    "row %" PRIu32 ", column timestamp: the event is older than retention keeps rows of its "
                    "service: leave it out, or keep rows longer (`tally retention set`)",
                    row);
  error->row = row;
  error->column = TALLY_COL_TIMESTAMP;
  return result;
}
