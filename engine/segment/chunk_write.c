/* chunk_write.c - encoding columns chunk by chunk; see chunk_write.h. */
#include "segment/chunk_write.h"

#include "base/array.h"
#include "base/kernel.h"
#include "base/status.h"
#include "encoding/texts.h"
#include "segment/cost_write.h"

/* One chunk of a slot: its rows are [first, first + count). */
struct chunk {
  const struct rows *rows;
  int column;
  uint32_t first, count;
  const uint64_t *valid; /* of the chunk: bit 0 is row `first`; NULL: the column has no such map */
};

static void gather(const struct chunk *c, int64_t *to) {
  const struct rows *rows = c->rows;
  uint32_t first = c->first, count = c->count;
  switch (column_kind(c->column)) {
  case KIND_TIME:
    memcpy(to, rows->timestamp + first, count * sizeof *to);
    break;
  case KIND_TEXT:
    array_widen_ids(rows->text[column_domain(c->column)] + first, count, to);
    break;
  case KIND_INT:
    array_widen(rows->number[c->column - TALLY_COL_REQUEST_SIZE] + first, count, to);
    break;
  case KIND_COST:
    memcpy(to, rows->cost + first, count * sizeof *to);
    break;
  case KIND_JSON:
    break;
  }
}

/* Ids keep their NULLs as 0 in the values; the zone leaves them out: less 1 they are the greatest. */
KERNEL static struct zone text_zone(const uint32_t *id, uint32_t count) {
  uint32_t least = UINT32_MAX, max = 0, nulls = 0;
  for (uint32_t i = 0; i < count; i++) {
    nulls += id[i] == 0;
    least = id[i] - 1 < least ? id[i] - 1 : least;
    max = id[i] > max ? id[i] : max;
  }
  return (struct zone){nulls == count ? 0 : (int64_t)least + 1, max, nulls};
}

/* Compacts the values and gives the zone of what is left. */
static struct zone number_zone(const struct chunk *c, int64_t *v, uint32_t nulls) {
  if (nulls == c->count) return (struct zone){0, 0, nulls};
  uint32_t left = nulls ? chunk_compact(v, c->valid, c->count) : c->count;
  const struct bounds b =
      nulls == 0 && column_kind(c->column) == KIND_INT
          ? array_bounds_narrow(c->rows->number[c->column - TALLY_COL_REQUEST_SIZE] + c->first, left)
          : array_bounds(v, left);
  return (struct zone){b.min, b.max, nulls};
}

static void put_validity(struct buffer *out, const struct chunk *c, uint32_t nulls) {
  if (nulls == 0) return;
  size_t bytes = bitmap_bytes(c->count);
  buffer_append(out, c->valid, bytes);
  uint32_t last = c->count % 8;
  if (last && !out->failed) out->data[out->size - 1] &= (uint8_t)((1u << last) - 1);
}

static void put_costs(struct buffer *out, const struct chunk *c, uint32_t nulls, const struct directory *d,
                      struct chunk_scratch *scratch) {
  const int32_t *tokens = c->rows->number[TALLY_COL_TOKENS_USED - TALLY_COL_REQUEST_SIZE] + c->first;
  array_widen(tokens, c->count, scratch->tokens);
  struct costs costs = {.count = c->count,
                        .tokens = scratch->tokens,
                        .cost = c->rows->cost + c->first,
                        .valid = c->valid,
                        .nulls = nulls};
  cost_find_parts(&costs, d, false, c->first);
  cost_write(out, &costs, scratch);
}

static void put_numbers(struct output *o, const struct chunk *c, struct directory *d, struct zone *z,
                        struct chunk_scratch *scratch) {
  gather(c, scratch->values);
  if (column_kind(c->column) == KIND_TEXT) {
    *z = text_zone(c->rows->text[column_domain(c->column)] + c->first, c->count);
    if (directory_has_block(z, column_slot(c->column), c->count))
      ints_encode_next(scratch->values, c->count, &o->buffer, &scratch->ints, &scratch->column);
    return;
  }
  uint32_t nulls = c->valid ? c->count - (uint32_t)bitmap_count(c->valid, c->count) : 0;
  *z = number_zone(c, scratch->values, nulls);
  if (!directory_has_block(z, column_slot(c->column), c->count)) return;
  put_validity(&o->buffer, c, nulls);
  if (column_kind(c->column) == KIND_COST)
    put_costs(&o->buffer, c, nulls, d, scratch);
  else
    ints_encode_next(scratch->values, c->count - nulls, &o->buffer, &scratch->ints, &scratch->column);
}

static void put_metadata(struct output *o, const struct chunk *c, struct zone *z, uint64_t *bytes,
                         struct chunk_scratch *scratch) {
  const uint64_t *at = c->rows->metadata_at + c->first;
  uint32_t n = 0;
  for (uint32_t i = 0; i < c->count; i++) {
    scratch->at[n] = at[i] - at[0];
    n += bitmap_get(c->valid, i);
  }
  scratch->at[n] = at[c->count] - at[0];
  *z = (struct zone){.nulls = c->count - n};
  *bytes = at[c->count] - at[0];
  if (n == 0) return;
  put_validity(&o->buffer, c, z->nulls);
  const char *text = c->rows->metadata ? c->rows->metadata + at[0] : "";
  texts_encode(scratch->at, n, text, &o->buffer, &scratch->ints);
}

static const uint64_t *validity(const struct rows *rows, int column, uint32_t first) {
  if (column < TALLY_COL_REQUEST_SIZE) return NULL;
  return rows->valid[column - TALLY_COL_REQUEST_SIZE] + first / 64;
}

int chunk_write_slot(struct output *o, const struct rows *rows, int slot, struct directory *d,
                     struct chunk_scratch *scratch, tally_error *error) {
  scratch->column = (struct ints_memory){0};
  for (uint32_t i = 0; i < d->chunks; i++) {
    uint32_t block = (uint32_t)slot * d->chunks + i;
    struct chunk c = {rows, slot_column(slot), i * CHUNK_ROWS, directory_chunk_rows(d, i), NULL};
    c.valid = validity(rows, c.column, c.first);
    size_t start = o->buffer.size;
    d->at[block] = output_offset(o);
    if (slot == SLOT_METADATA)
      put_metadata(o, &c, &d->zone[block], &d->metadata_bytes[i], scratch);
    else
      put_numbers(o, &c, d, &d->zone[block], scratch);
    if (o->buffer.failed || scratch->trial.failed) return fail_memory(error, "encoding a segment");
    if (!directory_has_block(&d->zone[block], slot, c.count)) continue;
    int result = output_block(o, start, NULL, error);
    if (result) return result;
  }
  return 0;
}
