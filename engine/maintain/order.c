/* order.c - radix sort of rows; see order.h. */
#include "maintain/order.h"

#include <string.h>

#include "model/civil.h"

#define DIGIT_BITS 11u
#define DIGITS (1u << DIGIT_BITS)

int32_t month_of(int64_t timestamp) {
  int64_t year;
  int month, day;
  days_to_civil(timestamp / DAY_US - (timestamp % DAY_US < 0), &year, &month, &day);
  return (int32_t)((year - 1970) * 12 + month - 1);
}

int64_t month_start(int32_t month) { return civil_to_days(1970 + month / 12, month % 12 + 1, 1) * DAY_US; }

/* Sorts (key, row) pairs stably by key; keys are below 2^bits. The result is in *rows. */
static void radix(uint32_t count, unsigned bits, uint64_t **key, uint32_t **rows, uint64_t **key2,
                  uint32_t **rows2) {
  for (unsigned shift = 0; shift < bits; shift += DIGIT_BITS) {
    uint32_t start[DIGITS] = {0};
    const uint64_t *k = *key;
    for (uint32_t i = 0; i < count; i++) start[k[i] >> shift & (DIGITS - 1)]++;
    if (start[k[0] >> shift & (DIGITS - 1)] == count) continue; /* all agree */
    uint32_t sum = 0;
    for (uint32_t d = 0; d < DIGITS; d++) {
      uint32_t n = start[d];
      start[d] = sum;
      sum += n;
    }
    const uint32_t *from = *rows;
    uint32_t *to = *rows2;
    uint64_t *to_key = *key2;
    for (uint32_t i = 0; i < count; i++) {
      uint32_t at = start[k[i] >> shift & (DIGITS - 1)]++;
      to[at] = from[i];
      to_key[at] = k[i];
    }
    uint64_t *swap_key = *key;
    *key = *key2;
    *key2 = swap_key;
    uint32_t *swap_rows = *rows;
    *rows = *rows2;
    *rows2 = swap_rows;
  }
}

static unsigned bits_of(uint64_t v) { return v ? 64u - (unsigned)__builtin_clzll(v) : 0; }

static bool one_month(int64_t least, int64_t most) { return month_of(least) == month_of(most); }

/* Keys of the second sort: service and user ids side by side, both as narrow as their largest. */
static unsigned text_keys(const struct rows *rows, const uint32_t *order, uint64_t *key) {
  const uint32_t *user = rows->text[column_domain(TALLY_COL_USER_ID)];
  const uint32_t *service = rows->text[column_domain(TALLY_COL_SERVICE_NAME)];
  uint32_t most_user = 0, most_service = 0;
  for (uint32_t i = 0; i < rows->count; i++) {
    most_user |= user[i];
    most_service |= service[i];
  }
  unsigned shift = bits_of(most_user);
  for (uint32_t i = 0; i < rows->count; i++) key[i] = (uint64_t)service[order[i]] << shift | user[order[i]];
  return shift + bits_of(most_service);
}

void order_rows(const struct rows *rows, uint32_t *order, const struct order_scratch *scratch) {
  uint32_t count = rows->count, *now = order, *other = scratch->rows;
  uint64_t *key = scratch->key[0], *other_key = scratch->key[1];
  int64_t least = INT64_MAX, most = INT64_MIN;
  bool sorted = true;
  for (uint32_t i = 0; i < count; i++) {
    now[i] = i;
    int64_t t = rows->timestamp[i];
    sorted = sorted && t >= most;
    if (t < least) least = t;
    if (t > most) most = t;
  }
  if (count < 2) return;
  if (!sorted) {
    for (uint32_t i = 0; i < count; i++) key[i] = (uint64_t)rows->timestamp[i] - (uint64_t)least;
    radix(count, bits_of((uint64_t)most - (uint64_t)least), &key, &now, &other_key, &other);
  }
  unsigned bits = text_keys(rows, now, key);
  radix(count, bits, &key, &now, &other_key, &other);
  if (!one_month(least, most)) {
    int32_t first = month_of(least);
    for (uint32_t i = 0; i < count; i++) key[i] = (uint64_t)(month_of(rows->timestamp[now[i]]) - first);
    radix(count, bits_of((uint64_t)(month_of(most) - first)), &key, &now, &other_key, &other);
  }
  if (now != order) memcpy(order, now, count * sizeof *order);
}
