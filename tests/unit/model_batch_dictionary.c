/* Laws of the dictionary of a batch that is being built (model/batch_dictionary.h). */
#include <criterion/criterion.h>
#include <string.h>

#include "model/batch_dictionary.h"
#include "unit/model_random.h"

/* The number of a text, which is added if it is new. Every other one is found by the portable way. */
static uint32_t number_of(struct dictionary *d, const char *text) {
  static uint32_t turn;
  dictionary_find_fn *find = turn++ % 2 ? dictionary_find_portable : dictionary_find_best();
  char *copy = strndup(text, strlen(text)); /* nothing behind it may be read */
  tally_text row[DOMAINS] = {{0}, {copy, strlen(text)}};
  struct dictionary_place place[DOMAINS];
  struct dictionary column[DOMAINS] = {{0}, *d};
  cr_assert(dictionary_reserve(&column[1]));
  find(column, row, place);
  uint32_t number = place[1].entry - 1;
  if (!place[1].entry) {
    cr_assert(buffer_reserve(&column[1].texts, row[1].size));
    number = dictionary_add(&column[1], &place[1], &row[1]);
  }
  *d = column[1];
  free(copy);
  return number;
}

/* However far the table has to grow, and again after it was emptied, whatever was in it before. */
Test(model_batch_dictionary, numbers_texts_in_order_of_appearance) {
  struct dictionary d = {0};
  static const uint32_t distinct[] = {1, 60, 129, 6000, 3, 70000, 2, 1000};
  for (size_t round = 0; round < sizeof distinct / sizeof *distinct; round++) {
    char text[40];
    for (uint32_t i = 0; i < 2 * distinct[round]; i++) {
      sprintf(text, "%u%s", i % distinct[round], i % distinct[round] % 3 ? "" : " and a longer text");
      cr_assert_eq(number_of(&d, text), i % distinct[round], "%s", text);
    }
    cr_assert_eq(d.entries, distinct[round]);
    size_t at = 0;
    for (uint32_t i = 0; i < d.entries; i++) at += d.sizes[i];
    cr_assert_eq(at, d.texts.size);
    dictionary_clear(&d);
    cr_assert_eq(d.entries, 0);
  }
  cr_assert_eq(number_of(&d, ""), 0);
  cr_assert_eq(number_of(&d, "a"), 1);
  cr_assert_eq(number_of(&d, ""), 0);
  dictionary_free(&d);
}

struct hashed {
  uint32_t hash, number;
};

static int by_hash(const void *a, const void *b) {
  const struct hashed *x = a, *y = b;
  return (x->hash > y->hash) - (x->hash < y->hash);
}

/* Texts that differ in their last three characters only. */
static void make_text(char *text, const char *prefix, uint32_t number) {
  sprintf(text, "%s%c%c%c", prefix, (int)('0' + number % 64), (int)('0' + number / 64 % 64),
          (int)('0' + number / 4096));
}

/* Searched for, there are a few pairs of texts whose 32 bits of hash are equal among 262,144. */
static size_t equal_hashes(const char *prefix) {
  enum { COUNT = 64 * 64 * 64 };
  struct hashed *all = malloc(COUNT * sizeof *all);
  char text[24], other[24];
  for (uint32_t i = 0; i < COUNT; i++) {
    make_text(text, prefix, i);
    all[i] = (struct hashed){dictionary_hash(text, strlen(text)), i};
  }
  qsort(all, COUNT, sizeof *all, by_hash);
  struct dictionary d = {0};
  size_t pairs = 0;
  for (uint32_t i = 1; i < COUNT; i++) {
    if (all[i].hash != all[i - 1].hash) continue;
    make_text(text, prefix, all[i].number);
    make_text(other, prefix, all[i - 1].number);
    dictionary_clear(&d);
    cr_assert_eq(number_of(&d, text), 0);
    cr_assert_eq(number_of(&d, other), 1, "%s is not %s", text, other);
    cr_assert_eq(number_of(&d, text), 0);
    pairs++;
  }
  dictionary_free(&d);
  free(all);
  return pairs;
}

Test(model_batch_dictionary, texts_of_equal_hash_stay_apart) {
  static const char *const prefixes[] = {"", "x", "1234", "12345", "123456", "user-of-a-long-name-"};
  size_t pairs = 0;
  for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) pairs += equal_hashes(prefixes[i]);
  cr_assert_gt(pairs, 10);
}
