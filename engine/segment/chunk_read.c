/* chunk_read.c - decoding chunks of columns (docs/format/segment.md, "Chunks").
 *
 * Checksums have passed by now; what is checked here is that the bytes make sense: sequences open, as many
 * bits as values, and every value within its zone, so that callers may trust zones and use ids as indexes.
 * The latter is looked at once while the block is in the cache. */
#include "base/array.h"
#include "base/bitmap.h"
#include "base/status.h"
#include "encoding/texts.h"
#include "segment/cost_read.h"
#include "segment/inside.h"

/* Rows asked for, of a chunk that has a block. */
struct part {
  struct segment *s;
  int column;
  uint32_t chunk, first, count;
  const struct zone *zone;
  uint32_t rows;         /* of the whole chunk */
  const int64_t *tokens; /* of the same rows, for costs; NULL: not known */
  bool sound;            /* the whole chunk has been looked at since its block came in */
};

static const struct zone *zone_of(const struct segment *s, int slot, uint32_t chunk) {
  const struct directory *d = &s->inside->directory;
  return &d->zone[(uint32_t)slot * d->chunks + chunk];
}

struct zone segment_zone(const struct segment *s, int column, uint32_t chunk) {
  return *zone_of(s, column_slot(column), chunk);
}

uint64_t segment_metadata_bytes(const struct segment *s, uint32_t chunk) {
  return s->inside->directory.metadata_bytes[chunk];
}

uint64_t segment_metadata_total(const struct segment *s) {
  uint64_t bytes = 0;
  for (uint32_t chunk = 0; chunk < s->inside->directory.chunks; chunk++)
    bytes += segment_metadata_bytes(s, chunk);
  return bytes;
}

/* Reads the validity map of `rows` rows into bits (CHUNK_ROWS of them); false if it has another number of
 * NULLs than the zone says. */
static bool read_validity(struct reader *r, uint32_t rows, uint32_t nulls, uint64_t *bits) {
  size_t bytes = bitmap_bytes(rows);
  const uint8_t *p = read_bytes(r, bytes);
  if (!p) return false;
  bits[bitmap_words(rows) - 1] = 0;
  memcpy(bits, p, bytes);
  return bitmap_count(bits, rows) == rows - nulls;
}

/* to = bits [first, first + count) of from. */
static void cut_bits(const uint64_t *from, uint32_t first, uint32_t count, uint64_t *to) {
  uint32_t shift = first % 64;
  const uint64_t *at = from + first / 64;
  size_t words = bitmap_words(count), there = bitmap_words(shift + count);
  for (size_t i = 0; i < words; i++) {
    to[i] = at[i] >> shift;
    if (shift && i + 1 < there) to[i] |= at[i + 1] << (64 - shift);
  }
}

/* Spreads `left` values at the end of v[0..count) over the rows whose bit is set; the others become 0. A
 * value is never overwritten before it is read: it stands at or behind its row. */
static void spread(int64_t *v, const uint64_t *valid, uint32_t count, uint32_t left) {
  const int64_t *from = v + (count - left);
  for (uint32_t i = 0; i < count; i++) {
    bool there = bitmap_get(valid, i);
    v[i] = there ? *from : 0;
    from += there;
  }
}

/* Ids are at most the zone's highest, and 0 only where there are NULLs. */
static bool ids_within(const int64_t *v, uint32_t count, const struct zone *z) {
  return array_within(v, count, (struct bounds){z->nulls ? 0 : z->min, z->max});
}

/* The values of a sequence that starts at the reader, of rows [first, first + count); `valid` NULL if none of
 * the chunk is NULL. A whole chunk that becomes known to be sound must have the same values in parts. */
static bool read_sequence(const struct part *p, struct reader *r, const uint64_t *validity, int64_t *values,
                          uint64_t *valid) {
  struct ints ints;
  uint32_t stored = column_kind(p->column) == KIND_TEXT ? p->rows : p->rows - p->zone->nulls;
  if (r->bad || !ints_open(r->at, reader_left(r), stored, &ints)) return false;
  if (!p->sound && p->count == p->rows && !ints_sound(&ints)) return false;
  if (!validity) {
    ints_decode(&ints, p->first, p->count, values);
    return true;
  }
  uint32_t before = (uint32_t)bitmap_count(validity, p->first);
  cut_bits(validity, p->first, p->count, valid);
  uint32_t left = (uint32_t)bitmap_count(valid, p->count);
  if (left) ints_decode(&ints, before, left, values + (p->count - left));
  spread(values, valid, p->count, left);
  return true;
}

/* ---- cost */

static int read_priced(const struct part *p, struct reader *r, const uint64_t *validity, int64_t *values,
                       uint64_t *valid, bool *sound, tally_error *error) {
  int64_t decoded[CHUNK_ROWS];
  const int64_t *tokens = p->tokens ? p->tokens : decoded;
  uint64_t token_valid[CHUNK_ROWS / 64];
  bool all;
  struct reader prices = *r;
  *sound = cost_read_prices(r, p->rows) && read_sequence(p, r, validity, values, valid);
  if (!*sound) return 0;
  int result = p->tokens ? 0
                         : segment_values(p->s, TALLY_COL_TOKENS_USED, p->chunk, p->first, p->count, decoded,
                                          token_valid, &all, error);
  if (result) return result;
  cost_apply_prices(prices, p->first, p->count, tokens, values);
  for (uint32_t i = 0; validity && i < p->count; i++)
    if (!bitmap_get(valid, i)) values[i] = 0;
  return 0;
}

/* ---- numbers and ids */

static bool check_values(const struct part *p, const int64_t *values, const uint64_t *valid) {
  const struct zone *z = p->zone;
  if (column_kind(p->column) == KIND_TEXT) return ids_within(values, p->count, z);
  if (!valid) return array_within(values, p->count, (struct bounds){z->min, z->max});
  for (uint32_t i = 0; i < p->count; i++)
    if (bitmap_get(valid, i) && (values[i] < z->min || values[i] > z->max)) return false;
  return true;
}

/* As check_values; true without a look if the chunk is known to be sound. */
static bool within_zone(const struct part *p, const struct block *b, const int64_t *values,
                        const uint64_t *valid) {
  if (p->sound) return true;
  if (!check_values(p, values, valid)) return false;
  if (p->count == p->rows) block_set_sound(b, 0);
  return true;
}

static int read_numbers(struct part *p, const struct block *b, int64_t *values, uint64_t *valid,
                        bool *all_valid, tally_error *error) {
  p->sound = block_is_sound(b, 0);
  struct reader r = reader_make(b->payload, b->size);
  uint64_t validity[CHUNK_ROWS / 64];
  bool maps = p->zone->nulls && column_kind(p->column) != KIND_TEXT;
  *all_valid = !maps;
  if (maps && !read_validity(&r, p->rows, p->zone->nulls, validity))
    return block_damage(p->s, b, "segment-chunk-validity", error);
  const uint64_t *map = maps ? validity : NULL;
  bool sound;
  uint8_t model = column_kind(p->column) == KIND_COST ? read8(&r) : COST_PLAIN;
  if (model == COST_PRICED) {
    int result = read_priced(p, &r, map, values, valid, &sound, error);
    if (result) return result;
  } else {
    sound = model == COST_PLAIN && read_sequence(p, &r, map, values, valid);
  }
  if (!sound) return block_damage(p->s, b, "segment-chunk-sequence", error);
  if (!within_zone(p, b, values, maps ? valid : NULL))
    return block_damage(p->s, b, "segment-chunk-zone", error);
  return 0;
}

#define MUCH 4u /* of a chunk: this part of it */

/* Who reads much of a chunk will do so again: looks at the whole of it once, so that it is known to be sound.
 */
static int look_at_whole(const struct part *p, const struct block *b, tally_error *error) {
  int64_t values[CHUNK_ROWS];
  uint64_t valid[CHUNK_ROWS / 64];
  struct part whole = *p;
  bool all_valid;
  if (block_is_sound(b, 0) || p->count == p->rows || p->count < p->rows / MUCH) return 0;
  whole.first = 0;
  whole.count = p->rows;
  whole.tokens = NULL;
  return read_numbers(&whole, b, values, valid, &all_valid, error);
}

/* A chunk without a block: all NULL, or all the same. */
static void fill_constant(const struct part *p, int64_t *values, uint64_t *valid, bool *all_valid) {
  bool null = p->zone->nulls == p->rows;
  *all_valid = !null || column_kind(p->column) == KIND_TEXT;
  if (!*all_valid) memset(valid, 0, bitmap_words(p->count) * sizeof *valid);
  for (uint32_t i = 0; i < p->count; i++) values[i] = null ? 0 : p->zone->min;
}

static int read_slot(struct segment *s, int column, uint32_t chunk, uint32_t first, uint32_t count,
                     const int64_t *tokens, int64_t *values, uint64_t *valid, bool *all_valid,
                     tally_error *error) {
  int slot = column_slot(column);
  struct part p = {s,      column, chunk, first, count, zone_of(s, slot, chunk), segment_chunk_rows(s, chunk),
                   tokens, false};
  if (!directory_has_block(p.zone, slot, p.rows)) {
    fill_constant(&p, values, valid, all_valid);
    return 0;
  }
  struct block b;
  int result = block_pin(s, (uint32_t)slot * s->chunks + chunk, &b, error);
  if (result) return result;
  result = look_at_whole(&p, &b, error);
  if (!result) result = read_numbers(&p, &b, values, valid, all_valid, error);
  block_release(&b);
  return result;
}

int segment_values(struct segment *s, int column, uint32_t chunk, uint32_t first, uint32_t count,
                   int64_t *values, uint64_t *valid, bool *all_valid, tally_error *error) {
  if (column_has_slot(column))
    return read_slot(s, column, chunk, first, count, NULL, values, valid, all_valid, error);
  *all_valid = true;
  return run_values(s, column, chunk * CHUNK_ROWS + first, count, values, error);
}

int segment_costs(struct segment *s, uint32_t chunk, uint32_t first, uint32_t count, const int64_t *tokens,
                  int64_t *values, uint64_t *valid, bool *all_valid, tally_error *error) {
  return read_slot(s, TALLY_COL_COST, chunk, first, count, tokens, values, valid, all_valid, error);
}

int segment_distinct(struct segment *s, int column, uint32_t chunk, int64_t *ids, uint32_t *count,
                     tally_error *error) {
  int slot = column_slot(column);
  const struct zone *z = zone_of(s, slot, chunk);
  uint32_t rows = segment_chunk_rows(s, chunk);
  if (!directory_has_block(z, slot, rows)) {
    ids[0] = z->min;
    *count = 1;
    return 0;
  }
  struct block b;
  int result = block_pin(s, (uint32_t)slot * s->chunks + chunk, &b, error);
  if (result) return result;
  struct ints ints, values;
  *count = 0;
  if (!ints_open(b.payload, b.size, rows, &ints)) {
    result = block_damage(s, &b, "segment-distinct-sequence", error);
  } else if (ints_distinct(&ints, &values) && values.count <= CHUNK_ROWS) {
    ints_decode(&values, 0, values.count, ids);
    *count = values.count;
    if (!ids_within(ids, *count, z)) result = block_damage(s, &b, "segment-distinct-zone", error);
  }
  block_release(&b);
  return result;
}

/* ---- metadata */

static int read_metadata(const struct part *p, const struct block *b, struct ints_scratch *scratch,
                         uint64_t *at, struct buffer *bytes, uint64_t *valid, tally_error *error) {
  struct reader r = reader_make(b->payload, b->size);
  uint64_t validity[CHUNK_ROWS / 64];
  uint32_t texts = p->rows - p->zone->nulls, first = p->first, n = p->count;
  if (p->zone->nulls) {
    if (!read_validity(&r, p->rows, p->zone->nulls, validity))
      return block_damage(p->s, b, "segment-metadata-validity", error);
    cut_bits(validity, p->first, p->count, valid);
    first = (uint32_t)bitmap_count(validity, p->first);
    n = (uint32_t)bitmap_count(valid, p->count);
  }
  uint64_t size = segment_metadata_bytes(p->s, p->chunk);
  bool sound = texts_decode_some(r.at, reader_left(&r), texts, first, n, size, at, bytes, scratch);
  if (!sound && bytes->failed) return fail_memory(error, "metadata of a segment");
  if (!sound || at[n] > size || (n == texts && at[n] != size))
    return block_damage(p->s, b, "segment-metadata-texts", error);
  if (!p->zone->nulls) return 0;
  for (uint32_t i = p->count + 1, rank = n;
       i-- > 0;) { /* at[i] = at[texts before row i], in place from the end */
    if (i < p->count) rank -= bitmap_get(valid, i);
    at[i] = at[rank];
  }
  return 0;
}

int segment_metadata(struct segment *s, uint32_t chunk, uint32_t first, uint32_t count,
                     struct ints_scratch *scratch, uint64_t *at, struct buffer *bytes, uint64_t *valid,
                     bool *all_valid, tally_error *error) {
  struct part p = {.s = s,
                   .column = TALLY_COL_METADATA,
                   .chunk = chunk,
                   .first = first,
                   .count = count,
                   .zone = zone_of(s, SLOT_METADATA, chunk),
                   .rows = segment_chunk_rows(s, chunk)};
  *all_valid = p.zone->nulls == 0;
  if (p.zone->nulls == p.rows) {
    buffer_clear(bytes);
    memset(at, 0, (count + 1) * sizeof *at);
    memset(valid, 0, bitmap_words(count) * sizeof *valid);
    return 0;
  }
  struct block b;
  int result = block_pin(s, SLOT_METADATA * s->chunks + chunk, &b, error);
  if (result) return result;
  result = read_metadata(&p, &b, scratch, at, bytes, valid, error);
  block_release(&b);
  return result;
}
