/* sum_read.c - the sums on runs (docs/format/segment.md, "Sum blocks"). */
#include "base/status.h"
#include "segment/cost_read.h"
#include "segment/inside.h"
#include "segment/part.h"
#include "segment/summary.h"

/* The sequences of a group of a sum block, in order; counts that equal the runs' rows are not there. */
struct sequences {
  struct ints tokens, cost, errors, nonnull[RUN_COUNTS];
  bool priced; /* `cost` holds differences, from these prices */
  struct reader prices;
  bool stored[RUN_COUNTS];
};

static bool open_costs(struct reader *r, uint32_t count, struct sequences *q) {
  struct reader in;
  if (!part_take(r, &in)) return false;
  uint8_t model = read8(&in);
  q->priced = model == COST_PRICED;
  q->prices = in;
  if (in.bad || model > COST_PRICED || (q->priced && !cost_read_prices(&in, count))) return false;
  return ints_open(in.at, reader_left(&in), count, &q->cost);
}

static bool open_sequences(const struct segment *s, struct reader r, uint32_t count, struct sequences *q) {
  bool sound =
      part_open(&r, count, &q->tokens) && open_costs(&r, count, q) && part_open(&r, count, &q->errors);
  for (int c = 0; c < RUN_COUNTS && sound; c++) {
    q->stored[c] = s->total.measure[run_count_measure((enum run_count)c)].nonnull != s->info.rows;
    if (q->stored[c]) sound = part_open(&r, count, &q->nonnull[c]);
  }
  return sound && !r.bad && reader_left(&r) == 0;
}

/* The bytes of a group of a piece with `groups` of them; bad if the table does not fill the block. */
static struct reader find_group(const struct block *b, uint32_t groups, uint32_t g) {
  size_t at = (size_t)groups * SUM_ENTRY, start = 0, size = 0;
  if (at > b->size) return (struct reader){.bad = true};
  for (uint32_t i = 0; i < groups; i++) {
    if (i == g) {
      start = at;
      size = load16(b->payload + (size_t)i * SUM_ENTRY);
    }
    at += load16(b->payload + (size_t)i * SUM_ENTRY);
  }
  if (at != b->size) return (struct reader){.bad = true};
  return reader_make(b->payload + start, size);
}

/* Counts are between 0 and the segment's rows. */
static bool read_counts(const struct segment *s, const struct ints *ints, uint32_t first, uint32_t count,
                        uint32_t *to) {
  int64_t v[SUM_GROUP];
  bool sound = true;
  ints_decode(ints, first, count, v);
  for (uint32_t i = 0; i < count; i++) {
    sound &= (uint64_t)v[i] <= s->info.rows;
    to[i] = (uint32_t)v[i];
  }
  return sound;
}

static void read_costs(const struct sequences *q, uint32_t first, uint32_t count, int64_t *to) {
  int64_t tokens[SUM_GROUP];
  ints_decode(&q->cost, first, count, to);
  if (!q->priced) return;
  ints_decode(&q->tokens, first, count, tokens);
  cost_apply_prices(q->prices, first, count, tokens, to);
}

static uint32_t *count_array(const struct run_sums *sums, enum run_count c) {
  return c == COUNT_STATUS   ? sums->status_nonnull
         : c == COUNT_TOKENS ? sums->tokens_nonnull
                             : sums->cost_nonnull;
}

/* Sums of runs [first, first + count) of a group, relative to it, to place `to` of the arrays; `run` is the
 * group's first run, of `runs`. */
static int read_group(struct segment *s, const struct block *b, struct reader r, uint32_t run, uint32_t runs,
                      uint32_t first, uint32_t count, uint32_t to, const struct run_sums *sums,
                      tally_error *error) {
  struct sequences q;
  if (!open_sequences(s, r, runs, &q)) return block_damage(s, b, "segment-sums-sequences", error);
  if (sums->tokens) ints_decode(&q.tokens, first, count, sums->tokens + to);
  if (sums->cost) read_costs(&q, first, count, sums->cost + to);
  bool sound = !sums->errors || read_counts(s, &q.errors, first, count, sums->errors + to);
  for (int c = 0; c < RUN_COUNTS && sound; c++) {
    uint32_t *counts = count_array(sums, (enum run_count)c);
    if (!counts) continue;
    if (q.stored[c]) {
      sound = read_counts(s, &q.nonnull[c], first, count, counts + to);
    } else {
      int result = run_lengths(s, run + first, count, counts + to, error);
      if (result) return result;
    }
  }
  return sound ? 0 : block_damage(s, b, "segment-sums-counts", error);
}

/* The same of a piece. */
static int read_piece(struct segment *s, const struct block *b, uint32_t piece, uint32_t first,
                      uint32_t count, uint32_t to, const struct run_sums *sums, tally_error *error) {
  uint32_t all = directory_piece_runs(&s->inside->directory, piece);
  uint32_t groups = (all + SUM_GROUP - 1) / SUM_GROUP;
  int result = 0;
  for (uint32_t done = 0; done < count && !result;) {
    uint32_t g = (first + done) / SUM_GROUP, at = (first + done) % SUM_GROUP;
    uint32_t runs = g + 1 < groups ? SUM_GROUP : all - g * SUM_GROUP, n = runs - at;
    if (n > count - done) n = count - done;
    struct reader r = find_group(b, groups, g);
    if (r.bad) return block_damage(s, b, "segment-sums-table", error);
    result = read_group(s, b, r, piece * RUN_PIECE + g * SUM_GROUP, runs, at, n, to + done, sums, error);
    done += n;
  }
  return result;
}

int segment_run_sums(struct segment *s, uint32_t first, uint32_t count, const struct run_sums *sums,
                     tally_error *error) {
  int result = 0;
  for (uint32_t done = 0; done < count && !result;) {
    uint32_t piece = (first + done) / RUN_PIECE, at = (first + done) % RUN_PIECE, n = RUN_PIECE - at;
    if (n > count - done) n = count - done;
    struct block b;
    result = block_pin(s, directory_sum_block(&s->inside->directory, piece), &b, error);
    if (result) break;
    result = read_piece(s, &b, piece, at, n, done, sums, error);
    block_release(&b);
    done += n;
  }
  return result;
}
