/* query_zone.c - buckets in time zones: every instant lies in exactly one bucket, a day begins at the first
 * instant of its date, and a date that was skipped has none. */
#include "base/hash.h"
#include "query/bucket_map.h"
#include "query_fixture.h"

static uint64_t state;
static uint64_t below(uint64_t n) { return hash_mix(state += 0x9E3779B97F4A7C15u) % n; }
static void seed_random(void) {
  const char *text = getenv("TALLY_SEED");
  state = text ? strtoull(text, NULL, 0) : 7;
  fprintf(stderr, "TALLY_SEED=%" PRIu64 "\n", state);
}

static const char *const zones[] = {"UTC",          "+05:30",        "-11:00",
                                    "Test/Berlin",  "Test/LordHowe", "Test/SaoPaulo",
                                    "Test/StJohns", "Test/Apia",     "Test/Kathmandu"};
static const char *const buckets[] = {"1d", "2d",  "7d", "1w",  "3w", "1mo", "5mo",
                                      "1y", "90m", "1h", "7us", "1s", "1us"};

static struct time_zone open_zone(const char *name) {
  struct time_zone zone;
  tally_error error;
  cr_assert_eq(zone_open(&zone, name, fixture_zone, NULL, 0, &error), 0);
  return zone;
}

static int64_t day_at(struct time_zone *zone, int64_t us) {
  tally_error error;
  int64_t day;
  cr_assert_eq(zone_day(zone, us, &day, &error), 0);
  return day;
}

/* The bucket [start, next) of a calendar unit: no date of it was there before start, and from then on no date
 * of the next one until next. */
static void check_calendar(const struct bucket *bucket, struct time_zone *zone, int64_t start, int64_t next) {
  int64_t first, end, most = INT64_MIN;
  bucket_days(bucket, day_at(zone, start), &first, &end);
  for (int64_t t = start - 3 * DAY_US; t < start; t += DAY_US / 48) cr_assert_lt(day_at(zone, t), first);
  cr_assert_lt(day_at(zone, start - 1), first);
  for (int64_t t = start; t < next; t += (next - start) / 97 + 1)
    if (day_at(zone, t) > most) most = day_at(zone, t);
  cr_assert(most < end && day_at(zone, next - 1) < end);
  cr_assert_geq(day_at(zone, next), end);
}

/* Codes of a byte for the instants of a few buckets, starts and ends among them, are their numbers. */
static void check_codes(const struct bucket_map *map, int64_t from, int64_t to) {
  enum { ROWS = 300 };
  const uint64_t few = below(2) ? below(4) : below(2) ? below(34) : below(250);
  const uint64_t low = below(map->count), high = map->count - low > few ? low + few : map->count - 1;
  const uint8_t stride = (uint8_t)(1 + below(255 / (high - low + 1)));
  int64_t first = bucket_map_start(map, low), end = bucket_map_start(map, high + 1), us[ROWS];
  uint64_t numbers[ROWS];
  uint8_t codes[ROWS], before[ROWS];
  if (first < from) first = from;
  if (end > to) end = to + 1;
  for (int i = 0; i < ROWS; i++) {
    us[i] = first + (int64_t)below((uint64_t)(end - first));
    int64_t edge = bucket_map_start(map, low + below(high - low + 2)) - (int64_t)below(2);
    if (below(2) && edge >= first && edge < end) us[i] = edge;
    before[i] = codes[i] = (uint8_t)below(4);
  }
  bucket_map_numbers(map, us, ROWS, numbers);
  bucket_map_codes(map, us, ROWS, low, high, stride, codes);
  for (int i = 0; i < ROWS; i++) cr_assert_eq(codes[i], (uint8_t)(before[i] + (numbers[i] - low) * stride));
}

static void check_range(const char *zone_name, const char *bucket_text, int64_t from, int64_t to) {
  struct budget budget;
  tally_error error;
  struct bucket bucket;
  struct bucket_map map;
  struct time_zone zone = open_zone(zone_name);
  budget_init(&budget, 1u << 24, NULL);
  cr_assert(bucket_parse(bucket_text, strlen(bucket_text), &bucket));
  cr_assert_eq(bucket_map_init(&map, &bucket, &zone, from, to, &budget, &error), 0, "%s", error.text);
  cr_assert_eq(bucket_map_number(&map, from), 0);
  cr_assert_eq(bucket_map_number(&map, to), map.count - 1);
  for (int i = 0; i < 200; i++) {
    int64_t us = from + (int64_t)below((uint64_t)(to - from) + 1);
    uint64_t number, same;
    bucket_map_numbers(&map, &us, 1, &number);
    same = bucket_map_number(&map, us);
    cr_assert(number == same && number < map.count);
    int64_t start = bucket_map_start(&map, number), next = bucket_map_start(&map, number + 1);
    cr_assert(start <= us && us < next, "%s %s", zone_name, bucket_text);
    cr_assert_eq(bucket_map_number(&map, start < from ? from : start), number);
    if (next <= to) cr_assert_eq(bucket_map_number(&map, next), number + 1);
    if (bucket.unit == BUCKET_FIXED)
      cr_assert(next - start == bucket.count && start % bucket.count == 0);
    else if (i < 10)
      check_calendar(&bucket, &zone, start, next);
    if (i < 20) check_codes(&map, from, to);
  }
  bucket_map_free(&map);
  cr_assert_eq(budget_used(&budget), 0);
}

Test(zone, every_instant_is_in_one_bucket_that_begins_where_its_dates_do) {
  seed_random();
  for (size_t z = 0; z < sizeof zones / sizeof *zones; z++)
    for (size_t b = 0; b < sizeof buckets / sizeof *buckets; b++) {
      /* all of 1970 to 2037, some days at a clock change, and one instant */
      check_range(zones[z], buckets[b], 0, INT64_C(2114380800000000));
      for (size_t c = 0; c < sizeof fixture_zones / sizeof *fixture_zones; c++) {
        if (fixture_zones[c].until == INT64_MAX) continue;
        int64_t from = fixture_zones[c].until * 1000000 - (int64_t)below(4 * (uint64_t)DAY_US);
        check_range(zones[z], buckets[b], from, from + (int64_t)below(8 * (uint64_t)DAY_US));
      }
      int64_t us = (int64_t)below(UINT64_C(253402300799999999));
      check_range(zones[z], buckets[b], us, us);
    }
  check_range("UTC", "1us", 0, TIME_MAX);
  check_range("UTC", "1d", 0, TIME_MAX);
}

static const char *labels(const char *zone_name, const char *bucket_text, const char *from, const char *to) {
  static char out[64 * (TIMESTAMP_PUT_MOST + 1)];
  char *end = out;
  struct budget budget;
  tally_error error;
  struct bucket bucket;
  struct bucket_map map;
  struct time_zone zone = open_zone(zone_name);
  budget_init(&budget, 1u << 20, NULL);
  cr_assert(bucket_parse(bucket_text, strlen(bucket_text), &bucket));
  cr_assert_eq(bucket_map_init(&map, &bucket, &zone, fixture_time(from), fixture_time(to), &budget, &error),
               0);
  cr_assert(map.count <= 64);
  for (uint64_t n = 0; n < map.count; n++) {
    cr_assert_eq(bucket_map_label(&map, n, &zone, &end, &error), 0);
    *end++ = ' ';
  }
  *end = '\0';
  bucket_map_free(&map);
  return out;
}

Test(zone, labels_are_starts_with_the_offset_they_have) {
  cr_expect_str_eq(labels("Test/Berlin", "1d", "2024-03-30T12:00:00Z", "2024-04-01T12:00:00Z"),
                   "2024-03-30T00:00:00+01:00 2024-03-31T00:00:00+01:00 2024-04-01T00:00:00+02:00 ");
  cr_expect_str_eq(labels("Test/Berlin", "1h", "2024-10-27T00:00:00Z", "2024-10-27T02:00:00Z"),
                   "2024-10-27T02:00:00+02:00 2024-10-27T02:00:00+01:00 2024-10-27T03:00:00+01:00 ");
  cr_expect_str_eq(labels("Test/LordHowe", "1d", "2024-04-06T00:00:00Z", "2024-04-07T14:00:00Z"),
                   "2024-04-06T00:00:00+11:00 2024-04-07T00:00:00+11:00 2024-04-08T00:00:00+10:30 ");
  cr_expect_str_eq(labels("Test/SaoPaulo", "1d", "2018-11-03T12:00:00Z", "2018-11-05T12:00:00Z"),
                   "2018-11-03T00:00:00-03:00 2018-11-04T01:00:00-02:00 2018-11-05T00:00:00-02:00 ");
  cr_expect_str_eq(labels("Test/SaoPaulo", "1d", "2019-02-16T12:00:00Z", "2019-02-17T12:00:00Z"),
                   "2019-02-16T00:00:00-02:00 2019-02-17T00:00:00-03:00 ");
  cr_expect_str_eq(labels("Test/StJohns", "1d", "2010-11-07T02:29:59Z", "2010-11-07T02:31:00Z"),
                   "2010-11-06T00:00:00-02:30 2010-11-07T00:00:00-02:30 ");
  cr_expect_str_eq(labels("Test/Apia", "1d", "2011-12-29T10:00:00Z", "2011-12-31T10:00:00Z"),
                   "2011-12-29T00:00:00-10:00 2011-12-31T00:00:00+14:00 2012-01-01T00:00:00+14:00 ");
  cr_expect_str_eq(labels("Test/Apia", "2d", "2011-12-29T10:00:00Z", "2012-01-02T10:00:00Z"),
                   "2011-12-28T00:00:00-10:00 2011-12-31T00:00:00+14:00 2012-01-01T00:00:00+14:00 "
                   "2012-01-03T00:00:00+14:00 ");
  cr_expect_str_eq(labels("Test/Kathmandu", "1mo", "1970-01-01T00:00:00Z", "1970-02-01T00:00:00Z"),
                   "1970-01-01T00:00:00+05:45 1970-02-01T00:00:00+05:45 ");
  cr_expect_str_eq(labels("-05:00", "1w", "1970-01-01T00:00:00Z", "1970-01-05T05:00:00Z"),
                   "1969-12-29T00:00:00-05:00 1970-01-05T00:00:00-05:00 ");
  cr_expect_str_eq(labels("+00:00", "1y", "1970-01-01T00:00:00Z", "1971-01-01T00:00:00Z"),
                   "1970-01-01T00:00:00+00:00 1971-01-01T00:00:00+00:00 ");
  cr_expect_str_eq(labels("UTC", "250ms", "1970-01-01T00:00:00.3Z", "1970-01-01T00:00:00.6Z"),
                   "1970-01-01T00:00:00.250000Z 1970-01-01T00:00:00.500000Z ");
  cr_expect_str_eq(labels("UTC", "1000ms", "1970-01-01T00:00:00.3Z", "1970-01-01T00:00:00.6Z"),
                   "1970-01-01T00:00:00Z ");
}
