/* chunk_sum.c - what is added up of a whole chunk, mostly without values by row; see segment.h.
 *
 * A block that has not been found sound is decoded whole first, as that checks its values against their zone:
 * so damage that a reader of rows would tell is told here too. */
#include "base/array.h"
#include "base/bitmap.h"
#include "segment/cost_read.h"
#include "segment/inside.h"

#define PIECE 1024u /* rows of a column that are decoded at a time, to stay in the nearest cache */
#define COST (TALLY_COL_COST - TALLY_COL_REQUEST_SIZE)
#define TOKENS (TALLY_COL_TOKENS_USED - TALLY_COL_REQUEST_SIZE)

/* False if the block has none. */
static bool open_sequence(const struct block *b, int column, uint32_t rows, uint32_t nulls,
                          struct sequence *q) {
  struct reader r = reader_make(b->payload, b->size);
  if (nulls) read_bytes(&r, bitmap_bytes(rows));
  uint8_t model = column_kind(column) == KIND_COST ? read8(&r) : COST_PLAIN;
  q->priced = model == COST_PRICED;
  q->prices = r;
  if (q->priced && !cost_read_prices(&r, rows)) return false;
  return !r.bad && ints_open(r.at, reader_left(&r), rows - nulls, &q->ints);
}

/* Costs that follow tokens, none of both NULL: their sums. */
static void sum_priced(const struct sequence *cost, const struct ints *tokens, struct bounds bounds,
                       uint64_t *cost_sum, uint64_t *token_sum) {
  int64_t token[PIECE];
  *cost_sum = ints_sum(&cost->ints);
  *token_sum = 0;
  for (uint32_t at = 0, n; at < tokens->count; at += n) {
    n = tokens->count - at < PIECE ? tokens->count - at : PIECE;
    ints_decode(tokens, at, n, token);
    *cost_sum += cost_sum_prices(cost->prices, at, n, token, bounds);
    *token_sum += array_sum(token, n);
  }
}

bool sequence_pin_sound(struct segment *s, int column, uint32_t chunk, struct block *b, struct sequence *q) {
  const int slot = column_slot(column);
  const uint32_t rows = segment_chunk_rows(s, chunk);
  const struct zone z = segment_zone(s, column, chunk);
  const uint32_t nulls = column_kind(column) == KIND_TEXT ? 0 : z.nulls; /* ids of 0 are among the others */
  tally_error ignored;
  if (!directory_has_block(&z, slot, rows)) return false;
  if (block_pin(s, (uint32_t)slot * s->chunks + chunk, b, &ignored)) return false;
  if (block_is_sound(b, 0) && open_sequence(b, column, rows, nulls, q)) return true;
  block_release(b);
  return false;
}

/* Without values; says for which measures that was done (bits). Costs that follow tokens give both sums. */
static uint32_t sums_of_sound(struct segment *s, uint32_t chunk, uint32_t measures, uint64_t sum[MEASURES]) {
  uint32_t done = 0;
  for (int m = MEASURES - 1; m >= 0; m--) {
    struct block b, token_block;
    struct sequence q, tokens;
    if (!((measures & ~done) >> m & 1) || !sequence_pin_sound(s, TALLY_COL_REQUEST_SIZE + m, chunk, &b, &q))
      continue;
    if (!q.priced) {
      sum[m] = ints_sum(&q.ints);
      done |= 1u << m;
    } else if (q.ints.count == segment_chunk_rows(s, chunk) &&
               sequence_pin_sound(s, TALLY_COL_TOKENS_USED, chunk, &token_block, &tokens)) {
      if (tokens.ints.count == q.ints.count) {
        const struct zone z = segment_zone(s, TALLY_COL_TOKENS_USED, chunk);
        sum_priced(&q, &tokens.ints, (struct bounds){z.min, z.max}, &sum[COST], &sum[TOKENS]);
        done |= 1u << COST | 1u << TOKENS;
      }
      block_release(&token_block);
    }
    block_release(&b);
  }
  return done;
}

int segment_sums(struct segment *s, uint32_t chunk, uint32_t measures, int64_t sum[MEASURES],
                 tally_error *error) {
  int64_t values[CHUNK_ROWS];
  uint64_t valid[CHUNK_ROWS / 64], total[MEASURES] = {0};
  const uint32_t rows = segment_chunk_rows(s, chunk),
                 left = measures & ~sums_of_sound(s, chunk, measures, total);
  bool all;
  int result = 0;
  for (int m = 0; m < MEASURES && !result; m++) {
    if (!(left >> m & 1)) continue;
    result = segment_values(s, TALLY_COL_REQUEST_SIZE + m, chunk, 0, rows, values, valid, &all, error);
    if (!result) total[m] = array_sum(values, rows); /* NULL has the value 0 */
  }
  for (int m = 0; m < MEASURES; m++) sum[m] = (int64_t)total[m];
  return result;
}

/* The distinct values ascend, and so the indexes that count are those from some on. */
static bool count_by_index(const struct ints *ints, int64_t least, struct ints *indexes, int64_t *first) {
  int64_t value[PIECE];
  struct ints values;
  if (!ints_indexes(ints, indexes) || !ints_distinct(ints, &values) || values.count > PIECE) return false;
  ints_decode(&values, 0, values.count, value);
  *first = array_count_below(value, values.count, least);
  return true;
}

static uint32_t count_of_sequence(const struct ints *ints, int64_t least) {
  int64_t values[PIECE];
  struct ints indexes;
  uint32_t count = 0;
  if (count_by_index(ints, least, &indexes, &least)) ints = &indexes;
  for (uint32_t at = 0, n; at < ints->count; at += n) {
    n = ints->count - at < PIECE ? ints->count - at : PIECE;
    ints_decode(ints, at, n, values);
    count += n - array_count_below(values, n, least);
  }
  return count;
}

int segment_count_from(struct segment *s, int column, uint32_t chunk, int64_t least, uint32_t *count,
                       tally_error *error) {
  int64_t values[CHUNK_ROWS];
  uint64_t valid[CHUNK_ROWS / 64];
  const uint32_t rows = segment_chunk_rows(s, chunk);
  struct block b;
  struct sequence q;
  bool all;
  if (sequence_pin_sound(s, column, chunk, &b, &q)) {
    *count = count_of_sequence(&q.ints, least);
    block_release(&b);
    return 0;
  }
  int result = segment_values(s, column, chunk, 0, rows, values, valid, &all, error);
  *count = 0;
  for (uint32_t i = 0; !result && i < rows; i++)
    *count += values[i] >= least && (all || bitmap_get(valid, i));
  return result;
}
