/* keys.c - see keys.h. Hot path: keys_of_rows. */
#include "query/keys.h"

#include <string.h>

#include "aggregate/grow.h"
#include "base/bitmap.h"
#include "base/kernel.h"

static const char what[] = "buffers";

static size_t words_of(const struct plan *plan) {
  return (plan->layout.words ? plan->layout.words : 1) * (size_t)VECTOR_ROWS;
}

/* One block has all buffers, those of the widest values first. */
static size_t block_bytes(const struct plan *plan) {
  return words_of(plan) * sizeof(uint64_t) + VECTOR_ROWS * (sizeof(uint64_t) + sizeof(uint32_t) + 2) +
         (STRETCHES_MOST + 1) * sizeof(uint32_t);
}

int keys_init(struct keys *keys, const struct plan *plan, tally_error *error) {
  keys->plan = plan;
  keys->word = grow_memory(plan->environment->budget, NULL, 0, block_bytes(plan), what, error);
  if (!keys->word) return error->code;
  keys->codes = keys->word + words_of(plan);
  keys->numbers = (uint32_t *)(void *)(keys->codes + VECTOR_ROWS);
  keys->first = keys->numbers + VECTOR_ROWS;
  keys->near_codes = (uint8_t *)(keys->first + STRETCHES_MOST + 1);
  keys->ends = keys->near_codes + VECTOR_ROWS;
  return 0;
}

void keys_free(struct keys *keys) {
  if (keys->word) grow_free(keys->plan->environment->budget, keys->word, block_bytes(keys->plan));
  *keys = (struct keys){0};
}

/* ------------------------------------------------------------------ few keys */

/* The codes of a part of the keys in a vector: [low, low + span). */
struct range {
  uint64_t low, span;
};

static struct range range_of(uint64_t low, uint64_t high) { return (struct range){low, high - low + 1}; }

/* A damaged segment's bounds may be any; the part's range bounds what buckets there are. */
static struct range bucket_range(const struct plan *plan, const struct plan_part *p, struct bounds b) {
  if (p->one_bucket) return range_of(p->bucket, p->bucket);
  if (b.min < p->from) b.min = p->from;
  if (b.max > p->to - 1) b.max = p->to - 1;
  if (b.min > b.max) return (struct range){0, UINT64_MAX};
  return range_of(bucket_map_number(&plan->buckets, b.min), bucket_map_number(&plan->buckets, b.max));
}

/* Of interned texts, and of integers some of which are NULL, nothing is known. */
static struct range group_range(const struct plan *plan, size_t group, struct bounds b, bool nulls) {
  const int column = plan->request->group[group].ref.column;
  const struct range unknown = {0, UINT64_MAX};
  if (plan->group_source[group] != NO_SOURCE) return unknown;
  if (column_kind(column) == KIND_TEXT) return range_of((uint64_t)b.min, (uint64_t)b.max);
  if (nulls || b.min > b.max) return unknown;
  return range_of(plan_integer_code(plan, group, b.min), plan_integer_code(plan, group, b.max));
}

/* What is known of rows beforehand: the bounds of their columns, and which of numbers may be NULL (bits). */
struct facts {
  uint32_t rows, nulls;
  const struct bounds *bound;
};

/* Finds the ranges of all parts. How many keys they leave; 0: more than are worth a table. */
static uint32_t find_ranges(const struct plan *plan, const struct plan_part *p, struct facts facts,
                            struct range range[GROUP_COLUMNS + 1]) {
  uint64_t keys = 1;
  if (plan->request->has_bucket) range[0] = bucket_range(plan, p, facts.bound[TALLY_COL_TIMESTAMP]);
  for (size_t g = 0; g < plan->request->group_count; g++) {
    const int column = plan->request->group[g].ref.column;
    range[plan_group_part(plan, g)] = group_range(
        plan, g, facts.bound[column < TALLY_COL_METADATA ? column : 0], facts.nulls >> column & 1);
  }
  for (size_t i = 0; i < plan->layout.parts; i++) {
    if (range[i].span == 0 || range[i].span > NEAR_GROUPS) return 0;
    keys *= range[i].span;
    if (keys > NEAR_GROUPS) return 0;
  }
  return keys == 1 || keys * 2 <= facts.rows ? (uint32_t)keys : 0;
}

KERNEL static void add_codes(const int64_t *values, uint32_t rows, uint64_t low, uint8_t stride,
                             uint8_t *codes) {
  for (uint32_t i = 0; i < rows; i++)
    codes[i] = (uint8_t)(codes[i] + (uint8_t)((uint64_t)values[i] - low) * stride);
}

/* Adds the places that a part's codes have in its range. */
static void add_part(struct keys *keys, const struct vector *vector, size_t part, struct range range,
                     uint8_t stride) {
  const struct plan *plan = keys->plan;
  const bool bucket = plan->request->has_bucket;
  if (bucket && part == 0) {
    bucket_map_codes(&plan->buckets, vector->value[TALLY_COL_TIMESTAMP], vector->rows, range.low,
                     range.low + range.span - 1, stride, keys->near_codes);
    return;
  }
  const size_t group = part - bucket;
  const int column = plan->request->group[group].ref.column;
  uint64_t low =
      column_kind(column) == KIND_TEXT ? range.low : (uint64_t)plan_integer_value(plan, group, range.low);
  add_codes(vector->value[column], vector->rows, low, stride, keys->near_codes);
}

/* The last part's places count by one, that of the part before it by the last one's span, .. */
static void make_codes(struct keys *keys, const struct vector *vector, const struct range *range) {
  uint32_t stride = 1;
  memset(keys->near_codes, 0, vector->rows);
  for (size_t i = keys->plan->layout.parts; i > 0; i--) {
    if (range[i - 1].span > 1) add_part(keys, vector, i - 1, range[i - 1], (uint8_t)stride);
    stride *= (uint32_t)range[i - 1].span;
  }
}

static int add_code(const struct plan *plan, struct groups *groups, const struct range *range, uint32_t code,
                    uint32_t *group, tally_error *error) {
  uint64_t key[GROUP_COLUMNS + 1] = {0};
  for (size_t i = plan->layout.parts; i > 0; i--) {
    key_put(key, plan->layout.part[i - 1], range[i - 1].low + code % range[i - 1].span);
    code /= (uint32_t)range[i - 1].span;
  }
  return groups_add(groups, key, group, error);
}

static int add_codes_in_use(struct keys *keys, struct groups *groups, const struct range *range,
                            tally_error *error) {
  struct near_groups *near = &keys->near;
  uint32_t some = 0;
  for (uint32_t c = 0; c < near->count; c++) {
    if (!near->rows[c]) continue;
    int rc = add_code(keys->plan, groups, range, c, &some, error);
    if (rc) return rc;
    near->group[c] = some;
  }
  for (uint32_t c = 0; c < NEAR_GROUPS; c++)
    if (c >= near->count || !near->rows[c]) near->group[c] = some;
  return 0;
}

_Static_assert(VECTOR_ROWS / LONG_STRETCH_ROWS <= STRETCHES_MOST, "the long stretches of a vector");

KERNEL static uint32_t mark_code_ends(const uint8_t *code, uint32_t rows, uint8_t *ends) {
  uint32_t count = 1;
  for (uint32_t i = 0; i + 1 < rows; i++) {
    ends[i] = code[i] != code[i + 1];
    count += ends[i];
  }
  ends[rows - 1] = 1;
  return count;
}

/* Finds the stretches of equal codes; false if they are so short that codes tell rows apart faster. */
static bool find_long_stretches(struct keys *keys, uint32_t rows) {
  const uint32_t count = mark_code_ends(keys->near_codes, rows, keys->ends);
  if (count * LONG_STRETCH_ROWS > rows) return false;
  keys->first[0] = 0;
  for (uint32_t j = 0; j < count; j++) {
    const uint8_t *from = keys->ends + keys->first[j];
    const uint8_t *end = memchr(from, 1, rows - keys->first[j]);
    keys->first[j + 1] = (uint32_t)(end - keys->ends) + 1;
  }
  keys->stretches = (struct stretches){count, keys->ends, keys->first, keys->numbers};
  return true;
}

static int add_long_stretches(struct keys *keys, struct groups *groups, const struct range *range,
                              tally_error *error) {
  int rc = 0;
  for (uint32_t j = 0; j < keys->stretches.count && !rc; j++)
    rc = add_code(keys->plan, groups, range, keys->near_codes[keys->first[j]], &keys->numbers[j], error);
  return rc;
}

static int few_keys(struct keys *keys, struct groups *groups, const struct vector *vector,
                    const struct range *range, uint32_t count, unsigned ways, struct input *input,
                    tally_error *error) {
  struct near_groups *near = &keys->near;
  if (count == 1) return add_code(keys->plan, groups, range, 0, &input->one, error);
  make_codes(keys, vector, range);
  if ((ways & KEYS_STRETCHES) && find_long_stretches(keys, vector->rows)) {
    input->stretches = &keys->stretches;
    return add_long_stretches(keys, groups, range, error);
  }
  near->count = count;
  near->code = keys->near_codes;
  near_groups_count(near, vector->rows);
  int rc = add_codes_in_use(keys, groups, range, error);
  input->near = near;
  if (rc || !(ways & KEYS_EACH)) return rc;
  for (uint32_t i = 0; i < vector->rows; i++) keys->numbers[i] = near->group[near->code[i]];
  input->groups = keys->numbers;
  return 0;
}

/* ------------------------------------------------------------------ any keys */

static void integer_codes(struct keys *keys, size_t group, const int64_t *values, const uint64_t *valid,
                          uint32_t rows) {
  for (uint32_t i = 0; i < rows; i++) {
    uint64_t code = plan_integer_code(keys->plan, group, values[i]);
    keys->codes[i] = !valid || bitmap_get(valid, i) ? code : 0;
  }
}

/* The codes of a group key. */
static const uint64_t *group_codes(struct keys *keys, size_t group, const struct vector *vector,
                                   const struct source_set *sources) {
  int column = keys->plan->request->group[group].ref.column;
  size_t source = keys->plan->group_source[group];
  if (source != NO_SOURCE) return (const uint64_t *)sources->vector[source].values;
  if (column_kind(column) == KIND_TEXT) return (const uint64_t *)vector->value[column];
  integer_codes(keys, group, vector->value[column], vector->valid[column], vector->rows);
  return keys->codes;
}

KERNEL static void or_codes(const uint64_t *codes, uint32_t rows, unsigned shift, uint64_t *to) {
  for (uint32_t i = 0; i < rows; i++) to[i] |= codes[i] << shift;
}

/* Parts come in their order: the one at bit 0 is the first of its word. */
static void put_codes(struct keys *keys, struct key_part part, const uint64_t *codes, uint32_t rows) {
  uint64_t *to = keys->word + (size_t)part.word * VECTOR_ROWS;
  if (!part.bits) return;
  if (part.shift)
    or_codes(codes, rows, part.shift, to);
  else
    memcpy(to, codes, rows * sizeof *to);
}

static void put_buckets(struct keys *keys, const struct plan_part *p, const int64_t *time, uint32_t rows) {
  const struct plan *plan = keys->plan;
  if (p->one_bucket || !time)
    for (uint32_t i = 0; i < rows; i++) keys->codes[i] = p->bucket;
  else
    bucket_map_numbers(&plan->buckets, time, rows, keys->codes);
  put_codes(keys, plan->layout.part[0], keys->codes, rows);
}

static void make_keys(struct keys *keys, const struct plan_part *p, const struct vector *vector,
                      const struct source_set *sources) {
  const struct plan *plan = keys->plan;
  if (plan->request->has_bucket) put_buckets(keys, p, vector->value[TALLY_COL_TIMESTAMP], vector->rows);
  for (size_t g = 0; g < plan->request->group_count; g++)
    put_codes(keys, plan->layout.part[plan_group_part(plan, g)], group_codes(keys, g, vector, sources),
              vector->rows);
}

#define STRETCH_ROWS 4u /* on the average at least, to be worth it */
_Static_assert(VECTOR_ROWS / STRETCH_ROWS <= STRETCHES_MOST, "the stretches of a vector");

KERNEL static void mark_ends(const uint64_t *word, uint32_t rows, uint8_t *ends) {
  for (uint32_t i = 0; i + 1 < rows; i++) ends[i] |= word[i] != word[i + 1];
}

KERNEL static uint32_t count_ends(const uint8_t *ends, uint32_t rows) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < rows; i++) count += ends[i];
  return count;
}

/* Finds the stretches of equal keys; false if they are too many. */
static bool find_stretches(struct keys *keys, uint32_t rows) {
  memset(keys->ends, 0, rows);
  for (size_t w = 0; w < keys->plan->layout.words; w++)
    mark_ends(keys->word + w * VECTOR_ROWS, rows, keys->ends);
  keys->ends[rows - 1] = 1;
  const uint32_t count = count_ends(keys->ends, rows);
  if (count * STRETCH_ROWS > rows) return false;
  keys->first[0] = 0;
  for (uint32_t i = 0, at = 1; i < rows; at += keys->ends[i++]) keys->first[at] = i + 1;
  keys->stretches = (struct stretches){count, keys->ends, keys->first, keys->numbers};
  return true;
}

/* The groups of stretches: the words of their keys move to the front. */
static int add_stretches(struct keys *keys, struct groups *groups, struct input *input, tally_error *error) {
  bool same;
  const uint32_t count = keys->stretches.count;
  for (size_t w = 0; w < keys->plan->layout.words; w++) {
    uint64_t *word = keys->word + w * VECTOR_ROWS;
    for (uint32_t j = 0; j < count; j++) word[j] = word[keys->first[j]];
  }
  int rc = groups_add_all(groups, keys->word, VECTOR_ROWS, count, keys->numbers, &same, error);
  input->one = keys->numbers[0];
  if (!same) input->stretches = &keys->stretches;
  return rc;
}

/* The numbers of groups that were found near each other are near each other too. */
KERNEL static struct range span_of(const uint32_t *numbers, uint32_t rows) {
  uint32_t first = UINT32_MAX, last = 0;
  for (uint32_t i = 0; i < rows; i++) {
    first = numbers[i] < first ? numbers[i] : first;
    last = numbers[i] > last ? numbers[i] : last;
  }
  return (struct range){first, last - first + UINT64_C(1)};
}

KERNEL static void number_codes(const uint32_t *numbers, uint32_t rows, uint32_t first, uint8_t *codes) {
  for (uint32_t i = 0; i < rows; i++) codes[i] = (uint8_t)(numbers[i] - first);
}

static int any_keys(struct keys *keys, struct groups *groups, const struct plan_part *p,
                    const struct vector *vector, const struct source_set *sources, unsigned ways,
                    struct input *input, tally_error *error) {
  struct near_groups *near = &keys->near;
  bool same;
  make_keys(keys, p, vector, sources);
  if ((ways & KEYS_STRETCHES) && find_stretches(keys, vector->rows))
    return add_stretches(keys, groups, input, error);
  int rc = groups_add_all(groups, keys->word, VECTOR_ROWS, vector->rows, keys->numbers, &same, error);
  input->one = keys->numbers[0];
  if (rc || same) return rc;
  input->groups = keys->numbers;
  struct range range = span_of(keys->numbers, vector->rows);
  if (range.span > NEAR_GROUPS || range.span * 2 > vector->rows) return 0;
  number_codes(keys->numbers, vector->rows, (uint32_t)range.low, keys->near_codes);
  near->count = (uint32_t)range.span;
  near->code = keys->near_codes;
  for (uint32_t c = 0; c < NEAR_GROUPS; c++) near->group[c] = (uint32_t)range.low + (c < near->count ? c : 0);
  near_groups_count(near, vector->rows);
  input->near = near;
  return 0;
}

int keys_of_rows(struct keys *keys, struct groups *groups, const struct plan_part *part,
                 const struct vector *vector, const struct source_set *sources, unsigned ways,
                 struct input *input, tally_error *error) {
  struct range range[GROUP_COLUMNS + 1];
  struct facts facts = {.rows = vector->rows, .bound = vector->bound};
  *input = (struct input){.rows = vector->rows};
  for (int column = TALLY_COL_REQUEST_SIZE; column < TALLY_COL_METADATA; column++)
    facts.nulls |= (uint32_t)(vector->valid[column] != NULL) << column;
  uint32_t few = find_ranges(keys->plan, part, facts, range);
  return few ? few_keys(keys, groups, vector, range, few, ways, input, error)
             : any_keys(keys, groups, part, vector, sources, ways, input, error);
}

int keys_of_whole(const struct plan *plan, struct groups *groups, const struct plan_part *part,
                  const struct whole_chunk *whole, bool *one, uint32_t *group, tally_error *error) {
  struct range range[GROUP_COLUMNS + 1];
  struct facts facts = {.rows = whole->rows, .bound = whole->bound};
  for (int column = TALLY_COL_REQUEST_SIZE; column < TALLY_COL_METADATA; column++)
    facts.nulls |= (uint32_t)(whole->nulls[column] != 0) << column;
  *one = find_ranges(plan, part, facts, range) == 1;
  return *one ? add_code(plan, groups, range, 0, group, error) : 0;
}

/* ------------------------------------------------------------------ entries */

const uint32_t *keys_entry_ids(const struct entries *entries, int column) {
  return column == TALLY_COL_SERVICE_NAME ? entries->service
         : column == TALLY_COL_USER_ID    ? entries->user
         : column == TALLY_COL_ENDPOINT   ? entries->endpoint
                                          : entries->method;
}

_Static_assert(ROLLUP_PIECE <= VECTOR_ROWS, "a piece of a rollup fits the keys");

int keys_of_entries(struct keys *keys, struct groups *groups, const struct plan_part *part,
                    const struct entries *entries, bool *same, tally_error *error) {
  const struct plan *plan = keys->plan;
  const uint32_t rows = entries->rows;
  if (plan->request->has_bucket) put_buckets(keys, part, entries->time, rows);
  for (size_t g = 0; g < plan->request->group_count; g++) {
    const uint32_t *id = keys_entry_ids(entries, plan->request->group[g].ref.column);
    for (uint32_t i = 0; i < rows; i++) keys->codes[i] = id[i];
    put_codes(keys, plan->layout.part[plan_group_part(plan, g)], keys->codes, rows);
  }
  int rc = groups_add_all(groups, keys->word, VECTOR_ROWS, rows, keys->numbers, same, error);
  for (uint32_t i = 1; !rc && *same && i < rows; i++) keys->numbers[i] = keys->numbers[0];
  return rc;
}
