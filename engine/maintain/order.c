/* order.c - radix sort of rows; see order.h. Rows that come nearly in order of time, as events do, are merged
 * with the few that are late instead of being sorted by it. */
#include "maintain/order.h"

#include <string.h>

#include "base/array.h"
#include "model/civil.h"

#define DIGIT_BITS 12u /* at most: the ends of 4,096 places stay in the second cache */
#define FEW 16384u     /* rows, below which longer digits cost more to count than they save */
#define FEW_DIGIT_BITS 8u

int32_t month_of(int64_t timestamp) {
  int64_t year;
  int month, day;
  days_to_civil(timestamp / DAY_US - (timestamp % DAY_US < 0), &year, &month, &day);
  return (int32_t)((year - 1970) * 12 + month - 1);
}

int64_t month_start(int32_t month) { return civil_to_days(1970 + month / 12, month % 12 + 1, 1) * DAY_US; }

/* What is sorted: 64-bit entries, a key above and the number of its row below, so that a pass moves eight
 * bytes a row. A key that does not fit beside the row is sorted by its lower half first, then by its upper
 * one. */
struct sort {
  const struct rows *rows;
  uint32_t count;
  unsigned row_bits;
  uint64_t *entry, *other;
};

static unsigned bits_of(uint64_t v) { return v ? 64u - (unsigned)__builtin_clzll(v) : 0; }

static uint32_t row_of(const struct sort *s, uint32_t i) {
  return (uint32_t)(s->entry[i] & (((uint64_t)1 << s->row_bits) - 1));
}

static void pass(struct sort *s, unsigned shift, unsigned bits) {
  uint32_t start[1u << DIGIT_BITS];
  const uint64_t *from = s->entry, mask = ((uint64_t)1 << bits) - 1;
  uint64_t *to = s->other;
  memset(start, 0, (mask + 1) * sizeof *start);
  for (uint32_t i = 0; i < s->count; i++) start[from[i] >> shift & mask]++;
  if (start[from[0] >> shift & mask] == s->count) return; /* all agree */
  uint32_t sum = 0;
  for (uint32_t d = 0; d <= mask; d++) {
    uint32_t n = start[d];
    start[d] = sum;
    sum += n;
  }
  for (uint32_t i = 0; i < s->count; i++) to[start[from[i] >> shift & mask]++] = from[i];
  s->entry = to;
  s->other = (uint64_t *)from;
}

/* Sorts stably by the entries' keys of `bits` bits, in passes over digits that are about equally long. */
static void sort_entries(struct sort *s, unsigned bits) {
  unsigned most = s->count < FEW ? FEW_DIGIT_BITS : DIGIT_BITS, passes = (bits + most - 1) / most;
  for (unsigned done = 0; passes > 0; passes--) {
    unsigned digit = (bits - done + passes - 1) / passes;
    pass(s, s->row_bits + done, digit);
    done += digit;
  }
}

/* ---- keys */

enum key { BY_TIME, BY_TEXTS, BY_FEW_MONTHS, BY_MONTH };

#define MONTHS_FEW 4u /* whose starts are compared with: a calendar takes longer */

struct keys {
  int64_t least;             /* BY_TIME */
  unsigned shift;            /* BY_TEXTS: the bits of user ids */
  int32_t first;             /* BY_MONTH: the first month */
  int64_t start[MONTHS_FEW]; /* BY_FEW_MONTHS: of the months behind the first, or INT64_MAX */
};

static inline uint64_t key_of(const struct rows *rows, enum key what, const struct keys *k, uint32_t row) {
  switch (what) {
  case BY_TIME:
    return (uint64_t)rows->timestamp[row] - (uint64_t)k->least;
  case BY_TEXTS:
    return (uint64_t)rows->text[column_domain(TALLY_COL_SERVICE_NAME)][row] << k->shift |
           rows->text[column_domain(TALLY_COL_USER_ID)][row];
  case BY_FEW_MONTHS: {
    uint64_t month = 0;
    for (unsigned i = 0; i < MONTHS_FEW; i++) month += rows->timestamp[row] >= k->start[i];
    return month;
  }
  default:
    return (uint64_t)(month_of(rows->timestamp[row]) - k->first);
  }
}

/* Bits [from, from + bits) of the keys. */
static inline __attribute__((always_inline)) void sort_part(struct sort *s, enum key what,
                                                            const struct keys *k, unsigned from,
                                                            unsigned bits) {
  const uint64_t mask = bits < 64 ? ((uint64_t)1 << bits) - 1 : UINT64_MAX;
  for (uint32_t i = 0; i < s->count; i++) {
    uint32_t row = row_of(s, i);
    s->entry[i] = (key_of(s->rows, what, k, row) >> from & mask) << s->row_bits | row;
  }
  sort_entries(s, bits);
}

static inline __attribute__((always_inline)) void sort_by(struct sort *s, enum key what, const struct keys *k,
                                                          unsigned bits) {
  unsigned low = bits > 64 - s->row_bits ? 32 : bits;
  sort_part(s, what, k, 0, low);
  if (low < bits) sort_part(s, what, k, low, bits - low);
}

static void sort_by_texts(struct sort *s) {
  const uint32_t *user = s->rows->text[column_domain(TALLY_COL_USER_ID)];
  const uint32_t *service = s->rows->text[column_domain(TALLY_COL_SERVICE_NAME)];
  uint32_t users = 0, services = 0;
  for (uint32_t i = 0; i < s->count; i++) {
    users |= user[i];
    services |= service[i];
  }
  const struct keys k = {.shift = bits_of(users)};
  sort_by(s, BY_TEXTS, &k, k.shift + bits_of(services));
}

static void sort_by_time(struct sort *s, int64_t least, int64_t most) {
  const struct keys k = {.least = least};
  sort_by(s, BY_TIME, &k, bits_of((uint64_t)most - (uint64_t)least));
}

/* ---- rows that come nearly in order of time */

#define LATE_SHARE 8u /* one row in so many may be late, else all are sorted */

/* Splits the rows into those that are not earlier than any before them, whose entries are left in order in
 * s->entry, and the late ones, in s->other; gives the number of these, or of all rows where there are too
 * many. */
static uint32_t split_late(struct sort *s) {
  const int64_t *timestamp = s->rows->timestamp;
  int64_t latest = INT64_MIN;
  uint32_t late = 0, most = s->count / LATE_SHARE;
  for (uint32_t i = 0; i < s->count; i++) {
    bool is_late = timestamp[i] < latest;
    s->entry[i - late] = i;
    s->other[late] = i;
    late += is_late;
    latest = is_late ? latest : timestamp[i];
    if (late > most) return s->count;
  }
  return late;
}

/* Late rows are few: sorted by themselves, then merged from the end, so that both lists stay in place. Rows
 * of one time keep their order of arrival: a late one came behind those in order that have its time. */
static void merge_late(struct sort *s, uint32_t late, int64_t least, int64_t most) {
  const int64_t *timestamp = s->rows->timestamp;
  struct sort some = *s;
  some.count = late;
  some.entry = s->other;
  some.other = s->other + late;
  sort_by_time(&some, least, most);
  uint32_t in_order = s->count - late;
  for (uint32_t to = s->count; late > 0; to--) {
    uint32_t row = row_of(&some, late - 1);
    if (in_order > 0 && timestamp[s->entry[in_order - 1]] > timestamp[row]) {
      s->entry[to - 1] = s->entry[in_order - 1];
      in_order--;
    } else {
      s->entry[to - 1] = row;
      late--;
    }
  }
}

static void sort_by_month(struct sort *s, int64_t least, int64_t most) {
  struct keys k = {.first = month_of(least)};
  const unsigned more = (unsigned)(month_of(most) - k.first);
  for (unsigned i = 0; i < MONTHS_FEW; i++)
    k.start[i] = i < more ? month_start(k.first + 1 + (int32_t)i) : INT64_MAX;
  if (more <= MONTHS_FEW)
    sort_by(s, BY_FEW_MONTHS, &k, bits_of(more));
  else
    sort_by(s, BY_MONTH, &k, bits_of(more));
}

void order_rows(const struct rows *rows, uint32_t *order, const struct order_scratch *scratch) {
  struct sort s = {rows, rows->count, bits_of(rows->count), scratch->entry[0], scratch->entry[1]};
  const struct bounds times = array_bounds(rows->timestamp, rows->count);
  uint32_t late = split_late(&s);
  if (late && late == s.count) {
    for (uint32_t i = 0; i < s.count; i++) s.entry[i] = i;
    sort_by_time(&s, times.min, times.max);
  } else if (late > 0) {
    merge_late(&s, late, times.min, times.max);
  }
  if (s.count > 1) sort_by_texts(&s);
  if (s.count > 1 && month_of(times.min) != month_of(times.max)) sort_by_month(&s, times.min, times.max);
  for (uint32_t i = 0; i < s.count; i++) order[i] = row_of(&s, i);
}
