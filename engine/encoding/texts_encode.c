/* texts_encode.c - choosing and writing the smallest encoding of a list of strings; see texts_format.h.
 *
 * Schemes are tried from the cheapest to the dearest, each into level->trial, and the smallest stays in
 * level->best. One that cannot be the smallest any more, or that the first rows show to be hopeless, is left
 * out: a pattern at its first misfit, a dictionary when nearly all strings are distinct, LZ4 when the others
 * have brought the bytes down further than LZ4 does. */
#include <lz4.h>
#include <lz4hc.h>

#include "base/hash.h"
#include "encoding/bits.h"
#include "encoding/template.h"
#include "encoding/texts_format.h"

#define PATTERN_MAX 255u
#define LOOK 256u /* strings after which a dictionary shows its worth */

struct work {
  const struct text_list *list;
  unsigned allowed, level;
  struct texts_level *buffers;
  struct ints_scratch *scratch;
  bool failed;
};

/* Takes the trial if it is smaller than the best, and makes room for the next one. */
static void keep_smaller(struct work *w) {
  struct texts_level *b = w->buffers;
  if (b->trial.failed)
    w->failed = true;
  else if (b->best.size == 0 || b->trial.size < b->best.size) {
    struct buffer swap = b->best;
    b->best = b->trial;
    b->trial = swap;
  }
  buffer_clear(&b->trial);
}

/* Room for n integers in level->numbers. */
static int64_t *numbers_of(struct work *w, size_t n) {
  buffer_clear(&w->buffers->numbers);
  int64_t *numbers = (int64_t *)(void *)buffer_add(&w->buffers->numbers, n * sizeof *numbers);
  w->failed |= !numbers;
  return numbers;
}

/* Integers as a part: size and sequence. */
static void write_ints_part(struct work *w, const int64_t *v, uint32_t count, struct buffer *out) {
  struct buffer *nested = &w->buffers->nested;
  buffer_clear(nested);
  ints_encode(v, count, nested, w->scratch);
  w->failed |= nested->failed;
  write_part(out, nested);
}

static bool all_equal(const struct text_list *l) {
  size_t size = text_size(l, 0);
  for (uint32_t i = 1; i < l->count; i++)
    if (text_size(l, i) != size || !same_few(text_of(l, i), text_of(l, 0), size)) return false;
  return true;
}

/* ---- DECIMAL ---- */

static bool try_decimal(struct work *w) {
  const struct text_list *l = w->list;
  int64_t first;
  unsigned decimals;
  if (!decimal_text_parse(text_of(l, 0), text_size(l, 0), &first, &decimals)) return false;
  int64_t *mantissas = numbers_of(w, 2 * (size_t)l->count);
  if (!mantissas) return false;
  int64_t *places = mantissas + l->count;
  for (uint32_t i = 0; i < l->count; i++) {
    if (!decimal_text_parse(text_of(l, i), text_size(l, i), &mantissas[i], &decimals)) return false;
    places[i] = decimals;
  }
  struct buffer *out = &w->buffers->trial;
  write8(out, TEXT_DECIMAL);
  write_ints_part(w, mantissas, l->count, out);
  ints_encode(places, l->count, out, w->scratch);
  keep_smaller(w);
  return true;
}

/* ---- PATTERN ---- */

/* Of each position: does it differ from the first string, does it hold what is no lower- or upper-case digit
 * (then the byte's highest bit is set). */
struct positions {
  uint8_t differs[PATTERN_MAX], not_lower[PATTERN_MAX], not_upper[PATTERN_MAX];
};

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS (ONES * 0x80)

static void or_into(uint8_t *to, uint64_t bits) { store64(to, load64(to) | bits); }

/* Eight positions. Bytes from 0x80 on are no digits; of the others, adding what is missing to 0x80 compares.
 */
static void look_at_eight(uint64_t text, uint64_t first, size_t at, struct positions *p) {
  uint64_t low = text & ~HIGHS;
  uint64_t no_digit = ~(low + ONES * (0x80 - '0')) | (low + ONES * (0x7F - '9'));
  uint64_t no_lower = ~(low + ONES * (0x80 - 'a')) | (low + ONES * (0x7F - 'f'));
  uint64_t no_upper = ~(low + ONES * (0x80 - 'A')) | (low + ONES * (0x7F - 'F'));
  or_into(p->differs + at, text ^ first);
  or_into(p->not_lower + at, ((no_digit & no_lower) | text) & HIGHS);
  or_into(p->not_upper + at, ((no_digit & no_upper) | text) & HIGHS);
}

/* Strings of less than eight bytes are looked at with zeros behind them; the last eight bytes of others may
 * have been looked at in part. */
static void look_at_positions(const uint8_t *first, const uint8_t *text, size_t size, struct positions *p) {
  if (size < 8) {
    uint64_t a = 0, b = 0;
    memcpy(&a, text, size);
    memcpy(&b, first, size);
    look_at_eight(a, b, 0, p);
    return;
  }
  for (size_t i = 0; i + 8 < size; i += 8) look_at_eight(load64(text + i), load64(first + i), i, p);
  look_at_eight(load64(text + size - 8), load64(first + size - 8), size - 8, p);
}

/* True if every differing position holds digits of one case. */
static bool is_pattern(const struct positions *p, size_t size, bool *upper) {
  bool lower_fits = true, upper_fits = true;
  for (size_t i = 0; i < size; i++) {
    lower_fits &= !p->differs[i] || !p->not_lower[i];
    upper_fits &= !p->differs[i] || !p->not_upper[i];
  }
  *upper = !lower_fits;
  return lower_fits || upper_fits;
}

static bool find_pattern(const struct text_list *l, struct positions *p, bool *upper) {
  size_t size = text_size(l, 0);
  if (size == 0 || size > PATTERN_MAX) return false;
  for (uint32_t i = 1; i < l->count; i++)
    if (text_size(l, i) != size) return false;
  *p = (struct positions){{0}, {0}, {0}};
  const uint8_t *first = (const uint8_t *)text_of(l, 0);
  for (uint32_t i = 0; i < l->count; i++) {
    look_at_positions(first, (const uint8_t *)text_of(l, i), size, p);
    if (i % 64 == 8 && !is_pattern(p, size, upper)) return false;
  }
  return is_pattern(p, size, upper);
}

/* The values of eight hexadecimal digits as four bytes, the first digit uppermost in its byte. */
static uint32_t pack_digits(uint64_t text) {
  const uint64_t ones = 0x0101010101010101u;
  uint64_t values =
      (text & 0x0F * ones) + ((text >> 6) & ones) * 9; /* letters are 9 more than their low bits */
  uint64_t pairs = (values << 4 | values >> 8) & 0x00FF00FF00FF00FFu;
  pairs = (pairs | pairs >> 8) & 0x0000FFFF0000FFFFu;
  return (uint32_t)(pairs | pairs >> 16);
}

/* Packs `count` digits; `out` gets (count + 1) / 2 bytes. */
static void pack_text(const uint8_t *digits, size_t count, uint8_t *out) {
  for (; count >= 8; count -= 8, digits += 8, out += 4) store32(out, pack_digits(load64(digits)));
  if (count == 0) return;
  uint8_t rest[8] = {'0', '0', '0', '0', '0', '0', '0', '0'}, packed[4];
  memcpy(rest, digits, count);
  store32(packed, pack_digits(load64(rest)));
  memcpy(out, packed, (count + 1) / 2);
}

/* The digits of all strings as one stream. What makes no whole group of eight waits for the next string. */
static void write_digits(struct work *w, const struct positions *p, size_t size, struct buffer *out) {
  const struct text_list *l = w->list;
  uint8_t where[PATTERN_MAX], stream[PATTERN_MAX + 8];
  size_t digits = 0, held = 0;
  for (size_t i = 0; i < size; i++)
    if (p->differs[i]) where[digits++] = (uint8_t)i;
  uint8_t *packed = buffer_add(out, (l->count * digits + 1) / 2);
  if (!packed) return;
  bool adjacent = where[digits - 1] - where[0] + 1u == digits;
  for (uint32_t i = 0; i < l->count; i++) {
    const uint8_t *text = (const uint8_t *)text_of(l, i);
    if (adjacent && digits % 8 == 0) {
      pack_text(text + where[0], digits, packed);
      packed += digits / 2;
      continue;
    }
    for (size_t d = 0; d < digits; d++) stream[held + d] = text[where[d]];
    held += digits;
    size_t whole = i + 1 == l->count ? held : held / 8 * 8;
    pack_text(stream, whole, packed);
    packed += whole / 2;
    held -= whole;
    memmove(stream, stream + whole, held);
  }
}

static bool try_pattern(struct work *w) {
  struct positions p;
  bool upper;
  if (!find_pattern(w->list, &p, &upper)) return false;
  struct buffer *out = &w->buffers->trial;
  size_t size = text_size(w->list, 0);
  write8(out, TEXT_PATTERN);
  write8(out, (uint8_t)size);
  write8(out, upper);
  uint8_t mask[(PATTERN_MAX + 7) / 8] = {0};
  for (size_t i = 0; i < size; i++)
    if (p.differs[i]) mask[i / 8] |= (uint8_t)(1u << i % 8);
  buffer_append(out, mask, (size + 7) / 8);
  for (size_t i = 0; i < size; i++)
    if (!p.differs[i]) write8(out, (uint8_t)text_of(w->list, 0)[i]);
  write_digits(w, &p, size, out);
  keep_smaller(w);
  return true;
}

/* ---- DICT ---- */

struct text_slot {
  uint32_t hash, number; /* number + 1; 0: empty */
};

/* Numbers the strings by first appearance; the first string of each number goes to firsts. Returns their
 * number, or 0 if nearly all are distinct. */
static uint32_t number_texts(const struct text_list *l, int64_t *numbers, uint32_t *firsts,
                             struct text_slot *slots, uint32_t mask) {
  uint32_t distinct = 0;
  for (uint32_t i = 0; i < l->count; i++) {
    if (i % LOOK == LOOK - 1 && distinct > i - i / 8) return 0;
    const char *text = text_of(l, i);
    size_t size = text_size(l, i);
    uint32_t hash = (uint32_t)hash64(text, size), slot = hash & mask;
    for (; slots[slot].number; slot = (slot + 1) & mask) {
      uint32_t first = firsts[slots[slot].number - 1];
      if (slots[slot].hash == hash && text_size(l, first) == size && same_few(text_of(l, first), text, size))
        break;
    }
    if (!slots[slot].number) {
      firsts[distinct] = i;
      slots[slot] = (struct text_slot){hash, ++distinct};
    }
    numbers[i] = slots[slot].number - 1;
  }
  return distinct <= l->count - l->count / 8 ? distinct : 0;
}

/* The distinct strings one behind the other, as a list in level->at and level->bytes. */
static bool gather_entries(struct work *w, const uint32_t *firsts, uint32_t n, struct text_list *entries) {
  struct texts_level *b = w->buffers;
  buffer_clear(&b->at);
  buffer_clear(&b->bytes);
  uint64_t *at = (uint64_t *)(void *)buffer_add(&b->at, (n + (size_t)1) * sizeof *at);
  if (!at) return false;
  at[0] = 0;
  for (uint32_t i = 0; i < n; i++) {
    buffer_append(&b->bytes, text_of(w->list, firsts[i]), text_size(w->list, firsts[i]));
    at[i + 1] = b->bytes.size;
  }
  *entries = (struct text_list){at, n, (const char *)b->bytes.data};
  return !b->bytes.failed;
}

static void try_dict(struct work *w) {
  const struct text_list *l = w->list;
  struct texts_level *b = w->buffers;
  uint32_t slot_count = 64;
  while (slot_count < 2 * l->count) slot_count *= 2;
  int64_t *numbers = numbers_of(w, l->count);
  buffer_clear(&b->table);
  struct text_slot *slots = (struct text_slot *)(void *)buffer_add(
      &b->table, slot_count * sizeof *slots + l->count * sizeof(uint32_t));
  if (!numbers || !slots) {
    w->failed = true;
    return;
  }
  memset(slots, 0, slot_count * sizeof *slots);
  uint32_t *firsts = (uint32_t *)(void *)(slots + slot_count);
  uint32_t n = number_texts(l, numbers, firsts, slots, slot_count - 1);
  struct text_list entries;
  if (n == 0) return;
  if (!gather_entries(w, firsts, n, &entries)) {
    w->failed = true;
    return;
  }
  buffer_clear(&b->nested);
  text_list_encode(&entries, TEXT_ALLOW_ENTRY, w->level + 1, &b->nested, w->scratch);
  w->failed |= b->nested.failed;
  write8(&b->trial, TEXT_DICT);
  write_varint(&b->trial, n);
  write_part(&b->trial, &b->nested);
  ints_encode(numbers, l->count, &b->trial, w->scratch);
  keep_smaller(w);
}

/* ---- RAW and LZ4 ---- */

static void try_raw(struct work *w) {
  const struct text_list *l = w->list;
  size_t total = text_total(l);
  int64_t *lengths = numbers_of(w, l->count);
  if (!lengths) return;
  for (uint32_t i = 0; i < l->count; i++) lengths[i] = (int64_t)text_size(l, i);
  struct texts_level *b = w->buffers;
  write8(&b->trial, TEXT_LZ4);
  write_ints_part(w, lengths, l->count, &b->trial);
  size_t head = b->trial.size, most = total - total / 32; /* LZ4 has to save 3 % */
  if (b->best.size && b->best.size <= head + most)
    most = b->best.size > head + 1 ? b->best.size - head - 1 : 0;
  if (total < 32 || total > LZ4_MAX_INPUT_SIZE || !buffer_reserve(&b->trial, most)) most = 0;
  char *to = most ? (char *)b->trial.data + head : NULL;
  int packed = 0;
  if (most && w->scratch->thorough)
    packed = LZ4_compress_HC(text_of(l, 0), to, (int)total, (int)most, LZ4HC_CLEVEL_OPT_MIN);
  else if (most)
    packed = LZ4_compress_default(text_of(l, 0), to, (int)total, (int)most);
  if (packed > 0) {
    b->trial.size += (size_t)packed;
  } else if (b->best.size == 0 || head + total < b->best.size) {
    if (!b->trial.failed) b->trial.data[0] = TEXT_RAW;
    buffer_append(&b->trial, text_of(l, 0), total);
  } else {
    b->trial.size = 0;
    return;
  }
  keep_smaller(w);
}

/* LZ4 or RAW with no memory but that of `out`. */
static void encode_thriftily(struct work *w, struct buffer *out) {
  const struct text_list *l = w->list;
  size_t total = text_total(l), start = out->size;
  int64_t *lengths = numbers_of(w, l->count);
  if (!lengths) return;
  for (uint32_t i = 0; i < l->count; i++) lengths[i] = (int64_t)text_size(l, i);
  write8(out, TEXT_LZ4);
  write_ints_part(w, lengths, l->count, out);
  if (!buffer_reserve(out, total)) return;
  char *to = (char *)out->data + out->size;
  int packed = total > LZ4_MAX_INPUT_SIZE
                   ? 0
                   : LZ4_compress_default(text_of(l, 0), to, (int)total, (int)(total - total / 32));
  if (packed <= 0) {
    out->data[start] = TEXT_RAW;
    memcpy(to, text_of(l, 0), total);
  }
  out->size += packed > 0 ? (size_t)packed : total;
}

/* Can RAW or LZ4 still be the smallest? LZ4 hardly ever brings columns below a half, or JSON below a third.
 */
static bool raw_hopeful(const struct work *w) {
  size_t best = w->buffers->best.size, total = text_total(w->list);
  return best == 0 || best > total / (w->allowed >> TEXT_TEMPLATE & 1 ? 3 : 2);
}

void text_list_encode(const struct text_list *list, unsigned allowed, unsigned level, struct buffer *out,
                      struct ints_scratch *scratch) {
  if (list->count == 0) {
    write8(out, TEXT_RAW);
    return;
  }
  if (all_equal(list)) {
    write8(out, TEXT_CONST);
    buffer_append(out, text_of(list, 0), text_size(list, 0));
    return;
  }
  struct work w = {list, allowed, level, &scratch->texts[level], scratch, false};
  if (scratch->thrifty && text_total(list) > TEXTS_THRIFTY) {
    encode_thriftily(&w, out);
    if (w.failed) out->failed = true;
    return;
  }
  buffer_clear(&w.buffers->best);
  buffer_clear(&w.buffers->trial);
  if (!try_decimal(&w)) {
    try_pattern(&w);
    if (allowed >> TEXT_DICT & 1) try_dict(&w);
  }
  if (!w.failed && allowed >> TEXT_TEMPLATE & 1) {
    w.failed |= !template_encode(list, &w.buffers->trial, scratch);
    if (w.buffers->trial.size) keep_smaller(&w);
  }
  if (!w.failed && raw_hopeful(&w)) try_raw(&w);
  if (w.failed || w.buffers->best.failed)
    out->failed = true;
  else
    buffer_append(out, w.buffers->best.data, w.buffers->best.size);
}

void texts_encode(const uint64_t *at, uint32_t count, const char *bytes, struct buffer *out,
                  struct ints_scratch *scratch) {
  struct text_list list = {at, count, bytes ? bytes : ""};
  text_list_encode(&list, TEXT_ALLOW_ALL, 0, out, scratch);
}

void texts_encode_entries(const uint64_t *at, uint32_t count, const char *bytes, struct buffer *out,
                          struct ints_scratch *scratch) {
  struct text_list list = {at, count, bytes ? bytes : ""};
  text_list_encode(&list, TEXT_ALLOW_ENTRY, 0, out, scratch);
}
