/* directory_encode.c - the directory's payload (docs/format/segment.md, "Directory"). */
#include "base/bytes.h"
#include "segment/directory.h"
#include "segment/list.h"

static void put_sizes(struct list_writer *l, const struct directory *d, uint32_t first, uint32_t count) {
  for (uint32_t i = first; i < first + count; i++) {
    uint64_t size = d->at[i + 1] - d->at[i];
    list_put(l, size ? (int64_t)(size - TRAILER_BYTES) : 0);
  }
  list_end(l);
}

static int64_t spread(int64_t min, int64_t max) { return (int64_t)((uint64_t)max - (uint64_t)min); }

static void put_zones(struct list_writer *l, const struct zone *z, uint32_t count) {
  for (uint32_t c = 0; c < count; c++) list_put(l, z[c].min);
  list_end(l);
  for (uint32_t c = 0; c < count; c++) list_put(l, spread(z[c].min, z[c].max));
  list_end(l);
}

static void put_slot(struct list_writer *l, const struct directory *d, int slot) {
  const struct zone *z = &d->zone[(uint32_t)slot * d->chunks];
  put_sizes(l, d, (uint32_t)slot * d->chunks, d->chunks);
  if (slot != SLOT_METADATA) put_zones(l, z, d->chunks);
  if (slot != 0) {
    for (uint32_t c = 0; c < d->chunks; c++) list_put(l, z[c].nulls);
    list_end(l);
  }
  if (slot == SLOT_METADATA) {
    for (uint32_t c = 0; c < d->chunks; c++) list_put(l, (int64_t)d->metadata_bytes[c]);
    list_end(l);
  }
}

static void put_runs(struct list_writer *l, const struct directory *d) {
  put_sizes(l, d, directory_run_block(d, 0), d->pieces);
  for (uint32_t p = 0; p < d->pieces; p++) list_put(l, d->piece_user[p]);
  list_end(l);
  for (uint32_t p = 0; p < d->pieces; p++) list_put(l, d->piece_row[p + 1] - d->piece_row[p]);
  list_end(l);
  if (d->sums_fit) put_sizes(l, d, directory_sum_block(d, 0), d->pieces);
}

static void put_spans(struct list_writer *l, const struct directory *d) {
  for (uint32_t i = 0; i < d->services; i++) list_put(l, d->span[i].service);
  list_end(l);
  for (uint32_t i = 0; i < d->services; i++) list_put(l, d->span[i].runs);
  list_end(l);
  for (uint32_t i = 0; i < d->services; i++) list_put(l, d->span[i].rows);
  list_end(l);
}

static void put_service_measure(struct list_writer *l, const struct directory *d, int m) {
  for (uint32_t i = 0; i < d->services; i++) list_put(l, d->service[i].measure[m].sum);
  list_end(l);
  for (uint32_t i = 0; i < d->services; i++) list_put(l, d->service[i].measure[m].min);
  list_end(l);
  for (uint32_t i = 0; i < d->services; i++)
    list_put(l, spread(d->service[i].measure[m].min, d->service[i].measure[m].max));
  list_end(l);
  if (d->total.measure[m].nonnull == d->rows) return;
  for (uint32_t i = 0; i < d->services; i++) list_put(l, d->service[i].measure[m].nonnull);
  list_end(l);
}

static void put_services(struct list_writer *l, const struct directory *d) {
  for (uint32_t i = 0; i < d->services; i++) list_put(l, d->service[i].errors);
  list_end(l);
  for (uint32_t i = 0; i < d->services; i++) list_put(l, d->service[i].min_timestamp);
  list_end(l);
  for (uint32_t i = 0; i < d->services; i++)
    list_put(l, spread(d->service[i].min_timestamp, d->service[i].max_timestamp));
  list_end(l);
  for (int m = 0; m < MEASURES; m++) put_service_measure(l, d, m);
}

static void put_level(struct list_writer *l, const struct directory *d, enum rollup_level level) {
  const struct rollup_place *p = &d->rollup[level];
  put_sizes(l, d, p->block, p->pieces);
  for (uint32_t i = 0; i < p->pieces; i++) list_put(l, p->first[i]);
  list_end(l);
  for (uint32_t i = 0; i < p->pieces; i++) list_put(l, p->last[i] - p->first[i]);
  list_end(l);
}

static void put_rollups(struct list_writer *l, const struct directory *d) {
  if (d->rollup_keys) put_sizes(l, d, d->key_block, 1);
  put_level(l, d, ROLLUP_HOUR);
  put_level(l, d, ROLLUP_DAY);
  put_sizes(l, d, d->set_block, d->user_sets);
  for (uint32_t i = 0; i < d->user_sets; i++) list_put(l, d->user_set[i].day);
  list_end(l);
  for (uint32_t i = 0; i < d->user_sets; i++) list_put(l, d->user_set[i].users);
  list_end(l);
}

/* What a thinned segment has instead of zones, and its other levels. */
static void put_thinned(struct list_writer *l, const struct directory *d) {
  struct buffer *out = l->out;
  put_sizes(l, d, d->user_key_block, 1);
  put_level(l, d, ROLLUP_USER_HOUR);
  put_level(l, d, ROLLUP_USER_DAY);
  write_varint(out, d->max_id[column_domain(TALLY_COL_ENDPOINT)]);
  write_varint(out, d->max_id[column_domain(TALLY_COL_METHOD)]);
  write_varint(out, (uint64_t)d->total.min_timestamp);
  write_varint(out, (uint64_t)(d->total.max_timestamp - d->total.min_timestamp));
  for (int m = 0; m < MEASURES; m++) {
    const struct measure *x = &d->total.measure[m];
    write_varint(out, zigzag(x->min));
    write_varint(out, (uint64_t)x->max - (uint64_t)x->min);
    write_varint(out, x->nonnull);
  }
}

void directory_encode(const struct directory *d, struct buffer *out, struct ints_scratch *scratch) {
  struct list_writer l = {.out = out, .scratch = scratch};
  write_varint(out, d->rows);
  write_varint(out, (uint64_t)d->month);
  write_varint(out, d->runs);
  write_varint(out, d->services);
  write_varint(out, d->max_id[column_domain(TALLY_COL_USER_ID)]);
  write8(out,
         (uint8_t)((d->sums_fit ? DIRECTORY_SUMS : 0) | (d->has_service_totals ? DIRECTORY_SERVICES : 0) |
                   (d->hour_bounds ? DIRECTORY_BOUNDS : 0) | (d->thinned ? DIRECTORY_THINNED : 0)));
  write_varint(out, d->rollup_keys);
  write_varint(out, d->rollup[ROLLUP_HOUR].entries);
  write_varint(out, d->rollup[ROLLUP_DAY].entries);
  write_varint(out, d->user_sets);
  if (d->thinned) {
    write_varint(out, d->user_keys);
    write_varint(out, d->rollup[ROLLUP_USER_HOUR].entries);
    write_varint(out, d->rollup[ROLLUP_USER_DAY].entries);
  }
  for (int slot = 0; slot < SLOTS; slot++) put_slot(&l, d, slot);
  put_runs(&l, d);
  put_spans(&l, d);
  if (d->sums_fit) {
    write_varint(out, d->total.errors);
    for (int m = 0; m < MEASURES; m++) write_varint(out, zigzag(d->total.measure[m].sum));
  }
  if (d->has_service_totals) put_services(&l, d);
  put_rollups(&l, d);
  if (d->thinned) put_thinned(&l, d);
  buffer_free(&l.piece);
}
