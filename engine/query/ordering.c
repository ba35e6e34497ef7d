/* ordering.c - see ordering.h.
 *
 * What rows are ordered by becomes numbers from 0 on, of as few bits as they need, with NULL behind the last;
 * from the last key to the first they are packed into one word a row, beside the row's number. When a word is
 * full, the rows are sorted by it (stably) and the next word begins. So a word is read in order and moved
 * whole, and most answers need one. With a limit and --order-by, rows are first sorted by those keys alone,
 * so that only rows that can be in the answer need the default order, which ranks texts. */
#include "query/ordering.h"

#include <string.h>

#include "aggregate/grow.h"
#include "aggregate/radix.h"
#include "encoding/bits.h"
#include "query/rank.h"
#include "query/text_space.h"

static const char what[] = "sorting of the answer";

struct sorter {
  const struct plan *plan;
  const struct tally_up *total;
  uint32_t *rows;
  size_t count;
  uint64_t *words, *scratch; /* of rows[0], rows[1], ..: what is packed so far */
  unsigned bits, room;       /* of a word: used, and there for keys */
};

/* ------------------------------------------------------------------ texts */

static tally_text space_text(const void *space, uint32_t id) { return text_space_text(space, id); }

/* ------------------------------------------------------------------ words */

/* Sorts the rows by what is packed, and begins a new word. */
static void sort_words(struct sorter *s) {
  if (!s->bits) return;
  for (size_t i = 0; i < s->count; i++) s->words[i] |= (uint64_t)s->rows[i] << s->bits;
  const uint64_t *sorted = radix_keys(s->words, s->scratch, s->count, s->bits);
  for (size_t i = 0; i < s->count; i++) s->rows[i] = (uint32_t)(sorted[i] >> s->bits);
  s->bits = 0;
}

#define DIGIT 11u

/* Leaves the rows that the packed word's upper bits let be among the first `limit`. */
static void drop_others(struct sorter *s, size_t limit) {
  const unsigned shift = s->bits > DIGIT ? s->bits - DIGIT : 0;
  uint32_t counts[1u << DIGIT] = {0};
  uint64_t last = 0;
  for (size_t i = 0; i < s->count; i++) counts[s->words[i] >> shift]++;
  for (size_t before = counts[0]; before < limit; before += counts[last]) last++;
  size_t kept = 0;
  for (size_t i = 0; i < s->count; i++) {
    if (s->words[i] >> shift > last) continue;
    s->words[kept] = s->words[i];
    s->rows[kept++] = s->rows[i];
  }
  s->count = kept;
}

/* One thing to order by: a number from 0 to `most` for each row, or NULL. */
struct key {
  enum { KEY_BUCKET, KEY_INTEGER, KEY_TEXT, KEY_OUTPUT } kind;
  bool descending;
  uint128 most;
  struct key_part part; /* of the group's key */
  const uint32_t *rank; /* by text */
  size_t output;
  int128 least; /* an output's */
};

/* A key's place in the order; of the least significant bits, `shift` are passed over. */
static uint64_t place_of(const struct key *k, uint128 number, bool null, unsigned shift) {
  return (uint64_t)((null ? k->most + 1 : k->descending ? k->most - number : number) >> shift);
}

/* An integer's code keeps its order. The codes of integers and texts are 0 for NULL; all have less than 64
 * bits. */
static void put_codes(struct sorter *s, const struct key *k, unsigned shift, uint64_t mask) {
  const uint64_t most = (uint64_t)k->most, first = k->kind != KEY_BUCKET;
  for (size_t i = 0; i < s->count; i++) {
    uint64_t code = key_code(groups_key(&s->total->groups, s->rows[i]), k->part);
    uint64_t number = (k->kind == KEY_TEXT ? k->rank[code] : code) - first;
    uint64_t place = code < first ? most + 1 : k->descending ? most - number : number;
    s->words[i] |= (place >> shift & mask) << s->bits;
  }
}

#define AT_ONCE 64u /* results */

/* Results of the rows from `first` on; gives how many. */
static int results_from(const struct sorter *s, size_t output, size_t first, struct number number[AT_ONCE],
                        size_t *count, tally_error *error) {
  *count = s->count - first < AT_ONCE ? s->count - first : AT_ONCE;
  return execute_results(s->plan, s->total, output, s->rows + first, *count, number, count, error);
}

static int put_outputs(struct sorter *s, const struct key *k, unsigned shift, uint64_t mask,
                       tally_error *error) {
  struct number number[AT_ONCE];
  for (size_t first = 0, n; first < s->count; first += n) {
    int rc = results_from(s, k->output, first, number, &n, error);
    if (rc) return rc;
    for (size_t i = 0; i < n; i++) {
      uint64_t place = place_of(k, (uint128)number[i].value - (uint128)k->least, number[i].null, shift);
      s->words[first + i] |= (place & mask) << s->bits;
    }
  }
  return 0;
}

static unsigned length_of(uint128 x) {
  return x >> 64 ? 64 + bits_length((uint64_t)(x >> 64)) : bits_length((uint64_t)x);
}

/* A key comes before all that were packed so far. What a word has no room for goes into the next one. */
static int pack(struct sorter *s, const struct key *k, tally_error *error) {
  const unsigned bits = length_of(k->most + 1);
  int rc = 0;
  for (unsigned done = 0, n; done < bits && !rc; done += n, s->bits += n) {
    if (s->bits == s->room) sort_words(s);
    if (s->bits == 0) memset(s->words, 0, s->count * sizeof *s->words);
    n = bits - done < s->room - s->bits ? bits - done : s->room - s->bits;
    if (k->kind == KEY_OUTPUT)
      rc = put_outputs(s, k, done, bits_mask(n), error);
    else
      put_codes(s, k, done, bits_mask(n));
  }
  return rc;
}

/* ------------------------------------------------------------------ keys */

static struct key code_key(const struct sorter *s, size_t part, bool bucket, bool descending) {
  struct key k = {.kind = bucket ? KEY_BUCKET : KEY_INTEGER, .descending = descending};
  k.part = s->plan->layout.part[part];
  k.most = bits_mask(k.part.bits);
  if (!bucket && k.most) k.most--;
  return k;
}

static int pack_bucket(struct sorter *s, bool descending, tally_error *error) {
  struct key k = code_key(s, 0, true, descending);
  return pack(s, &k, error);
}

static int pack_text(struct sorter *s, size_t group, bool descending, tally_error *error) {
  struct text_space space = text_space_of(s->plan, s->total, group);
  struct key k = {.kind = KEY_TEXT, .descending = descending};
  k.part = s->plan->layout.part[plan_group_part(s->plan, group)];
  struct rank rank;
  int rc = rank_init(&rank, space.count, space_text, &space, s->plan->environment->budget, error);
  for (size_t i = 0; i < s->count && !rc; i++) {
    uint32_t id = (uint32_t)key_code(groups_key(&s->total->groups, s->rows[i]), k.part);
    if (id && !rank.of[id]) rc = rank_mark(&rank, id, error);
  }
  if (!rc) rc = rank_sort(&rank, error);
  k.rank = rank.of;
  k.most = rank.count ? rank.count - 1 : 0;
  if (!rc) rc = pack(s, &k, error);
  rank_free(&rank);
  return rc;
}

static int pack_group(struct sorter *s, size_t group, bool descending, tally_error *error) {
  const struct column_ref *ref = &s->plan->request->group[group].ref;
  if (ref->key || column_kind(ref->column) == KIND_TEXT) return pack_text(s, group, descending, error);
  struct key k = code_key(s, plan_group_part(s->plan, group), false, descending);
  return pack(s, &k, error);
}

static int pack_output(struct sorter *s, size_t output, bool descending, tally_error *error) {
  int128 least = INT128_MAX, greatest = INT128_MIN;
  bool alone = s->bits == 0; /* then a word can be the value first, and the key in a moment */
  struct number number[AT_ONCE];
  for (size_t first = 0, n; first < s->count; first += n) {
    int rc = results_from(s, output, first, number, &n, error);
    if (rc) return rc;
    for (size_t i = 0; i < n; i++) {
      const struct number *value = &number[i];
      alone &= !value->null;
      if (alone) s->words[first + i] = (uint64_t)value->value;
      if (!value->null && value->value < least) least = value->value;
      if (!value->null && value->value > greatest) greatest = value->value;
    }
  }
  if (least > greatest) return 0; /* all are NULL */
  struct key k = {.kind = KEY_OUTPUT, .descending = descending, .output = output, .least = least};
  k.most = (uint128)greatest - (uint128)least; /* far from 2^128: a sum has less than 2^63 values */
  const unsigned bits = length_of(k.most + 1);
  if (!alone || bits > s->room) return pack(s, &k, error);
  for (size_t i = 0; i < s->count; i++) s->words[i] = place_of(&k, s->words[i] - (uint64_t)least, false, 0);
  s->bits = bits;
  return 0;
}

/* ------------------------------------------------------------------ the order */

static int pack_default(struct sorter *s, tally_error *error) {
  const struct request *r = s->plan->request;
  int rc = 0;
  for (size_t g = r->group_count; g-- > 0 && !rc;) rc = pack_group(s, g, false, error);
  return rc || !r->has_bucket ? rc : pack_bucket(s, false, error);
}

static int pack_request(struct sorter *s, tally_error *error) {
  const struct request *r = s->plan->request;
  int rc = 0;
  for (size_t k = r->order_count; k-- > 0 && !rc;) {
    const struct order_key *key = &r->order[k];
    switch (key->what) {
    case ORDER_BUCKET:
      rc = pack_bucket(s, key->descending, error);
      break;
    case ORDER_GROUP:
      rc = pack_group(s, key->index, key->descending, error);
      break;
    case ORDER_OUTPUT:
      rc = pack_output(s, key->index, key->descending, error);
      break;
    }
  }
  return rc;
}

/* Are two rows equal in every key of --order-by? */
static int equal_keys(const struct sorter *s, uint32_t a, uint32_t b, bool *equal, tally_error *error) {
  const struct request *r = s->plan->request;
  *equal = true;
  for (size_t k = 0; k < r->order_count && *equal; k++) {
    const struct order_key *key = &r->order[k];
    if (key->what != ORDER_OUTPUT) {
      size_t part = key->what == ORDER_BUCKET ? 0 : plan_group_part(s->plan, key->index);
      struct key_part place = s->plan->layout.part[part];
      *equal = key_code(groups_key(&s->total->groups, a), place) ==
               key_code(groups_key(&s->total->groups, b), place);
      continue;
    }
    struct number x, y;
    int rc = execute_result(s->plan, s->total, key->index, a, &x, error);
    if (!rc) rc = execute_result(s->plan, s->total, key->index, b, &y, error);
    if (rc) return rc;
    *equal = x.null == y.null && (x.null || x.value == y.value);
  }
  return 0;
}

/* Leaves only rows that can be among the first `limit`. */
static int cut(struct sorter *s, size_t limit, tally_error *error) {
  int rc = pack_request(s, error);
  if (rc) return rc;
  if (s->bits) drop_others(s, limit);
  sort_words(s);
  bool equal = true;
  size_t count = limit;
  while (count < s->count) {
    rc = equal_keys(s, s->rows[limit - 1], s->rows[count], &equal, error);
    if (rc || !equal) break;
    count++;
  }
  s->count = count;
  return rc;
}

static int sort_all(struct sorter *s, tally_error *error) {
  const struct request *r = s->plan->request;
  int rc = 0;
  for (size_t i = 0; i < s->count; i++) s->rows[i] = (uint32_t)i;
  if (r->order_count && r->limit > 0 && r->limit < s->count) rc = cut(s, (size_t)r->limit, error);
  if (!rc) rc = pack_default(s, error);
  if (!rc) rc = pack_request(s, error);
  if (!rc) sort_words(s);
  return rc;
}

int ordering_make(struct ordering *ordering, const struct plan *plan, const struct tally_up *total,
                  tally_error *error) {
  struct budget *budget = plan->environment->budget;
  size_t n = total->groups.count, bytes = n * 2 * sizeof(uint64_t);
  *ordering = (struct ordering){0};
  if (n == 0) return 0;
  ordering->rows = grow_array(budget, NULL, 0, n, sizeof *ordering->rows, what, error);
  if (!ordering->rows) return error->code;
  ordering->capacity = n;
  uint64_t *words = grow_memory(budget, NULL, 0, bytes, what, error);
  if (!words) return error->code;
  struct sorter s = {plan, total, ordering->rows, n, words, words + n, 0, 64 - bits_length(n - 1)};
  int rc = n > 1 ? sort_all(&s, error) : (ordering->rows[0] = 0, 0);
  grow_free(budget, words, bytes);
  ordering->count = s.count < plan->request->limit ? s.count : (size_t)plan->request->limit;
  return rc;
}

void ordering_free(struct ordering *ordering, const struct plan *plan) {
  grow_free(plan->environment->budget, ordering->rows, ordering->capacity * sizeof *ordering->rows);
  *ordering = (struct ordering){0};
}
