/* batch_unpack.c - see batch_unpack.h.
 *
 * A column is decoded to int64 and then narrowed, so that what comes after reads as few bytes as the column's
 * kind needs; one with a value beyond its kind stays wide, and batch_check finds the row. */
#include "model/batch_unpack.h"
#include "encoding/texts.h"

void batch_scratch_free(struct batch_scratch *s) {
  buffer_free(&s->values);
  buffer_free(&s->metadata);
  buffer_free(&s->offsets);
  for (int d = 0; d < DOMAINS; d++) buffer_free(&s->texts[d]);
  ints_scratch_free(&s->ints);
}

#define ALIGN sizeof(int64_t)

/* One wide array to decode to, one for each packed column, and the sizes of dictionaries. */
bool batch_unpack_begin(struct batch_scratch *s, uint32_t rows, const struct packed_column packed[COLUMNS]) {
  size_t columns = 0, dictionaries = 0;
  for (int c = 0; c < COLUMNS; c++) {
    columns += packed[c].values != NULL;
    dictionaries += packed[c].dictionary != NULL;
  }
  if (!columns && !dictionaries) return true;
  buffer_clear(&s->values);
  size_t room =
      (columns + 1) * (rows * sizeof(int64_t) + ALIGN) + dictionaries * (rows * sizeof(uint16_t) + ALIGN);
  return buffer_reserve(&s->values, room) && buffer_add(&s->values, rows * sizeof(int64_t));
}

/* ------------------------------------------------------------------ values */

/* Narrow arrays hold value - base; the bits that do not fit are gathered. */
static bool narrow_16(const int64_t *v, uint32_t rows, uint16_t *out) {
  uint64_t beyond = 0;
  for (uint32_t i = 0; i < rows; i++) {
    beyond |= (uint64_t)v[i] >> 16;
    out[i] = (uint16_t)v[i];
  }
  return !beyond;
}

static bool narrow_32(const int64_t *v, uint32_t rows, int64_t base, uint32_t *out) {
  uint64_t beyond = 0;
  for (uint32_t i = 0; i < rows; i++) {
    uint64_t u = (uint64_t)v[i] - (uint64_t)base;
    beyond |= u >> 32;
    out[i] = (uint32_t)u;
  }
  return !beyond;
}

/* The next array of so many bytes a value; batch_unpack_begin has made room for the widest. */
static uint8_t *next_array(struct batch_scratch *s, uint32_t rows, unsigned width) {
  size_t at = (s->values.size + ALIGN - 1) & ~(ALIGN - 1);
  s->values.size = at + (size_t)rows * width;
  return s->values.data + at;
}

bool batch_unpack_values(struct batch_scratch *s, uint32_t rows, int column,
                         const struct packed_column *packed, struct batch_column *to) {
  struct ints ints;
  if (!ints_open(packed->values, packed->values_size, rows, &ints)) return false;
  int64_t *wide = (int64_t *)(void *)s->values.data;
  size_t before = s->values.size;
  bool text = column_kind(column) == KIND_TEXT;
  unsigned width = column_wide(column) ? 8 : text ? 2 : 4;
  to->base = width == 4 ? INT32_MIN : 0;
  uint8_t *out = next_array(s, rows, width);
  if (width == 8) wide = (int64_t *)(void *)out;
  ints_decode(&ints, 0, rows, wide);
  if ((width == 2 && !narrow_16(wide, rows, (uint16_t *)(void *)out)) ||
      (width == 4 && !narrow_32(wide, rows, to->base, (uint32_t *)(void *)out))) {
    s->values.size = before;
    width = 8;
    to->base = 0;
    out = next_array(s, rows, width);
    memcpy(out, wide, rows * sizeof *wide);
  }
  to->values = out;
  to->width = (uint8_t)width;
  return true;
}

/* ------------------------------------------------------------------ dictionaries */

int batch_unpack_dictionary(struct batch_scratch *s, int column, const struct packed_column *packed,
                            struct batch_column *to) {
  struct buffer *texts = &s->texts[column_domain(column)];
  buffer_clear(&s->offsets);
  uint64_t *at = (uint64_t *)(void *)buffer_add(&s->offsets, (to->entries + (size_t)1) * sizeof *at);
  if (!at) return TALLY_NO_MEMORY;
  if (!texts_decode(packed->dictionary, packed->dictionary_size, to->entries, to->texts_size, at, texts,
                    &s->ints))
    return texts->failed ? TALLY_NO_MEMORY : TALLY_INVALID_BATCH;
  if (texts->size != to->texts_size) return TALLY_INVALID_BATCH;
  uint8_t *sizes = next_array(s, to->entries, sizeof(uint16_t));
  for (uint32_t i = 0; i < to->entries; i++) {
    if (at[i + 1] - at[i] > UINT16_MAX) return TALLY_INVALID_BATCH;
    store16(sizes + 2 * (size_t)i, (uint16_t)(at[i + 1] - at[i]));
  }
  to->sizes = sizes;
  to->texts = texts->data ? (const char *)texts->data : "";
  return 0;
}
