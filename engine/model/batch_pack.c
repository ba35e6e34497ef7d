/* batch_pack.c - the bytes of a batch from the builder's columns (docs/format/batch.md).
 *
 * Values and dictionaries are packed where that is smaller. If not, a column gets its least value as base and
 * the fewest bytes that hold the greatest difference from it. The bitmap is left out where nothing is NULL,
 * the column where everything is. NULL rows store the least value. The same rows give the same bytes. */
#include <lz4.h>
#include <string.h>

#include "base/array.h"
#include "base/bitmap.h"
#include "base/kernel.h"
#include "encoding/texts.h"
#include "model/batch.h"
#include "model/batch_builder.h"

#define HEADER_SIZE BATCH_HEADER_BYTES
#define DESCRIPTOR_SIZE BATCH_DESCRIPTOR_BYTES
#define PACKED_HEAD 4u /* the size in front of what is packed */
#define SPILL 8u       /* a value is written as eight bytes, of which the last may lie beyond its end */

/* ------------------------------------------------------------------ ranges and NULLs */

/* Gives the NULL rows the least value of the others, so that they are stored as 0 and the range is found
 * without looking at masks. Some row has a value. */
#define FILL_NULLS(name, type)                                                                               \
  static void name(type *v, const uint16_t *mask, uint32_t rows, int column) {                               \
    uint32_t first = 0;                                                                                      \
    while (!(mask[first] >> column & 1)) first++;                                                            \
    type least = v[first];                                                                                   \
    for (uint32_t i = first; i < rows; i++) least = (mask[i] >> column & 1) && v[i] < least ? v[i] : least;  \
    for (uint32_t i = 0; i < rows; i++) v[i] = mask[i] >> column & 1 ? v[i] : least;                         \
  }
FILL_NULLS(fill_nulls_narrow, int32_t)
FILL_NULLS(fill_nulls_wide, int64_t)
#undef FILL_NULLS

/* NULL metadata has size 0 already, and must: its sizes add up to its bytes. */
static struct bounds column_range(struct tally_batch *b, int column, bool nulls) {
  if (column_wide(column)) {
    if (nulls) fill_nulls_wide(b->wide[column], b->mask, b->rows, column);
    return array_bounds(b->wide[column], b->rows);
  }
  if (nulls && column != TALLY_COL_METADATA) fill_nulls_narrow(b->narrow[column], b->mask, b->rows, column);
  return array_bounds_narrow(b->narrow[column], b->rows);
}

static unsigned width_of(uint64_t span) { return span ? (71 - (unsigned)__builtin_clzll(span)) / 8 : 0; }

/* ------------------------------------------------------------------ parts */

/* A column's bits of up to 64 rows. */
KERNEL static uint64_t validity_word(const uint16_t *mask, uint32_t rows, int column) {
  uint64_t word = 0;
  for (uint32_t i = 0; i < rows; i++) word |= (uint64_t)(mask[i] >> column & 1) << i;
  return word;
}

static uint8_t *put_validity(const struct tally_batch *b, int column, uint8_t *out) {
  for (uint32_t first = 0; first < b->rows; first += 64) {
    uint32_t rows = b->rows - first < 64 ? b->rows - first : 64;
    uint8_t word[8];
    store64(word, validity_word(b->mask + first, rows, column));
    memcpy(out, word, bitmap_bytes(rows));
    out += bitmap_bytes(rows);
  }
  return out;
}

/* u32 size, and what is in b->packed. */
static uint8_t *put_packed(const struct tally_batch *b, uint8_t *out) {
  store32(out, (uint32_t)b->packed.size);
  memcpy(out + PACKED_HEAD, b->packed.data, b->packed.size);
  return out + PACKED_HEAD + b->packed.size;
}

static int64_t *clear_work(struct tally_batch *b, size_t count) {
  buffer_clear(&b->packed);
  buffer_clear(&b->work);
  int64_t *work = (int64_t *)(void *)buffer_add(&b->work, count * sizeof *work);
  b->packed.failed = !work;
  return work;
}

/* Fills b->packed; true if that is smaller than `plain` bytes, false also without memory (packed.failed). */
static bool pack_dictionary(struct tally_batch *b, const struct dictionary *d, size_t plain) {
  uint64_t *at = (uint64_t *)clear_work(b, d->entries + (size_t)1);
  if (!at) return false;
  at[0] = 0;
  for (uint32_t i = 0; i < d->entries; i++) at[i + 1] = at[i] + d->sizes[i];
  texts_encode_entries(at, d->entries, (const char *)d->texts.data, &b->packed, &b->scratch);
  return !b->packed.failed && PACKED_HEAD + b->packed.size < plain;
}

static uint8_t *put_dictionary(struct tally_batch *b, const struct dictionary *d, uint8_t *descriptor,
                               uint8_t *out) {
  store32(descriptor + 4, d->entries);
  store32(descriptor + 8, (uint32_t)d->texts.size);
  size_t sizes = d->entries * sizeof *d->sizes;
  if (pack_dictionary(b, d, sizes + d->texts.size)) {
    descriptor[3] |= PACKED_DICTIONARY;
    return put_packed(b, out);
  }
  memcpy(out, d->sizes, sizes);
  out += sizes;
  if (d->texts.size) memcpy(out, d->texts.data, d->texts.size);
  return out + d->texts.size;
}

/* The same of a column's values. */
static bool pack_values(struct tally_batch *b, int column, struct bounds range, size_t plain) {
  int64_t *wide = column_wide(column) ? b->wide[column] : clear_work(b, b->rows);
  if (!wide) return false;
  if (column_wide(column))
    buffer_clear(&b->packed);
  else
    array_widen(b->narrow[column], b->rows, wide);
  ints_encode_quick(wide, b->rows, range.min, range.max, &b->packed, &b->scratch);
  return !b->packed.failed && PACKED_HEAD + b->packed.size < plain;
}

/* Stores values less their base in ascending order of address; each spills over into the next. */
#define PUT_VALUES(name, type)                                                                               \
  static void name(const type *v, uint32_t rows, int64_t base, unsigned width, uint8_t *out) {               \
    switch (width) {                                                                                         \
    case 0:                                                                                                  \
      break;                                                                                                 \
    case 1:                                                                                                  \
      for (uint32_t i = 0; i < rows; i++) out[i] = (uint8_t)((uint64_t)v[i] - (uint64_t)base);               \
      break;                                                                                                 \
    case 2:                                                                                                  \
      for (uint32_t i = 0; i < rows; i++)                                                                    \
        store16(out + 2 * (size_t)i, (uint16_t)((uint64_t)v[i] - (uint64_t)base));                           \
      break;                                                                                                 \
    case 4:                                                                                                  \
      for (uint32_t i = 0; i < rows; i++)                                                                    \
        store32(out + 4 * (size_t)i, (uint32_t)((uint64_t)v[i] - (uint64_t)base));                           \
      break;                                                                                                 \
    default:                                                                                                 \
      for (uint32_t i = 0; i < rows; i++) store64(out + (size_t)width * i, (uint64_t)v[i] - (uint64_t)base); \
    }                                                                                                        \
  }
PUT_VALUES(put_narrow, int32_t)
PUT_VALUES(put_wide, int64_t)
#undef PUT_VALUES

/* Metadata's bytes; compressed if that saves at least a tenth. *form tells which. */
static uint8_t *put_metadata(const struct buffer *metadata, uint8_t *out, uint8_t *form) {
  int raw = (int)metadata->size, most = raw - raw / 10;
  int n = raw > 0 ? LZ4_compress_default((const char *)metadata->data, (char *)out, raw, most) : 0;
  *form = n > 0;
  if (n > 0) return out + n;
  if (raw) memcpy(out, metadata->data, metadata->size);
  return out + raw;
}

/* ------------------------------------------------------------------ the whole */

static uint8_t *put_values(struct tally_batch *b, int column, struct bounds range, uint8_t *descriptor,
                           uint8_t *out) {
  unsigned width = width_of((uint64_t)range.max - (uint64_t)range.min);
  size_t plain = (size_t)b->rows * width;
  if (pack_values(b, column, range, plain)) {
    descriptor[3] |= PACKED_VALUES;
    return put_packed(b, out);
  }
  descriptor[1] = (uint8_t)width;
  store64(descriptor + 16, (uint64_t)range.min);
  if (column_wide(column))
    put_wide(b->wide[column], b->rows, range.min, width, out);
  else
    put_narrow(b->narrow[column], b->rows, range.min, width, out);
  return out + plain;
}

/* Writes the descriptor and the parts of one column that has values; returns the end of its parts. NULL
 * without memory. */
static uint8_t *put_column(struct tally_batch *b, int column, uint8_t *descriptor, uint8_t *out) {
  bool nulls = !(b->in_all >> column & 1);
  struct bounds range = column_range(b, column, nulls);
  descriptor[0] = nulls ? 2 : 1;
  if (nulls) out = put_validity(b, column, out);
  if (column_kind(column) == KIND_TEXT) {
    out = put_dictionary(b, &b->dictionary[column_domain(column)], descriptor, out);
    if (b->packed.failed) return NULL;
  }
  out = put_values(b, column, range, descriptor, out);
  if (b->packed.failed) return NULL;
  if (column_kind(column) != KIND_JSON) return out;
  uint8_t *end = put_metadata(&b->metadata, out, &descriptor[2]);
  store32(descriptor + 8, (uint32_t)(end - out));
  store32(descriptor + 12, (uint32_t)b->metadata.size);
  return end;
}

bool batch_pack(struct tally_batch *b) {
  buffer_clear(&b->out);
  if (!buffer_reserve(&b->out, batch_bound(b->rows, b->entries, b->texts, b->metadata.size) + SPILL))
    return false;
  uint8_t *start = b->out.data, *descriptors = start + HEADER_SIZE;
  uint8_t *out = descriptors + COLUMNS * DESCRIPTOR_SIZE;
  memset(start, 0, HEADER_SIZE + COLUMNS * DESCRIPTOR_SIZE);
  for (int column = 0; column < COLUMNS && out; column++)
    if (b->in_any >> column & 1)
      out = put_column(b, column, descriptors + column * (int)DESCRIPTOR_SIZE, out);
  if (!out) return false;
  b->out.size = (size_t)(out - start);
  store32(start, BATCH_MAGIC);
  store16(start + 4, BATCH_VERSION);
  store32(start + 8, b->rows);
  store32(start + 12, (uint32_t)b->out.size);
  return true;
}
