/* batch_open.c - the first check of a batch: staying in bounds (docs/format/batch.md).
 *
 * Little-endian. Offsets in the batch:
 *   0   u32 magic "TLB1"     4  u16 version 1    6  u16 flags 0
 *   8   u32 rows, 1..65536   12 u32 size of the whole batch
 *   16  12 descriptors of 24 bytes, in column order:
 *         0 u8 kind (0 absent, 1 present, 2 present with a validity bitmap)
 *         1 u8 width 0..8    2 u8 form (metadata: 0 raw, 1 LZ4 block)
 *         3 u8 packed (1 the values, 2 the dictionary)
 *         4 u32 dictionary entries    8 u32 dictionary text bytes, or stored metadata bytes
 *         12 u32 raw metadata bytes   16 i64 base
 *   304 the present columns, in order, without padding: validity bitmap, dictionary sizes (u16 each),
 *       dictionary texts, values (rows x width), stored metadata; nothing follows. A packed dictionary is u32
 *       size and a sequence of texts, packed values are u32 size and a sequence of integers
 *       (docs/format/integers-and-texts.md).
 * No number is used before it is checked; what does not apply to a column must be zero. */
#include <inttypes.h>
#include <lz4.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/bitmap.h"
#include "base/status.h"
#include "model/batch.h"
#include "model/batch_unpack.h"

enum kind { ABSENT, PRESENT, PRESENT_WITH_NULLS };
enum form { FORM_RAW, FORM_LZ4 };

struct descriptor {
  uint8_t kind, width, form, packed;
  uint32_t entries; /* text: dictionary entries */
  uint32_t stored;  /* text: dictionary bytes; metadata: bytes as stored */
  uint32_t raw;     /* metadata: bytes uncompressed */
  int64_t base;
};

static int refuse(tally_error *error, int column, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int refuse(tally_error *error, int column, const char *format, ...) {
  char reason[256];
  va_list args;
  va_start(args, format);
  (void)vsnprintf(reason, sizeof reason, format, args);
  va_end(args);
  const char *name = tally_column_name(column);
  fail(error, TALLY_INVALID_BATCH,
       "these bytes are not a batch: %s%s%s: write them as docs/format/batch.md says", name ? name : "",
       name ? ": " : "", reason);
  error->column = column;
  return TALLY_INVALID_BATCH;
}

static int open_header(struct reader *r, struct batch *batch, tally_error *error) {
  uint32_t magic = read32(r);
  uint16_t version = read16(r), flags = read16(r);
  uint32_t rows = read32(r), size = read32(r);
  if (r->bad) return refuse(error, -1, "%zu bytes are shorter than a header", batch->size);
  if (magic != BATCH_MAGIC) return refuse(error, -1, "the first four bytes are not TLB1");
  if (version != BATCH_VERSION)
    return refuse(error, -1, "version %u, this program reads version %d", version, BATCH_VERSION);
  if (flags) return refuse(error, -1, "flags are 0x%x, must be 0", flags);
  if (batch->size > TALLY_BATCH_BYTES)
    return refuse(error, -1, "%zu bytes, the limit is %u", batch->size, TALLY_BATCH_BYTES);
  if (rows < 1 || rows > TALLY_BATCH_ROWS)
    return refuse(error, -1, "%" PRIu32 " rows, must be 1 to %u", rows, TALLY_BATCH_ROWS);
  if (size != batch->size)
    return refuse(error, -1, "the header says %" PRIu32 " bytes, there are %zu", size, batch->size);
  batch->rows = rows;
  return TALLY_OK;
}

static struct descriptor read_descriptor(struct reader *r) {
  struct descriptor d;
  d.kind = read8(r);
  d.width = read8(r);
  d.form = read8(r);
  d.packed = read8(r);
  d.entries = read32(r);
  d.stored = read32(r);
  d.raw = read32(r);
  d.base = (int64_t)read64(r);
  return d;
}

static int check_absent(const struct descriptor *d, int column, tally_error *error) {
  if (column == TALLY_COL_TIMESTAMP) return refuse(error, column, "it must be present");
  if (d->width || d->form || d->packed || d->entries || d->stored || d->raw || d->base)
    return refuse(error, column, "the descriptor of an absent column must be all zero");
  return TALLY_OK;
}

static int check_metadata(const struct descriptor *d, int column, tally_error *error) {
  if (d->form > FORM_LZ4) return refuse(error, column, "form %u, must be 0 or 1", d->form);
  if (d->raw > BATCH_METADATA_RAW)
    return refuse(error, column, "%" PRIu32 " raw bytes, the limit is %u", d->raw, BATCH_METADATA_RAW);
  if (d->form == FORM_RAW && d->stored != d->raw)
    return refuse(error, column, "%" PRIu32 " stored and %" PRIu32 " raw bytes, but it is not compressed",
                  d->stored, d->raw);
  if (d->form == FORM_LZ4 && !d->raw) return refuse(error, column, "nothing is compressed: use form 0");
  return TALLY_OK;
}

static int check_packed(const struct descriptor *d, int column, bool text, tally_error *error) {
  if (d->packed & ~(unsigned)(PACKED_VALUES | (text ? PACKED_DICTIONARY : 0)))
    return refuse(error, column, "byte 3 of the descriptor is %u: bits that mean nothing here are set",
                  d->packed);
  if (d->packed & PACKED_VALUES && (d->width || d->base))
    return refuse(error, column, "packed values have their own width and base: the descriptor's must be 0");
  if (d->packed & PACKED_DICTIONARY && d->stored > TALLY_BATCH_BYTES)
    return refuse(error, column, "a dictionary of %" PRIu32 " bytes, the limit is %u", d->stored,
                  TALLY_BATCH_BYTES);
  return TALLY_OK;
}

static int check_descriptor(const struct descriptor *d, int column, uint32_t rows, tally_error *error) {
  bool text = column_kind(column) == KIND_TEXT, metadata = column_kind(column) == KIND_JSON;
  if (d->kind > PRESENT_WITH_NULLS) return refuse(error, column, "kind %u, must be 0 to 2", d->kind);
  if (d->kind == ABSENT) return check_absent(d, column, error);
  if (column == TALLY_COL_TIMESTAMP && d->kind != PRESENT)
    return refuse(error, column, "it cannot be NULL, so kind must be 1");
  if (d->width > 8) return refuse(error, column, "width %u, must be 0 to 8", d->width);
  if (!text && d->entries) return refuse(error, column, "only texts have a dictionary");
  if (!text && !metadata && d->stored)
    return refuse(error, column, "bytes 8-11 of the descriptor are not zero");
  if (!metadata && d->raw) return refuse(error, column, "bytes 12-15 of the descriptor are not zero");
  if (!metadata && d->form) return refuse(error, column, "only metadata has another form than 0");
  if (d->entries > rows)
    return refuse(error, column, "%" PRIu32 " dictionary entries, but only %" PRIu32 " rows", d->entries,
                  rows);
  int code = check_packed(d, column, text, error);
  return code || !metadata ? code : check_metadata(d, column, error);
}

static int open_validity(const struct batch_column *c, int column, uint32_t rows, tally_error *error) {
  if (rows % 8 && c->valid[rows / 8] >> (rows % 8))
    return refuse(error, column, "unused bits of the validity bitmap are not zero");
  return TALLY_OK;
}

static int open_dictionary(const struct batch_column *c, int column, tally_error *error) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < c->entries; i++) sum += load16(c->sizes + 2 * (size_t)i);
  if (sum != c->texts_size)
    return refuse(error, column, "the dictionary's sizes add up to %" PRIu64 " bytes, it has %zu", sum,
                  c->texts_size);
  return TALLY_OK;
}

/* u32 size, and so many bytes. */
static const uint8_t *read_packed(struct reader *r, uint32_t *size) {
  *size = read32(r);
  return read_bytes(r, *size);
}

static void find_dictionary(struct reader *r, const struct descriptor *d, struct batch_column *c,
                            struct packed_column *packed) {
  c->entries = d->entries;
  c->texts_size = d->stored;
  if (d->packed & PACKED_DICTIONARY) {
    packed->dictionary = read_packed(r, &packed->dictionary_size);
    return;
  }
  c->sizes = read_bytes(r, 2 * (size_t)d->entries);
  c->texts = (const char *)read_bytes(r, d->stored);
}

/* Finds the column's parts behind what was read so far. *stored is where metadata's bytes are. */
static int open_column(struct reader *r, const struct descriptor *d, int column, struct batch *batch,
                       struct packed_column *packed, const uint8_t **stored, tally_error *error) {
  struct batch_column *c = &batch->column[column];
  *c = (struct batch_column){.base = d->base, .width = d->width, .absent = d->kind == ABSENT};
  if (c->absent) return TALLY_OK;
  bool text = column_kind(column) == KIND_TEXT;
  if (d->kind == PRESENT_WITH_NULLS) c->valid = read_bytes(r, bitmap_bytes(batch->rows));
  if (text) find_dictionary(r, d, c, packed);
  if (d->packed & PACKED_VALUES)
    packed->values = read_packed(r, &packed->values_size);
  else
    c->values = read_bytes(r, (size_t)batch->rows * d->width);
  if (column_kind(column) == KIND_JSON) *stored = read_bytes(r, d->stored);
  if (r->bad) return refuse(error, column, "it reaches beyond the end of the batch");
  int code = c->valid ? open_validity(c, column, batch->rows, error) : TALLY_OK;
  return code || !text || packed->dictionary ? code : open_dictionary(c, column, error);
}

static int unpack_column(const struct packed_column *packed, int column, struct batch_scratch *scratch,
                         struct batch *batch, tally_error *error) {
  struct batch_column *c = &batch->column[column];
  int code = packed->dictionary ? batch_unpack_dictionary(scratch, column, packed, c) : TALLY_OK;
  if (code == TALLY_NO_MEMORY) return fail_memory(error, "a batch's dictionary");
  if (code)
    return refuse(error, column, "the packed dictionary is not %" PRIu32 " texts of %zu bytes together",
                  c->entries, c->texts_size);
  if (packed->values && !batch_unpack_values(scratch, batch->rows, column, packed, c))
    return refuse(error, column, "the packed values are not a sequence of %" PRIu32 " integers", batch->rows);
  return TALLY_OK;
}

static int unpack(const struct packed_column packed[COLUMNS], struct batch_scratch *scratch,
                  struct batch *batch, tally_error *error) {
  if (!batch_unpack_begin(scratch, batch->rows, packed)) return fail_memory(error, "a batch's columns");
  int code = TALLY_OK;
  for (int i = 0; i < COLUMNS && !code; i++) code = unpack_column(&packed[i], i, scratch, batch, error);
  return code;
}

static int open_metadata(const struct descriptor *d, const uint8_t *stored, struct buffer *scratch,
                         struct batch *batch, tally_error *error) {
  batch->metadata = (const char *)stored;
  batch->metadata_size = d->raw;
  if (d->form == FORM_RAW) return TALLY_OK;
  if (d->raw >
      UINT64_C(255) * d->stored) /* no byte of LZ4 stands for more: nothing is allocated for a claim */
    return refuse(error, TALLY_COL_METADATA, "%" PRIu32 " bytes of LZ4 do not give %" PRIu32, d->stored,
                  d->raw);
  buffer_clear(scratch);
  uint8_t *raw = buffer_add(scratch, d->raw);
  if (!raw) return fail_memory(error, "the metadata of a batch");
  int n = LZ4_decompress_safe((const char *)stored, (char *)raw, (int)d->stored, (int)d->raw);
  if (n < 0 || (uint32_t)n != d->raw)
    return refuse(error, TALLY_COL_METADATA, "the LZ4 block does not give %" PRIu32 " bytes", d->raw);
  batch->metadata = (const char *)raw;
  return TALLY_OK;
}

int batch_open(const void *bytes, size_t size, struct batch_scratch *scratch, struct batch *batch,
               tally_error *error) {
  *batch = (struct batch){.bytes = bytes, .size = size};
  struct reader r = reader_make(bytes, size);
  int code = open_header(&r, batch, error);
  if (code) return code;
  struct descriptor d[COLUMNS];
  for (int i = 0; i < COLUMNS; i++) d[i] = read_descriptor(&r);
  if (r.bad) return refuse(error, -1, "%zu bytes are shorter than header and descriptors", size);
  const uint8_t *stored = NULL;
  struct packed_column packed[COLUMNS] = {0};
  for (int i = 0; i < COLUMNS; i++) {
    code = check_descriptor(&d[i], i, batch->rows, error);
    if (!code) code = open_column(&r, &d[i], i, batch, &packed[i], &stored, error);
    if (code) return code;
  }
  if (reader_left(&r)) return refuse(error, -1, "%zu bytes follow the last column", reader_left(&r));
  code = unpack(packed, scratch, batch, error);
  if (code || d[TALLY_COL_METADATA].kind == ABSENT) return code;
  return open_metadata(&d[TALLY_COL_METADATA], stored, &scratch->metadata, batch, error);
}
