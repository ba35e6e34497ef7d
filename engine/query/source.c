/* source.c - see source.h. */
#include "query/source.h"

#include <string.h>

#include "aggregate/grow.h"
#include "base/bitmap.h"
#include "base/kernel.h"
#include "model/decimal.h"

#define VALUES_BYTES (VECTOR_ROWS * sizeof(int64_t))
#define VALID_BYTES (bitmap_words(VECTOR_ROWS) * sizeof(uint64_t))

static const char what[] = "buffers";

uint32_t source_columns(const struct source *source) {
  return source->kind == SOURCE_ROWS ? 0 : 1u << source->ref.column;
}

/* Columns of numbers are lent by the scan; texts need a bitmap; the rest needs both. */
static bool needs_own_values(const struct source *s) {
  return s->kind == SOURCE_KEY_NUMBER || source_interned(s->kind);
}
static bool needs_own_valid(const struct source *s) {
  return needs_own_values(s) || s->kind == SOURCE_HAS_KEY ||
         (s->kind == SOURCE_COLUMN && column_kind(s->ref.column) == KIND_TEXT);
}

int source_set_init(struct source_set *set, const struct source *source, size_t count, struct budget *budget,
                    tally_error *error) {
  *set = (struct source_set){.source = source, .count = count, .budget = budget};
  intern_init(&set->intern, budget);
  set->vector = grow_zeroed(budget, count * sizeof *set->vector, what, error);
  if (!set->vector) return error->code;
  for (size_t i = 0; i < count; i++) {
    struct source_vector *v = &set->vector[i];
    if (needs_own_values(&source[i])) {
      v->own_values = grow_memory(budget, NULL, 0, VALUES_BYTES, what, error);
      if (!v->own_values) return error->code;
    }
    if (needs_own_valid(&source[i])) {
      v->own_valid = grow_memory(budget, NULL, 0, VALID_BYTES, what, error);
      if (!v->own_valid) return error->code;
    }
  }
  return 0;
}

void source_set_free(struct source_set *set) {
  if (!set->budget) return;
  for (size_t i = 0; set->vector && i < set->count; i++) {
    if (set->vector[i].own_values) grow_free(set->budget, set->vector[i].own_values, VALUES_BYTES);
    if (set->vector[i].own_valid) grow_free(set->budget, set->vector[i].own_valid, VALID_BYTES);
  }
  if (set->vector) grow_free(set->budget, set->vector, set->count * sizeof *set->vector);
  grow_free(set->budget, set->text, set->text_capacity);
  intern_free(&set->intern);
  *set = (struct source_set){0};
}

KERNEL static bool none_is_null(const int64_t *ids, uint32_t rows) {
  uint64_t nulls = 0; /* ids are below 2^63: only 0 - 1 has its top bit set */
  for (uint32_t i = 0; i < rows; i++) nulls |= (uint64_t)ids[i] - 1;
  return !(nulls >> 63);
}

/* Text ids: 0 is NULL. */
static void load_text(struct source_vector *v, const int64_t *ids, uint32_t rows) {
  v->values = ids;
  v->valid = NULL;
  if (none_is_null(ids, rows)) return;
  memset(v->own_valid, 0, VALID_BYTES);
  for (uint32_t i = 0; i < rows; i++) v->own_valid[i / 64] |= (uint64_t)(ids[i] != 0) << (i % 64);
  v->valid = v->own_valid;
}

/* The bytes of a key's value as a text; false if it counts as NULL. */
static int value_text(struct source_set *set, const struct json_value *value, tally_text *text, bool *null,
                      tally_error *error) {
  *null = value->kind == JSON_ABSENT || value->kind == JSON_NULL;
  *text = (tally_text){value->data, value->size};
  if (value->kind != JSON_STRING || !value->escaped) return 0;
  if (value->size > set->text_capacity) {
    char *p = grow_memory(set->budget, set->text, set->text_capacity, value->size, what, error);
    if (!p) return error->code;
    set->text = p;
    set->text_capacity = value->size;
  }
  *null = !json_unescape(value->data, value->size, set->text, &text->size);
  text->data = set->text;
  return 0;
}

/* One row of a metadata key. */
static int load_key_row(struct source_set *set, const struct source *s, struct source_vector *v,
                        const struct vector *vector, uint32_t row, tally_error *error) {
  uint64_t at = vector->metadata_at[row];
  struct json_value value =
      json_find(vector->metadata + at, (size_t)(vector->metadata_at[row + 1] - at), s->ref.key, s->ref.depth);
  if (s->kind == SOURCE_KEY_NUMBER) {
    if (value.kind == JSON_NUMBER && decimal_from_json(value.data, value.size, &v->own_values[row]))
      bitmap_set(v->own_valid, row);
    return 0;
  }
  tally_text text;
  bool null;
  int rc = value_text(set, &value, &text, &null, error);
  if (rc || null) return rc;
  bitmap_set(v->own_valid, row);
  if (s->kind == SOURCE_HAS_KEY) return 0;
  uint32_t id;
  rc = intern_add(&set->intern, text.data, text.size, &id, error);
  v->own_values[row] = id;
  return rc;
}

static int load_key(struct source_set *set, const struct source *s, struct source_vector *v,
                    const struct vector *vector, tally_error *error) {
  const uint64_t *valid = vector->valid[TALLY_COL_METADATA];
  memset(v->own_valid, 0, VALID_BYTES);
  if (v->own_values) memset(v->own_values, 0, vector->rows * sizeof *v->own_values);
  for (uint32_t i = 0; i < vector->rows; i++) {
    if (valid && !bitmap_get(valid, i)) continue;
    int rc = load_key_row(set, s, v, vector, i, error);
    if (rc) return rc;
  }
  v->values = v->own_values;
  v->valid = v->own_valid;
  return 0;
}

static int load_document(struct source_set *set, struct source_vector *v, const struct vector *vector,
                         tally_error *error) {
  v->valid = vector->valid[TALLY_COL_METADATA];
  v->values = v->own_values;
  for (uint32_t i = 0; i < vector->rows; i++) {
    v->own_values[i] = 0;
    if (v->valid && !bitmap_get(v->valid, i)) continue;
    uint64_t at = vector->metadata_at[i];
    uint32_t id;
    int rc = intern_add(&set->intern, vector->metadata + at, (size_t)(vector->metadata_at[i + 1] - at), &id,
                        error);
    if (rc) return rc;
    v->own_values[i] = id;
  }
  return 0;
}

static int load_one(struct source_set *set, size_t index, const struct vector *vector, tally_error *error) {
  const struct source *s = &set->source[index];
  struct source_vector *v = &set->vector[index];
  int column = s->ref.column;
  v->bound = s->kind == SOURCE_COLUMN ? vector->bound[column] : (struct bounds){INT64_MIN, INT64_MAX};
  switch (s->kind) {
  case SOURCE_ROWS:
    break;
  case SOURCE_HAS_DOCUMENT:
    v->valid = vector->valid[TALLY_COL_METADATA];
    break;
  case SOURCE_DOCUMENT:
    return load_document(set, v, vector, error);
  case SOURCE_KEY_NUMBER:
  case SOURCE_KEY_TEXT:
  case SOURCE_HAS_KEY:
    return load_key(set, s, v, vector, error);
  case SOURCE_COLUMN:
    if (column_kind(column) == KIND_TEXT) {
      load_text(v, vector->value[column], vector->rows);
    } else {
      v->values = vector->value[column];
      v->valid = column_kind(column) == KIND_TIME ? NULL : vector->valid[column];
    }
  }
  return 0;
}

int source_set_load(struct source_set *set, const struct vector *vector, tally_error *error) {
  for (size_t i = 0; i < set->count; i++) {
    int rc = load_one(set, i, vector, error);
    if (rc) return rc;
  }
  return 0;
}
