/* run_write.c - encoding runs and their sums; see run_write.h. */
#include "segment/run_write.h"

#include "base/status.h"
#include "segment/cost_write.h"
#include "segment/part.h"

/* Users and lengths of runs [first, first + count), count at most RUN_GROUP; fills in the group's entry. */
static void put_group(struct buffer *out, const struct summary *s, uint32_t piece_first, uint32_t first,
                      uint32_t count, size_t entry, struct chunk_scratch *scratch) {
  int64_t *v = scratch->values;
  size_t start = out->size;
  for (uint32_t i = 0; i < count; i++) v[i] = s->user[first + i];
  ints_encode_next(v, count, out, &scratch->ints, &scratch->runs.users);
  size_t users = out->size - start;
  for (uint32_t i = 0; i < count; i++) v[i] = s->row[first + i + 1] - s->row[first + i];
  ints_encode_next(v, count, out, &scratch->ints, &scratch->runs.rows);
  if (out->failed) return;
  uint8_t *p = out->data + entry;
  store32(p, s->user[first]);
  store32(p + 4, s->row[first] - s->row[piece_first]);
  store16(p + 8, (uint16_t)users);
  store16(p + 10, (uint16_t)(out->size - start - users));
}

static void put_runs(struct buffer *out, const struct summary *s, uint32_t first, uint32_t count,
                     struct chunk_scratch *scratch) {
  size_t table = out->size;
  uint32_t groups = (count + RUN_GROUP - 1) / RUN_GROUP;
  buffer_add(out, (size_t)groups * RUN_ENTRY);
  for (uint32_t g = 0; g < groups; g++) {
    uint32_t at = g * RUN_GROUP, n = count - at < RUN_GROUP ? count - at : RUN_GROUP;
    put_group(out, s, first, first + at, n, table + (size_t)g * RUN_ENTRY, scratch);
  }
}

static void put_costs(struct buffer *out, const struct summary *s, const struct directory *d, uint32_t first,
                      uint32_t count, struct chunk_scratch *scratch) {
  size_t start = out->size;
  struct costs costs = {
      .count = count, .tokens = s->tokens + first, .cost = s->cost + first, .row = s->row + first};
  cost_find_parts(&costs, d, true, first);
  cost_write(out, &costs, scratch);
  part_end(out, start);
}

static void put_counts(struct buffer *out, const uint32_t *counts, uint32_t count, struct ints_memory *memory,
                       struct chunk_scratch *scratch) {
  for (uint32_t i = 0; i < count; i++) scratch->values[i] = counts[i];
  part_put(out, scratch->values, count, &scratch->ints, memory);
}

static void put_sum_group(struct buffer *out, const struct summary *s, const struct directory *d,
                          uint32_t first, uint32_t count, struct chunk_scratch *scratch) {
  part_put(out, s->tokens + first, count, &scratch->ints, &scratch->runs.tokens);
  put_costs(out, s, d, first, count, scratch);
  put_counts(out, s->errors + first, count, &scratch->runs.errors, scratch);
  for (int c = 0; c < RUN_COUNTS; c++)
    if (d->total.measure[run_count_measure((enum run_count)c)].nonnull != d->rows)
      put_counts(out, s->nonnull[c] + first, count, &scratch->runs.nonnull[c], scratch);
}

/* A group's sequences take at most 9 bytes a value or so: their size fits 16 bits. */
static void put_sums(struct buffer *out, const struct summary *s, const struct directory *d, uint32_t first,
                     uint32_t count, struct chunk_scratch *scratch) {
  size_t table = out->size;
  uint32_t groups = (count + SUM_GROUP - 1) / SUM_GROUP;
  buffer_add(out, (size_t)groups * SUM_ENTRY);
  for (uint32_t g = 0; g < groups; g++) {
    uint32_t at = g * SUM_GROUP, n = count - at < SUM_GROUP ? count - at : SUM_GROUP;
    size_t start = out->size;
    put_sum_group(out, s, d, first + at, n, scratch);
    if (!out->failed) store16(out->data + table + (size_t)g * SUM_ENTRY, (uint16_t)(out->size - start));
  }
}

static int write_piece(struct output *o, const struct summary *s, struct directory *d, uint32_t piece,
                       bool sums, struct chunk_scratch *scratch, tally_error *error) {
  uint32_t first = piece * RUN_PIECE, count = directory_piece_runs(d, piece);
  size_t start = o->buffer.size;
  d->at[sums ? directory_sum_block(d, piece) : directory_run_block(d, piece)] = output_offset(o);
  if (sums) {
    put_sums(&o->buffer, s, d, first, count, scratch);
  } else {
    put_runs(&o->buffer, s, first, count, scratch);
    d->piece_user[piece] = s->user[first];
    d->piece_row[piece] = s->row[first];
  }
  if (o->buffer.failed || scratch->trial.failed) return fail_memory(error, "encoding a segment's runs");
  return output_block(o, start, NULL, error);
}

int run_write(struct output *o, const struct summary *s, struct directory *d, struct chunk_scratch *scratch,
              tally_error *error) {
  int result = 0;
  for (uint32_t p = 0; p < d->pieces && !result; p++) result = write_piece(o, s, d, p, false, scratch, error);
  d->piece_row[d->pieces] = d->rows;
  for (uint32_t p = 0; s->sums_fit && p < d->pieces && !result; p++)
    result = write_piece(o, s, d, p, true, scratch, error);
  return result;
}
