/* ints_encode.c - choosing and writing the smallest scheme of an integer sequence; see ints.h, bytes in
 * ints.c.
 *
 * Sizes of frames are computed, not tried: only the winner is packed. Schemes that a lower bound or a sample
 * rules out are not sized: DELTA when a sample of the differences needs clearly more bits than one of the
 * values, DICT when its distinct values alone cost too much, RLE when runs are short. */
#include "encoding/bits.h"
#include "encoding/ints.h"
#include "encoding/ints_format.h"

#define RUN_MIN 3u       /* RLE is sized when runs have this many values on average */
#define DELTA_SAMPLE 64u /* differences looked at before all are */

struct survey {
  int64_t min, max;
  uint32_t runs;
};

static struct survey survey_of(const int64_t *v, uint32_t count) {
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
  unsigned for_bits; /* that FOR takes for a value */
  uint32_t alike;    /* equally likely values with as many equal pairs as a sample had */
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

static bool consider_frames(struct choice *c) {
  const int64_t *v = c->v;
  struct int_frame_guess guess = guess_for(v, c->count, c->survey);
  struct int_frame_plan plan = int_frame_plan(v, c->count, guess.base);
  c->alike = guess.alike;
  c->for_bits = (unsigned)(plan.size * 8 / c->count);
  consider(c, INTS_FOR, 1 + plan.size, &plan, v, c->count);
  if (!delta_hopeful(c, guess.bits)) return true;
  uint32_t n = c->count - 1;
  buffer_clear(&c->level->deltas);
  int64_t *d = (int64_t *)(void *)buffer_add(&c->level->deltas, n * sizeof *d);
  if (!d) return false;
  for (uint32_t i = 0; i < n; i++) d[i] = (int64_t)((uint64_t)v[i + 1] - (uint64_t)v[i]);
  plan = int_frame_plan(d, n, guess_for(d, n, survey_of(d, n)).base);
  consider(c, INTS_DELTA, 1 + varint_size(zigzag(v[0])) + plan.size, &plan, d, n);
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
  return log2_thrice(c->alike) * c->count * 5 < (uint64_t)c->size * 8 * 3 * 4;
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

/* The least that packed indexes take: the entropy of the values, rounded down. */
static uint64_t index_bits(const struct distinct *d, uint32_t count) {
  uint64_t bits = 0;
  for (uint32_t i = 0; i < d->count; i++)
    bits += (uint64_t)d->entries[i].uses * (bits_length(count / d->entries[i].uses) - 1);
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

static bool consider_dict(struct choice *c) {
  struct distinct d;
  buffer_clear(&c->level->indexes);
  int64_t *indexes = (int64_t *)(void *)buffer_add(&c->level->indexes, c->count * sizeof *indexes);
  if (!indexes || !distinct_room(&d, c)) return false;
  if (!number_values(c, &d, indexes)) return true;
  if ((entry_bits(c, d.count) + index_bits(&d, c->count)) / 8 > c->size) return true;
  if (!encode_entries(c, &d, indexes)) return false;
  struct survey s = {0, d.count - 1, 0};
  struct int_frame_plan plan = int_frame_plan(indexes, c->count, guess_for(indexes, c->count, s).base);
  c->values_count = d.count;
  consider(c, INTS_DICT, 1 + nested_size(c, d.count) + plan.size, &plan, indexes, c->count);
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
  struct int_frame_plan plan =
      int_frame_plan(lengths, runs, guess_for(lengths, runs, survey_of(lengths, runs)).base);
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

/* Encodes by the smallest allowed scheme. `level` is free working memory, and one further level for each
 * scheme that nests. */
static void encode_at(const int64_t *v, uint32_t count, unsigned allowed, struct buffer *out,
                      struct ints_level *level) {
  struct choice c = {.v = v, .count = count, .survey = survey_of(v, count), .level = level, .size = SIZE_MAX};
  if (c.survey.runs == 1) {
    write8(out, INTS_CONST);
    write_varint(out, zigzag(v[0]));
    return;
  }
  bool ok = consider_frames(&c);
  if (ok && allowed & ALLOW(INTS_DICT) && dictionary_hopeful(&c)) ok = consider_dict(&c);
  if (ok && allowed & ALLOW(INTS_RLE) && c.survey.runs <= count / RUN_MIN) ok = consider_rle(&c);
  if (ok)
    write_choice(&c, out);
  else
    out->failed = true;
}

void ints_encode(const int64_t *v, uint32_t count, struct buffer *out, struct ints_scratch *scratch) {
  encode_at(v, count, ALLOW_ALL, out, scratch->ints);
}
