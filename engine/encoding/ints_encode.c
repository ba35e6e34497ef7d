/* ints_encode.c - choosing and writing the smallest scheme of an integer sequence; see ints.h, bytes in
 * ints.c.
 *
 * Sizes of frames are computed, not tried: only the winner is packed. Schemes that a lower bound or a sample
 * rules out are not sized: DELTA when a sample of the differences needs clearly more bits than one of the
 * values, DICT when its distinct values alone cost too much, RLE when runs are short. Of a column's chunks,
 * one after the other, most look like the one before: its scheme goes first, and while it does as well as
 * then, the others are not looked at (ints_memory). */
#include "base/array.h"
#include "base/kernel.h"
#include "encoding/bits.h"
#include "encoding/ints.h"
#include "encoding/ints_format.h"

#define RUN_MIN 3u       /* RLE is sized when runs have this many values on average */
#define DELTA_SAMPLE 64u /* differences looked at before all are */
#define PLAIN_BYTES(count) (8 * (size_t)(count) + 12) /* FOR never takes more */
#define FEW 1024u      /* a sample of so few values costs as much as their encoding: it is left out */
#define MEMORY_MOST 8u /* after this many sequences the choice is made anew */

struct survey {
  int64_t min, max;
  uint32_t runs;
};

KERNEL static struct survey survey_of(const int64_t *v, uint32_t count) {
  struct survey s = {v[0], v[0], 1};
  for (uint32_t i = 1; i < count; i++) {
    s.min = v[i] < s.min ? v[i] : s.min;
    s.max = v[i] > s.max ? v[i] : s.max;
    s.runs += v[i] != v[i - 1];
  }
  return s;
}

/* A sequence on its way: what is known of it, and the best scheme so far. */
struct choice {
  const int64_t *v;
  uint32_t count;
  struct survey survey;
  struct ints_level *level;
  uint8_t scheme;
  size_t size;
  struct int_frame_plan frame;
  const int64_t *framed; /* what the frame of the scheme is about */
  uint32_t framed_count, values_count;
  size_t delta_size;
  bool delta_beaten;
  unsigned for_bits; /* that FOR takes for a value */
  unsigned hopeful;  /* the schemes beside FOR that samples do not rule out */
  uint8_t entropy;   /* three times the bits of entropy that a sample shows */
};

static void encode_at(const int64_t *v, uint32_t count, unsigned allowed, struct buffer *out,
                      struct ints_level *level);

static void consider(struct choice *c, uint8_t scheme, size_t size, const struct int_frame_plan *plan,
                     const int64_t *framed, uint32_t framed_count) {
  if (size >= c->size) return;
  c->scheme = scheme;
  c->size = size;
  c->frame = *plan;
  c->framed = framed;
  c->framed_count = framed_count;
}

/* ---- FOR and DELTA ---- */

static struct int_frame_guess guess_for(const int64_t *v, uint32_t count, struct survey s) {
  return int_frame_guess(v, count, s.min, s.max);
}

static struct int_frame_plan plan_for(const int64_t *v, uint32_t count, struct survey s, int64_t base) {
  return int_frame_plan(v, count, (struct bounds){s.min, s.max}, base);
}

/* False if some differences, taken at even distances, show that DELTA needs half a bit a value more than
 * `bits`. */
static bool delta_hopeful(const struct choice *c, uint64_t bits) {
  int64_t some[DELTA_SAMPLE];
  if (c->count <= DELTA_SAMPLE * 2) return true;
  uint32_t step = c->count / DELTA_SAMPLE;
  for (uint32_t i = 0, at = 1; i < DELTA_SAMPLE; i++, at += step)
    some[i] = (int64_t)((uint64_t)c->v[at] - (uint64_t)c->v[at - 1]);
  return guess_for(some, DELTA_SAMPLE, survey_of(some, DELTA_SAMPLE)).bits <= bits + 32;
}

static void consider_for(struct choice *c, struct int_frame_guess guess) {
  struct int_frame_plan plan = plan_for(c->v, c->count, c->survey, guess.base);
  c->for_bits = (unsigned)(plan.size * 8 / c->count);
  consider(c, INTS_FOR, 1 + plan.size, &plan, c->v, c->count);
}

static bool consider_delta(struct choice *c) {
  const int64_t *v = c->v;
  uint32_t n = c->count - 1;
  buffer_clear(&c->level->deltas);
  int64_t *d = (int64_t *)(void *)buffer_add(&c->level->deltas, n * sizeof *d);
  if (!d) return false;
  array_differences(v, c->count, d);
  const struct survey s = survey_of(d, n);
  struct int_frame_plan plan = plan_for(d, n, s, guess_for(d, n, s).base);
  c->delta_size = 1 + varint_size(zigzag(v[0])) + plan.size;
  consider(c, INTS_DELTA, c->delta_size, &plan, d, n);
  return true;
}

/* ---- DICT ---- */

struct entry {
  uint64_t value;
  uint32_t number, uses; /* its place by appearance, and how many values are equal to it */
};

/* Distinct values in order of appearance. */
struct distinct {
  uint32_t count, most;
  struct entry *entries; /* room for 2 * most: sorting needs a second half */
  uint16_t *rank;        /* place by value, of each number */
  uint16_t *slots;       /* a hash table: number + 1, 0 is empty */
  unsigned slot_bits;
};

static bool distinct_room(struct distinct *d, struct choice *c) {
  d->count = 0;
  d->most = c->count < DICT_MAX ? c->count : DICT_MAX;
  d->slot_bits = bits_length(2 * d->most);
  size_t slots = (size_t)1 << d->slot_bits;
  struct buffer *b = &c->level->distinct;
  buffer_clear(b);
  uint8_t *p = buffer_add(b, d->most * (2 * sizeof *d->entries + sizeof *d->rank) + slots * sizeof *d->slots);
  if (!p) return false;
  d->entries = (struct entry *)(void *)p;
  d->rank = (uint16_t *)(void *)(d->entries + 2 * (size_t)d->most);
  d->slots = d->rank + d->most;
  memset(d->slots, 0, slots * sizeof *d->slots);
  return true;
}

/* Bits that n of these values take as a dictionary: the gaps between them, if they are spread as evenly as
 * FOR finds them, and two for their unevenness. */
static uint64_t entry_bits(const struct choice *c, uint32_t n) {
  unsigned gap = c->for_bits + 2, known = bits_length(n);
  return (uint64_t)n * (gap > known ? gap - known : 1);
}

/* Three times the base-2 logarithm of x, rounded down. */
static uint64_t log2_thrice(uint64_t x) {
  if (x > UINT16_MAX) return 3 * 16;
  return x ? bits_length(x * x * x) - 1 : 0;
}

/* A dictionary is worth a closer look if indexes at the entropy that the sample shows (that of order 2, which
 * is below Shannon's) would take four fifths of the best size so far, or less. */
static bool dictionary_hopeful(const struct choice *c) {
  return (uint64_t)c->entropy * c->count * 5 < (uint64_t)c->size * 8 * 3 * 4;
}

/* True if the first `seen` values show that a dictionary would hardly save a tenth: nearly all are distinct;
 * or how many values are still to come follows from those seen once (Good and Turing), indexes take the
 * length of that number, or, where one value prevails, the others are exceptions. */
static bool dictionary_lost(const struct choice *c, const struct distinct *d, uint32_t seen) {
  if (d->count < 128) return false;
  if (d->count > seen - seen / 8) return true;
  uint32_t once = 0, most_uses = 0;
  for (uint32_t i = 0; i < d->count; i++) {
    once += d->entries[i].uses == 1;
    most_uses = d->entries[i].uses > most_uses ? d->entries[i].uses : most_uses;
  }
  uint32_t n =
      d->count + (uint32_t)((uint64_t)(c->count - seen) * once * 3 / 5 / seen); /* 3/5: fewer on the way */
  uint64_t index_bits = log2_thrice(n) * c->count / 3;
  uint64_t exceptions =
      (uint64_t)c->count * (seen - most_uses) / seen * (bits_length(c->count) + bits_length(n));
  return (entry_bits(c, n) + (index_bits < exceptions ? index_bits : exceptions)) / 8 * 10 >
         (uint64_t)c->size * 9;
}

/* The number of v among the distinct values, added if it is new. */
static uint32_t number_of(struct distinct *d, uint64_t v) {
  uint32_t mask = (1u << d->slot_bits) - 1;
  uint32_t slot =
      (uint32_t)(v * 0x9E3779B97F4A7C15u >> (64 - d->slot_bits)); /* Knuth's multiplicative hashing */
  while (d->slots[slot] && d->entries[d->slots[slot] - 1].value != v) slot = (slot + 1) & mask;
  if (!d->slots[slot]) {
    d->entries[d->count] = (struct entry){v, d->count, 0};
    d->slots[slot] = (uint16_t)++d->count;
  }
  return d->slots[slot] - 1u;
}

/* Numbers the values by appearance; false if a dictionary does not pay. */
static bool number_values(const struct choice *c, struct distinct *d, int64_t *numbers) {
  uint32_t number = 0;
  for (uint32_t i = 0; i < c->count; i++) {
    if (i % 512 == 511 && dictionary_lost(c, d, i)) return false;
    if (i == 0 || c->v[i] != c->v[i - 1]) {
      if (d->count == d->most) return false;
      number = number_of(d, (uint64_t)c->v[i]);
    }
    d->entries[number].uses++;
    numbers[i] = number;
  }
  return true;
}

/* The least that packed indexes of a value take all together: its part of the entropy, rounded down. */
static uint64_t bits_of_uses(uint32_t uses, uint32_t count) {
  return (uint64_t)uses * (bits_length(count / uses) - 1);
}

static uint64_t index_bits(const struct distinct *d, uint32_t count) {
  uint64_t bits = 0;
  for (uint32_t i = 0; i < d->count; i++) bits += bits_of_uses(d->entries[i].uses, count);
  return bits;
}

/* Sorts by value, byte by byte from the last significant one (radix sort). */
static struct entry *sort_entries(const struct distinct *d, uint64_t min, uint64_t range) {
  struct entry *from = d->entries, *to = from + d->most;
  for (unsigned shift = 0; shift < bits_length(range); shift += 8) {
    uint32_t starts[257] = {0};
    for (uint32_t i = 0; i < d->count; i++) starts[((from[i].value - min) >> shift & 255) + 1]++;
    for (unsigned b = 1; b < 256; b++) starts[b] += starts[b - 1];
    for (uint32_t i = 0; i < d->count; i++) to[starts[(from[i].value - min) >> shift & 255]++] = from[i];
    struct entry *swap = from;
    from = to;
    to = swap;
  }
  return from;
}

/* The sorted values as an encoded sequence in level->nested, and in `indexes` ranks instead of numbers. */
static bool encode_entries(struct choice *c, const struct distinct *d, int64_t *indexes) {
  uint64_t min = (uint64_t)c->survey.min;
  struct entry *sorted = sort_entries(d, min, (uint64_t)c->survey.max - min);
  buffer_clear(&c->level->quotients);
  int64_t *values = (int64_t *)(void *)buffer_add(&c->level->quotients, d->count * sizeof *values);
  if (!values) return false;
  for (uint32_t i = 0; i < d->count; i++) {
    values[i] = (int64_t)sorted[i].value;
    d->rank[sorted[i].number] = (uint16_t)i;
  }
  for (uint32_t i = 0; i < c->count; i++) indexes[i] = d->rank[indexes[i]];
  buffer_clear(&c->level->nested);
  encode_at(values, d->count, ALLOW_LEAF, &c->level->nested, c->level + 1);
  return !c->level->nested.failed;
}

static size_t nested_size(const struct choice *c, uint32_t values) {
  return varint_size(values) + varint_size(c->level->nested.size) + c->level->nested.size;
}

/* Sizes the dictionary of `entries` values that level->nested has, with these indexes. */
static void consider_indexes(struct choice *c, uint32_t entries, const int64_t *indexes) {
  struct survey s = {0, entries - 1, 0};
  struct int_frame_plan plan = plan_for(indexes, c->count, s, guess_for(indexes, c->count, s).base);
  c->values_count = entries;
  consider(c, INTS_DICT, 1 + nested_size(c, entries) + plan.size, &plan, indexes, c->count);
}

#define NARROW 1024u /* values in a range of so many are counted in place of being looked up */
#define TABLES 4u    /* counted in turn, so that equal neighbours do not wait for each other's count */

/* How often each value stands in the sequence, by its distance from the least, in counts[0]. */
static void count_values(const struct choice *c, uint32_t counts[TABLES][NARROW], uint32_t range) {
  uint64_t min = (uint64_t)c->survey.min;
  uint32_t i = 0;
  for (uint32_t t = 0; t < TABLES; t++) memset(counts[t], 0, range * sizeof **counts);
  for (; i + TABLES <= c->count; i += TABLES)
    for (uint32_t t = 0; t < TABLES; t++) counts[t][(uint64_t)c->v[i + t] - min]++;
  for (; i < c->count; i++) counts[0][(uint64_t)c->v[i] - min]++;
  for (uint32_t v = 0; v < range; v++) counts[0][v] += counts[1][v] + counts[2][v] + counts[3][v];
}

/* consider_dict for values that lie close together. */
static bool consider_narrow_dict(struct choice *c, int64_t *indexes) {
  uint32_t counts[TABLES][NARROW], range = (uint32_t)((uint64_t)c->survey.max - (uint64_t)c->survey.min) + 1;
  int64_t values[NARROW];
  uint16_t rank[NARROW];
  uint32_t entries = 0;
  uint64_t bits = 0;
  count_values(c, counts, range);
  for (uint32_t v = 0; v < range; v++) {
    if (!counts[0][v]) continue;
    bits += bits_of_uses(counts[0][v], c->count);
    rank[v] = (uint16_t)entries;
    values[entries++] = (int64_t)((uint64_t)c->survey.min + v);
  }
  if ((entry_bits(c, entries) + bits) / 8 > c->size) return true;
  for (uint32_t i = 0; i < c->count; i++) indexes[i] = rank[(uint64_t)c->v[i] - (uint64_t)c->survey.min];
  buffer_clear(&c->level->nested);
  encode_at(values, entries, ALLOW_LEAF, &c->level->nested, c->level + 1);
  if (c->level->nested.failed) return false;
  consider_indexes(c, entries, indexes);
  return true;
}

static bool consider_dict(struct choice *c) {
  struct distinct d;
  buffer_clear(&c->level->indexes);
  int64_t *indexes = (int64_t *)(void *)buffer_add(&c->level->indexes, c->count * sizeof *indexes);
  if (!indexes) return false;
  uint64_t range = (uint64_t)c->survey.max - (uint64_t)c->survey.min;
  if (range < NARROW && range < c->count) return consider_narrow_dict(c, indexes);
  if (!distinct_room(&d, c)) return false;
  if (!number_values(c, &d, indexes)) return true;
  if ((entry_bits(c, d.count) + index_bits(&d, c->count)) / 8 > c->size) return true;
  if (!encode_entries(c, &d, indexes)) return false;
  consider_indexes(c, d.count, indexes);
  return true;
}

/* ---- RLE ---- */

static bool consider_rle(struct choice *c) {
  uint32_t runs = c->survey.runs, run = 0, start = 0;
  buffer_clear(&c->level->runs);
  int64_t *values = (int64_t *)(void *)buffer_add(&c->level->runs, 2 * (size_t)runs * sizeof *values);
  if (!values) return false;
  int64_t *lengths = values + runs;
  for (uint32_t i = 1; i <= c->count; i++) {
    if (i < c->count && c->v[i] == c->v[i - 1]) continue;
    values[run] = c->v[i - 1];
    lengths[run++] = i - start;
    start = i;
  }
  const struct survey s = survey_of(lengths, runs);
  struct int_frame_plan plan = plan_for(lengths, runs, s, guess_for(lengths, runs, s).base);
  if (1 + plan.size >= c->size) return true;
  struct buffer *nested = &c->level->nested;
  size_t kept = c->scheme == INTS_DICT ? nested->size : 0; /* the entries of DICT stay until it is beaten */
  buffer_clear(nested);
  nested->size = kept;
  encode_at(values, runs, ALLOW_RUN, nested, c->level + 1);
  if (nested->failed) return false;
  size_t values_size = nested->size - kept;
  size_t size = 1 + varint_size(runs) + varint_size(values_size) + values_size + plan.size;
  if (size >= c->size) {
    nested->size = kept;
    return true;
  }
  memmove(nested->data, nested->data + kept, values_size);
  nested->size = values_size;
  c->values_count = runs;
  consider(c, INTS_RLE, size, &plan, lengths, runs);
  return true;
}

/* ---- the choice ---- */

static void write_choice(const struct choice *c, struct buffer *out) {
  write8(out, (uint8_t)(c->scheme | c->frame.exponent << 3 | (c->frame.exceptions ? 128 : 0)));
  if (c->scheme == INTS_DELTA) write_varint(out, zigzag(c->v[0]));
  if (c->scheme == INTS_DICT || c->scheme == INTS_RLE) {
    write_varint(out, c->values_count);
    write_varint(out, c->level->nested.size);
    buffer_append(out, c->level->nested.data, c->level->nested.size);
  }
  int_frame_write(c->framed, c->framed_count, &c->frame, out, &c->level->quotients);
}

static bool rle_allowed(const struct choice *c, unsigned allowed) {
  return allowed & ALLOW(INTS_RLE) && c->survey.runs <= c->count / RUN_MIN;
}

/* Sizes FOR, and looks by samples at what else may do better. */
static void survey_schemes(struct choice *c) {
  struct int_frame_guess guess = guess_for(c->v, c->count, c->survey);
  consider_for(c, guess);
  c->entropy = (uint8_t)log2_thrice(guess.alike);
  c->hopeful =
      (delta_hopeful(c, guess.bits) ? ALLOW(INTS_DELTA) : 0) | (dictionary_hopeful(c) ? ALLOW(INTS_DICT) : 0);
}

/* The smallest of the allowed schemes. False without memory. */
static bool choose(struct choice *c, unsigned allowed) {
  survey_schemes(c);
  if (c->hopeful & ALLOW(INTS_DELTA) && !consider_delta(c)) return false;
  c->delta_beaten = c->scheme == INTS_FOR && c->delta_size > c->size + c->size / 8;
  if (c->hopeful & allowed & ALLOW(INTS_DICT) && !consider_dict(c)) return false;
  return !rle_allowed(c, allowed) || consider_rle(c);
}

/* Sixty-fourths of a byte that a value takes. */
static uint64_t value_cost(const struct choice *c, size_t size) { return (uint64_t)size * 64 / c->count; }

/* May another scheme beat FOR, which won the time before? Those that samples rule out cannot; DELTA not where
 * it was clearly beaten; DICT not where the values are as different from each other as they were. */
static bool rivals(const struct choice *c, const struct ints_memory *m) {
  return (c->hopeful & ALLOW(INTS_DELTA) && !m->delta_beaten) ||
         (c->hopeful & ALLOW(INTS_DICT) && c->entropy + 3u < m->entropy);
}

/* The scheme of the sequence before, alone; chosen if it does about as well as there: `settled`. False
 * without memory. */
static bool choose_again(struct choice *c, const struct ints_memory *m, bool *settled) {
  *settled = false;
  if (m->uses == 0 || m->uses == MEMORY_MOST || rle_allowed(c, ALLOW_ALL) != m->runs) return true;
  uint64_t most = m->value_cost + m->value_cost / 8, least = m->value_cost / 2;
  size_t bound = (size_t)((most + 1) * c->count / 64);
  if (bound > PLAIN_BYTES(c->count)) bound = PLAIN_BYTES(c->count) + 1;
  c->size = bound + bound / 4; /* for dictionary_lost, which asks for a tenth less */
  c->for_bits = m->for_bits;
  bool ok = true;
  switch (m->scheme) {
  case INTS_FOR:
    if (c->count < FEW && m->base_is_least) {
      consider_for(c, (struct int_frame_guess){.base = c->survey.min});
      break;
    }
    survey_schemes(c);
    if (rivals(c, m)) c->size = SIZE_MAX;
    break;
  case INTS_DELTA:
    ok = consider_delta(c);
    break;
  case INTS_DICT:
    ok = consider_dict(c);
    break;
  case INTS_RLE:
    ok = consider_rle(c);
    break;
  default:
    break;
  }
  *settled = ok && c->size < bound && value_cost(c, c->size) >= least;
  if (!*settled) c->size = SIZE_MAX;
  return ok;
}

static void remember(struct ints_memory *m, const struct choice *c) {
  *m = (struct ints_memory){.scheme = c->scheme,
                            .uses = 1,
                            .for_bits = (uint8_t)c->for_bits,
                            .entropy = c->entropy,
                            .delta_beaten = c->delta_beaten,
                            .base_is_least = c->scheme == INTS_FOR && c->frame.base == c->survey.min,
                            .runs = rle_allowed(c, ALLOW_ALL),
                            .value_cost = value_cost(c, c->size)};
}

static bool choose_with(struct choice *c, struct ints_memory *m) {
  bool settled;
  if (!choose_again(c, m, &settled)) return false;
  if (settled) {
    m->uses++;
    return true;
  }
  if (!choose(c, ALLOW_ALL)) return false;
  remember(m, c);
  return true;
}

/* Encodes by the smallest allowed scheme. `level` is free working memory, and one further level for each
 * scheme that nests; `memory` may be NULL. */
static void encode_by(const int64_t *v, uint32_t count, unsigned allowed, struct buffer *out,
                      struct ints_level *level, struct ints_memory *memory) {
  struct choice c = {.v = v, .count = count, .survey = survey_of(v, count), .level = level, .size = SIZE_MAX};
  if (c.survey.runs == 1) {
    write8(out, INTS_CONST);
    write_varint(out, zigzag(v[0]));
    return;
  }
  if (memory ? choose_with(&c, memory) : choose(&c, allowed))
    write_choice(&c, out);
  else
    out->failed = true;
}

static void encode_at(const int64_t *v, uint32_t count, unsigned allowed, struct buffer *out,
                      struct ints_level *level) {
  encode_by(v, count, allowed, out, level, NULL);
}

void ints_encode(const int64_t *v, uint32_t count, struct buffer *out, struct ints_scratch *scratch) {
  encode_at(v, count, ALLOW_ALL, out, scratch->ints);
}

void ints_encode_next(const int64_t *v, uint32_t count, struct buffer *out, struct ints_scratch *scratch,
                      struct ints_memory *memory) {
  encode_by(v, count, ALLOW_ALL, out, scratch->ints, scratch->thorough ? NULL : memory);
}
